//! What Docker's own client would show a registry: `config.json` and the credential helpers it names.
//!
//! Invariants: read anew for each pull, kept nowhere, never in a message. Must not know: images, components, engines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const CONFIG_BYTES_MAX: u64 = 1 << 20;
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
const HELPER_MAX: Duration = Duration::from_secs(10);

/// What there is for one registry. What of it is used is up to whoever asks the registry.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct DockerCredentials {
    pub username: Option<String>,
    pub password: Option<String>,
    /// Gets tokens from the registry's own authority, in place of a password.
    pub identity_token: Option<String>,
    /// Shown to the registry as it is.
    pub registry_token: Option<String>,
    /// The registry, as the config names it.
    pub server: String,
}

impl fmt::Debug for DockerCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerCredentials").field("server", &self.server).finish_non_exhaustive()
    }
}

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    auths: HashMap<String, Auth>,
    #[serde(default, rename = "credHelpers")]
    helpers: HashMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "identitytoken")]
    identity_token: Option<String>,
    #[serde(rename = "registrytoken")]
    registry_token: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: String,
}

/// None: the registry is asked as nobody. An error is a sentence that fits after "it cannot be pulled: ".
pub async fn docker_credentials(config: &Path, registry: &str) -> Result<Option<DockerCredentials>, String> {
    let Some(config) = read(config)? else { return Ok(None) };
    let key = if registry == "docker.io" { "https://index.docker.io/v1/" } else { registry };
    let helper = config.helpers.get(key).or_else(|| config.helpers.get(registry)).or(config.store.as_ref());
    if let Some(helper) = helper {
        return ask(helper, key).await;
    }
    let found = config.auths.into_iter().find(|(name, _)| name == key || host_of(name) == host_of(key));
    found.map(|(name, auth)| from_auth(&name, auth)).transpose()
}

fn read(path: &Path) -> Result<Option<Config>, String> {
    let shown = path.display();
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("the credentials in `{shown}` cannot be read: {error}")),
        Ok(file) => file,
    };
    let mut text = String::new();
    let read = file.take(CONFIG_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| format!("the credentials in `{shown}` cannot be read: {error}"))?;
    // What the parser says could quote a secret.
    serde_json::from_str(&text).map(Some).map_err(|error| format!("`{shown}` is not valid at line {}", error.line()))
}

/// `https://example.com/v1/` and `example.com` are the same registry.
fn host_of(name: &str) -> &str {
    let name = name.trim_start_matches("https://").trim_start_matches("http://");
    name.split('/').next().unwrap_or(name)
}

fn from_auth(name: &str, auth: Auth) -> Result<DockerCredentials, String> {
    let (mut username, mut password) = (auth.username, auth.password);
    if let Some(text) = auth.auth.filter(|text| !text.is_empty()) {
        let decoded = STANDARD.decode(text.trim_end_matches('\0')).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
        let (user, secret) =
            pair.ok_or_else(|| format!("the credentials for `{name}` are not base64 of user:password"))?;
        (username, password) = (Some(user.into()), Some(secret.trim_end_matches('\0').into()));
    }
    Ok(DockerCredentials {
        username,
        password,
        identity_token: auth.identity_token,
        registry_token: auth.registry_token,
        server: name.into(),
    })
}

/// Asks `docker-credential-HELPER get`.
async fn ask(helper: &str, key: &str) -> Result<Option<DockerCredentials>, String> {
    let program = format!("docker-credential-{helper}");
    if helper.is_empty() || helper.contains(['/', '\0']) {
        return Err(format!("`{helper}` cannot be a credential helper"));
    }
    let spawned = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("the credential helper `{program}` cannot be started: {error}"));
    let mut child = spawned?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let key_sent = key.to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(key_sent.as_bytes());
        }
        let mut answer = Vec::new();
        let read = stdout.map(|stdout| stdout.take(ANSWER_BYTES_MAX).read_to_end(&mut answer));
        read.transpose().map(|_| answer)
    });
    let answer = tokio::time::timeout(HELPER_MAX, answer).await;
    // It has closed its output or is of no use any more.
    let is_late = answer.is_err();
    if is_late {
        let _ = child.kill();
    }
    let status = tokio::task::spawn_blocking(move || child.wait()).await;
    if is_late {
        return Err(format!("the credential helper `{program}` did not answer within {} s", HELPER_MAX.as_secs()));
    }
    let answer = answer.ok().and_then(Result::ok).and_then(Result::ok).unwrap_or_default();
    if !status.is_ok_and(|status| status.is_ok_and(|status| status.success())) {
        let text = String::from_utf8_lossy(&answer);
        // The protocol's own words for "I have none".
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(format!("the credential helper `{program}` failed"));
    }
    let found: Answer = serde_json::from_slice(&answer)
        .map_err(|_| format!("the credential helper `{program}` gave an answer that is not in its protocol"))?;
    let mut credentials = DockerCredentials { server: key.into(), ..DockerCredentials::default() };
    if found.username == "<token>" {
        credentials.identity_token = Some(found.secret);
    } else {
        (credentials.username, credentials.password) = (Some(found.username), Some(found.secret));
    }
    Ok(Some(credentials))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(config: &str, registry: &str) -> Result<Option<(String, String)>, String> {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("config.json");
        std::fs::write(&path, config).expect("written");
        let found = docker_credentials(&path, registry).await?;
        Ok(found.map(|it| (it.username.unwrap_or_default(), it.password.unwrap_or_default())))
    }

    #[tokio::test]
    async fn credentials_are_those_of_the_registry_alone() {
        // ann:a:b and the hub's old name.
        let config = r#"{"auths": {
            "https://example.com/v2/": {"auth": "YW5uOmE6Yg=="},
            "https://index.docker.io/v1/": {"username": "ben", "password": "c"},
            "broken.test": {"auth": "!!"}
        }}"#;
        let pair = |user: &str, word: &str| Ok(Some((user.to_owned(), word.to_owned())));
        assert_eq!(check(config, "example.com").await, pair("ann", "a:b"));
        assert_eq!(check(config, "docker.io").await, pair("ben", "c"));
        assert_eq!(check(config, "localhost:5000").await, Ok(None));
        assert!(check(config, "broken.test").await.expect_err("refused").contains("`broken.test`"));
        assert!(check("{\"auths\": secret}", "x").await.expect_err("refused").ends_with("not valid at line 1"));
        let gone = check(r#"{"credsStore": "hostler-none"}"#, "x").await.expect_err("refused");
        assert!(gone.contains("`docker-credential-hostler-none` cannot be started"), "{gone}");
    }
}
