//! Every role once through its typed call, with a real component: what goes in, what comes out, what is refused.

#[path = "support/server.rs"]
mod server;
mod support;

use bytes::Bytes;
use hostler_model::{Duration, Timestamp};
use hostler_plugin::{
    Action, BuildInput, Content, DocumentKind, Endpoint, Failure, Files, Grants, HttpGrant, KvReader, LimitSettings,
    Machine, OutboundEvent, Part, Plugin, Received, RenderRequest, Report, Role, SecretBytes, SecretGrant,
    SecretReader, Services, UrlPattern, Use,
};
use serde_json::{Value, json};
use server::Server;
use support::{House, house_with, plugins, slug, source, subscription, versatile};

const AT: Timestamp = Timestamp(1_700_000_000_000);

fn place() -> House {
    let secrets = SecretReader::new(|_, _| Ok(vec![SecretBytes::new(b"webhook-key".to_vec())]));
    house_with(Services { secrets, ..Services::default() })
}

async fn loaded(house: &House, limits: LimitSettings) -> Plugin {
    let http = UrlPattern::parse("http://127.0.0.1:*/").expect("a pattern");
    let uses = vec![Use::parse("verify:hmac-sha256").expect("a use")];
    let grants = Grants {
        http: vec![HttpGrant { url: http, methods: Vec::new(), private: true }],
        secrets: [(slug("webhook"), SecretGrant { secret: slug("hook"), uses, urls: Vec::new() })].into(),
        kv: true,
    };
    let source = hostler_plugin::PluginSource { grants, limits, ..source("versatile", &versatile()) };
    plugins(house, vec![source]).await.get("versatile").expect("loaded")
}

fn signed(body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"webhook-key").expect("a key");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn push(body: Vec<u8>, signature: &str) -> Received {
    Received {
        method: "POST".into(),
        scheme: "https".into(),
        authority: "hostler.example".into(),
        path: "/".into(),
        query: String::new(),
        headers: vec![("x-signature".into(), signature.into()), ("x-delivery".into(), "d-1".into())],
        body: body.into(),
        remote: "192.0.2.1".into(),
        at: AT,
    }
}

#[tokio::test]
async fn a_push_of_25_mb_is_verified_without_its_body_coming_back() {
    let house = place();
    let limits = LimitSettings {
        input_bytes_max: Some(32 << 20),
        memory_bytes_max: Some(128 << 20),
        ..LimitSettings::default()
    };
    let plugin = loaded(&house, limits).await;
    let settings = plugin.check_endpoint(&Value::Null).expect("defaults");
    let endpoint = Endpoint { name: slug("hook"), namespace: slug("default"), settings };
    let body = vec![b'x'; 25 << 20];
    let signature = signed(&body);
    let (delivery, _) =
        plugin.receive(&endpoint, push(body.clone(), &signature), KvReader::empty()).await.expect("a delivery");
    assert_eq!((delivery.id.as_deref(), delivery.kind.as_str()), (Some("d-1"), "push"));
    assert_eq!(delivery.summary, format!("{} bytes for hook", 25 << 20));
    assert_eq!(delivery.attributes, [("SETTINGS".to_owned(), "{\"greeting\":\"hello\"}".to_owned())]);
    let forged = plugin.receive(&endpoint, push(body, &"0".repeat(64)), KvReader::empty()).await.expect_err("forged");
    assert!(matches!(forged.failure, Failure::Denied(_)), "{forged}");

    let subscribed = subscription(json!({"topic": "topic-a"}));
    assert_eq!(plugin.topic(&subscribed, AT).await.expect("a topic"), "topic-a");
    let untold = plugin.topic(&subscription(json!({})), AT).await.expect_err("no topic");
    assert!(matches!(&untold.failure, Failure::Invalid(problems) if problems.0[0].at == "/topic"), "{untold}");
    let (actions, _) = plugin.select(&subscribed, &delivery, AT, KvReader::empty()).await.expect("actions");
    let [Action::Start(start)] = actions.as_slice() else { panic!("{actions:?}") };
    assert!(start.untrusted && start.key.as_deref() == Some("d-1"));
}

#[tokio::test]
async fn too_large_a_body_never_reaches_the_guest() {
    let house = place();
    let plugin = loaded(&house, LimitSettings::default()).await;
    let endpoint = Endpoint { name: slug("hook"), namespace: slug("default"), settings: json!({}) };
    let error = plugin.receive(&endpoint, push(vec![0; 2 << 20], ""), KvReader::empty()).await.expect_err("too large");
    assert!(error.to_string().contains("limits.input_bytes_max"), "{error}");
}

