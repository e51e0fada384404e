//! What a node costs: system calls as the kernel's tracer counts them, and figures over many tries.

use std::{collections::HashSet, fs, time::Duration};

use anyhow::{Context, Result};

use crate::checks::desk::ms;

const TRIGGER: &str = "/sys/kernel/tracing/events/raw_syscalls/sys_enter/trigger";
const COUNTS: &str = "/sys/kernel/tracing/events/raw_syscalls/sys_enter/hist";
/// One line a thread and a call.
const HISTOGRAM: &str = "hist:keys=common_pid,id.syscall:size=8192";

/// Counts the system calls of a process from its start to [`Calls::of`].
pub(super) struct Calls;

impl Calls {
    /// Starts to count, for all processes.
    pub(super) fn count() -> Result<Self> {
        fs::write(TRIGGER, HISTOGRAM).context("ask the kernel's tracer to count system calls")?;
        Ok(Self)
    }

    /// Calls so far of a process with all threads it has now, reads of the clock apart, and the most frequent by name.
    pub(super) fn of(&self, process: u32) -> Result<(u64, u64, String)> {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).context("list the threads")?;
        let threads: HashSet<String> =
            tasks.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let text = fs::read_to_string(COUNTS).context("read the tracer's counts")?;
        let (mut calls, mut clock): (Vec<(u64, String)>, u64) = (vec![], 0);
        for line in text.lines().filter(|line| line.starts_with('{')) {
            let Some((_, call, count)) = entry(line).filter(|(thread, ..)| threads.contains(*thread)) else { continue };
            if call == "clock_gettime" {
                clock += count;
                continue;
            }
            match calls.iter_mut().find(|(_, name)| name == call) {
                Some((sum, _)) => *sum += count,
                None => calls.push((count, call.to_owned())),
            }
        }
        calls.sort_unstable_by(|one, two| two.cmp(one));
        let sum = calls.iter().map(|(count, _)| count).sum();
        let most: Vec<String> = calls.iter().take(5).map(|(count, name)| format!("{name} {count}")).collect();
        Ok((sum, clock, most.join(", ")))
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        // What cannot be switched off costs a little, no more.
        let _ = fs::write(TRIGGER, format!("!{HISTOGRAM}"));
    }
}

/// `{ common_pid: 123, id: sys_read [  0] } hitcount: 5`.
fn entry(line: &str) -> Option<(&str, &str, u64)> {
    let field = |name: &str| line.split(name).nth(1).map(str::trim_start);
    let thread = field("common_pid:")?.split([',', ' ']).next()?;
    let call = field(", id:")?.split_whitespace().next()?.trim_start_matches("sys_");
    let count = field("hitcount:")?.split_whitespace().next()?.parse().ok()?;
    Some((thread, call, count))
}

/// `p95 1.0 ms max 2.0 ms`, and the 95th percentile.
pub(super) fn spread(times: &[Duration]) -> (String, Duration) {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let Some(max) = sorted.last().copied() else { return ("none".to_owned(), Duration::MAX) };
    let p95 = sorted[(sorted.len() * 95).div_ceil(100) - 1];
    let median = sorted[sorted.len() / 2];
    (format!("median {} p95 {} max {}", ms(median), ms(p95), ms(max)), p95)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tracer_is_understood() {
        let line = "{ common_pid:       1234, id: sys_epoll_wait                 [232] } hitcount:        891";
        assert_eq!(entry(line), Some(("1234", "epoll_wait", 891)));
        assert_eq!(entry("Totals:"), None);
    }

    #[test]
    fn one_in_twenty_may_be_slow() {
        let times: Vec<Duration> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!(spread(&times).1, Duration::from_millis(19));
    }
}
