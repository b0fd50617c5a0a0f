//! One conversation with a registry about one repository: requests, who we are to it, limits, and another try.
//!
//! We do not use a ready client for registries: those we looked at read a manifest of any size into memory, and ask as
//! nobody when their credentials fail. Invariants: every body has a limit and every wait an end; credentials are shown
//! only to the registry's own origin and, once it asks, to the authority for tokens it names over TLS; where there are
//! credentials, nothing is ever asked without them. Must not know: manifests.

use super::error::{RegistryError, Source};
use super::{Login, RegistryConfig};
use crate::oci::Reference;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const REDIRECTS_MAX: usize = 5;
const ANSWER_BYTES_MAX: u64 = 64 << 10;
const ANSWER_CHARACTERS_SHOWN: usize = 200;
const WAIT_MAX: Duration = Duration::from_secs(10);

/// What is done with the repository, as registries name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    Pull,
    Push,
}

pub(super) struct Session {
    client: Client,
    config: Arc<RegistryConfig>,
    base: Url,
    pub(super) registry: String,
    repository: String,
    purpose: Purpose,
    login: Login,
    source: Source,
    /// Shown with each request, once the registry has told how.
    authorization: Mutex<Option<HeaderValue>>,
}

/// A token of a registry's authority. Both names are in use.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// How the registry wants to know who we are.
enum Challenge {
    Basic,
    Bearer { realm: Url, service: Option<String>, scope: Option<String> },
}

impl Session {
    pub(super) async fn open(
        config: &Arc<RegistryConfig>,
        reference: &Reference,
        purpose: Purpose,
    ) -> Result<Self, RegistryError> {
        let registry = reference.registry().to_owned();
        // Docker's hub is known by one name and reached by another.
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { &registry };
        let scheme = if config.is_plain(reference) { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{host}/v2/"));
        let base =
            base.map_err(|error| RegistryError::Unreachable { registry: registry.clone(), reason: error.to_string() })?;
        let (login, source) = config.login(reference).await?;
        Ok(Self {
            client: client(config, reference)?,
            config: config.clone(),
            base,
            registry,
            repository: reference.repository().into(),
            purpose,
            login,
            source,
            authorization: Mutex::default(),
        })
    }

    /// An address within the repository.
    pub(super) fn url(&self, rest: &str) -> Url {
        let joined = self.base.join(&format!("{}/{rest}", self.repository));
        joined.expect("the parts of a reference and a digest are parts of an address")
    }

    /// Where the registry wants an upload to go on.
    pub(super) fn located(&self, response: &Response) -> Result<Url, RegistryError> {
        let told = response.headers().get("location").and_then(|value| value.to_str().ok());
        let url = told.and_then(|location| response.url().join(location).ok());
        let url = url.ok_or_else(|| self.lies("it does not say where an upload goes".into()))?;
        if self.config.may_go(response.url(), &url) {
            return Ok(url);
        }
        Err(RegistryError::Redirected { registry: self.registry.clone(), reason: leaves(&url) })
    }

    pub(super) fn lies(&self, what: String) -> RegistryError {
        RegistryError::Lies { registry: self.registry.clone(), what }
    }

    pub(super) fn tries(&self) -> Tries {
        Tries { left: self.config.attempts_max.saturating_sub(1), wait: self.config.retry_wait }
    }

    /// Sends one request, and says who we are where the registry asks for it. `make` may be called twice.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &Url,
        make: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let request = |authorization: Option<HeaderValue>| {
            let request = make(self.client.request(method.clone(), url.clone()));
            match authorization.filter(|_| self.is_own(url)) {
                Some(value) => request.header(AUTHORIZATION, value),
                None => request,
            }
        };
        let known = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let response = self.told(request(known).send().await)?;
        if response.status() != StatusCode::UNAUTHORIZED || !self.is_own(url) {
            return Ok(response);
        }
        // Asked for the first time, or the token has run out.
        let challenge = self.challenge(response.headers())?;
        let answer = self.answer(challenge).await?;
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
        let response = self.told(request(Some(answer)).send().await)?;
        if response.status() == StatusCode::UNAUTHORIZED { Err(self.refused(response).await) } else { Ok(response) }
    }

