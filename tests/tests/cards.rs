//! Cards end to end: a live feed scrambled here, real pcscd, a card that the test plays, and the node in between.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use headend_media::{
    packet::{PACKET_BYTES, Packet, Pid, Scrambling as Marked},
    service::{ServiceId, ServiceWatch, StreamKind},
    text::TextDefaults,
};
use headend_tests::{
    broadcast::{Broadcaster, ECM_PID, Relay, Scrambling, Sent},
    client::Viewer,
    feed::Feed,
    lone::{Lone, channel, now_secs},
    player,
    program::{Program, binary},
    test_card::{Key, Mood, Product, TestCard, emm},
    vpcd::{Pcscd, READER, Seat},
    wait::until,
    world::{content, feed_socket, fixture},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const NAME: &str = "lagon";
const NUMBER: [u8; 8] = [0x48, 0x45, 0x41, 0x44, 0x00, 0x01, 0x23, 0x45];
const CARD_KEY: Key = [0x3C; 32];
const PRODUCT_KEY: Key = [0x7E; 32];
const PRODUCT: u16 = 5;
const SOON: Duration = Duration::from_secs(30);

/// Everything between a sender and a viewer.
struct Bench {
    pcscd: Pcscd,
    seat: Seat,
    relay: Relay,
    _feed: Feed,
    node: Lone,
    broadcaster: Broadcaster,
}

fn product(from: i64, until: i64) -> Product {
    let at = |offset| u32::try_from(now_secs().saturating_add_signed(offset)).unwrap_or(u32::MAX);
    Product { id: PRODUCT, key: PRODUCT_KEY, from: at(from), until: at(until), label: "Base".to_owned() }
}

fn card_lines(profile: &str) -> String {
    format!("\n[[cards]]\nname = \"main\"\nreader = \"Headend*00 00\"\n{profile}\n")
}

/// Prepares everything; the card lies beside its reader, and the node does not run yet.
async fn bench(folder: &Path, period_secs: u64, products: Vec<Product>, profile: Option<&str>) -> Result<Bench> {
    let feed = content("lagon-caribbean.ts");
    bench_of(folder, period_secs, (products, profile), (feed, &[(NAME, None)])).await
}

/// The same for another file, with a channel for each of these services.
async fn bench_of(
    folder: &Path,
    period_secs: u64,
    (products, profile): (Vec<Product>, Option<&str>),
    (feed, services): (PathBuf, &[(&str, Option<u16>)]),
) -> Result<Bench> {
    let pcscd = Pcscd::start(folder).await?;
    let seat = Seat::new(&pcscd, TestCard::new(NUMBER, CARD_KEY, products));
    let (from, to): (SocketAddr, SocketAddr) = (feed_socket(), feed_socket());
    let broadcaster = Broadcaster::new(PRODUCT, PRODUCT_KEY, period_secs);
    let relay = Relay::start(from, to, Scrambling::new(broadcaster.clone(), None)?).await?;
    let feed = Feed::start(&feed, &format!("udp://{from}"), &folder.join("feed.log"))?;
    let of = |(name, service): &(&str, Option<u16>)| {
        let mut channel = channel(name, &[("sat", &format!("udp://{to}"))]);
        channel.sources[0].service = *service;
        channel
    };
    let mut node = Lone::prepare(folder, "car", "", services.iter().map(of).collect())?;
    let key = folder.join("card-key");
    fs::write(&key, CARD_KEY)?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let own = format!("profile = \"open-test-card\"\nkey = \"{}\"", key.display());
    let config = fs::read_to_string(node.config())? + &card_lines(profile.unwrap_or(&own));
    fs::write(node.config(), config)?;
    node.environment = vec![pcscd.variable()];
    Ok(Bench { pcscd, seat, relay, _feed: feed, node, broadcaster })
}

impl Bench {
    /// Waits until the service stands like this; gives its status and how long it took.
    async fn stands(&self, state: &str, trouble: &str, within: Duration) -> Result<(Value, Duration)> {
        let look = || async {
            let status = self.node.status().await?;
            let access = status["status"]["access"][0].clone();
            let words = access["trouble"].as_str().unwrap_or_default();
            ensure!(access["state"] == state && words.contains(trouble), "{access} {}", status["status"]["cards"]);
            Ok(access)
        };
        until(&format!("{state} {trouble}"), within, look).await.with_context(|| self.node.log())
    }

    async fn card(&self) -> Result<Value> {
        Ok(self.node.status().await?["status"]["cards"][0].clone())
    }

    /// Reads the source as it was captured, behind the descrambler, until the relay has come to a period.
    async fn capture(&self, period: u32) -> Result<Vec<u8>> {
        self.capture_until(NAME, |sent| sent.period >= period).await
    }

    /// Reads it until what the relay has sent is enough.
    async fn capture_until(&self, channel: &str, enough: impl Fn(&Sent) -> bool) -> Result<Vec<u8>> {
        let url = self.node.url(&format!("/{channel}/mpegts?source=sat"))?;
        let mut response = self.node.http.get(url).timeout(Duration::from_secs(600)).send().await?;
        ensure!(response.status().is_success(), "{}", response.status());
        let mut bytes = vec![];
        while !self.relay.sent(&enough) {
            let chunk = tokio::time::timeout(SOON, response.chunk()).await.context("the capture is silent")??;
            bytes.extend_from_slice(&chunk.context("the capture ended")?);
        }
        Ok(bytes)
    }

    /// Holds what was captured against what was sent: every packet there, in order, as it was before it was scrambled.
    fn compare(&self, captured: &[u8]) -> Result<usize> {
        let pids = self.relay.sent(|sent| sent.clear.iter().filter_map(|b| Some(Packet::new(b)?.pid())).collect());
        self.compare_of(captured, &pids)
    }

    /// The same for some of the scrambled streams.
    fn compare_of(&self, captured: &[u8], pids: &BTreeSet<Pid>) -> Result<usize> {
        self.relay.sent(|sent| {
            let got: Vec<&[u8; PACKET_BYTES]> = captured
                .as_chunks::<PACKET_BYTES>()
                .0
                .iter()
                .filter(|bytes| Packet::new(bytes).is_some_and(|packet| pids.contains(&packet.pid())))
                .collect();
            let scrambled = got
                .iter()
                .filter(|bytes| Packet::new(bytes).is_none_or(|packet| packet.scrambling() != Marked::Clear))
                .count();
            ensure!(scrambled == 0, "{scrambled} of {} packets are still scrambled", got.len());
            ensure!(got.len() > 100, "{} packets were captured", got.len());
            let window = 30;
            let ours =
                |bytes: &&[u8; PACKET_BYTES]| Packet::new(bytes).is_some_and(|packet| pids.contains(&packet.pid()));
            let sent: Vec<&[u8; PACKET_BYTES]> = sent.clear.iter().filter(ours).collect();
            let start = sent.windows(window).position(|sent| *sent == got[..window]);
            let start = start.context("the first packets of the capture were never sent")?;
            for (number, (got, sent)) in got.iter().zip(&sent[start..]).enumerate() {
                ensure!(got == sent, "packet {number} of {} came out otherwise", sent.len());
            }
            Ok(got.len())
        })
    }
}

/// How many changes of words, ten seconds each, are watched: 4, or `HEADEND_WORD_CHANGES`.
fn changes() -> Result<u32> {
    match std::env::var("HEADEND_WORD_CHANGES") {
        Ok(text) => text.parse().with_context(|| format!("HEADEND_WORD_CHANGES={text:?} is not a number")),
        Err(_) => Ok(4),
    }
}

#[tokio::test]
async fn a_scrambled_service_comes_out_clear_and_loses_no_packet_when_words_change() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bench = bench(folder.path(), 10, vec![product(-60, 86_400)], None).await?;
    bench.seat.insert()?;
    bench.node.run().await?;
    let (_, took) = bench.stands("clear", "", SOON).await?;
    println!("clear {took:.1?} after the node was ready");
    let changes = changes()?;
    let first = bench.relay.sent(|sent| sent.period);
    let captured = bench.capture(first + changes).await?;
    let packets = bench.compare(&captured)?;
    println!("{packets} packets over {changes} changes of words, none lost");
    let (playlist, _) = bench.node.playlist(NAME, 3).await?;
    let decoded = player::decode(&Viewer::guest()?.segment(&playlist.segments[1]).await?).await?;
    println!("{decoded:?}");
    let channel = bench.node.channel(NAME).await?;
    ensure!(channel["state"] == "ok" && channel["cc_errors_per_minute"] == 0, "{channel}");
    let card = bench.card().await?;
    ensure!(card["state"] == "ready" && card["number_tail"] == "2345", "{card}");
    ensure!(card["entitlements"][0]["label"] == "Base", "{card}");
    // One question for each crypto period, however often its ECM repeats.
    let asked = card["counts"]["asked"].as_u64().unwrap_or(0);
    let periods = u64::from(bench.relay.sent(|sent| sent.period)) + 1;
    ensure!(asked <= periods && bench.seat.card().ecms == asked, "{asked} questions in {periods} periods");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_multiplex_the_wanted_services_come_out_clear_and_no_other() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = fixture("rai1.ts");
    let mut watch = ServiceWatch::new(TextDefaults::default());
    for packet in fs::read(&file)?.as_chunks::<PACKET_BYTES>().0.iter().filter_map(Packet::new) {
        watch.push(&packet, &mut |_| {});
    }
    let pids = |id: u16| -> BTreeSet<Pid> {
        let service = watch.services().list.get(&ServiceId(id));
        let streams = service.into_iter().flat_map(|service| &service.streams);
        streams.filter(|stream| stream.kind() != StreamKind::Data).map(|stream| stream.pid).collect()
    };
    // The third channel's capture shows the whole multiplex; its service is the first one.
    let wanted = [(NAME, Some(3404)), ("due", Some(3405)), ("tutto", None)];
    let products = vec![product(-60, 86_400)];
    let mut bench = bench_of(folder.path(), 2, (products, None), (file, &wanted)).await?;
    bench.seat.insert()?;
    bench.node.run().await?;
    let look = || async {
        let status = bench.node.status().await?;
        let access = status["status"]["access"].as_array().context("no list")?;
        let clear = |id: u16| access.iter().any(|one| one["service"] == id && one["state"] == "clear");
        ensure!(clear(3404) && clear(3405), "{access:?}");
        Ok(())
    };
    until("both services clear", SOON, look).await.with_context(|| bench.node.log())?;
    let first = bench.relay.sent(|sent| sent.period);
    // A machine that is short of time loses datagrams before the relay: what counts is that enough of each came by.
    let all: Vec<Pid> = [3404, 3405, 3406].into_iter().flat_map(pids).collect();
    let (from, looked_at) = (bench.relay.sent(|sent| sent.clear.len()), std::cell::Cell::new(first));
    let enough = |sent: &Sent| {
        // Once a period: to count is work too.
        if sent.period < first + 4 || looked_at.replace(sent.period) == sent.period {
            return false;
        }
        let came = |pid: &Pid| {
            let of = |bytes: &&[u8; PACKET_BYTES]| Packet::new(bytes).is_some_and(|packet| packet.pid() == *pid);
            sent.clear[from..].iter().filter(of).count()
        };
        sent.period > first + 30 || all.iter().all(|pid| came(pid) >= 300)
    };
    let captured = bench.capture_until("tutto", enough).await?;
    for id in [3404, 3405] {
        println!("service {id}: {} packets, none lost", bench.compare_of(&captured, &pids(id))?);
    }
    let other = bench.compare_of(&captured, &pids(3406)).map_err(|error| error.to_string());
    ensure!(other.as_ref().is_err_and(|words| words.contains("still scrambled")), "a service nobody wants: {other:?}");
    // Both services have the same ECMs: the card is asked once for both.
    let card = bench.card().await?;
    ensure!(card["counts"]["asked"] == bench.seat.card().ecms && card["counts"]["remembered"] != 0, "{card}");
    Ok(())
}

