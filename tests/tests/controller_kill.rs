//! `kill -9` of the controller at random moments: what was answered as saved is there afterwards, every time.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use headend_tests::{
    client::http_client,
    program::Program,
    world::{OPERATOR, init_controller, start_controller},
};
use serde_json::{Value, json};

/// How often the controller is killed; `HEADEND_CONTROLLER_KILLS=100` for the long run.
fn kills() -> u32 {
    std::env::var("HEADEND_CONTROLLER_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// Different moments in each round and the same ones in each run, milliseconds.
fn moment(round: u32) -> Duration {
    Duration::from_millis(u64::from(round.wrapping_mul(2_654_435_761) % 700) + 5)
}

async fn token(base: &str) -> Result<String> {
    let body = json!({ "login": OPERATOR.0, "password": OPERATOR.1 });
    let answer = http_client()?.post(format!("{base}/api/v1/operator/session")).json(&body).send().await?;
    let answer: Value = answer.error_for_status()?.json().await?;
    Ok(answer["token"].as_str().context("no token")?.to_owned())
}

/// Writes tariffs until the controller is gone; notes each that was answered as saved.
async fn write(base: String, token: String, writer: u32, round: u32, saved: Arc<Mutex<Vec<String>>>) -> Result<()> {
    let http = http_client()?;
    for number in 0.. {
        let id = format!("r{round}-w{writer}-{number}");
        let body = json!({ "name": id, "tags": ["base"] });
        let sent = http.put(format!("{base}/api/v1/tariffs/{id}")).bearer_auth(&token).json(&body).send().await;
        match sent {
            Ok(answer) if answer.status().is_success() => saved.lock().expect("lock").push(id),
            Ok(answer) => anyhow::bail!("{id}: {}", answer.status()),
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

async fn all(base: &str, token: &str) -> Result<Vec<String>> {
    let url = format!("{base}/api/v1/tariffs");
    let answer: Value = http_client()?.get(url).bearer_auth(token).send().await?.error_for_status()?.json().await?;
    let list = answer["tariffs"].as_array().context("no tariffs")?;
    Ok(list.iter().filter_map(|tariff| tariff["id"].as_str().map(str::to_owned)).collect())
}

async fn round(folder: &Path, number: u32, saved: &Arc<Mutex<Vec<String>>>) -> Result<f64> {
    let start = Instant::now();
    let mut controller: Program = start_controller(folder).await?;
    let ready = start.elapsed().as_secs_f64();
    let base = format!("http://{}", controller.address("http")?);
    let token = token(&base).await?;
    let found = all(&base, &token).await?;
    let missing: Vec<String> = saved.lock().expect("lock").iter().filter(|id| !found.contains(id)).cloned().collect();
    ensure!(missing.is_empty(), "lost after kill {number}: {missing:?}");
    let writers =
        (0..3).map(|writer| tokio::task::spawn(write(base.clone(), token.clone(), writer, number, Arc::clone(saved))));
    let writers: Vec<_> = writers.collect();
    // The kill comes at its moment, whatever is being written.
    let _ = tokio::time::timeout(moment(number), std::future::pending::<()>()).await;
    controller.kill().await?;
    for writer in writers {
        writer.await??;
    }
    Ok(ready)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_saved_survives_every_kill() -> Result<()> {
    let folder = tempfile::tempdir()?;
    init_controller(folder.path(), false).await?;
    let saved = Arc::new(Mutex::new(vec![]));
    let mut slowest: f64 = 0.0;
    for number in 0..=kills() {
        slowest = slowest.max(round(folder.path(), number, &saved).await?);
    }
    let count = saved.lock().expect("lock").len();
    println!("{} kills, {count} records answered as saved, none lost; slowest start {slowest:.2} s", kills() + 1);
    assert!(count > 0, "nothing was written: the test proves nothing");
    Ok(())
}
