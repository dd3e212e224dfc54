//! Encrypted connections, to a server behind a proxy that has a certificate.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::ConfigVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{Error, Kind, Result};

/// Encrypts a connection to the server `host`, whose certificate the system's authorities must know, or those of
/// `SSL_CERT_FILE`.
///
/// # Errors
/// [`Kind::Network`]: the certificate is not to be trusted, or what listens there speaks no TLS.
pub(super) async fn encrypt(stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>> {
    // Another part of the program may have been first, with the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ClientConfig::with_platform_verifier().map_err(|error| {
        let message = format!(
            "this system has no certificates of authorities ({error}): install ca-certificates or set SSL_CERT_FILE"
        );
        Error::new(Kind::Network, message)
    })?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        let message = format!("OLLAMA_HOST: no certificate can be for {host:?}");
        Error::new(Kind::Invalid, message)
    })?;
    let encrypted = TlsConnector::from(Arc::new(config)).connect(name, stream);
    encrypted.await.map_err(|error| {
        let message = format!("no encrypted connection to {host}: {error}");
        Error::new(Kind::Network, message)
    })
}
