//! `/perm/blocklists.json`: lists of names that are not to be answered, for whom and when, as a person writes it; and its
//! checked form. An entry that is refused is left out by itself.
use super::entries::{Device, Wrong, each, is_host_name, located};
use super::file;
use super::json::{self, Refusal, or_zero};
use super::place::Place;
use super::schedule::Schedule;
use crate::blocklist::{MOST_LISTS, OWN_NAME};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

/// Letters of a list's name, and of its address.
const NAME: usize = 40;
const URL: usize = 1_000;
/// Names of a person's own, of either kind.
const MOST_NAMES: usize = 1_000;
/// Whom an entry names.
const MOST_WHOM: usize = 64;
/// Hours between two looks at a list.
const HOURS: std::ops::RangeInclusive<u32> = 1..=720;
const EVERY: u32 = 24;

/// How a blocked name is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// With 0.0.0.0 and ::, and of other types nothing.
    #[default]
    Zero,
    /// There is no such name.
    NxDomain,
    /// This is not answered.
    Refused,
}

/// Some at home, at some times: what is written must all be so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whom {
    /// A device, by its name or hardware address.
    pub device: Option<Device>,
    /// A LAN, by its interface.
    pub lan: Option<String>,
    /// A network.
    pub net: Option<IpNet>,
    /// Some hours.
    pub schedule: Option<Schedule>,
}

/// A list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// Where it is: `https://...`.
    pub url: Url,
    /// Hours between two looks at it.
    pub hours: u32,
    /// How its names are answered.
    pub answer: Answer,
    /// For whom it holds; empty = for everybody.
    pub whom: Vec<Whom>,
}

/// The file, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blocklists {
    /// The lists.
    pub lists: Vec<List>,
    /// Names that are blocked with all below them, in lower case.
    pub block: Vec<String>,
    /// Names that are never blocked, nor what is below them.
    pub allow: Vec<String>,
    /// How a person's own names are answered.
    pub answer: Answer,
    /// For whom nothing is blocked.
    pub exempt: Vec<Whom>,
    /// Entries that are left out, and why.
    pub refused: Vec<Refusal>,
}

/// An address of HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// As it is written.
    pub text: String,
    /// Whom to ask.
    pub place: Place,
    /// For what.
    pub path: String,
}

impl Url {
    /// Understands an address.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Url, String> {
        let wrong = |words: &str| format!("{text:?} {words}");
        if text.len() > URL || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong(&format!("is no address: 1 to {URL} letters of ASCII without spaces")));
        }
        let scheme = text.get(..8).filter(|scheme| scheme.eq_ignore_ascii_case("https://"));
        let rest = scheme.and_then(|scheme| text.get(scheme.len()..));
        let rest = rest.ok_or_else(|| wrong("does not begin with https://"))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let place = Place::parse(host, 443).ok_or_else(|| wrong("names no host"))?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Url { text: text.to_owned(), place, path })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    #[serde(deserialize_with = "or_zero")]
    lists: Vec<Value>,
    #[serde(deserialize_with = "or_zero")]
    block: Vec<String>,
    #[serde(deserialize_with = "or_zero")]
    allow: Vec<String>,
    #[serde(deserialize_with = "or_zero")]
    answer: Answer,
    #[serde(deserialize_with = "or_zero")]
    exempt: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    url: String,
    #[serde(default)]
    hours: Option<u32>,
    #[serde(default, deserialize_with = "or_zero")]
    answer: Answer,
    #[serde(default, deserialize_with = "or_zero", rename = "for")]
    whom: Vec<WrittenWhom>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenWhom {
    #[serde(deserialize_with = "or_zero")]
    device: String,
    #[serde(deserialize_with = "or_zero")]
    lan: String,
    #[serde(deserialize_with = "or_zero")]
    address: String,
    #[serde(deserialize_with = "or_zero")]
    schedule: Option<Schedule>,
}

impl Blocklists {
    /// Reads the file that is in force under a root; none when there is none.
    ///
    /// # Errors
    /// Names file, line, field and value.
    pub fn read(root: &Path) -> Result<Blocklists, Refusal> {
        let path = file::in_force(root, rights::BLOCKLISTS);
        let bytes = file::read(&path).map_err(|error| Refusal::field(&path, "the file", error))?;
        bytes.map_or_else(|| Ok(Blocklists::default()), |bytes| Blocklists::parse(&path, &bytes))
    }

