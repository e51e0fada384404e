//! Tests of the HTTP source against scripted servers on real loopback sockets.

use std::io::Write;

use headend_rt::chain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::input::address::{Feed, SourceAddress};

/// What the server does with one connection, after it read the request's head.
enum Act {
    /// Sends these bytes and closes.
    Send(Vec<u8>),
    /// Sends these bytes and keeps silent.
    Stall(Vec<u8>),
}

fn ts(packets: usize) -> Vec<u8> {
    let mut packet = [0xFF; 188];
    packet[..4].copy_from_slice(&[0x47, 0x1F, 0xFF, 0x10]);
    packet.repeat(packets)
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat()
}

async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

/// Serves `acts`, one connection each; answers with the request heads, and the
/// connections that stay open.
async fn serve(listener: TcpListener, acts: Vec<Act>) -> (Vec<String>, Vec<TcpStream>) {
    let (mut heads, mut open) = (Vec::new(), Vec::new());
    for act in acts {
        let (mut stream, _) = listener.accept().await.unwrap();
        heads.push(head(&mut stream).await);
        let (Act::Send(bytes) | Act::Stall(bytes)) = &act;
        stream.write_all(bytes).await.unwrap();
        match act {
            Act::Send(_) => stream.shutdown().await.unwrap(),
            Act::Stall(_) => open.push(stream),
        }
    }
    (heads, open)
}

fn feed(url: &str) -> HttpFeed {
    match url.parse::<SourceAddress>().unwrap().feed {
        Feed::Http(feed) => feed,
        other => panic!("{other:?}"),
    }
}

/// Short deadlines for the tests that run into them, long ones for the rest.
fn deadlines(silence_ms: u64) -> HttpDeadlines {
    HttpDeadlines { silence: Duration::from_millis(silence_ms), ..HttpDeadlines::default() }
}

/// Reads one connection to its end: how many bytes, and the words it ended with.
async fn pull(source: &HttpTs) -> (usize, String) {
    let mut body = match source.connect().await {
        Ok(body) => body,
        Err(error) => return (0, chain(&error)),
    };
    let mut bytes = 0;
    loop {
        match body.next().await {
            Ok(chunk) => bytes += chunk.len(),
            Err(error) => return (bytes, chain(&error)),
        }
    }
}

async fn check(acts: Vec<Act>, silence_ms: u64, want_bytes: usize, words: &str) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a/mpegts?token=hush", listener.local_addr().unwrap());
    let source = HttpTs::new(&feed(&url), deadlines(silence_ms)).unwrap();
    let ((bytes, said), (heads, _open)) = tokio::join!(pull(&source), serve(listener, acts));
    assert_eq!(bytes, want_bytes, "{said}");
    assert!(said.contains(words) && !said.contains("hush"), "{said:?}, wanted {words:?}");
    heads
}

#[tokio::test]
async fn a_stream_is_read_to_its_end() {
    let bytes = answer("200 OK\r\nContent-Type: video/mp2t", &ts(50));
    let heads = check(vec![Act::Send(bytes)], 5000, 50 * 188, "the server ended the stream").await;
    assert!(heads[0].starts_with("GET /a/mpegts?token=hush HTTP/1.1\r\n"), "{}", heads[0]);
    // A wrong label does no harm, and neither does a start in the middle of a packet.
    let bytes = answer("200 OK\r\nContent-Type: text/plain", &ts(50)[100..]);
    check(vec![Act::Send(bytes)], 5000, 50 * 188 - 100, "the server ended the stream").await;
}

#[tokio::test]
async fn a_break_in_the_middle_is_told_from_an_end() {
    let bytes = answer("200 OK\r\nContent-Length: 100000", &ts(50));
    check(vec![Act::Send(bytes)], 5000, 50 * 188, "the connection broke").await;
}

#[tokio::test]
async fn silence_ends_the_source() {
    check(vec![Act::Stall(answer("200 OK", &ts(50)))], 200, 50 * 188, "no byte for 200ms").await;
    check(vec![Act::Stall(answer("200 OK", b""))], 200, 0, "no byte for 200ms").await;
}

