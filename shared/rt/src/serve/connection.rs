//! Drives one accepted connection: socket options, TLS, hyper, the way to the router, the drain.
//!
//! Ends when the client leaves, a deadline cuts it, or the drain is over. Nothing here logs per connection above debug:
//! strangers decide how many there are.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::guard::{Guard, Pulse};
use super::limits::{Counters, Limits, count};
use super::peer::{Peer, PeerCertificate};
use super::request::{AnswerBody, PatientBody, closing, refusal};
use crate::tls::TlsHandle;

/// hyper panics on a smaller buffer.
const BUFFER_BYTES_MIN: usize = 8_192;

/// What all connections of one server share.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tls: Option<TlsHandle>,
    pub(crate) router: Router,
    /// Finish what is being answered, take no more.
    pub(crate) drain: CancellationToken,
    /// The drain is over: go.
    pub(crate) cut: CancellationToken,
}

/// What the requests of one connection share.
#[derive(Clone)]
struct Line {
    shared: Arc<Shared>,
    pulse: Arc<Pulse>,
    peer: SocketAddr,
    certificate: Option<PeerCertificate>,
}

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, socket: TcpStream, peer: SocketAddr) {
    if let Err(error) = set_options(&socket, &shared.limits) {
        // The peer is already gone, or the kernel is short of memory: nothing to serve either way.
        tracing::debug!(%peer, %error, "socket options refused");
        return;
    }
    let pulse = Arc::new(Pulse::default());
    let guard = Guard::new(socket, Arc::clone(&pulse), &shared.limits, Arc::clone(&shared.counters));
    let mut line = Line { shared: Arc::clone(&shared), pulse, peer, certificate: None };
    let Some(tls) = &shared.tls else {
        return drive(line, guard).await;
    };
    let handshake = TlsAcceptor::from(tls.current()).accept(guard);
    let stream = tokio::select! {
        done = timeout(shared.limits.handshake, handshake) => done,
        () = shared.drain.cancelled() => return,
    };
    match stream {
        Err(_) => count(&shared.counters.timed_out_handshake),
        Ok(Err(error)) => {
            count(&shared.counters.handshake_failed);
            tracing::debug!(%peer, %error, "tls handshake failed");
        }
        Ok(Ok(stream)) => {
            let chain = stream.get_ref().1.peer_certificates();
            line.certificate = chain.and_then(<[_]>::first).map(|der| PeerCertificate::new(der.clone().into_owned()));
            drive(line, stream).await;
        }
    }
}

/// Dead peers and stalled readers are noticed by the kernel too, small writes leave at once, and the send buffer is
/// bounded (tcp(7)).
fn set_options(socket: &TcpStream, limits: &Limits) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let options = SockRef::from(socket);
    options.set_tcp_user_timeout(Some(limits.unacknowledged))?;
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10)).with_retries(3);
    options.set_tcp_keepalive(&keepalive)?;
    if let Some(bytes) = limits.send_buffer_bytes {
        options.set_send_buffer_size(bytes)?;
    }
    Ok(())
}

async fn drive(line: Line, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let (shared, peer) = (Arc::clone(&line.shared), line.peer);
    let limits = &shared.limits;
    line.pulse.expect_head();
    let service = service_fn(move |request| answer(line.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The guard's deadlines are nearer; this one is for a half head that arrived behind the request before it.
        .header_read_timeout(limits.idle + limits.head)
        .max_headers(limits.headers_max)
        .max_header_size(limits.head_bytes_max)
        .max_buf_size(limits.head_bytes_max.max(BUFFER_BYTES_MIN))
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shared.drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = shared.cut.cancelled() => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error = crate::chain(&error), "connection ended early");
    }
}

async fn answer(line: Line, mut request: Request<Incoming>) -> Result<Response<AnswerBody>, Infallible> {
    line.pulse.answering();
    let shared = &line.shared;
    count(&shared.counters.requests);
    if let Some(text) = refusal(request.uri(), request.headers()) {
        count(&shared.counters.requests_refused);
        let response = closing(StatusCode::BAD_REQUEST, text);
        return Ok(AnswerBody::wrap(response, line.pulse));
    }
    request.extensions_mut().insert(Peer(line.peer));
    if let Some(certificate) = &line.certificate {
        request.extensions_mut().insert(certificate.clone());
    }
    let (request, late) = PatientBody::wrap(request, &shared.limits, &shared.counters);
    let answered: Result<Response<Body>, Infallible> = shared.router.clone().oneshot(request).await;
    let Ok(mut response) = answered;
    if late.load(Ordering::Relaxed) {
        response = closing(StatusCode::REQUEST_TIMEOUT, "the request body came too slowly");
    }
    Ok(AnswerBody::wrap(response, line.pulse))
}
