//! Source archives of the package index, for the files in them that wheels leave out.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use super::cache::{self, Cache};
use super::error::{Failure, FetchError};
use super::http::{self, Client};
use super::{Fetcher, Part, RemoteModel, TURN, index, open, progress};

/// jsonschema 4.26.0, MIT: it carries the JSON-Schema-Test-Suite below `json/tests`.
pub const JSON_SCHEMA_SUITE: RemoteModel = RemoteModel {
    file: "jsonschema-4.26.0.tar.gz",
    size: 366_583,
    sha256: "0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326",
    parts: &[Part {
        package: "jsonschema",
        version: "4.26.0",
        entry: "",
    }],
};

/// The most bytes that an archive may unpack to.
const UNPACKED: u64 = 64 << 20;

/// The files of a source archive whose paths contain `folder`, by path; settings from the environment.
///
/// # Errors
/// As [`model`](super::model); also when the archive is damaged.
pub fn sdist(archive: RemoteModel, folder: &str) -> Result<Vec<(String, Vec<u8>)>, FetchError> {
    let fetcher = Fetcher::from_env();
    let files = fetcher.archive(&archive, folder);
    files.map_err(|failure| FetchError::new(&archive, &http::redacted(&fetcher.index), failure))
}

impl Fetcher {
    fn archive(
        &self,
        archive: &RemoteModel,
        folder: &str,
    ) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(dir) = &self.model_dir {
            let path = dir.join(archive.file);
            if path.is_file() {
                cache::verify(&path, archive)?;
                return files(&path, folder);
            }
        }
        let cache = Cache::open(self.cache_dir.as_deref().ok_or(Failure::NoCacheDir)?)?;
        if let Some(path) = cache.get(archive)? {
            return files(&path, folder);
        }
        let client = Client::new(&self.index, self.cert_file.as_deref())?;
        progress::announce(archive, &http::redacted(&self.index));
        let temp = cache.temp_file(archive.file)?;
        for part in archive.parts {
            let page = format!("{}/{}/", self.index.trim_end_matches('/'), part.package);
            let link = index::find_sdist(&client.page(&page)?, part)?;
            client.download(&link.url, &temp.path, archive.size, archive.file)?;
        }
        files(&cache.put(temp, archive)?, folder)
    }
}

/// Reads a tar archive (POSIX ustar) through gzip.
fn files(path: &Path, folder: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let damaged = |reason: &str| Failure::Wheel {
        reason: format!("{}: {reason}", path.display()),
    };
    let mut tar = Vec::new();
    GzDecoder::new(open(path)?)
        .take(UNPACKED)
        .read_to_end(&mut tar)
        .map_err(|e| damaged(&e.to_string()))?;
    let mut found = Vec::new();
    let mut rest = tar.as_slice();
    while let Some((header, after)) = rest.split_at_checked(512) {
        let text = |range: std::ops::Range<usize>| {
            let field = header[range]
                .split(|&byte| byte == 0)
                .next()
                .unwrap_or_default();
            String::from_utf8_lossy(field).trim().to_owned()
        };
        let (name, prefix) = (text(0..100), text(345..500));
        if name.is_empty() {
            break;
        }
        let size = usize::from_str_radix(&text(124..136), 8).map_err(|_| damaged("a length"))?;
        let blocks = size.div_ceil(512) * 512;
        let (data, next) = after
            .split_at_checked(blocks)
            .ok_or_else(|| damaged("its end"))?;
        rest = next;
        let path = match prefix.as_str() {
            "" => name,
            prefix => format!("{prefix}/{name}"),
        };
        let is_file = matches!(header[156], b'0' | 0);
        if is_file && path.contains(folder) {
            found.push((path, data[..size].to_vec()));
        }
    }
    Ok(found)
}
