//! The archive under kills and with its disk taken away: what is listed is there and right, and live goes on.

use std::{
    collections::BTreeSet,
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use headend_tests::{
    client::{Playlist, Viewer},
    lone::{Lone, channel, file, now_secs},
    transport,
    wait::until,
    world::content,
};
use headend_wire::{DesiredChannel, Dvr};
use serde_json::Value;

const NAME: &str = "lagon";

/// Kills of an ordinary run; `HEADEND_ARCHIVE_KILLS` asks for more.
const KILLS: u32 = 12;

/// The longest a node runs between two kills, milliseconds: several segments and turns of the disk's thread.
const RUN_MS: u64 = 5_000;

async fn node(folder: &Path) -> Result<Lone> {
    let url = file(&content("lagon-caribbean.ts"));
    let dvr = Some(Dvr { keep: "1h".parse()?, locks: vec![] });
    let archive = format!("[archive]\npaths = ['{}']\n", folder.join("disk").display());
    let lineup = vec![DesiredChannel { dvr, ..channel(NAME, &[("file", &url)]) }];
    let mut node = Lone::prepare(folder, "car-1", &archive, lineup)?;
    node.run().await?;
    Ok(node)
}

async fn json(node: &Lone, path: &str) -> Result<Value> {
    Ok(node.http.get(node.url(path)?).send().await?.error_for_status()?.json().await?)
}

/// Everything that is recorded, as a list; `None` before there is any.
async fn list(node: &Lone, viewer: &Viewer, since: u64) -> Result<Option<Playlist>> {
    let url = node.url(&format!("/{NAME}/rewind-{}.m3u8?token={}", now_secs() - since + 60, node.token))?;
    let status = node.http.get(url.clone()).send().await?.status();
    if status == 404 {
        return Ok(None);
    }
    ensure!(status == 200, "{status}");
    Ok(Some(viewer.reload(&url).await?))
}

#[tokio::test]
async fn no_kill_makes_the_archive_list_what_is_not_there() -> Result<()> {
    let kills = env::var("HEADEND_ARCHIVE_KILLS").map_or(Ok(KILLS), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let mut node = node(folder.path()).await?;
    let (viewer, since) = (Viewer::guest()?, now_secs());
    let (mut known, mut good) = (BTreeSet::new(), BTreeSet::new());
    let mut random = Random(0x2545_F491_4F6C_DD1D ^ u64::from(kills));
    let mut ordinal = 0;
    for kill in 1..=kills {
        let run = Duration::from_millis(random.next() % RUN_MS);
        tokio::time::sleep_until((Instant::now() + run).into()).await;
        node.kill().await?;
        node.run().await.with_context(|| format!("after kill {kill}"))?;
        let look = || async {
            let ready = json(&node, &format!("/{NAME}/recording_status.json?token={}", node.token)).await?;
            ensure!(kill == 1 || ready[0]["ranges"].as_array().is_some_and(|ranges| !ranges.is_empty()), "{ready}");
            list(&node, &viewer, since).await
        };
        let (found, _) = until("the archive", Duration::from_secs(30), look).await.with_context(|| node.log())?;
        let Some(found) = found else { continue };
        ensure!(found.sequence >= ordinal, "MEDIA-SEQUENCE fell from {ordinal} to {}", found.sequence);
        ordinal = found.sequence;
        let names: BTreeSet<String> = found.segments.iter().map(|segment| segment.url.path().to_owned()).collect();
        let lost: Vec<_> = known.difference(&names).collect();
        ensure!(lost.is_empty(), "after kill {kill} {lost:?} are listed no more\n{}", node.log());
        for segment in &found.segments {
            let name = segment.url.path().to_owned();
            if !good.contains(&name) {
                let bytes = viewer.segment(segment).await.with_context(|| format!("{name} after kill {kill}"))?;
                transport::whole(&bytes).with_context(|| format!("{name} after kill {kill}"))?;
                good.insert(name);
            }
        }
        known = names;
    }
    let status = json(&node, &format!("/{NAME}/recording_status.json?token={}", node.token)).await?;
    println!("{kills} kills, {} segments listed and opened, {}", good.len(), status[0]["gaps"]);
    ensure!(good.len() >= usize::try_from(kills / 2)?, "{} segments", good.len());
    ensure!(node.stop().await? == 0, "{}", node.log());
    Ok(())
}

#[tokio::test]
async fn a_disk_that_goes_and_comes_back_leaves_a_gap_with_its_cause() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut node = node(folder.path()).await?;
    let (disk, away) = (folder.path().join("disk"), folder.path().join("away"));
    let recording = |least: u64| {
        let node = &node;
        async move {
            let status = json(node, "/api/node/v1/archive").await?;
            let last = status["channels"][0]["last_segment"].as_u64().context("nothing is recorded")?;
            ensure!(last > least, "{last} is the last segment: {status}");
            Ok(last)
        }
    };
    let (last, _) = until("a recording", Duration::from_secs(40), || recording(0)).await.with_context(|| node.log())?;
    // An empty mount point is what a disk leaves behind.
    fs::rename(&disk, &away)?;
    fs::create_dir(&disk)?;
    let before = node.playlist(NAME, 3).await?.0.segments.last().map_or(0, |segment| segment.number);
    let look = || async {
        let status = json(&node, "/api/node/v1/archive").await?;
        ensure!(status["disks"][0]["fault"] == "disk_gone", "{status}");
        let (live, _) = node.playlist(NAME, 3).await?;
        let number = live.segments.last().map_or(0, |segment| segment.number);
        ensure!(number > before + 4, "live stands at {number}");
        Ok(())
    };
    until("the disk to be missed while live goes on", Duration::from_secs(40), look)
        .await
        .with_context(|| node.log())?;
    ensure!(fs::read_dir(&disk)?.count() == 0, "something was written where the disk is not");
    fs::remove_dir(&disk)?;
    fs::rename(&away, &disk)?;
    until("the recording to go on", Duration::from_secs(40), || recording(last + 6))
        .await
        .with_context(|| node.log())?;
    let look = || async {
        let status = json(&node, &format!("/{NAME}/recording_status.json?token={}", node.token)).await?;
        let gaps = status[0]["gaps"].as_array().context("no gaps")?.clone();
        ensure!(gaps.len() == 1 && gaps[0]["owner"] == "disk" && gaps[0]["cause"] == "disk_gone", "{status}");
        Ok(gaps[0].clone())
    };
    let (gap, _) = until("the gap", Duration::from_secs(10), look).await?;
    let viewer = Viewer::guest()?;
    let found = list(&node, &viewer, now_secs() - 300).await?.context("nothing is listed")?;
    ensure!(found.segments.iter().filter(|segment| segment.discontinuity).count() == 1, "{}", found.text);
    for segment in &found.segments {
        transport::whole(&viewer.segment(segment).await?)?;
    }
    println!("{gap}, {} segments on both sides of it", found.segments.len());
    ensure!(node.stop().await? == 0, "{}", node.log());
    Ok(())
}

/// An xorshift, so that a run can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
