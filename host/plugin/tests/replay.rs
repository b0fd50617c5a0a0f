//! A recorded call is made again from its record and comes to the same, in every role.

#[path = "support/server.rs"]
mod server;
mod support;

use bytes::Bytes;
use hostler_model::Timestamp;
use hostler_plugin::{
    BuildInput, CaseResult, CaseRunner, Cases, Compiler, Component, Delivery, Endpoint, Files, Grants, HttpGrant,
    KvEntry, KvReader, LimitSettings, Machine, OutboundEvent, Plugin, PluginSource, Plugins, Received, Recording,
    RenderRequest, Report, RuntimeConfig, SecretBytes, SecretGrant, SecretReader, Services, UrlPattern, Use,
};
use serde_json::{Value, json};
use server::Server;
use std::path::Path;
use support::{House, house_with, slug, source, subscription, versatile};
use tokio::sync::mpsc::Receiver;

const AT: Timestamp = Timestamp(1_700_000_000_123);
const VALUE: &str = "the-value-that-nobody-may-read";

/// A plugin that is recorded, and what comes of it.
struct Studio {
    plugin: Plugin,
    recordings: Receiver<Recording>,
    plugins: Plugins,
    house: House,
}

async fn studio() -> Studio {
    let secrets = SecretReader::new(|_, _| Ok(vec![SecretBytes::new(VALUE.as_bytes().to_vec())]));
    let house = house_with(Services { secrets, ..Services::default() });
    let http = UrlPattern::parse("http://127.0.0.1:*/").expect("a pattern");
    let secret = |name: &str, uses: &[&str]| {
        let uses = uses.iter().map(|text| Use::parse(text).expect("a use")).collect();
        (slug(name), SecretGrant { secret: slug(name), uses, urls: Vec::new() })
    };
    let grants = Grants {
        http: vec![HttpGrant { url: http, methods: Vec::new(), private: true }],
        secrets: [
            secret("token", &["bearer", "equals"]),
            secret("webhook", &["verify:hmac-sha256", "sign:hmac-sha256"]),
            secret("open", &["reveal"]),
        ]
        .into(),
        kv: true,
    };
    let limits = LimitSettings {
        recorded_calls_max: Some(50),
        faults_max: Some(0),
        calls_per_instance_max: Some(9),
        ..LimitSettings::default()
    };
    let source = PluginSource { grants, limits, ..source("versatile", &versatile()) };
    let (plugins, errors) = Plugins::load(&house.runtime, vec![source]).await;
    assert!(errors.is_empty(), "{errors:?}");
    let recordings = plugins.reports().expect("nobody else listens").recordings;
    let plugin = plugins.get("versatile").expect("loaded");
    Studio { plugin, recordings, plugins, house }
}

impl Studio {
    async fn recorded(&mut self) -> Recording {
        self.recordings.recv().await.expect("a recording")
    }

    /// The last call again, from its record.
    async fn again(&mut self) -> (Recording, CaseResult) {
        let recording = self.recorded().await;
        let result = self.play(&recording.case).await;
        assert!(result.passed, "{}: {:#?}\n{}", recording.function, result.mismatches, recording.case);
        (recording, result)
    }

    async fn play(&self, case: &str) -> CaseResult {
        let text = format!("{{\"cases\": [{case}]}}");
        let cases = Cases::parse(&text).unwrap_or_else(|problems| panic!("{problems}\n{case}"));
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        let config = RuntimeConfig::new(cache, Compiler::InProcess);
        let mut runner = CaseRunner::new(config, slug("versatile"), Component::File(versatile())).expect("a runner");
        runner.run(&cases.list()[0]).await.expect("the plugin loads")
    }
}

fn acts(acts: &Value) -> hostler_plugin::Subscription {
    hostler_plugin::Subscription {
        namespace: slug("team-a"),
        ..subscription(json!({"act": {"op": "all", "acts": acts}}))
    }
}

fn stored() -> KvReader {
    KvReader::new(
        |scope, key| {
            let known = scope == "plugin" && key.starts_with("known");
            Ok(known.then(|| KvEntry { value: vec![b'v', 0xff, key.len() as u8], version: 3 }))
        },
        |_, prefix, _, limit| Ok((0..limit.min(3)).map(|n| format!("{prefix}-{n}")).collect()),
    )
}

