//! Who may watch where a portal or a backend of the operator's decides: what a box would notice.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use headend_tests::{
    backend::{Asked, Backend, Says, says},
    client::{Playlist, Viewer, read_playlist},
    lone::{Lone, channel, file, now_secs},
    wait::until,
    world::content,
};
use headend_wire::Dvr;
use reqwest::{Response, StatusCode, header};

const NAME: &str = "fr/lagon";
/// The shortest time an answer holds, and some.
const AGAIN: Duration = Duration::from_secs(40);

async fn node(folder: &Path, viewing: &str) -> Result<Lone> {
    let url = file(&content("lagon-caribbean.ts"));
    let dvr = Some(Dvr { keep: "1h".parse()?, locks: vec![] });
    let channel = headend_wire::DesiredChannel { dvr, key_period_secs: 10, ..channel(NAME, &[("file", &url)]) };
    let archive = format!("[archive]\npaths = ['{}']\n", folder.join("disk").display());
    let text = format!("{archive}\n[[viewing]]\nchannels = ['fr/*']\n{viewing}\n");
    let mut node = Lone::prepare(folder, "car-1", &text, vec![channel])?;
    node.run().await?;
    // Our own token is good besides, and shows when the channel is up.
    node.playlist(NAME, 2).await?;
    Ok(node)
}

async fn asking(folder: &Path, backend: &Backend, more: &str) -> Result<Lone> {
    node(folder, &format!("backends = ['{}']\n{more}", backend.url)).await
}

fn allows(_: &Asked) -> Says {
    says(200)
}

async fn get(node: &Lone, path: &str) -> Result<Response> {
    Ok(node.http.get(node.url(path)?).send().await?)
}

async fn status(node: &Lone, path: &str) -> Result<u16> {
    Ok(get(node, path).await?.status().as_u16())
}

/// The media playlist that a token opens.
async fn list(node: &Lone, token: &str) -> Result<Playlist> {
    let url = node.url(&format!("/{NAME}/video.m3u8?token={token}"))?;
    let response = node.http.get(url.clone()).send().await?.error_for_status()?;
    read_playlist(url, response.text().await?)
}

/// Waits until a path is answered so.
async fn becomes(node: &Lone, path: &str, want: u16) -> Result<()> {
    let look = || async {
        let got = status(node, path).await?;
        ensure!(got == want, "{path} is answered {got}");
        Ok(())
    };
    until(&format!("{want} for {path}"), AGAIN, look).await.with_context(|| node.log())?;
    Ok(())
}

/// `sha1` by the openssl program, so that nobody marks their own homework.
fn sha1(text: &str) -> Result<String> {
    let mut child = std::process::Command::new("openssl")
        .args(["dgst", "-sha1", "-r"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    std::io::Write::write_all(&mut child.stdin.take().context("stdin is piped")?, text.as_bytes())?;
    let output = String::from_utf8(child.wait_with_output()?.stdout)?;
    Ok(output.split_whitespace().next().context("openssl printed nothing")?.to_owned())
}

fn secure_token(ip: &str, (start, end): (u64, u64), user: &str) -> Result<String> {
    let hash = sha1(&format!("{NAME}{ip}{start}{end}hunter2salt{user}"))?;
    let user = if user.is_empty() { String::new() } else { format!("-{user}") };
    Ok(format!("{hash}-salt-{end}-{start}{user}"))
}

fn secret(folder: &Path, name: &str, text: &str) -> Result<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(path.display().to_string())
}

#[tokio::test]
async fn boxes_that_drop_queries_and_cookies_play() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let backend = Backend::start(allows).await?;
    let node = asking(folder.path(), &backend, "").await?;
    let playlist = list(&node, "legacy").await?;
    let segment = playlist.segments.last().context("no segment")?;
    let bare = segment.url.path();
    assert_eq!(status(&node, bare).await?, 200, "the path alone opens a segment");
    let marked = bare.split('/').find(|part| part.starts_with('~')).context("no mark in the path")?;
    let unmarked = bare.replace(&format!("{marked}/"), "");
    assert_eq!(status(&node, &unmarked).await?, 403, "without mark, query and cookie");
    assert_eq!(status(&node, &format!("{unmarked}?token=legacy")).await?, 200, "by its session");
    let day = marked[1..].split('-').next().context("a mark without a day")?.parse::<u32>()?;
    let forged = [
        marked.replace('~', "~1"),
        format!("~{day}-AAAAAAAAAAAAAAAA"),
        marked.replace(&day.to_string(), &(day - 1).to_string()),
        format!("~{}", "x".repeat(200)),
        "~".to_owned(),
    ];
    for mark in forged {
        let got = status(&node, &bare.replace(marked, &mark)).await?;
        assert!(matches!(got, 403 | 404), "{mark} is answered {got}");
    }
    // Every viewer has the same path, so that a cache keeps one copy.
    let other = list(&node, "other").await?;
    assert!(other.segments.iter().any(|one| one.url.path() == bare), "another path for another viewer");
    // The key is not given for its address alone: who decides is asked about the token in it.
    let (key, _) = segment.key.clone().context("no key")?;
    assert!(key.query().is_some_and(|query| query.contains("token=legacy")), "{key}");
    assert_eq!(node.http.get(key.clone()).send().await?.status(), 200);
    let mut without = key.clone();
    without.set_query(Some(&key.query().unwrap_or_default().replace("&token=legacy", "")));
    assert_eq!(node.http.get(without).send().await?.status(), 403);
    assert!(Viewer::guest()?.segment(segment).await?.len() > 188, "it opens with its key");
    Ok(())
}

