//! The page as it is first sent: everything that it shows at once is in it, so that it needs no script to be read and no
//! second request to be drawn. No I/O.
use super::packed::{Packed, Piece, gzip, plain};
use serde_json::Value;
use std::fmt::Write;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/app.js");
/// Begins and ends every text that is put between tags.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' height='32' rx='7' fill='%230b6b75'/%3E%3Cpath d='M5 12c4-4 7 4 11 0s7 4 11 0M5 20c4-4 7 4 11 0s7 4 11 0' fill='none' stroke='white' stroke-width='2.6' stroke-linecap='round'/%3E%3C/svg%3E";

/// The parts that stand.
#[derive(Debug)]
pub struct Parts {
    style: Packed,
    script: Packed,
}

/// Who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who<'a> {
    /// Somebody at home who has not said the password; with what was wrong with the last one.
    Stranger(Option<&'a str>),
    /// Nobody can log in: there is no password, and the hour in which one may be set here is over.
    Locked,
    /// Who may see and change everything.
    Owner {
        /// The word for changes.
        token: &'a str,
        /// The router has no password yet.
        sets_up: bool,
    },
}

/// What is shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Who looks.
    pub who: Who<'a>,
    /// The health document for strangers, the status for owners.
    pub status: &'a Value,
    /// The devices, for owners.
    pub devices: &'a Value,
    /// Random, of this page alone: only what carries it is run.
    pub nonce: &'a str,
}

/// The page and the headers that belong to it.
#[derive(Debug)]
pub struct Page {
    /// The text, in gzip or plain.
    pub body: Vec<u8>,
    /// `Content-Security-Policy`.
    pub policy: String,
}

impl Parts {
    /// Compresses them, once.
    pub fn new() -> Parts {
        Parts { style: Packed::new(STYLE), script: Packed::new(SCRIPT) }
    }

    /// The page.
    pub fn page(&self, shown: Shown<'_>, zipped: bool) -> Page {
        let nonce = shown.nonce;
        let is_owner = matches!(shown.who, Who::Owner { .. });
        let head = head(nonce);
        let body = body(shown);
        let script = format!("<script nonce=\"{nonce}\">\n");
        let mut pieces = vec![Piece::New(&head), Piece::Standing(&self.style), Piece::New(&body)];
        if is_owner {
            pieces.extend([Piece::New(&script), Piece::Standing(&self.script), Piece::New("</script>\n")]);
        }
        pieces.push(Piece::New("</body>\n</html>\n"));
        let policy = format!(
            "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
             img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        Page { body: if zipped { gzip(&pieces) } else { plain(&pieces) }, policy }
    }
}

fn head(nonce: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>weir</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"{ICON}\">\n<style nonce=\"{nonce}\">\n"
    )
}

fn body(shown: Shown<'_>) -> String {
    let mut page = String::from("</style>\n</head>\n");
    let _ = match shown.who {
        Who::Owner { token, sets_up } => writeln!(
            page,
            "<body data-token=\"{}\" data-setup=\"{sets_up}\">\n<a class=\"skip\" href=\"#main\">Skip to the content</a>\n\
             <header class=\"top\"><div class=\"bar\"><a class=\"brand\" href=\"#overview\">{MARK}weir</a>\
             <nav id=\"nav\" aria-label=\"Sections\"></nav></div></header>\n<div id=\"trial\" role=\"status\"></div>",
            escaped(token)
        ),
        _ => writeln!(
            page,
            "<body>\n<header class=\"top\"><div class=\"bar\"><span class=\"brand\">{MARK}weir</span></div></header>"
        ),
    };
    page.push_str("<main id=\"main\" tabindex=\"-1\">\n");
    match shown.who {
        Who::Owner { token, .. } => {
            overview(&mut page, shown.status, shown.devices);
            let _ = writeln!(
                page,
                "<noscript><p class=\"hint\">This is the status as it was when the page was loaded. With JavaScript it goes on by \
                 itself, and things can be changed here.</p><form method=\"post\" action=\"/logout\"><input type=\"hidden\" \
                 name=\"token\" value=\"{}\"><button>Log out</button></form></noscript>",
                escaped(token)
            );
        }
        Who::Stranger(wrong) => {
            headline(&mut page, shown.status);
            log_in(&mut page, wrong);
        }
        Who::Locked => {
            headline(&mut page, shown.status);
            page.push_str(
                "<section class=\"card narrow\"><h2>There is no password yet</h2><p>In the first hour after the router has been \
                 switched on, this page sets one. That hour is over: switch the router off and on again and open this page, or \
                 type <code>password</code> at its console.</p></section>\n",
            );
        }
    }
    page.push_str("</main>\n<div id=\"say\" class=\"say\" role=\"status\" aria-live=\"polite\"></div>\n");
    if matches!(shown.who, Who::Owner { .. }) {
        let first = serde_json::json!({"status": shown.status, "devices": shown.devices}).to_string();
        // Nothing in it may end the element.
        let _ =
            writeln!(page, "<script type=\"application/json\" id=\"first\">{}</script>", first.replace('<', "\\u003c"));
    }
    page
}

