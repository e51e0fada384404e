//! What operators may do, and that each write happens once.

use axum::http::header;
use serde_json::{Value, json};

use super::house::{House, PASSWORD};

const TARIFF: &str = "/api/v1/tariffs/Base";

fn tariff() -> Value {
    json!({"name": "Base", "tags": ["base"]})
}

#[tokio::test]
async fn writes_need_an_operator_with_the_role() {
    let house = House::new().await;
    let sign_in = async |login: &str| {
        let answer = house.post("/api/v1/operator/session", json!({"login": login, "password": PASSWORD})).await;
        answer.json()["token"].as_str().unwrap().to_owned()
    };
    let (viewer, operator) = (sign_in("vera").await, sign_in("olaf").await);
    let check = async |method: &str, path: &str, token: &str, body: Option<Value>, status: u16| {
        let bearer = format!("Bearer {token}");
        let answer = house.ask(method, path, &[("authorization", &bearer)], body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    };
    let subscriber = || Some(json!({"password": PASSWORD, "tariffs": []}));
    check("GET", "/api/v1/tariffs", "x", None, 401).await;
    check("GET", "/api/v1/tariffs", &viewer, None, 200).await;
    check("PUT", TARIFF, &viewer, Some(tariff()), 403).await;
    check("PUT", TARIFF, &operator, Some(tariff()), 403).await;
    check("PUT", "/api/v1/subscribers/demo", &viewer, subscriber(), 403).await;
    check("PUT", "/api/v1/subscribers/demo", &operator, subscriber(), 201).await;
    check("GET", "/api/v1/operators", &operator, None, 403).await;
    check("PUT", TARIFF, &house.admin, Some(tariff()), 201).await;
    check("PUT", "/api/v1/operators/vera", &house.admin, Some(json!({"role": "viewer", "enabled": false})), 200).await;
    check("GET", "/api/v1/tariffs", &viewer, None, 401).await;
    check("DELETE", "/api/v1/operators/anna", &house.admin, None, 422).await;
    assert_eq!(
        house.post("/api/v1/operator/session", json!({"login": "vera", "password": PASSWORD})).await.status,
        401
    );
}

#[tokio::test]
async fn sign_ins_end_with_the_time_the_password_and_the_wish() {
    let house = House::new().await;
    let sign_in = async || {
        let answer = house.post("/api/v1/operator/session", json!({"login": "olaf", "password": PASSWORD})).await;
        answer.json()["token"].as_str().unwrap().to_owned()
    };
    let check = async |house: &House, token: &str, status: u16| {
        assert_eq!(house.get_as("/api/v1/tariffs", token).await.status, status);
    };
    let (one, two) = (sign_in().await, sign_in().await);
    let bearer = format!("Bearer {one}");
    assert_eq!(house.ask("DELETE", "/api/v1/operator/session", &[("authorization", &bearer)], None).await.status, 204);
    check(&house, &one, 401).await;
    check(&house, &two, 200).await;
    house.put("/api/v1/operators/olaf", json!({"role": "operator", "password": "another horse"})).await;
    check(&house, &two, 401).await;
    check(&house, &house.admin, 200).await;
    let again = House::on(house.office.engine.clone(), house.clock.clone()).await;
    check(&again, &two, 401).await;
    check(&again, &house.admin, 200).await;
    house.clock.advance(std::time::Duration::from_secs(12 * 3_600));
    check(&again, &house.admin, 401).await;
    again.office.operators.sweep(&*again.office.clock).await.unwrap();
    assert!(again.office.engine.scan(b"signins/", None, 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cookie_writes_only_from_our_own_pages() {
    let house = House::new().await;
    let cookie = format!("operator={}", house.admin);
    let put = async |headers: &[(&str, &str)]| house.ask("PUT", TARIFF, headers, Some(tariff())).await.status;
    assert_eq!(put(&[("cookie", &cookie)]).await, 403);
    assert_eq!(put(&[("cookie", &cookie), ("origin", "http://evil.example")]).await, 403);
    assert_eq!(put(&[("cookie", &cookie), ("origin", "http://tv.example.evil.example")]).await, 403);
    assert_eq!(put(&[("cookie", &cookie), ("origin", "http://tv.example")]).await, 201);
    assert_eq!(house.ask("GET", TARIFF, &[("cookie", &cookie)], None).await.status, 200);
}

#[tokio::test]
async fn a_write_happens_once_per_key() {
    let house = House::new().await;
    let bearer = format!("Bearer {}", house.admin);
    let ask = async |method: &str, key: &str, body: Option<Value>| {
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        house.ask(method, TARIFF, &headers, body).await
    };
    assert_eq!(ask("PUT", "one", Some(tariff())).await.status, 201);
    assert_eq!(ask("PUT", "one", Some(tariff())).await.status, 201, "a repeat gets the first answer");
    assert_eq!(ask("PUT", "two", Some(tariff())).await.status, 200);
    let other = ask("PUT", "one", Some(json!({"name": "Other", "tags": []}))).await;
    assert_eq!(
        (other.status, other.json()["type"].as_str()),
        (422, Some("urn:headend:problem:idempotency-key-reused"))
    );
    assert_eq!(house.get_as(TARIFF, &house.admin).await.json()["name"], "Base");
    assert_eq!(ask("DELETE", "three", None).await.status, 204);
    assert_eq!(ask("DELETE", "three", None).await.status, 204);
    assert_eq!(ask("DELETE", "four", None).await.status, 404);
    assert_eq!(ask("PUT", "a b", Some(tariff())).await.status, 400);
    let lines = house.office.engine.scan(b"audit/", None, 100).await.unwrap();
    assert_eq!(lines.len(), 4, "one line a write");
}

#[tokio::test]
async fn misspelt_fields_name_what_was_meant() {
    let house = House::furnished().await;
    let bearer = format!("Bearer {}", house.admin);
    let check = async |path: &str, body: Value, detail: &str, fix: &str| {
        let answer = house.ask("PUT", path, &[("authorization", &bearer)], Some(body)).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        let problem = answer.json();
        let got = problem["detail"].as_str().unwrap();
        assert!(got.starts_with(detail), "{got}");
        assert_eq!(problem["fix"], fix);
    };
    check(TARIFF, json!({"name": "x", "tagz": []}), "unknown field `tagz`", "did you mean `tags`?").await;
    let channel = "/api/v1/channels/x";
    check(channel, json!({"title": "x", "nmber": 1}), "unknown field `nmber`", "did you mean `number`?").await;
    check(channel, json!({"title": "x", "number": 0}), "number is 0", "use 1 to 9999").await;
    let path = "/api/v1/channels/k/x";
    check(path, json!({"title": "x", "number": 1}), "name begins with k", "choose another first part").await;
    let secs = json!({"title": "x", "number": 1, "segment_secs": 4_294_967_295_u32});
    check(channel, secs, "segment_ms is 4294967295", "use 1000 to 10000").await;
    let who = "/api/v1/subscribers/demo";
    check(who, json!({"tariffs": ["Gold"]}), "there is no tariff Gold", "there are Base").await;
    check(
        who,
        json!({"tariffs": [], "password": "short"}),
        "password has 5 characters",
        "use at least 8 characters and at most 512 bytes",
    )
    .await;
    check(who, json!({"tariffs": [], "password": 12345678}), "a value is of the wrong kind: integer", "send a string")
        .await;
    check("/api/v1/subscribers/new", json!({"tariffs": []}), "a new subscriber has no password", "add `password`")
        .await;
    check("/api/v1/nodes/car", json!({"site": "a/b"}), "the site name", "allowed are letters, digits, and - _ . +")
        .await;
}

#[tokio::test]
async fn channels_with_slashes_and_sources_come_back_as_they_were_put() {
    let house = House::new().await;
    let body = json!({
        "title": "France 24", "number": 24, "tags": ["news"], "segment_secs": 2, "window_segments": 6,
        "key_period_secs": 60, "free": true, "enabled": true, "return_after_ms": 5000,
        "dvr": "5d 90% 500G", "dvr_locks": [{"from": 1_700_000_000, "until": 1_700_003_600}],
        "sources": [
            {"site": "caribbean", "name": "sat", "url": "udp://239.0.0.1:5000", "service": 7, "node": "car-1"},
            {"site": "france", "name": "dtt", "url": "file:/x.ts"},
        ],
    });
    let path = "/api/v1/channels/fr/france24+6";
    let made = house.put(path, body.clone()).await;
    let mut expected = body;
    expected["name"] = "fr/france24+6".into();
    assert_eq!((made.status, made.json()), (201, expected.clone()));
    assert_eq!(house.get_as(path, &house.admin).await.json(), expected);
    let list = house.get_as("/api/v1/channels", &house.admin).await.json();
    assert_eq!(list["channels"], json!([expected]));
    assert_eq!(house.get_as("/api/v1/channels/fr/none", &house.admin).await.status, 404);
}

#[tokio::test]
async fn nodes_are_registered_and_get_a_code() {
    let house = House::new().await;
    let bearer = format!("Bearer {}", house.admin);
    let code = async |name: &str| {
        house.ask("POST", &format!("/api/v1/nodes/{name}/enrolment"), &[("authorization", &bearer)], None).await
    };
    assert_eq!(code("car").await.status, 404);
    house.put("/api/v1/nodes/car", json!({"site": "caribbean"})).await;
    let answer = code("car").await.json();
    assert_eq!(answer["code"].as_str().unwrap().len(), 9);
    assert_eq!(answer["expires"], "2026-01-02T03:14:05Z");
    let fleet = house.get_as("/api/v1/fleet", &house.admin).await.json();
    assert_eq!(fleet["nodes"][0]["node"], "car");
    assert_eq!(fleet["nodes"][0]["presence"], "never");
    assert_eq!(house.get("/api/v1/fleet").await.status, 401);
}

#[tokio::test]
async fn what_is_not_there_is_said_as_a_problem() {
    let house = House::new().await;
    let check = async |method: &str, path: &str, status: u16| {
        let answer = house.ask(method, path, &[], None).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header(header::CONTENT_TYPE), "application/problem+json");
        assert!(!answer.json()["fix"].as_str().unwrap().is_empty());
    };
    check("GET", "/api/v1/nothing", 404).await;
    check("PATCH", TARIFF, 405).await;
    check("PUT", TARIFF, 401).await;
    check("POST", "/api/v1/session", 400).await;
    let long = json!({"login": "x".repeat(70_000), "password": "x"});
    assert_eq!(house.post("/api/v1/session", long).await.status, 413);
}
