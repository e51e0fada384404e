//! What viewers get: line-ups, redirects, the slate.

use axum::http::header;
use serde_json::json;

use super::house::House;

#[tokio::test]
async fn a_subscriber_sees_what_the_tariffs_hold() {
    let house = House::furnished().await;
    let token = house.sign_in().await;
    let names = async |house: &House| -> Vec<String> {
        let channels = house.get_as("/api/v1/my/channels", &token).await.json();
        let channels = channels["channels"].as_array().unwrap().clone();
        channels.iter().map(|channel| channel["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&house).await, ["base1", "open1"]);
    house.put("/api/v1/tariffs/Sport", json!({"name": "Sport", "tags": ["sport"]})).await;
    house.put("/api/v1/subscribers/demo", json!({"tariffs": ["Base", "Sport"]})).await;
    assert_eq!(names(&house).await, ["base1", "sport1", "open1"], "a change is seen by the next request");
    house.put("/api/v1/subscribers/demo", json!({"tariffs": []})).await;
    assert_eq!(names(&house).await, ["open1"]);
    let paid = house.office.now_secs();
    house.put("/api/v1/subscribers/demo", json!({"tariffs": ["Base"], "paid_until": paid})).await;
    assert_eq!(names(&house).await, ["open1"], "what was paid for has ended");
    house.put("/api/v1/subscribers/demo", json!({"tariffs": ["Base"], "paid_until": 0})).await;
    assert_eq!(names(&house).await, ["base1", "open1"]);
}

#[tokio::test]
async fn the_playlist_is_for_any_player() {
    let house = House::furnished().await;
    let token = house.sign_in().await;
    let answer = house.get(&format!("/playlist.m3u8?token={token}")).await;
    let line = |number: u32, name: &str| {
        format!(
            "#EXTINF:-1 tvg-id=\"{name}\" tvg-chno=\"{number}\" tvg-name=\"{name}\",{name}\n\
             http://tv.example/play/{name}/index.m3u8?token={token}\n"
        )
    };
    assert_eq!(answer.text(), format!("#EXTM3U\n{}{}", line(1, "base1"), line(3, "open1")));
    assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
    assert_eq!(house.get("/playlist.m3u8").await.status, 403);
    assert_eq!(house.get("/playlist.m3u8?token=x").await.status, 403);
}

#[tokio::test]
async fn play_refuses_those_who_may_not() {
    let house = House::furnished().await;
    let token = house.sign_in().await;
    let check = async |path: &str, status: u16| {
        let answer = house.get(path).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
        assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
    };
    check("/play/base1/index.m3u8", 403).await;
    check("/play/base1/index.m3u8?token=x", 403).await;
    check(&format!("/play/sport1/index.m3u8?token={token}"), 403).await;
    check(&format!("/play/nothing/index.m3u8?token={token}"), 404).await;
    check("/play/open1/nothing.xyz", 404).await;
    check("/play/../index.m3u8", 404).await;
    check("/play/k/base1/1-1", 404).await;
}

#[tokio::test]
async fn viewers_go_to_the_origin_that_is_there_then_to_the_slate() {
    let house = House::furnished().await;
    let token = house.sign_in().await;
    let play = format!("/play/base1/index.m3u8?token={token}");
    let slate = format!("/slate/index.m3u8?channel=base1&token={token}");
    assert_eq!(house.get(&play).await.header(header::LOCATION), slate, "no origin yet");
    let (home, other) = (house.origin("caribbean", "car").await, house.origin("france", "fra").await);
    let at = |origin: &super::house::Origin| format!("http://{}/base1/index.m3u8?token=", origin.address);
    // A session that began elsewhere stays there; a new one goes to its own site.
    house.until_sent("/play/open1/index.m3u8", &format!("http://{}/open1/index.m3u8", home.address)).await;
    for file in ["video.m3u8", "mono.m3u8", "tracks-v1a1/mono.m3u8", "mpegts", "playlist.m3u8"] {
        let answer = house.get(&format!("/play/open1/{file}?a=1")).await;
        assert_eq!(answer.status, 302);
        assert_eq!(answer.header(header::LOCATION), format!("http://{}/open1/{file}?a=1", home.address));
    }
    house.until_sent(&play, "http://127.").await;
    home.stop().await;
    house.until_sent(&play, &at(&other)).await;
    other.stop().await;
    house.until_sent(&play, &slate).await;
    let video = house.get(&format!("/play/base1/video.m3u8?token={token}")).await;
    assert!(video.header(header::LOCATION).starts_with("/slate/video.m3u8?channel=base1"));
    assert_eq!(house.get(&format!("/play/base1/mpegts?token={token}")).await.status, 503);
    // The slate plays while nothing is there, and leads back when something is.
    let list = format!("/slate/video.m3u8?channel=base1&token={token}");
    let playing = house.get(&list).await;
    assert_eq!((playing.status, playing.text().starts_with("#EXTM3U")), (200, true));
    let segment = playing.text().lines().find(|line| line.ends_with(".ts")).unwrap().to_owned();
    assert_eq!(house.get(&format!("/slate/{segment}")).await.status, 200);
    let back = house.origin("miami", "mia").await;
    house.until_sent(&list, &format!("http://{}/base1/video.m3u8?token=", back.address)).await;
    let stranger = house.get("/slate/video.m3u8?channel=base1&token=x").await;
    assert_eq!(stranger.status, 200, "without a session the slate is all there is");
}

#[tokio::test]
async fn only_what_players_ask_is_open_to_other_origins() {
    let house = House::furnished().await;
    for (path, open) in [
        ("/slate/index.m3u8", true),
        ("/slate/42.ts", true),
        ("/play/base1/index.m3u8", true),
        ("/k/base1/1-1", true),
        ("/playlist.m3u8", true),
        ("/api/v1/my/channels", false),
        ("/api/v1/tariffs", false),
        ("/api/openapi.json", false),
    ] {
        let answer = house.ask("GET", path, &[("origin", "https://evil.example")], None).await;
        assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN) == "*", open, "{path}");
        let asked = [("origin", "https://evil.example"), ("access-control-request-method", "GET")];
        let preflight = house.ask("OPTIONS", path, &asked, None).await;
        assert_eq!(preflight.status == 204, open, "{path}: {preflight:?}");
    }
}

#[tokio::test]
async fn monitors_get_figures() {
    let house = House::furnished().await;
    house.sign_in().await;
    assert_eq!(house.get("/healthz").await.text(), "ok\n");
    let text = house.get("/metrics").await.text();
    for line in [
        "headend_api_sign_ins_total{outcome=\"right\"} 1",
        "headend_viewing_sessions 1",
        "headend_store_channels 3",
        "headend_store_failed 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
    let document = house.get("/api/openapi.json").await.json();
    assert!(document["paths"]["/api/v1/tariffs/{id}"]["put"].is_object());
}
