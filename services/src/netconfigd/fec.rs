//! Forward error correction of the cards of which interfaces.json says something; nobody else's driver is asked.
use super::engine::Found;
use crate::perm::interfaces::Interfaces;
use netstack::ethtool::{self, Fec};

/// What a word of the file means; `None` for none.
fn wish(word: &str) -> Option<Fec> {
    let modes = match word {
        "" => return None,
        "auto" => Vec::new(),
        "none" | "off" => vec!["None".to_owned()],
        code => vec![code.to_ascii_uppercase()],
    };
    Some(Fec { modes, auto: word == "auto" })
}

/// Makes each card's codes what the file says: what was done, and what was refused, in words.
pub fn follow(wanted: &Interfaces, found: &Found) -> (Vec<String>, Vec<String>) {
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    let of = |name: &str| found.links.iter().find(|link| link.name == name).map(|link| link.index);
    let wishes = wanted.interfaces.iter().filter_map(|entry| Some((entry, of(&entry.name)?, wish(&entry.fec)?)));
    let wishes: Vec<_> = wishes.collect();
    if wishes.is_empty() {
        return (done, refused);
    }
    let known = ethtool::fec().unwrap_or_default();
    for (entry, index, wish) in wishes {
        let same = |now: &Fec| now.auto == wish.auto && (wish.auto || now.modes == wish.modes);
        if known.get(&index).is_some_and(same) {
            continue;
        }
        match ethtool::set_fec(index, &wish) {
            Ok(()) => done.push(format!("{}: forward error correction {}", entry.name, entry.fec)),
            Err(error) => refused.push(format!("{}: fec {:?}: {}", entry.name, entry.fec, error.errno.desc())),
        }
    }
    (done, refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_file_are_the_kernels_names() {
        for (word, modes, auto) in
            [("rs", &["RS"][..], false), ("baser", &["BASER"], false), ("off", &["None"], false), ("auto", &[], true)]
        {
            let fec = wish(word).unwrap();
            assert_eq!((fec.modes.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), fec.auto), (modes, auto));
        }
        assert_eq!(wish(""), None);
    }
}
