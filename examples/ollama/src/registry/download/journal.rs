//! A download on disk: its bytes, and a journal of the blocks that are complete, with their hashes.
//!
//! The journal is locked while somebody downloads, so that everybody else waits for the same bytes. It only
//! grows, a line per block, and a last line that was cut off does not count: so it survives the end of the
//! process at any moment. Bytes that did not reach the disk before a power cut are found by their hashes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use xxhash_rust::xxh3::xxh3_64;

use super::system::{allocated, is_still, read_at, write_at};

/// What is checked, written and never fetched again as a whole.
pub(in crate::registry) const BLOCK: u64 = 1 << 20;

const MAGIC: &str = "partial 1";
/// `<8 digits> <16 digits>\n`, all hexadecimal.
const LINE: usize = 26;
const MAX_HEADER: usize = 512;
/// How the names of journals end.
pub(super) const JOURNAL: &str = ".journal";

/// What is downloaded: it can only go on when all of this is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) struct What {
    pub(in crate::registry) size: u64,
    /// The server's own mark of this version of the file, when there is no digest.
    pub(in crate::registry) validator: String,
}

impl What {
    fn header(&self) -> String {
        let validator: String = self
            .validator
            .chars()
            .filter(char::is_ascii_graphic)
            .take(200)
            .collect();
        format!("{MAGIC} {} {BLOCK} {validator}\n", self.size)
    }

    /// How many blocks it has.
    pub(super) fn blocks(&self) -> usize {
        usize::try_from(self.size.div_ceil(BLOCK)).unwrap_or(usize::MAX)
    }

    /// Where a block is.
    pub(super) fn range(&self, block: usize) -> std::ops::Range<u64> {
        let start = (block as u64).saturating_mul(BLOCK).min(self.size);
        start..start.saturating_add(BLOCK).min(self.size)
    }
}

/// The two files, which nobody else uses.
#[derive(Debug)]
pub(in crate::registry) struct Partial {
    data_path: PathBuf,
    journal_path: PathBuf,
    data: File,
    journal: Mutex<File>,
    /// What went wrong while bytes were brought to the disk: the system says it only once.
    lost: Mutex<Option<io::Error>>,
}

