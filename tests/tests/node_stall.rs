//! Viewers that take nothing and requests that never end, beside viewers that are well.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use headend_tests::{
    endless::Endless,
    lone::{Lone, channel, file},
    wait::until,
    world::fixture,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

const NAME: &str = "fr/france2";
const STALLED: usize = 200;
const HALF_SENT: usize = 500;
const HEALTHY: usize = 50;

/// How long a client of the bad kind may last.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the node may grow by: send buffers are the kernel's, and nothing else is kept per viewer but a cursor and the
/// chunk on its way.
const GROWTH_MAX_KIB: u64 = 192 * 1024;

/// A client with a small window, as a set-top box has, that sends `request` and reads nothing.
async fn connect(address: SocketAddr, request: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(32 * 1024)?;
    socket.bind(SocketAddr::from((IpAddr::V4(Ipv4Addr::LOCALHOST), 0)))?;
    let mut stream = socket.connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

fn resident_kib(id: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    line.trim().trim_end_matches(" kB").parse().context("VmRSS")
}

/// Whether the node ended this connection. What it sent before that is still to be read.
async fn ended(mut stream: TcpStream) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let drained = tokio::time::timeout(Duration::from_secs(5), async {
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    });
    drained.await.context("a stalled viewer is still served")
}

#[tokio::test]
async fn stalled_viewers_are_cut_and_hurt_nobody() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let caps = "clients_max = 2000\nclients_per_address_max = 2000\n";
    let mut lineup = channel(NAME, &[("file", &file(&fixture("france2.ts")))]);
    lineup.free = true;
    let mut node = Lone::prepare(folder.path(), "fr-1", caps, vec![lineup])?;
    node.run().await?;
    node.playlist(NAME, 1).await?;
    let address: SocketAddr = node.address()?.parse()?;
    let id = node.program()?.id().context("it runs")?;

    let url = node.url(&format!("/{NAME}/mpegts"))?;
    let mut healthy = vec![];
    for _ in 0..HEALTHY {
        healthy.push(Endless::start(&node.http, url.clone(), 0).await?);
    }
    healthy[HEALTHY - 1].more(2.0).await?;
    let before = resident_kib(id)?;

    let start = Instant::now();
    let (mut bad, mut stalled) = (vec![], vec![]);
    let request = format!("GET /{NAME}/mpegts HTTP/1.1\r\nHost: node\r\n\r\n");
    for _ in 0..STALLED {
        stalled.push(connect(address, &request).await?);
    }
    for index in 0..HALF_SENT {
        // Cut after the request line, in the middle of a header, before the last line end, and before the first byte.
        let cut = [request.len() - 2, 20, request.len() - 4, 0][index % 4];
        bad.push(connect(address, &request[..cut]).await?);
    }
    let sent = start.elapsed();
    let mut peak = before;
    let opened = |http: &serde_json::Value| http["open"].as_u64();
    let start = Instant::now();
    let gone = || {
        let grown = resident_kib(id);
        let node = &node;
        async move {
            let http = node.status().await?["status"]["http"].clone();
            // The healthy ones and the one that asks.
            let open = opened(&http).context("no count")?;
            ensure!(open <= HEALTHY as u64 + 2, "{open} connections are open: {http}");
            Ok((http, grown?))
        }
    };
    let mut watch = tokio::time::interval(Duration::from_millis(500));
    let last = loop {
        watch.tick().await;
        peak = peak.max(resident_kib(id)?);
        match gone().await {
            Ok((http, _)) => break http,
            Err(reason) => ensure!(start.elapsed() < PATIENCE, "after {:?}: {reason:#}", start.elapsed()),
        }
    };
    println!(
        "{STALLED} stalled and {HALF_SENT} half-sent (in {:.1} s) were gone after {:.1} s; resident {} MiB before, {} MiB at most; {last}",
        sent.as_secs_f64(),
        start.elapsed().as_secs_f64(),
        before / 1024,
        peak / 1024,
    );
    assert!(peak - before < GROWTH_MAX_KIB, "it grew from {before} to {peak} KiB");
    assert_eq!(last["timed_out_head"].as_u64(), Some(HALF_SENT as u64), "{last}");
    for stream in stalled {
        ended(stream).await?;
    }
    healthy[0].more(2.0).await?;
    for (index, viewer) in healthy.iter().enumerate() {
        viewer.whole().with_context(|| format!("healthy viewer {index}"))?;
    }
    let seconds: Vec<f64> = healthy.iter().map(Endless::seconds).collect();
    let (least, most) = (seconds.iter().copied().fold(f64::MAX, f64::min), seconds.iter().copied().fold(0.0, f64::max));
    let silent = healthy.iter().map(Endless::gap).max().unwrap_or_default();
    println!(
        "{HEALTHY} healthy: {least:.1} to {most:.1} s each, longest silence {:.2} s, no break",
        silent.as_secs_f64()
    );
    assert!(most - least < 3.0, "some lag behind: {least} to {most} s");
    // New viewers are welcome.
    let late = Endless::start(&node.http, url, 0).await?;
    until("a late viewer's picture", Duration::from_secs(5), || async { late.whole() }).await?;
    drop(bad);
    Ok(())
}
