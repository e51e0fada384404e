//! The line to backends, against backends of flesh: listeners on loopback that do what they should not.

use std::future::pending;

use headend_rt::tls;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use super::*;
use crate::output::viewing::question::Protocol;

/// A guard of these backends; answers within 600 ms.
pub(in crate::output::viewing) fn guard(backends: &[Url]) -> (Arc<Guard>, Questions) {
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls::public_client_config());
    let client = builder.redirect(reqwest::redirect::Policy::none()).no_proxy().build().expect("client");
    let bounds = Bounds { per_address_max: 50, allow_default: false, soft_limit_ms: 0 };
    Guard::new((backends.to_vec(), client), Duration::from_millis(600), bounds, Monotonic::new())
}

fn facts() -> Facts {
    Facts {
        channel: "f24".parse().expect("name"),
        ip: "192.0.2.7".parse().expect("address"),
        token: "T".to_owned(),
        protocol: Protocol::Hls,
        query: String::new(),
        user_agent: String::new(),
        referer: String::new(),
        host: String::new(),
    }
}

/// A backend that sends these bytes to everybody, and then nothing, with the connection open.
async fn backend(bytes: Vec<u8>) -> (Url, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/auth", listener.local_addr().expect("address")).parse().expect("address");
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut held = vec![];
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&bytes).await;
            held.push(stream);
        }
    });
    (url, task)
}

/// What a first request meets, and how long it took.
async fn meets(backends: &[Url]) -> (String, Duration) {
    let (guard, questions) = guard(backends);
    let stop = CancellationToken::new();
    let began = Instant::now();
    let met = tokio::select! {
        met = guard.admit(SessionId([1; 16]), facts) => met,
        () = Arc::clone(&guard).run(questions, stop) => pending().await,
    };
    let met = match met {
        Ok(Verdict::Open(grant)) => format!("open {:?}", grant.ranges),
        Ok(Verdict::Elsewhere(to)) => format!("elsewhere {to}"),
        Ok(Verdict::Closed) => "closed".to_owned(),
        Err(cause) => cause.to_string(),
    };
    (met, began.elapsed())
}

async fn check(answer: impl Into<Vec<u8>>, want: &str) {
    let answer = answer.into();
    let shown = String::from_utf8_lossy(&answer[..answer.len().min(80)]).into_owned();
    let (url, _task) = backend(answer).await;
    let (met, took) = meets(&[url]).await;
    assert_eq!(met, want, "{shown}");
    assert!(took < Duration::from_millis(600) + MARGIN + Duration::from_secs(2), "{shown} took {took:?}");
}

#[tokio::test]
async fn hostile_backends() {
    check("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "open None").await;
    // Nothing, half a head, a body that never ends, nonsense: no decision, so the default.
    check("", "closed").await;
    check("HTTP/1.1 200 OK\r\nX-User", "closed").await;
    check("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "closed").await;
    check("\0\0\0\0\r\n\r\n", "closed").await;
    check("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "closed").await;
    // More than we read: what is not read of the archive is not opened, and a page of words says nothing of it.
    let huge = |first: &str| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n{first}");
        [head.into_bytes(), vec![b' '; 2 * BODY_BYTES_MAX]].concat()
    };
    check(huge("{\"allowed_dvr_ranges\": ["), "open Some(Ranges([]))").await;
    check(huge("<html>"), "open None").await;
    // A redirect is told to the viewer and not followed.
    let to = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/x\r\nContent-Length: 0\r\n\r\n";
    check(to, "elsewhere http://127.0.0.1:9/x").await;
}

#[tokio::test]
async fn the_next_backend_is_asked_when_one_fails() {
    let nobody: Url = "http://127.0.0.1:9/auth".parse().expect("address");
    let (hangs, _first) = backend(vec![]).await;
    let (good, _second) = backend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()).await;
    let (denies, _third) = backend(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".to_vec()).await;
    assert_eq!(meets(&[nobody.clone(), hangs.clone(), good.clone()]).await.0, "open None");
    assert_eq!(meets(&[denies, good]).await.0, "closed", "a denial is an answer");
    assert_eq!(meets(&[nobody, hangs]).await.0, "closed");
}

#[tokio::test]
async fn nobody_waits_longer_than_stated_though_no_task_asks() {
    let (guard, _questions) = guard(&[]);
    let began = Instant::now();
    let met = guard.admit(SessionId([1; 16]), facts).await;
    assert!(matches!(met, Err(Undecided::Late)), "{met:?}");
    assert!(began.elapsed() < Duration::from_millis(600) + MARGIN + Duration::from_secs(2));
}