#[tokio::test]
async fn what_a_call_found_around_it_is_found_again() {
    let (mut studio, server) = (studio().await, Server::start().await);
    let subscription = acts(&json!([
        {"op": "clock"}, {"op": "random"}, {"op": "clock"},
        {"op": "kv-get", "scope": "plugin", "key": "known"},
        {"op": "kv-get", "scope": "subscription", "key": "unknown"},
        {"op": "kv-get", "scope": "cache", "key": "c"},
        {"op": "kv-set", "scope": "plugin", "key": "known", "value": "new"},
        {"op": "kv-get", "scope": "plugin", "key": "known"},
        {"op": "kv-keys", "scope": "plugin", "prefix": "known"},
        {"op": "http", "url": server.url("/one"), "method": "POST", "headers": {"X-One": "1"}, "body": "sent"},
        {"op": "http", "url": server.url("/granted/x"), "credential": "token"},
        {"op": "http", "url": server.url("/metadata")},
        {"op": "http", "url": "http://127.0.0.1:1/"},
        {"op": "http", "url": "http://named.example:80/"},
        {"op": "verify", "secret": "webhook", "algorithm": "hmac-sha256", "message": "m", "signature": "00"},
        {"op": "sign", "secret": "webhook", "algorithm": "hmac-sha256", "message": "m"},
        {"op": "equals", "secret": "token", "value": "x"},
        {"op": "sign", "secret": "keys", "algorithm": "ed25519", "message": "m"},
        {"op": "settings"},
    ]));
    studio
        .plugin
        .wake(&acts(&json!([{"op": "kv-set", "scope": "cache", "key": "c", "value": "kept"}])), AT, stored())
        .await
        .expect("an answer");
    studio.again().await;
    let woken = studio.plugin.wake(&subscription, AT, stored()).await.expect("an answer");
    let (recording, result) = studio.again().await;
    // What came before is not asked again: the server and the store saw one call.
    assert_eq!(server.came().len(), 3);
    assert_eq!(result.got["answer"]["note"], Value::from(woken.note.expect("a note")));
    assert!(!recording.case.contains(VALUE), "a value of a secret is on the record");
    assert_eq!((recording.at, recording.error.clone()), (AT, None));
    // Another answer of the network is another call, and is told.
    let other = recording.case.replace("\"status\":200", "\"status\":201");
    let changed = studio.play(&other).await;
    assert!(!changed.passed && changed.mismatches[0].contains("answer"), "{changed:?}");
    drop(studio.house);
}

#[tokio::test]
async fn a_value_that_was_shown_is_left_out_wherever_it_stands() {
    let (mut studio, server) = (studio().await, Server::start().await);
    let shown = acts(&json!([
        {"op": "reveal", "secret": "open"},
        {"op": "kv-set", "scope": "plugin", "key": "k", "value": VALUE},
        {"op": "http", "url": server.url(&format!("/echo-{VALUE}")), "headers": {"x": VALUE}, "body": format!("a {VALUE} b")},
    ]));
    studio.plugin.wake(&shown, AT, stored()).await.expect("an answer");
    let (recording, result) = studio.again().await;
    assert!(!recording.case.contains(VALUE), "{}", recording.case);
    assert!(result.got.to_string().contains("the-value-of-secret-open"), "{}", result.got);
    // A token that a sender rightly showed.
    let token = acts(
        &json!([{"op": "equals", "secret": "token", "value": VALUE}, {"op": "equals", "secret": "token", "value": "wrong"}]),
    );
    studio.plugin.wake(&token, AT, stored()).await.expect("an answer");
    let (recording, _) = studio.again().await;
    assert!(!recording.case.contains(VALUE) && recording.case.contains("wrong"), "{}", recording.case);
}

#[tokio::test]
async fn triggers_and_intakes_are_made_again() {
    let mut studio = studio().await;
    let of = |params: Value| hostler_plugin::Subscription { namespace: slug("team-a"), ..subscription(params) };
    let plugin = studio.plugin.clone();
    plugin.upcoming(&of(json!({})), AT, 3).await.expect("instants");
    studio.again().await;
    plugin.topic(&of(json!({"topic": "a"})), AT).await.expect("a topic");
    studio.again().await;
    plugin.topic(&of(json!({})), AT).await.expect_err("no topic");
    let (recording, _) = studio.again().await;
    assert_eq!(recording.error.as_deref(), Some("invalid"));
    let request = Received {
        method: "POST".into(),
        scheme: "http".into(),
        authority: "inn.example".into(),
        path: "/x".into(),
        query: "a=b".into(),
        headers: vec![
            ("x-signature".into(), "00".into()),
            ("x-twice".into(), "1".into()),
            ("x-twice".into(), "2".into()),
        ],
        body: Bytes::from_static(b"\xff\x00 body"),
        remote: "198.51.100.7".into(),
        at: AT,
    };
    let endpoint = Endpoint { name: slug("hook"), namespace: slug("team-a"), settings: json!({"greeting": "hi"}) };
    plugin.receive(&endpoint, request, KvReader::empty()).await.expect_err("a bad signature");
    studio.again().await;
    let delivery = Delivery {
        id: None,
        kind: "push".into(),
        topics: vec!["a".into()],
        summary: "s".into(),
        attributes: vec![("A".into(), "1".into())],
        data: json!({"n": 1.5, "none": null}),
        reply: None,
    };
    plugin.select(&of(json!({})), &delivery, AT, KvReader::empty()).await.expect("actions");
    studio.again().await;
}