impl Partial {
    /// The files of this name, if nobody else has them.
    pub(super) fn try_open(dir: &Path, name: &str) -> io::Result<Option<Self>> {
        fs::create_dir_all(dir)?;
        let data_path = dir.join(name);
        let journal_path = journal_path(dir, name);
        let options = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options
        };
        let journal = options().open(&journal_path)?;
        match fs4::FileExt::try_lock(&journal) {
            Ok(()) => {}
            Err(fs4::TryLockError::WouldBlock) => return Ok(None),
            Err(fs4::TryLockError::Error(e)) => return Err(e),
        }
        // Who had it may just have removed it, being done.
        if !is_still(&journal, &journal_path) {
            return Ok(None);
        }
        let data = options().open(&data_path)?;
        Ok(Some(Self {
            data_path,
            journal_path,
            data,
            journal: Mutex::new(journal),
            lost: Mutex::new(None),
        }))
    }

    /// Which blocks are here and whole. What is of something else, or older, is dropped.
    pub(super) fn resume(&self, what: &What) -> io::Result<Vec<bool>> {
        let mut here = vec![false; what.blocks()];
        let mut journal = self.journal();
        let mut text = Vec::new();
        journal.seek(SeekFrom::Start(0))?;
        // A line per block; a repaired block has several.
        let longest = (here.len() as u64).saturating_mul(4 * LINE as u64) + MAX_HEADER as u64;
        Read::by_ref(&mut *journal)
            .take(longest)
            .read_to_end(&mut text)?;
        let header = what.header();
        let Some(lines) = text.strip_prefix(header.as_bytes()) else {
            drop(journal);
            self.reset(what)?;
            return Ok(here);
        };
        // A cut line would join the next one.
        let whole = header.len() + lines.len() / LINE * LINE;
        journal.set_len(whole as u64)?;
        journal.seek(SeekFrom::End(0))?;
        drop(journal);
        let mut sums = vec![None; here.len()];
        for line in lines.chunks_exact(LINE) {
            if let Some((block, sum)) = parse(line)
                && let Some(known) = sums.get_mut(block)
            {
                *known = Some(sum);
            }
        }
        let mut buffer = Vec::new();
        for (block, sum) in sums.into_iter().enumerate() {
            let Some(sum) = sum else { continue };
            let read = self.read(what, block, &mut buffer);
            here[block] = read.is_ok() && xxh3_64(&buffer) == sum;
        }
        Ok(here)
    }

    /// Begins from nothing.
    pub(super) fn reset(&self, what: &What) -> io::Result<()> {
        let mut journal = self.journal();
        journal.set_len(0)?;
        journal.seek(SeekFrom::Start(0))?;
        self.data.set_len(0)?;
        self.data.set_len(what.size)?;
        journal.write_all(what.header().as_bytes())
    }

    /// Bytes that the download still needs of the disk.
    pub(super) fn needs(&self, what: &What) -> u64 {
        what.size.saturating_sub(allocated(&self.data))
    }

    /// Whether no block was ever here. What can't be read is not taken for nothing.
    pub(super) fn is_empty(&self) -> bool {
        let mut text = Vec::new();
        let mut journal = self.journal();
        let read = journal
            .seek(SeekFrom::Start(0))
            .and_then(|_| {
                Read::by_ref(&mut *journal)
                    .take(MAX_HEADER as u64)
                    .read_to_end(&mut text)
            })
            .and_then(|_| journal.seek(SeekFrom::End(0)));
        read.is_ok() && text.iter().filter(|&&byte| byte == b'\n').count() <= 1
    }

    /// Writes a block and then, that it is there.
    pub(super) fn write(&self, what: &What, block: usize, bytes: &[u8]) -> io::Result<()> {
        write_at(&self.data, bytes, what.range(block).start)?;
        let line = format!("{block:08x} {:016x}\n", xxh3_64(bytes));
        self.journal().write_all(line.as_bytes())
    }

    /// Reads a block.
    pub(super) fn read(&self, what: &What, block: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let range = what.range(block);
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        buffer.resize(length, 0);
        read_at(&self.data, buffer, range.start)
    }

    /// The bytes, for reading them all.
    pub(in crate::registry) fn data(&self) -> &File {
        &self.data
    }

    /// The file that has the bytes.
    pub(in crate::registry) fn path(&self) -> &Path {
        &self.data_path
    }

    /// Brings to the disk what was written so far, so that less is left for the end.
    pub(super) fn sync_behind(&self) {
        // Held meanwhile, so that who syncs at the end hears of it.
        let mut lost = self.lost();
        if let Err(error) = self.data.sync_data() {
            *lost = Some(error);
        }
    }

    fn lost(&self) -> std::sync::MutexGuard<'_, Option<io::Error>> {
        self.lost
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Makes the bytes last.
    pub(in crate::registry) fn sync(&self) -> io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            self.data
                .set_permissions(fs::Permissions::from_mode(0o644))?;
        }
        self.data.sync_all()?;
        self.lost().take().map_or(Ok(()), Err)
    }

    /// Ends the download after its bytes went elsewhere or are of no use.
    pub(in crate::registry) fn remove(&self) -> io::Result<()> {
        let gone = |result: io::Result<()>| match result {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        gone(fs::remove_file(&self.data_path))?;
        gone(fs::remove_file(&self.journal_path))
    }

    fn journal(&self) -> std::sync::MutexGuard<'_, File> {
        self.journal
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// How many bytes a download that somebody else makes has, and of how many.
pub(super) fn progress(dir: &Path, name: &str) -> Option<(u64, u64)> {
    let mut text = Vec::new();
    let file = File::open(journal_path(dir, name)).ok()?;
    let length = file.metadata().ok()?.len();
    file.take(MAX_HEADER as u64).read_to_end(&mut text).ok()?;
    let header = text.split(|&byte| byte == b'\n').next()?;
    let header_length = header.len() as u64 + 1;
    let mut words = std::str::from_utf8(header)
        .ok()?
        .strip_prefix(MAGIC)?
        .split_whitespace();
    let size: u64 = words.next()?.parse().ok()?;
    let block: u64 = words.next()?.parse().ok()?;
    let blocks = length.saturating_sub(header_length) / LINE as u64;
    Some((blocks.saturating_mul(block).min(size), size))
}

fn journal_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}{JOURNAL}"))
}

