//! What is checked of a request before the router sees it, and how its body is kept from dawdling.
//!
//! Exactly one valid `Host`, a target in origin form: two programs on the way (a proxy and we) must not be able to read
//! one request as two different ones (RFC 9112 §3.2; §3.2.2 would have us accept absolute-form, but no player sends it
//! to an origin server and a cache in front may key on the other name).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::guard::Pulse;
use super::limits::{Counters, Limits, count};

/// Why a request is refused with 400, in words for whoever wrote the client.
pub(crate) fn refusal(uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
    if uri.scheme().is_some() || uri.authority().is_some() {
        return Some("ask for a path, not for an absolute address");
    }
    if !uri.path().starts_with('/') {
        return Some("ask for a path that starts with /");
    }
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Some("send exactly one Host header");
    };
    let valid = host.to_str().is_ok_and(|host| !host.contains(['@', ',']) && host.parse::<Authority>().is_ok());
    (!valid).then_some("the Host header is not a host name with an optional port")
}

/// A short plain answer that ends the connection, for a client whose next bytes are not worth trusting.
pub(crate) fn closing(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A request body that may keep us waiting for only so long.
///
/// Waiting costs budget, received bytes earn some back, never above the grace. Time the handler spends elsewhere is not
/// the client's and costs nothing.
pub(crate) struct PatientBody {
    inner: Incoming,
    budget: Duration,
    grace: Duration,
    bytes_per_sec_min: u64,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    late: Arc<AtomicBool>,
    counters: Arc<Counters>,
}

impl PatientBody {
    /// Wraps a request's body; the flag becomes true when it was cut.
    pub(crate) fn wrap(
        request: Request<Incoming>,
        limits: &Limits,
        counters: &Arc<Counters>,
    ) -> (Request<Body>, Arc<AtomicBool>) {
        let late = Arc::new(AtomicBool::new(false));
        let wrapped = request.map(|inner| {
            if inner.is_end_stream() {
                return Body::empty();
            }
            Body::new(Self {
                inner,
                budget: limits.body_grace,
                grace: limits.body_grace,
                bytes_per_sec_min: limits.body_bytes_per_sec_min.max(1),
                waiting: None,
                late: Arc::clone(&late),
                counters: Arc::clone(counters),
            })
        });
        (wrapped, late)
    }

    fn settle(&mut self, received: usize) {
        if let Some((since, _)) = self.waiting.take() {
            self.budget = self.budget.saturating_sub(since.elapsed());
        }
        let earned_ms = (received as u64).saturating_mul(1_000) / self.bytes_per_sec_min;
        self.budget = self.budget.saturating_add(Duration::from_millis(earned_ms)).min(self.grace);
    }
}

impl hyper::body::Body for PatientBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.late.load(Ordering::Relaxed) {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            let received = frame.as_ref().and_then(|f| f.as_ref().ok()).and_then(Frame::data_ref).map_or(0, Bytes::len);
            self.settle(received);
            return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
        }
        let budget = self.budget;
        let (_, clock) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(budget))));
        ready!(clock.as_mut().poll(cx));
        self.late.store(true, Ordering::Relaxed);
        count(&self.counters.timed_out_body);
        Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, "request body not sent in time"))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body that tells the pulse when it is done: sent to its end, or dropped.
pub(crate) struct AnswerBody {
    inner: Body,
    pulse: Arc<Pulse>,
}

impl AnswerBody {
    pub(crate) fn wrap(response: Response<Body>, pulse: Arc<Pulse>) -> Response<Self> {
        response.map(|inner| Self { inner, pulse })
    }
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.pulse.answered();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, hosts: &[&str], refused: bool) {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, host.parse().unwrap());
        }
        let got = refusal(&uri.parse().unwrap(), &headers);
        assert_eq!(got.is_some(), refused, "{uri} {hosts:?}: {got:?}");
    }

    #[test]
    fn one_host_and_a_path() {
        check("/", &["a"], false);
        check("/news/index.m3u8?x=http://b/", &["a.example:8081"], false);
        check("/", &["[::1]:8081"], false);
        check("//b/c", &["a"], false);
        check("/", &[], true);
        check("/", &["a", "a"], true);
        check("/", &["a", "b"], true);
        check("/", &[""], true);
        check("/", &["a b"], true);
        check("/", &["a/b"], true);
        check("/", &["user@a"], true);
        check("/", &["a,b"], true);
        check("http://a/", &["a"], true);
        check("a:443", &["a"], true);
        check("*", &["a"], true);
    }
}
