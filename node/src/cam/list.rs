//! The services one module is told of: paced, each for itself, watched until it is clear (EN 50221 §8.4.3.4, R206-001).
//!
//! Pure, with monotonic milliseconds as an argument. What a module was told is never rewritten for a neighbour's sake: after
//! the first list, services are added, updated and given back one by one with [`Management::Add`] and
//! [`Management::Update`], at most one message in each spacing. A service that does not come clear is asked about, then told
//! again with growing pauses; whether a reset may help is said by [`ServiceList::hopeless`], and decided by the shell,
//! which knows the neighbours.

use super::ca_pmt::{Command, Management, Programme, ServiceKey, Verdict};

/// How a module is paced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pacing {
    /// From its announcement to the first list, so that the list is whole and the module awake, milliseconds.
    pub settle_ms: u64,
    /// Between two messages about services, milliseconds.
    pub spacing_ms: u64,
    /// A service is in trouble when it is not clear so long after the module was told, milliseconds.
    pub clear_within_ms: u64,
    /// Services at a time.
    pub services_max: usize,
}

impl Default for Pacing {
    fn default() -> Self {
        Self { settle_ms: 3_000, spacing_ms: 2_000, clear_within_ms: 10_000, services_max: 8 }
    }
}

/// A service is told again at least this often while it is scrambled.
const RETRY_MS_MAX: u64 = 120_000;
/// Attempts after which a reset is worth a thought.
const ATTEMPTS_BEFORE_RESET: u32 = 3;

/// How a service comes out of the card.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum View {
    /// No packets of it.
    #[default]
    Quiet,
    /// Clear.
    Clear,
    /// Scrambled.
    Scrambled,
}

impl View {
    /// The word as it is reported.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Clear => "clear",
            Self::Scrambled => "scrambled",
        }
    }
}

/// A service on the way to the module, on its list, or on the way off it.
#[derive(Debug)]
struct Line {
    programme: Programme,
    /// As the module knows it.
    told: Option<Programme>,
    /// No longer wanted, and the module does not know yet.
    leaving: bool,
    view: View,
    view_ms: u64,
    told_ms: u64,
    /// Times it was told again in vain.
    attempts: u32,
    verdict: Option<Verdict>,
    /// The module was asked about it, and is told again next.
    asked: bool,
}

/// A service as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub key: ServiceKey,
    /// Its name.
    pub label: String,
    /// CA systems it is announced with.
    pub systems: Vec<u16>,
    /// The module knows of it.
    pub selected: bool,
    /// How it comes out.
    pub view: View,
    /// Since when, monotonic milliseconds.
    pub since_ms: u64,
    /// Why it is not clear; empty when it is, or when it is too early to say.
    pub trouble: String,
}

/// The list of one module.
#[derive(Debug)]
pub struct ServiceList {
    pacing: Pacing,
    lines: Vec<Line>,
    systems: Vec<u16>,
    /// When the first list may go; none while the module takes none.
    ready_ms: Option<u64>,
    sent_ms: Option<u64>,
    sent: u64,
}

impl ServiceList {
    /// An empty list.
    #[must_use]
    pub fn new(pacing: Pacing) -> Self {
        Self { pacing, lines: vec![], systems: vec![], ready_ms: None, sent_ms: None, sent: 0 }
    }

    /// The module takes lists for these CA systems.
    pub fn ready(&mut self, systems: Vec<u16>, now_ms: u64) {
        self.systems = systems;
        self.ready_ms.get_or_insert(now_ms + self.pacing.settle_ms);
    }

    /// The module is gone or was reset: it knows of nothing.
    pub fn lost(&mut self, now_ms: u64) {
        (self.ready_ms, self.sent_ms) = (None, None);
        self.lines.retain(|line| !line.leaving);
        for line in &mut self.lines {
            (line.told, line.attempts, line.verdict, line.asked) = (None, 0, None, false);
            line.told_ms = now_ms;
        }
    }

    /// These services are wanted from now on, in their newest versions; others are given back.
    pub fn set(&mut self, wanted: &[Programme], now_ms: u64) {
        for line in &mut self.lines {
            line.leaving = wanted.iter().all(|one| one.key != line.programme.key);
        }
        self.lines.retain(|line| !line.leaving || line.told.is_some());
        for programme in wanted {
            match self.lines.iter_mut().find(|line| line.programme.key == programme.key) {
                Some(line) if line.programme == *programme => {}
                Some(line) => line.programme = programme.clone(),
                None => self.lines.push(Line {
                    programme: programme.clone(),
                    told: None,
                    leaving: false,
                    view: View::Quiet,
                    view_ms: now_ms,
                    told_ms: now_ms,
                    attempts: 0,
                    verdict: None,
                    asked: false,
                }),
            }
        }
    }

    /// How a service comes out now.
    pub fn see(&mut self, key: &ServiceKey, view: View, now_ms: u64) {
        let Some(line) = self.lines.iter_mut().find(|line| line.programme.key == *key) else { return };
        if line.view != view {
            (line.view, line.view_ms) = (view, now_ms);
        }
        if view == View::Clear {
            (line.attempts, line.verdict, line.asked) = (0, None, false);
        }
    }

    /// What the module said of a service.
    pub fn said(&mut self, service: u16, verdict: Verdict) {
        let line = self.lines.iter_mut().find(|line| line.programme.key.service.0 == service && line.told.is_some());
        if let Some(line) = line.filter(|line| line.view != View::Clear) {
            line.verdict = Some(verdict);
        }
    }