fn parse(line: &[u8]) -> Option<(usize, u64)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (block, sum) = line.split_once(' ')?;
    Some((
        usize::from_str_radix(block, 16).ok()?,
        u64::from_str_radix(sum, 16).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what() -> What {
        What {
            size: 3 * BLOCK + 5,
            validator: "\"v 1\"".to_owned(),
        }
    }

    fn bytes(block: usize) -> Vec<u8> {
        let range = what().range(block);
        vec![block as u8 + 1; (range.end - range.start) as usize]
    }

    /// A process that another test starts has this one's locks for a moment.
    fn open(dir: &Path) -> Partial {
        loop {
            if let Some(partial) = Partial::try_open(dir, "x").unwrap() {
                return partial;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// A download that was given up with blocks 0, 1 and 3.
    fn given_up(dir: &Path) {
        let partial = open(dir);
        assert_eq!(partial.resume(&what()).unwrap(), [false; 4]);
        for block in [1, 0, 3] {
            partial.write(&what(), block, &bytes(block)).unwrap();
        }
    }

    fn resumed(dir: &Path) -> Vec<bool> {
        open(dir).resume(&what()).unwrap()
    }

    #[test]
    fn complete_blocks_are_there_again() {
        let dir = tempfile::tempdir().unwrap();
        given_up(dir.path());
        assert_eq!(progress(dir.path(), "x"), Some((3 * BLOCK, 3 * BLOCK + 5)));
        assert_eq!(resumed(dir.path()), [true, true, false, true]);
        let partial = open(dir.path());
        let mut buffer = Vec::new();
        partial.read(&what(), 3, &mut buffer).unwrap();
        assert_eq!(buffer, bytes(3));
    }

    #[test]
    fn whatever_is_cut_off_or_changed_is_fetched_again_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        given_up(dir.path());
        let journal = fs::read(journal_path(dir.path(), "x")).unwrap();
        let header = what().header().len();
        for cut in 0..=journal.len() {
            fs::write(journal_path(dir.path(), "x"), &journal[..cut]).unwrap();
            let mut expected = [false; 4];
            for block in [1, 0, 3]
                .into_iter()
                .take(cut.saturating_sub(header) / LINE)
            {
                expected[block] = true;
            }
            // The header that is missing takes the bytes with it: make them anew.
            if cut < header {
                assert_eq!(resumed(dir.path()), expected, "{cut}");
                fs::remove_dir_all(dir.path()).unwrap();
                given_up(dir.path());
                continue;
            }
            assert_eq!(resumed(dir.path()), expected, "{cut}");
            // What is written next is read next.
            let partial = open(dir.path());
            partial.resume(&what()).unwrap();
            partial.write(&what(), 2, &bytes(2)).unwrap();
            drop(partial);
            expected[2] = true;
            assert_eq!(resumed(dir.path()), expected, "{cut}");
        }
        let mut data = fs::read(dir.path().join("x")).unwrap();
        data[BLOCK as usize] ^= 1;
        fs::write(dir.path().join("x"), data).unwrap();
        fs::write(journal_path(dir.path(), "x"), &journal).unwrap();
        assert_eq!(resumed(dir.path()), [true, false, false, true]);
    }

    #[test]
    fn another_version_begins_from_nothing() {
        for other in [
            What {
                size: what().size + 1,
                ..what()
            },
            What {
                validator: "v2".to_owned(),
                ..what()
            },
        ] {
            let dir = tempfile::tempdir().unwrap();
            given_up(dir.path());
            let partial = open(dir.path());
            assert!(!partial.resume(&other).unwrap().contains(&true));
            assert_eq!(partial.data().metadata().unwrap().len(), other.size);
        }
        let dir = tempfile::tempdir().unwrap();
        for garbage in [
            &b"\0\xff\n"[..],
            b"partial 1 99999999999999999999 1 x\n",
            b"\n\n\n",
        ] {
            fs::write(journal_path(dir.path(), "x"), garbage).unwrap();
            assert_eq!(progress(dir.path(), "x"), None);
            assert_eq!(resumed(dir.path()), [false; 4]);
        }
    }

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path());
        assert!(Partial::try_open(dir.path(), "x").unwrap().is_none());
        assert!(Partial::try_open(dir.path(), "y").unwrap().is_some());
        first.remove().unwrap();
        drop(first);
        drop(open(dir.path()));
    }
}
