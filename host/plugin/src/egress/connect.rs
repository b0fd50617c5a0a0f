//! A connection to one of the addresses that were checked, with TLS where the target asks for it.

use super::{EgressError, EgressSetupError};
use crate::target::Target;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, crypto};
use rustls_platform_verifier::Verifier;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Trusts the certificate authorities of the system, and `more`.
pub(super) fn tls(more: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, String> {
    let setup = |error: rustls::Error| error.to_string();
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(more.iter().cloned(), provider.clone()).map_err(setup)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

pub(super) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, EgressSetupError> {
    let wrong = |message: String| EgressSetupError::Authorities { path: path.into(), message };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))?;
    if read.is_empty() { Err(wrong("there is no certificate in it".into())) } else { Ok(read) }
}

pub(super) async fn connect(
    target: &Target,
    addresses: &[SocketAddr],
    tls: Option<&Arc<ClientConfig>>,
) -> Result<SendRequest<Full<Bytes>>, EgressError> {
    let unreachable = |what: String| EgressError::Unreachable(format!("{}: {what}", target.authority()));
    let stream = reach(addresses).await.map_err(unreachable)?;
    // Small requests wait for nothing; that it cannot be set only costs time.
    drop(stream.set_nodelay(true));
    if let Some(tls) = tls {
        let host = target.host().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|error| unreachable(error.to_string()))?;
        let secure = TlsConnector::from(tls.clone()).connect(name, stream).await;
        let secure = secure.map_err(|error| unreachable(format!("TLS: {error}")))?;
        speak(secure).await.map_err(|error| unreachable(error.to_string()))
    } else {
        speak(stream).await.map_err(|error| unreachable(error.to_string()))
    }
}

/// The first address that answers.
async fn reach(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut last = String::from("no address");
    for address in addresses {
        match tokio::time::timeout(CONNECT_MAX, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = format!("no connection after {} s", CONNECT_MAX.as_secs()),
        }
    }
    Err(last)
}

async fn speak<S>(stream: S) -> hyper::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new().max_buf_size(64 << 10).handshake(TokioIo::new(stream)).await?;
    // Ends with the sender; what goes wrong is told to whoever waits for the answer.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