    /// What the file's bytes say.
    ///
    /// # Errors
    /// When they are not of this form, or a name of a person's own is none; a wrong entry is no error.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Blocklists, Refusal> {
        let written: Written = json::parse(path, bytes)?;
        let refuse = |(field, words): (String, String)| Refusal::field(path, &field, words).at(bytes);
        let block = names("block", &written.block).map_err(refuse)?;
        let allow = names("allow", &written.allow).map_err(refuse)?;
        let (mut refused, mut known) = (Vec::new(), BTreeSet::new());
        let lists = each(path, "lists", written.lists, &mut refused, |_, entry: &Entry| {
            let list = list(entry)?;
            // One place is a person's own names'.
            if known.len() + 1 >= MOST_LISTS {
                return Err(("name", format!("is that of more than {} lists", MOST_LISTS - 1)));
            }
            if !known.insert(list.name.clone()) {
                return Err(("name", format!("{:?} is the name of an earlier list, too", list.name)));
            }
            Ok(vec![list])
        });
        let exempt =
            each(path, "exempt", written.exempt, &mut refused, |_, entry: &WrittenWhom| Ok(vec![whom(entry)?]));
        let answer = written.answer;
        Ok(Blocklists { lists, block, allow, answer, exempt, refused: located(refused, bytes) })
    }

    /// Whether nothing is to be blocked.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.block.is_empty()
    }

    /// Everybody whom it names.
    fn whom(&self) -> impl Iterator<Item = &Whom> {
        self.lists.iter().flat_map(|list| &list.whom).chain(&self.exempt)
    }

    /// Whether any entry holds only at times.
    pub fn has_schedules(&self) -> bool {
        self.whom().any(|whom| whom.schedule.is_some())
    }

    /// Whether it matters who asks by more than the address.
    pub fn names_devices(&self) -> bool {
        self.whom().any(|whom| whom.device.is_some() || whom.lan.is_some())
    }
}

fn list(entry: &Entry) -> Result<List, Wrong> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let name = &entry.name;
    if name.is_empty() || name.len() > NAME || !name.bytes().all(letter) || name == OWN_NAME {
        let words = format!(
            "{name:?} is not 1 to {NAME} letters a to z, digits, - and _, by which it is counted ({OWN_NAME} are your own names)"
        );
        return Err(("name", words));
    }
    let url = Url::parse(&entry.url).map_err(|words| ("url", words))?;
    let hours = entry.hours.unwrap_or(EVERY);
    if !HOURS.contains(&hours) {
        return Err(("hours", format!("{hours} is not {} to {} hours", HOURS.start(), HOURS.end())));
    }
    if entry.whom.len() > MOST_WHOM {
        return Err(("for", format!("{} are too many: {MOST_WHOM} at most", entry.whom.len())));
    }
    let whom = entry.whom.iter().map(whom).collect::<Result<_, Wrong>>().map_err(|(field, words)| match field {
        "device" => ("for", format!("device: {words}")),
        "address" => ("for", format!("address: {words}")),
        _ => ("for", words),
    })?;
    Ok(List { name: name.clone(), url, hours, answer: entry.answer, whom })
}

fn whom(entry: &WrittenWhom) -> Result<Whom, Wrong> {
    let net = match entry.address.as_str() {
        "" => None,
        text => {
            let alone = text.parse::<IpAddr>().map(IpNet::from);
            let net = alone.or_else(|_| text.parse::<IpNet>());
            let words = || format!("{text:?} is neither an address nor a network such as 192.168.42.64/26");
            Some(net.map(|net| net.trunc()).map_err(|_| ("address", words()))?)
        }
    };
    let device = Some(&entry.device).filter(|text| !text.is_empty()).map(|text| Device::named(text));
    let lan = Some(entry.lan.clone()).filter(|lan| !lan.is_empty());
    if device.is_none() && lan.is_none() && net.is_none() && entry.schedule.is_none() {
        return Err(("device", "lan, address, schedule: at least one of them".into()));
    }
    Ok(Whom { device, lan, net, schedule: entry.schedule })
}

