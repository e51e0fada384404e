//! One line for a person out of an error and its sources.
//!
//! Errors in this house are lower-case fragments that never repeat their source; the chain is printed once, at the edge:
//! a log line, the exit message, an HTTP answer.

use std::error::Error;

/// Joins an error and all its sources with `": "`. A source whose text the line already ends with is left out, because
/// some foreign errors print their source themselves.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = inner.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Fault {
        #[error("read {path}")]
        Read { path: &'static str, source: std::io::Error },
        #[error("load channel news")]
        Load { source: Box<Fault> },
        #[error("wrapped: {source}")]
        Chatty { source: std::io::Error },
    }

    fn check(fault: &Fault, want: &str) {
        assert_eq!(chain(fault), want);
    }

    #[test]
    fn every_source_is_said_once() {
        let read = Fault::Read { path: "a.ts", source: std::io::Error::other("disk gone") };
        check(&read, "read a.ts: disk gone");
        check(&Fault::Load { source: Box::new(read) }, "load channel news: read a.ts: disk gone");
        check(&Fault::Chatty { source: std::io::Error::other("disk gone") }, "wrapped: disk gone");
    }
}
