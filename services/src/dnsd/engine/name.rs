//! Names in wire form without compression, as they stand in a question: a label's length, its bytes, ... , zero.

/// The longest name, its final zero included (RFC 1035 3.1).
pub const LONGEST: usize = 255;
/// More labels than this do not fit into a name; the root is not counted.
const MOST_LABELS: usize = 127;

/// The length of the name that `bytes` starts with, its final zero included, and how many labels it has.
/// `None` when it is cut off, too long, or compressed, which a question has no reason to be.
pub fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    let (mut at, mut labels) = (0, 0);
    loop {
        let length = usize::from(*bytes.get(at)?);
        if length > 63 || at + length >= LONGEST {
            return None;
        }
        at += length + 1;
        if length == 0 {
            return Some((at, labels));
        }
        labels += 1;
    }
}

/// Where each label of a measured name starts.
#[derive(Debug)]
pub struct Labels<'a> {
    name: &'a [u8],
    starts: [u8; MOST_LABELS],
    count: usize,
}

impl<'a> Labels<'a> {
    /// Finds them; the root has none.
    pub fn of(name: &'a [u8]) -> Labels<'a> {
        let mut labels = Labels { name, starts: [0; MOST_LABELS], count: 0 };
        let mut at = 0;
        while let Some(&length) = name.get(at)
            && length > 0
            && labels.count < MOST_LABELS
        {
            labels.starts[labels.count] = at as u8;
            labels.count += 1;
            at += usize::from(length) + 1;
        }
        labels
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The bytes of a label, counted from the right: 0 is the top-level domain.
    pub fn right(&self, nth: usize) -> Option<&'a [u8]> {
        let start = self.start(nth)?;
        let length = usize::from(*self.name.get(start)?);
        self.name.get(start + 1..start + 1 + length)
    }

    /// The bytes of the first label.
    pub fn leftmost(&self) -> Option<&'a [u8]> {
        self.right(self.count.checked_sub(1)?)
    }

    /// Where the name that has just the `count` rightmost labels starts within this one.
    pub fn suffix(&self, count: usize) -> usize {
        count.checked_sub(1).and_then(|nth| self.start(nth)).unwrap_or(self.name.len().saturating_sub(1))
    }

    fn start(&self, nth: usize) -> Option<usize> {
        let index = self.count.checked_sub(nth + 1)?;
        self.starts.get(index).map(|start| usize::from(*start))
    }
}

/// Whether a name is `domain` or below it, byte by byte.
pub fn is_below(name: &[u8], domain: &[u8]) -> bool {
    let mut at = 0;
    while let Some(rest) = name.get(at..)
        && rest.len() >= domain.len()
    {
        if rest == domain {
            return true;
        }
        at += 1 + rest.first().copied().map_or(usize::MAX >> 1, usize::from);
    }
    false
}

/// The wire form, in lower case, of a name as it is written, with or without a dot at its end; `None` when it is none.
pub fn from_text(text: &str) -> Option<Box<[u8]>> {
    let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    from_labels(&text.split('.').map(str::as_bytes).collect::<Vec<_>>())
}

/// A name as it is written, with its final dot; what is no letter, digit, '-' or '_' as `\\DDD` (RFC 4343 2.1).
pub fn to_text(name: &[u8]) -> String {
    let labels = Labels::of(name);
    let mut text = String::new();
    for nth in (0..labels.count()).rev() {
        for byte in labels.right(nth).unwrap_or_default() {
            match byte {
                b'-' | b'_' => text.push(char::from(*byte)),
                byte if byte.is_ascii_alphanumeric() => text.push(char::from(*byte)),
                byte => text.push_str(&format!("\\{byte:03}")),
            }
        }
        text.push('.');
    }
    if text.is_empty() { ".".to_owned() } else { text }
}

/// The wire form of `labels`, joined; `None` when a label is empty or over 63 bytes, or all are too long.
pub fn from_labels(labels: &[&[u8]]) -> Option<Box<[u8]>> {
    let mut name = Vec::with_capacity(LONGEST);
    for label in labels {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        name.push(length);
        name.extend_from_slice(label);
    }
    name.push(0);
    (name.len() <= LONGEST).then(|| name.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_and_finds_labels() {
        let name = b"\x03www\x07example\x03Com\x00rest";
        assert_eq!(measure(name), Some((17, 3)));
        let labels = Labels::of(&name[..17]);
        assert_eq!(labels.count(), 3);
        assert_eq!(labels.right(0), Some(&b"Com"[..]));
        assert_eq!(labels.right(2), Some(&b"www"[..]));
        assert_eq!(labels.right(3), None);
        assert_eq!((labels.suffix(0), labels.suffix(1), labels.suffix(3)), (16, 12, 0));
        assert_eq!(measure(b"\x00"), Some((1, 0)));
        assert_eq!(Labels::of(b"\x00").suffix(0), 0);
    }

    #[test]
    fn refuses_what_is_no_name() {
        for wrong in [&b""[..], b"\x01", b"\x03ab\x00", b"\xc0\x0c", b"\x40", b"\x01a"] {
            assert_eq!(measure(wrong), None, "{wrong:?}");
        }
        let mut long = Vec::new();
        for _ in 0..127 {
            long.extend_from_slice(b"\x01a");
        }
        long.push(0);
        assert_eq!(measure(&long), Some((255, 127)));
        assert_eq!(Labels::of(&long).count(), 127);
        long.insert(0, 0x01);
        long.insert(1, b'b');
        assert_eq!(measure(&long), None);
    }

    #[test]
    fn below_is_below_at_a_label() {
        let name = from_text("www.Example.com.").unwrap();
        for (domain, want) in [
            ("com", true),
            ("example.com", true),
            ("www.example.com", true),
            ("ample.com", false),
            ("a.www.example.com", false),
            ("org", false),
        ] {
            assert_eq!(is_below(&name, &from_text(domain).unwrap()), want, "{domain}");
        }
        assert!(is_below(&name, b"\0"));
        assert_eq!(to_text(b"\x03w.w\x01a\0"), "w\\046w.a.");
        assert_eq!((to_text(&name), to_text(b"\0")), ("www.example.com.".into(), ".".into()));
        assert!(from_text("").is_none() && from_text("a..b").is_none());
    }

    #[test]
    fn joins_labels() {
        assert_eq!(from_labels(&[b"xps", b"lan"]).as_deref(), Some(&b"\x03xps\x03lan\x00"[..]));
        assert_eq!(from_labels(&[b"", b"lan"]), None);
        assert_eq!(from_labels(&[&[b'a'; 64]]), None);
        assert_eq!(from_labels(&[&[b'a'; 63][..]; 4]), None);
    }
}
