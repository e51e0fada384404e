//! `femon`, `scan` and `selftest` on recordings played as tuners: what they print, and what they exit with.

use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use headend_tests::{program::binary, world::fixture};
use serde_json::Value;
use tokio::process::Command;

const ROOF: &str = "dvb://roof?system=t&frequency=474MHz";

/// A box with a recording for a tuner, and what happens to it.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(script: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let clip = folder.path().join("clip.ts");
        std::os::unix::fs::symlink(fixture("rai1.ts"), &clip)?;
        std::fs::write(folder.path().join("clip.ts.script"), script)?;
        let config = format!(
            "site = 'caribbean'\nname = 'car-1'\n[controller]\nurl = 'https://controller.example:8443'\n\
             [[antenna]]\nname = 'roof'\nterrestrial = true\n\
             [[tuner]]\nname = 'played'\ndevice = 'replay:{}'\nantennas = ['roof']\n\
             [[tuner]]\nname = 'unplugged'\ndevice = 'usb:99-1.2'\nantennas = ['roof']\n",
            clip.display()
        );
        std::fs::write(folder.path().join("node.toml"), config)?;
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    async fn run(&self, verb: &str, arguments: &[&str]) -> Result<Output> {
        let config = self.path("node.toml");
        let mut command = Command::new(binary("headend-node")?);
        command.args(["--log", "error", verb, "--config", &config]).args(arguments).stdin(Stdio::null());
        Ok(command.output().await?)
    }
}

fn check(output: &Output, exit: i32) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(exit), "{} instead of {exit}: {said}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn a_signal_is_shown_as_a_line_and_as_json() -> Result<()> {
    let bench = Bench::new("at 0s quality 22.0\n")?;
    let line = check(&bench.run("femon", &[ROOF, "--tuner", "played", "--once"]).await?, 0)?;
    ensure!(line.contains("] ") && line.contains("  lock  -52.0 dBm  22.0 dB  margin 15.7 dB"), "{line}");
    let json = check(&bench.run("femon", &[ROOF, "--tuner", "played", "--once", "--json"]).await?, 0)?;
    let json: Value = serde_json::from_str(&json)?;
    ensure!(json["state"] == "receiving" && json["figures"]["margin"] == 15.7, "{json}");
    Ok(())
}

#[tokio::test]
async fn exit_codes_tell_signal_hardware_and_usage_apart() -> Result<()> {
    let dark = Bench::new("at 0s lock off\n")?;
    let line = check(&dark.run("femon", &[ROOF, "--tuner", "played", "--once", "--seconds", "3"]).await?, 4)?;
    ensure!(line.contains("no lock"), "{line}");
    let mute = Bench::new("at 0s data off\n")?;
    let line = check(&mute.run("femon", &[ROOF, "--tuner", "played", "--once", "--seconds", "3"]).await?, 4)?;
    ensure!(line.contains("lock, but no data"), "{line}");
    check(&dark.run("femon", &[ROOF, "--tuner", "unplugged", "--once", "--seconds", "1"]).await?, 7)?;
    check(&dark.run("femon", &[ROOF, "--tuner", "nobody", "--once"]).await?, 3)?;
    check(&dark.run("femon", &["dvb://roof?system=t&frequency=474", "--once"]).await?, 2)?;
    check(&dark.run("femon", &["udp://239.1.1.1:5000", "--once"]).await?, 2)?;
    let broken = Bench::new("at noon unplug\n")?;
    check(&broken.run("femon", &[ROOF, "--once"]).await?, 8)?;
    Ok(())
}

#[tokio::test]
async fn a_scan_finds_services_follows_the_network_and_is_taken_up() -> Result<()> {
    let bench = Bench::new("")?;
    let kept = bench.path("scan.json");
    let found = check(&bench.run("scan", &[ROOF, "--tuner", "played", "--json", "--resume", &kept]).await?, 0)?;
    let found: Value = serde_json::from_str(&found)?;
    let visited = found["visited"].as_array().context("visited")?;
    // The recording's own NIT names a second multiplex, which the played tuner receives like any other.
    ensure!(visited.len() == 2 && found["pending"].as_array().is_some_and(Vec::is_empty), "{found}");
    let names: Vec<_> =
        visited[0]["services"].as_array().context("services")?.iter().map(|s| s["name"].clone()).collect();
    ensure!(names.len() == 8 && names[0] == "Rai 1", "{names:?}");
    ensure!(visited[0]["services"][0]["address"] == format!("{ROOF}&service=3401"), "{}", visited[0]["services"][0]);
    ensure!(Path::new(&kept).exists());
    // Taken up: nothing is left to look at, so nothing is tuned, and the answer is the same.
    let again = check(&bench.run("scan", &["--tuner", "played", "--json", "--resume", &kept]).await?, 0)?;
    ensure!(serde_json::from_str::<Value>(&again)? == found);
    check(&bench.run("scan", &["--tuner", "played"]).await?, 2)?;
    Ok(())
}

#[tokio::test]
async fn a_selftest_tells_of_each_tuner() -> Result<()> {
    let bench = Bench::new("")?;
    let table = check(&bench.run("selftest", &[ROOF, "--seconds", "2"]).await?, 7)?;
    let lines: Vec<_> = table.lines().collect();
    ensure!(lines.len() == 2 && lines[0].contains(" good, received after ") && lines[1].contains("MISSING"), "{table}");
    let record = check(&bench.run("selftest", &[ROOF, "--seconds", "2", "--tuner", "played", "--json"]).await?, 0)?;
    let record: Value = serde_json::from_str(&record)?;
    ensure!(record["tuners"][0]["faults"] == 0 && record["tuners"][0]["packets"].as_u64() > Some(1000), "{record}");
    let losing = Bench::new("at 3s overflow\nat 4s overflow\n")?;
    let table = check(&losing.run("selftest", &[ROOF, "--seconds", "6", "--tuner", "played"]).await?, 4)?;
    ensure!(table.contains("BAD") && table.contains("faults in 6 s"), "{table}");
    Ok(())
}