#[tokio::test]
async fn a_token_is_found_where_boxes_put_it_and_made_up_where_there_is_none() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let backend = Backend::start(allows).await?;
    let node = asking(folder.path(), &backend, "").await?;
    let url = node.url(&format!("/{NAME}/video.m3u8"))?;
    let cookie = (header::COOKIE, "flusession=C%2F1");
    let tvip = ("x-playback-session-id", "H");
    let agent = (header::USER_AGENT, "MAG254");
    let request = |query: &str| {
        let mut url = url.clone();
        url.set_query(Some(query));
        node.http.get(url).header(agent.0.clone(), agent.1).header(header::REFERER, "http://portal/")
    };
    request("token=Q%201").header(tvip.0, tvip.1).header(cookie.0.clone(), cookie.1).send().await?;
    request("").header(tvip.0, tvip.1).header(cookie.0.clone(), cookie.1).send().await?;
    request("").header(cookie.0.clone(), cookie.1).send().await?;
    let made_up = request("x=1").send().await?.error_for_status()?;
    let asked = backend.asked();
    let tokens: Vec<&str> = asked.iter().map(|asked| asked["token"].as_str()).collect();
    assert_eq!(tokens[..3], ["Q 1", "H", "C/1"]);
    let uuid = tokens[3];
    assert_eq!((uuid.len(), uuid.split('-').count()), (36, 5), "{uuid} is no UUID");
    let field = |name: &str| asked[3].get(name).map(String::as_str);
    let host = node.address()?;
    for (name, want) in [
        ("name", NAME),
        ("ip", "127.0.0.1"),
        ("proto", "hls"),
        ("request_type", "new_session"),
        ("request_number", "0"),
        ("total_clients", "3"),
        ("stream_clients", "3"),
        ("qs", "x=1"),
        ("user_agent", agent.1),
        ("referer", "http://portal/"),
        ("host", host.as_str()),
        ("duration", "0"),
        ("bytes", "0"),
    ] {
        assert_eq!(field(name), Some(want), "{name}");
    }
    let set = made_up.headers().get(header::SET_COOKIE).context("no cookie")?.to_str()?.to_owned();
    assert!(set.starts_with(&format!("flusession={uuid}; Path=/{NAME}; HttpOnly")), "{set}");
    let text = made_up.text().await?;
    assert!(text.contains(&format!(".ts?token={uuid}")), "segments carry the token: {text}");
    // It is one session from then on: nobody asks again.
    assert_eq!(status(&node, &format!("/{NAME}/index.m3u8?token={uuid}")).await?, 200);
    assert_eq!(backend.asked().len(), 4);
    let log = node.log();
    assert!(!log.contains(uuid) && !log.contains("Q 1"), "a token stands in the log: {log}");
    Ok(())
}

