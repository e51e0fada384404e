//! `headend-controller import-flussonic` as an operator uses it: into a store, into a running controller, from a server.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use headend_tests::{
    client::http_client,
    program::{Program, binary, workspace},
    world::{OPERATOR, init_controller, start_controller},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command};

/// What must never be in an output or a log: secrets of the example and of these tests.
const SECRETS: [&str; 9] = [
    "un;mot",
    "{de}passe",
    "regarder-seulement",
    "cle-du-cluster",
    "jeton",
    "operateur",
    "cle-de",
    "auth.php",
    "mot-cache",
];

fn fixture(file: &str) -> String {
    workspace().join("tests/fixtures/flussonic").join(file).display().to_string()
}

/// One run of the importer.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

async fn import(folder: &Path, arguments: &[&str]) -> Result<Run> {
    let config = folder.join("controller.toml").display().to_string();
    let Output { status, stdout, stderr } = Command::new(binary("headend-controller")?)
        .args(["--log", "trace", "import-flussonic", "--config", &config])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let run = Run { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) };
    for secret in SECRETS {
        ensure!(!run.stdout.contains(secret), "{secret} on stdout:\n{}", run.stdout);
        ensure!(!run.stderr.contains(secret), "{secret} on stderr:\n{}", run.stderr);
    }
    Ok(run)
}

impl Run {
    fn ended(&self, code: i32, said: &str) -> Result<()> {
        ensure!(self.code == code, "ended with {} instead of {code}\n{}\n{}", self.code, self.stdout, self.stderr);
        ensure!(self.stderr.contains(said), "{said:?} was not said:\n{}", self.stderr);
        Ok(())
    }

    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("no JSON: {}", self.stdout))
    }
}

/// A controller with an operator; stopped.
async fn installed() -> Result<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    init_controller(folder.path(), false).await?;
    let path = folder.path().to_path_buf();
    Ok((folder, path))
}