#[tokio::test]
async fn notifiers_and_builders_are_made_again() {
    let (mut studio, server) = (studio().await, Server::start().await);
    let of = |params: Value| hostler_plugin::Subscription { namespace: slug("team-a"), ..subscription(params) };
    let plugin = studio.plugin.clone();
    let event = OutboundEvent {
        cursor: 7,
        kind: "run.finished".into(),
        at: AT,
        namespace: "team-a".into(),
        pipeline: None,
        run: Some("3".into()),
        attributes: Vec::new(),
        data: json!({}),
    };
    plugin.handle(&of(json!({"url": server.url("/")})), &[event], AT, KvReader::empty()).await.expect("handled");
    studio.again().await;
    let input = BuildInput {
        entry: "all.list".into(),
        params: json!({}),
        extra: vec![("who".into(), "me".into())],
        namespace: None,
        now: AT,
    };
    let files = [("all.list".to_owned(), b"one\ninclude b.list".to_vec()), ("b.list".to_owned(), b"two".to_vec())];
    plugin.build(input, Files::of(files)).await.expect("documents");
    studio.again().await;
}

#[tokio::test]
async fn renderers_and_relays_are_made_again() {
    let (mut studio, server) = (studio().await, Server::start().await);
    let plugin = studio.plugin.clone();
    let machine = Machine {
        id: "m1".into(),
        mac: "52:54:00:12:34:56".into(),
        arch: "x86_64".into(),
        state: "approved".into(),
        groups: vec!["g".into()],
        vars: json!({"disk": "sda"}),
    };
    for machine in [None, Some(machine)] {
        let request = RenderRequest {
            path: "/".into(),
            query: String::new(),
            headers: Vec::new(),
            machine,
            urls: vec![("boot".into(), "http://10.0.0.1/token".into())],
            namespace: slug("team-a"),
            now: AT,
        };
        let templates = Files::of([("first.ipxe".to_owned(), b"chain {boot}".to_vec())]);
        plugin.render(request, templates).await.expect("rendered");
        studio.again().await;
    }
    let report = |status: &str| Report {
        job: "j".into(),
        callback: server.url("/busy"),
        sequence: 2,
        at: AT,
        status: status.into(),
        last: true,
        progress: None,
        content_type: "application/octet-stream".into(),
        headers: vec![("x".into(), "y".into())],
        body: Bytes::from_static(b"\x80"),
        params: json!({}),
        namespace: slug("team-a"),
    };
    plugin.relay(report("done"), 2).await.expect_err("503");
    studio.again().await;
    plugin.relay(report("trip"), 2).await.expect_err("a trap");
    let (_, result) = studio.again().await;
    assert!(result.stderr.contains("tripped"), "{}", result.stderr);
    let instances: Vec<u32> = plugin.calls().iter().map(|call| call.call_of_instance).collect();
    assert!(instances.iter().all(|call| *call == 1), "what is recorded has an instance of its own: {instances:?}");
}

#[tokio::test]
async fn what_is_too_large_is_not_recorded_and_holds_nobody_up() {
    let (mut studio, server) = (studio().await, Server::start().await);
    let large = json!([{"op": "http", "url": server.url("/large-bytes")}, {"op": "http", "url": server.url("/large")}]);
    let limits =
        LimitSettings { recorded_calls_max: Some(50), output_bytes_max: Some(8 << 20), ..LimitSettings::default() };
    let source = PluginSource { limits, grants: studio.plugin.grants().clone(), ..source("versatile", &versatile()) };
    let plugin = studio.plugins.add(source).await.expect("it loads");
    plugin.wake(&acts(&large), AT, stored()).await.expect("an answer");
    plugin.wake(&acts(&json!([{"op": "settings"}])), AT, stored()).await.expect("an answer");
    let (recording, _) = studio.again().await;
    assert!(recording.case.contains("settings"), "the first was left out");
    // Nobody reads what is recorded now: calls go on all the same.
    for _ in 0..100 {
        plugin.wake(&acts(&json!([])), AT, stored()).await.expect("an answer");
    }
}
