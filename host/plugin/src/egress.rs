//! HTTP from guests to the world: one request, whole bodies, to where a check lets it and to no other address.
//!
//! Invariants: a name is resolved once for each hop, every address is checked, and the connection goes to one of those
//! very addresses; each redirect is a new hop with the same checks; nothing is added to a request but what a client
//! must send and the one credential that was named, which stays with its origin. Must not know: grants, manifests; the
//! caller says for each target whether it may be reached.

mod address;
mod connect;

use crate::target::Target;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use thiserror::Error;

pub use address::Reserved;

const REDIRECTS_MAX: usize = 5;
const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 32 << 10;

/// Headers that belong to the connection or say where a request goes.
const OURS: [&str; 10] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
];

/// What stands for a name: the system's answer, or what a test says.
pub type Resolver =
    Arc<dyn Fn(String, u16) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send>> + Send + Sync>;

/// What stands for the whole network: an answer, or why there is none.
type Script = Arc<dyn Fn(http::Request<Bytes>) -> Result<http::Response<Bytes>, EgressError> + Send + Sync>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Egress {
    /// Made at the first request: reading the system's authorities takes longer than a host takes to start.
    tls: Arc<OnceLock<Result<Arc<ClientConfig>, String>>>,
    authorities: Arc<[CertificateDer<'static>]>,
    resolver: Resolver,
    script: Option<Script>,
}

impl Default for Egress {
    fn default() -> Self {
        let resolver: Resolver = Arc::new(|host, port| Box::pin(resolve(host, port)));
        Self { tls: Arc::default(), authorities: Arc::default(), resolver, script: None }
    }
}

/// One request of a guest, already looked at.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Sent to the first origin only.
    pub(crate) credential: Option<(HeaderName, HeaderValue)>,
    pub(crate) time_max: Duration,
    pub(crate) response_bytes_max: u64,
}

#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What a target may be, as the caller says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Admission {
    /// Also an address of this machine or of a private network.
    pub(crate) private: bool,
    /// The grant names this very host, as an address.
    pub(crate) literal: bool,
}

#[derive(Debug, Error)]
pub(crate) enum EgressError {
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Limit(String),
    #[error("{0}")]
    Unreachable(String),
}

#[derive(Debug, Error)]
pub enum EgressSetupError {
    #[error("`{path}` cannot be read as certificates: {message} (`http.ca_file` is a file of PEM certificates)")]
    Authorities { path: PathBuf, message: String },
}

