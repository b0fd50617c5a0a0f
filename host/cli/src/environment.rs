//! The environment of this process, read once. The one place that asks for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Variables that are not UTF-8 are left out: none of ours can be one.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub(crate) fn of_this_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { variables: std::env::vars_os().filter_map(text).collect() }
    }

    /// The value of a variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn folder(&self, variable: &str, below_home: &str) -> PathBuf {
        // The XDG rules say that a relative path is to be ignored.
        let given = self.get(variable).map(Path::new).filter(|path| path.is_absolute());
        let home = || Path::new(self.get("HOME").unwrap_or("/")).join(below_home);
        given.map_or_else(home, Path::to_path_buf).join("hostler")
    }

    /// `$XDG_DATA_HOME/hostler`, else `~/.local/share/hostler`; for root too, so that the rule has no exception.
    pub(crate) fn data_folder(&self) -> PathBuf {
        self.folder("XDG_DATA_HOME", ".local/share")
    }

    /// `$XDG_CONFIG_HOME/hostler/config.toml`, else `~/.config/hostler/config.toml`.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder("XDG_CONFIG_HOME", ".config").join("config.toml")
    }

    /// Compiled components of local runs: `$XDG_CACHE_HOME/hostler`, else `~/.cache/hostler`.
    pub(crate) fn cache_folder(&self) -> PathBuf {
        self.folder("XDG_CACHE_HOME", ".cache")
    }

    /// Where a container engine may listen, in the order in which they are tried.
    pub(crate) fn engine_sockets(&self) -> Vec<PathBuf> {
        if let Some(named) = self.get("DOCKER_HOST") {
            return vec![named.trim_start_matches("unix://").into()];
        }
        let own = self.get("XDG_RUNTIME_DIR").map(|folder| Path::new(folder).join("podman/podman.sock"));
        let usual = ["/var/run/docker.sock", "/run/podman/podman.sock"].map(PathBuf::from);
        usual.into_iter().chain(own).collect()
    }

    /// `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    pub(crate) fn docker_config(&self) -> PathBuf {
        let home = || Path::new(self.get("HOME").unwrap_or("/")).join(".docker");
        self.get("DOCKER_CONFIG").map_or_else(home, PathBuf::from).join("config.json")
    }

    #[cfg(test)]
    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        Self { variables: variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_follow_the_xdg_rules() {
        let plain = Environment::with(&[("HOME", "/home/ann")]);
        assert_eq!(plain.data_folder(), Path::new("/home/ann/.local/share/hostler"));
        let set =
            Environment::with(&[("HOME", "/home/ann"), ("XDG_DATA_HOME", "/srv"), ("XDG_CONFIG_HOME", "relative")]);
        assert_eq!(set.data_folder(), Path::new("/srv/hostler"));
        assert_eq!(set.config_file(), Path::new("/home/ann/.config/hostler/config.toml"));
    }
}
