//! Loops, hoards memory, traps, lies, floods: as the param `how` says.
//!
//! `describe` has no params; it looks at a marker in the component, which tests write over.

use serde_json::{Value, json};

// The generated glue is not ours to lint.
#[allow(warnings, unsafe_code, clippy::all)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/trigger",
        world: "hostler:trigger/trigger-plugin",
        generate_all,
    });
    use super::Hostile;
    export!(Hostile);
}

/// A corner of WASI that hands out as many handles as one asks for; the standard library gives each back.
#[expect(unsafe_code, reason = "the signature is that of the canonical ABI")]
mod wasi {
    #[link(wasm_import_module = "wasi:clocks/monotonic-clock@0.2.0")]
    unsafe extern "C" {
        #[link_name = "subscribe-duration"]
        fn subscribe_duration(nanoseconds: u64) -> i32;
    }

    pub(super) fn take_handle() {
        std::hint::black_box(unsafe { subscribe_duration(1) });
    }
}

use bindings::exports::hostler::plugin::manifest;
use bindings::exports::hostler::trigger::trigger::{Guest, Instant, Woken};
use bindings::hostler::host::{config, kv, log};
use bindings::hostler::plugin::types::{Action, Attribute, Failure, Problem, Reason, Retry, RunRequest, Subscription};

struct Hostile;

/// What `describe` does: the word after the colon, padded with dots to the same length.
static DESCRIBE: &str = "HOSTILE-DESCRIBE:well............";

impl manifest::Guest for Hostile {
    fn describe() -> String {
        // Without this the compiler would read the word at compile time and drop the marker.
        let marker = std::hint::black_box(DESCRIBE);
        let how = marker.split(':').nth(1).unwrap_or_default().trim_end_matches('.');
        match how {
            "not-json" => "this is not JSON".into(),
            "not-a-manifest" => json!({"name": "Not A Slug", "roles": {"trigger": {}}, "surprise": 1}).to_string(),
            "bad-schema" => describe_with(&json!({"type": "no such type"})),
            "other" => "{}".into(),
            how => {
                misbehave(how);
                describe_with(&json!({
                    "type": "object",
                    "properties": {
                        "how": {"type": "string", "default": "well"},
                        "text": {"type": "string"}
                    },
                    "additionalProperties": false
                }))
            }
        }
    }
}

fn describe_with(params: &Value) -> String {
    json!({
        "name": "hostile",
        "version": "1.2.3",
        "summary": "Misbehaves on demand.",
        "roles": {"trigger": {"params": params}},
        "capabilities": [{"name": "kv", "reason": "To remember what it did."}],
        "settings": {"type": "object", "properties": {"greeting": {"type": "string", "default": "hello"}}, "additionalProperties": false}
    })
    .to_string()
}

impl Guest for Hostile {
    fn upcoming(subscription: Subscription, after: u64, count: u32) -> Result<Vec<Instant>, Failure> {
        let how = how(&subscription);
        fail(&how)?;
        misbehave(&how);
        let instant = |at: u64| Instant { at, local: format!("instant {at}") };
        Ok(match how.as_str() {
            "falling" => vec![instant(after + 2_000), instant(after + 1_000)],
            "past" => vec![instant(after)],
            "too-many" => (1..=u64::from(count) + 1).map(|n| instant(after + n)).collect(),
            "huge-list" => (1..=10_000_000).map(|n| instant(after + n)).collect(),
            "huge-text" => vec![Instant { at: after + 1, local: "x".repeat(8 << 20) }],
            "far" => vec![instant(u64::MAX)],
            "remember" => {
                let refused = kv::get("subscription", "count").is_err();
                vec![instant(after + if refused { 1 } else { 2 })]
            }
            _ => (1..=u64::from(count)).map(|n| instant(after + n * 1_000)).collect(),
        })
    }

    fn wake(subscription: Subscription, at: u64) -> Result<Woken, Failure> {
        let how = how(&subscription);
        fail(&how)?;
        misbehave(&how);
        let done = |note: String| Woken { actions: Vec::new(), again: None, note: Some(note) };
        Ok(match how.as_str() {
            "params-not-object" => Woken { actions: vec![start("[1]", at)], again: None, note: None },
            "params-not-json" => Woken { actions: vec![start("{", at)], again: None, note: None },
            "many-actions" => {
                Woken { actions: (0..200_000).map(|n| start("{}", n)).collect(), again: None, note: None }
            }
            "again-past" => Woken { actions: Vec::new(), again: Some(at), note: None },
            "count" => done(count(at)),
            "kv-scopes" => done(scopes()),
            "settings" => done(config::get()),
            "clock" => done(clock()),
            "random" => done(random()),
            "surroundings" => done(surroundings()),
            _ => Woken { actions: vec![start("{\"n\": 1}", at)], again: None, note: None },
        })
    }
}

