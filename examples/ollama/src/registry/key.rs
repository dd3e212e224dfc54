//! The user's ed25519 key, in the file and format that Ollama uses, with which registries are asked for tokens.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::error::{Error, Kind, Result};

const FILE: &str = "id_ed25519";
const MAGIC: &[u8] = b"openssh-key-v1\0";
const ALGORITHM: &[u8] = b"ssh-ed25519";
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
/// A key file is a few hundred bytes.
const MAX_FILE: u64 = 16 << 10;

/// A key pair that signs.
pub(super) struct Key {
    pair: Ed25519KeyPair,
}

impl Key {
    /// The key in `dir`, made first when there is none.
    ///
    /// # Errors
    /// The file can't be read or made, or is no unencrypted ed25519 key in OpenSSH's format.
    pub(super) fn load_or_make(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        match read(&path) {
            Ok(text) => Self::parse(&text).map_err(unusable),
            Err(e) if e.kind() == io::ErrorKind::NotFound => match Self::make(dir) {
                // Another process was first.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    Self::parse(&read(&path).map_err(|e| unusable(e.to_string()))?)
                        .map_err(unusable)
                }
                made => made.map_err(|e| unusable(e.to_string())),
            },
            Err(e) => Err(unusable(e.to_string())),
        }
    }

    /// `<public key>:<signature>`, as the header `Authorization` of a request for a token has it.
    pub(super) fn sign(&self, message: &[u8]) -> String {
        let signature = self.pair.sign(message);
        format!(
            "{}:{}",
            self.public(),
            BASE64_STANDARD.encode(signature.as_ref())
        )
    }

    /// The public key as in `authorized_keys`, without its type.
    pub(super) fn public(&self) -> String {
        BASE64_STANDARD.encode(public_blob(self.pair.public_key().as_ref()))
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (_, rest) = text
            .split_once(BEGIN)
            .ok_or("it is not in OpenSSH's format")?;
        let (body, _) = rest.split_once(END).ok_or("its end is missing")?;
        let body: String = body.split_whitespace().collect();
        let bytes = BASE64_STANDARD
            .decode(body)
            .map_err(|_| "it is not base64")?;
        let mut outer = Fields(
            bytes
                .strip_prefix(MAGIC)
                .ok_or("it is not in OpenSSH's format")?,
        );
        if outer.string()? != b"none" {
            return Err("it has a passphrase");
        }
        outer.string()?;
        outer.string()?;
        if outer.number()? != 1 {
            return Err("it holds several keys");
        }
        outer.string()?;
        let mut inner = Fields(outer.string()?);
        if inner.number()? != inner.number()? {
            return Err("it is damaged");
        }
        if inner.string()? != ALGORITHM {
            return Err("it is not an ed25519 key");
        }
        let public = inner.string()?;
        let secret = inner.string()?;
        let seed = secret.get(..32).ok_or("it is damaged")?;
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public);
        Ok(Self {
            pair: pair.map_err(|_| "it is damaged")?,
        })
    }

    fn make(dir: &Path) -> io::Result<Self> {
        let mut random = [0; 36];
        let failed = || io::Error::other("no random numbers");
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| failed())?;
        let (seed, check) = random.split_at(32);
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| failed())?;
        let key = Self { pair };
        fs::create_dir_all(dir)?;
        write_new(&dir.join(FILE), key.to_file(seed, check).as_bytes(), 0o600)?;
        let public: PathBuf = dir.join(format!("{FILE}.pub"));
        let line = format!("ssh-ed25519 {}\n", key.public());
        match write_new(&public, line.as_bytes(), 0o644) {
            // It can be made again from the private one.
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => Ok(key),
        }
    }

    fn to_file(&self, seed: &[u8], check: &[u8]) -> String {
        let public = self.pair.public_key().as_ref();
        let mut inner = [check, check].concat();
        put(&mut inner, ALGORITHM);
        put(&mut inner, public);
        put(&mut inner, &[seed, public].concat());
        put(&mut inner, b"");
        let padding = inner.len().wrapping_neg() % 8;
        inner.extend((1..=8).take(padding));
        let mut bytes = MAGIC.to_vec();
        put(&mut bytes, b"none");
        put(&mut bytes, b"none");
        put(&mut bytes, b"");
        bytes.extend(1_u32.to_be_bytes());
        put(&mut bytes, &public_blob(public));
        put(&mut bytes, &inner);
        let mut text = format!("{BEGIN}\n");
        for line in BASE64_STANDARD.encode(bytes).as_bytes().chunks(70) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text + END + "\n"
    }
}