fn names(field: &str, texts: &[String]) -> Result<Vec<String>, (String, String)> {
    if texts.len() > MOST_NAMES {
        return Err((field.to_owned(), format!("{} are too many: {MOST_NAMES} at most", texts.len())));
    }
    let one = |(at, text): (usize, &String)| {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if is_host_name(&name) {
            return Ok(name);
        }
        Err((
            format!("{field}[{at}]"),
            format!("{text:?} is no name such as ads.example (it means what is below it, too)"),
        ))
    };
    texts.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Blocklists {
        Blocklists::parse(Path::new("blocklists.json"), text.as_bytes()).unwrap()
    }

    #[test]
    fn reads_a_file() {
        let file = of(r#"{"lists":[{"name":"ads","url":"https://Lists.example/a?b=1#c"},
            {"name":"social","url":"https://[2001:db8::1]:8443","hours":6,"answer":"nxdomain",
             "for":[{"device":"tablet","schedule":{"days":"mon-fri","from":"07:00","to":"16:00"}},{"lan":"guest"},
                    {"address":"192.168.42.64/26"}]}],
            "block":["Bad.Example."],"allow":["good.example"],"answer":"refused","exempt":[{"device":"02:00:5e:10:00:07"}]}"#);
        assert_eq!(file.refused, []);
        let [ads, social] = file.lists.as_slice() else { panic!("{file:?}") };
        assert_eq!(
            (ads.url.path.as_str(), ads.url.place.port, ads.hours, ads.answer),
            ("/a?b=1", 443, 24, Answer::Zero)
        );
        assert_eq!((social.url.path.as_str(), social.url.place.port, social.hours), ("/", 8443, 6));
        assert_eq!((social.whom.len(), &social.whom[1].lan), (3, &Some("guest".into())));
        assert_eq!(file.exempt[0].device, Some(Device::Hardware("02:00:5e:10:00:07".parse().unwrap())));
        assert_eq!(
            (file.block, file.allow, file.answer),
            (vec!["bad.example".into()], vec!["good.example".into()], Answer::Refused)
        );
        assert!(of("{}").is_empty() && !of(r#"{"block":["a.example"]}"#).is_empty());
    }

    #[test]
    fn a_wrong_entry_is_named_and_left_out() {
        let good = r#"{"lists":[{"name":"a","url":"https://a.example/"},"#;
        for (entry, words) in [
            (r#"{"name":"b"}"#, "lists[1]: missing field `url`"),
            (r#"{"name":"b c","url":"https://a.example/"}"#, r#"lists[1].name: "b c" is not 1 to 40 letters"#),
            (r#"{"name":"own","url":"https://a.example/"}"#, r#"lists[1].name: "own" is not"#),
            (r#"{"name":"a","url":"https://a.example/"}"#, r#"lists[1].name: "a" is the name of an earlier list"#),
            (
                r#"{"name":"b","url":"http://a.example/"}"#,
                r#"lists[1].url: "http://a.example/" does not begin with https"#,
            ),
            (r#"{"name":"b","url":"https://a b/"}"#, "is no address"),
            (r#"{"name":"b","url":"https://me:pw@a.example/"}"#, "names no host"),
            (r#"{"name":"b","url":"https:///x"}"#, "names no host"),
            (r#"{"name":"b","url":"https://a.example/","hours":0}"#, "lists[1].hours: 0 is not 1 to 720 hours"),
            (r#"{"name":"b","url":"https://a.example/","answer":"drop"}"#, "lists[1].answer: unknown variant `drop`"),
            (r#"{"name":"b","url":"https://a.example/","for":[{}]}"#, "lists[1].for: device: lan, address, schedule"),
            (
                r#"{"name":"b","url":"https://a.example/","for":[{"address":"x"}]}"#,
                r#"lists[1].for: address: "x" is neither"#,
            ),
            (r#"{"name":"b","url":"https://a.example/","for":[{"dev":"x"}]}"#, "unknown field `dev`"),
        ] {
            let file = of(&format!("{good}\n{entry}]}}"));
            assert_eq!(file.lists.len(), 1, "the other one holds");
            let said = file.refused[0].to_string();
            assert!(said.starts_with("blocklists.json:2:") && said.contains(words), "{said}");
        }
        let parse = |text: &str| Blocklists::parse(Path::new("b.json"), text.as_bytes()).unwrap_err().to_string();
        assert!(parse(r#"{"block":["*.x"]}"#).contains("b.json:1:11: block[0]: \"*.x\" is no name"));
        assert!(parse(r#"{"list":[]}"#).contains("unknown field `list`"));
        let many: Vec<String> = (0..32).map(|n| format!(r#"{{"name":"l{n}","url":"https://a.example/"}}"#)).collect();
        let many = of(&format!(r#"{{"lists":[{}]}}"#, many.join(",")));
        assert_eq!((many.lists.len(), many.refused.len()), (31, 1));
    }
}
