//! Debian's registry on a port of its own, with or without a user. Shared by the tests of this room and of the engine.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(30);
/// `ann:a?b>c~` as Docker's config holds it: characters that base64 writes differently in addresses.
pub(crate) const ANN: &str = "YW5uOmE/Yj5jfg==";

pub(crate) struct DebianRegistry {
    child: Child,
    pub(crate) address: String,
    folder: tempfile::TempDir,
}

#[allow(dead_code, reason = "each test file uses its own part")]
impl DebianRegistry {
    /// None: it is not installed here, and the test has said so.
    pub(crate) fn open() -> Option<Self> {
        Self::start("127.0.0.1", "", "")
    }

    /// Lets nobody in but `ann`.
    pub(crate) fn closed() -> Option<Self> {
        Self::start("127.0.0.1", "", "auth: {htpasswd: {realm: tests, path: FOLDER/users}}\n")
    }

    /// Speaks TLS, at an address of this machine that does not look like one, with the certificate in `authority`.
    pub(crate) fn with_tls() -> Option<Self> {
        Self::start("0.0.0.0", ", tls: {certificate: FOLDER/tls.pem, key: FOLDER/tls.key}", "")
    }

    pub(crate) fn authority(&self) -> std::path::PathBuf {
        self.folder.path().join("tls.pem")
    }

    fn make_certificate(folder: &std::path::Path) {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        openssl.args(["-subj", "/CN=registry", "-addext", "subjectAltName=IP:0.0.0.0", "-keyout", "tls.key"]);
        // Its own authority, and yet no authority: else it would not do for a server.
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        let output = openssl.args(["-out", "tls.pem"]).current_dir(folder).output().expect("openssl is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[expect(clippy::disallowed_methods, reason = "CI=true is how a machine says that it must have a registry")]
    fn start(host: &str, tls: &str, auth: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let listener = TcpListener::bind((host, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it has one").to_string();
        drop(listener);
        std::fs::write(folder.path().join("users"), include_str!("registry-users")).expect("written");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: FOLDER}}}}\n\
             http: {{addr: '{address}'{tls}}}\n{auth}"
        );
        if !tls.is_empty() {
            Self::make_certificate(folder.path());
        }
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config.replace("FOLDER", &folder.path().display().to_string())).expect("written");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => {
                let registry = Self { child, address, folder };
                registry.wait();
                Some(registry)
            }
            Err(error) => {
                let must = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
                assert!(!must, "under CI a registry must be there: {error}");
                eprintln!("\n!!! NOT RUN: no docker-registry for this test: {error}\n");
                None
            }
        }
    }

    fn wait(&self) {
        let limit = Instant::now() + START_MAX;
        while TcpStream::connect(&self.address).is_err() {
            assert!(Instant::now() < limit, "the registry does not listen");
            // tidy: allow(sleep), because another process tells nobody that it listens.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Docker's config with the credentials of `ann`.
    pub(crate) fn docker_config(&self) -> std::path::PathBuf {
        let auth = serde_json::json!({"auths": {self.address.clone(): {"auth": ANN}}});
        let file = self.folder.path().join("config.json");
        std::fs::write(&file, auth.to_string()).expect("written");
        file
    }
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
