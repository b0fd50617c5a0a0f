//! What nobody should send: each gets a clear error in the one form, and nothing is changed.

use crate::house::{BASE, House, json_request, request, settled};
use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_documents_are_refused() {
    let house = House::open().await;
    let path = format!("{BASE}/pipelines");
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for (body, expected) in [
        (Vec::new(), StatusCode::BAD_REQUEST),
        (b"not json".to_vec(), StatusCode::BAD_REQUEST),
        (b"{\"id\": \"\xff\"}".to_vec(), StatusCode::BAD_REQUEST),
        (b"[]".to_vec(), StatusCode::BAD_REQUEST),
        (deep.into_bytes(), StatusCode::BAD_REQUEST),
        (vec![b' '; 17 * 1024 * 1024], StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let answer = house.send(json_request(Method::POST, &path, body)).await;
        assert_eq!(answer.status, expected, "{shown}: {}", answer.text);
        assert!(answer.json()["message"].is_string());
    }
    assert_eq!(house.get(&path).await.json(), json!({"items": []}));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_cut_off_at_its_limit() {
    let house = House::open().await;
    let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]));
    let path = format!("{BASE}/subscriptions");
    let answer = house.send(json_request(Method::POST, &path, Body::from_stream(endless))).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.text);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_with_their_place_in_one_form() {
    let house = House::open().await;
    let runs = format!("{BASE}/runs");
    let start = format!("{BASE}/pipelines/nothing/runs");
    let mut said: Vec<Value> = Vec::new();
    let mut note = |answer: crate::house::Answer| {
        said.push(json!({"status": answer.status.as_u16(), "body": settled(answer.json())}));
    };
    note(house.get("/nowhere").await);
    note(house.send(json_request(Method::PUT, &runs, "{}")).await);
    note(house.get(&format!("{runs}?limit=0")).await);
    note(house.get(&format!("{runs}?after=x")).await);
    note(house.get(&format!("{runs}?colour=red")).await);
    note(house.get(&format!("{runs}?status=done")).await);
    note(house.get(&format!("{runs}/01980000-0000-7000-8000-000000000000")).await);
    note(house.get(&format!("{runs}/..%2f..%2fetc")).await);
    note(house.get(&format!("{BASE}/pipelines/NoName")).await);
    note(house.get(&format!("{BASE}/pipelines/nothing")).await);
    note(house.get(&format!("{BASE}/plugins/nothing")).await);
    note(house.get(&format!("{BASE}/subscriptions/99")).await);
    note(house.get(&format!("{BASE}/subscriptions/x")).await);
    note(house.post(&start, json!({})).await);
    note(house.post(&start, json!({"parms": {}})).await);
    note(house.post(&start, json!({"version": "one"})).await);
    note(house.post(&format!("{BASE}/validate"), json!({"id": "p", "taks": {}})).await);
    note(house.post(&format!("{BASE}/pipelines"), json!({"id": "p", "taks": {}})).await);
    let key = request(Method::POST, &start)
        .header("idempotency-key", "x".repeat(256))
        .body(Body::empty())
        .expect("a request");
    note(house.send(key).await);
    insta::assert_json_snapshot!("mistakes", said);
    house.close().await;
}
