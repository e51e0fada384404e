//! The technician's page in a real browser: it is there without a controller, follows tuners and cards, in two languages, on a
//! phone, without a script, and only for those who may see it.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use headend_tests::{
    broadcast::{Broadcaster, Relay, Scrambling},
    browser::Browser,
    feed::Feed,
    lone::{Lone, channel, now_secs},
    program::binary,
    test_card::{Key, Product, TestCard},
    vpcd::{Pcscd, Seat},
    wait::until,
    world::{content, feed_socket, fixture},
};
use serde_json::json;

const CARD_KEY: Key = [0x3C; 32];
const PRODUCT_KEY: Key = [0x7E; 32];
const ROOF: &str = "dvb://roof?system=t&frequency=474MHz";
const DARK_AT: Duration = Duration::from_secs(25);
const SOON: Duration = Duration::from_secs(30);

/// A box with a tuner at work, one that is away and a spare, and a card whose right ends in nine days.
struct Bench {
    node: Lone,
    seat: Seat,
    /// When the node's clock was zero.
    began: Instant,
    _pcscd: Pcscd,
    _relay: Relay,
    _feed: Feed,
}

fn tuner(folder: &Path, name: &str, script: &str) -> Result<String> {
    let clip = folder.join(format!("{name}.ts"));
    std::os::unix::fs::symlink(fixture("rai1.ts"), &clip)?;
    fs::write(folder.join(format!("{name}.ts.script")), script)?;
    Ok(format!("[[tuner]]\nname = \"{name}\"\ndevice = \"replay:{}\"\nantennas = [\"roof\"]\n", clip.display()))
}

async fn bench(folder: &Path) -> Result<Bench> {
    let pcscd = Pcscd::start(folder).await?;
    let at = |days: i64| u32::try_from(now_secs().saturating_add_signed(days * 86_400 + 3_600)).unwrap_or(u32::MAX);
    let product = Product { id: 5, key: PRODUCT_KEY, from: at(-2), until: at(9), label: "Base".to_owned() };
    let seat = Seat::new(&pcscd, TestCard::new(*b"HEAD\0\x01\x23\x45", CARD_KEY, vec![product]));
    let (from, to): (SocketAddr, SocketAddr) = (feed_socket(), feed_socket());
    let relay = Relay::start(from, to, Scrambling::new(Broadcaster::new(5, PRODUCT_KEY, 10), None)?).await?;
    let feed = Feed::start(&content("lagon-caribbean.ts"), &format!("udp://{from}"), &folder.join("feed.log"))?;
    let service = |number: u16| format!("{ROOF}&service={number}");
    let channels = vec![
        channel("rai1", &[("dtt", &service(3401))]),
        channel("rai2", &[("dtt", &service(3402))]),
        channel("lagon", &[("sat", &format!("udp://{to}"))]),
    ];
    let mut node = Lone::prepare(folder, "car-1", "", channels)?;
    let key = folder.join("card-key");
    fs::write(&key, CARD_KEY)?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let dark = DARK_AT.as_secs();
    let config = fs::read_to_string(node.config())?
        + "\n[input]\nprove_every_s = 5\n\n[[antenna]]\nname = \"roof\"\nterrestrial = true\n\n"
        + &tuner(folder, "played", &format!("at 0s quality 8.5\nat {dark}s lock off\nat {}s lock on\n", dark + 15))?
        + &tuner(folder, "spare", "at 0s quality 7.1\n")?
        + &tuner(folder, "deaf", "at 0s lock off\n")?
        + "[[tuner]]\nname = \"away\"\ndevice = \"usb:99-1.2\"\nantennas = [\"roof\"]\n\n"
        + &format!(
            "[[cards]]\nname = \"main\"\nreader = \"Headend*00 00\"\nprofile = \"open-test-card\"\nkey = \"{}\"\n",
            key.display()
        );
    fs::write(node.config(), config)?;
    node.environment = vec![pcscd.variable()];
    node.run().await?;
    // Scripts of recordings and the node's clock begin together; the clock begins at one hour.
    let now_ms = node.status().await?["status"]["now_ms"].as_u64().context("no clock")?;
    let up = Duration::from_millis(now_ms).saturating_sub(Duration::from_secs(3_600));
    let began = Instant::now().checked_sub(up).context("a clock before its time")?;
    Ok(Bench { node, seat, began, _pcscd: pcscd, _relay: relay, _feed: feed })
}

