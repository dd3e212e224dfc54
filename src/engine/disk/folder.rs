//! The folder of saved prefixes: which files in it are ours, how much they take together, and which
//! was not used for longest. Other engines may add and remove files at any time.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::atomic_file;

/// A part of a file that is older than this was left by a process that ended while writing.
const ABANDONED: Duration = Duration::from_secs(3600);

pub(super) struct Folder {
    path: PathBuf,
    /// Most bytes of all files together.
    cap: u64,
    /// Files that this engine wrote or used: they leave for nobody.
    fresh: HashSet<PathBuf>,
}

struct Stored {
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

impl Folder {
    /// Makes the folder where there is none, for its owner only.
    pub(super) fn open(path: &Path, cap: u64) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self {
            path,
            cap,
            fresh: HashSet::new(),
        })
    }

    /// The file of a prefix with this hash.
    pub(super) fn file(&self, hash: u128) -> PathBuf {
        self.path.join(format!("{hash:032x}.kv"))
    }

    /// Everything that has a name of ours.
    pub(super) fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if is_ours(&entry.file_name()) {
                files.push(entry.path());
            }
        }
        Ok(files)
    }

    /// Opens a file and tells its length. Anything but a regular file is refused: opening a pipe
    /// would wait for its writer.
    pub(super) fn read(path: &Path) -> io::Result<(File, u64)> {
        if !fs::symlink_metadata(path)?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is not a regular file",
            ));
        }
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok((file, len))
    }

    /// Counts a file as used at that time.
    pub(super) fn touch(&mut self, path: &Path, used: SystemTime) -> io::Result<()> {
        File::options().write(true).open(path)?.set_modified(used)?;
        self.fresh.insert(path.to_owned());
        Ok(())
    }

    /// Writes a file as one that was used at that time, after making room for it. False: there is
    /// not so much room.
    pub(super) fn write(
        &mut self,
        path: &Path,
        parts: [&[u8]; 2],
        used: SystemTime,
    ) -> io::Result<bool> {
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        if !self.make_room(path, bytes)? {
            return Ok(false);
        }
        atomic_file::write(path, true, |file| {
            for part in parts {
                file.write_all(part)?;
            }
            // Not every file system keeps times; files then leave in another order.
            let _ = file.set_modified(used);
            Ok(())
        })?;
        self.fresh.insert(path.to_owned());
        Ok(true)
    }

    /// Removes what is beyond the cap, and what interrupted writers left.
    pub(super) fn clean(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let abandoned = is_unfinished(&entry.file_name())
                && entry.metadata().is_ok_and(|metadata| {
                    let age = metadata
                        .modified()
                        .map(|at| at.elapsed().unwrap_or_default());
                    metadata.is_file() && age.is_ok_and(|age| age > ABANDONED)
                });
            if abandoned {
                remove(&entry.path())?;
            }
        }
        self.make_room(Path::new(""), 0).map(drop)
    }

    /// Removes files, oldest first, until `bytes` more fit in the place of `path`.
    fn make_room(&self, path: &Path, bytes: u64) -> io::Result<bool> {
        let mut stored = self.stored()?;
        stored.retain(|file| file.path != path);
        let mut total: u64 = stored.iter().map(|file| file.bytes).sum();
        let kept = stored.iter().filter(|file| self.fresh.contains(&file.path));
        let kept: u64 = kept.map(|file| file.bytes).sum();
        if bytes > 0 && kept.saturating_add(bytes) > self.cap {
            return Ok(false);
        }
        for file in stored {
            if total.saturating_add(bytes) <= self.cap {
                break;
            }
            if !self.fresh.contains(&file.path) {
                remove(&file.path)?;
                total -= file.bytes;
            }
        }
        Ok(true)
    }

    /// Regular files with names of ours, oldest first.
    fn stored(&self) -> io::Result<Vec<Stored>> {
        let mut stored = Vec::new();
        for path in self.files()? {
            // It may be gone by now.
            if let Ok(metadata) = fs::symlink_metadata(&path)
                && metadata.is_file()
            {
                stored.push(Stored {
                    path,
                    bytes: metadata.len(),
                    modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                });
            }
        }
        stored.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
        Ok(stored)
    }
}