fn unusable(why: impl std::fmt::Display) -> Error {
    Error::new(
        Kind::Storage,
        format!("the key ~/.ollama/{FILE} can't be used: {why}"),
    )
}

fn read(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    fs::File::open(path)?
        .take(MAX_FILE)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a whole file that was not there before.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn public_blob(public: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, ALGORITHM);
    put(&mut blob, public);
    blob
}

/// Appends a string of SSH's wire format.
fn put(out: &mut Vec<u8>, string: &[u8]) {
    // All strings here are short.
    let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
    out.extend(length.to_be_bytes());
    out.extend(string);
}

/// Fields of SSH's wire format.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], &'static str> {
        let (head, rest) = self.0.split_at_checked(n).ok_or("it is cut short")?;
        self.0 = rest;
        Ok(head)
    }

    fn number(&mut self) -> Result<u32, &'static str> {
        let bytes = self.take(4)?.try_into().map_err(|_| "it is cut short")?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn string(&mut self) -> Result<&'a [u8], &'static str> {
        let length = self.number()?;
        self.take(usize::try_from(length).map_err(|_| "it is cut short")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, UnparsedPublicKey};

    /// Made by `ssh-keygen -t ed25519 -N "" -C ""` for this test.
    const GENERATED: &str = include_str!("testdata/id_ed25519");
    const GENERATED_PUBLIC: &str = include_str!("testdata/id_ed25519.pub");

    #[test]
    fn reads_what_ssh_keygen_writes() {
        let key = Key::parse(GENERATED).unwrap();
        assert_eq!(
            GENERATED_PUBLIC.trim_end(),
            format!("ssh-ed25519 {}", key.public())
        );
        let signed = key.sign(b"GET,https://x,y");
        let (public, signature) = signed.split_once(':').unwrap();
        let blob = BASE64_STANDARD.decode(public).unwrap();
        let signature = BASE64_STANDARD.decode(signature).unwrap();
        let verifier = UnparsedPublicKey::new(&ED25519, &blob[blob.len() - 32..]);
        verifier.verify(b"GET,https://x,y", &signature).unwrap();
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join(".ollama");
        let made = Key::load_or_make(&home).unwrap();
        let again = Key::load_or_make(&home).unwrap();
        assert_eq!(made.public(), again.public());
        let public = fs::read_to_string(home.join("id_ed25519.pub")).unwrap();
        assert_eq!(public, format!("ssh-ed25519 {}\n", made.public()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(home.join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn damaged_keys_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let body: String = GENERATED
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        let bytes = BASE64_STANDARD.decode(body).unwrap();
        let framed = |bytes: &[u8]| format!("{BEGIN}\n{}\n{END}\n", BASE64_STANDARD.encode(bytes));
        assert!(Key::parse(&framed(&bytes)).is_ok());
        for cut in 0..bytes.len() - 8 {
            let _ = Key::parse(&framed(&bytes[..cut])).err().unwrap();
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0xff;
            let _ = Key::parse(&framed(&flipped));
        }
        for text in ["", BEGIN, "-----BEGIN RSA PRIVATE KEY-----\nAA==\n", "\0\0"] {
            fs::write(dir.path().join(FILE), text).unwrap();
            let error = Key::load_or_make(dir.path()).err().unwrap();
            assert_eq!(error.kind(), Kind::Storage);
            assert!(
                !error.to_string().contains(dir.path().to_str().unwrap()),
                "{error}"
            );
        }
    }
}