/// Waits until the text of an element holds these words; gives how long it took.
async fn shows(browser: &Browser, place: &str, words: &str) -> Result<Duration> {
    let script = "const e = document.getElementById(arguments[0]); return e ? e.innerText : null;";
    let look = || async {
        let text = browser.run(script, vec![json!(place)]).await?;
        let text = text.as_str().with_context(|| format!("no #{place}"))?.to_owned();
        ensure!(text.contains(words), "{text}");
        Ok(())
    };
    Ok(until(&format!("{words:?} in #{place}"), SOON, look).await?.1)
}

async fn html(bench: &Bench, headers: &[(&str, &str)]) -> Result<(u16, String)> {
    let mut request = bench.node.http.get(bench.node.url("/")?);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}

/// How wide the page is beyond the window, and controls too small for a finger.
const MEASURE: &str = "const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    const small = [...document.querySelectorAll('.card a, .list a, .ways a, summary, .switch')].filter((e) => {
        const box = e.getBoundingClientRect(); return box.height > 0 && box.height < 24; }).map((e) => e.textContent);
    return [wide, small];";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tuners_and_cards_are_followed_in_a_browser() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bench = bench(folder.path()).await?;
    bench.seat.insert()?;
    let browser = Browser::start(folder.path()).await?;
    browser.open(bench.node.url("/")?.as_str()).await?;
    let input = format!("i-{ROOF}");
    shows(&browser, &input, "receiving").await?;
    shows(&browser, &input, "2.2 dB").await?;
    shows(&browser, "k-main", "ready").await?;
    shows(&browser, "k-main", "9 days left").await?;
    shows(&browser, "attention", "Base: 9 days left").await?;
    shows(&browser, "attention", "weak signal, margin 2.2 dB").await?;
    shows(&browser, "t-away", "device not there").await?;
    shows(&browser, "scrambled", "clear").await?;
    // A spare tuner shows that it could take over, a deaf one that it could not.
    shows(&browser, "t-spare", "proven").await?;
    shows(&browser, "t-deaf", "no lock").await?;
    // What a reader opened, and where the keyboard is, stays through the updates.
    browser
        .run("document.querySelector('details').open = true; document.querySelector('summary').focus();", vec![])
        .await?;
    browser.run("window.kept = document.querySelector('#k-main h3')", vec![]).await?;
    ensure!(bench.began.elapsed() < DARK_AT, "the bench was too slow: the signal has gone already");
    shows(&browser, &input, "no lock").await?;
    let took = bench.began.elapsed().saturating_sub(DARK_AT);
    println!("the lost signal is on the page after {took:.2?}");
    ensure!(took < Duration::from_secs(2), "{took:.2?}");
    shows(&browser, "c-rai1", "SLATE").await?;
    let kept =
        "return [document.querySelector('details').open, document.activeElement.tagName, window.kept.isConnected];";
    let kept = browser.run(kept, vec![]).await?;
    ensure!(kept == json!([true, "SUMMARY", true]), "open, focus and place after the updates: {kept}");
    bench.seat.pull();
    let took = shows(&browser, "k-main", "Put the card in.").await?;
    println!("the pulled card is on the page after {took:.2?}");
    ensure!(took < Duration::from_secs(2), "{took:.2?}");
    shows(&browser, "attention", "no card").await?;
    shows(&browser, &input, "receiving").await?;
    let asked = browser.requests().await?;
    let address = bench.node.address()?;
    let elsewhere: Vec<_> = asked.iter().filter(|url| url.authority() != address).collect();
    ensure!(elsewhere.is_empty(), "{elsewhere:?}");
    let console = browser.console().await?;
    ensure!(console.is_empty(), "{console:?}");
    // A node that is gone is told, and found again when it is back.
    bench.node.kill().await?;
    let look = || async {
        let text = browser.run("return document.getElementById('banner').innerText", vec![]).await?;
        ensure!(text.as_str().is_some_and(|text| text.starts_with("This box has not answered for")), "{text}");
        Ok(())
    };
    let (_, took) = until("the banner", SOON, look).await?;
    println!("the dead node is told after {took:.2?}");
    ensure!(took < Duration::from_secs(6), "{took:.2?}");
    browser.close().await
}