#[tokio::test]
async fn secure_tokens_of_a_portal() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let key = secret(folder.path(), "securetoken", "hunter2\n")?;
    let node = node(folder.path(), &format!("securetoken = '{key}'\ndesync_secs = 60\n")).await?;
    let now = now_secs();
    let during = (now - 300, now + 600);
    let play = |token: String| {
        let node = &node;
        async move { status(node, &format!("/{NAME}/video.m3u8?token={token}")).await }
    };
    let good = secure_token("127.0.0.1", during, "")?;
    assert_eq!(play(good.clone()).await?, 200);
    assert_eq!(play(secure_token("127.0.0.1", during, "user-7")?).await?, 200);
    assert_eq!(play(secure_token("127.0.0.1", (now + 40, now + 600), "")?).await?, 200, "within the desync");
    for (what, token) in [
        ("another address", secure_token("192.0.2.9", during, "")?),
        ("no address", secure_token("no_check_ip", during, "")?),
        ("over", secure_token("127.0.0.1", (now - 300, now - 1), "")?),
        ("to come", secure_token("127.0.0.1", (now + 300, now + 600), "")?),
        ("stretched", good.replace(&during.1.to_string(), &(during.1 + 9_000).to_string())),
        ("none", String::new()),
    ] {
        assert_eq!(play(token).await?, 403, "{what}");
    }
    let playlist = list(&node, &good).await?;
    assert!(Viewer::guest()?.segment(&playlist.segments[0]).await?.len() > 188);
    assert_eq!(status(&node, &format!("/{NAME}/index.m3u8")).await?, 403);
    Ok(())
}

#[tokio::test]
async fn every_answer_of_a_backend_reaches_the_viewer() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let backend = Backend::start(|asked| match asked["token"].as_str() {
        "good" => says(200),
        "old" => says(302),
        "moved" => says(302).header("location", "http://other.example/x/index.m3u8"),
        "broken" => says(500),
        _ => says(403),
    })
    .await?;
    let lists = "deny = { user_agents = ['Evil'] }\nallow = { networks = ['192.0.2.0/24'] }\nno_auto_token = true\n";
    let node = asking(folder.path(), &backend, lists).await?;
    let path = |token: &str| format!("/{NAME}/index.m3u8?token={token}");
    for (token, want) in [("good", 200), ("old", 200), ("bad", 403), ("broken", 403), ("moved", 302)] {
        assert_eq!(status(&node, &path(token)).await?, want, "{token}");
    }
    let moved = get(&node, &path("moved")).await?;
    assert_eq!(moved.headers().get(header::LOCATION).context("no Location")?, "http://other.example/x/index.m3u8");
    let before = backend.asked().len();
    assert_eq!(status(&node, &format!("/{NAME}/index.m3u8")).await?, 403, "no token, and none is made up");
    let evil = node.http.get(node.url(&path("good"))?).header(header::USER_AGENT, "an evil box").send().await?;
    assert_eq!((evil.status(), backend.asked().len()), (StatusCode::FORBIDDEN, before), "asked about who is on a list");
    // Our controller's own tokens are believed without a question.
    assert_eq!(status(&node, &path(&node.token)).await?, 200);
    assert_eq!(backend.asked().len(), before);
    Ok(())
}

#[tokio::test]
async fn without_a_backend_those_inside_stay_and_newcomers_follow_the_default() -> Result<()> {
    for (default, want) in [("true", 200), ("false", 403)] {
        let folder = tempfile::tempdir()?;
        let backend = Backend::start(|_| says(200).header("x-authduration", "1")).await?;
        let more = format!("allow_default = {default}\nanswer_within_ms = 500\n");
        let node = asking(folder.path(), &backend, &more).await?;
        let path = |token: &str| format!("/{NAME}/video.m3u8?token={token}");
        assert_eq!(status(&node, &path("inside")).await?, 200);
        backend.now_says(|_| says(503));
        let look = || async {
            assert_eq!(status(&node, &path("inside")).await?, 200, "it must never be closed");
            let asked = backend.asked();
            ensure!(asked.iter().any(|asked| asked["request_type"] == "update_session"), "{} questions", asked.len());
            Ok(())
        };
        until("a question that fails", AGAIN, look).await?;
        assert_eq!(status(&node, &path("inside")).await?, 200);
        assert_eq!(status(&node, &path("newcomer")).await?, want);
    }
    Ok(())
}