impl Egress {
    /// Trusts the certificate authorities of the system, and those in `ca_file` beside them.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, EgressSetupError> {
        let authorities = ca_file.map_or(Ok(Vec::new()), connect::authorities)?;
        Ok(Self { authorities: authorities.into(), ..Self::default() })
    }

    /// With other answers for names.
    #[must_use]
    pub fn with_resolver(self, resolver: Resolver) -> Self {
        Self { resolver, ..self }
    }

    /// Without a network: each request is answered by the script, after the same checks of what may be reached.
    #[must_use]
    pub(crate) fn scripted(
        answer: impl Fn(http::Request<Bytes>) -> Result<http::Response<Bytes>, EgressError> + Send + Sync + 'static,
    ) -> Self {
        Self { script: Some(Arc::new(answer)), ..Self::default() }
    }

    /// The last answer after redirects. `admit` is asked for each target, the first one too.
    pub(crate) async fn send(
        &self,
        request: Outgoing,
        admit: impl Fn(&Method, &Target) -> Result<Admission, String> + Send,
    ) -> Result<Incoming, EgressError> {
        let limit = request.time_max;
        let late = |_| EgressError::Unreachable(format!("no whole answer after {} ms", limit.as_millis()));
        tokio::time::timeout(limit, self.follow(request, admit)).await.map_err(late)?
    }

    async fn follow(
        &self,
        mut request: Outgoing,
        admit: impl Fn(&Method, &Target) -> Result<Admission, String> + Send,
    ) -> Result<Incoming, EgressError> {
        for _ in 0..=REDIRECTS_MAX {
            let admission = admit(&request.method, &request.target).map_err(EgressError::Denied)?;
            let answer = self.hop(&request, admission).await?;
            let Some(location) = redirect(&answer) else { return Ok(answer) };
            let next = request.target.join(&location).map_err(EgressError::Denied)?;
            if !next.same_origin(&request.target) {
                request.credential = None;
                request.headers.remove(http::header::AUTHORIZATION);
                request.headers.remove(http::header::COOKIE);
            }
            // As browsers do, and RFC 9110 15.4 allows: only 307 and 308 keep method and body.
            let keeps = matches!(answer.status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
            if !keeps && request.method != Method::GET && request.method != Method::HEAD {
                request.method = Method::GET;
                request.body = Bytes::new();
                request.headers.remove(http::header::CONTENT_TYPE);
            }
            request.target = next;
        }
        Err(EgressError::Limit(format!("more than {REDIRECTS_MAX} redirects")))
    }

    async fn hop(&self, request: &Outgoing, admission: Admission) -> Result<Incoming, EgressError> {
        if let Some(script) = &self.script {
            return read_aloud(script, request);
        }
        let addresses = self.addresses(&request.target, admission).await?;
        let tls = if request.target.is_tls() { Some(self.tls()?) } else { None };
        let mut sender = connect::connect(&request.target, &addresses, tls.as_ref()).await?;
        let unreachable =
            |error: hyper::Error| EgressError::Unreachable(format!("{}: {error}", request.target.authority()));
        let answer = sender.send_request(self.message(request)?).await.map_err(unreachable)?;
        let (head, body) = answer.into_parts();
        let limit = usize::try_from(request.response_bytes_max).unwrap_or(usize::MAX);
        let body = Limited::new(body, limit).collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                let limit = request.response_bytes_max;
                EgressError::Limit(format!("the answer has more than {limit} bytes (raise `limits.http_bytes_max`)"))
            } else {
                EgressError::Unreachable(format!("{}: the answer broke off: {error}", request.target.authority()))
            }
        })?;
        Ok(Incoming { status: head.status, headers: head.headers, body: body.to_bytes() })
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, EgressError> {
        let made = self.tls.get_or_init(|| connect::tls(&self.authorities));
        made.clone().map_err(|error| EgressError::Unreachable(format!("TLS cannot be set up: {error}")))
    }

    fn message(&self, request: &Outgoing) -> Result<http::Request<Full<Bytes>>, EgressError> {
        let wrong = |error: http::Error| EgressError::Denied(format!("no such request can be sent: {error}"));
        let mut message = http::Request::builder()
            .method(request.method.clone())
            .uri(request.target.path_and_query())
            .header(http::header::HOST, request.target.authority())
            .body(Full::new(request.body.clone()))
            .map_err(wrong)?;
        let headers = message.headers_mut();
        headers.extend(request.headers.clone());
        headers
            .entry(http::header::USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("hostler/", env!("CARGO_PKG_VERSION"))));
        if let Some((name, value)) = &request.credential {
            headers.insert(name.clone(), value.clone());
        }
        Ok(message)
    }

    /// All addresses of the target, if every one of them may be reached: one that may not shows that the name is not
    /// to be trusted.
    async fn addresses(&self, target: &Target, admission: Admission) -> Result<Vec<SocketAddr>, EgressError> {
        let (host, port) = (target.host().to_owned(), target.port());
        let found = match target.literal() {
            Some(address) => vec![SocketAddr::new(address, port)],
            None => (self.resolver)(host.clone(), port)
                .await
                .map_err(|error| EgressError::Unreachable(format!("`{host}` cannot be resolved: {error}")))?,
        };
        if found.is_empty() {
            return Err(EgressError::Unreachable(format!("`{host}` has no address")));
        }
        for address in &found {
            let Some(reserved) = Reserved::of(address.ip()) else { continue };
            let may = match reserved {
                Reserved::Loopback | Reserved::Private => admission.private || admission.literal,
                // Where clouds keep their metadata: only where the operator wrote that address.
                Reserved::LinkLocal | Reserved::Special => admission.literal,
            };
            if !may {
                return Err(EgressError::Denied(format!(
                    "`{host}` stands for {}, which is {reserved}; the operator can allow it by a grant with `private`",
                    address.ip()
                )));
            }
        }
        Ok(found)
    }
}

/// What a script answers to a request, which it sees with its credential.
fn read_aloud(script: &Script, request: &Outgoing) -> Result<Incoming, EgressError> {
    let mut message = http::Request::builder()
        .method(request.method.clone())
        .uri(request.target.as_str())
        .body(request.body.clone())
        .map_err(|error| EgressError::Denied(format!("no such request can be sent: {error}")))?;
    message.headers_mut().extend(request.headers.clone());
    if let Some((name, value)) = &request.credential {
        message.headers_mut().insert(name.clone(), value.clone());
    }
    let (head, body) = script(message)?.into_parts();
    let limit = request.response_bytes_max;
    if body.len() as u64 > limit {
        return Err(EgressError::Limit(format!(
            "the answer has more than {limit} bytes (raise `limits.http_bytes_max`)"
        )));
    }
    Ok(Incoming { status: head.status, headers: head.headers, body })
}

async fn resolve(host: String, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect())
}

fn redirect(answer: &Incoming) -> Option<String> {
    let is_redirect = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = answer.headers.get(http::header::LOCATION)?.to_str().ok()?;
    is_redirect.then(|| location.to_owned())
}

/// A guest's headers, or what is wrong with them.
pub(crate) fn headers(given: &[(String, String)]) -> Result<HeaderMap, String> {
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if given.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(format!("a request may have {HEADERS_MAX} headers of {HEADER_BYTES_MAX} bytes together"));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header name"))?;
        if OURS.contains(&parsed.as_str()) {
            return Err(format!("the header `{parsed}` is the host's to set"));
        }
        let value = HeaderValue::from_str(value).map_err(|_| format!("the value of `{parsed}` cannot be a header"))?;
        headers.append(parsed, value);
    }
    Ok(headers)
}
