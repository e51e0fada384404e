//! `simulate`: rehearses an incident from a script, with the machines that decide in production.
//!
//! The script is a text (`shared/failover/src/script.rs` says what it may hold). What stands behind a line `---` is the
//! timeline that is expected: with it the rehearsal is a test, and a difference is an exit code of 1. Nothing outside
//! the two texts is read, and nothing is changed.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use headend_failover::script::{SCRIPT_BYTES_MAX, simulate};

use super::{Exit, talk, tell};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The script; `-` reads it from standard input.
    script: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let name = arguments.script.display();
    let text = match read(&arguments.script) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            talk(&format!("{name} is not there"));
            return Exit::NotFound;
        }
        Err(error) => {
            talk(&format!("{name} cannot be read: {error}"));
            return Exit::Failed;
        }
    };
    let (script, expected) = parts(&text);
    let timeline = match simulate(script) {
        Ok(timeline) => timeline,
        Err(error) => {
            talk(&format!("{name}: {}", headend_rt::chain(&error)));
            return Exit::Usage;
        }
    };
    tell(timeline.trim_end());
    match expected.and_then(|expected| difference(expected, &timeline)) {
        None => Exit::Done,
        Some(difference) => {
            talk(&format!("{name}: {difference}"));
            Exit::Failed
        }
    }
}

/// Reads a little more than a script may have, so that `simulate` can say that it is too long.
fn read(path: &Path) -> io::Result<String> {
    let limit = u64::try_from(4 * SCRIPT_BYTES_MAX).unwrap_or(u64::MAX);
    let mut text = String::new();
    match path.to_str() {
        Some("-") => io::stdin().lock().take(limit).read_to_string(&mut text),
        _ => File::open(path)?.take(limit).read_to_string(&mut text),
    }?;
    Ok(text)
}

/// The script, and the timeline that is expected if it holds one.
fn parts(text: &str) -> (&str, Option<&str>) {
    text.split_once("\n---\n").map_or((text, None), |(script, expected)| (script, Some(expected)))
}

/// The first line in which two timelines differ, in words.
fn difference(expected: &str, timeline: &str) -> Option<String> {
    let (mut wanted, mut seen) = (expected.trim_end().lines(), timeline.trim_end().lines());
    loop {
        match (wanted.next(), seen.next()) {
            (None, None) => return None,
            (wanted, seen) if wanted == seen => {}
            (Some(wanted), Some(seen)) => return Some(format!("expected {wanted:?}, but {seen:?} came")),
            (Some(wanted), None) => return Some(format!("expected {wanted:?}, but the timeline ends")),
            (None, Some(seen)) => return Some(format!("expected no more, but {seen:?} came")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(text: &str) -> Exit {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("incident.txt");
        std::fs::write(&script, text).unwrap();
        run(&Arguments { script })
    }

    const INCIDENT: &str = "origins caribbean france\nat 3s caribbean stops\nat 20s end\n";

    #[test]
    fn the_scripts_of_the_house_hold() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/failover/scripts");
        let scripts: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(scripts.len() >= 9);
        for script in scripts {
            assert_eq!(run(&Arguments { script: script.clone() }), Exit::Done, "{}", script.display());
        }
    }

    #[test]
    fn a_rehearsal_ends_with_what_an_operator_can_act_on() {
        assert_eq!(play(INCIDENT), Exit::Done);
        assert_eq!(play(&format!("{INCIDENT}---\nat 1.00s something else\n")), Exit::Failed);
        assert_eq!(play("origins caribbean france\nat 3s caribbean sings\n"), Exit::Usage);
        assert_eq!(play(&"#\n".repeat(SCRIPT_BYTES_MAX)), Exit::Usage);
        assert_eq!(run(&Arguments { script: "/nowhere/incident.txt".into() }), Exit::NotFound);
    }

    #[test]
    fn differences_name_the_line() {
        let check = |expected: &str, timeline: &str, want: Option<&str>| {
            assert_eq!(difference(expected, timeline).as_deref(), want);
        };
        check("a\nb\n", "a\nb\n", None);
        check("a\nb\n", "a\nc\n", Some("expected \"b\", but \"c\" came"));
        check("a\nb\n", "a\n", Some("expected \"b\", but the timeline ends"));
        check("a\n", "a\nb\n", Some("expected no more, but \"b\" came"));
    }
}