/// Lets the page's own script meet the answers of a node with a module.
const MODULE: &str = r##"const cams = { cams: [{ name: 'astra-cam', device: 'pci:0000:03:00.0/0.0', slot: 0, state: 'ready',
    advice: '', since_ms: 1, module: { label: 'AlphaCrypt' }, systems: ['0500'], menu: true, last_error: null,
    services: [{ input: 'dvb://a', service: 6911, label: 'Film', list: 'selected', state: 'scrambled', trouble: 'no right' }],
    screen: { number: 3, kind: 'menu', title: 'Main menu', subtitle: '', bottom: '', choices: ['<b>Card</b>', 'Messages'] } }] };
    const real = window.fetch;
    window.fetch = async (address, options) => {
        if (address === '/api/node/v1/status') return new Response(JSON.stringify({ status: cams }));
        if (!String(address).startsWith('/api/node/v1/cams')) return real(address, options);
        if (options.method === 'POST') { window.asked = [address, JSON.parse(options.body)]; return new Response('{}', { status: 202 }); }
        return new Response(JSON.stringify(cams));
    };
    const script = document.createElement('script'); script.type = 'module';
    script.src = document.querySelector('script[src$="cams.js"]').src + '?again'; document.head.append(script);"##;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_fits_a_phone_in_both_languages() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bench = bench(folder.path()).await?;
    bench.seat.insert()?;
    let browser = Browser::start(folder.path()).await?;
    let pictures = std::env::var_os("HEADEND_PICTURES").map(std::path::PathBuf::from);
    browser.open(bench.node.url("/")?.as_str()).await?;
    shows(&browser, &format!("i-{ROOF}"), "receiving").await?;
    shows(&browser, "t-deaf", "no lock").await?;
    shows(&browser, "k-main", "9 days left").await?;
    for (width, height) in [(360, 740), (1280, 900)] {
        browser.resize(width, height).await?;
        let measured = browser.run(MEASURE, vec![]).await?;
        ensure!(measured[0] == 0 && measured[1] == json!([]), "{width}: {measured}");
        if let Some(folder) = &pictures {
            browser.tall_screenshot(&folder.join(format!("technician-{width}.png"))).await?;
        }
    }
    browser.open(bench.node.url("/?lang=fr")?.as_str()).await?;
    shows(&browser, "attention", "9 jours restants").await?;
    shows(&browser, &format!("i-{ROOF}"), "2,2 dB").await?;
    shows(&browser, "t-away", "appareil absent").await?;
    browser.resize(360, 740).await?;
    let measured = browser.run(MEASURE, vec![]).await?;
    ensure!(measured[0] == 0 && measured[1] == json!([]), "{measured}");
    if let Some(folder) = &pictures {
        browser.tall_screenshot(&folder.join("technician-fr-360.png")).await?;
    }
    // The keyboard reaches every object.
    let tabs = "return [...document.querySelectorAll('a[href^=\"#\"]')].filter((a) => a.getAttribute('href') !== '#' \
                && !document.getElementById(decodeURIComponent(a.getAttribute('href').slice(1)))).map((a) => a.href);";
    ensure!(browser.run(tabs, vec![]).await? == json!([]), "links that lead nowhere");
    // A module's menu, as docs/cam.md has it: nothing without a module, and its screen with answers when it has one.
    ensure!(browser.run("return document.getElementById('cams').hidden", vec![]).await? == json!(true));
    browser.run(MODULE, vec![]).await?;
    shows(&browser, "m-astra-cam", "Main menu").await?;
    browser.click("#m-astra-cam ol button").await?;
    let asked = browser.run("return window.asked", vec![]).await?;
    ensure!(asked == json!(["/api/node/v1/cams/astra-cam/answer", { "number": 3, "choice": 1 }]), "{asked}");
    if let Some(folder) = &pictures {
        browser.tall_screenshot(&folder.join("module-fr-360.png")).await?;
    }
    browser.close().await
}