const MARK: &str = "<svg class=\"mark\" viewBox=\"0 0 32 32\" aria-hidden=\"true\"><rect width=\"32\" height=\"32\" rx=\"7\"/>\
<path d=\"M5 12c4-4 7 4 11 0s7 4 11 0M5 20c4-4 7 4 11 0s7 4 11 0\"/></svg>";

fn log_in(page: &mut String, wrong: Option<&str>) {
    page.push_str("<section class=\"card narrow\" aria-labelledby=\"h-login\"><h2 id=\"h-login\">Log in</h2>\n");
    page.push_str(
        "<form method=\"post\" action=\"/login\"><input type=\"hidden\" name=\"username\" autocomplete=\"username\" value=\"gokrazy\">\
         <label for=\"password\">The router’s password</label><input id=\"password\" name=\"password\" type=\"password\" \
         autocomplete=\"current-password\" required autofocus",
    );
    match wrong {
        Some(why) => {
            let _ = write!(
                page,
                " aria-invalid=\"true\" aria-describedby=\"wrong\"><p id=\"wrong\" class=\"wrong\" role=\"alert\">{}</p>",
                escaped(why)
            );
        }
        None => page.push('>'),
    }
    page.push_str("<button class=\"main\">Log in</button></form></section>\n");
}

/// diagd's sentence, large.
fn headline(page: &mut String, status: &Value) {
    let internet = if status["internet"].is_object() { &status["internet"] } else { status };
    let level = internet["level"].as_str().unwrap_or("unknown");
    let (class, word) = match level {
        "fine" => ("fine", "Online"),
        "note" => ("fine", "Online, with something to know"),
        "trouble" => ("trouble", "Online, with trouble"),
        "broken" => ("broken", "Offline"),
        _ => ("unknown", "Not known"),
    };
    let sentence = internet["sentence"].as_str().unwrap_or_default();
    let _ = writeln!(
        page,
        "<div class=\"hero {class}\" id=\"hero\"><p class=\"state\"><span class=\"dot\" aria-hidden=\"true\"></span>{word}</p>\
         <h1>{}</h1></div>",
        escaped(sentence)
    );
}

