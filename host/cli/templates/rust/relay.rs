//! The plugin `__NAME__`, a relay: passes on what a job reports to the address that its sender gave.

wit_bindgen::generate!({ path: "wit", world: "__WORLD__", generate_all });

use exports::hostler::plugin::manifest;
use exports::hostler::relay::relay::{Guest, Report};
use hostler::host::http::{self, Request};
use hostler::plugin::types::{Attribute, Failure, Retry};

struct Plugin;

export!(Plugin);

impl manifest::Guest for Plugin {
    fn describe() -> String {
        include_str!("../manifest.json").into()
    }
}

impl Guest for Plugin {
    /// `temporary` is tried again, in order for one job; anything else is not.
    fn relay(report: Report, _attempt: u32) -> Result<(), Failure> {
        let header = |name: &str, value: String| Attribute { name: name.into(), value };
        let answer = http::send(&Request {
            method: "POST".into(),
            url: report.callback,
            headers: vec![
                header("content-type", report.content_type),
                header("x-status", report.status),
                header("x-sequence", report.sequence.to_string()),
            ],
            body: report.body,
            timeout_ms: None,
            credential: None,
        });
        match answer {
            Ok(response) if (200..300).contains(&response.status) => Ok(()),
            Ok(response) if response.status < 500 => Err(Failure::Failed(format!("it answers {}", response.status))),
            Ok(response) => Err(again(format!("it answers {}", response.status))),
            Err(refusal) => Err(again(format!("nothing was sent: {refusal:?}"))),
        }
    }
}

fn again(message: String) -> Failure {
    Failure::Temporary(Retry { message, after_ms: None })
}
