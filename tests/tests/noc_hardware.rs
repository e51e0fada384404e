//! Cards and tuners of a node at the controller: in its API, as events, on the dashboard and on the node's page there.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::{Context, Result, ensure};
use headend_tests::{
    browser::Browser,
    wait::until,
    world::{OPERATOR, Options, World, fixture},
};
use reqwest::Method;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(40);

async fn text(browser: &Browser, selector: &str, words: &str) -> Result<Duration> {
    let script = "const e = document.querySelector(arguments[0]); return e && !e.hidden ? e.innerText : null;";
    let look = || async {
        let text = browser.run(script, vec![json!(selector)]).await?;
        ensure!(text.as_str().is_some_and(|text| text.contains(words)), "{text}");
        Ok(())
    };
    Ok(until(&format!("{words:?} in {selector}"), SOON, look).await?.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weak_tuner_and_a_missing_card_are_seen_at_the_controller() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = Options { folder: folder.path().to_path_buf(), fixed_ports: false, return_after_secs: 8 };
    let mut world = World::start(options).await?;
    let at = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink(fixture("rai1.ts"), at("played.ts"))?;
    fs::write(at("played.ts.script"), "at 0s quality 8.5\n")?;
    fs::write(at("card-key"), [1; 32])?;
    fs::set_permissions(at("card-key"), fs::Permissions::from_mode(0o600))?;
    fs::create_dir_all(at("conf.d"))?;
    let lines = format!(
        "[[antenna]]\nname = \"roof\"\nterrestrial = true\n[[tuner]]\nname = \"played\"\ndevice = \"replay:{}\"\nantennas = \
         [\"roof\"]\n[[cards]]\nname = \"main\"\nreader = \"no such reader\"\nprofile = \"open-test-card\"\nkey = \"{}\"\n",
        at("played.ts").display(),
        at("card-key").display()
    );
    fs::write(at("conf.d/hardware.toml"), lines)?;
    world.nodes[0].stop().await?;
    world.restart_node(0).await?;
    let url = "dvb://roof?system=t&frequency=474MHz&service=3401";
    let sources = json!([{ "site": "caribbean", "name": "dtt", "url": url }]);
    let body = json!({ "title": "Rai 1", "number": 77, "tags": ["base"], "sources": sources });
    world.call(Method::PUT, "/api/v1/channels/rai1", Some(body)).await?;
    let look = || async {
        let health = world.call(Method::GET, "/api/v1/nodes/car-1/health", None).await?;
        let kinds: Vec<&str> =
            health["warnings"].as_array().into_iter().flatten().filter_map(|one| one["kind"].as_str()).collect();
        ensure!(kinds == ["card", "tuner"], "{health}");
        ensure!(health["tuners"][0]["margin"] == 22 && health["cards"][0]["state"] == "no-reader", "{health}");
        Ok(health)
    };
    let (health, _): (Value, _) = until("the hardware at the controller", SOON, look).await?;
    println!("{}", health["warnings"]);
    let missing = world.call(Method::GET, "/api/v1/nodes/nobody/health", None).await;
    ensure!(missing.is_err_and(|error| error.to_string().contains("404")), "a node that is none");
    let browser = Browser::start(folder.path()).await?;
    let base = world.base()?;
    browser.open(&format!("{base}/sign-in")).await?;
    browser.type_into("input[name=login]", OPERATOR.0).await?;
    browser.type_into("input[name=password]", OPERATOR.1).await?;
    browser.click("button.primary").await?;
    let node = "li[data-key=\"caribbean/car-1\"]";
    text(&browser, &format!("{node} .hardware"), "2 hardware warnings").await?;
    let pictures = std::env::var_os("HEADEND_PICTURES").map(std::path::PathBuf::from);
    if let Some(folder) = &pictures {
        browser.resize(1280, 900).await?;
        browser.tall_screenshot(&folder.join("noc-dashboard.png")).await?;
    }
    browser.click(&format!("{node} .hardware")).await?;
    text(&browser, ".troubles", "card.md").await?;
    text(&browser, "main", "2.2 dB").await?;
    if let Some(folder) = &pictures {
        browser.tall_screenshot(&folder.join("noc-node.png")).await?;
        browser.resize(390, 800).await?;
        browser.tall_screenshot(&folder.join("noc-node-390.png")).await?;
    }
    let console = browser.console().await?;
    ensure!(console.is_empty(), "{console:?}");
    browser.close().await.context("close")?;
    world.stop().await
}