fn event(cursor: u64) -> OutboundEvent {
    OutboundEvent {
        cursor,
        kind: "run.finished".into(),
        at: AT,
        namespace: "default".into(),
        pipeline: Some("hello".into()),
        run: Some("1".into()),
        attributes: Vec::new(),
        data: json!({"n": cursor}),
    }
}

#[tokio::test]
async fn events_are_handed_out_and_the_first_that_fails_comes_again() {
    let (house, server) = (place(), Server::start().await);
    let plugin = loaded(&house, LimitSettings::default()).await;
    let to = |path: &str| subscription(json!({"url": server.url(path)}));
    let events = [event(4), event(5)];
    let all = plugin.handle(&to("/"), &events, AT, KvReader::empty()).await.expect("handled");
    assert_eq!(all.through, Some(5));
    assert_eq!(server.came().iter().map(|came| came.body.clone()).collect::<Vec<_>>(), ["{\"n\":4}", "{\"n\":5}"]);
    let none = plugin.handle(&to("/busy"), &events, AT, KvReader::empty()).await.expect("handled");
    assert_eq!(none.through, None);
}

fn build(entry: &str) -> BuildInput {
    BuildInput { entry: entry.into(), params: json!({}), extra: Vec::new(), namespace: None, now: AT }
}

#[tokio::test]
async fn a_builder_reads_ten_files_and_says_where_each_part_comes_from() {
    let house = place();
    let plugin = loaded(&house, LimitSettings::default()).await;
    let includes: Vec<String> = (0..9).map(|n| format!("include part{n}.list")).collect();
    let mut files = vec![("all.list".to_owned(), format!("first\n{}\n", includes.join("\n")).into_bytes())];
    files.extend((0..9).map(|n| (format!("part{n}.list"), format!("\n\nline of {n}\n").into_bytes())));
    let built = plugin.build(build("all.list"), Files::of(files)).await.expect("documents");
    let [document] = built.documents.as_slice() else { panic!("{built:?}") };
    assert_eq!(document.kind, DocumentKind::Pipeline);
    let body: Value = serde_json::from_str(&document.body).expect("JSON");
    let tasks = body["tasks"].as_object().expect("tasks");
    let named = tasks.iter().find(|(_, task)| task["process"]["argv"][0] == "line of 3").expect("the line").0;
    let origin = document.origin_of(&format!("/tasks/{named}/process/argv/0"), Part::Value).expect("the nearest above");
    assert_eq!((origin.file.as_str(), origin.line), ("part3.list", 3));
    assert_eq!(document.origin_of("/nothing", Part::Key), None);
    let missing = plugin.build(build("nowhere.list"), Files::of([])).await.expect_err("no such file");
    assert!(matches!(&missing.failure, Failure::Failed(why) if why.contains("nowhere.list")), "{missing}");
}

fn request(path: &str, machine: Option<Machine>) -> RenderRequest {
    RenderRequest {
        path: path.into(),
        query: String::new(),
        headers: Vec::new(),
        machine,
        urls: vec![("boot".into(), "http://10.0.0.1/boot/one-time-token".into())],
        namespace: slug("default"),
        now: AT,
    }
}

#[tokio::test]
async fn a_boot_chain_is_rendered_and_a_file_lies_below_the_folder() {
    let house = place();
    let plugin = loaded(&house, LimitSettings::default()).await;
    let machine = Machine {
        id: "m1".into(),
        mac: "52:54:00:12:34:56".into(),
        arch: "x86_64".into(),
        state: "approved".into(),
        groups: vec!["rack1".into()],
        vars: json!({"disk": "/dev/sda"}),
    };
    let templates = || Files::of([("first.ipxe".to_owned(), b"#!ipxe\nchain {boot}?mac=${net0/mac}\n".to_vec())]);
    let first = plugin.render(request("/", None), templates()).await.expect("a script");
    let Content::Bytes(script) = &first.content else { panic!("{first:?}") };
    assert_eq!(script, "#!ipxe\nchain http://10.0.0.1/boot/one-time-token?mac=${net0/mac}\n".as_bytes());
    let second = plugin.render(request("/ignition", Some(machine.clone())), templates()).await.expect("a document");
    assert_eq!(second.content, Content::Bytes(Bytes::from("52:54:00:12:34:56 {\"disk\":\"/dev/sda\"}")));
    let kernel = plugin.render(request("/kernel", Some(machine.clone())), templates()).await.expect("a file");
    assert_eq!(kernel.content, Content::File("images/vmlinuz".into()));
    let escape = plugin.render(request("/escape", Some(machine)), templates()).await.expect_err("outside");
    assert!(matches!(&escape.failure, Failure::WrongAnswer(why) if why.contains("etc/passwd")), "{escape}");
}

