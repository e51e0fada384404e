//! Kills the store at random moments and at every system call that changes something, and
//! looks at what is there afterwards: everything that was acknowledged, and nothing in half.
//!
//! The killed process is this same test binary, started again for the test `child`, which
//! does nothing unless the environment says what to do. `HEADEND_STORE_KILLS` sets how many
//! random kills there are (30), the gate before a release runs 10,000.

#[cfg(test)]
mod kill {
    use std::collections::BTreeMap;
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::path::{Path, PathBuf};
    use std::process::{Command, ExitStatus, Stdio};
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use headend_controller::store::engine::Entries;
    use headend_controller::store::sled::{exports_directory, restore};
    use headend_controller::store::{Batch, Engine, IdempotencyKey, SledEngine, SledOptions, shelf};

    const MODE: &str = "HEADEND_STORE_CHILD_MODE";
    const PLACE: &str = "HEADEND_STORE_CHILD_PLACE";
    const KILLED: i32 = 9;

    fn options(place: &Path) -> SledOptions {
        let mut options = SledOptions::new(place);
        options.ballast_bytes = 100_000;
        options
    }

    /// Number `n` as two records that belong together, and the newest number.
    fn batch(n: u64) -> Batch {
        let bytes = usize::try_from(20 + n % 300).unwrap();
        Batch::new(IdempotencyKey::new(format!("n:{n}")).unwrap(), 0)
            .put(format!("a/{n:08}"), vec![b'a'; bytes])
            .put(format!("b/{n:08}"), vec![b'b'; bytes])
            .put("newest", n.to_string())
    }

    async fn newest(engine: &dyn Engine) -> u64 {
        let kept = engine.get(b"newest").await.unwrap();
        kept.map_or(0, |kept| String::from_utf8(kept.bytes).unwrap().parse().unwrap())
    }

    fn say(line: &str) {
        let mut out = std::io::stdout().lock();
        out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }

    /// What the killed process does.
    #[tokio::test]
    async fn child() {
        let (Ok(mode), Ok(place)) = (std::env::var(MODE), std::env::var(PLACE)) else {
            return;
        };
        let place = PathBuf::from(place);
        if mode == "restore" {
            restore(&options(&place), &newest_export(&place)).unwrap();
            return;
        }
        let engine = SledEngine::open(&options(&place)).unwrap();
        say("opened");
        if mode == "panic" {
            let answer = engine.export(Box::new(Panics), 0).await;
            panic!("the process went on: {answer:?}");
        }
        let first = newest(&engine).await + 1;
        let last = match mode.as_str() {
            "open" => 0,
            "commit" => first + 2,
            "export" => {
                shelf::put(&engine, &exports_directory(&place), 5000).await.unwrap();
                0
            }
            _ => u64::MAX,
        };
        for n in first..=last {
            engine.commit(batch(n)).await.unwrap();
            say(&format!("ack {n}"));
        }
    }

    /// Stands for anything that panics on the store thread.
    struct Panics;

    impl Write for Panics {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            panic!("page 17 is not what it was");
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_inside_the_engine_ends_the_process_and_says_the_way_out() {
        use std::os::unix::process::ExitStatusExt as _;
        let place = tempfile::tempdir().unwrap();
        let output = command("panic", place.path(), &[]).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.signal(), Some(6), "{}", output.status);
        let said = String::from_utf8_lossy(&output.stderr);
        let expected = "store engine failed (panic: page 17 is not what it was); ending the process";
        assert!(said.contains(expected) && said.contains("restore the store"), "{said}");
        check(place.path(), 0, "panic");
    }

    fn newest_export(place: &Path) -> PathBuf {
        shelf::newest_good(&exports_directory(place)).unwrap()
    }

