//! Packages of registries other than Python's: fetched once, kept below `target`, checked each time.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// A package as a registry serves it.
pub(crate) struct Package {
    /// The name of the file it is kept in.
    pub(crate) file: &'static str,
    /// Its path below the registry's address.
    pub(crate) path: &'static str,
    pub(crate) sha256: &'static str,
}

const LIMIT: u64 = 64 << 20;
const TIMEOUT: Duration = Duration::from_secs(300);

/// The bytes of a package.
///
/// # Errors
/// No network, no such package, or bytes that are not the expected ones; the message names it.
pub(crate) fn fetch(registry: &str, package: &Package) -> Result<Vec<u8>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/packages");
    let path = folder.join(package.file);
    if let Ok(bytes) = fs::read(&path)
        && hash(&bytes) == package.sha256
    {
        return Ok(bytes);
    }
    let url = format!("{}/{}", registry.trim_end_matches('/'), package.path);
    let bytes = download(&url).map_err(|cause| format!("{url}: {cause}"))?;
    let found = hash(&bytes);
    if found != package.sha256 {
        return Err(format!("{url} has SHA-256 {found}, not {}", package.sha256));
    }
    // Renamed when complete: tests of several processes may do this at once.
    let partial = folder.join(format!("{}.{}", package.file, std::process::id()));
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&partial, &bytes))
        .and_then(|()| fs::rename(&partial, &path))
        .map_err(|cause| format!("{}: {cause}", path.display()))?;
    Ok(bytes)
}

fn download(url: &str) -> Result<Vec<u8>, String> {
    let mut tls = TlsConfig::builder();
    if let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
        let pem = fs::read(&path).map_err(|cause| cause.to_string())?;
        let certificates = parse_pem(&pem).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        let certificates: Vec<_> = certificates.collect();
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
    }
    let agent: Agent = Agent::config_builder()
        .tls_config(tls.build())
        .timeout_global(Some(TIMEOUT))
        .build()
        .into();
    let mut response = agent.get(url).call().map_err(|cause| cause.to_string())?;
    let body = response.body_mut().with_config().limit(LIMIT);
    body.read_to_vec().map_err(|cause| cause.to_string())
}

fn hash(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