#[tokio::test]
async fn redirects_are_followed_up_to_a_bound() {
    let redirect = || Act::Send(answer("302 Found\r\nLocation: /b/mpegts\r\nContent-Length: 0", b""));
    let stream = Act::Send(answer("200 OK", &ts(20)));
    let heads = check(vec![redirect(), stream], 5000, 20 * 188, "the server ended").await;
    assert!(heads[1].starts_with("GET /b/mpegts HTTP/1.1"), "{}", heads[1]);
    check((0..=REDIRECTS_MAX).map(|_| redirect()).collect(), 5000, 0, "redirects more than 5 times").await;
}

#[tokio::test]
async fn what_is_no_stream_is_named() {
    for (head, body, words) in [
        (
            "200 OK\r\nContent-Type: text/html; charset=utf-8",
            "<!DOCTYPE html>",
            "answered text/html, not a transport stream: check",
        ),
        ("200 OK", "\n<HTML>", "answered text/html, not a transport stream"),
        ("200 OK\r\nContent-Type: application/json", "{}", "answered application/json, not"),
        ("200 OK\r\nContent-Type: video/mp2t", "{\"error\":1}", "answered a JSON document, not"),
        ("200 OK\r\nContent-Type: video/mp2t", "", "answered an empty body, not"),
        ("200 OK", "#EXTM3U\n", "answered an HLS playlist"),
        ("200 OK\r\nContent-Type: application/vnd.apple.mpegurl", "x", "answered an HLS playlist"),
        ("404 Not Found", "<html>", "answered 404 Not Found: check the stream's name"),
        ("403 Forbidden", "", "answered 403 Forbidden: check the token"),
        ("503 Service Unavailable", "", "answered 503 Service Unavailable: the server is full"),
        ("204 No Content", "", "answered 204 No Content: check the address"),
    ] {
        check(vec![Act::Send(answer(head, body.as_bytes()))], 5000, 0, words).await;
    }
}

#[tokio::test]
async fn nobody_there_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a?token=hush", listener.local_addr().unwrap());
    drop(listener);
    let source = HttpTs::new(&feed(&url), HttpDeadlines::default()).unwrap();
    let (_, said) = pull(&source).await;
    assert!(said.starts_with("cannot connect to 127.0.0.1:") && !said.contains("hush"), "{said}");
}

#[tokio::test]
async fn tokens_come_from_files() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "s3cret token").unwrap();
    let path = file.path().display();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let source = feed(&format!("http://{at}/a?x=1#token_file={path}&bearer_file={path}"));
    let source = HttpTs::new(&source, HttpDeadlines::default()).unwrap();
    let act = Act::Send(answer("200 OK", &ts(20)));
    let (_, (heads, _)) = tokio::join!(pull(&source), serve(listener, vec![act]));
    assert!(heads[0].starts_with("GET /a?x=1&token=s3cret+token HTTP/1.1"), "{}", heads[0]);
    assert!(heads[0].to_lowercase().contains("authorization: bearer s3cret token"), "{}", heads[0]);
    let missing = feed(&format!("http://{at}/a#token_file={path}.gone"));
    let (_, said) = pull(&HttpTs::new(&missing, HttpDeadlines::default()).unwrap()).await;
    assert!(said.starts_with("cannot read the token of this source: read secret"), "{said}");
}

#[tokio::test]
async fn only_the_given_authority_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    };
    let server = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (write("a.pem", &server.cert.pem()), write("a.key", &server.signing_key.serialize_pem()));
    let foreign = write("b.pem", &other.cert.pem());
    let config = tls::server_config(&tls::Identity { cert: cert.clone(), key }, None).unwrap();
    for (authority, bytes, words) in [(cert, 20 * 188, ""), (foreign, 0, "cannot connect to 127.0.0.1")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/a#ca_file={}", listener.local_addr().unwrap(), authority.display());
        let source = HttpTs::new(&feed(&url), HttpDeadlines::default()).unwrap();
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = tokio_rustls::TlsAcceptor::from(Arc::clone(&config)).accept(stream).await else {
                return;
            };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(&answer("200 OK", &ts(20))).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let ((got, said), ()) = tokio::join!(pull(&source), server);
        assert!(got == bytes && said.contains(words), "{got} {said}");
    }
}
