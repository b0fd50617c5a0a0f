//! `hostler plugin sign`: puts a signature beside an artifact. Needs no host.

use crate::config::{self, Config, Options, ServeOptions};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, chain};
use hostler_plugin::oci::sign::KeyPair;
use hostler_plugin::oci::{Digest, Reference, Registry, Store, StoreError};
use serde_json::json;
use std::path::PathBuf;

/// Below the data folder.
const STORE: &str = "plugins";

/// Sign an artifact with a key; needs no host
///
/// By reference the signature is put beside the artifact in its registry, where `hostler` and `cosign verify` find it;
/// by digest beside the artifact in the plugin store of the data folder. What is signed is the digest: a tag that moves
/// takes no signature along.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler plugin keygen acme
  hostler plugin sign ghcr.io/acme/tide:1.0.0 --key acme.key")]
pub(super) struct Arguments {
    /// A reference, or the digest of an artifact in the plugin store
    #[arg(value_name = "REF|DIGEST", value_parser = Signed::parse)]
    artifact: Signed,
    /// The private key, a PEM file as `hostler plugin keygen` makes them
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Debug)]
enum Signed {
    InRegistry(Reference),
    InStore(Digest),
}

impl Signed {
    fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("sha256:") {
            return text
                .parse()
                .map(Self::InStore)
                .map_err(|error: hostler_plugin::oci::DigestError| error.to_string());
        }
        text.parse().map(Self::InRegistry).map_err(|error: hostler_plugin::oci::ReferenceError| error.to_string())
    }
}

impl Arguments {
    pub(super) fn run(self, ctx: &Context) -> Result<(), Failure> {
        let key = self.key.display();
        let text = std::fs::read_to_string(&self.key)
            .map_err(|error| Failure::invalid(format!("the key `{key}` cannot be read: {error}")))?;
        let pair = KeyPair::from_pem(&text).map_err(|error| Failure::invalid(format!("the key `{key}`: {error}")))?;
        let settings = config::load(&self.options, &ServeOptions::default(), &ctx.environment)?.config;
        let (digest, what) = match &self.artifact {
            Signed::InRegistry(reference) => {
                let digest = ctx.block_on(in_registry(&settings, reference, &pair))?;
                (digest, reference.with_digest(digest).to_string())
            }
            Signed::InStore(digest) => {
                in_store(&settings, *digest, &pair)?;
                (*digest, digest.to_string())
            }
        };
        let signer = pair.public().digest();
        if ctx.printer.json {
            return ctx.printer.json(&json!({"signed": what, "manifest_digest": digest, "key": signer}));
        }
        ctx.printer.result(&format!("signed {what} with key {signer}\n"))
    }
}

async fn in_registry(settings: &Config, reference: &Reference, pair: &KeyPair) -> Result<Digest, Failure> {
    let registry = Registry::new(settings.registries.client()?);
    let resolved = registry.resolve(reference).await?;
    let signature =
        pair.sign(&(&resolved).into()).map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))?;
    registry.attach(&reference.with_digest(resolved.digest), &signature).await?;
    Ok(resolved.digest)
}

fn in_store(settings: &Config, digest: Digest, pair: &KeyPair) -> Result<(), Failure> {
    let store = Store::open(&settings.data.join(STORE), settings.limits.component_bytes)?;
    let signature = pair.sign(&store.subject(digest)?);
    let signature = signature.map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))?;
    Ok(store.put_signature(&signature)?)
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(ExitCode::from(error.kind()), chain(&error))
    }
}
