//! As much of HTTP as a viewer needs: one request on a connection of its own, HTTP/1.0 so that a body ends with it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

const HEAD_BYTES_MAX: usize = 16 << 10;
const CONNECT: Duration = Duration::from_secs(5);

/// Asks for a path; gives the connection behind the head, with what came along of the body.
pub(super) fn ask(address: SocketAddr, path: &str) -> Result<(u16, TcpStream, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT).context("connect to the node")?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).context("the connection")?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").context("ask the node")?;
    let (mut head, mut block) = (vec![], [0; 4096]);
    loop {
        let got = stream.read(&mut block).context("read the node's answer")?;
        ensure!(got > 0, "the node closed the connection before it answered {path}");
        head.extend_from_slice(&block[..got]);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = head.split_off(end + 4);
            let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
            let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
            return Ok((status.with_context(|| format!("no HTTP answer: {line}"))?, stream, body));
        }
        ensure!(head.len() < HEAD_BYTES_MAX, "the head of the answer to {path} does not end");
    }
}

/// The whole answer.
pub(super) fn get(address: SocketAddr, path: &str) -> Result<(u16, Vec<u8>)> {
    let (status, mut stream, mut body) = ask(address, path)?;
    stream.read_to_end(&mut body).with_context(|| format!("read the answer to {path}"))?;
    Ok((status, body))
}
