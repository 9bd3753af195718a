//! Where trust begins: the root's keys, built in or by a person's file.
use super::keys::{Ds, Key, is_known};
use crate::perm::json::Refusal;
use base64ct::{Base64, Encoding};
use std::path::Path;

/// The root's keys of 2017 and 2024 (IANA, root-anchors.xml); the second one signs since October 2026.
const BUILT_IN: &str = "\
. DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
";
/// More keys of the root are not believed.
const MOST: usize = 16;

/// The root's keys, as this program knows them.
pub fn built_in() -> Vec<Ds> {
    parse(Path::new("built in"), BUILT_IN.as_bytes()).unwrap_or_default()
}

/// The root's keys of a file: DS and DNSKEY records as zone files write them, and as unbound keeps them (RFC 5011): one
/// that it does not trust yet, or not any more, is passed over.
///
/// # Errors
/// Names file, line and what is wrong.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Ds>, Refusal> {
    let refuse = |line: usize, words: &str| Refusal::field(path, &format!("line {}", line + 1), words);
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::field(path, "the file", "is no text"))?;
    let (mut anchors, mut record, mut open) = (Vec::new(), String::new(), false);
    for (number, line) in text.lines().enumerate() {
        let (line, comment) = line.split_once(';').unwrap_or((line, ""));
        // Parentheses join lines.
        open = (open || line.contains('(')) && !line.contains(')');
        record.push_str(&line.replace(['(', ')'], " "));
        record.push(' ');
        if open {
            continue;
        }
        let words: Vec<&str> = record.split_whitespace().collect();
        // Valid, or missing for a while: the others wait, are revoked or removed.
        let state = comment.split_once("state=").and_then(|(_, rest)| rest.bytes().next());
        let is_trusted = state.is_none_or(|state| matches!(state, b'2' | b'3'));
        if !words.is_empty() && is_trusted {
            anchors.push(anchor(&words).map_err(|words| refuse(number, words))?);
        }
        record.clear();
    }
    if anchors.len() > MOST {
        return Err(Refusal::field(path, "the file", format!("{} keys are too many: {MOST} at most", anchors.len())));
    }
    if !anchors.iter().any(|anchor| is_known(anchor.algorithm)) {
        return Err(Refusal::field(path, "the file", "has no key of the root that can be used"));
    }
    Ok(anchors)
}

fn anchor(words: &[&str]) -> Result<Ds, &'static str> {
    let (owner, rest) = words.split_first().ok_or("is empty")?;
    if *owner != "." {
        return Err("is not of the root (\".\")");
    }
    let kind = rest.iter().position(|word| word.eq_ignore_ascii_case("DS") || word.eq_ignore_ascii_case("DNSKEY"));
    let (before, record) = rest.split_at(kind.ok_or("is neither DS nor DNSKEY")?);
    if !before.iter().all(|word| word.eq_ignore_ascii_case("IN") || word.parse::<u32>().is_ok()) {
        return Err("is neither DS nor DNSKEY");
    }
    let [kind, first, second, third, data @ ..] = record else { return Err("is cut off") };
    let data = data.concat();
    let byte = |text: &str| text.parse::<u8>().map_err(|_| "has no number below 256 where one belongs");
    let first: u16 = first.parse().map_err(|_| "has no number below 65536 behind its type")?;
    if kind.eq_ignore_ascii_case("DS") {
        let (algorithm, kind) = (byte(second)?, byte(third)?);
        let length = match kind {
            1 => 20,
            2 => 32,
            4 => 48,
            _ => return Err("has a digest of an unknown kind"),
        };
        let digest = hex(&data).filter(|digest| digest.len() == length).ok_or("has a digest that is none")?;
        return Ok(Ds { tag: first, algorithm, kind, digest: digest.into() });
    }
    let public = Base64::decode_vec(&data).map_err(|_| "has a key that is no base64")?;
    let [f0, f1] = first.to_be_bytes();
    let data = [&[f0, f1, byte(second)?, byte(third)?], public.as_slice()].concat();
    Key::of(&data).map(|key| key.ds(&[0])).ok_or("is no key of a zone, or revoked")
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    let (pairs, rest) = digits.as_ref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<(u16, u8)>, String> {
        let read = parse(Path::new("root.key"), text.as_bytes());
        let tags = |anchors: Vec<Ds>| anchors.iter().map(|anchor| (anchor.tag, anchor.kind)).collect();
        read.map(tags).map_err(|refusal| refusal.to_string())
    }

    // The root's key of 2024 as unbound writes it.
    const KSK_2024: &str = "AwEAAa96jeuknZlaeSrvyAJj6ZHv28hhOKkx3rLGXVaC6rXTsDc449/cidltpkyGwCJNnOAlFNKF2jBosZBU5eeHspaQWOmOElZsjICMQMC3aeHbGiShvZsx4wMYSjH8e7Vrhbu6irwCzVBApESjbUdpWWmEnhathWu1jo+siFUiRAAxm9qyJNg/wOZqqzL/dL/q8PkcRU5oUKEpUge71M3ej2/7CPqpdVwuMoTvoB+ZOT4YeGyxMvHmbrxlFzGOHOijtzN+u1TQNatX2XBuzZNQ1K+s2CXkPIZo7s6JgZyvaBevYtxPvYLw4z9mR7K2vaF18UYH9Z9GNUUeayffKC73PYc=";

    #[test]
    fn the_root_s_keys_are_built_in_and_their_sums_are_those_of_the_keys() {
        assert_eq!(built_in().iter().map(|anchor| anchor.tag).collect::<Vec<_>>(), [20_326, 38_696]);
        let read = parse(Path::new("x"), format!(". IN DNSKEY 257 3 8 {KSK_2024}").as_bytes()).unwrap();
        assert_eq!(read, built_in()[1..]);
    }

    #[test]
    fn files_of_unbound_and_bind_are_read() {
        let valid =
            format!("; autotrust\n.\t172800\tIN\tDNSKEY\t257 3 8 {KSK_2024} ;{{id = 38696}} ;;state=2 [ VALID ]\n");
        assert_eq!(of(&valid), Ok(vec![(38_696, 2)]));
        assert!(of(&valid.replace("state=2", "state=1")).unwrap_err().contains("no key of the root"));
        let (one, two) = KSK_2024.split_at(100);
        assert_eq!(of(&format!(". DNSKEY 257 3 8 (\n {one}\n {two} )\n\n")), Ok(vec![(38_696, 2)]));
        assert_eq!(of(&format!(". IN DS 1 13 4 {}", "aB".repeat(48))), Ok(vec![(1, 4)]));
    }

    #[test]
    fn refusals_name_the_line() {
        for (text, words) in [
            ("", "root.key: the file: has no key of the root"),
            ("\ncom. DS 1 8 2 00", "root.key: line 2: is not of the root"),
            (". A 192.0.2.1", "neither DS nor DNSKEY"),
            (". x DS 1 8 2 00", "neither DS nor DNSKEY"),
            (". DS 1 8", "is cut off"),
            (". DS 1 8 2 00", "has a digest that is none"),
            (". DS 1 8 9 00", "unknown kind"),
            (". DS 99999 8 2 00", "below 65536"),
            (". DS 1 999 2 00", "below 256"),
            (". DNSKEY 257 3 8 ==", "no base64"),
            (". DNSKEY 0 3 8 AwEAAa96", "no key of a zone"),
        ] {
            let refusal = of(text).unwrap_err();
            assert!(refusal.contains(words), "{text:?}: {refusal}");
        }
        assert!(parse(Path::new("x"), b"\xff").is_err());
    }
}
