//! What one call may reach beyond itself: the rights in force, and the services of the host behind them.
//!
//! A right is in force where the manifest asks for it, the operator granted it to this digest, and the subscription
//! does not take it away; that the component imports the interface is shown by its call. Each refusal names plugin,
//! capability and target. Must not know: how a request is sent or a secret is stored.

use crate::capability::{SecretGrant, Wants, allows};
use crate::egress::{Admission, Egress};
use crate::tape::{Course, Tape};
use crate::target::{Target, UrlPattern};
use crate::{Capability, Grants, Narrowing, Use};
use hostler_model::Slug;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A secret's value, gone from memory when it is dropped.
pub type SecretBytes = Zeroizing<Vec<u8>>;

type Read = dyn Fn(&Slug, &Slug) -> Result<Vec<SecretBytes>, String> + Send + Sync;

/// Reads stored secrets: `read(namespace, name)` answers the current values, newest first; none: there is no such
/// secret. May block.
#[derive(Clone)]
pub struct SecretReader {
    read: Arc<Read>,
}

impl SecretReader {
    pub fn new(read: impl Fn(&Slug, &Slug) -> Result<Vec<SecretBytes>, String> + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(read) }
    }

    /// A host without secrets.
    pub fn none() -> Self {
        Self::new(|_, _| Ok(Vec::new()))
    }

    pub(crate) fn read(&self, namespace: &Slug, name: &Slug) -> Result<Vec<SecretBytes>, String> {
        (self.read)(namespace, name)
    }
}

impl fmt::Debug for SecretReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretReader")
    }
}

impl Default for SecretReader {
    fn default() -> Self {
        Self::none()
    }
}

/// What the host has for plugins.
#[derive(Clone, Default)]
pub struct Services {
    pub egress: Egress,
    pub secrets: SecretReader,
    /// For calls that are made again; the default: chance and time are real.
    pub playback: Playback,
}

/// Chance, time and uses of secrets of a recorded call, for the next call of a role.
#[derive(Clone, Default)]
pub struct Playback {
    course: Option<Arc<dyn Fn() -> Option<Course> + Send + Sync>>,
}

impl Playback {
    pub(crate) fn of(course: impl Fn() -> Option<Course> + Send + Sync + 'static) -> Self {
        Self { course: Some(Arc::new(course)) }
    }

    pub(crate) fn tape(&self) -> Tape {
        self.course.as_ref().and_then(|course| course()).map_or(Tape::Off, Tape::playing)
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Services")
    }
}

/// Characters of a guest's own text that stand in a refusal.
const SHOWN_MAX: usize = 100;

/// The rights of one call.
#[derive(Clone)]
pub(crate) struct Reach {
    pub(crate) plugin: Slug,
    /// None: a call with no rights at all, such as `describe`.
    pub(crate) namespace: Option<Slug>,
    pub(crate) wants: Arc<[Capability]>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) narrowing: Arc<Narrowing>,
    pub(crate) services: Services,
}

impl Reach {
    /// Whether a request may go there, or the sentence that says why not.
    pub(crate) fn admit(&self, method: &str, target: &Target) -> Result<Admission, String> {
        let refuse = |why: &str| Err(format!("plugin `{}` may not {method} {}: {why}", self.plugin, target.shown()));
        if self.namespace.is_none() {
            return refuse("this call reaches nothing");
        }
        if !Wants(&self.wants).http(method, target) {
            return refuse("its manifest does not ask for this address");
        }
        let granted: Vec<_> = self
            .grants
            .http
            .iter()
            .filter(|grant| grant.url.matches(target) && allows(&grant.methods, method))
            .collect();
        if granted.is_empty() {
            return refuse("it is not granted (`hostler plugin grant`)");
        }
        if self.narrowing.http.as_ref().is_some_and(|kept| !kept.iter().any(|url| url.matches(target))) {
            return refuse("its subscription narrows it to other addresses");
        }
        let private = granted.iter().any(|grant| grant.private);
        let literal = private && granted.iter().any(|grant| grant.url.names(target.host()));
        Ok(Admission { private, literal })
    }

    /// The grant for this use of a secret, or the sentence that says why not. `None` for the use: any credential.
    pub(crate) fn secret(
        &self,
        name: &str,
        wanted: &(dyn Fn(&Use) -> bool + Sync),
        what: &str,
    ) -> Result<(Use, &SecretGrant), String> {
        // What is no name may be a text of any length.
        let shown: String = name.chars().take(SHOWN_MAX).collect();
        let refuse = |why: &str| Err(format!("plugin `{}` may not {what} secret `{shown}`: {why}", self.plugin));
        let Ok(name) = Slug::parse(name) else { return refuse("that is no name of a secret") };
        if self.namespace.is_none() {
            return refuse("this call reaches nothing");
        }
        let wants = Wants(&self.wants);
        let Some((asked, _)) = wants.secret(&name) else { return refuse("its manifest does not ask for it") };
        let Some(grant) = self.grants.secrets.get(&name) else {
            return refuse("it is not granted (`hostler plugin grant`)");
        };
        if self.narrowing.secrets.as_ref().is_some_and(|kept| !kept.contains(&name)) {
            return refuse("its subscription takes it away");
        }
        match asked.iter().find(|one| wanted(one) && grant.uses.contains(one)) {
            Some(found) => Ok((found.clone(), grant)),
            None if asked.iter().any(wanted) => refuse("this use is not granted (`hostler plugin grant`)"),
            None => refuse("its manifest does not ask for this use"),
        }
    }

    /// Where a credential may go: within what the manifest says, and within the grant.
    pub(crate) fn credential_may_go(&self, name: &Slug, grant: &SecretGrant, target: &Target) -> bool {
        let matches = |urls: &[UrlPattern]| urls.is_empty() || urls.iter().any(|url| url.matches(target));
        let asked = Wants(&self.wants).secret(name).map_or(&[][..], |(_, urls)| urls);
        matches(asked) && matches(&grant.urls)
    }

    pub(crate) fn kv(&self) -> Result<(), String> {
        let refuse = |why: &str| Err(format!("plugin `{}` may not use kv: {why}", self.plugin));
        if !Wants(&self.wants).kv() {
            return refuse("its manifest does not ask for it");
        }
        if self.grants.kv { Ok(()) } else { refuse("it is not granted (`hostler plugin grant`)") }
    }
}