    /// Credentials go to the registry itself, not to where it sends us for an upload.
    fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    fn challenge(&self, headers: &HeaderMap) -> Result<Challenge, RegistryError> {
        for value in headers.get_all(WWW_AUTHENTICATE) {
            for challenge in http_auth::parse_challenges(value.to_str().unwrap_or_default()).unwrap_or_default() {
                let param = |name: &str| {
                    let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.to_unescaped())
                };
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    let realm = param("realm").and_then(|realm| Url::parse(&realm).ok());
                    let realm = realm.ok_or_else(|| self.lies("it names no authority for tokens".into()))?;
                    return Ok(Challenge::Bearer { realm, service: param("service"), scope: param("scope") });
                }
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    return Ok(Challenge::Basic);
                }
            }
        }
        Err(self.lies("it wants to know who we are, and not how".into()))
    }

    async fn answer(&self, challenge: Challenge) -> Result<HeaderValue, RegistryError> {
        let text = match (challenge, &self.login) {
            (_, Login::Token(token)) => format!("Bearer {token}"),
            (Challenge::Basic, Login::Password { username, password }) => basic(username, password),
            (Challenge::Basic, Login::Identity(_)) => {
                let reason = "they are an identity token, and it wants a name and a password".into();
                return Err(RegistryError::BadCredentials { registry: self.registry.clone(), reason });
            }
            (Challenge::Basic, Login::Nobody) => return Err(self.needs_credentials()),
            (Challenge::Bearer { realm, service, scope }, _) => {
                format!("Bearer {}", self.token(realm, service, scope).await?)
            }
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| RegistryError::BadCredentials {
            registry: self.registry.clone(),
            reason: "they hold characters that cannot be sent".into(),
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn token(&self, realm: Url, service: Option<String>, scope: Option<String>) -> Result<String, RegistryError> {
        if !self.config.may_go(&self.base, &realm) {
            return Err(RegistryError::Redirected { registry: self.registry.clone(), reason: leaves(&realm) });
        }
        let scope = match self.purpose {
            Purpose::Pull => scope.unwrap_or_else(|| format!("repository:{}:pull", self.repository)),
            // What is asked for first may need less than what follows.
            Purpose::Push => format!("repository:{}:pull,push", self.repository),
        };
        let mut query = vec![("scope", scope)];
        query.extend(service.map(|service| ("service", service)));
        let mut url = realm;
        let request = match &self.login {
            Login::Identity(token) => {
                query.extend([("grant_type", "refresh_token".into()), ("refresh_token", token.clone())]);
                query.push(("client_id", "hostler".into()));
                let mut form = Url::parse("http://form").expect("an address");
                form.query_pairs_mut().extend_pairs(query);
                let form = form.query().unwrap_or_default().to_owned();
                self.client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form)
            }
            Login::Password { username, password } => {
                url.query_pairs_mut().extend_pairs(query);
                self.client.get(url).basic_auth(username, Some(password))
            }
            Login::Nobody | Login::Token(_) => {
                url.query_pairs_mut().extend_pairs(query);
                self.client.get(url)
            }
        };
        let response = self.told(request.send().await)?;
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST) {
            return Err(self.refused(response).await);
        }
        let bytes = self.body(response, ANSWER_BYTES_MAX).await?;
        if !status.is_success() {
            return Err(self.unexpected("the wish for a token", status, &bytes));
        }
        let token: Option<Token> = serde_json::from_slice(&bytes).ok();
        let token = token.and_then(|token| token.token.or(token.access_token));
        token.ok_or_else(|| self.lies("its authority for tokens answers with something else".into()))
    }

    fn needs_credentials(&self) -> RegistryError {
        RegistryError::NeedsCredentials { registry: self.registry.clone(), looked_in: self.source.to_string() }
    }

    /// For 401 and 403.
    pub(super) async fn refused(&self, response: Response) -> RegistryError {
        let status = response.status();
        let bytes = self.body(response, ANSWER_BYTES_MAX).await.unwrap_or_default();
        match self.source {
            Source::Nobody { .. } => self.needs_credentials(),
            Source::Configured | Source::Docker(_) => RegistryError::Refused {
                registry: self.registry.clone(),
                source_name: self.source.to_string(),
                answer: said(status, &bytes),
            },
        }
    }

    /// For a status that means nothing good here.
    pub(super) async fn failed(&self, what: &'static str, response: Response) -> RegistryError {
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return self.refused(response).await;
        }
        match self.body(response, ANSWER_BYTES_MAX).await {
            Ok(bytes) => self.unexpected(what, status, &bytes),
            Err(_) => self.unexpected(what, status, b""),
        }
    }

    pub(super) fn unexpected(&self, what: &'static str, status: StatusCode, body: &[u8]) -> RegistryError {
        let answer = said(status, body);
        if status == StatusCode::BAD_REQUEST && answer.contains("HTTP request to an HTTPS server") {
            let reason = "it speaks TLS, and was asked in plain HTTP".into();
            return RegistryError::Unreachable { registry: self.registry.clone(), reason };
        }
        RegistryError::Answer { registry: self.registry.clone(), what, status: status.as_u16(), answer }
    }

    /// The body, when it has no more bytes than this.
    pub(super) async fn body(&self, mut response: Response, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.told(response.chunk().await)? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(self.lies(format!("an answer has more than {limit} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Why the library could not do it, in our words.
    pub(super) fn told<T>(&self, result: Result<T, reqwest::Error>) -> Result<T, RegistryError> {
        result.map_err(|error| {
            let registry = self.registry.clone();
            let is_redirect = error.is_redirect();
            let (is_timeout, is_connect) = (error.is_timeout(), error.is_connect());
            let reason = chain(&error.without_url());
            if is_redirect {
                RegistryError::Redirected { registry, reason }
            } else if is_timeout && !is_connect {
                RegistryError::Slow { registry, what: "nothing came for a while", limit: self.config.read_timeout }
            } else if self.base.scheme() == "https" && reason.contains("corrupt message") {
                RegistryError::NoTls { registry }
            } else if let Some((_, reason)) = reason.split_once("invalid peer certificate: ") {
                RegistryError::Untrusted { registry, reason: reason.into() }
            } else if is_connect {
                RegistryError::Unreachable { registry, reason }
            } else {
                RegistryError::Dropped { registry, what: reason }
            }
        })
    }
}

/// How often something is tried again, each time after twice the wait.
pub(super) struct Tries {
    left: u32,
    wait: Duration,
}

impl Tries {
    /// Waits, when there is another try for such an error.
    pub(super) async fn again(&mut self, error: &RegistryError) -> bool {
        if self.left == 0 || !error.may_pass() {
            return false;
        }
        self.left -= 1;
        tracing::info!("asking again in {} ms: {error}", self.wait.as_millis());
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(WAIT_MAX);
        true
    }
}

fn client(config: &Arc<RegistryConfig>, reference: &Reference) -> Result<Client, RegistryError> {
    let broken = |reason: String| RegistryError::NoClient { reason };
    let authorities = match &config.ca_file {
        Some(path) => {
            let text = std::fs::read(path).map_err(|error| broken(format!("`{}`: {error}", path.display())))?;
            let read = Certificate::from_pem_bundle(&text);
            read.map_err(|error| broken(format!("`{}`: {}", path.display(), chain(&error))))?
        }
        None => Vec::new(),
    };
    let rules = config.clone();
    let policy = redirect::Policy::custom(move |attempt| {
        let from = attempt.previous().last().cloned();
        if attempt.previous().len() > REDIRECTS_MAX {
            attempt.error(format!("more than {REDIRECTS_MAX} times"))
        } else if from.is_some_and(|from| !rules.may_go(&from, attempt.url())) {
            let reason = leaves(attempt.url());
            attempt.error(reason)
        } else {
            attempt.follow()
        }
    });
    let builder = Client::builder()
        .user_agent(concat!("hostler/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(config.connect_timeout)
        .read_timeout(config.read_timeout)
        .referer(false)
        .tls_certs_merge(authorities)
        .redirect(policy);
    // A proxy of the environment leads to other machines, and not back to this one.
    let builder = if reference.is_loopback() { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| broken(chain(&error)))
}

fn leaves(url: &Url) -> String {
    format!("`{}://{}` is not protected by TLS", url.scheme(), url.host_str().unwrap_or_default())
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

/// What an answer says about itself, shortened.
pub(super) fn said(status: StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        errors: Vec<Told>,
    }
    #[derive(Deserialize)]
    struct Told {
        code: String,
        #[serde(default)]
        message: String,
    }
    let told = serde_json::from_slice::<Answer>(body).ok().and_then(|answer| answer.errors.into_iter().next());
    let text = match told {
        Some(told) => format!("{} {}", told.code, told.message),
        None if body.trim_ascii_start().starts_with(b"<") => format!("{status}, as a page of HTML"),
        None if body.is_empty() => status.to_string(),
        None => String::from_utf8_lossy(body).into_owned(),
    };
    let clean = text.trim().chars().take(ANSWER_CHARACTERS_SHOWN);
    clean.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An error with its causes, in one line.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
