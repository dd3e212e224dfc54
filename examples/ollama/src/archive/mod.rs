//! One model as one file, for machines without network: an OCI image layout in a tar archive, so that other
//! tools can read it as well.
//!
//! No name in an archive ever becomes a path: of names only digests are read, and blobs go into the store like
//! any others, each compared with its digest.

mod export;
mod import;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use export::export;
pub use import::import;

use crate::digest::Digest;

const LAYOUT: &str = "oci-layout";
const INDEX: &str = "index.json";
const BLOBS: &str = "blobs/sha256/";
/// The annotations that have a model's name, ours first.
const NAMES: [&str; 2] = [
    "org.opencontainers.image.ref.name",
    "io.containerd.image.name",
];

/// What is in an archive.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u64,
    manifests: Vec<Descriptor>,
}

/// A manifest among its blobs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: Map<String, Value>,
}
