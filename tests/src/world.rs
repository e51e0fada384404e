//! A whole Headend on loopback: one controller, two nodes at two sites, their sources, one subscriber.
//!
//! Every port is chosen by the system, so worlds do not meet. State lies in one folder, which the caller owns. What is
//! set up goes through the programs' own doors: `init`, the REST interface, `enrol`.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    client::http_client,
    feed::Feed,
    program::{Program, workspace},
};

/// The operator of every world.
pub const OPERATOR: (&str, &str) = ("noc", "change-me-please");

/// The subscriber of every world.
pub const SUBSCRIBER: (&str, &str) = ("demo", "12345678");

/// The two sites and their nodes: preferred first.
pub const SITES: [(&str, &str); 2] = [("caribbean", "car-1"), ("france", "fr-1")];

/// What differs between worlds.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where state goes; it must exist.
    pub folder: PathBuf,
    /// Fixed addresses of DESIGN.md instead of free ones: for a person who wants to try things.
    pub fixed_ports: bool,
    /// Seconds until a source that recovered is preferred again.
    pub return_after_secs: u32,
}

/// A running Headend.
pub struct World {
    /// Its settings.
    pub options: Options,
    /// The controller.
    pub controller: Program,
    /// `car-1`, `fr-1`.
    pub nodes: Vec<Program>,
    /// The satellite feed of channel `lagon` at the Caribbean, and its DTT feed in France.
    pub feeds: Vec<Feed>,
    http: reqwest::Client,
    token: String,
}

impl World {
    /// Starts everything and sets it up; ready when every program is.
    ///
    /// # Errors
    /// Whatever a program says when it cannot.
    pub async fn start(options: Options) -> Result<Self> {
        let http = http_client()?;
        init_controller(&options.folder, options.fixed_ports).await?;
        let controller = start_controller(&options.folder).await?;
        let base = format!("http://{}", controller.address("http")?);
        let token = operator_token(&http, &base).await?;
        let mut world = Self { options, controller, nodes: vec![], feeds: vec![], http, token };
        world.set_up().await?;
        Ok(world)
    }

    /// Address of the controller, without a trailing slash.
    ///
    /// # Errors
    /// When it named none.
    pub fn base(&self) -> Result<String> {
        Ok(format!("http://{}", self.controller.address("http")?))
    }

    /// Address of a node, 0 or 1.
    ///
    /// # Errors
    /// When it named none.
    pub fn origin(&self, index: usize) -> Result<String> {
        Ok(format!("http://{}", self.nodes.get(index).context("no such node")?.address("http")?))
    }

