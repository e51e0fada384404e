//! A contribution feed with a session word: scrambled here, a word in the node's file, clear packets out; and no word in the log.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::{Context, Result, ensure};
use headend_tests::{
    broadcast::{Broadcaster, Relay, Scrambling},
    client::Viewer,
    feed::Feed,
    lone::{Lone, channel},
    player,
    wait::until,
    world::{content, feed_socket},
};
use serde_json::Value;

const NAME: &str = "lagon";
const SOON: Duration = Duration::from_secs(30);

async fn access(node: &Lone, state: &str, trouble: &str) -> Result<(Value, Duration)> {
    let look = || async {
        let access = node.status().await?["status"]["access"][0].clone();
        let words = access["trouble"].as_str().unwrap_or_default();
        ensure!(access["state"] == state && words.contains(trouble), "{access}");
        Ok(access)
    };
    until(state, SOON, look).await.with_context(|| node.log())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_with_a_session_word_comes_out_clear() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (from, to): (SocketAddr, SocketAddr) = (feed_socket(), feed_socket());
    // One word for the whole test, as the sender of a contribution feed has it.
    let broadcaster = Broadcaster::new(5, [0x7E; 32], 1_000_000);
    let word = broadcaster.word(0);
    let digits: String = [0, 1, 2, 4, 5, 6].iter().map(|at| format!("{:02X}", word[*at])).collect();
    let _relay = Relay::start(from, to, Scrambling::new(broadcaster, None)?).await?;
    let _feed = Feed::start(&content("lagon-caribbean.ts"), &format!("udp://{from}"), &folder.path().join("feed.log"))?;
    let source = format!("udp://{to}");
    let mut node = Lone::prepare(folder.path(), "car", "", vec![channel(NAME, &[("feed", &source)])])?;
    let key = folder.path().join("feed-word");
    let config = fs::read_to_string(node.config())?;
    let lines = format!("\n[[biss]]\ninput = \"{source}\"\nkey = \"{}\"\n", key.display());
    fs::write(node.config(), config + &lines)?;
    for (digits, state, trouble) in
        [(&digits[..], "clear", ""), ("0123456789AB", "scrambled", "the session word in node.toml is not the sender's")]
    {
        fs::write(&key, digits)?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
        node.run().await?;
        let (access, took) = access(&node, state, trouble).await?;
        println!("{state} {took:.1?} after the node was ready: {access}");
        ensure!(access["systems"] == serde_json::json!(["BISS"]) && access["card"].is_null(), "{access}");
        if state == "clear" {
            let (playlist, _) = node.playlist(NAME, 3).await?;
            let decoded = player::decode(&Viewer::guest()?.segment(&playlist.segments[1]).await?).await?;
            println!("{decoded:?}");
        }
        let said = fs::read_to_string(&node.program()?.log)? + &node.status().await?.to_string();
        ensure!(!said.to_uppercase().contains(digits), "the session word is shown");
        node.stop().await?;
    }
    fs::write(&key, "0123")?;
    let refused = node.run().await.err().context("a word that is none was taken")?;
    ensure!(format!("{refused:#}").contains("12 hexadecimal digits"), "{refused:#}");
    Ok(())
}