#[tokio::test]
async fn a_card_that_is_pulled_and_put_back_is_clear_again_in_three_seconds() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bench = bench(folder.path(), 2, vec![product(-60, 86_400)], None).await?;
    bench.node.run().await?;
    bench.stands("scrambled", "no card answers", SOON).await?;
    for _ in 0..3 {
        bench.seat.insert()?;
        let (_, took) = bench.stands("clear", "", SOON).await?;
        println!("clear {took:.2?} after the card was put in");
        ensure!(took < Duration::from_secs(3), "clear only after {took:.2?}");
        ensure!(bench.card().await?["state"] == "ready");
        let known = bench.relay.sent(|sent| sent.period) + 1;
        bench.seat.pull();
        let over = || async {
            ensure!(bench.relay.sent(|sent| sent.period) > known, "the last word that the card gave is in use");
            Ok(())
        };
        until("a period without a word", SOON, over).await?;
        let (_, took) = bench.stands("scrambled", "", SOON).await?;
        println!("scrambled {took:.2?} after the first period without a word began");
        ensure!(took < Duration::from_secs(1), "seen only after {took:.2?}");
        ensure!(bench.card().await?["state"] == "empty");
    }
    Ok(())
}

#[tokio::test]
async fn what_keeps_a_service_scrambled_is_said_and_an_emm_mends_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bench = bench(folder.path(), 3, vec![], None).await?;
    bench.seat.insert()?;
    bench.node.run().await?;
    bench.stands("scrambled", "not entitled", SOON).await?;
    bench.relay.send_emm(emm(NUMBER, &CARD_KEY, 1, &product(-86_400, -3_600)));
    bench.stands("scrambled", "run out", SOON).await?;
    bench.relay.send_emm(emm(NUMBER, &CARD_KEY, 2, &product(-60, 86_400)));
    let (_, took) = bench.stands("clear", "", SOON).await?;
    println!("clear {took:.2?} after the entitlement was sent");
    bench.seat.card().mood = Mood::WrongWords;
    let (_, took) = bench.stands("scrambled", "wrong", SOON).await?;
    println!("scrambled {took:.2?} after the card gave wrong words (a period has 3 s)");
    bench.seat.card().mood = Mood::Busy(3);
    bench.stands("clear", "", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn pcscd_that_dies_and_comes_back_is_found_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bench = bench(folder.path(), 2, vec![product(-60, 86_400)], None).await?;
    bench.seat.insert()?;
    bench.node.run().await?;
    bench.stands("clear", "", SOON).await?;
    bench.pcscd.kill().await?;
    bench.stands("scrambled", "", SOON).await?;
    ensure!(bench.card().await?["state"] == "no-reader");
    bench.seat.pull();
    bench.pcscd.again()?;
    let insert = std::cell::RefCell::new(&mut bench.seat);
    until("vpcd", SOON, || async { insert.borrow_mut().insert() }).await?;
    let (_, took) = bench.stands("clear", "", SOON).await?;
    println!("clear {took:.2?} after pcscd came back");
    Ok(())
}

