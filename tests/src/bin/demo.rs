//! `make demo`: a whole Headend on this machine; with `--check` it walks the main job and exits 0 or 1.

use std::{fs, process::ExitCode, time::Instant};

use anyhow::{Context, Result};
use headend_tests::{
    program::workspace,
    walk,
    world::{OPERATOR, Options, SUBSCRIBER, World},
};
use tokio::signal::unix::{SignalKind, signal};

#[expect(clippy::print_stderr, reason = "the demo talks to whoever started it")]
fn main() -> ExitCode {
    let check = std::env::args().any(|argument| argument == "--check");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(check))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the demo talks to whoever started it")]
async fn run(check: bool) -> Result<()> {
    let started = Instant::now();
    let folder = workspace().join("target/demo");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("clear target/demo of an earlier run")?;
    }
    fs::create_dir_all(&folder)?;
    // A check must not wait five minutes for a source to be trusted again.
    let options = Options { folder, fixed_ports: true, return_after_secs: if check { 8 } else { 60 } };
    println!("demo: starting one controller and two nodes; state and logs in target/demo");
    let mut world = World::start(options).await?;
    println!("demo: all programs are ready after {:.1} s", started.elapsed().as_secs_f64());
    if check {
        let walked = walk::walk(&mut world, started, &mut |step| {
            println!("  ok  {:>6.2} s  {:<44} {}", step.seconds, step.step, step.figures);
        })
        .await;
        if let Err(error) = &walked {
            println!("  FAILED         {error:#}");
        }
        let stopped = world.stop().await;
        walked.and(stopped)?;
        println!("demo: every step of the main job holds");
        return Ok(());
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let shown = async {
        let seconds = walk::first_picture(&world).await?;
        println!("demo: a picture can be pulled {seconds:.1} s later");
        tell(&world)?;
        std::future::pending().await
    };
    let ended = tokio::select! {
        ended = shown => ended,
        told = tokio::signal::ctrl_c() => told.map_err(Into::into),
        _ = terminate.recv() => Ok(()),
    };
    println!("\ndemo: stopping");
    let stopped = world.stop().await;
    ended.and(stopped)
}

#[expect(clippy::print_stdout, reason = "the demo talks to whoever started it")]
fn tell(world: &World) -> Result<()> {
    let base = world.base()?;
    println!("\n  watch              {base}/portal            sign in as {} / {}", SUBSCRIBER.0, SUBSCRIBER.1);
    println!("  dashboard          {base}/                  sign in as {} / {}", OPERATOR.0, OPERATOR.1);
    println!("  node caribbean     {}/api/node/v1/status", world.origin(0)?);
    println!("  node france        {}/api/node/v1/status", world.origin(1)?);
    println!("  REST               {base}/api/openapi.json");
    println!("\n  try");
    println!("    pkill -f lagon-caribbean.ts            the satellite falls: Lagon TV goes on from France");
    println!(
        "    kill -9 {:<8}                       the Caribbean node dies: viewers are sent to France",
        world.nodes[0].id().unwrap_or(0)
    );
    println!("    tail -f target/demo/*.log              what the programs say\n\n  Ctrl-C stops everything.");
    Ok(())
}
