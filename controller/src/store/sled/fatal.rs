//! What happens when the engine panics: the process ends, with a message a person can act
//! on, and systemd starts it again. A half-dead store that still answers is worse.

use std::any::Any;
use std::cell::Cell;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

/// Called once with what happened when the engine can not go on. The default writes the
/// message and aborts; tests watch instead.
pub type FatalHook = Arc<dyn Fn(&str) + Send + Sync>;

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// The hook of the product: says what happened on stderr and in the log, and aborts.
pub(super) fn abort_process() -> FatalHook {
    watch_engine_threads();
    Arc::new(|what| die(what))
}

fn die(what: &str) -> ! {
    tracing::error!(reason = what, "store engine failed, ending the process");
    let text = format!(
        "store engine failed ({what}); ending the process so that it starts again from what \
         is on disk; if it does not start, restore the store from its newest export\n"
    );
    // Whether the message gets out or not, the process ends.
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::abort()
}

/// Runs `work` and turns a panic into its message.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = CAUGHT.replace(true);
    // Whoever sees the error uses nothing of the engine again.
    let result = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(before);
    result.map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    format!("panic: {}", text.chars().take(300).collect::<String>())
}

/// Ends the process for a panic on one of sled's own threads, which nobody can catch.
fn watch_engine_threads() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            let inside = panic.location().is_some_and(|place| is_engine_source(place.file()));
            if inside && !CAUGHT.get() {
                die(&message(panic.payload()));
            }
        }));
    });
}

fn is_engine_source(file: &str) -> bool {
    file.split(['/', '\\']).any(|part| part == "sled" || part.starts_with("sled-0.")) && !file.contains("controller")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_sources_are_told_from_ours() {
        let check = |file, expected| assert_eq!(is_engine_source(file), expected, "{file}");
        check("/x/registry/src/index/sled-0.34.7/src/pagecache/mod.rs", true);
        check("/build/vendor/sled/src/tree.rs", true);
        check("controller/src/store/sled/writer.rs", false);
        check("/x/registry/src/index/tokio-1.54.0/src/lib.rs", false);
    }

    #[test]
    fn a_caught_panic_is_its_message() {
        assert_eq!(caught(|| 5), Ok(5));
        assert_eq!(caught::<()>(|| panic!("page {} lost", 5)), Err("panic: page 5 lost".to_owned()));
    }
}
