//! The status page on port 8067, with router7's addresses, tables and colours, and the form that gives a device a name.
use super::engine::table::Record;
use super::engine::{Cursor, Engine, host_label};
use super::snapshot::lease;
use crate::house::random::Random;
use crate::perm::leases::Lease;
use crate::perm::{Mac, WallTime, json};
use crate::web::{Answer, Request, Response};
use netstack::time::Instant;
use std::collections::HashMap;
use std::fmt::Write;

/// router7's port.
pub const PORT: u16 = 8067;
/// Rows of a table, at most.
const MOST_ROWS: usize = 5_000;
/// `X-Lease-Active` is true while more than two thirds of a lease are left (router7's rule), in nanoseconds.
const ACTIVE: i64 = 800_000_000_000;
const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "body{font-family:sans-serif;margin:1em}table{border-collapse:collapse;margin-bottom:2em}\
td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left}form{margin:0}\
.active{background:#5cb85c}.expired{background:#d9534f}.override{background:#f0ad4e}\
.badge{color:#fff;border-radius:.3em;padding:.1em .4em;margin-left:.4em}";

/// The word without which nobody may give names: it stands in the page, which other sites cannot read.
#[derive(Debug)]
pub struct Token(String);

impl Token {
    /// A new one.
    pub fn new() -> Token {
        let mut bytes = [0; 16];
        let read =
            std::fs::File::open("/dev/urandom").and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
        if read.is_err() {
            let mut random = Random::from_kernel();
            bytes.chunks_mut(4).for_each(|four| four.copy_from_slice(&random.next_u32().to_ne_bytes()));
        }
        Token(bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }
}

/// A device and the name that it is given.
pub type Named = (Mac, String);

/// What the form says.
///
/// # Errors
/// The answer to a form that is not taken.
pub fn form(request: &Request, token: &Token) -> Result<Named, Response> {
    if request.method != "POST" {
        return Err(Response::text(405, "only POST\n"));
    }
    let refused = |words: &str| Response::text(400, format!("{words}\n"));
    let fields: HashMap<String, String> = fields(&request.body);
    let of = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    if of("token") != token.0 || !request.is_for_us() {
        return Err(Response::text(403, "this form is not of this page: load it again\n"));
    }
    let (mac, name) = (of("hardwareaddr"), of("hostname").trim());
    if mac.is_empty() || name.is_empty() {
        return Err(refused("hardwareaddr and hostname are wanted"));
    }
    let mac: Mac = mac.parse().map_err(|words: String| refused(&words))?;
    let name = host_label(name.as_bytes())
        .ok_or_else(|| refused("hostname: only letters, digits and inner hyphens, 63 at most"))?;
    Ok((mac, name))
}

// application/x-www-form-urlencoded.
fn fields(body: &[u8]) -> HashMap<String, String> {
    let text = |part: &[u8]| {
        let (mut bytes, mut rest) = (Vec::new(), part);
        while let [first, tail @ ..] = rest {
            let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
            let byte = digits.filter(|_| *first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
            bytes.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
            rest = if byte.is_some() { &tail[2..] } else { tail };
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pair = |part: &[u8]| {
        let at = part.iter().position(|byte| *byte == b'=')?;
        Some((text(&part[..at]), text(&part[at + 1..])))
    };
    body.split(|byte| *byte == b'&').filter_map(pair).collect()
}

/// The record of a name, `None` when nobody has it.
pub fn lease_of(name: &str, engine: &Engine, now: Instant, wall_at_zero: WallTime) -> Option<Answer> {
    let mut found: Option<(Lease, bool)> = None;
    engine.walk(&mut Cursor::default(), usize::MAX, |number, address, record| {
        if found.is_none() && *record.hostname == *name {
            let end = record.expiry.unwrap_or(i64::MIN);
            let active = end > super::engine::table::stamp(now).saturating_add(ACTIVE);
            found = Some((lease(number, address, record, wall_at_zero), active));
        }
    });
    let (lease, active) = found?;
    let response = Response { status: 200, kind: "application/json", body: json::write(&lease) };
    Some(Answer::from(response).header("X-Lease-Active", &active.to_string()))
}

/// The page. `vendors` knows who made what.
pub fn status(
    engine: &Engine,
    now: Instant,
    wall_at_zero: WallTime,
    token: &Token,
    vendors: &HashMap<Mac, String>,
) -> Response {
    let mut rows: Vec<(i64, std::net::Ipv4Addr, &Record)> = Vec::new();
    engine.walk_all(|number, address, record| rows.push((number, address, record)));
    let (mut fixed, mut others): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|(_, _, record)| record.expiry.is_none());
    fixed.sort_by_key(|(number, address, _)| (*number, *address));
    others.sort_by_key(|(_, _, record)| std::cmp::Reverse(record.expiry));
    let mut text = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><title>DHCPv4 status</title><style>{STYLE}</style></head><body>\
         <h1>DHCPv4 status</h1>"
    );
    for (title, rows) in [("Static Leases", fixed), ("Dynamic Leases", others)] {
        let _ = write!(
            text,
            "<h2>{title}</h2><table><tr><th>IP address</th><th>Hostname</th><th>MAC address</th><th>Vendor</th>\
             <th>Last ACK</th></tr>"
        );
        for (_, address, record) in rows.iter().take(MOST_ROWS) {
            row(&mut text, *address, record, now, wall_at_zero, token, vendors);
        }
        text.push_str("</table>");
        if rows.len() > MOST_ROWS {
            let _ = write!(text, "<p>and {} more</p>", rows.len() - MOST_ROWS);
        }
    }
    let six: Vec<_> = engine.six.entries().collect();
    if !six.is_empty() {
        text.push_str("<h2>DHCPv6</h2><table><tr><th>IP addresses</th><th>LAN</th><th>DUID</th><th>Until</th></tr>");
        for given in &six {
            let addresses: Vec<String> = engine.six.addresses(now, given).iter().map(ToString::to_string).collect();
            let until = wall_at_zero.shifted(given.expiry).to_string();
            let _ = write!(
                text,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                addresses.join("<br>"),
                escaped(&given.client.lan),
                super::six::hex(&given.client.duid),
                until.get(..16).unwrap_or_default().replace('T', " "),
            );
        }
        text.push_str("</table>");
    }
    text.push_str("</body></html>\n");
    Response { status: 200, kind: HTML, body: text.into_bytes() }
}

fn row(
    text: &mut String,
    address: std::net::Ipv4Addr,
    record: &Record,
    now: Instant,
    wall_at_zero: WallTime,
    token: &Token,
    vendors: &HashMap<Mac, String>,
) {
    let mac = record.client.mac;
    let badge = |class: &str, text: &str| format!("<span class=\"badge {class}\">{text}</span>");
    let given = if record.name_override.is_empty() { String::new() } else { badge("override", "!") };
    let recent = super::engine::table::stamp(now).saturating_sub(record.last_ack) < 1_200_000_000_000;
    let state = match (record.expired(now), recent) {
        (true, _) => badge("expired", "expired"),
        (false, true) => badge("active", "active"),
        (false, false) => String::new(),
    };
    let last = wall_at_zero.shifted(record.last_ack).to_string();
    let last = last.get(..16).unwrap_or_default().replace('T', " ");
    let _ = write!(
        text,
        "<tr><td>{address}</td><td><form action=\"/sethostname\" method=\"post\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\"><input type=\"hidden\" name=\"hardwareaddr\" value=\"{mac}\">\
         <input type=\"text\" name=\"hostname\" value=\"{}\">{given}</form></td><td>{mac}</td><td>{}</td>\
         <td>{last}{state}</td></tr>",
        token.0,
        escaped(&record.hostname),
        escaped(vendors.get(&mac).map(String::as_str).unwrap_or_default()),
    );
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(body: &str) -> Request {
        Request { method: "POST".into(), host: "192.168.42.1:8067".into(), body: body.into(), ..Request::empty() }
    }

    #[test]
    fn only_the_pages_own_form_is_taken() {
        let token = Token("secret".into());
        let good = "token=secret&hardwareaddr=02%3a00:00:00:00:01&hostname=+study+";
        assert_eq!(form(&post(good), &token).unwrap(), (Mac([2, 0, 0, 0, 0, 1]), "study".into()));
        let status = |request: &Request| form(request, &token).unwrap_err().status;
        assert_eq!(status(&post("token=guess&hardwareaddr=02:00:00:00:00:01&hostname=a")), 403);
        assert_eq!(status(&Request { host: "evil.example".into(), ..post(good) }), 403, "another site's name for us");
        assert_eq!(status(&Request { method: "GET".into(), ..post(good) }), 405);
        assert_eq!(status(&post("token=secret&hostname=a")), 400);
        assert_eq!(status(&post("token=secret&hardwareaddr=7&hostname=a")), 400);
        assert_eq!(status(&post("token=secret&hardwareaddr=02:00:00:00:00:01&hostname=a%20b")), 400);
        assert_ne!(Token::new().0, Token::new().0);
        assert_eq!(escaped("<a href=\"&\">"), "&lt;a href=&quot;&amp;&quot;&gt;");
    }
}
