//! `kill -9` at any moment: what was told to players is never taken back.

use std::{env, time::Duration};

use anyhow::{Context, Result};
use headend_tests::{
    client::Viewer,
    history::History,
    lone::{Lone, channel, file},
    transport,
    wait::until,
    world::content,
};

const NAME: &str = "lagon";

/// Kills of an ordinary run; `HEADEND_NODE_KILLS` asks for more.
const KILLS: u32 = 12;

/// The longest a node runs between two kills: more than a segment, so that each moment of its cycle is met.
const RUN_MS: u64 = 2_600;

#[tokio::test]
async fn nothing_steps_back_over_kills() -> Result<()> {
    let kills = env::var("HEADEND_NODE_KILLS").map_or(Ok(KILLS), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let lineup = vec![channel(NAME, &[("file", &file(&content("lagon-caribbean.ts")))])];
    let mut node = Lone::start(folder.path(), "car-1", lineup).await?;
    let (viewer, mut history) = (Viewer::guest()?, History::default());
    let (first, _) = node.playlist(NAME, 2).await?;
    history.take(&first)?;
    let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ u64::from(kills));
    let (mut fetched, mut slowest) = (0_u64, Duration::ZERO);
    for kill in 1..=kills {
        let run = Duration::from_millis(random.next() % RUN_MS);
        run_for(&node, &viewer, &mut history, run).await.with_context(|| format!("before kill {kill}"))?;
        node.kill().await?;
        node.run().await.with_context(|| format!("after kill {kill}"))?;
        let (playlist, back) = node.media(NAME).await.with_context(|| format!("after kill {kill}"))?;
        slowest = slowest.max(back);
        history.take(&playlist).with_context(|| format!("after kill {kill}"))?;
        // What is listed is there and opens, whichever life made it.
        for segment in &playlist.segments {
            let bytes = viewer.segment(segment).await.with_context(|| format!("after kill {kill}"))?;
            transport::whole(&bytes).with_context(|| format!("segment {} after kill {kill}", segment.number))?;
            fetched += 1;
        }
    }
    let last = history.last();
    let look = || async {
        let (playlist, _) = node.playlist(NAME, 2).await?;
        anyhow::ensure!(playlist.segments.last().map(|segment| segment.number) > last, "it stands at {last:?}");
        Ok(playlist)
    };
    let (playlist, _) = until("a new segment after the last kill", Duration::from_secs(20), look).await?;
    history.take(&playlist)?;
    println!(
        "{kills} kills, {} playlists, {fetched} segments fetched and decrypted, listed again {:.2} s after ready at worst, holes {:?}, discontinuities {:?}",
        history.taken,
        slowest.as_secs_f64(),
        history.holes(),
        history.discontinuities()
    );
    assert_eq!(history.holes(), Vec::<u64>::new(), "numbers have a hole");
    assert_eq!(node.stop().await?, 0);
    Ok(())
}

/// Reads playlists for a while.
async fn run_for(node: &Lone, viewer: &Viewer, history: &mut History, span: Duration) -> Result<()> {
    let url = node.media_url(NAME)?;
    let end = std::time::Instant::now() + span;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    while std::time::Instant::now() < end {
        ticks.tick().await;
        history.take(&viewer.reload(&url).await?)?;
    }
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
