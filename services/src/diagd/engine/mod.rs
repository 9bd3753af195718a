//! What is made of a round: pure, `(now, facts) -> verdict`. It remembers what no single round shows: how often carrier was
//! lost, what was damaged since the last round, and since when something has been wrong.
pub mod facts;
pub mod graph;
pub mod round;
pub mod rules;
pub mod tools;
pub mod words;

use super::config::Portal;
use crate::perm::WallTime;
use facts::Facts;
use graph::Node;
use jiff::tz::TimeZone;
use netstack::time::Instant;
use round::{Page, Way};
use rules::{Case, FLAPPING, Level, RULES, SINCE};
use std::collections::{BTreeMap, VecDeque};

/// Changes of carrier that are remembered.
const MOST_CHANGES: usize = 32;

/// Something that a rule has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name.
    pub rule: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What it says.
    pub sentence: String,
}

/// What all of it amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How bad it is.
    pub level: Level,
    /// The one sentence that names the culprit.
    pub sentence: String,
    /// router7's: the first check that failed; empty when none did.
    pub first_error: String,
    /// Everything that the rules have said, in the order of cause.
    pub findings: Vec<Finding>,
    /// The graph of checks.
    pub graph: Node,
}

/// What is remembered from round to round.
#[derive(Debug, Default)]
pub struct Engine {
    /// When the uplink's carrier had changed how often.
    changes: VecDeque<(Instant, u32)>,
    /// Of each port: packets and damaged packets.
    counts: BTreeMap<String, (u64, u64)>,
    /// Of each rule that speaks: since when.
    since: BTreeMap<&'static str, WallTime>,
    said: String,
}

impl Engine {
    /// The kernel's count of the uplink's changes of carrier; says whether it is another than before. It may begin again:
    /// another interface has the name now.
    pub fn carrier(&mut self, now: Instant, count: u32) -> bool {
        let last = self.changes.back().map(|(_, count)| *count);
        if last.is_some_and(|last| last > count) {
            self.changes.clear();
        }
        if last != Some(count) {
            self.changes.push_back((now, count));
        }
        // What was before the window is needed once, to count from.
        while self.changes.get(1).is_some_and(|(at, _)| now - *at > FLAPPING) || self.changes.len() > MOST_CHANGES {
            self.changes.pop_front();
        }
        last != Some(count)
    }

    fn losses(&self) -> u32 {
        let (Some(first), Some(last)) = (self.changes.front(), self.changes.back()) else { return 0 };
        // Of a pair, one is the loss.
        (last.1 - first.1).div_ceil(2)
    }

    /// Judges a round.
    pub fn judge(&mut self, now: Instant, wall: WallTime, zone: &TimeZone, facts: &Facts) -> Verdict {
        if let Some(uplink) = &facts.local.uplink {
            self.carrier(now, uplink.carrier_changes);
        }
        let mut damaged = Vec::new();
        let mut counts = BTreeMap::new();
        for port in &facts.local.ports {
            if let Some((packets, errors)) = self.counts.get(&port.name) {
                let since = |now: u64, before: u64| now.saturating_sub(before);
                damaged.push((port.name.clone(), since(port.errors, *errors), since(port.packets, *packets)));
            }
            counts.insert(port.name.clone(), (port.packets, port.errors));
        }
        self.counts = counts;
        let case = Case { facts, wall, zone, losses: self.losses(), damaged };
        let said = RULES.iter().filter_map(|(rule, says)| says(&case).map(|(level, words)| (*rule, level, words)));
        let mut findings = Vec::new();
        let mut since = BTreeMap::new();
        for (rule, level, words) in said {
            let begun = self.since.get(rule).copied().unwrap_or(wall);
            since.insert(rule, begun);
            let sentence = words.replace(SINCE, &words::since(zone, begun, wall));
            findings.push(Finding { rule, level, sentence });
        }
        self.since = since;
        let graph = graph::graph(&case);
        let level = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Fine);
        let worst = findings.iter().find(|finding| finding.level == level);
        let broken = worst.filter(|_| level == Level::Broken);
        let first_error =
            graph.first_error().or(broken.map(|finding| format!("{}: {}", finding.rule, finding.sentence)));
        let sentence = worst.map_or_else(|| fine(facts), |finding| finding.sentence.clone());
        Verdict { level, sentence, first_error: first_error.unwrap_or_default(), findings, graph }
    }

    /// Whether a sentence is another than the last one: then it is to be logged.
    pub fn is_news(&mut self, sentence: &str) -> bool {
        let news = self.said != sentence;
        if news {
            sentence.clone_into(&mut self.said);
        }
        news
    }
}

fn fine(facts: &Facts) -> String {
    let (ipv4, ipv6) = (facts.beyond4(), facts.beyond6());
    let how = match (ipv4, ipv6, facts.local.expects_ipv6(), facts.local.wants_ipv6) {
        (_, true, ..) if !ipv4 && !facts.site(Way::V4) => "over IPv6",
        (_, true, ..) => "over IPv4 and IPv6",
        (true, false, false, None) => "over IPv4; the provider offers no IPv6",
        (true, false, ..) => "over IPv4",
        (false, false, ..) => return "Nobody on the internet was to be asked: config.json names none.".to_owned(),
    };
    format!("The internet works {how}.")
}

impl Portal {
    /// Whether a page is the one that is expected.
    pub fn is(&self, page: &Page) -> bool {
        if self.answer.is_empty() {
            return page.status == 204 || (page.status == 200 && page.text.is_empty());
        }
        page.status == 200 && page.text.trim_start().starts_with(self.answer.as_str())
    }
}
