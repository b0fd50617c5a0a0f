//! What it can be told to do. Each act answers with JSON: `{"ok": …}` or `{"refused": KIND, "message": …}`.

use crate::component::bindings::hostler::builder::files;
use crate::component::bindings::hostler::host::{config, http, kv, secrets};
use crate::component::bindings::hostler::plugin::types::{Attribute, Refusal};
use crate::component::bindings::hostler::renderer::templates;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

/// What an instance remembers by itself, which is what nobody should rely on.
static COUNTED: AtomicU64 = AtomicU64::new(0);

pub(crate) fn act(told: &Value) -> Value {
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let done = match told["op"].as_str().unwrap_or_default() {
        "http" => send(told),
        "verify" => {
            let (message, signature) = (vec![secrets::Part::Bytes(text("message").into())], hex(&text("signature")));
            secrets::verify(&text("secret"), &text("algorithm"), &message, &signature).map(Value::from)
        }
        "sign" => {
            let message = [secrets::Part::Bytes(text("message").into())];
            secrets::sign(&text("secret"), &text("algorithm"), &message)
                .map(|signature| Value::from(to_hex(&signature)))
        }
        "equals" => secrets::equals(&text("secret"), text("value").as_bytes()).map(Value::from),
        "reveal" => {
            secrets::reveal(&text("secret")).map(|value| Value::from(String::from_utf8_lossy(&value).into_owned()))
        }
        "kv-get" => {
            let value = kv::get(&text("scope"), &text("key"));
            value.map(|value| {
                value.map_or(Value::Null, |value| Value::from(String::from_utf8_lossy(&value).into_owned()))
            })
        }
        "kv-set" => kv::set(&text("scope"), &text("key"), text("value").as_bytes()).map(|()| Value::Null),
        "kv-keys" => kv::keys(&text("scope"), &text("prefix"), None, 10).map(Value::from),
        "kv-fill" => (0..told["count"].as_u64().unwrap_or(1))
            .try_for_each(|n| kv::set("plugin", &format!("key-{n}"), &vec![b'x'; 60_000]))
            .map(|()| Value::Null),
        "kv-look" => (0..told["count"].as_u64().unwrap_or(1))
            .try_for_each(|n| kv::get("plugin", &format!("{n:0>200}")).map(drop))
            .map(|()| Value::Null),
        "deny-flood" => {
            let name = "x".repeat(900_000);
            (0..told["count"].as_u64().unwrap_or(1)).for_each(|_| drop(secrets::reveal(&name)));
            Ok(Value::Null)
        }
        "files" => files::paths().map(Value::from),
        "file" => files::read(&text("path")).map(|bytes| Value::from(String::from_utf8_lossy(&bytes).into_owned())),
        "template" => {
            templates::read(&text("path")).map(|bytes| Value::from(String::from_utf8_lossy(&bytes).into_owned()))
        }
        "settings" => Ok(serde_json::from_str(&config::get()).unwrap_or_default()),
        "count" => Ok(Value::from(COUNTED.fetch_add(1, Ordering::Relaxed) + 1)),
        "clock" => {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            Ok(Value::from(since.map(|since| since.as_nanos().to_string()).unwrap_or_default()))
        }
        "random" => Ok(Value::from(std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0).to_string())),
        "write-error" => {
            eprintln!("{}", text("text"));
            Ok(Value::Null)
        }
        "panic" => panic!("{}", text("text")),
        "trip" => panic!("tripped"),
        "all" => Ok(told["acts"].as_array().into_iter().flatten().map(act).collect()),
        other => Ok(json!({"unknown": other})),
    };
    match done {
        Ok(value) => json!({"ok": value}),
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: Refusal) -> Value {
    let (kind, message) = match refusal {
        Refusal::Denied(message) => ("denied", message),
        Refusal::Missing(message) => ("missing", message),
        Refusal::Limit(message) => ("limit", message),
        Refusal::Conflict(message) => ("conflict", message),
        Refusal::Unreachable(message) => ("unreachable", message),
        Refusal::Other(reason) => ("other", format!("{}: {}", reason.kind, reason.message)),
    };
    json!({"refused": kind, "message": message})
}

fn send(told: &Value) -> Result<Value, Refusal> {
    let pair = |(name, value): (&String, &Value)| Attribute {
        name: name.clone(),
        value: value.as_str().unwrap_or_default().into(),
    };
    let body = match told["body_bytes"].as_u64() {
        Some(count) => vec![b'x'; usize::try_from(count).unwrap_or(0)],
        None => told["body"].as_str().unwrap_or_default().into(),
    };
    let answer = http::send(&http::Request {
        method: told["method"].as_str().unwrap_or("GET").into(),
        url: told["url"].as_str().unwrap_or_default().into(),
        headers: told["headers"].as_object().into_iter().flatten().map(pair).collect(),
        body,
        timeout_ms: told["timeout_ms"].as_u64().and_then(|ms| u32::try_from(ms).ok()),
        credential: told["credential"].as_str().map(str::to_owned),
    })?;
    let headers: serde_json::Map<String, Value> =
        answer.headers.into_iter().map(|header| (header.name, Value::from(header.value))).collect();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    Ok(json!({"status": answer.status, "headers": headers, "body": text}))
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
