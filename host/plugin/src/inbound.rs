//! The inbound role: what an endpoint received, and what it means for each subscription.
//!
//! Invariant: a reply can be sent as it is, and a delivery names what a host can store. Must not know: endpoints' rows,
//! de-duplication; whoever keeps deliveries owns those.

use crate::bindings::exports::hostler::extension::inbound as wit;
use crate::cases::asked;
use crate::invoke::{Call, Called, Input, invoke};
use crate::subscription::{attributes, failure, millis, pairs, read_actions};
use crate::{Action, CallError, Failure, KvChanges, KvReader, Plugin, Role, Subscription};
use bytes::Bytes;
use hostler_model::{Slug, Timestamp};
use serde_json::Value;

const TOPICS_MAX: usize = 100;
const TOPIC_BYTES_MAX: usize = 512;

/// An address of an inbound plugin.
#[derive(Clone, PartialEq, Debug)]
pub struct Endpoint {
    pub name: Slug,
    pub namespace: Slug,
    /// As `Plugin::check_endpoint` gave them back.
    pub settings: Value,
}

/// What somebody sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    pub method: String,
    pub scheme: String,
    pub authority: String,
    /// What follows the endpoint's own address.
    pub path: String,
    pub query: String,
    /// Names in lower case, repeated ones repeated.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub remote: String,
    pub at: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// What a plugin made of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivery {
    /// The sender's own id.
    pub id: Option<String>,
    pub kind: String,
    pub topics: Vec<String>,
    pub summary: String,
    pub attributes: Vec<(String, String)>,
    /// The part that `select` needs.
    pub data: Value,
    pub reply: Option<Reply>,
}

impl Plugin {
    /// The topic that a subscription listens to.
    pub async fn topic(&self, subscription: &Subscription, now: Timestamp) -> Result<String, CallError> {
        let bare = Call::subscribed(Role::Inbound, "topic", now, subscription);
        let call = Call { namespace: None, asked: self.asked(|| asked::wake(subscription, now)), ..bare };
        let asked = self.guest_view(&call, subscription)?;
        let told = invoke(self, call, move |Called { exports, instance, store }| {
            Box::pin(async move {
                let guest = exports.inbound(store, instance)?;
                let answer = guest.call_topic(store, &asked).await?;
                Ok(answer.map_err(failure).and_then(|topic| check_topic(&topic).map(|()| topic)))
            })
        });
        Ok(told.await?.0)
    }

    /// Verifies the sender and understands the request.
    pub async fn receive(
        &self,
        endpoint: &Endpoint,
        request: Received,
        memory: KvReader,
    ) -> Result<(Delivery, KvChanges), CallError> {
        let call = Call {
            namespace: Some(endpoint.namespace.clone()),
            memory: self.memory(memory, None, &endpoint.namespace),
            body: Some(request.body.clone()),
            asked: self.asked(|| asked::receive(endpoint, &request)),
            ..Call::bare(Some(Role::Inbound), "receive", request.at)
        };
        self.check_size(&call, "the request's body", request.body.len())?;
        let settings = self.input(&call, Input { what: "settings", text: endpoint.settings.to_string() })?;
        let (name, namespace) = (endpoint.name.to_string(), endpoint.namespace.to_string());
        let told = invoke(self, call, move |Called { exports, instance, store }| {
            Box::pin(async move {
                let at = wit::Endpoint { name, namespace, settings, extra: Vec::new() };
                let guest = exports.inbound(store, instance)?;
                let answer = guest.call_receive(store, &at, &guest_request(request)).await?;
                Ok(answer.map_err(failure).and_then(read))
            })
        });
        told.await
    }

    /// What a delivery means for one subscription.
    pub async fn select(
        &self,
        subscription: &Subscription,
        delivery: &Delivery,
        now: Timestamp,
        memory: KvReader,
    ) -> Result<(Vec<Action>, KvChanges), CallError> {
        let memory = self.memory(memory, Some(subscription.id), &subscription.namespace);
        let asked = self.asked(|| asked::select(subscription, delivery, now));
        let call = Call { memory, asked, ..Call::subscribed(Role::Inbound, "select", now, subscription) };
        let asked = self.guest_view(&call, subscription)?;
        let data = self.input(&call, Input { what: "the delivery's data", text: delivery.data.to_string() })?;
        let seen = wit::Delivery {
            id: delivery.id.clone(),
            kind: delivery.kind.clone(),
            topics: delivery.topics.clone(),
            summary: delivery.summary.clone(),
            attributes: attributes(&delivery.attributes),
            data,
            reply: None,
            extra: Vec::new(),
        };
        let told = invoke(self, call, move |Called { exports, instance, store }| {
            Box::pin(async move {
                let guest = exports.inbound(store, instance)?;
                let answer = guest.call_select(store, &asked, &seen).await?;
                Ok(answer.map_err(failure).and_then(|told| read_actions(told).map_err(Failure::WrongAnswer)))
            })
        });
        told.await
    }
}

fn guest_request(request: Received) -> wit::Request {
    wit::Request {
        method: request.method,
        scheme: request.scheme,
        authority: request.authority,
        path: request.path,
        query: request.query,
        headers: attributes(&request.headers),
        body: request.body.into(),
        remote: request.remote,
        received: millis(request.at),
        extra: Vec::new(),
    }
}

fn read(told: wit::Delivery) -> Result<Delivery, Failure> {
    let wrong = |message: String| Failure::WrongAnswer(message);
    if told.topics.len() > TOPICS_MAX {
        return Err(wrong(format!("{} topics, a delivery may have {TOPICS_MAX}", told.topics.len())));
    }
    for topic in &told.topics {
        check_topic(topic)?;
    }
    let data = serde_json::from_str(&told.data).map_err(|error| wrong(format!("its data is no JSON: {error}")))?;
    let reply = told.reply.map(reply).transpose().map_err(wrong)?;
    Ok(Delivery {
        id: told.id,
        kind: told.kind,
        topics: told.topics,
        summary: told.summary,
        attributes: pairs(told.attributes),
        data,
        reply,
    })
}

fn reply(told: wit::Reply) -> Result<Reply, String> {
    if !(200..600).contains(&told.status) {
        return Err(format!("{} is no status of an answer", told.status));
    }
    Ok(Reply { status: told.status, headers: pairs(told.headers), body: told.body.into() })
}

fn check_topic(topic: &str) -> Result<(), Failure> {
    match topic.len() {
        1..=TOPIC_BYTES_MAX => Ok(()),
        length => Err(Failure::WrongAnswer(format!("a topic has 1 to {TOPIC_BYTES_MAX} bytes, this has {length}"))),
    }
}
