//! Whom to ask: groups of upstreams, and what becomes of questions in flight when they change.
use super::super::upstream::Upstream;
use super::super::{ASIDE, Action, name};
use super::{Forward, Group, MOST_UPSTREAMS, attempt};
use netstack::time::Instant;

impl Forward {
    /// Sets whom to ask; the first group is for everything. When they are others than before, all that is in flight is
    /// asked again at once.
    pub fn set_groups(&mut self, now: Instant, groups: &[Group], actions: &mut Vec<Action>) -> bool {
        if self.groups.iter().map(|(group, _)| group).eq(groups) {
            return false;
        }
        let mut known = std::mem::take(&mut self.upstreams);
        self.doubted = 0;
        self.groups.clear();
        for group in groups {
            let mut members = Vec::new();
            for server in &group.servers {
                let at = self.upstreams.iter().position(|upstream| upstream.server == *server);
                let at = at.or_else(|| {
                    let at = known.iter().position(|upstream| upstream.server == *server);
                    let upstream = at.map_or_else(|| Upstream::new(server.clone()), |at| known.swap_remove(at));
                    self.upstreams.push(upstream);
                    Some(self.upstreams.len() - 1)
                });
                members.extend(at.filter(|at| *at < MOST_UPSTREAMS).map(|at| at as u8));
            }
            self.upstreams.truncate(MOST_UPSTREAMS);
            self.groups.push((group.clone(), members));
        }
        self.ask_again(now, actions, false);
        true
    }

    /// The way to all of them is another one now: everything in flight is asked again at once.
    pub fn rewire(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.upstreams.iter_mut().for_each(Upstream::forget);
        self.ask_again(now, actions, false);
    }

    /// What is being judged is judged by others from now on, who want to see it from the beginning.
    pub fn judge_again(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.ask_again(now, actions, true);
    }

    fn ask_again(&mut self, now: Instant, actions: &mut Vec<Action>, only_held: bool) {
        for at in 0..self.flights.len() {
            let Some(Some(flight)) = self.flights.get_mut(at) else { continue };
            if only_held && !flight.held {
                continue;
            }
            for live in flight.live.iter_mut().filter_map(Option::take) {
                actions.push(Action::Close(attempt(at, &live)));
            }
            (flight.tried, flight.failed, flight.asked, flight.round) = (0, 0, 0, 0);
            (flight.plain, flight.held, flight.start) = (false, false, now);
            (flight.doubts, flight.doubted) = (0, None);
            flight.group = match flight.key.last() {
                Some(flags) if flags & ASIDE != 0 => aside(&self.groups).unwrap_or_default(),
                _ => {
                    let name = flight.key.get(..flight.key.len().saturating_sub(5)).unwrap_or_default();
                    group_of(&self.groups, name)
                }
            };
            self.begin(now, at, actions);
        }
    }

    /// The group that a name (wire form, lower-case) belongs to; 0 is everything.
    pub fn group(&self, name: &[u8]) -> u8 {
        if self.groups.len() <= 1 { 0 } else { group_of(&self.groups, name) }
    }

    /// The group that is asked for the addresses of servers.
    pub fn aside(&self) -> Option<u8> {
        aside(&self.groups)
    }

    /// Whether anybody of a group replies, as far as is known.
    pub fn is_alive(&self, group: u8) -> bool {
        self.members(group).iter().any(|at| self.upstreams.get(usize::from(*at)).is_some_and(Upstream::is_alive))
    }

    /// Whether somebody who was dead has replied since this was asked last.
    pub fn take_revived(&mut self) -> bool {
        std::mem::take(&mut self.revived)
    }

    /// The upstreams, for who shows them.
    pub fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// Questions in flight.
    pub fn in_flight(&self) -> usize {
        self.index.len()
    }
}

// Of the domains around a name the longest one's.
fn group_of(groups: &[(Group, Vec<u8>)], name: &[u8]) -> u8 {
    let around = groups.iter().enumerate().skip(1);
    let around = around.filter(|(_, (group, _))| !group.aside && name::is_below(name, &group.domain));
    around.max_by_key(|(_, (group, _))| group.domain.len()).map_or(0, |(at, _)| at as u8)
}

fn aside(groups: &[(Group, Vec<u8>)]) -> Option<u8> {
    groups.iter().position(|(group, _)| group.aside).map(|at| at as u8)
}