fn overview(page: &mut String, status: &Value, devices: &Value) {
    page.push_str("<section id=\"overview\" aria-label=\"Overview\">\n");
    headline(page, status);
    let wan = &status["wan"];
    page.push_str("<div id=\"rest\"><div class=\"grid\">\n<section class=\"card\"><h2>Internet</h2><dl>");
    let row = |page: &mut String, name: &str, value: &str| {
        let _ = write!(page, "<dt>{name}</dt><dd>{}</dd>", if value.is_empty() { "–".into() } else { escaped(value) });
    };
    row(page, "Address", &list(&wan["addresses"]));
    row(page, "Gateway", wan["gateway"].as_str().unwrap_or_default());
    row(page, "Name servers", &list(&wan["dns"]));
    page.push_str("</dl></section>\n<section class=\"card\"><h2>This router</h2><dl>");
    let router = &status["router"];
    row(page, "Name", router["name"].as_str().unwrap_or_default());
    row(page, "Version", router["version"].as_str().unwrap_or_default());
    row(page, "Up for", &format!("{} min", router["uptime_ms"].as_u64().unwrap_or_default() / 60_000));
    page.push_str("</dl></section></div>\n<section class=\"card\"><h2>Devices</h2><table><thead><tr><th scope=\"col\">Name</th><th scope=\"col\">Address</th><th scope=\"col\">Hardware address</th></tr></thead><tbody>");
    for device in devices["devices"].as_array().into_iter().flatten() {
        let name = device["name"].as_str().filter(|name| !name.is_empty()).unwrap_or("no name");
        let mac = device["hardware_addr"].as_str().unwrap_or_default();
        let _ = write!(
            page,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>",
            escaped(name),
            escaped(&list(&device["ipv4"])),
            escaped(mac)
        );
    }
    page.push_str("</tbody></table></section>\n<section class=\"card\"><h2>Services</h2><table><thead><tr><th scope=\"col\">Service</th><th scope=\"col\">State</th></tr></thead><tbody>");
    for service in status["services"].as_array().into_iter().flatten() {
        let text = |key: &str| escaped(service[key].as_str().unwrap_or_default());
        let _ = write!(page, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", text("name"), text("state"));
    }
    page.push_str("</tbody></table></section></div>\n</section>\n");
}

fn list(values: &Value) -> String {
    let texts = values.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.collect::<Vec<_>>().join(", ")
}

// What a device calls itself is a stranger's word.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn page(who: Who<'_>) -> Page {
        let status = json!({"internet": {"level": "fine", "sentence": "The <internet> works."}, "services": [],
            "wan": {"addresses": ["203.0.113.50/24"]}});
        let devices = json!({"devices": [{"name": "</script><b>", "hardware_addr": "a", "ipv4": []}]});
        Parts::new().page(Shown { who, status: &status, devices: &devices, nonce: "abc" }, false)
    }

    #[test]
    fn no_word_of_a_stranger_becomes_part_of_the_page() {
        let page = page(Who::Owner { token: "t", sets_up: false });
        let text = String::from_utf8(page.body).unwrap();
        assert!(text.contains("The &lt;internet&gt; works.") && text.contains("&lt;/script&gt;&lt;b&gt;"));
        assert!(!text.contains("</script><b>"), "in the data either");
        assert!(text.contains("203.0.113.50/24") && text.contains("data-token=\"t\""));
        assert!(page.policy.contains("default-src 'none'; style-src 'nonce-abc'; script-src 'nonce-abc'"));
        // Every script and style that may run carries the nonce; nothing comes from elsewhere.
        let scripts = text.matches("<script").count();
        assert_eq!(
            text.matches("<script nonce=\"abc\">").count() + text.matches("<script type=\"application/json\"").count(),
            scripts
        );
        assert!(!text.contains("http://") || !text.contains("src=\"http"));
        assert!(!text.contains(" style=\"") && !text.contains(" onclick="), "the policy would refuse it");
    }

    #[test]
    fn a_stranger_sees_whether_it_works_and_how_to_get_in() {
        let text = String::from_utf8(page(Who::Stranger(Some("it is <wrong>"))).body).unwrap();
        assert!(text.contains("works.") && text.contains("action=\"/login\"") && text.contains("it is &lt;wrong&gt;"));
        assert!(!text.contains("203.0.113.50") && !text.contains("<script"), "and nothing else");
        let text = String::from_utf8(page(Who::Locked).body).unwrap();
        assert!(text.contains("no password yet") && !text.contains("<form"));
    }

    #[test]
    fn the_first_view_is_small() {
        let status = json!({"internet": {}});
        let shown = Shown {
            who: Who::Owner { token: "t", sets_up: false },
            status: &status,
            devices: &json!({}),
            nonce: "abc",
        };
        let length = Parts::new().page(shown, true).body.len();
        println!("the page without data: {length} bytes in gzip");
        assert!(length < 40_000, "{length} bytes: with data it would not be there in two round trips");
    }
}