/// Removes a file that another engine may have removed before.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_ours(name: &OsStr) -> bool {
    let stem = name.to_str().and_then(|name| name.strip_suffix(".kv"));
    stem.is_some_and(|stem| stem.len() == 32 && stem.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether this is a name that [`atomic_file::write`] gives to a file of ours until it is whole.
fn is_unfinished(name: &OsStr) -> bool {
    let inner = name
        .to_str()
        .and_then(|name| name.strip_prefix('.')?.strip_suffix(".tmp"));
    inner.is_some_and(|inner| is_ours(OsStr::new(inner.get(..35).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("llamakit-folder-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }

        fn open(&self, cap: u64) -> Folder {
            Folder::open(&self.0, cap).unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn write(folder: &mut Folder, hash: u128, bytes: usize, ago: u64) -> bool {
        let path = folder.file(hash);
        let content = vec![7; bytes];
        let used = SystemTime::now() - Duration::from_secs(ago);
        folder.write(&path, [&content, b""], used).unwrap()
    }

    fn left(folder: &Folder) -> Vec<u128> {
        let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let files = folder.files().unwrap();
        let mut left: Vec<u128> = files
            .iter()
            .map(|path| u128::from_str_radix(&name(path), 16).unwrap())
            .collect();
        left.sort_unstable();
        left
    }

    #[test]
    fn the_oldest_leave_for_new_ones() {
        let scratch = Scratch::new("oldest");
        let mut before = scratch.open(100);
        for (hash, ago) in [(1, 10), (2, 30), (3, 20)] {
            assert!(write(&mut before, hash, 30, ago));
        }
        assert!(!write(&mut before, 4, 30, 0), "its own files stay");
        let mut folder = scratch.open(100);
        assert!(write(&mut folder, 4, 40, 0));
        assert_eq!(left(&folder), [1, 3, 4]);
        folder.touch(&folder.file(3), SystemTime::now()).unwrap();
        assert!(write(&mut folder, 5, 30, 0));
        assert_eq!(left(&folder), [3, 4, 5]);
        assert!(!write(&mut folder, 6, 101, 0));
        assert_eq!(left(&folder), [3, 4, 5]);
        assert!(write(&mut folder, 5, 30, 0), "in its own place");
        scratch.open(70).clean().unwrap();
        assert_eq!(left(&folder).len(), 2);
    }

    #[test]
    fn what_is_not_ours_stays() {
        let scratch = Scratch::new("foreign");
        let folder = scratch.open(0);
        let long_ago = SystemTime::now() - 2 * ABANDONED;
        let put = |name: &str, time: SystemTime| {
            let file = File::create(scratch.0.join(name)).unwrap();
            file.set_modified(time).unwrap();
            (&file).write_all(b"content").unwrap();
            file.set_modified(time).unwrap();
        };
        let ours = format!("{:032x}.kv", 5);
        put("notes.txt", long_ago);
        put("model.kv", long_ago);
        put(".hidden.1-2.tmp", long_ago);
        put(&format!(".{ours}.1-2.tmp"), long_ago);
        put(&format!(".{ours}.1-3.tmp"), SystemTime::now());
        put(&ours, long_ago);
        fs::create_dir(folder.file(6)).unwrap();
        folder.clean().unwrap();
        let entries = fs::read_dir(&scratch.0).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        let unfinished = format!(".{ours}.1-3.tmp");
        let folder = format!("{:032x}.kv", 6);
        let mut expected = [
            ".hidden.1-2.tmp",
            "model.kv",
            "notes.txt",
            &unfinished,
            &folder,
        ];
        expected.sort_unstable();
        assert_eq!(names, expected);
    }

    #[test]
    fn what_vanished_is_no_error() {
        let scratch = Scratch::new("vanished");
        let mut folder = scratch.open(100);
        assert!(write(&mut folder, 1, 30, 0));
        let path = folder.file(1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        let gone = Folder::read(&path).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        folder.touch(&path, SystemTime::now()).unwrap_err();
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_look() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new("mode");
        let mut folder = scratch.open(100);
        assert!(write(&mut folder, 1, 30, 0));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&scratch.0), 0o700);
        assert_eq!(mode(&folder.file(1)), 0o600);
    }
}