fn report(callback: String) -> Report {
    Report {
        job: "job-1".into(),
        callback,
        sequence: 3,
        at: AT,
        status: "running".into(),
        last: false,
        progress: Some(0.5),
        content_type: "text/plain".into(),
        headers: Vec::new(),
        body: Bytes::from("half way"),
        params: json!({}),
        namespace: slug("default"),
    }
}

#[tokio::test]
async fn a_callback_that_answers_503_is_tried_again_when_it_says_so() {
    let (house, server) = (place(), Server::start().await);
    let plugin = loaded(&house, LimitSettings::default()).await;
    plugin.relay(report(server.url("/report")), 2).await.expect("relayed");
    let came = server.came().remove(0);
    assert_eq!(
        (&came.body[..], &came.headers["x-sequence"], &came.headers["x-attempt"]),
        (&b"half way"[..], &"3".parse().expect("a header"), &"2".parse().expect("a header"))
    );
    let busy = plugin.relay(report(server.url("/busy")), 1).await.expect_err("busy");
    let Failure::Temporary { after, .. } = &busy.failure else { panic!("{busy}") };
    assert_eq!(*after, Some(Duration::from_secs(7)));
    let gone = plugin.relay(report(server.url("/gone")), 1).await.expect_err("gone");
    assert!(matches!(gone.failure, Failure::Failed(_)), "{gone}");
    // Whatever is granted, a report goes to its own callback's origin only.
    let other = Server::start().await;
    let away =
        plugin.relay(report(format!("{}?to={}", server.url("/elsewhere"), other.port)), 1).await.expect_err("away");
    assert!(away.to_string().contains("denied"), "{away}");
}

#[tokio::test]
async fn a_role_that_a_component_lacks_is_said_before_it_is_called() {
    let house = place();
    let cron = plugins(&house, Vec::new()).await.get("cron").expect("built in");
    let error = cron.build(build("x"), Files::of([])).await.expect_err("no builder");
    assert!(matches!(error.failure, Failure::NoRole(Role::Builder)), "{error}");
    assert!(error.to_string().contains("it is no builder"), "{error}");
}

#[tokio::test]
async fn a_trap_in_any_export_is_told_with_its_role_and_function() {
    let house = place();
    let limits = LimitSettings { faults_max: Some(0), ..LimitSettings::default() };
    let plugin = loaded(&house, limits).await;
    let trip = subscription(json!({"act": {"op": "trip"}, "topic": "trip", "url": "trip"}));
    let endpoint = Endpoint { name: slug("hook"), namespace: slug("default"), settings: json!({}) };
    let delivery = hostler_plugin::Delivery {
        id: None,
        kind: "trip".into(),
        topics: Vec::new(),
        summary: String::new(),
        attributes: Vec::new(),
        data: json!({}),
        reply: None,
    };
    let pushed = Received { path: "/trip".into(), ..push(Vec::new(), "") };
    let none = KvReader::empty;
    let broken = [
        plugin.upcoming(&trip, AT, 1).await.map(drop),
        plugin.wake(&trip, AT, none()).await.map(drop),
        plugin.topic(&trip, AT).await.map(drop),
        plugin.receive(&endpoint, pushed, none()).await.map(drop),
        plugin.select(&trip, &delivery, AT, none()).await.map(drop),
        plugin.handle(&trip, &[event(1)], AT, none()).await.map(drop),
        plugin.build(build("trip"), Files::of([])).await.map(drop),
        plugin.render(request("/trip", None), Files::of([])).await.map(drop),
        plugin.relay(Report { status: "trip".into(), ..report("http://127.0.0.1:1/".into()) }, 1).await.map(drop),
    ];
    let told: Vec<String> = broken
        .into_iter()
        .map(|broken| {
            let error = broken.expect_err("a trap");
            assert!(
                matches!(error.failure, Failure::Trap(_)) && error.stderr.contains("tripped"),
                "{error} {}",
                error.stderr
            );
            format!("{:?} {}", error.role.expect("a role"), error.function)
        })
        .collect();
    assert_eq!(
        told,
        [
            "Trigger upcoming",
            "Trigger wake",
            "Inbound topic",
            "Inbound receive",
            "Inbound select",
            "Outbound handle",
            "Builder build",
            "Renderer render",
            "Relay relay",
        ]
    );
    assert_eq!(plugin.counts().faults, 9);
}