#[tokio::test]
async fn it_is_whole_without_a_script_and_shows_no_secret() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bench = bench(folder.path()).await?;
    bench.seat.insert()?;
    let look = || async {
        let (status, text) = html(&bench, &[]).await?;
        ensure!(status == 200 && text.contains("receiving") && text.contains("days left"), "{status} {text}");
        Ok(text)
    };
    let (text, _) = until("the page", SOON, look).await?;
    ensure!(text.len() < 100_000, "{} bytes", text.len());
    ensure!(!text.contains(" style=") && !text.contains("onclick"), "inline code");
    for secret in [&hex(&CARD_KEY)[..], &hex(&PRODUCT_KEY), "4845414400012345"] {
        ensure!(!text.to_lowercase().contains(secret), "{secret}");
    }
    let response = bench.node.http.get(bench.node.url("/")?).send().await?;
    let policy = response.headers()["content-security-policy"].to_str()?.to_owned();
    ensure!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    ensure!(!response.headers().contains_key("access-control-allow-origin"), "readable by any page");
    let (_, french) = html(&bench, &[("accept-language", "fr-FR,fr;q=0.9,en;q=0.5")]).await?;
    ensure!(french.contains("lang=\"fr\"") && french.contains("jours restants"), "{french}");
    println!("{} bytes", text.len());
    Ok(())
}

#[tokio::test]
async fn strangers_and_foreign_names_stay_outside() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bench = bench(folder.path()).await?;
    let (status, text) = html(&bench, &[("host", "evil.example:8081")]).await?;
    ensure!(status == 421 && text.contains("IP address"), "{status} {text}");
    let (status, _) = html(&bench, &[("host", "car-1.local")]).await?;
    ensure!(status == 200, "{status}");
    // Another address of this machine is a stranger until its network is named.
    let lone = folder.path().join("lan");
    fs::create_dir(&lone)?;
    let mut node = Lone::prepare(&lone, "lan", "", vec![])?;
    let own = own_address()?;
    for (technicians, want) in [(String::new(), 403), (format!("technicians = [\"{own}\"]\n"), 200)] {
        node.configure("0.0.0.0:0", &technicians)?;
        node.run().await?;
        let port = node.address()?.rsplit_once(':').context("a port")?.1.to_owned();
        for path in ["/", "/api/node/v1/status"] {
            let response = node.http.get(format!("http://{own}:{port}{path}")).send().await?;
            ensure!(response.status() == want, "{path} {}", response.text().await?);
        }
        let health = node.http.get(format!("http://{own}:{port}/healthz")).send().await?;
        ensure!(health.status() == 200, "monitors are let in");
        node.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn femon_shows_the_tuners_of_a_running_node_without_touching_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bench = bench(folder.path()).await?;
    let config = folder.path().join("attached.toml");
    let listen = format!("listen = \"{}\"", bench.node.address()?);
    fs::write(&config, fs::read_to_string(bench.node.config())?.replace("listen = \"127.0.0.1:0\"", &listen))?;
    let femon = async |arguments: &[&str]| -> Result<(Option<i32>, String)> {
        let mut command = tokio::process::Command::new(binary("headend-node")?);
        command.args(["--log", "error", "femon", "--attach", "--once", "--config"]).arg(&config).args(arguments);
        let output = command.output().await?;
        Ok((output.status.code(), String::from_utf8(output.stdout)? + &String::from_utf8_lossy(&output.stderr)))
    };
    let look = || async {
        let (code, text) = femon(&["--tuner", "played"]).await?;
        ensure!(code == Some(0) && text.contains("lock  -52.0 dBm  8.5 dB  margin 2.2 dB"), "{code:?} {text}");
        Ok(())
    };
    until("the running node's figures", SOON, look).await?;
    let (_, json) = femon(&["--json"]).await?;
    let line: serde_json::Value = serde_json::from_str(json.lines().next().context("a line")?)?;
    ensure!(line["tuner"] == "played" && line["figures"]["margin"] == 2.2, "{line}");
    let tuner = bench.node.status().await?["status"]["inputs"][1]["tuner"].clone();
    ensure!(tuner["state"] == "receiving" && tuner["losses"]["transfer"]["times"] == 0, "{tuner}");
    let (code, text) = femon(&["--tuner", "nobody"]).await?;
    ensure!(code == Some(3), "{code:?} {text}");
    Ok(())
}

/// An address of this machine that is not loopback; nothing is sent.
fn own_address() -> Result<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("192.0.2.1:9")?;
    Ok(socket.local_addr()?.ip())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