async fn channels(base: &str) -> Result<Vec<Value>> {
    let http = http_client()?;
    let body = json!({ "login": OPERATOR.0, "password": OPERATOR.1 });
    let token: Value = http.post(format!("{base}/api/v1/operator/session")).json(&body).send().await?.json().await?;
    let token = token["token"].as_str().context("no token")?;
    let list: Value = http.get(format!("{base}/api/v1/channels")).bearer_auth(token).send().await?.json().await?;
    Ok(list["channels"].as_array().context("no channels")?.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn drops_need_a_yes_and_a_second_import_changes_nothing() -> Result<()> {
    let (_kept, folder) = installed().await?;
    let file = fixture("headend.conf");
    let refused = import(&folder, &[&file, "--tag", "base"]).await?;
    refused.ended(9, "nothing was written")?;
    ensure!(refused.stdout.contains("line 7: edit_auth"), "{}", refused.stdout);
    import(&folder, &[&file, "--dry-run", "--accept-drops"]).await?.ended(0, "because of --dry-run")?;
    let empty = import(&folder, &[&file, "--accept-drops", "--dry-run", "--json"]).await?.json()?;
    ensure!(empty["channels"]["new"].as_array().is_some_and(|new| new.len() == 6), "{empty:#}");
    import(&folder, &[&file, "--tag", "base", "--accept-drops"]).await?.ended(0, "6 channels written")?;
    let again = import(&folder, &[&file, "--tag", "base", "--accept-drops"]).await?;
    again.ended(0, "nothing to change: every channel is as the file says")?;
    // The second server of the same channels adds its sources at the other site.
    let changed = folder.join("changed.conf");
    fs::write(&changed, fs::read_to_string(&file)?.replace("Lagon TV", "Lagon").replace("239.20.1.1", "239.20.1.9"))?;
    let changed = changed.display().to_string();
    let diff = import(&folder, &[&changed, "--accept-drops"]).await?;
    diff.ended(0, "1 channels written")?;
    ensure!(diff.stdout.contains("      title: Lagon TV -> Lagon\n"), "{}", diff.stdout);
    import(&folder, &[&fixture("streams.json"), "--site", "france", "--accept-drops"])
        .await?
        .ended(0, "channels written")?;

    let controller = start_controller(&folder).await?;
    let list = channels(&format!("http://{}", controller.address("http")?)).await?;
    let names: Vec<&str> = list.iter().filter_map(|channel| channel["name"].as_str()).collect();
    ensure!(names.len() == 6 && names.contains(&"fr/horizon"), "{names:?}");
    let lagon = list.iter().find(|channel| channel["name"] == "lagon").context("no lagon")?;
    let sources: Vec<String> = lagon["sources"]
        .as_array()
        .context("no sources")?
        .iter()
        .map(|source| format!("{} {}", source["site"].as_str().unwrap_or("?"), source["name"].as_str().unwrap_or("?")))
        .collect();
    ensure!(
        sources
            == [
                "caribbean flussonic-caribbean-3",
                "caribbean flussonic-caribbean-2",
                "france flussonic-france-1",
                "france flussonic-france-2"
            ],
        "{sources:?}"
    );
    ensure!(lagon["dvr"] == "5d 95%" && lagon["tags"] == json!(["base"]), "{lagon:#}");
    let locked = import(&folder, &[&file, "--accept-drops"]).await?;
    locked.ended(1, "--controller URL --operator LOGIN --password-file FILE")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_controller_is_asked_over_its_interface() -> Result<()> {
    let (_kept, folder) = installed().await?;
    let mut controller: Program = start_controller(&folder).await?;
    let base = format!("http://{}", controller.address("http")?);
    let password = folder.join("operator.password").display().to_string();
    let through = ["--controller", &base, "--operator", OPERATOR.0, "--password-file", &password];
    let file = fixture("headend.conf");
    let with = |more: &[&'static str]| [&[file.as_str()][..], &through[..], more].concat();
    import(&folder, &with(&[])).await?.ended(9, "nothing was written")?;
    ensure!(channels(&base).await?.is_empty(), "it was refused and written all the same");
    import(&folder, &with(&["--accept-drops", "--tag", "base"])).await?.ended(0, "6 channels written")?;
    ensure!(channels(&base).await?.len() == 6, "not all were written");
    import(&folder, &with(&["--accept-drops"])).await?.ended(0, "nothing to change")?;
    let wrong = folder.join("wrong.password");
    fs::write(&wrong, "mot-cache")?;
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600))?;
    let wrong = wrong.display().to_string();
    let refused = ["--controller", &base, "--operator", OPERATOR.0, "--password-file", &wrong];
    import(&folder, &[&[file.as_str()][..], &refused[..]].concat())
        .await?
        .ended(5, "the controller refused with 401")?;
    let code = controller.stop().await?;
    ensure!(code == 0, "the controller ended with {code}");
    let log = fs::read_to_string(folder.join("controller.log"))?;
    ensure!(log.contains("channel.put"), "the audit's line is logged: {log}");
    for secret in SECRETS {
        ensure!(!log.contains(secret), "{secret} in the controller's log");
    }
    import(&folder, &with(&[])).await?.ended(6, "the controller does not answer")
}

/// A server of streams, two a page, that lets in one user.
async fn server() -> Result<String> {
    let all: Value = serde_json::from_str(&fs::read_to_string(fixture("streams.json"))?)?;
    let streams = all["streams"].as_array().context("no streams")?.clone();
    let list = |State(streams): State<Vec<Value>>, RawQuery(query): RawQuery, headers: HeaderMap| async move {
        // noc:mot-cache
        if headers.get("authorization").is_none_or(|value| value != "Basic bm9jOm1vdC1jYWNoZQ==") {
            return (StatusCode::UNAUTHORIZED, String::new());
        }
        let (first, next) = match query.as_deref() {
            None => (0, json!("page+2&=")),
            // What a cursor holds is quoted on its way back.
            Some("cursor=page%2B2%26%3D") => (2, Value::Null),
            _ => return (StatusCode::BAD_REQUEST, String::new()),
        };
        let page: Vec<&Value> = streams.iter().skip(first).take(2).collect();
        (StatusCode::OK, json!({ "streams": page, "next": next }).to_string())
    };
    let endless = || async { json!({ "streams": [], "next": "again" }).to_string() };
    let router = Router::new()
        .route("/streamer/api/v3/streams", get(list))
        .route("/endless", get(endless))
        .route("/large", get(|| async { " ".repeat(9 << 20) }))
        .route("/elsewhere", get(|| async { (StatusCode::FOUND, [("location", "http://127.0.0.1:9/jeton")]) }))
        .with_state(streams);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::task::spawn(async move { axum::serve(listener, router).await });
    Ok(format!("http://{address}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_asked_page_by_page() -> Result<()> {
    let (_kept, folder) = installed().await?;
    let server = server().await?;
    let credentials = folder.join("credentials");
    fs::write(&credentials, "noc:mot-cache\n")?;
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o600))?;
    let credentials = credentials.display().to_string();
    let with = ["--credentials-file", &credentials, "--accept-drops"];
    let ask =
        |path: &str| [vec![format!("{server}{path}")], with.iter().map(|&text| text.to_owned()).collect()].concat();
    let run = |arguments: Vec<String>| {
        let folder = folder.clone();
        async move { import(&folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    import(&folder, &[&server]).await?.ended(5, "give the credentials")?;
    run(ask("")).await?.ended(0, "3 channels written")?;
    import(&folder, &[&fixture("streams.json"), "--accept-drops"]).await?.ended(0, "nothing to change")?;
    run(ask("/endless")).await?.ended(1, "its pages do not end")?;
    run(ask("/large")).await?.ended(1, "the answer is larger than")?;
    run(ask("/elsewhere?token=jeton")).await?.ended(1, "sends elsewhere")?;
    run(ask("/nothing")).await?.ended(3, "import its /etc/flussonic/flussonic.conf instead")?;
    import(&folder, &["http://127.0.0.1:9/?token=jeton"]).await?.ended(6, "does not answer")?;
    let inside = server.replace("http://", "http://noc:mot-cache@");
    import(&folder, &[&inside]).await?.ended(2, "--credentials-file")
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_none_are_refused_with_their_line() -> Result<()> {
    let (_kept, folder) = installed().await?;
    let write = |name: &str, bytes: &[u8]| -> Result<String> {
        let path = folder.join(name);
        fs::write(&path, bytes)?;
        Ok(path.display().to_string())
    };
    let old = write("old.conf", b"{http, 80}.\n{stream, \"lagon\", \"udp://239.1.1.1:5000\"}.\n")?;
    import(&folder, &[&old])
        .await?
        .ended(8, "line 1: these are Erlang terms, the configuration of a server before 2013")?;
    let twice =
        write("twice.conf", b"stream a { input udp://239.1.1.1:5000; }\nstream a { input udp://239.1.1.2:5000; }\n")?;
    import(&folder, &[&twice]).await?.ended(8, "line 1 and line 2: both streams would be channel a")?;
    let broken = write("broken.conf", b"edit_auth a mot-cache\nhttp 80;\n")?;
    import(&folder, &[&broken]).await?.ended(8, "line 1: the statement is not ended")?;
    let large = write("large.conf", &vec![b'#'; (8 << 20) + 1])?;
    import(&folder, &[&large]).await?.ended(8, "more than 8388608 bytes")?;
    import(&folder, &["/nowhere.conf"]).await?.ended(3, "cannot be read")?;
    let folder_itself = folder.display().to_string();
    import(&folder, &[&folder_itself]).await?.ended(1, "cannot be read")
}
