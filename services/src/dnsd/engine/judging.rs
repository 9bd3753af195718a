//! Where the engine and the validator meet: what is judged, what is asked for it, and what is given in the end.
use super::answer::Note;
use super::cache::Use;
use super::forward::{Outcome, Question, Settled};
use super::query::Query;
use super::stored::Stored;
use super::validate::{self, Rules, Step, Validator, Verdict};
use super::{CHAIN, CHECKED, Engine, PATIENCE};
use domain::base::iana::{Class, Rtype};
use netstack::time::Instant;

/// Bogus names that are remembered for the log.
const MOST_TOLD: usize = 4;

impl Engine {
    /// Follows the rules; what was judged by others is forgotten.
    pub(super) fn judge_by(&mut self, now: Instant, rules: Option<&Rules>) {
        match (&mut self.validator, rules) {
            (None, None) => return,
            (Some(validator), Some(rules)) => {
                if validator.follow(now, rules) {
                    return;
                }
                *validator = Validator::new(now, rules);
            }
            (validator, rules) => *validator = rules.map(|rules| Validator::new(now, rules)),
        }
        self.cache.forget(|key| key.last().is_some_and(|flags| flags & CHECKED != 0));
        self.forward.judge_again(now, &mut self.actions);
    }

    /// Whether the answer to a question is judged; `name` is lower-case.
    pub(super) fn judges(&self, query: &Query<'_>, name: &[u8]) -> bool {
        !query.unchecked && self.validator.as_ref().is_some_and(|validator| validator.judges(name))
    }

    /// Names whose answers are bogus, and why, for the log.
    pub fn take_bogus(&mut self) -> Option<(Box<[u8]>, Note)> {
        self.bogus.pop()
    }

    /// The validator, for who shows it.
    pub fn validator(&self) -> Option<&Validator> {
        self.validator.as_ref()
    }

    /// Takes out of what has settled what the validator has to see first; what is left goes to who waits for it.
    pub(super) fn judge(&mut self, now: Instant, settled: Option<Settled>) -> Option<Settled> {
        let settled = settled?;
        let flags = settled.key.last().copied().unwrap_or_default();
        if flags & CHAIN != 0 {
            let message = match &settled.outcome {
                Outcome::Answer(stored, _) => Some(stored.message()),
                _ => None,
            };
            let (name, rtype) = validate::question(&settled.key);
            let ready = self.validator.as_mut().map(|validator| validator.learn(now, name, rtype, message));
            for hash in ready.unwrap_or_default() {
                let judged = self.go_on(now, hash);
                self.deliver(now, judged);
            }
            return None;
        }
        if flags & CHECKED == 0 {
            return Some(settled);
        }
        let Settled { key, hash, waiters, outcome } = settled;
        match outcome {
            Outcome::Unjudged(stored, life) => {
                let begun = self.validator.as_mut().is_some_and(|validator| validator.begin(hash, stored, life));
                if begun {
                    return self.go_on(now, hash);
                }
                self.forward.judged(now, hash, Outcome::Nothing, &mut self.actions)
            }
            // It took too long, or there was no answer to be judged.
            outcome => {
                if let Some(validator) = &mut self.validator {
                    validator.forget(hash);
                }
                Some(Settled { key, hash, waiters, outcome })
            }
        }
    }

    // Judges as far as is known, and asks for the rest.
    fn go_on(&mut self, now: Instant, hash: u64) -> Option<Settled> {
        match self.validator.as_mut()?.step(now, hash) {
            Step::Ask(need) => {
                let (name, rtype) = need.question();
                if self.ask_chain(now, name, rtype) {
                    return None;
                }
                if let Some(validator) = &mut self.validator {
                    validator.forget(hash);
                }
                self.forward.judged(now, hash, Outcome::Nothing, &mut self.actions)
            }
            Step::Done(stored, life, verdict) => self.done(now, hash, stored, life, verdict),
            Step::Nothing => None,
        }
    }

    fn ask_chain(&mut self, now: Instant, name: &[u8], rtype: Rtype) -> bool {
        let [a, b] = rtype.to_int().to_be_bytes();
        let [c, d] = Class::IN.to_int().to_be_bytes();
        let key = [name, &[a, b, c, d, CHAIN]].concat();
        let hash = self.cache.hash(&key);
        let question = Question { key: &key, hash, guarded: false, group: 0, patience: PATIENCE };
        self.forward.query(now, None, &question, &mut self.actions)
    }

    fn done(&mut self, now: Instant, hash: u64, stored: Stored, life: u32, verdict: Verdict) -> Option<Settled> {
        if let Verdict::Bogus(_) = verdict
            && self.forward.doubt(now, hash, &mut self.actions)
        {
            self.counters.doubted += 1;
            if let Some(validator) = &mut self.validator {
                validator.doubt(validate::question(stored.key()).0);
            }
            self.forward.keep_doubted(hash, stored, life);
            return None;
        }
        match verdict {
            Verdict::Secure => self.counters.secure += 1,
            Verdict::Insecure(_) => self.counters.insecure += 1,
            Verdict::Bogus(note) => {
                self.counters.bogus += 1;
                self.bogus.truncate(MOST_TOLD - 1);
                let key = stored.key();
                self.bogus.push((key.get(..key.len().saturating_sub(5)).unwrap_or_default().into(), note));
            }
        }
        let settled = self.forward.judged(now, hash, Outcome::Answer(stored, life), &mut self.actions)?;
        if !matches!(verdict, Verdict::Bogus(_)) || !settled.waiters.is_empty() {
            return Some(settled);
        }
        // Nobody waited: what was good before stays so until it has run out.
        match self.cache.get(now, hash, &settled.key) {
            Some((_, Use::Fresh(_) | Use::Ending(_), _)) => None,
            _ => Some(settled),
        }
    }
}
