//! Who is let in: sign-in, sessions, content keys.

use std::time::{Duration, Instant};

use axum::http::header;
use headend_access::{Generation, Root, Schedule, Scope, SessionId};
use serde_json::json;

use super::house::{Answer, House, PASSWORD, START};
use crate::viewing::sessions::id_of;

const SIGN_IN: &str = "/api/v1/session";

#[tokio::test]
async fn a_wrong_password_and_an_unknown_login_look_the_same() {
    let house = House::furnished().await;
    let try_in = async |login: &str, password: &str| {
        house.post(SIGN_IN, json!({"login": login, "password": password, "device": "box-1"})).await
    };
    let wrong = try_in("demo", "wrong horse").await;
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong.header(header::CONTENT_TYPE), "application/problem+json");
    assert_eq!(wrong.json()["type"], "urn:headend:problem:wrong-password");
    for (login, password) in [("nobody", PASSWORD), ("no body at all", PASSWORD), ("", ""), ("demo", "")] {
        assert_eq!(try_in(login, password).await.face(), wrong.face(), "{login:?}");
    }
    let right = try_in("DEMO", PASSWORD).await;
    assert_eq!(right.status, 200);
    assert_eq!(right.json()["subscriber"]["login"], "demo");
}

#[tokio::test]
async fn an_unknown_login_takes_as_long_as_a_wrong_password() {
    let house = House::furnished().await;
    let mut fastest = [Duration::MAX; 2];
    for turn in 0..4 {
        for (at, login) in ["demo", "nobody"].into_iter().enumerate() {
            // The limiter holds back the third try and more of one login.
            let login = if turn < 2 || at == 1 {
                format!("{login}{}", if at == 1 { turn } else { 0 }).replace("demo0", "demo")
            } else {
                continue;
            };
            let began = Instant::now();
            let body = json!({"login": login, "password": "wrong horse"});
            assert_eq!(house.post(SIGN_IN, body).await.status, 401);
            fastest[at] = began.elapsed().min(fastest[at]);
        }
    }
    let [wrong, unknown] = fastest;
    assert!(unknown > wrong / 3 && unknown > Duration::from_millis(4), "wrong {wrong:?}, unknown {unknown:?}");
}

#[tokio::test]
async fn many_tries_are_told_to_wait() {
    let house = House::furnished().await;
    let mut statuses = vec![];
    for from in 1..=8 {
        let body = json!({"login": "demo", "password": "wrong horse"});
        let answer = house.ask_from([10, 0, 0, from], ("POST", SIGN_IN), &[], Some(body)).await;
        if answer.status == 429 {
            assert!(answer.header(header::RETRY_AFTER).parse::<u64>().unwrap() > 0);
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 429, 429]);
}

#[tokio::test]
async fn a_suspended_subscriber_is_told_only_with_the_right_password() {
    let house = House::furnished().await;
    house.put("/api/v1/subscribers/demo", json!({"tariffs": ["Base"], "status": "suspended"})).await;
    let with = async |password: &str| house.post(SIGN_IN, json!({"login": "demo", "password": password})).await.status;
    assert_eq!((with("wrong horse").await, with(PASSWORD).await), (401, 403));
}

#[tokio::test]
async fn sessions_outlive_a_restart_and_end_in_time() {
    let house = House::furnished().await;
    let token = house.sign_in().await;
    let my = "/api/v1/my/channels";
    assert_eq!(house.get_as(my, &token).await.status, 200);
    for foreign in ["", "x", &token[1..], &token.to_lowercase(), &"A".repeat(43)] {
        assert_eq!(house.get_as(my, foreign).await.status, 401, "{foreign}");
    }
    let again = House::on(house.office.engine.clone(), house.clock.clone()).await;
    assert_eq!(again.get_as(my, &token).await.status, 200, "a restart signs nobody out");
    house.clock.advance(Duration::from_secs(30 * 86_400 - 1));
    assert_eq!(again.get_as(my, &token).await.status, 200);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(again.get_as(my, &token).await.status, 401);
    assert_eq!(again.office.sessions.count(), 1);
    again.office.sessions.sweep(&*again.office.clock).await.unwrap();
    assert_eq!(again.office.sessions.count(), 0);
}

