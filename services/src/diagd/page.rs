//! What diagd shows: a page, router7's `/health.json` with more beside it, and its metric.
use super::engine::Verdict;
use super::engine::graph::{Node, State};
use super::engine::rules::{Level, RULES};
use crate::metrics::{Exposition, KIND};
use crate::web::Response;
use serde::Serialize;
use std::fmt::Write;

/// router7's port.
pub const PORT: u16 = 7733;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// `/`, for people.
    Graph,
    /// `/health.json`.
    Health,
    /// `/metrics`.
    Metrics,
}

impl Page {
    /// By its path.
    pub fn of(path: &str) -> Option<Page> {
        match path {
            "/" => Some(Page::Graph),
            "/health.json" => Some(Page::Health),
            "/metrics" => Some(Page::Metrics),
            _ => None,
        }
    }

    /// The page, of a verdict.
    pub fn show(self, verdict: &Verdict) -> Response {
        let (kind, body) = match self {
            Page::Graph => ("text/html; charset=utf-8", html(verdict).into_bytes()),
            Page::Health => ("application/json", json(verdict).into_bytes()),
            Page::Metrics => (KIND, metrics(verdict)),
        };
        Response { status: 200, kind, body }
    }
}

#[derive(Serialize)]
struct Health<'a> {
    first_error: &'a str,
    sentence: &'a str,
    level: &'static str,
    findings: Vec<Said<'a>>,
    checks: &'a Node,
}

#[derive(Serialize)]
struct Said<'a> {
    check: &'static str,
    level: &'static str,
    sentence: &'a str,
}

/// One line: router7's key, then the sentence and how it came about.
pub fn json(verdict: &Verdict) -> String {
    let said = verdict.findings.iter();
    let health = Health {
        first_error: &verdict.first_error,
        sentence: &verdict.sentence,
        level: verdict.level.word(),
        findings: said
            .map(|said| Said { check: said.rule, level: said.level.word(), sentence: &said.sentence })
            .collect(),
        checks: &verdict.graph,
    };
    let mut line = String::from_utf8_lossy(&crate::perm::json::write(&health)).into_owned();
    line.push('\n');
    line
}

fn html(verdict: &Verdict) -> String {
    let mut page = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>diagd</title></head><body>\n",
    );
    let _ = writeln!(page, "<p><strong>{}</strong></p>", escaped(&verdict.sentence));
    let others = verdict.findings.iter().filter(|finding| finding.sentence != verdict.sentence);
    for finding in others {
        let _ = writeln!(page, "<p>{}</p>", escaped(&finding.sentence));
    }
    page.push_str("<ul>\n");
    list(&verdict.graph, &mut page);
    page.push_str("</ul>\n</body></html>\n");
    page
}

fn list(node: &Node, page: &mut String) {
    let mark = match node.state {
        State::Ok => '\u{2714}',
        State::Failed => '\u{2718}',
        State::Skipped => '\u{2013}',
    };
    let _ = write!(page, "<li>{mark} {}: {}", escaped(&node.name), escaped(&node.status));
    if !node.children.is_empty() {
        page.push_str("\n<ul>\n");
        node.children.iter().for_each(|child| list(child, page));
        page.push_str("</ul>\n");
    }
    page.push_str("</li>\n");
}

// What a captive portal says is not to be believed here either.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn metrics(verdict: &Verdict) -> Vec<u8> {
    let mut page = Exposition::default();
    page.metric("diagd_healthy", "gauge", "Whether every check succeeded.");
    page.value("diagd_healthy", &[], u8::from(verdict.first_error.is_empty()));
    page.metric("weir_internet_works", "gauge", "Whether the internet works, as diagd judges it.");
    page.value("weir_internet_works", &[], u8::from(verdict.level < Level::Broken));
    page.metric(
        "weir_diagnosis",
        "gauge",
        "What diagd has found: 1 = to know, 2 = trouble, 3 = it is why the internet does not work.",
    );
    for (rule, _) in RULES {
        let level = verdict.findings.iter().find(|finding| finding.rule == *rule).map(|finding| finding.level);
        let value = level.map_or(0, |level| level as u8);
        page.value("weir_diagnosis", &[("check", rule)], value);
    }
    page.into_bytes()
}