    /// The command that runs `child`, behind strace when there are arguments for it.
    fn command(mode: &str, place: &Path, strace: &[&str]) -> Command {
        let own = std::env::current_exe().unwrap();
        let mut command = if strace.is_empty() {
            Command::new(own)
        } else {
            let mut command = Command::new("strace");
            command.args(strace).arg(own);
            command
        };
        command
            .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
            .env(MODE, mode)
            .env(PLACE, place)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    /// The highest number in the output that was acknowledged.
    fn acknowledged(lines: impl IntoIterator<Item = String>) -> u64 {
        let numbers = lines.into_iter().filter_map(|line| line.strip_prefix("ack ")?.parse().ok());
        numbers.max().unwrap_or(0)
    }

    /// Opens the store and finds every number up to the newest whole, and the newest at
    /// least `acknowledged` and at the most one above. Gives the newest there is now.
    fn check(place: &Path, acknowledged: u64, what: &str) -> u64 {
        let engine = SledEngine::open(&options(place)).unwrap_or_else(|error| {
            panic!("{what}: {error}");
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let newest = newest(&engine).await;
            assert!((acknowledged..=acknowledged + 1).contains(&newest), "{what}: {newest}");
            for letter in ["a", "b"] {
                let found = all(&engine, &format!("{letter}/")).await;
                assert_eq!(found.len() as u64, newest, "{what}");
                for (n, (key, kept)) in (1..).zip(found) {
                    assert_eq!(key, format!("{letter}/{n:08}").as_bytes(), "{what}");
                    assert_eq!(kept.bytes.len(), 20 + n % 300, "{what}");
                }
            }
            // A retry of what was in doubt is answered, once.
            let again = engine.commit(batch(newest.max(1))).await.unwrap();
            assert_eq!(again.repeated, newest > 0, "{what}");
            newest.max(1)
        })
    }

    async fn all(engine: &dyn Engine, prefix: &str) -> Entries {
        let mut all = Entries::new();
        loop {
            let after = all.last().map(|(key, _)| key.clone());
            let part = engine.scan(prefix.as_bytes(), after.as_deref(), 1000).await.unwrap();
            if part.is_empty() {
                return all;
            }
            all.extend(part);
        }
    }

    /// Starts a writing child, kills it after `after`, and gives what it said until then.
    fn written_until_killed(place: &Path, after: Duration) -> Vec<String> {
        let mut child = command("write", place, &[]).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (lines, seen) = mpsc::sync_channel(100_000);
        let reader = std::thread::spawn(move || {
            out.lines().map_while(Result::ok).for_each(|line| lines.send(line).unwrap());
        });
        let (mut got, start) = (vec![], Instant::now());
        while let Some(left) = after.checked_sub(start.elapsed()) {
            match seen.recv_timeout(left) {
                Ok(line) => got.push(line),
                Err(mpsc::RecvTimeoutError::Timeout) => break,
                Err(mpsc::RecvTimeoutError::Disconnected) => panic!("child ended: {got:?}"),
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        got.extend(seen);
        got
    }

    #[test]
    fn nothing_acknowledged_is_lost_in_random_kills() {
        let place = tempfile::tempdir().unwrap();
        let kills: u32 = std::env::var("HEADEND_STORE_KILLS").map_or(30, |n| n.parse().unwrap());
        let mut newest = 0;
        for turn in 0..kills {
            let mut random = [0; 2];
            getrandom::fill(&mut random).unwrap();
            // Up to an eighth of a second: from the start of the process into the writes.
            let after = Duration::from_micros(u64::from(u16::from_be_bytes(random)) * 2);
            let got = written_until_killed(place.path(), after);
            newest = check(place.path(), acknowledged(got).max(newest), &format!("kill {turn}"));
        }
        assert!(newest > u64::from(kills), "the children wrote");
    }

    /// System calls that change something the next open sees.
    const CHANGING: [&str; 15] = [
        "write",
        "pwrite64",
        "writev",
        "rename",
        "renameat2",
        "unlink",
        "unlinkat",
        "rmdir",
        "mkdir",
        "ftruncate",
        "fallocate",
        "fsync",
        "fdatasync",
        "sync_file_range",
        "flock",
    ];

    fn was_killed(status: ExitStatus) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        status.signal() == Some(KILLED) || status.code() == Some(128 + KILLED)
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }

    /// A store whose process was killed after writing since its last start: what an open
    /// has most to do for. Gives what was acknowledged.
    fn killed_store(place: &Path) -> u64 {
        let mut newest = 0;
        for wanted in [30, 60] {
            while newest < wanted {
                let got = written_until_killed(place, Duration::from_millis(200));
                newest = newest.max(acknowledged(got));
            }
        }
        newest
    }

    /// Kills a child in `mode` at each changing system call in turn, and gives how often
    /// each was killed. `check` looks at the place with what the child acknowledged.
    fn kill_at_each(mode: &str, start: Option<&Path>, check: &dyn Fn(&Path, u64, &str)) -> BTreeMap<&'static str, u32> {
        let mut kills = BTreeMap::new();
        for call in CHANGING {
            for nth in 1..200 {
                let place = tempfile::tempdir().unwrap();
                if let Some(start) = start {
                    copy(start, place.path());
                }
                let inject = format!("inject={call}:signal=KILL:when={nth}");
                let trace = format!("trace={call}");
                let strace = ["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
                let output = command(mode, place.path(), &strace).output().unwrap();
                let lines = String::from_utf8_lossy(&output.stdout);
                let what = format!("{mode}, killed at {call} number {nth}");
                check(place.path(), acknowledged(lines.lines().map(str::to_owned)), &what);
                if !was_killed(output.status) {
                    assert!(output.status.success(), "{what}: {lines}");
                    break;
                }
                *kills.entry(call).or_default() += 1;
            }
        }
        kills
    }

    /// Says so and gives false where processes may not be traced.
    fn tracing_works() -> bool {
        let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
        let works = traced.is_ok_and(|status| status.success());
        if !works {
            eprintln!("SKIPPED: strace is missing or ptrace is not permitted here");
        }
        works
    }

    #[test]
    fn a_kill_at_any_change_of_the_first_open_leaves_a_store_that_opens() {
        if tracing_works() {
            let kills = kill_at_each("open", None, &|place, _, what| {
                check(place, 0, what);
            });
            assert!(kills["rename"] > 1 && kills["fsync"] > 5, "{kills:?}");
        }
    }

    #[test]
    fn a_kill_at_any_change_of_a_later_open_leaves_a_store_that_opens() {
        if tracing_works() {
            let store = tempfile::tempdir().unwrap();
            let newest = killed_store(store.path());
            let kills = kill_at_each("open", Some(store.path()), &|place, _, what| {
                check(place, newest, what);
            });
            assert!(kills["rename"] > 0 && kills["fsync"] > 0, "{kills:?}");
        }
    }

    #[test]
    fn a_kill_at_any_change_of_a_commit_keeps_what_was_acknowledged() {
        if tracing_works() {
            let kills = kill_at_each("commit", None, &|place, acknowledged, what| {
                check(place, acknowledged, what);
            });
            assert!(kills["fdatasync"] > 1 && kills["fsync"] > 5, "{kills:?}");
        }
    }

    #[test]
    fn a_kill_at_any_change_of_an_export_or_a_restore_leaves_one_or_the_other() {
        if !tracing_works() {
            return;
        }
        let store = tempfile::tempdir().unwrap();
        let newest = killed_store(store.path());
        let engine = SledEngine::open(&options(store.path())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let exports = exports_directory(store.path());
        runtime.block_on(shelf::put(&engine, &exports, 1000)).unwrap();
        drop(engine);
        let later = check(store.path(), newest, "export");
        kill_at_each("export", Some(store.path()), &|place, _, what| {
            assert!(newest_export(place).exists(), "{what}");
            check(place, later, what);
        });
        let kills = kill_at_each("restore", Some(store.path()), &|place, _, what| {
            check(place, newest, what);
        });
        assert!(kills["renameat2"] == 1 && kills["fsync"] > 5, "{kills:?}");
    }
}