#[tokio::test]
async fn a_vendors_module_serves_in_its_sandbox_and_may_die() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let module = binary("sample_module")?;
    let profile = format!(
        "profile = \"vendor\"\nmodule = \"{}\"\narguments = [\"{}\", \"--die-after\", \"4\"]",
        module.display(),
        "3c".repeat(32)
    );
    let mut bench = bench(folder.path(), 4, vec![product(-60, 86_400)], Some(&profile)).await?;
    bench.seat.insert()?;
    bench.node.run().await?;
    bench.stands("clear", "", SOON).await?;
    let first = bench.relay.sent(|sent| sent.period);
    // The module dies at its fourth ECM; the word of that period had come with the ECM before.
    let captured = bench.capture(first + 6).await?;
    bench.compare(&captured)?;
    let card = bench.card().await?;
    ensure!(card["last_error"] == "the vendor's module ended", "{card}");
    Ok(())
}

#[tokio::test]
async fn the_technicians_verb_tells_cards_and_codes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bench = bench(folder.path(), 10, vec![product(-60, 86_400)], None).await?;
    let config = bench.node.config().display().to_string();
    let variable = bench.pcscd.variable();
    let card = async |variable: &(String, String)| -> Result<(Option<i32>, String)> {
        let mut command = tokio::process::Command::new(binary("headend-node")?);
        command.args(["card", "--config", &config]).env(&variable.0, &variable.1);
        let output = command.output().await?;
        Ok((output.status.code(), String::from_utf8(output.stdout)? + &String::from_utf8_lossy(&output.stderr)))
    };
    let (code, text) = card(&variable).await?;
    ensure!(code == Some(7) && text.contains(&format!("{READER}: empty")), "{code:?} {text}");
    bench.seat.insert()?;
    let look = || async {
        let (code, text) = card(&variable).await?;
        ensure!(code == Some(0), "{code:?} {text}");
        Ok(text)
    };
    let (text, _) = until("the card", SOON, look).await?;
    for words in ["direct convention, T=1", "\"HEADEND\"", "number ending in 2345", "product 5 Base: until"] {
        ensure!(text.contains(words), "{words}: {text}");
    }
    ensure!(!text.contains("4845"), "the whole number is shown: {text}");
    bench.seat.card().mood = Mood::Garbled(0x90);
    let (code, text) = card(&variable).await?;
    ensure!(code == Some(4) && text.contains("cannot be read"), "{code:?} {text}");
    let nowhere = (variable.0, folder.path().join("nobody").display().to_string());
    let (code, text) = card(&nowhere).await?;
    ensure!(code == Some(7), "{code:?} {text}");
    Ok(())
}

