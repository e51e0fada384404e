//! What an existing Flussonic is told about its viewers.

use super::house::{Answer, House};

const SERVER: [u8; 4] = [198, 51, 100, 7];

async fn asks(house: &House, from: [u8; 4], name: &str, token: &str) -> Answer {
    let path = format!(
        "/auth?name={name}&ip=203.0.113.9&token={token}&proto=hls&session_id=0b8d1a2e-5a51-4d0c-9f5c-000000000001\
         &request_type=new_session&request_number=0&stream_clients=1&total_clients=1"
    );
    house.ask_from(from, ("GET", &path), &[], None).await
}

#[tokio::test]
async fn a_listed_server_hears_what_play_would_say() {
    let house = House::furnished().await;
    let token = house.sign_in().await;
    let yes = asks(&house, SERVER, "base1", &token).await;
    let header = |name: &str| yes.headers.get(name).map_or("", |value| value.to_str().unwrap());
    assert_eq!((yes.status, header("x-userid"), header("x-authduration")), (200, "demo", "180"));
    assert!(header("x-max-sessions").parse::<u32>().unwrap() > 0);
    for (name, token) in [("sport1", &*token), ("base1", "x"), ("base1", ""), ("nothing", &token), ("", &token)] {
        assert_eq!(asks(&house, SERVER, name, token).await.status, 403, "{name} {token}");
    }
    let free = asks(&house, SERVER, "open1", "").await;
    assert_eq!((free.status, free.headers.get("x-userid")), (200, None));
    // Who is signed out is out.
    let bearer = format!("Bearer {token}");
    house.ask("DELETE", "/api/v1/session", &[("authorization", &bearer)], None).await;
    assert_eq!(asks(&house, SERVER, "base1", &token).await.status, 403);
}

#[tokio::test]
async fn a_playback_token_is_as_good() {
    let house = House::furnished().await;
    let _origin = house.origin("caribbean", "car-1").await;
    let token = house.sign_in().await;
    let sent = house.until_sent(&format!("/play/base1/index.m3u8?token={token}"), "http://127.0.0.1").await;
    let location = sent.header(axum::http::header::LOCATION);
    let (_, playback) = location.split_once("token=").unwrap();
    assert_eq!(asks(&house, SERVER, "base1", playback).await.status, 200);
    assert_eq!(asks(&house, SERVER, "sport1", playback).await.status, 403);
}

#[tokio::test]
async fn nobody_else_learns_which_tokens_are_good() {
    let house = House::furnished().await;
    let token = house.sign_in().await;
    let stranger = [192, 0, 2, 1];
    let good = asks(&house, stranger, "base1", &token).await;
    assert_eq!(good.status, 403);
    assert_eq!(good.face(), asks(&house, stranger, "base1", "x").await.face());
}
