//! Who has the page open, and who waits for what the services say.
use super::history::{Look, rtt};
use super::html::Parts;
use super::look::{self, Facts};
use super::route::View;
use super::serve::{Visitor, json, sealed};
use super::snapshot::{FRESH, Looking, Said};
use super::{Webd, html, secrets, sessions, view};
use crate::web::{Answer, Response};
use netstack::event::{Loop, Token};
use netstack::time::Instant;
use serde_json::{Value, json};

/// Pages that are kept up to date at a time.
const MOST: usize = 40;
/// Looks at the line between two at the services, while somebody has a page open.
const EVERY: u64 = 5;

/// What somebody waits for.
#[derive(Debug)]
pub enum Want {
    /// The page, for whom, compressed or not.
    Page(Visitor, bool),
    /// A document.
    View(View),
    /// Whether the internet works.
    Health,
    /// gokrazy's overview.
    Overview,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Viewers {
    open: Vec<Token>,
    waiting: Vec<(Token, Want)>,
    said: Option<(Instant, Said)>,
    turn: u64,
}

impl Webd {
    /// Answers as soon as the services have said how they are.
    pub(super) fn want(&mut self, turn: &Loop, now: Instant, token: Token, want: Want) {
        let fresh = self.viewers.said.as_ref().is_some_and(|(at, _)| now.since(*at) <= FRESH);
        self.viewers.waiting.push((token, want));
        if fresh {
            return self.serve_waiting(turn, now);
        }
        self.ask_all(turn, now);
    }

    /// Something was changed: what the services have said before it does not count any more.
    pub(super) fn outdated(&mut self, turn: &Loop, now: Instant) {
        if let Some((at, _)) = &mut self.viewers.said {
            // It is still the best there is for who cannot wait.
            *at = Instant::default();
        }
        if self.looking.take().is_some() {
            self.ask_all(turn, now);
        }
    }

    fn ask_all(&mut self, turn: &Loop, now: Instant) {
        if self.looking.is_none() {
            self.looking = Some(Looking::begin(&self.house, turn, now));
        }
    }

    /// A look is over, or its time is.
    pub(super) fn looked(&mut self, turn: &Loop, now: Instant) {
        let over = |looking: &mut Looking| looking.is_whole() || looking.deadline <= now;
        let Some(looking) = self.looking.take_if(over) else { return };
        self.viewers.said = Some((now, looking.said()));
        self.serve_waiting(turn, now);
        if !self.viewers.open.is_empty() {
            let status = self.document(View::Status);
            self.say_all(turn, now, &format!("event: status\ndata: {status}\n\n"));
        }
    }

    fn serve_waiting(&mut self, turn: &Loop, now: Instant) {
        for (token, want) in std::mem::take(&mut self.viewers.waiting) {
            let answer = match want {
                Want::View(view) => json(200, &self.document(view)),
                Want::Health => json(200, &view::health(self.said())),
                Want::Overview => {
                    let facts = self.facts();
                    json(200, &view::overview(&facts, self.said(), &look::built()))
                }
                Want::Page(visitor, zipped) => self.page(&visitor, zipped),
            };
            self.web.answer(turn, now, token, answer);
        }
    }

    fn said(&self) -> &Said {
        static NOTHING: Said = Said::nothing();
        self.viewers.said.as_ref().map_or(&NOTHING, |(_, said)| said)
    }

    fn facts(&mut self) -> Facts {
        let gateway = self.sampler.gateway();
        Facts::read(&self.house, self.sampler.netlink(), gateway)
    }

    fn document(&mut self, view: View) -> Value {
        if view == View::Dns {
            return view::dns(self.said());
        }
        let facts = self.facts();
        match view {
            View::Devices => view::devices(&facts, self.said()),
            _ => view::status(&facts, self.said(), self.history.now()),
        }
    }

    fn page(&mut self, visitor: &Visitor, zipped: bool) -> Answer {
        let (status, devices) = match visitor {
            Visitor::Owner { .. } => {
                let facts = self.facts();
                let said = self.said();
                (view::status(&facts, said, self.history.now()), view::devices(&facts, said))
            }
            _ => (view::health(self.said()), Value::Null),
        };
        let nonce = secrets::random::<16>().map(|bytes| sessions::hex(&bytes)).unwrap_or_default();
        let who = match visitor {
            Visitor::Owner { token, sets_up, .. } => html::Who::Owner { token, sets_up: *sets_up },
            Visitor::Stranger(wrong) => html::Who::Stranger(wrong.as_deref()),
            Visitor::Locked => html::Who::Locked,
        };
        let shown = html::Shown { who, status: &status, devices: &devices, nonce: &nonce };
        let page = self.parts.get_or_insert_with(Parts::new).page(shown, zipped);
        let code = if matches!(visitor, Visitor::Stranger(Some(_))) { 401 } else { 200 };
        let response = Response { status: code, kind: "text/html; charset=utf-8", body: page.body };
        let mut answer =
            sealed(response).header("Content-Security-Policy", &page.policy).header("Vary", "Accept-Encoding");
        if zipped {
            answer = answer.header("Content-Encoding", "gzip");
        }
        match visitor {
            Visitor::Owner { cookie: Some(cookie), .. } => answer.header("Set-Cookie", cookie),
            _ => answer,
        }
    }

    /// Keeps a page up to date from now on.
    pub(super) fn view(&mut self, turn: &Loop, now: Instant, token: Token) {
        self.viewers.open.retain(|open| self.web.is_open(*open));
        if self.viewers.open.len() >= MOST {
            let words = format!("{MOST} pages are open already: close one");
            return self.web.answer(turn, now, token, json(503, &json!({"error": words})));
        }
        self.web.live(turn, now, token, "text/event-stream");
        self.viewers.open.push(token);
    }

    /// The line was looked at.
    pub(super) fn sampled(&mut self, turn: &Loop, now: Instant, look: Look) {
        if self.viewers.open.is_empty() {
            return;
        }
        let look = json!({"received": look.received, "sent": look.sent, "rtt_ms": rtt(look.rtt)});
        self.say_all(turn, now, &format!("event: look\ndata: {look}\n\n"));
        self.viewers.turn += 1;
        if self.viewers.turn.is_multiple_of(EVERY) {
            self.ask_all(turn, now);
        }
    }

    fn say_all(&mut self, turn: &Loop, now: Instant, text: &str) {
        let Webd { viewers, web, .. } = self;
        viewers.open.retain(|open| web.push(turn, now, *open, text.as_bytes()));
    }
}
