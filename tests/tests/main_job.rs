//! The main job, end to end, as `make demo CHECK=1` walks it: on free ports, so that it runs beside anything.

use std::time::Instant;

use anyhow::Result;
use headend_tests::{
    walk,
    world::{Options, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_holds() -> Result<()> {
    let (started, folder) = (Instant::now(), tempfile::tempdir()?);
    let options = Options { folder: folder.path().to_path_buf(), fixed_ports: false, return_after_secs: 8 };
    let mut world = World::start(options).await?;
    let mut steps = vec![];
    let walked = walk::walk(&mut world, started, &mut |step| steps.push(format!("{step:?}"))).await;
    if walked.is_err() {
        println!("{}\ncontroller:\n{}", steps.join("\n"), world.controller.log_tail());
        for node in &world.nodes {
            println!("node:\n{}", node.log_tail());
        }
    }
    world.stop().await?;
    walked
}