#[tokio::test]
async fn the_store_does_not_hold_the_token() {
    let house = House::furnished().await;
    let token = house.sign_in().await;
    let all = house.office.engine.scan(b"sessions/", None, 100).await.unwrap();
    assert_eq!(all.len(), 1);
    let text: String =
        all.iter().map(|(key, value)| format!("{}{}", key.escape_ascii(), value.bytes.escape_ascii())).collect();
    assert!(text.contains(&id_of(&token).unwrap().text()) && !text.contains(&token[..20]), "{text}");
}

async fn revoking(change: impl AsyncFn(&House, &str)) {
    let house = House::furnished().await;
    let token = house.sign_in().await;
    let session = id_of(&token).unwrap();
    let expires = u32::try_from(START).unwrap() + 1_000;
    let key = house.key_address("base1", session, expires);
    assert_eq!(house.get(&key).await.status, 200);
    change(&house, &token).await;
    assert_eq!(house.get_as("/api/v1/my/channels", &token).await.status, 401);
    assert_eq!(house.get(&key).await.status, 403);
    assert_eq!(house.get(&format!("/play/base1/index.m3u8?token={token}")).await.status, 403);
    // Nodes are told, in the form in which they read it.
    let mut plan = house.plan.clone();
    let told = plan.wait_for(|plan| !plan.revoked_sessions.is_empty()).await.unwrap().revoked_sessions.clone();
    assert_eq!(told[0].parse::<SessionId>().unwrap(), session);
    let again = House::on(house.office.engine.clone(), house.clock.clone()).await;
    assert_eq!(again.get(&key).await.status, 403, "it is durable");
}

#[tokio::test]
async fn a_new_password_ends_every_session() {
    revoking(async |house, _| {
        let body = json!({"password": "another horse", "tariffs": ["Base"]});
        house.put("/api/v1/subscribers/demo", body).await;
    })
    .await;
}

#[tokio::test]
async fn a_suspension_ends_every_session() {
    revoking(async |house, _| {
        house.put("/api/v1/subscribers/demo", json!({"tariffs": ["Base"], "status": "suspended"})).await;
    })
    .await;
}

#[tokio::test]
async fn a_removal_ends_every_session() {
    revoking(async |house, _| {
        let bearer = format!("Bearer {}", house.admin);
        let answer = house.ask("DELETE", "/api/v1/subscribers/demo", &[("authorization", &bearer)], None).await;
        assert_eq!(answer.status, 204);
    })
    .await;
}

#[tokio::test]
async fn signing_out_ends_that_session() {
    revoking(async |house, token| {
        let bearer = format!("Bearer {token}");
        assert_eq!(house.ask("DELETE", SIGN_IN, &[("authorization", &bearer)], None).await.status, 204);
    })
    .await;
}

