//! Who asks, and whether they may: bearer tokens, what a route asks for, and the decision between 401, 403 and 404.
//!
//! Invariants: a token is compared by its SHA-256 in constant time and kept nowhere else; a route without a declared
//! access cannot be added (`routes::Routes`); whoever may do nothing in a namespace is not told that it is there
//! (decision 14). Must not know: what a route does.

use crate::Web;
use crate::error::Error;
use crate::types::Grant;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hostler_model::{Actor, Kind, Slug};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

/// What a permission is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noun {
    Pipeline,
    Run,
    Event,
    Subscription,
    Plugin,
    Secret,
    Backup,
    Host,
}

impl Noun {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Run => "run",
            Self::Event => "event",
            Self::Subscription => "subscription",
            Self::Plugin => "plugin",
            Self::Secret => "secret",
            Self::Backup => "backup",
            Self::Host => "host",
        }
    }
}

/// What a permission lets do with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Read,
    Create,
    Change,
    Delete,
}

impl Verb {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Change => "change",
            Self::Delete => "delete",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permission {
    pub noun: Noun,
    pub verb: Verb,
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.noun.as_str(), self.verb.as_str())
    }
}

/// What a route asks of whoever calls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Nothing: it shows nothing that is secret and changes nothing.
    Public,
    /// A token that is known, whatever it may do.
    Known,
    Needs(Permission),
}

/// The token behind a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    pub name: String,
    pub grants: Vec<Grant>,
}

impl Principal {
    pub fn actor(&self) -> Actor {
        Actor::token(self.name.clone())
    }

    /// May it? `namespace` is None for routes about the host as a whole, which a grant in any namespace opens.
    fn check(&self, permission: Permission, namespace: Option<&str>) -> Result<(), Kind> {
        let fits = |granted: &str, asked: &str| granted == "*" || granted == asked;
        let here = |grant: &&Grant| namespace.is_none_or(|namespace| fits(&grant.namespace, namespace));
        let mut sees_namespace = false;
        for grant in self.grants.iter().filter(here) {
            sees_namespace = true;
            if fits(&grant.noun, permission.noun.as_str()) && fits(&grant.verb, permission.verb.as_str()) {
                return Ok(());
            }
        }
        Err(if sees_namespace { Kind::Denied } else { Kind::NotFound })
    }
}

/// Runs before each route that is not public: finds the token, asks whether it may, and leaves the principal for the
/// route.
pub(crate) async fn authorize(
    State(access): State<Access>,
    mut request: Request,
    next: Next,
) -> Result<Response, Error> {
    let needs = match access {
        Access::Public => return Ok(next.run(request).await),
        Access::Known => None,
        Access::Needs(permission) => Some(permission),
    };
    let web = request.extensions().get::<Web>().cloned().ok_or_else(|| {
        Error::internal(std::io::Error::other(
            "a route was called without the middleware that every route stands behind",
        ))
    })?;
    let principal = principal(&web, token_of(request.headers())?).await?;
    if let Some(permission) = needs {
        let namespace = namespace_in(request.uri().path());
        principal.check(permission, namespace).map_err(|kind| refusal(kind, permission, namespace, &principal))?;
    }
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

fn refusal(kind: Kind, permission: Permission, namespace: Option<&str>, principal: &Principal) -> Error {
    let namespace = namespace.unwrap_or("*");
    match kind {
        Kind::NotFound => Error::not_found(format!("namespace `{namespace}` does not exist")),
        _ => Error::new(kind, format!("token `{}` may not do this", principal.name))
            .hint(format!("it needs the permission `{permission}` in namespace `{namespace}`")),
    }
}

/// The namespace that a path names, as the routes are written.
fn namespace_in(path: &str) -> Option<&str> {
    path.strip_prefix(crate::routes::NAMESPACES)?.strip_prefix('/')?.split('/').next()
}

fn token_of(headers: &HeaderMap) -> Result<[u8; 32], Error> {
    let missing = || {
        Error::new(Kind::Unauthenticated, "this needs a token")
            .hint("send `Authorization: Bearer TOKEN`; the file `token` in the data folder holds the first one")
    };
    let header = headers.get(AUTHORIZATION).ok_or_else(missing)?;
    header.to_str().ok().and_then(bearer).map(hash).ok_or_else(missing)
}

async fn principal(web: &Web, hash: [u8; 32]) -> Result<Principal, Error> {
    let row = web.read(move |tx| tx.token_by_hash(&hash)).await?;
    let known = row.filter(|row| bool::from(row.hash.as_slice().ct_eq(hash.as_slice())) && row.revoked_at.is_none());
    let row = known.ok_or_else(|| {
        Error::new(Kind::Unauthenticated, "the host does not know this token")
            .hint("it may have been revoked, or belong to another host; look at --token-file and --url")
    })?;
    let grants = row.permissions.into_iter().map(|p| Grant { noun: p.noun, verb: p.verb, namespace: p.namespace });
    Ok(Principal { name: row.name.to_string(), grants: grants.collect() })
}

/// The scheme's name is compared without regard to case (RFC 9110, 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
}

pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The name of the token that is made at the first start.
pub const FIRST_TOKEN: &str = "first";

#[derive(Debug, thiserror::Error)]
pub enum FirstTokenError {
    #[error("the token file `{path}` cannot be written", path = path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("the token file `{path}` cannot be read", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the token file `{path}` holds no token; remove it, and the next start makes a new one", path = path.display())]
    Empty { path: PathBuf },
    #[error("the token cannot be stored")]
    Store(#[source] hostler_engine::Error),
    #[error("the name of the first token is not one")]
    Name(#[source] hostler_model::slug::Invalid),
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}

/// Makes sure that there is a token that may do all, and that its file is there and only the user's; returns the file.
/// The file is written and synced before the hash is stored: after a crash between the two the same token is stored.
pub async fn first_token(handle: &hostler_engine::Handle, data_dir: &Path) -> Result<PathBuf, FirstTokenError> {
    let path = data_dir.join("token");
    let token = read_or_make(&path)?;
    let all = hostler_store::Permission { noun: "*".into(), verb: "*".into(), namespace: "*".into() };
    let name = Slug::parse(FIRST_TOKEN).map_err(FirstTokenError::Name)?;
    handle.ensure_token(name, hash(&token), vec![all]).await.map_err(FirstTokenError::Store)?;
    Ok(path)
}

fn read_or_make(path: &Path) -> Result<String, FirstTokenError> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            // A copy or an editor may have opened it up since.
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(path, private)
                .map_err(|source| FirstTokenError::Write { path: path.into(), source })?;
            let token = text.trim().to_owned();
            if token.is_empty() { Err(FirstTokenError::Empty { path: path.into() }) } else { Ok(token) }
        }
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => make(path),
        Err(source) => Err(FirstTokenError::Read { path: path.into(), source }),
    }
}

/// Written beside and renamed, so that no crash leaves a file with half a token.
fn make(path: &Path) -> Result<String, FirstTokenError> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(|error| FirstTokenError::Random(error.to_string()))?;
    let token = format!("hostler_{}", hex(&random));
    let failed = |source| FirstTokenError::Write { path: path.into(), source };
    let beside = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(failed)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    file.write_all(format!("{token}\n").as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
    Ok(token)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(grants: &[(&str, &str, &str)]) -> Principal {
        let grant = |(noun, verb, namespace): &(&str, &str, &str)| Grant {
            noun: (*noun).into(),
            verb: (*verb).into(),
            namespace: (*namespace).into(),
        };
        Principal { name: "ci".into(), grants: grants.iter().map(grant).collect() }
    }

    #[test]
    fn who_may_do_something_else_is_denied_and_who_may_do_nothing_there_sees_nothing() {
        let start = Permission { noun: Noun::Run, verb: Verb::Create };
        let check = |grants: &[(&str, &str, &str)], namespace| principal(grants).check(start, namespace);
        assert_eq!(check(&[("*", "*", "*")], Some("default")), Ok(()));
        assert_eq!(check(&[("run", "*", "default")], Some("default")), Ok(()));
        assert_eq!(check(&[("run", "create", "default")], Some("default")), Ok(()));
        assert_eq!(check(&[("run", "read", "default")], Some("default")), Err(Kind::Denied));
        assert_eq!(check(&[("pipeline", "create", "default")], Some("default")), Err(Kind::Denied));
        assert_eq!(check(&[("run", "create", "other")], Some("default")), Err(Kind::NotFound));
        assert_eq!(check(&[], Some("default")), Err(Kind::NotFound));
        assert_eq!(check(&[("run", "create", "other")], None), Ok(()));
    }

    #[test]
    fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for bad in ["abc", "Basic abc", "Bearer", "Bearer ", ""] {
            assert_eq!(bearer(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_token_file_is_made_once_and_only_the_user_can_read_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("token");
        let made = read_or_make(&path).expect("a token");
        assert!(made.len() > 64);
        let mode = || std::fs::metadata(&path).expect("the file").permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("a mode");
        assert_eq!(read_or_make(&path).expect("the same token"), made);
        assert_eq!(mode(), 0o600);
        std::fs::write(&path, "\n").expect("an empty file");
        assert!(matches!(read_or_make(&path), Err(FirstTokenError::Empty { .. })));
    }

    #[test]
    fn the_namespace_of_a_path_is_what_follows_the_prefix() {
        assert_eq!(namespace_in("/api/v1/namespaces/default/runs"), Some("default"));
        assert_eq!(namespace_in("/api/v1/whoami"), None);
        assert_eq!(namespace_in("/metrics"), None);
    }
}