    /// An operator's call to the REST interface.
    ///
    /// # Errors
    /// When it is refused; the message holds the answer.
    pub async fn call(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Result<Value> {
        let url = format!("{}{path}", self.base()?);
        let mut request = self.http.request(method.clone(), &url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{method} {path}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Starts a node that was killed, with the state it had.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn restart_node(&mut self, index: usize) -> Result<()> {
        let (site, name) = SITES[index];
        // It comes back where viewers know it.
        let address = self.nodes[index].address("http")?.to_owned();
        write_node(&self.options, (site, name), &self.fleet()?, &address)?;
        self.nodes[index] = start_node(&self.options, name).await?;
        Ok(())
    }

    /// Starts the controller again with the state it had.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn restart_controller(&mut self) -> Result<()> {
        // It comes back where nodes and viewers know it.
        let old = &self.controller;
        let (http, fleet, mqtt) = (old.address("http")?, old.address("fleet")?, old.address("mqtt")?);
        write_controller(&self.options.folder, http, fleet, mqtt)?;
        self.controller = start_controller(&self.options.folder).await?;
        // Operators' sign-ins are kept in memory.
        self.token = operator_token(&self.http, &self.base()?).await?;
        Ok(())
    }

    /// Stops everything in order.
    ///
    /// # Errors
    /// When a program does not stop, or not well.
    pub async fn stop(mut self) -> Result<()> {
        for feed in &mut self.feeds {
            feed.cut().await?;
        }
        for node in &mut self.nodes {
            if node.running()? {
                let code = node.stop().await?;
                ensure!(code == 0, "a node ended with code {code}\n{}", node.log_tail());
            }
        }
        if self.controller.running()? {
            let code = self.controller.stop().await?;
            ensure!(code == 0, "the controller ended with code {code}\n{}", self.controller.log_tail());
        }
        Ok(())
    }

    fn fleet(&self) -> Result<String> {
        Ok(format!("https://{}", self.controller.address("fleet")?))
    }

    async fn set_up(&mut self) -> Result<()> {
        use reqwest::Method;
        let (satellite, dtt) = (self.feed("lagon-caribbean.ts")?, self.feed("lagon-france.ts")?);
        for (site, name) in SITES {
            self.call(Method::PUT, &format!("/api/v1/nodes/{name}"), Some(json!({ "site": site }))).await?;
        }
        self.call(Method::PUT, "/api/v1/tariffs/base", Some(json!({ "name": "Base", "tags": ["base"] }))).await?;
        for (name, body) in channels(self.options.return_after_secs, &satellite, &dtt) {
            self.call(Method::PUT, &format!("/api/v1/channels/{name}"), Some(body)).await?;
        }
        let body = json!({ "password": SUBSCRIBER.1, "tariffs": ["base"] });
        self.call(Method::PUT, &format!("/api/v1/subscribers/{}", SUBSCRIBER.0), Some(body)).await?;
        for (index, (site, name)) in SITES.into_iter().enumerate() {
            let listen =
                if self.options.fixed_ports { format!("127.0.0.1:{}", 8081 + index) } else { "127.0.0.1:0".to_owned() };
            write_node(&self.options, (site, name), &self.fleet()?, &listen)?;
            if !self.options.folder.join(name).join("identity/card.json").exists() {
                self.enrol(name).await?;
            }
            let node = start_node(&self.options, name).await?;
            self.nodes.push(node);
        }
        Ok(())
    }

    /// Starts a UDP feed of a file of `tests/content` and gives the address it can be received at.
    fn feed(&mut self, file: &str) -> Result<String> {
        let address = format!("udp://{}", feed_socket());
        let log = self.options.folder.join("feeds.log");
        self.feeds.push(Feed::start(&content(file), &address, &log)?);
        Ok(address)
    }

    async fn enrol(&self, name: &str) -> Result<()> {
        let path = format!("/api/v1/nodes/{name}/enrolment");
        let answer = self.call(reqwest::Method::POST, &path, None).await?;
        let code = answer["code"].as_str().context("enrolment: no code")?;
        let config = self::path(&self.options.folder, &format!("{name}.toml"));
        let authority = self::path(&self.options.folder, "controller/fleet-authority.pem");
        Program::run("headend-node", &["enrol", "--config", &config, "--code", code, "--authority", &authority])
            .await?;
        Ok(())
    }
}

async fn operator_token(http: &reqwest::Client, base: &str) -> Result<String> {
    let body = json!({ "login": OPERATOR.0, "password": OPERATOR.1 });
    let answer = http.post(format!("{base}/api/v1/operator/session")).json(&body).send().await?;
    ensure!(answer.status().is_success(), "operator sign-in: {}", answer.status());
    let answer: Value = answer.json().await?;
    Ok(answer["token"].as_str().context("operator sign-in: no token")?.to_owned())
}

/// A file of the demo's own content.
#[must_use]
pub fn content(file: &str) -> PathBuf {
    workspace().join("tests/content").join(file)
}

/// A recorded broadcast.
#[must_use]
pub fn fixture(file: &str) -> PathBuf {
    workspace().join("tests/fixtures/ts").join(file)
}

fn channels(return_after_secs: u32, satellite: &str, dtt: &str) -> Vec<(&'static str, Value)> {
    let file = |path: PathBuf| format!("file:{}", path.display());
    let source = |site: &str, name: &str, url: String| json!({ "site": site, "name": name, "url": url });
    let both = |file_url: String| {
        vec![source("caribbean", "file-car", file_url.clone()), source("france", "file-fr", file_url)]
    };
    let channel = |number: u32, title: &str, sources: Vec<Value>| {
        json!({
            "title": title, "number": number, "tags": ["base"], "sources": sources,
            "return_after_ms": return_after_secs * 1000,
        })
    };
    let mut rai = both(file(fixture("rai1.ts")));
    rai.iter_mut().for_each(|source| source["service"] = json!(3401));
    vec![
        (
            "lagon",
            channel(
                1,
                "Lagon TV",
                vec![source("caribbean", "satellite", satellite.to_owned()), source("france", "dtt", dtt.to_owned())],
            ),
        ),
        (
            "horizon",
            channel(
                2,
                "Horizon Info",
                vec![
                    source("caribbean", "file-car", file(content("horizon-caribbean.ts"))),
                    source("france", "file-fr", file(content("horizon-france.ts"))),
                ],
            ),
        ),
        ("fr/france2", channel(3, "France 2", both(file(fixture("france2.ts"))))),
        ("it/rai1", channel(4, "Rai 1", rai)),
    ]
}

fn path(folder: &Path, file: &str) -> String {
    folder.join(file).display().to_string()
}

/// A port for the embedded broker, which cannot choose one itself. It is free at this moment, and the system hands out
/// others first.
fn broker_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Where a feed is sent and a UDP source listens: a loopback address of this process alone, and a port given once, so
/// that no other test can take it between the choice and the use.
#[must_use]
pub fn feed_socket() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    // 127.0.0.0/8 is all loopback (RFC 6890); process numbers have 22 bits (proc(5)), so 64 is free to set.
    let own = Ipv4Addr::new(127, high | 64, middle, low);
    SocketAddr::from((own, NEXT.fetch_add(1, Ordering::Relaxed)))
}

fn secret(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}

/// Writes a controller's configuration and initialises its state, with [`OPERATOR`] as its operator.
///
/// # Errors
/// What `init` says when it cannot.
pub async fn init_controller(folder: &Path, fixed_ports: bool) -> Result<()> {
    let port = |number: u16| format!("127.0.0.1:{}", if fixed_ports { number } else { 0 });
    let mqtt = format!("127.0.0.1:{}", if fixed_ports { 1883 } else { broker_port()? });
    write_controller(folder, &port(8080), &port(8443), &mqtt)?;
    let password = folder.join("operator.password");
    secret(&password, OPERATOR.1)?;
    let (config, password) = (path(folder, "controller.toml"), password.display().to_string());
    let arguments = ["init", "--config", &config, "--operator", OPERATOR.0, "--password-file", &password];
    Program::run("headend-controller", &arguments).await?;
    Ok(())
}

fn write_node(options: &Options, (site, name): (&str, &str), fleet: &str, listen: &str) -> Result<()> {
    let text = format!(
        "site = \"{site}\"\nname = \"{name}\"\nstate_dir = \"{}\"\n\n[http]\nlisten = \"{listen}\"\n\n\
         [controller]\nurl = \"{fleet}\"\n",
        path(&options.folder, name),
    );
    fs::write(options.folder.join(format!("{name}.toml")), text).context("write the node's configuration")
}

fn write_controller(folder: &Path, http: &str, fleet: &str, mqtt: &str) -> Result<()> {
    let text = format!(
        "site = \"caribbean\"\nname = \"controller\"\nstate_dir = \"{}\"\n\n[http]\nlisten = \"{http}\"\n\n\
         [fleet]\nlisten = \"{fleet}\"\n\n[mqtt]\nlisten = \"{mqtt}\"\n",
        path(folder, "controller"),
    );
    fs::write(folder.join("controller.toml"), text).context("write controller.toml")
}

/// Starts the controller of a folder that was initialised.
///
/// # Errors
/// When it does not get ready.
pub async fn start_controller(folder: &Path) -> Result<Program> {
    let config = path(folder, "controller.toml");
    let log = folder.join("controller.log");
    Program::start("headend-controller", &["run", "--config", &config], &log).await
}

async fn start_node(options: &Options, name: &str) -> Result<Program> {
    let config = path(&options.folder, &format!("{name}.toml"));
    let log = options.folder.join(format!("{name}.log"));
    Program::start("headend-node", &["run", "--config", &config], &log).await
}
