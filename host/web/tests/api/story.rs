//! What a person does with a pipeline, from its first version to its deletion, asked in the order they would ask.

use crate::house::{BASE, House, json_request, request, settled, talker};
use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_registered_released_and_deleted() {
    let house = House::open().await;
    let pipelines = format!("{BASE}/pipelines");
    let first = house.post(&pipelines, talker()).await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(first.json()["released"], Value::Null);
    let again = house.post(&format!("{pipelines}?release=true"), talker()).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!((&again.json()["unchanged"], &again.json()["released"]), (&json!(true), &json!(1)));
    let mut changed = talker();
    changed["name"] = json!("Talker");
    house.post(&pipelines, changed).await;
    insta::assert_json_snapshot!("pipelines", settled(house.get(&pipelines).await.json()));
    insta::assert_json_snapshot!("versions", settled(house.get(&format!("{pipelines}/talker/versions")).await.json()));
    let released = house.post(&format!("{pipelines}/talker/release"), json!({"version": 2})).await;
    assert_eq!(released.json()["released_version"], 2);
    let missing = house.post(&format!("{pipelines}/talker/release"), json!({"version": 3})).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let version = house.get(&format!("{pipelines}/talker/versions/2")).await.json();
    assert_eq!(version["document"]["name"], "Talker");
    assert_eq!(house.delete(&format!("{pipelines}/talker")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(house.get(&format!("{pipelines}/talker")).await.status, StatusCode::NOT_FOUND);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_once_per_key_and_shown_with_all_it_did() {
    let house = House::open().await;
    house.up(talker()).await;
    let path = format!("{BASE}/pipelines/talker/runs");
    let start = || {
        let mut request = json_request(Method::POST, &path, "{\"summary\": \"because\"}");
        request.headers_mut().insert("idempotency-key", "once".parse().expect("a value"));
        house.send(request)
    };
    let (first, second) = (start().await, start().await);
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::OK));
    assert_eq!(first.json()["id"], second.json()["id"]);
    let run = first.json()["id"].as_str().expect("an id").to_owned();
    let detail = house.ended(&run).await;
    insta::assert_json_snapshot!("run", settled(detail.clone()));
    assert_eq!(house.get(&format!("{path}/1")).await.json(), detail);
    assert_eq!(house.get(&format!("{path}/2")).await.status, StatusCode::NOT_FOUND);
    let of = |rest: &str| format!("{BASE}/runs/{run}{rest}");
    insta::assert_json_snapshot!("tasks", settled(house.get(&of("/tasks")).await.json()));
    insta::assert_json_snapshot!("attempts", settled(house.get(&of("/tasks/say/attempts")).await.json()));
    assert_eq!(house.get(&of("/explain")).await.json()["state"], "success");
    assert_eq!(house.get(&of("/tasks/after/explain")).await.json()["state"], "success");
    let cancelled = house.post(&of("/cancel"), json!({})).await;
    assert_eq!(cancelled.status, StatusCode::CONFLICT, "{}", cancelled.text);
    let retried = house.post(&of("/retry"), json!({"version": "released"})).await;
    assert_eq!(retried.status, StatusCode::CREATED);
    let retried = house.ended(retried.json()["id"].as_str().expect("an id")).await;
    assert_eq!(retried["origin_run"], json!(run));
    let listed = house.get(&format!("{BASE}/runs?pipeline=talker&status=success&limit=1")).await.json();
    assert_eq!(listed["items"][0]["number"], 2);
    let next = listed["next"].as_str().expect("a next page");
    let rest = house.get(&format!("{BASE}/runs?pipeline=talker&after={next}")).await.json();
    assert_eq!(rest["items"][0]["id"], json!(run));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_read_as_text_as_records_and_followed_without_gap_or_repeat() {
    let house = House::open().await;
    house.up(talker()).await;
    let run = house.begin("talker").await;
    house.ended(&run).await;
    let logs = format!("{BASE}/runs/{run}/logs");
    let stdout = house
        .send(request(Method::GET, &format!("{logs}?stream=stderr")).body(Body::empty()).expect("a request"))
        .await;
    assert_eq!(stdout.text, "two\n");
    assert_eq!(stdout.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(stdout.headers["content-disposition"], "attachment; filename=\"talker-1.log\"");
    let json = request(Method::GET, &logs).header("accept", "application/json").body(Body::empty()).expect("a request");
    let batch = house.send(json).await.json();
    assert_eq!(batch["complete"], true);
    let records = batch["records"].as_array().expect("records").clone();
    assert!(records.iter().any(|record| record["text"] == "two\n"));
    assert!(records.iter().any(|record| record["base64"].is_string()), "{records:?}");
    let follow = |last: Option<String>| {
        let builder = request(Method::GET, &format!("{logs}/follow"));
        let builder = last.into_iter().fold(builder, |builder, last| builder.header("last-event-id", last));
        house.send(builder.body(Body::empty()).expect("a request"))
    };
    let whole = follow(None).await.text;
    assert_eq!(followed(&whole), records);
    assert!(whole.contains("event: end\n"), "{whole}");
    // Wherever the connection broke, what comes after the last id is the rest.
    for (seen, record) in records.iter().enumerate() {
        let rest = follow(Some(record["next"].to_string())).await.text;
        assert_eq!(followed(&rest), records[seen + 1..]);
    }
    assert_eq!(follow(Some("x".into())).await.status, StatusCode::BAD_REQUEST);
    house.close().await;
}

fn followed(text: &str) -> Vec<Value> {
    let blocks = text.split("\n\n").filter(|block| block.contains("event: record"));
    let data = blocks.filter_map(|block| block.lines().find_map(|line| line.strip_prefix("data: ")));
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_run_is_cancelled_and_events_tell_its_story() {
    let house = House::open().await;
    house.up(json!({"id": "long", "tasks": {"wait": {"process": {"script": "exec sleep 1000"}}}})).await;
    let run = house.begin("long").await;
    let cancelled = house.post(&format!("{BASE}/runs/{run}/cancel"), json!({"kill": true})).await;
    assert_eq!(cancelled.status, StatusCode::OK, "{}", cancelled.text);
    assert_eq!(house.ended(&run).await["status"], "cancelled");
    let events = format!("{BASE}/events?run={run}");
    let all = house.get(&events).await.json();
    let items = all["items"].as_array().expect("items");
    assert!(items.len() >= 2, "{all}");
    assert!(items.windows(2).all(|pair| pair[0]["cursor"].as_i64() < pair[1]["cursor"].as_i64()));
    let mut paged: Vec<Value> = Vec::new();
    let mut after = 0;
    loop {
        let page = house.get(&format!("{events}&limit=1&after={after}")).await.json();
        paged.extend(page["items"].as_array().expect("items").clone());
        match page["next"].as_str() {
            Some(next) => after = next.parse().expect("a cursor"),
            None => break,
        }
    }
    assert_eq!(&paged, items);
    let kind = items[0]["kind"].as_str().expect("a kind");
    let of_kind = house.get(&format!("{events}&kind={kind}")).await.json();
    assert!(of_kind["items"].as_array().expect("items").iter().all(|event| event["kind"] == kind));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_previewed_made_paused_and_deleted() {
    let house = House::open().await;
    house.up(talker()).await;
    let path = format!("{BASE}/subscriptions");
    let body = json!({"pipeline": "talker", "plugin": "interval", "label": "often", "params": {"every": "5m"}, "catch_up": "all", "catch_up_cap": 3});
    let preview = house.post(&format!("{path}/preview?count=3"), body.clone()).await;
    assert_eq!(preview.json()["items"].as_array().map(Vec::len), Some(3), "{}", preview.text);
    assert_eq!(house.get(&path).await.json()["items"], json!([]));
    let made = house.post(&path, body.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    insta::assert_json_snapshot!("subscription", settled(made.json()));
    assert_eq!(house.post(&path, body).await.status, StatusCode::CONFLICT);
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    let of = |rest: &str| format!("{path}/{id}{rest}");
    assert_eq!(house.post(&of("/pause"), json!({})).await.json()["status"], "paused");
    assert_eq!(house.get(&of("/explain")).await.json()["state"], "paused");
    assert_eq!(house.post(&of("/resume"), json!({})).await.json()["status"], "active");
    assert_eq!(house.get(&of("/preview?count=2")).await.json()["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(house.get(&of("/fires")).await.json()["items"], json!([]));
    let bad = json!({"pipeline": "talker", "plugin": "interval", "label": "bad", "params": {"evry": "5m"}});
    let bad = house.post(&path, bad).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST, "{}", bad.text);
    assert!(!bad.json()["problems"].as_array().expect("problems").is_empty());
    assert_eq!(house.delete(&of("")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(house.get(&of("")).await.status, StatusCode::NOT_FOUND);
    let plugins = house.get(&format!("{BASE}/plugins")).await.json();
    let names: Vec<_> =
        plugins["items"].as_array().expect("items").iter().map(|plugin| plugin["name"].clone()).collect();
    assert_eq!(names, ["cron", "interval", "yaml"]);
    assert!(house.get(&format!("{BASE}/plugins/interval")).await.json()["roles"]["trigger"].is_object());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_begun_listed_and_never_written_over() {
    let house = House::open().await;
    let begun = house.post("/api/v1/backups", json!({})).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text);
    let name = begun.json()["name"].as_str().expect("a name").to_owned();
    let done = loop {
        let seen = house.get(&format!("/api/v1/backups/{name}")).await.json();
        if seen["status"] != "running" {
            break seen;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(done["status"], "done", "{done}");
    let path = done["path"].as_str().expect("a path");
    hostler_store::Store::verify_backup(std::path::Path::new(path)).expect("whole");
    assert_eq!(house.get("/api/v1/backups").await.json()["items"], json!([done]));
    let again = house.post("/api/v1/backups", json!({"to": path})).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.text);
    assert_eq!(house.post("/api/v1/backups", json!({"to": "here"})).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(house.post("/api/v1/backups", json!({"at": "/"})).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(house.get("/api/v1/backups/none").await.status, StatusCode::NOT_FOUND);
    house.add_token("reader", "hostler_reader", "backup", "read", "*").await;
    let mut request = request(Method::POST, "/api/v1/backups").body(Body::empty()).expect("a request");
    request.headers_mut().insert("authorization", "Bearer hostler_reader".parse().expect("a value"));
    let denied = house.send(request).await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN, "a reader makes none");
    house.close().await;
}
