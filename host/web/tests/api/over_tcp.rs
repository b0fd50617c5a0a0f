//! Client and server over a real socket.

use crate::house::{House, PATIENCE, TOKEN, slug, talker};
use hostler_model::Kind;
use hostler_web::types::{FollowQuery, LogQuery, RunQuery, RunStart, RunStatus};
use hostler_web::{Client, ClientError, Listen, ListenError, Options, ServeError, bind};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

async fn serve(house: &House) -> (Client, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let server = bind(Listen::parse("127.0.0.1:0").expect("an address")).await.expect("a free port");
    let client = Client::new(&format!("http://{}", server.address()), TOKEN).expect("a client");
    let (stop, stopped) = oneshot::channel::<()>();
    let web = house.web.clone();
    let serving = tokio::spawn(async move {
        server.serve(web, async { drop(stopped.await) }).await;
    });
    (client, stop, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_starts_a_run_follows_it_and_reads_what_it_said() {
    let house = House::open().await;
    let (client, stop, serving) = serve(&house).await;
    let here = slug("default");
    let registered = client.register(&here, &talker().to_string(), true).await.expect("registered");
    assert_eq!(registered.released, Some(1));
    let query = FollowQuery { after: Some(0), kind: Some("run.finished".into()), ..FollowQuery::default() };
    let mut events = client.follow_events(&here, &query);
    let started = client.start_run(&here, &slug("talker"), &RunStart::default(), None).await.expect("started");
    let mut log = client.follow_log(&here, &started.id, &LogQuery::default());
    let mut bytes = Vec::new();
    let reading = async {
        while let Some(record) = log.next().await {
            bytes.push(record.expect("a record").bytes());
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the log ends with the run");
    assert!(bytes.concat().starts_with(b"one\n") || bytes.concat().starts_with(b"two\n"));
    assert!(bytes.concat().contains(&0xff));
    let run = client.run_by_number(&here, &slug("talker"), 1).await.expect("the run");
    assert_eq!(run.run.status, RunStatus::Success);
    assert_eq!(client.runs(&here, &RunQuery::default()).await.expect("runs").items.len(), 1);
    let kinds = client.events(&here, &hostler_web::types::EventQuery::default()).await.expect("events").items;
    let finished = kinds.iter().any(|event| event.kind == "run.finished");
    if finished {
        let event = tokio::time::timeout(PATIENCE, events.next()).await.expect("an event");
        assert_eq!(event.expect("an event").expect("an event").run, Some(started.id.clone()));
    }
    let refused = client.cancel_run(&here, &started.id, false).await.expect_err("it is over");
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.request_id().is_some());
    drop(stop);
    serving.await.expect("the server ends");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_ends_streams_and_a_client_says_that_nobody_is_there() {
    let house = House::open().await;
    let (client, stop, serving) = serve(&house).await;
    let here = slug("default");
    house.up(json!({"id": "p", "tasks": {"a": {}}})).await;
    let mut events = client.follow_events(&here, &FollowQuery { after: Some(0), ..FollowQuery::default() });
    assert!(events.next().await.expect("an event").is_ok());
    drop(stop);
    tokio::time::timeout(PATIENCE, serving).await.expect("it does not wait for followers").expect("the server ends");
    let error = client.whoami().await.expect_err("nobody is there");
    assert!(error.is_unreachable(), "{error}");
    assert!(error.to_string().contains("is it running? `hostler serve`"), "{error}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_and_an_open_address_are_refused_in_words() {
    let server = bind(Listen::parse("127.0.0.1:0").expect("an address")).await.expect("a free port");
    let again = bind(Listen::parse(&server.address().to_string()).expect("an address")).await;
    assert!(matches!(again, Err(ServeError::InUse { address }) if address == server.address()));
    let open = bind(Listen::parse("0.0.0.0:0").expect("an address")).await;
    assert!(matches!(open, Err(ServeError::Listen(ListenError::NotLoopback(_)))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_unknown_is_told_apart_from_a_host_that_is_not_there() {
    let house = House::open().await;
    let (client, stop, serving) = serve(&house).await;
    let stranger = Client::new(client.url(), "stranger").expect("a client");
    let error = stranger.whoami().await.expect_err("unknown");
    assert!(matches!(&error, ClientError::Refused { kind: Kind::Unauthenticated, .. }), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(client.whoami().await.expect("known").token, "test");
    drop(stop);
    serving.await.expect("the server ends");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused_and_the_server_lives() {
    let house = House::open().await;
    let (client, stop, serving) = serve(&house).await;
    let address = client.url().trim_start_matches("http://").to_owned();
    let mut socket = tokio::net::TcpStream::connect(&address).await.expect("connected");
    let head = format!("GET /health HTTP/1.1\r\nhost: {address}\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    // The server may close before all of it was sent.
    let _ = socket.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(client.health().await.expect("it lives").status, "ok");
    drop(stop);
    serving.await.expect("the server ends");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_told_so_and_let_in_when_another_goes() {
    let house = House::open_with(Options { connections_max: 1, ..Options::default() }).await;
    let (client, stop, serving) = serve(&house).await;
    // Its connection stays open.
    client.whoami().await.expect("known");
    let stranger = Client::new(client.url(), TOKEN).expect("a client");
    let error = stranger.whoami().await.expect_err("there is one already");
    assert_eq!((error.kind(), error.retry_after()), (Kind::Busy, Some(Duration::from_secs(1))), "{error}");
    assert!(error.to_string().contains("1 connections are open already"), "{error}");
    drop(client);
    let let_in = async { while stranger.whoami().await.is_err() {} };
    tokio::time::timeout(PATIENCE, let_in).await.expect("its place is free again");
    drop((stop, stranger));
    serving.await.expect("the server ends");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_too_many_is_told_so() {
    let house = House::open_with(Options { followers_max: 1, ..Options::default() }).await;
    let (client, stop, serving) = serve(&house).await;
    let here = slug("default");
    house.up(json!({"id": "p", "tasks": {"a": {}}})).await;
    let mut first = client.follow_events(&here, &FollowQuery { after: Some(0), ..FollowQuery::default() });
    assert!(first.next().await.expect("an event").is_ok());
    let mut second = client.follow_events(&here, &FollowQuery::default());
    let error = second.next().await.expect("an answer").expect_err("one is followed already");
    assert_eq!((error.kind(), error.retry_after()), (Kind::Busy, Some(Duration::from_secs(1))), "{error}");
    drop(stop);
    serving.await.expect("the server ends");
    house.close().await;
}
