//! Who may call what, from where; and what every answer carries.

use crate::house::{BASE, House, TOKEN, json_request, request, settled};
use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::json;

/// Method, path with every capture filled in, and what the document says it needs.
fn operations() -> Vec<(Method, String, String)> {
    let document = serde_json::to_value(hostler_web::openapi()).expect("JSON");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let filled = path.replace("{namespace}", "default").replace("{version}", "1").replace("{number}", "1");
            let filled = filled.replace(['{', '}'], "");
            let needs = operation["x-permission"].as_str().unwrap_or("NOT DECLARED").to_owned();
            operations.push((method.to_uppercase().parse().expect("a method"), filled, needs));
        }
    }
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_declares_its_permission_and_asks_for_it() {
    let house = House::open().await;
    house.add_token("elsewhere", "elsewhere", "nothing", "nothing", "default").await;
    assert!(operations().len() > 35);
    for (method, path, needs) in operations() {
        let send = |token: Option<&str>| {
            let builder = http::Request::builder().method(method.clone()).uri(&path).header("host", "localhost");
            let builder =
                token.into_iter().fold(builder, |b, token| b.header("authorization", format!("Bearer {token}")));
            house.send(builder.body(Body::empty()).expect("a request"))
        };
        if needs == "none" {
            assert_eq!(send(None).await.status, StatusCode::OK, "{method} {path}");
            continue;
        }
        assert_eq!(send(None).await.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(send(Some("wrong")).await.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        let expected = if needs == "any token" { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(send(Some("elsewhere")).await.status, expected, "{method} {path}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_what_it_was_given_and_sees_no_other_namespace() {
    let house = House::open().await;
    house.add_token("reader", "reader", "run", "read", "default").await;
    house.add_token("stranger", "stranger", "*", "*", "other").await;
    let ask = |token: &'static str, method: Method, path: String| {
        let builder = http::Request::builder().method(method).uri(path).header("host", "localhost");
        house.send(builder.header("authorization", format!("Bearer {token}")).body(Body::empty()).expect("a request"))
    };
    let runs = format!("{BASE}/runs");
    let start = format!("{BASE}/pipelines/p/runs");
    assert_eq!(ask("reader", Method::GET, runs.clone()).await.status, StatusCode::OK);
    let denied = ask("reader", Method::POST, start).await;
    insta::assert_json_snapshot!("denied", settled(denied.json()));
    let hidden = ask("stranger", Method::GET, runs).await;
    insta::assert_json_snapshot!("hidden_namespace", settled(hidden.json()));
    assert_eq!(ask(TOKEN, Method::GET, "/api/v1/namespaces/other/runs".into()).await.status, StatusCode::NOT_FOUND);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_on_another_site_starts_nothing() {
    let house = House::open().await;
    house.up(crate::house::talker()).await;
    let path = format!("{BASE}/pipelines/talker/runs");
    for (name, value) in [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let mut request = json_request(Method::POST, &path, "{}");
        request.headers_mut().insert(name, value.parse().expect("a value"));
        assert_eq!(house.send(request).await.status, StatusCode::FORBIDDEN, "{name}: {value}");
    }
    let mut rebound = json_request(Method::POST, &path, "{}");
    rebound.headers_mut().insert("host", "evil.example".parse().expect("a value"));
    assert_eq!(house.send(rebound).await.status, StatusCode::FORBIDDEN);
    // A form of another site can send plain text without asking first.
    let form =
        request(Method::POST, &path).header("content-type", "text/plain").body(Body::from("{}")).expect("a request");
    assert_eq!(house.send(form).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(house.get(&format!("{BASE}/runs")).await.json()["items"], json!([]));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_how_it_may_be_used() {
    let house = House::open().await;
    for path in ["/", "/health", "/metrics", "/nowhere", "/api/v1/openapi.json"] {
        let answer = house.get(path).await;
        for (name, value) in
            [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("cache-control", "no-store")]
        {
            assert_eq!(answer.headers[name], value, "{path}");
        }
        assert!(answer.headers["content-security-policy"].to_str().expect("text").starts_with("default-src 'none'"));
        assert!(answer.headers.contains_key("x-request-id"), "{path}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_given_in_the_form_that_prometheus_reads() {
    let house = House::open().await;
    house.get(&format!("{BASE}/runs")).await;
    let answer = house.get("/metrics").await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let route = "route=\"/api/v1/namespaces/{namespace}/runs\",method=\"GET\"";
    for line in [
        format!("hostler_http_requests_total{{{route},status=\"200\"}} 1"),
        format!("hostler_http_request_duration_seconds_bucket{{{route},le=\"+Inf\"}} 1"),
        "hostler_stopping 0".into(),
    ] {
        assert!(answer.text.lines().any(|got| got == line), "{line} is not in\n{}", answer.text);
    }
    for line in answer.text.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit_once(' ').expect("a value").1;
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    house.close().await;
}
