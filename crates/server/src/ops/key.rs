//! The admin key: whoever has it is an operator.
//!
//! It comes from the environment or from a file of the data directory, made at the first start for
//! the owner's eyes alone. It is compared in constant time and appears in no log, no `Debug` and no
//! error. It is no queue token: it names no sale, and ends only when it is replaced.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Random bytes of a new key.
const KEY_BYTES: usize = 32;
/// The shortest key that is taken: 32 characters of base64 have 192 bits.
const KEY_CHARS_MIN: usize = 32;
/// The most that is read of a key file.
const FILE_BYTES_MAX: u64 = 4 * 1024;

/// The admin key, as something to compare with.
pub(crate) struct AdminKey {
    /// Before the key that is to be checked.
    state: Hmac<Sha256>,
    expected: [u8; 32],
}

/// Why there is no admin key; each is a sentence for the operator, without the key in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminKeyError {
    /// The file cannot be read, made or synced.
    #[error("the key file {} cannot be used: {source}.", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error(
        "the key file {path} is open to other users (mode {mode:04o}): \
         run `chmod 600 {path}`, and replace the key if someone may have read it.",
        path = path.display()
    )]
    NotPrivate {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It could be guessed, or not be sent in a header.
    #[error(
        "{place} is not a key of {KEY_CHARS_MIN} characters or more: letters, digits, - and _."
    )]
    Malformed {
        /// The file or the environment.
        place: String,
    },
    /// The operating system gives no random bytes.
    #[error("no random bytes for a new key: {0}.")]
    NoRandomness(getrandom::Error),
}

impl AdminKey {
    /// Reads the key at `path`, or makes a new one, mode 0600, durable on return. A file that others
    /// may read or write is refused. The caller holds the directory for itself.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, AdminKeyError> {
        let failed = |source| AdminKeyError::File { path: path.into(), source };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut random = [0; KEY_BYTES];
                getrandom::fill(&mut random).map_err(AdminKeyError::NoRandomness)?;
                create(path, &URL_SAFE_NO_PAD.encode(random)).map_err(failed)?;
                File::open(path)
            }
            opened => opened,
        };
        let text = read(file.map_err(failed)?, path)?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads the key from the value of an environment variable.
    pub(crate) fn from_env_value(value: &str) -> Result<Self, AdminKeyError> {
        Self::parse(value, "the admin key in the environment")
    }

    fn parse(text: &str, place: &str) -> Result<Self, AdminKeyError> {
        let key = sound(text, place)?;
        let state = Hmac::new_from_slice(b"maepyo admin key").expect("HMAC takes any key");
        let mac: Hmac<Sha256> = Hmac::chain_update(Clone::clone(&state), key);
        Ok(Self { state, expected: mac.finalize().into_bytes().into() })
    }

    /// Whether this is the key. How long that takes does not tell how much of it is right.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        self.state.clone().chain_update(given).verify_slice(&self.expected).is_ok()
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey(…)")
    }
}

/// The admin key as an operator sends it. A secret.
pub(crate) struct AdminSecret(String);

impl AdminSecret {
    /// Reads the key that a box office keeps at `path`; nothing is made there.
    pub(crate) fn load(path: &Path) -> Result<Self, AdminKeyError> {
        let opened = File::open(path);
        let file = opened.map_err(|source| AdminKeyError::File { path: path.into(), source })?;
        let place = path.display().to_string();
        sound(&read(file, path)?, &place).map(|key| Self(key.to_owned()))
    }

    /// Reads the key from the value of an environment variable.
    pub(crate) fn from_env_value(value: &str) -> Result<Self, AdminKeyError> {
        sound(value, "the admin key in the environment").map(|key| Self(key.to_owned()))
    }

    /// The key.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AdminSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminSecret(…)")
    }
}

/// What a file says that its owner alone may read.
fn read(file: File, path: &Path) -> Result<String, AdminKeyError> {
    let failed = |source| AdminKeyError::File { path: path.into(), source };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(AdminKeyError::NotPrivate { path: path.into(), mode });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// The key in a text, if it is one.
fn sound<'t>(text: &'t str, place: &str) -> Result<&'t str, AdminKeyError> {
    let key = text.trim();
    let is_sound = key.len() >= KEY_CHARS_MIN
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_sound { Ok(key) } else { Err(AdminKeyError::Malformed { place: place.to_owned() }) }
}

/// Writes a new key under a temporary name, and gives it its own when it is whole.
fn create(path: &Path, key: &str) -> io::Result<()> {
    let temporary = path.with_extension("key.tmp");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    writeln!(file, "{key}")?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdefghijklmnopqrstuv";

    #[test]
    fn only_the_key_is_the_key() {
        let key = AdminKey::from_env_value(&format!(" {KEY}\n")).expect("a key");
        assert!(key.is(KEY.as_bytes()));
        for other in ["", "0", &KEY[1..], &KEY.to_uppercase(), &format!("{KEY}0")] {
            assert!(!key.is(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{key:?}"), "AdminKey(…)");
    }

    #[test]
    fn a_new_key_is_private_and_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("admin.key");
        AdminKey::load_or_create(&path).expect("a new key");
        let text = fs::read_to_string(&path).expect("the file");
        let again = AdminKey::load_or_create(&path).expect("the same key");
        assert!(again.is(text.trim().as_bytes()));
        let sent = AdminSecret::load(&path).expect("the key");
        assert!(again.is(sent.expose().as_bytes()));
        assert_eq!(format!("{sent:?}"), "AdminSecret(…)");
        let mode = fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(fs::read_dir(&directory).expect("the directory").count(), 1);
    }

    #[test]
    fn a_file_open_to_others_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("admin.key");
        fs::write(&path, KEY).expect("the file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("its mode");
        let refusal = AdminKey::load_or_create(&path).expect_err("others may read it").to_string();
        assert!(refusal.contains("mode 0640") && !refusal.contains(KEY), "{refusal}");
    }

    #[test]
    fn a_key_that_could_be_guessed_is_refused_and_not_shown() {
        for weak in ["", "s3cret", &KEY[1..], &KEY.replace('v', " "), &KEY.replace('v', "é")] {
            let refusal = AdminKey::from_env_value(weak).expect_err("weak").to_string();
            assert!(weak.is_empty() || !refusal.contains(weak), "{refusal}");
        }
    }
}