fn how(subscription: &Subscription) -> String {
    let params: Value = serde_json::from_str(&subscription.params).unwrap_or_default();
    params["how"].as_str().unwrap_or("well").into()
}

fn start(params: &str, at: u64) -> Action {
    Action::Start(RunRequest {
        params: params.into(),
        attributes: vec![Attribute { name: "AT".into(), value: at.to_string() }],
        summary: format!("at {at}"),
        key: Some(at.to_string()),
        untrusted: true,
        extra: Vec::new(),
    })
}

fn fail(how: &str) -> Result<(), Failure> {
    Err(match how {
        "invalid" => Failure::Invalid(vec![Problem {
            at: "/how".into(),
            line: None,
            column: Some(3),
            message: "bad word".into(),
            hint: Some("say well".into()),
        }]),
        "denied" => Failure::Denied("not you".into()),
        "temporary" => Failure::Temporary(Retry { message: "busy".into(), after_ms: Some(1_500) }),
        "failed" => Failure::Failed("cannot work".into()),
        "other" => Failure::Other(Reason { kind: "quota".into(), message: "used up".into() }),
        _ => return Ok(()),
    })
}

fn misbehave(how: &str) {
    match how {
        "spin" => loop {
            std::hint::black_box(0);
        },
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(3600)),
        "hoard" => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(std::hint::black_box(vec![1; 1 << 20]));
            }
        }
        "panic" => panic!("the sky falls"),
        "recurse" => {
            std::hint::black_box(recurse(1));
        }
        "exit" => std::process::exit(3),
        "handles" => loop {
            wasi::take_handle();
        },
        "giant-line" => loop {
            log::write("info", &"x".repeat(30 << 20), &[]);
        },
        "giant-key" => loop {
            drop(kv::get("plugin", &"x".repeat(30 << 20)));
        },
        "flood-stderr" => {
            for n in 0..40_000 {
                eprintln!("line {n} of a flood that nobody can stop");
            }
            panic!("after the flood");
        }
        "flood-log" => {
            for n in 0..5_000 {
                let fields = [Attribute { name: "n".into(), value: n.to_string() }];
                log::write("info", &format!("line {n}"), &fields);
            }
        }
        "log" => log::write("warn", "one line\u{1b}[31m", &[]),
        _ => {}
    }
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    recurse(frame[0] + 1) + std::hint::black_box(frame[63])
}

/// Counts its calls in the subscription's memory, and leaves a note for the other subscriptions.
fn count(at: u64) -> String {
    let before = kv::get("subscription", "count").expect("kv answers").unwrap_or_default();
    let now = before.first().copied().unwrap_or(0) + 1;
    kv::set("subscription", "count", &[now]).expect("kv answers");
    kv::set("plugin", &format!("seen/{at}"), b"yes").expect("kv answers");
    kv::delete("plugin", "old").expect("kv answers");
    let own = kv::get("subscription", "count").expect("kv answers").unwrap_or_default();
    let keys = kv::keys("plugin", "seen/", None, 10).expect("kv answers");
    format!("{own:?} {keys:?}")
}

fn scopes() -> String {
    let unknown = kv::get("elsewhere", "x").is_err();
    let long = kv::set("plugin", &"k".repeat(1000), b"v").is_err();
    let large = kv::set("plugin", "large", &vec![0; 100 << 10]).is_err();
    let before = kv::get("cache", "token").expect("kv answers");
    kv::set("cache", "token", b"fetched").expect("kv answers");
    format!("{unknown} {long} {large} {before:?}")
}

fn clock() -> String {
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_millis());
    let begun = std::time::Instant::now();
    std::thread::sleep(std::time::Duration::from_millis(5));
    format!("{wall} {}", begun.elapsed().as_millis() >= 5)
}

fn random() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:x}", RandomState::new().hash_one(0))
}

/// What a guest finds around it; an empty world has none of these.
fn surroundings() -> String {
    let env = std::env::vars().count();
    let args = std::env::args().count();
    let files = std::fs::read_dir("/").is_ok() || std::fs::write("x", "y").is_ok();
    let net = std::net::TcpStream::connect("127.0.0.1:80").is_ok() || std::net::UdpSocket::bind("127.0.0.1:0").is_ok();
    format!("{env} {args} {files} {net}")
}