#[tokio::test]
async fn a_key_goes_to_those_entitled() {
    let house = House::furnished().await;
    let session = id_of(&house.sign_in().await).unwrap();
    let expires = u32::try_from(START).unwrap() + 100;
    let address = house.key_address("base1", session, expires);
    let whole = house.get(&address).await;
    assert_eq!((whole.status, whole.body.as_slice()), (200, house.key_now("base1").as_slice()));
    assert_eq!(whole.header(header::CACHE_CONTROL), "no-store");
    assert_eq!(whole.header(header::CONTENT_TYPE), "application/octet-stream");
    assert_eq!(whole.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
    let ranged = house.ask("GET", &address, &[("range", "bytes=0-")], None).await;
    assert_eq!((ranged.status, &ranged.body), (206, &whole.body));
    assert_eq!(ranged.header(header::CONTENT_RANGE), "bytes 0-15/16");
    // Everybody who watches a free channel without a session asks in the name of nobody.
    let free = house.get(&house.key_address("open1", SessionId([0; 16]), expires)).await;
    assert_eq!((free.status, free.body.as_slice()), (200, house.key_now("open1").as_slice()));
}

#[tokio::test]
async fn every_refusal_of_a_key_is_the_same() {
    let house = House::furnished().await;
    let session = id_of(&house.sign_in().await).unwrap();
    let expires = u32::try_from(START).unwrap() + 100;
    let good = house.key_address("base1", session, expires);
    assert_eq!(house.get(&good).await.status, 200);
    let refused = |address: String| async { (house.get(&address).await, address) };
    let (path, mac) = good.rsplit_once("&h=").unwrap();
    let mut flipped = mac.to_owned();
    flipped.replace_range(0..1, if mac.starts_with('A') { "B" } else { "A" });
    let (schedule, root) = (Schedule::new("base1", 300_000).unwrap(), Root::new(Generation(1), [5; 32]));
    let next = schedule.period_of(house.office.now_ms() + 3_600_000);
    let early = root.day_key("base1", schedule.day_of(next)).address_key().sign(next, session, expires).to_string();
    let other_root = Root::new(Generation(2), [5; 32]);
    let now = schedule.period_of(house.office.now_ms());
    let generation = other_root.day_key("base1", schedule.day_of(now)).address_key().sign(now, session, expires);
    let mut answers: Vec<(Answer, String)> = vec![];
    for address in [
        format!("{path}&h={flipped}"),
        path.to_owned(),
        good.replace("/k/base1/", "/k/open1/"),
        good.replace("/k/base1/", "/k/nothing/"),
        good.replace(&format!("e={expires}"), &format!("e={}", expires + 1)),
        house.key_address("base1", session, u32::try_from(START).unwrap()),
        house.key_address("base1", SessionId([7; 16]), expires),
        house.key_address("base1", SessionId([0; 16]), expires),
        house.key_address("sport1", session, expires),
        early,
        generation.to_string(),
        "/k/base1".to_owned(),
        "/k/base1/x".to_owned(),
        "/k/base1/1-1?s=&e=&h=".to_owned(),
        "/k/%ff/1-1".to_owned(),
    ] {
        answers.push(refused(address).await);
    }
    house.clock.advance(Duration::from_secs(100));
    answers.push(refused(good.clone()).await);
    let (first, _) = &answers[0];
    assert_eq!((first.status, first.header(header::CACHE_CONTROL)), (403, "no-store"));
    for (answer, address) in &answers {
        assert_eq!(answer.face(), first.face(), "{address}");
    }
    assert_eq!(answers.len(), 16);
}

#[tokio::test]
async fn playback_tokens_open_one_channel_for_one_session() {
    let house = House::furnished().await;
    let _origin = house.origin("caribbean", "car").await;
    let token = house.sign_in().await;
    let answer = house.until_sent(&format!("/play/base1/index.m3u8?token={token}"), "http://127.").await;
    let playback = answer.header(header::LOCATION).split_once("token=").unwrap().1.to_owned();
    let (verifier, now) = (house.verifier(), house.office.now_secs());
    let claims = verifier.verify(&playback, "base1", now).unwrap();
    assert_eq!(claims.session, id_of(&token).unwrap());
    assert_eq!(claims.scope, Scope::Channel("base1".to_owned()));
    assert!(verifier.verify(&playback, "open1", now).is_err());
    assert!(verifier.verify(&playback, "base1", now + 86_400).is_err());
    // The session's own token is none, and a playback token signs nobody in.
    assert!(verifier.authenticate(&token).is_err());
    assert_eq!(house.get_as("/api/v1/my/channels", &playback).await.status, 401);
    // A player that asks again gets the very same address, and so the same key addresses.
    house.clock.advance(Duration::from_secs(60));
    let again = house.get(&format!("/play/base1/index.m3u8?token={token}")).await;
    assert_eq!(again.header(header::LOCATION), answer.header(header::LOCATION));
}
