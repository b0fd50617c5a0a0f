//! The relay role: passes on what a job reports to the address that its sender gave.

use crate::bindings::exports::hostler::relay::relay as wit;
use crate::cases::asked;
use crate::invoke::{Call, Called, Input, describe, invoke};
use crate::subscription::{attributes, failure, millis};
use crate::target::{Target, UrlPattern};
use crate::{CallError, Failure, Narrowing, Plugin, Role};
use bytes::Bytes;
use hostler_model::{Slug, Timestamp};
use serde_json::Value;
use std::sync::Arc;

/// One report of one job.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    pub job: String,
    pub callback: String,
    /// Within the job, from 1.
    pub sequence: u64,
    pub at: Timestamp,
    pub status: String,
    /// Nothing follows for this job.
    pub last: bool,
    /// 0 to 1.
    pub progress: Option<f64>,
    pub content_type: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub params: Value,
    pub namespace: Slug,
}

impl Plugin {
    /// `attempt` counts from 1.
    pub async fn relay(&self, report: Report, attempt: u32) -> Result<(), CallError> {
        let bare = Call::bare(Some(Role::Relay), "relay", report.at);
        let wrong = |message| describe(self, Some(Role::Relay), "relay", Failure::Denied(message));
        let callback = Target::parse(&report.callback).map_err(wrong)?;
        // Whatever is granted: a report goes to who asked for it and to nobody else.
        let narrowing = Narrowing { http: Some(vec![UrlPattern::origin_of(&callback)]), secrets: None };
        let call = Call {
            asked: self.asked(|| asked::relay(&report, attempt)),
            namespace: Some(report.namespace),
            body: Some(report.body.clone()),
            narrowing: Arc::new(narrowing),
            ..bare
        };
        self.check_size(&call, "the report's body", report.body.len())?;
        let params = self.input(&call, Input { what: "params", text: report.params.to_string() })?;
        let asked = wit::Report {
            job: report.job,
            callback: report.callback,
            sequence: report.sequence,
            at: millis(report.at),
            status: report.status,
            final_: report.last,
            progress: report.progress,
            content_type: report.content_type,
            headers: attributes(&report.headers),
            body: report.body.into(),
            params,
            extra: Vec::new(),
        };
        let told = invoke(self, call, move |Called { exports, instance, store }| {
            Box::pin(async move {
                let guest = exports.relay(store, instance)?;
                Ok(guest.call_relay(store, &asked, attempt).await?.map_err(failure))
            })
        });
        told.await.map(|_| ())
    }
}