#[tokio::test]
async fn who_is_denied_later_loses_playlists_keys_segments_and_streams() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let backend = Backend::start(|_| says(200).header("x-authduration", "10").header("x-userid", "u")).await?;
    let node = asking(folder.path(), &backend, "").await?;
    let playlist = list(&node, "viewer").await?;
    let segment = playlist.segments.last().context("no segment")?.clone();
    let (key, _) = segment.key.clone().context("no key")?;
    let endless = node.http.get(node.url(&format!("/{NAME}/mpegts?token=viewer"))?).timeout(4 * AGAIN);
    let mut stream = endless.send().await?.error_for_status()?;
    assert!(stream.chunk().await?.is_some_and(|bytes| bytes.len() >= 188));
    backend.now_says(|_| says(403));
    // Nothing is asked for but the stream: its session is asked about by the clock, and ends.
    let ends = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(AGAIN, ends).await.context("the stream goes on")?;
    let updates = backend.asked();
    let last = updates.last().context("nothing was asked")?;
    assert_eq!((last["request_type"].as_str(), last["proto"].as_str()), ("update_session", "mpegts"));
    assert!(last["bytes"].parse::<u64>()? > 188 && last["duration"].parse::<u64>()? >= 9, "{last:?}");
    becomes(&node, &format!("/{NAME}/video.m3u8?token=viewer"), 403).await?;
    assert_eq!(node.http.get(key).send().await?.status(), 403, "the key");
    assert_eq!(node.http.get(segment.url.clone()).send().await?.status(), 403, "a segment, with its session shown");
    assert_eq!(status(&node, &format!("/{NAME}/mpegts?token=viewer")).await?, 403);
    Ok(())
}

#[tokio::test]
async fn one_session_too_many_is_banned() -> Result<()> {
    let limits = |asked: &Asked| {
        let user = asked["token"].split('-').next().unwrap_or_default();
        let says = says(200).header("x-authduration", "600").header("x-userid", user).header("x-max-sessions", "1");
        if user == "unique" { says.header("x-unique", "true") } else { says }
    };
    let folder = tempfile::tempdir()?;
    let backend = Backend::start(limits).await?;
    let node = asking(folder.path(), &backend, "").await?;
    let play = |token: &str| {
        let (node, path) = (&node, format!("/{NAME}/video.m3u8?token={token}"));
        async move { status(node, &path).await }
    };
    assert_eq!([play("plain-1").await?, play("plain-2").await?, play("plain-1").await?], [200, 403, 200]);
    assert_eq!([play("unique-1").await?, play("unique-2").await?, play("unique-1").await?], [200, 200, 403]);
    assert_eq!(play("unique-2").await?, 200);
    assert_eq!(play("other-1").await?, 200, "another user has a limit of its own");
    Ok(())
}

#[tokio::test]
async fn the_archive_that_a_backend_allows() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let from = now_secs();
    let backend = Backend::start(move |asked| {
        let ranges = match asked["token"].as_str() {
            "none" => "[]".to_owned(),
            "wrong" => "\"all\"".to_owned(),
            "other" => format!("[{{\"opened_at\":{},\"closed_at\":{}}}]", from - 7_200, from - 3_600),
            "some" => format!("[{{\"opened_at\":{},\"closed_at\":{}}}]", from - 60, from + 3_600),
            _ => return says(200),
        };
        says(200).header("content-type", "application/json").body(&format!("{{\"allowed_dvr_ranges\":{ranges}}}"))
    })
    .await?;
    let node = asking(folder.path(), &backend, "").await?;
    becomes(&node, &format!("/{NAME}/rewind-600.m3u8?token=all"), 200).await?;
    for (token, want) in [("all", 200), ("some", 200), ("none", 403), ("wrong", 403), ("other", 403)] {
        assert_eq!(status(&node, &format!("/{NAME}/rewind-600.m3u8?token={token}")).await?, want, "{token}");
        let stream = format!("/{NAME}/archive-{from}-600.ts?token={token}");
        let got = status(&node, &stream).await?;
        // What was recorded may begin a moment after the test did.
        let want: &[u16] = if want == 200 { &[200, 404] } else { &[403] };
        assert!(want.contains(&got), "{token}: {stream} is answered {got}");
        assert_eq!(status(&node, &format!("/{NAME}/video.m3u8?token={token}")).await?, 200, "live for {token}");
    }
    Ok(())
}
