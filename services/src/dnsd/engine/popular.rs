//! The names that are asked most, of those whose answers are remembered.
use super::cache::Cache;
use super::name;
use std::collections::HashMap;

/// The `most` names that were asked most, with how often, all their types together; the first the most.
pub fn popular(cache: &Cache, most: usize) -> Vec<(String, u64)> {
    let mut names: HashMap<&[u8], u64> = HashMap::new();
    for (key, given) in cache.given() {
        let Some(name) = name::measure(key).and_then(|(length, _)| key.get(..length)) else { continue };
        *names.entry(name).or_default() += u64::from(given);
    }
    let mut names: Vec<(&[u8], u64)> = names.into_iter().filter(|(_, given)| *given > 0).collect();
    names.sort_unstable_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
    names.truncate(most);
    names.into_iter().map(|(name, given)| (name::to_text(name), given)).collect()
}
