//! Whether a request may be meant for us and by whom it may have been made, of its head alone. No I/O.
use crate::web::Request;
use std::net::IpAddr;

/// What the router is called besides its addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Whole names, lower-case.
    pub names: Vec<String>,
    /// Domains of the house, of which it answers for every name.
    pub domains: Vec<String>,
}

impl Names {
    /// Whether a request has called us by one of our names: an address, a single label, or a name that our own name server
    /// answers for. A name of the world could lead to any site's page (DNS rebinding).
    pub fn are_meant_by(&self, request: &Request) -> bool {
        let name = name_of(&request.host);
        if name.is_empty() {
            return false;
        }
        let in_domain = |domain: &String| name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'));
        name.parse::<IpAddr>().is_ok()
            || !name.contains('.')
            || self.names.contains(&name)
            || self.domains.iter().any(in_domain)
    }
}

fn name_of(host: &str) -> String {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    // Of a link-local address a browser may say its interface.
    name.split('%').next().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a request comes from no other site's page, as far as its browser tells.
pub fn is_of_our_page(request: &Request) -> bool {
    let scheme = if request.secure { "https://" } else { "http://" };
    let ours = request.origin.strip_prefix(scheme).is_some_and(|host| host == request.host);
    let site = request.header("sec-fetch-site");
    (request.origin.is_empty() || ours) && matches!(site, "" | "same-origin" | "none")
}

/// The cookie of a session; empty when there is none.
pub fn cookie(request: &Request) -> &str {
    let pairs = request.header("cookie").split(';').filter_map(|pair| pair.trim().split_once('='));
    let ours = name_of_cookie(request.secure);
    pairs.into_iter().find(|(name, _)| *name == ours).map_or("", |(_, value)| value)
}

/// The cookie's name. Over TLS it has another one, which a browser takes and gives back over TLS only (RFC 6265bis): what
/// was said over plain HTTP, where others may listen, is no session there, and does not stand in its way.
pub fn name_of_cookie(secure: bool) -> &'static str {
    if secure { "__Host-weir" } else { "weir" }
}

/// What a browser is told to keep as its cookie, for so many seconds.
pub fn kept_cookie(secure: bool, value: &str, seconds: u32) -> String {
    let end = if secure { "; Secure" } else { "" };
    format!("{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{end}", name_of_cookie(secure))
}

/// Whether a page asks for a document, whose browser would show a window of its own for a password if it were told to.
/// Over plain HTTP a browser says nothing of itself but its name.
pub fn is_of_a_page(request: &Request) -> bool {
    request.path.starts_with("/api/") && request.header("user-agent").starts_with("Mozilla/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let of = |name: &str| headers.iter().find(|(known, _)| known == name).map_or(String::new(), |(_, v)| v.clone());
        Request { host: of("host"), origin: of("origin"), headers: headers.clone(), ..Request::empty() }
    }

    #[test]
    fn only_what_the_house_answers_for_is_us() {
        let names = Names { names: vec!["router.example.org".into()], domains: vec!["lan".into(), "guest.lan".into()] };
        let meant = |host: &str| names.are_meant_by(&request(&[("host", host)]));
        for host in [
            "192.168.42.1",
            "192.168.42.1:80",
            "[fd00::1]",
            "[fe80::1%25eth0]:80",
            "weir",
            "WEIR.lan.",
            "a.guest.lan:80",
        ] {
            assert!(meant(host), "{host}");
        }
        assert!(meant("router.example.org"));
        for host in
            ["", ":80", "evil.example", "lan.evil.example", "evillan.example", "192.168.42.1.evil.example", "[]"]
        {
            assert!(!meant(host), "{host}");
        }
    }

    #[test]
    fn other_sites_pages_are_known_by_what_the_browser_says() {
        let ours = |headers: &[(&str, &str)]| is_of_our_page(&request(headers));
        assert!(ours(&[("host", "weir")]), "no browser");
        assert!(ours(&[("host", "weir"), ("origin", "http://weir"), ("sec-fetch-site", "same-origin")]));
        assert!(ours(&[("host", "weir"), ("sec-fetch-site", "none")]), "typed");
        for wrong in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(!ours(&[("host", "weir"), wrong]), "{wrong:?}");
        }
        let mut secure = request(&[("host", "weir"), ("origin", "https://weir")]);
        assert!(!is_of_our_page(&secure), "the page as others may have changed it is another one");
        secure.secure = true;
        assert!(is_of_our_page(&secure));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        assert_eq!(cookie(&request(&[("cookie", "a=b; weir=0123; c=d")])), "0123");
        assert_eq!(cookie(&request(&[("cookie", "xweir=1;weir")])), "");
        assert_eq!(cookie(&request(&[])), "");
        let mut both = request(&[("cookie", "weir=plain; __Host-weir=secure")]);
        assert_eq!(cookie(&both), "plain");
        both.secure = true;
        assert_eq!(cookie(&both), "secure");
        assert!(kept_cookie(true, "0", 1).ends_with("; Secure") && !kept_cookie(false, "0", 1).contains("Secure"));
    }
}