    /// Messages that were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether any service comes out clear by this module.
    #[must_use]
    pub fn any_healthy(&self) -> bool {
        self.lines.iter().any(|line| line.told.is_some() && line.view == View::Clear)
    }

    /// Whether a service was told again in vain so often that only a reset is left. One that the card has no right to
    /// is none: a reset brings no rights.
    #[must_use]
    pub fn hopeless(&self) -> bool {
        let lost = |line: &Line| {
            let barred = matches!(line.verdict, Some(Verdict::NoEntitlement | Verdict::Conditional));
            line.view == View::Scrambled && line.attempts >= ATTEMPTS_BEFORE_RESET && !barred && !line.leaving
        };
        self.lines.iter().any(lost)
    }

    /// Every wanted service.
    #[must_use]
    pub fn standings(&self, now_ms: u64) -> Vec<Standing> {
        let wanted = self.lines.iter().filter(|line| !line.leaving);
        wanted.map(|line| self.standing(line, now_ms)).collect()
    }

    fn standing(&self, line: &Line, now_ms: u64) -> Standing {
        let pacing_secs = self.pacing.clear_within_ms / 1_000;
        let late = now_ms >= line.told_ms.max(line.view_ms) + self.pacing.clear_within_ms;
        let trouble = match (line.view, line.verdict) {
            (View::Clear | View::Quiet, _) => String::new(),
            (View::Scrambled, _) if line.told.is_none() => "the module was not told of it yet".to_owned(),
            (View::Scrambled, Some(verdict)) if verdict != Verdict::Possible || late => verdict.to_string(),
            (View::Scrambled, _) if late || line.attempts > 0 => {
                format!("the module was told of it, and it is still scrambled after {pacing_secs} s")
            }
            (View::Scrambled, _) => String::new(),
        };
        Standing {
            key: line.programme.key.clone(),
            label: line.programme.label.clone(),
            systems: line.programme.systems(),
            selected: line.told.is_some(),
            view: line.view,
            since_ms: line.view_ms,
            trouble,
        }
    }

    /// CA_PMT bodies to send now, in their order; usually none.
    pub fn next(&mut self, now_ms: u64) -> Vec<Vec<u8>> {
        if self.ready_ms.is_none_or(|ready_ms| now_ms < ready_ms) {
            return vec![];
        }
        if self.sent_ms.is_some_and(|sent_ms| now_ms < sent_ms + self.pacing.spacing_ms) {
            return vec![];
        }
        let bodies = if self.lines.iter().all(|line| line.told.is_none()) {
            self.whole(now_ms)
        } else {
            self.step(now_ms).into_iter().collect()
        };
        if !bodies.is_empty() {
            self.sent_ms = Some(now_ms);
            self.sent += bodies.len() as u64;
        }
        bodies
    }

    /// The first list: nothing is on the module that it could disturb.
    fn whole(&mut self, now_ms: u64) -> Vec<Vec<u8>> {
        let count = self.lines.len();
        let systems = self.systems.clone();
        let place = |index: usize| match (index, count) {
            (_, 1) => Management::Only,
            (0, _) => Management::First,
            (index, _) if index + 1 == count => Management::Last,
            _ => Management::More,
        };
        let each = self.lines.iter_mut().enumerate();
        each.map(|(index, line)| line.tell((&systems, place(index), Command::Descramble), now_ms)).collect()
    }

    /// The one message that is most due: a newcomer while there is room, who leaves, who changed, who is in trouble.
    fn step(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        let systems = self.systems.clone();
        let on_list = self.lines.iter().filter(|line| line.told.is_some()).count();
        let room = on_list < self.pacing.services_max || self.lines.iter().all(|line| !line.leaving);
        if let Some(line) = self.lines.iter_mut().find(|line| line.told.is_none() && !line.leaving && room) {
            return Some(line.tell((&systems, Management::Add, Command::Descramble), now_ms));
        }
        if let Some(index) = self.lines.iter().position(|line| line.leaving) {
            let line = self.lines.remove(index);
            let told = line.told.as_ref().unwrap_or(&line.programme);
            return Some(told.ca_pmt(&systems, Management::Update, Command::NotSelected));
        }
        let changed =
            |line: &&mut Line| line.told.as_ref().is_some_and(|told| !told.is_same(&line.programme)) || line.asked;
        if let Some(line) = self.lines.iter_mut().find(changed) {
            line.asked = false;
            return Some(line.tell((&systems, Management::Update, Command::Descramble), now_ms));
        }
        let pacing = self.pacing.clone();
        let line = self.lines.iter_mut().find(|line| line.is_due(&pacing, now_ms))?;
        line.attempts += 1;
        // The first time it is asked what is the matter; a module that is silent on that gets no second question.
        line.asked = line.verdict.is_none() && line.attempts == 1;
        let command = if line.asked { Command::Query } else { Command::Descramble };
        Some(line.tell((&systems, Management::Update, command), now_ms))
    }
}

impl Line {
    fn tell(&mut self, (systems, management, command): (&[u16], Management, Command), now_ms: u64) -> Vec<u8> {
        (self.told, self.told_ms) = (Some(self.programme.clone()), now_ms);
        self.programme.ca_pmt(systems, management, command)
    }

    /// Scrambled for longer than is right, and not told again too lately.
    fn is_due(&self, pacing: &Pacing, now_ms: u64) -> bool {
        let wait_ms = (pacing.clear_within_ms << self.attempts.min(16)).min(RETRY_MS_MAX.max(pacing.clear_within_ms));
        self.view == View::Scrambled
            && now_ms >= self.told_ms + wait_ms
            && now_ms >= self.view_ms + pacing.clear_within_ms
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
