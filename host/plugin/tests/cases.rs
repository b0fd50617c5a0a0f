//! Cases are read, run and compared; plugins in other languages pass theirs, as those in Rust do.

mod support;

use hostler_model::Timestamp;
use hostler_plugin::{
    CaseResult, CaseRunner, Cases, Compiler, Component, Endpoint, Grants, KvReader, LimitSettings, Plugin,
    PluginSource, Received, Role, Runtime, RuntimeConfig, SecretReader, Services,
};
use serde_json::{Value, json};
use std::path::Path;
use support::{example, hostile, slug};

fn config() -> RuntimeConfig {
    RuntimeConfig::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"), Compiler::InProcess)
}

async fn run(component: Component, cases: &str) -> Vec<CaseResult> {
    let cases = Cases::parse(cases).unwrap_or_else(|problems| panic!("{problems}"));
    let mut runner = CaseRunner::new(config(), slug("tested"), component).expect("a runtime");
    let mut results = Vec::new();
    for case in cases.list() {
        results.push(runner.run(case).await.expect("it loads"));
    }
    results
}

async fn hostile_cases(cases: &Value) -> Vec<CaseResult> {
    run(Component::File(hostile()), &json!({"cases": cases}).to_string()).await
}

fn all_pass(results: &[CaseResult]) {
    let failed: Vec<_> = results.iter().filter(|result| !result.passed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(!results.is_empty());
}

#[tokio::test]
async fn built_in_plugins_are_told_as_cases() {
    let cases = json!({"cases": [
        {"name": "grid", "function": "upcoming",
         "input": {"subscription": {"params": {"every": "1h", "anchor": "2026-01-01T00:05:00Z"}},
                   "after": "2026-01-01T00:00:00Z", "count": 2},
         "expect": {"answer": [{"at": "2026-01-01T00:05:00Z"}, {"local": "2026-01-01T01:05:00Z"}]}},
        {"name": "operator", "function": "upcoming", "given": {"settings": {"minimum": "2h"}},
         "input": {"subscription": {"params": {"every": "1h"}}},
         "expect": {"failure": {"kind": "invalid", "problems": [{"at": "/every"}]}}},
        {"name": "wrong settings", "function": "wake", "given": {"settings": {"maximum": "2h"}},
         "input": {"subscription": {"params": {"every": "1h"}}}, "expect": {"failure": {"kind": "invalid"}}},
        {"name": "itself", "function": "describe", "expect": {"answer": {"name": "interval"}}}
    ]});
    all_pass(&run(Component::Builtin("interval".into()), &cases.to_string()).await);
}

#[tokio::test]
async fn a_case_sees_nothing_of_the_case_before_and_faults_are_told() {
    let wake = |name: &str, how: &str, expect: Value| json!({"name": name, "function": "wake", "input": {"subscription": {"params": {"how": how}}}, "expect": expect});
    let trap = |name: &str| wake(name, "panic", json!({"failure": {"kind": "trap"}}));
    // More traps than a plugin survives in a host.
    let mut cases: Vec<Value> = ["a", "b", "c", "d", "e", "f"].map(trap).into();
    cases.push(wake("well", "answer", json!({"answer": {}})));
    cases.push(wake("not as expected", "answer", json!({"answer": {"actions": [{"skip": "no"}, {}, {}]}})));
    let results = hostile_cases(&cases.into()).await;
    let passed: Vec<_> = results.iter().map(|result| result.passed).collect();
    assert_eq!(passed, [true, true, true, true, true, true, true, false], "{results:#?}");
    assert!(results[0].stderr.contains("panicked"), "{}", results[0].stderr);
    assert!(results[0].memory_bytes_peak > 0);
    assert_eq!(results[7].mismatches.len(), 1);
}

#[test]
fn a_wrong_file_of_cases_is_told_with_the_places_of_its_mistakes() {
    let places = |cases: Value| -> Vec<String> {
        let problems = Cases::parse(&json!({"cases": cases}).to_string()).expect_err("wrong cases");
        problems.0.into_iter().map(|problem| problem.at).collect()
    };
    let one = |function: &str, input: Value| json!([{"name": "a", "function": function, "input": input, "expect": {}}]);
    assert_eq!(places(one("wake", json!({}))), ["/cases/0/input"]);
    assert_eq!(places(one("walk", json!({}))), ["/cases/0/function"]);
    assert_eq!(places(one("wake", json!({"subscription": {}, "at": "soon"}))), ["/cases/0/input"]);
    let both = json!([{"name": "a", "function": "describe", "expect": {"answer": {}, "failure": {}}}]);
    assert_eq!(places(both), ["/cases/0/expect"]);
    assert!(Cases::parse("no JSON").is_err());
}

/// What every plugin of ours does, in whatever language: passes its cases, each well within its limits, with the same
/// answers a second time; says what it is in the same words; and takes params of any kind without breaking.
async fn conforms(name: &str, component: Component) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").join(name);
    let cases = std::fs::read_to_string(root.join("cases.json")).expect("it has cases");
    let (first, second) = (run(component.clone(), &cases).await, run(component.clone(), &cases).await);
    all_pass(&first);
    for (one, two) in first.iter().zip(&second) {
        assert_eq!(one.got, two.got, "{name}, {}: another answer the second time", one.name);
        assert!(one.memory_bytes_peak <= 64 << 20, "{name}, {}: {} bytes", one.name, one.memory_bytes_peak);
    }
    let manifest = std::fs::read_to_string(root.join("manifest.json")).expect("it has a manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let runtime = Runtime::new(config()).expect("a runtime");
    let plugin = Plugin::unbound(&runtime, PluginSource::new(slug("tested"), component.clone())).await.expect("loads");
    for field in ["name", "summary", "roles"] {
        let said: Value = serde_json::from_str(plugin.manifest_text()).expect("JSON");
        assert_eq!(said[field], manifest[field], "{name}: {field}");
    }
    breaks_at_no_params(name, component, &plugin).await;
}

/// Answers or says what is wrong; neither a trap nor an answer out of bounds.
async fn breaks_at_no_params(name: &str, component: Component, plugin: &Plugin) {
    let odd = [json!(null), json!(""), json!("\u{0}\u{1F600}"), json!(-1), json!(1e300), json!([]), json!({"a": []})];
    let mut cases = Vec::new();
    for role in plugin.roles() {
        let function = match role {
            Role::Trigger => "upcoming",
            Role::Inbound => "topic",
            Role::Outbound => "handle",
            Role::Builder | Role::Renderer | Role::Relay => continue,
        };
        let schema = plugin.manifest().roles[role].params.clone().unwrap_or_default();
        let names: Vec<String> =
            schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        for value in &odd {
            let params: serde_json::Map<_, _> = names.iter().map(|name| (name.clone(), value.clone())).collect();
            let mut input = json!({"subscription": {"params": params}});
            if function == "handle" {
                input["events"] = json!([{"cursor": 1, "kind": "run.failed"}]);
            }
            cases.push(json!({"name": value.to_string(), "function": function, "input": input, "expect": {}}));
        }
    }
    if cases.is_empty() {
        return;
    }
    for result in run(component, &json!({"cases": cases}).to_string()).await {
        let kind = result.got["failure"]["kind"].as_str().unwrap_or("answer");
        let is_good = matches!(kind, "answer" | "invalid" | "failed" | "temporary" | "denied");
        assert!(is_good, "{name}, {}: {}", result.name, result.got);
    }
}

async fn example_conforms(name: &str) {
    let Some(component) = example(name) else { return };
    conforms(name, Component::File(component)).await;
}

#[tokio::test]
async fn the_plugins_of_the_binary_conform() {
    for name in ["cron", "interval", "yaml"] {
        conforms(name, Component::Builtin(name.into())).await;
    }
}

#[tokio::test]
async fn the_trigger_in_python_conforms() {
    example_conforms("sunrise").await;
}

#[tokio::test]
async fn the_outbound_extension_in_javascript_conforms() {
    example_conforms("notify").await;
}

#[tokio::test]
async fn the_trigger_in_c_conforms() {
    example_conforms("sometime").await;
}

#[tokio::test]
async fn the_inbound_extension_in_go_conforms() {
    example_conforms("forgejo").await;
}

/// Go's collector would trap in the midst of such a body, were it not held still.
#[tokio::test]
async fn the_inbound_extension_in_go_takes_a_body_of_megabytes() {
    let Some(component) = example("forgejo") else { return };
    let secret = b"s3cret";
    let secrets = SecretReader::new(|_, _| Ok(vec![secret.to_vec().into()]));
    let services = Services { secrets, ..Services::default() };
    let runtime = Runtime::new(RuntimeConfig { services, ..config() }).expect("a runtime");
    let limits = LimitSettings {
        input_bytes_max: Some(16 << 20),
        memory_bytes_max: Some(256 << 20),
        ..LimitSettings::default()
    };
    let bare = PluginSource { limits, ..PluginSource::new(slug("forge"), Component::File(component)) };
    let asked = Plugin::alone(&runtime, bare.clone()).await.expect("it loads");
    let source = PluginSource { grants: Grants::all(asked.manifest()), ..bare };
    let plugin = Plugin::alone(&runtime, source).await.expect("it loads");
    let commits: Vec<_> = (0..8_000).map(|n| json!({"id": n, "message": "x".repeat(500)})).collect();
    let body = json!({"ref": "refs/heads/main", "after": "1f", "repository": {"full_name": "a/b"}, "commits": commits});
    let body = body.to_string().into_bytes();
    assert!(body.len() > 4 << 20);
    let signature = signature(secret, &body);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for _ in 0..3 {
        let request = Received {
            method: "POST".into(),
            scheme: "https".into(),
            authority: "hostler.example".into(),
            path: String::new(),
            query: String::new(),
            headers: vec![header("x-forgejo-event", "push"), header("x-forgejo-signature", &signature)],
            body: body.clone().into(),
            remote: "192.0.2.1".into(),
            at: Timestamp(1),
        };
        let endpoint = Endpoint { name: slug("forge"), namespace: slug("default"), settings: json!({}) };
        let (delivery, _) = plugin.receive(&endpoint, request, KvReader::empty()).await.expect("a delivery");
        assert_eq!(delivery.topics, ["a/b"]);
        assert!(delivery.data.to_string().len() < 1_000, "what is kept is small");
    }
}

fn signature(secret: &[u8], body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
