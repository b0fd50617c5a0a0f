//! The settings of registries: how they are asked, as whom, and what their artifacts must bring with them.
//!
//! Invariant: passwords stay in their files and are read when they are needed. Must not know: what is fetched.

use super::reader::Reader;
use crate::environment::Environment;
use crate::failure::Failure;
use hostler_model::Duration;
use hostler_plugin::oci::RegistryConfig;
use hostler_plugin::oci::registry::{Login, RegistryLogin};
use std::path::PathBuf;

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Registries {
    pub(crate) plain_http: Vec<String>,
    /// As written: a place and what is asked of what comes from there.
    pub(crate) policy: Vec<String>,
    pub(crate) trust_root: Option<PathBuf>,
    /// Docker's own `config.json`.
    pub(crate) credentials: PathBuf,
    logins: Vec<LoginFile>,
    ca_file: Option<PathBuf>,
    silence_timeout: Duration,
    transfer_timeout: Duration,
    attempts: u32,
}

#[derive(Clone, PartialEq, Debug)]
struct LoginFile {
    registry: String,
    username: String,
    password: PathBuf,
}

pub(super) fn read(reader: &mut Reader, environment: &Environment) -> Registries {
    Registries {
        plain_http: reader.names("registries.plain_http"),
        policy: reader.names("registries.policy"),
        trust_root: reader.path("registries.trust_root"),
        credentials: environment.docker_config(),
        logins: logins(reader, "registries.logins"),
        ca_file: reader.path("registries.ca_file"),
        silence_timeout: reader.longer("registries.silence_timeout"),
        transfer_timeout: reader.longer("registries.transfer_timeout"),
        attempts: u32::try_from(reader.count("registries.attempts", 100)).unwrap_or(1).max(1),
    }
}

fn logins(reader: &mut Reader, key: &'static str) -> Vec<LoginFile> {
    let mut found = Vec::new();
    for line in reader.names(key) {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [registry, username, password] => {
                let password = std::path::absolute(password).unwrap_or_else(|_| password.into());
                found.push(LoginFile { registry: registry.into(), username: username.into(), password });
            }
            // Not shown: the line may hold a password that somebody wrote into it.
            _ => reader.refuse(key, "a login is a registry, a name, and the file that holds the password".into()),
        }
    }
    found
}

impl Registries {
    /// For the client of registries.
    pub(crate) fn client(&self) -> Result<RegistryConfig, Failure> {
        let mut logins = Vec::new();
        for LoginFile { registry, username, password } in &self.logins {
            let text = std::fs::read_to_string(password).map_err(|error| {
                Failure::invalid(format!("the password file `{}` cannot be read: {error}", password.display()))
                    .hint("see `registries.logins` of the settings")
            })?;
            let password = text.trim_end_matches(['\r', '\n']).to_owned();
            let login = Login::Password { username: username.clone(), password };
            logins.push(RegistryLogin { registry: registry.clone(), login });
        }
        Ok(RegistryConfig {
            plain_http: self.plain_http.clone(),
            logins,
            docker_config: Some(self.credentials.clone()),
            ca_file: self.ca_file.clone(),
            read_timeout: self.silence_timeout.to_std(),
            time_max: self.transfer_timeout.to_std(),
            attempts_max: self.attempts,
            ..RegistryConfig::default()
        })
    }
}
