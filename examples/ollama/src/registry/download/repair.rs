//! Finds and replaces what is wrong in a file that is complete but has another digest than it should.
//!
//! Ollama's registry has lists of hashes of parts: with one, only parts that are wrong are fetched again. Without
//! one, blocks are fetched again one by one until one differs and the digest is right: bytes that change on the
//! way rarely change twice in the same way.

use std::ops::Range;

use reqwest::{Method, Url};

use super::super::http::Call;
use super::journal::{BLOCK, Partial, What};
use super::work::Work;
use super::{Job, blocking, disk};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, Kind, Result};

/// The longest list that is read: more than enough for the largest models.
const MAX_SUMS: usize = 16 << 20;

/// The digest of the file after it was made right.
///
/// # Errors
/// [`Kind::Damaged`] when it can't be made right; then nothing of it remains.
pub(super) async fn repair(work: &Work, job: &Job<'_>, expected: Digest) -> Result<Digest> {
    tracing::info!("{expected}: the digest differs; looking for the blocks that are wrong");
    let blocks = match &job.sums {
        Some(url) => sums(work, job, url).await,
        None => None,
    };
    let suspects = match blocks {
        Some(sums) => wrong(work, job, sums).await?,
        None => (0..job.what.blocks()).collect(),
    };
    let mut buffer = Vec::new();
    for block in suspects {
        let fresh = work.again(block).await?;
        work.partial()
            .read(&job.what, block, &mut buffer)
            .map_err(|e| disk(&e))?;
        if fresh == buffer {
            continue;
        }
        work.replace(block, fresh).await?;
        if whole(work, &job.what).await? == expected {
            return Ok(expected);
        }
    }
    let found = whole(work, &job.what).await?;
    work.partial().remove().map_err(|e| disk(&e))?;
    Err(Error::new(
        Kind::Damaged,
        format!("digest mismatch, file must be downloaded again: want {expected}, got {found}"),
    ))
}

/// The registry's list of hashes of parts, if it has one that covers the file.
async fn sums(work: &Work, job: &Job<'_>, url: &Url) -> Option<Vec<(Digest, Range<u64>)>> {
    let origin = work.origins().first()?;
    let call = Call::new(Method::GET, url.clone());
    let list = origin.session().get(call, MAX_SUMS).await.ok()?;
    parse(std::str::from_utf8(&list).ok()?, job.what.size)
}

/// `<digest> <first>-<last>`, again and again, without gaps.
fn parse(list: &str, size: u64) -> Option<Vec<(Digest, Range<u64>)>> {
    let mut words = list.split_ascii_whitespace();
    let mut sums = Vec::new();
    let mut at = 0;
    while let Some(digest) = words.next() {
        let (first, last) = words.next()?.split_once('-')?;
        let range = first.parse::<u64>().ok()?..last.parse::<u64>().ok()?.checked_add(1)?;
        if range.start != at || range.is_empty() {
            return None;
        }
        at = range.end;
        sums.push((digest.parse().ok()?, range));
    }
    (at == size).then_some(sums)
}

/// The blocks of the parts that have another hash than they should.
async fn wrong(work: &Work, job: &Job<'_>, sums: Vec<(Digest, Range<u64>)>) -> Result<Vec<usize>> {
    let (partial, what) = (work.partial().clone(), job.what.clone());
    let found = blocking(move || {
        let mut blocks = Vec::new();
        for (digest, range) in sums {
            if hash(&partial, &what, range.clone())? != digest {
                let first = usize::try_from(range.start / BLOCK).unwrap_or(usize::MAX);
                let last = usize::try_from((range.end - 1) / BLOCK).unwrap_or(usize::MAX);
                blocks.extend(first..=last);
            }
        }
        blocks.dedup();
        Ok::<_, std::io::Error>(blocks)
    });
    found.await?.map_err(|e| disk(&e))
}

async fn whole(work: &Work, what: &What) -> Result<Digest> {
    let (partial, what) = (work.partial().clone(), what.clone());
    let size = what.size;
    let digest = blocking(move || hash(&partial, &what, 0..size)).await?;
    digest.map_err(|e| disk(&e))
}

fn hash(partial: &Partial, what: &What, range: Range<u64>) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut buffer = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let block = usize::try_from(at / BLOCK).unwrap_or(usize::MAX);
        let start = what.range(block).start;
        partial.read(what, block, &mut buffer)?;
        let index = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
        let end = range.end.min(start + buffer.len() as u64);
        let bytes = buffer
            .get(index(at)..index(end))
            .ok_or(std::io::ErrorKind::UnexpectedEof)?;
        hasher.update(bytes);
        at = end;
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_that_cover_the_whole_file_count() {
        let a = Digest::of_bytes(b"a");
        let b = Digest::of_bytes(b"b");
        let list = format!("{a} 0-9\n{b} 10-10\n");
        assert_eq!(parse(&list, 11), Some(vec![(a, 0..10), (b, 10..11)]));
        assert_eq!(parse("", 0), Some(vec![]));
        for (text, size) in [
            (list.clone(), 12),
            (list.clone(), 10),
            (format!("{a} 1-9"), 10),
            (format!("{a} 0-9 {b} 11-11"), 12),
            (format!("{a} 0-9 {b} 9-11"), 12),
            (format!("{a} 9-0"), 10),
            (format!("{a} 0-18446744073709551615"), 10),
            (format!("{a}"), 0),
            ("sha256:../../x 0-9".to_owned(), 10),
            ("<html>".to_owned(), 10),
        ] {
            assert_eq!(parse(&text, size), None, "{text}");
        }
    }
}