/// Takes MQTT connections, says yes to everything (3.1.1, §3), and keeps every byte it was sent.
async fn listen_in(listener: TcpListener, heard: std::sync::Arc<std::sync::Mutex<Vec<u8>>>) -> Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut buffer = vec![];
        loop {
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).await.unwrap_or(0);
            if count == 0 {
                break;
            }
            heard.lock().expect("lock").extend_from_slice(&piece[..count]);
            buffer.extend_from_slice(&piece[..count]);
            while let Some((kind, body, used)) = packet(&buffer) {
                let answer = match kind >> 4 {
                    1 => vec![0x20, 2, 0, 0],
                    8 => vec![0x90, 3, body[0], body[1], 1],
                    12 => vec![0xD0, 0],
                    3 if kind & 0x06 == 0x02 => {
                        let topic = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                        vec![0x40, 2, body[topic], body[topic + 1]]
                    }
                    _ => vec![],
                };
                buffer.drain(..used);
                stream.write_all(&answer).await?;
            }
        }
    }
}

/// First byte, body and length of a whole control packet (§2.2.3).
fn packet(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (mut length, mut at) = (0_usize, 1);
    loop {
        let byte = *bytes.get(at)?;
        length |= usize::from(byte & 0x7F) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some((*bytes.first()?, bytes.get(at..at + length)?.to_vec(), at + length))
}

#[tokio::test]
async fn nothing_the_node_says_holds_a_control_word_or_the_cards_number() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bench = bench(folder.path(), 2, vec![product(-60, 86_400)], None).await?;
    let broker = TcpListener::bind("127.0.0.1:0").await?;
    let config = fs::read_to_string(bench.node.config())?;
    let address = format!("url = \"mqtt://{}\"", broker.local_addr()?);
    fs::write(bench.node.config(), config.replace("url = \"mqtt://127.0.0.1:9\"", &address))?;
    let heard = std::sync::Arc::default();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(listen_in(broker, std::sync::Arc::clone(&heard)));
    bench.seat.insert()?;
    bench.node.run().await?;
    bench.stands("clear", "", SOON).await?;
    let (playlist, _) = bench.node.playlist(NAME, 3).await?;
    let mut said: Vec<(String, Vec<u8>)> = vec![];
    let token = bench.node.token.clone();
    let mut paths: Vec<String> =
        ["/", "/healthz", "/metrics", "/api/node/v1/status", "/api/node/v1", "/debug"].map(str::to_owned).to_vec();
    for leaf in ["index.m3u8", "video.m3u8", "mono.m3u8", "recording_status.json", "preview.h264"] {
        paths.push(format!("/{NAME}/{leaf}?token={token}"));
    }
    for path in paths {
        let body = bench.node.http.get(bench.node.url(&path)?).send().await?.bytes().await?;
        said.push((path, body.to_vec()));
    }
    for segment in &playlist.segments {
        let body = bench.node.http.get(segment.url.clone()).send().await?.bytes().await?;
        said.push((segment.url.path().to_owned(), body.to_vec()));
    }
    let period = bench.relay.sent(|sent| sent.period);
    said.push(("capture".to_owned(), bench.capture(period + 2).await?));
    let look = || async {
        let heard = heard.lock().expect("lock").clone();
        let text = String::from_utf8_lossy(&heard).into_owned();
        ensure!(text.contains("\"entitled_until\""), "no report about the card yet");
        Ok(heard)
    };
    said.push(("mqtt".to_owned(), until("a report about the card", SOON, look).await?.0));
    said.push(("log".to_owned(), fs::read(&bench.node.program()?.log)?));
    bench.node.stop().await?;
    for entry in fs::read_dir(bench.node.state())?.flatten().filter(|entry| entry.path().is_file()) {
        said.push((entry.path().display().to_string(), fs::read(entry.path())?));
    }
    let words: Vec<[u8; 8]> = (0..=period + 4).map(|number| bench.broadcaster.word(number)).collect();
    let secrets = words.iter().map(<[u8; 8]>::as_slice).chain([&CARD_KEY[..], &PRODUCT_KEY[..], &NUMBER[..]]);
    let begin = Instant::now();
    for secret in secrets {
        for (place, bytes) in &said {
            // The relay's own ECMs hold nothing in the clear, so that the capture may be searched like the rest.
            ensure!(!contains(bytes, secret), "{place} holds a secret");
            ensure!(!contains(&bytes.to_ascii_lowercase(), hex(secret).as_bytes()), "{place} holds a secret in digits");
        }
    }
    println!("{} places, {} words searched in {:.1?}; ECM PID {ECM_PID}", said.len(), words.len(), begin.elapsed());
    Ok(())
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    let first = wanted[0];
    let places = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
    places.map(|(at, _)| at).any(|at| bytes[at..].starts_with(wanted))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn the_benchs_verb_opens_a_recording_with_the_right_word_only() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut packets = fs::read(content("lagon-caribbean.ts"))?;
    let broadcaster = Broadcaster::new(PRODUCT, PRODUCT_KEY, 1_000_000);
    let mut scrambling = Scrambling::new(broadcaster.clone(), None)?;
    for part in packets.chunks_mut(7 * PACKET_BYTES) {
        scrambling.packets(part, Duration::ZERO, Instant::now());
    }
    fs::write(path("scrambled.ts"), &packets)?;
    fs::write(path("word"), hex(&broadcaster.word(0)))?;
    fs::set_permissions(path("word"), fs::Permissions::from_mode(0o600))?;
    let word = format!("@{}", path("word"));
    let text =
        Program::run("headend-node", &["descramble", "--cw", &word, &path("scrambled.ts"), &path("clear.ts")]).await?;
    ensure!(text.contains(" 0 left scrambled"), "{text}");
    let decoded = player::decode_recorded(&fs::read(path("clear.ts"))?).await?;
    println!("{text}{decoded:?}");
    let wrong = ["descramble", "--biss", "0123456789AB", &path("scrambled.ts"), &path("noise.ts")];
    let output = tokio::process::Command::new(binary("headend-node")?).args(wrong).output().await?;
    ensure!(output.status.code() == Some(4), "{output:?}");
    let short = ["descramble", "--biss", "0123", &path("scrambled.ts"), &path("noise.ts")];
    let output = tokio::process::Command::new(binary("headend-node")?).args(short).output().await?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    Ok(())
}
