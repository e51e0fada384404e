//! How a node begins and ends: its configuration, its identity, a signal.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use headend_tests::{
    lone::{Lone, channel, file},
    program::binary,
    wait::until,
    world::content,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const NAME: &str = "lagon";

fn prepared(folder: &std::path::Path) -> Result<Lone> {
    let url = file(&content("lagon-caribbean.ts"));
    Lone::prepare(folder, "car-1", "", vec![channel(NAME, &[("file", &url)])])
}

/// Runs a verb with the node's configuration; exit code and what it said.
async fn say(node: &Lone, verb: &str) -> Result<(i32, String)> {
    let config = node.config().display().to_string();
    let output = tokio::process::Command::new(binary("headend-node")?)
        .args([verb, "--config", &config])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(10), output).await.context("it runs on")??;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok((output.status.code().unwrap_or(-1), text))
}

#[tokio::test]
async fn a_misspelt_key_is_named_with_its_line_and_the_right_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = prepared(folder.path())?;
    let (code, text) = say(&node, "check-config").await?;
    assert_eq!(code, 0, "{text}");
    let good = fs::read_to_string(node.config())?;
    fs::write(node.config(), good.replace("listen =", "lisen ="))?;
    for verb in ["check-config", "run"] {
        let (code, text) = say(&node, verb).await?;
        assert_eq!(code, 8, "{verb}: {text}");
        assert!(text.contains("car-1.toml:6: unknown key `lisen` in [http]; did you mean `listen`?"), "{verb}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_nobody_says_how_to_become_somebody() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = prepared(folder.path())?;
    fs::remove_file(node.state().join("identity/card.json"))?;
    let (code, text) = say(&node, "run").await?;
    assert_eq!(code, 5, "{text}");
    assert!(text.contains("run `headend-node enrol --code CODE`"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_signal_ends_it_in_order_and_the_port_is_free_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut node = prepared(folder.path())?;
    node.run().await?;
    let address = node.address()?;
    let (first, _) = node.playlist(NAME, 2).await?;
    // A second node on the same port is told so.
    node.configure(&address, "")?;
    let (code, text) = say(&node, "run").await?;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&address) && text.to_lowercase().contains("in use"), "{text}");

    // A viewer that holds its connection open does not hold up the end.
    let _viewer =
        node.http.get(node.url(&format!("/{NAME}/mpegts?{}", first.url.query().unwrap_or_default()))?).send().await?;
    let start = Instant::now();
    assert_eq!(node.stop().await?, 0);
    let took = start.elapsed();
    println!("stopped in {:.2} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    node.run().await?;
    assert_eq!(node.address()?, address);
    let (second, _) = node.media(NAME).await?;
    assert!(second.sequence >= first.sequence);
    Ok(())
}

#[tokio::test]
async fn a_newer_desired_state_is_taken_and_a_forged_one_is_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut node = prepared(folder.path())?;
    node.run().await?;
    node.playlist(NAME, 1).await?;
    node.kill().await?;
    let url = file(&content("horizon-caribbean.ts"));
    node.desire(vec![channel(NAME, &[("other", &url)])])?;
    node.run().await?;
    let playing = || async {
        let channel = node.channel(NAME).await?;
        ensure!(channel["playing"] == "other", "{channel}");
        Ok(())
    };
    until("the newer state", Duration::from_secs(20), playing).await?;
    assert_eq!(node.status().await?["status"]["generation"], 2);
    node.kill().await?;
    let path = node.state().join("desired.json");
    let text = fs::read_to_string(&path)?;
    fs::write(&path, text.replace("other", "ether"))?;
    node.run().await?;
    let empty = || async {
        let status = node.status().await?;
        ensure!(status["status"]["channels"].as_array().is_some_and(Vec::is_empty), "{status}");
        Ok(())
    };
    until("no channel", Duration::from_secs(5), empty).await?;
    assert_eq!(node.status().await?["status"]["generation"], serde_json::Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_reload_keeps_the_old_configuration_when_the_new_one_is_bad() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut node = prepared(folder.path())?;
    node.run().await?;
    let (first, _) = node.playlist(NAME, 1).await?;
    let good = fs::read_to_string(node.config())?;
    let reload = |text: String, words: &'static str| {
        let node = &node;
        async move {
            fs::write(node.config(), text)?;
            let process = node.program()?.id().context("it runs")?;
            kill(Pid::from_raw(i32::try_from(process)?), Signal::SIGHUP)?;
            let told = || async {
                ensure!(node.log().contains(words), "{}", node.log());
                Ok(())
            };
            until(words, Duration::from_secs(10), told).await
        }
    };
    reload(good.replace("listen =", "lisen ="), "unknown key `lisen` in [http]; did you mean `listen`?").await?;
    reload(good.replace("[http]", "[http]\nclients_max = 9"), "keys=\"http.clients_max\"").await?;
    let (after, _) = node.media(NAME).await?;
    assert!(after.sequence >= first.sequence, "it played on");
    assert_eq!(node.stop().await?, 0);
    Ok(())
}

#[tokio::test]
async fn systemd_is_told_that_it_is_ready_alive_and_stopping() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = prepared(folder.path())?;
    let path = folder.path().join("notify");
    let manager = tokio::net::UnixDatagram::bind(&path)?;
    let mut process = tokio::process::Command::new(binary("headend-node")?)
        .args(["run", "--config", &node.config().display().to_string()])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "300000")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let told = async |words: &str, times: usize| {
        let (mut seen, mut buffer) = (0, [0; 4_096]);
        while seen < times {
            let bytes = manager.recv(&mut buffer).await?;
            seen += usize::from(String::from_utf8_lossy(&buffer[..bytes]).contains(words));
        }
        anyhow::Ok(())
    };
    let soon = Duration::from_secs(20);
    tokio::time::timeout(soon, told("READY=1", 1)).await.context("ready")??;
    tokio::time::timeout(soon, told("WATCHDOG=1", 5)).await.context("alive")??;
    let id = process.id().context("it runs")?;
    kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGTERM)?;
    tokio::time::timeout(soon, told("STOPPING=1", 1)).await.context("stopping")??;
    assert!(process.wait().await?.success());
    Ok(())
}
