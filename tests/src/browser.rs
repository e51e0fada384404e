//! A real browser: headless Chromium driven over WebDriver by its own chromedriver.
//!
//! Every browser has a profile of its own in a folder the caller gives, chromedriver takes a port from the system and
//! says which, and no name but loopback resolves, so a page that wants the world is found out. What the page logged
//! and asked for is read from the browser, not from the page.

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Url;
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::client::http_client;

/// How long chromedriver and Chromium may take to start, on a machine that builds something else.
const READY: Duration = Duration::from_secs(60);

/// The debugging pipe ties the browser's life to chromedriver's: it ends when the pipe breaks, whatever killed the driver.
const FLAGS: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
    "--remote-debugging-pipe",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1000,700",
];

/// A line of the browser's console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// `SEVERE`, `WARNING`, `INFO`.
    pub level: String,
    /// `console-api`, `network`, `security`, `javascript`.
    pub source: String,
    /// What it says.
    pub text: String,
}

/// A running browser with one page.
#[derive(Debug)]
pub struct Browser {
    page: Client,
    driver: Child,
    /// `http://127.0.0.1:PORT/session/ID`.
    session: String,
    http: reqwest::Client,
}

impl Browser {
    /// Starts chromedriver and Chromium; profile and logs go below `folder`.
    ///
    /// # Errors
    /// When one of them is not installed or does not get ready.
    pub async fn start(folder: &Path) -> Result<Self> {
        let profile = folder.join("profile");
        fs::create_dir_all(&profile).with_context(|| format!("make {}", profile.display()))?;
        let log = File::create(folder.join("chromedriver.log"))?;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("start chromedriver; Debian's package is chromium-driver")?;
        let port = timeout(READY, port_of(&mut driver)).await.context("chromedriver did not say its port")??;
        let endpoint = format!("http://127.0.0.1:{port}");
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let connecting = builder.capabilities(capabilities(&profile)).connect(&endpoint);
        let page = timeout(READY, connecting).await.context("Chromium did not start")?.context("start Chromium")?;
        let id = page.session_id().await?.context("a session without an id")?;
        let browser = Self { page, driver, session: format!("{endpoint}/session/{id}"), http: http_client()? };
        // What the browser's own first page logged and loaded is nobody's business.
        browser.open("about:blank").await?;
        browser.console().await?;
        browser.requests().await?;
        Ok(browser)
    }

    /// Goes to an address.
    ///
    /// # Errors
    /// When the page does not load.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.page.goto(url).await.with_context(|| format!("open {url}"))
    }

    /// Runs a function body in the page and gives what it returns.
    ///
    /// # Errors
    /// When the script throws.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        self.page.execute(script, arguments).await.with_context(|| format!("run {script}"))
    }

    /// Types into the element that a CSS selector finds.
    ///
    /// # Errors
    /// When there is none, or it takes no keys.
    pub async fn type_into(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.page.find(Locator::Css(selector)).await.with_context(|| format!("find {selector}"))?;
        element.send_keys(text).await.with_context(|| format!("type into {selector}"))
    }

    /// Clicks the element that a CSS selector finds.
    ///
    /// # Errors
    /// When there is none, or something covers it.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let element = self.page.find(Locator::Css(selector)).await.with_context(|| format!("find {selector}"))?;
        element.click().await.with_context(|| format!("click {selector}"))
    }

    /// Gives the page a window of this size, as a phone or a desk has it: what the page measures, not the window's frame.
    ///
    /// # Errors
    /// When chromedriver refuses.
    pub async fn resize(&self, width: u32, height: u32) -> Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size).await.map(drop)
    }

    /// Saves the whole page as PNG, however long it is.
    ///
    /// # Errors
    /// When the browser or the disk refuses.
    pub async fn tall_screenshot(&self, path: &Path) -> Result<()> {
        let answer = self.devtools("Page.captureScreenshot", &json!({ "captureBeyondViewport": true })).await?;
        let text = answer["data"].as_str().context("no picture")?;
        let png = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text)?;
        fs::write(path, png).with_context(|| format!("write {}", path.display()))
    }

    /// A command of the browser's own protocol, through chromedriver.
    async fn devtools(&self, command: &str, parameters: &Value) -> Result<Value> {
        let body = json!({ "cmd": command, "params": parameters });
        let request = self.http.post(format!("{}/goog/cdp/execute", self.session)).json(&body);
        let answer: Value = request.send().await?.json().await?;
        let refused = answer["value"].get("error").is_some();
        anyhow::ensure!(!refused, "{command}: {answer}");
        Ok(answer["value"].clone())
    }

    /// Saves what the window shows as PNG.
    ///
    /// # Errors
    /// When the browser or the disk refuses.
    pub async fn screenshot(&self, path: &Path) -> Result<()> {
        let png = self.page.screenshot().await.context("take a screenshot")?;
        fs::write(path, png).with_context(|| format!("write {}", path.display()))
    }

    /// What the console logged since the last call.
    ///
    /// # Errors
    /// When chromedriver refuses.
    pub async fn console(&self) -> Result<Vec<Logged>> {
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let lines = self.log("browser").await?;
        Ok(lines
            .iter()
            .map(|line| Logged {
                level: text(line, "level"),
                source: text(line, "source"),
                text: text(line, "message"),
            })
            .collect())
    }

    /// Every address the page and its workers asked for since the last call, redirects included.
    ///
    /// # Errors
    /// When chromedriver refuses.
    pub async fn requests(&self) -> Result<Vec<Url>> {
        let mut found = vec![];
        for line in self.log("performance").await? {
            let event: Value = serde_json::from_str(line["message"].as_str().unwrap_or_default())?;
            let event = &event["message"];
            let url = match event["method"].as_str() {
                Some("Network.requestWillBeSent") => event["params"]["request"]["url"].as_str(),
                Some("Network.webSocketCreated") => event["params"]["url"].as_str(),
                _ => None,
            };
            found.extend(url.map(Url::parse).transpose()?);
        }
        Ok(found)
    }

    /// Ends browser and driver.
    ///
    /// # Errors
    /// When one of them does not end.
    pub async fn close(mut self) -> Result<()> {
        self.page.close().await.context("close the browser")?;
        self.driver.kill().await.context("end chromedriver")
    }

    async fn log(&self, kind: &str) -> Result<Vec<Value>> {
        let request = self.http.post(format!("{}/se/log", self.session)).json(&json!({ "type": kind }));
        let answer: Value = request.send().await?.json().await?;
        answer["value"].as_array().cloned().with_context(|| format!("no {kind} log: {answer}"))
    }
}

fn capabilities(profile: &Path) -> Map<String, Value> {
    let mut flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
    flags.push(format!("--user-data-dir={}", profile.display()));
    let wanted = json!({
        "goog:chromeOptions": { "args": flags, "perfLoggingPrefs": { "enablePage": false } },
        "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
    });
    wanted.as_object().cloned().unwrap_or_default()
}

/// chromedriver tells its port in words: `ChromeDriver was started successfully on port 40677.`
async fn port_of(driver: &mut Child) -> Result<u16> {
    let stdout = driver.stdout.take().context("stdout is piped")?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        let Some((_, port)) = line.split_once("successfully on port ") else { continue };
        // Keep the pipe open and empty, or the driver's next line would meet a closed pipe.
        tokio::task::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        return port.trim_end_matches('.').parse().with_context(|| format!("read the port in {line:?}"));
    }
    bail!("chromedriver ended before it was ready")
}
