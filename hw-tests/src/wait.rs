//! Waiting: on a predicate with a deadline, or for the next beat of a pace. The only place that sleeps.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long between two looks.
const STEP: Duration = Duration::from_millis(2);

/// Looks until `look` gives something, and tells how long that took.
///
/// # Errors
/// When the deadline passes, or when `look` fails.
pub fn until<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<(T, Duration)> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok((found, start.elapsed()));
        }
        if start.elapsed() > deadline {
            bail!("waited {:.1} s for {what}", start.elapsed().as_secs_f64());
        }
        doze(STEP);
    }
}

/// A beat at a fixed period: real time is the input of what is tested here, so it is kept, not waited out.
#[derive(Debug)]
pub struct Pace {
    next: Instant,
    period: Duration,
}

impl Pace {
    /// The first beat is one period from now.
    #[must_use]
    pub fn every(period: Duration) -> Self {
        Self { next: Instant::now() + period, period }
    }

    /// Sleeps until the next beat; a beat that was missed is not made up for.
    pub fn beat(&mut self) {
        let now = Instant::now();
        if self.next > now {
            doze(self.next - now);
            self.next += self.period;
        } else {
            self.next = now + self.period;
        }
    }
}

/// Lets real time pass, where the passing of it is what the check is about.
pub fn let_pass(time: Duration) {
    doze(time);
}

#[expect(clippy::disallowed_methods, reason = "the one sleep: everything else waits through this file")]
fn doze(time: Duration) {
    std::thread::sleep(time);
}
