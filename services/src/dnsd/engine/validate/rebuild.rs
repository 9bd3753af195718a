//! An answer as clients get it after it was judged: only what was proven, no longer than its signatures hold, and the
//! records of DNSSEC only for who wants them (RFC 4035 3.2.1, 3.2.3).
use super::super::query::HEADER;
use super::judge::Verdict;
use super::records::{Parsed, Record, Section, expand, write_name};
use domain::base::ParsedName;
use domain::base::iana::Rtype;
use domain::dep::octseq::Parser;

/// A pointer reaches no further.
const REACH: usize = 0x3fff;
/// Names that others may point to.
const MOST_NAMES: usize = 64;

/// Writes the message anew, without its additional section; `None` when it has become too long.
pub fn rebuild(
    message: &[u8],
    parsed: &Parsed,
    verdict: Verdict,
    holds: &[Option<u32>],
    asked: Rtype,
    dnssec_ok: bool,
) -> Option<Vec<u8>> {
    let (length, _) = super::super::name::measure(message.get(HEADER..)?)?;
    let mut out = message.get(..HEADER + length + 4)?.to_vec();
    let mut names = vec![(message.get(HEADER..HEADER + length)?.to_ascii_lowercase(), HEADER)];
    let mut counts = [0u16; 2];
    for record in &parsed.records {
        let hold = record.set.and_then(|set| holds.get(set).copied().flatten());
        let is_proof = matches!(record.rtype, Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3);
        let wanted = dnssec_ok || !is_proof || record.rtype == asked || asked == Rtype::ANY;
        let kept = verdict != Verdict::Secure || hold.is_some();
        if !wanted || !kept {
            continue;
        }
        write(&mut out, &mut names, message, record, hold.unwrap_or(u32::MAX))?;
        counts[usize::from(record.section == Section::Authority)] += 1;
    }
    let [answers, authorities] = counts.map(u16::to_be_bytes);
    out.get_mut(6..12)?.copy_from_slice(&[answers[0], answers[1], authorities[0], authorities[1], 0, 0]);
    let flags = out.get_mut(3)?;
    *flags = *flags & 0xf0 | parsed.rcode.to_int() & 0xf;
    (out.len() <= usize::from(u16::MAX)).then_some(out)
}

type Names = Vec<(Vec<u8>, usize)>;

fn write(out: &mut Vec<u8>, names: &mut Names, message: &[u8], record: &Record, hold: u32) -> Option<()> {
    let (owner, data, length) = record.place;
    let mut parser = Parser::from_ref(message);
    parser.seek(owner).ok()?;
    let mut name = Vec::new();
    write_name(&mut name, &ParsedName::parse_ref(&mut parser).ok()?, false);
    let lower = name.to_ascii_lowercase();
    match names.iter().find(|(known, _)| *known == lower) {
        // Below 0x4000.
        Some((_, at)) => out.extend_from_slice(&(0xc000 | *at as u16).to_be_bytes()),
        None => {
            remember(names, lower, out.len());
            out.extend_from_slice(&name);
        }
    }
    out.extend_from_slice(&record.rtype.to_int().to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out.extend_from_slice(&record.ttl.min(hold).to_be_bytes());
    let data = expand(message, data, length, record.rtype, false)?;
    out.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
    if record.rtype == Rtype::CNAME {
        // The next owner, most likely.
        remember(names, data.to_ascii_lowercase(), out.len());
    }
    out.extend_from_slice(&data);
    Some(())
}

fn remember(names: &mut Names, name: Vec<u8>, at: usize) {
    if at <= REACH && names.len() < MOST_NAMES && name.len() > 1 {
        names.push((name, at));
    }
}
