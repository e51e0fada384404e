//! The real program, from an empty folder to a viewer's redirect: check-config, run without init, init, run on free
//! ports, the REST interface over real sockets, a restart, export and import, an orderly end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_headend-controller");
const PASSWORD: &str = "correct horse";

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let text = format!(
            "site = \"caribbean\"\nstate_dir = {:?}\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [fleet]\nlisten = \"127.0.0.1:0\"\n[mqtt]\nlisten = \"127.0.0.1:0\"\n",
            state.display()
        );
        fs::write(folder.path().join("controller.toml"), text).unwrap();
        let password = folder.path().join("password");
        fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg(verb).arg("--config").arg(self.path("controller.toml"));
        command
    }

    #[track_caller]
    fn check(&self, command: &mut Command, code: i32, said: &str) -> Output {
        let output = command.output().unwrap();
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{talk}");
        assert!(talk.contains(said), "{said:?} is not in {talk:?}");
        output
    }

    fn init(&self) -> Command {
        let mut command = self.command("init");
        command.args(["--operator", "anna", "--password-file"]).arg(self.path("password"));
        command
    }
}

/// A running controller; killed when dropped.
struct Running {
    child: Child,
    http: String,
}

impl Running {
    fn start(place: &Place) -> Self {
        let mut child = place.command("run").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let (sender, ready) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            sender.send(line).unwrap();
        });
        let line = ready.recv_timeout(Duration::from_secs(30)).expect("the ready line within 30 s");
        let ready: Value = serde_json::from_str(&line).unwrap();
        for door in ["http", "fleet", "mqtt"] {
            let address = ready["ready"][door].as_str().unwrap();
            assert!(!address.ends_with(":0"), "{line}");
            TcpStream::connect(address).unwrap_or_else(|error| panic!("{door} at {address}: {error}"));
        }
        let http = ready["ready"]["http"].as_str().unwrap().to_owned();
        Self { child, http }
    }

    /// One request on a connection of its own: status, head and body.
    fn ask(&self, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> (u16, String, String) {
        let mut socket = TcpStream::connect(&self.http).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let body = body.map(Value::to_string).unwrap_or_default();
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{token}\r\n{body}",
            self.http,
            body.len()
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut bytes = vec![];
        socket.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned())
    }

    #[track_caller]
    fn json(&self, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Value {
        let (status, _, text) = self.ask(method, path, token, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn sign_in(&self, path: &str, login: &str, password: &str) -> String {
        let answer = self.json("POST", path, None, Some(&json!({"login": login, "password": password})));
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Asks for the orderly end and waits for it.
    fn stop(mut self) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn from_an_empty_folder_to_a_viewer_and_over_a_restart() {
    let place = Place::new();
    place.check(&mut place.command("check-config"), 0, "is good: site caribbean");
    place.check(&mut place.command("run"), 8, "make one with: headend-controller init");
    place.check(&mut place.init(), 0, "made the installation");
    place.check(&mut place.init(), 0, "nothing was changed");
    for secret in ["state/storage.key", "state/fleet-authority.key"] {
        assert_eq!(mode_of(&place.path(secret)), 0o600, "{secret}");
    }

    let controller = Running::start(&place);
    assert_eq!(controller.ask("GET", "/healthz", None, None).0, 200);
    let admin = controller.sign_in("/api/v1/operator/session", "anna", PASSWORD);
    let admin = Some(admin.as_str());
    let put = |path: &str, body: Value| controller.json("PUT", path, admin, Some(&body));
    put("/api/v1/tariffs/Base", json!({"name": "Base", "tags": ["base"]}));
    let sources = json!([{"site": "caribbean", "name": "sat", "url": "udp://239.0.0.1:5000"}]);
    put("/api/v1/channels/base1", json!({"title": "Base 1", "number": 1, "tags": ["base"], "sources": sources}));
    put("/api/v1/nodes/car-1", json!({"site": "caribbean"}));
    put("/api/v1/subscribers/demo", json!({"password": "12345678", "tariffs": ["Base"]}));
    let viewer = controller.sign_in("/api/v1/session", "demo", "12345678");
    let check_viewer = |controller: &Running| {
        let mine = controller.json("GET", "/api/v1/my/channels", Some(&viewer), None);
        let play = mine["channels"][0]["play"].as_str().unwrap().to_owned();
        let (status, head, _) = controller.ask("GET", &play, None, None);
        assert!(status == 302 && head.contains("location: /slate/index.m3u8"), "{head}");
        let (status, _, list) = controller.ask("GET", "/slate/video.m3u8", None, None);
        let segment = list.lines().find(|line| line.ends_with(".ts")).unwrap_or_else(|| panic!("{list}"));
        assert_eq!((status, controller.ask("GET", &format!("/slate/{segment}"), None, None).0), (200, 200));
    };
    check_viewer(&controller);
    assert_eq!(controller.ask("GET", "/portal", None, None).0, 200);
    assert_eq!(controller.ask("GET", "/sign-in", None, None).0, 200);
    controller.stop();

    let again = Running::start(&place);
    check_viewer(&again);
    assert_eq!(again.ask("GET", "/api/v1/tariffs", admin, None).0, 200, "a restart signs nobody out");
    place.check(place.command("export").arg(place.path("one.jsonl")), 1, "in use by another process");
    again.stop();

    place.check(place.command("export").arg(place.path("two.jsonl")), 0, "records written");
    let text = fs::read_to_string(place.path("two.jsonl")).unwrap();
    assert!(!text.contains(&viewer) && !text.contains("12345678\"") && !text.contains(PASSWORD));
    assert_eq!(mode_of(&place.path("two.jsonl")), 0o600);
    place.check(place.command("import").arg(place.path("two.jsonl")), 0, "records restored");
    place.check(place.command("import").arg(place.path("none.jsonl")), 3, "is not there");
    let restored = Running::start(&place);
    check_viewer(&restored);
    restored.stop();
}

#[test]
fn wrong_usage_is_told_by_its_code() {
    let place = Place::new();
    let code = |command: &mut Command| command.output().unwrap().status.code();
    assert_eq!(code(&mut Command::new(PROGRAM)), Some(2));
    assert_eq!(code(Command::new(PROGRAM).arg("--help")), Some(0));
    fs::write(place.path("controller.toml"), "site = \"caribbean\"\nstate_dri = \"/x\"\n").unwrap();
    place.check(&mut place.command("check-config"), 8, "controller.toml:2: unknown key `state_dri`");
    place.check(&mut place.command("run"), 8, "did you mean `state_dir`?");
    fs::set_permissions(place.path("password"), fs::Permissions::from_mode(0o644)).unwrap();
    let fresh = Place::new();
    fs::set_permissions(fresh.path("password"), fs::Permissions::from_mode(0o644)).unwrap();
    fresh.check(&mut fresh.init(), 2, "can be reached by every user");
    let document = Command::new(PROGRAM).arg("openapi").output().unwrap();
    let document: Value = serde_json::from_slice(&document.stdout).unwrap();
    assert!(document["paths"]["/api/v1/session"]["post"].is_object());
}
