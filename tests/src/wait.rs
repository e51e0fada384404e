//! Waiting on a predicate with a deadline: the only way a test waits.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// How long between two looks.
const STEP: Duration = Duration::from_millis(20);

/// Looks until `look` gives something, and tells how long that took.
///
/// # Errors
/// When the deadline passes; the message holds `what` and the last reason given.
pub async fn until<T, F, L>(what: &str, deadline: Duration, mut look: L) -> Result<(T, Duration)>
where
    L: FnMut() -> F,
    F: Future<Output = Result<T>>,
{
    let start = Instant::now();
    let mut ticks = tokio::time::interval(STEP);
    loop {
        ticks.tick().await;
        match look().await {
            Ok(found) => return Ok((found, start.elapsed())),
            Err(reason) if start.elapsed() > deadline => {
                bail!("waited {:.1} s for {what}: {reason:#}", start.elapsed().as_secs_f64())
            }
            Err(_) => {}
        }
    }
}
