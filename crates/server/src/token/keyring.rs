//! The keys that sign and check tokens: where they come from and how they are kept ready.
//!
//! A keyring is one text, in a file of the data directory or in the environment: keys in base64url,
//! one a line or separated by commas. The first signs, all of them check; so a key is replaced by
//! putting the new one in front and taking the old one away when its last token has ended. A key is
//! 256 random bits or more, straight from the operating system. It appears in no log, no `Debug`
//! and no error.
//!
//! Not here: which tokens there are (`token`). No key is ever derived from a password.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE_NO_PAD, URL_SAFE_NO_PAD_INDIFFERENT};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Bytes of a new key, and the least of any.
const KEY_BYTES: usize = 32;
/// The most keys in a ring: every token of a foreign key is compared with each.
const KEYS_MAX: usize = 8;
/// The most that is read of a key file.
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// Bytes of a token before its payload: the encoded header and a dot.
pub(super) const HEADER_BYTES: usize = 64;

/// The key that signs, and older ones that still check.
pub(crate) struct Keyring {
    signer: Key,
    older: Vec<Key>,
}

/// One key, with everything computed that does not depend on the token.
pub(super) struct Key {
    /// The start of each of its tokens.
    header: [u8; HEADER_BYTES],
    /// HMAC-SHA256 after the key and `header`.
    state: Hmac<Sha256>,
}

/// Why there is no keyring; each is a sentence for the operator, without a secret in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    /// The file cannot be read, made or synced.
    #[error("the key file {} cannot be used: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error(
        "the key file {path} is open to other users (mode {mode:04o}): \
         run `chmod 600 {path}`, and replace the key if someone may have read it",
        path = path.display()
    )]
    NotPrivate {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The text is not a keyring.
    #[error(
        "{place}: key {number} is not {KEY_BYTES} bytes or more in base64url; \
         make one with `openssl rand -base64 {KEY_BYTES} | tr '+/' '-_'`"
    )]
    Malformed {
        /// The file or the environment.
        place: String,
        /// Which key of the list, from 1.
        number: usize,
    },
    /// The same key stands in the text twice.
    #[error("{place}: key {number} is there already")]
    Repeated {
        /// The file or the environment.
        place: String,
        /// Which key of the list, from 1.
        number: usize,
    },
    /// More keys than can be of use.
    #[error("{place}: more than {KEYS_MAX} keys")]
    TooMany {
        /// The file or the environment.
        place: String,
    },
    /// The operating system gives no random bytes.
    #[error("no random bytes for a new key: {0}")]
    NoRandomness(getrandom::Error),
}

impl Keyring {
    /// Reads the keyring at `path`, or makes one with a new key, mode 0600, durable on return.
    ///
    /// Of several processes that start at once, one makes the file and all use it. A file that
    /// others may read or write is refused: its key is no secret any more.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, KeyringError> {
        let failed = |source| KeyringError::File { path: path.into(), source };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                File::open(path)
            }
            opened => opened,
        };
        let file = file.map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyringError::NotPrivate { path: path.into(), mode });
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads a keyring from the value of an environment variable.
    pub(crate) fn from_env_value(value: &str) -> Result<Self, KeyringError> {
        Self::parse(value, "the keys in the environment")
    }

    fn parse(text: &str, place: &str) -> Result<Self, KeyringError> {
        let place = || place.to_owned();
        let mut keys: Vec<Key> = Vec::new();
        let listed = text.trim().split([',', '\n']).map(str::trim);
        for (number, encoded) in (1..).zip(listed) {
            if number > KEYS_MAX {
                return Err(KeyringError::TooMany { place: place() });
            }
            // Padding is let through, for the usual tools write it.
            let secret = URL_SAFE_NO_PAD_INDIFFERENT.decode(encoded).ok();
            let Some(secret) = secret.filter(|secret| secret.len() >= KEY_BYTES) else {
                return Err(KeyringError::Malformed { place: place(), number });
            };
            let key = Key::new(&secret);
            if keys.iter().any(|known| known.header == key.header) {
                return Err(KeyringError::Repeated { place: place(), number });
            }
            keys.push(key);
        }
        let older = keys.split_off(1);
        let signer = keys.pop().expect("a text splits into one part at least");
        Ok(Self { signer, older })
    }

    /// The key that signs.
    pub(super) fn signer(&self) -> &Key {
        &self.signer
    }

    /// The key whose header this is, if it is on the ring.
    ///
    /// We are the only issuer, so the header is compared as bytes: whatever else says the same, or
    /// names another algorithm, is not ours.
    pub(super) fn key_of(&self, header: &[u8]) -> Option<&Key> {
        std::iter::once(&self.signer).chain(&self.older).find(|key| key.header == *header)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("keys", &(1 + self.older.len())).finish_non_exhaustive()
    }
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        // 64 bits tell the keys of a ring apart, and 11 characters of `kid` make the header with
        // its dot exactly one block of SHA-256, so that no token pays for hashing it.
        let hash = Sha256::new().chain_update("maepyo token key").chain_update(secret).finalize();
        let kid = URL_SAFE_NO_PAD.encode(&hash[..8]);
        let header = format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{kid}"}}"#);
        let header = URL_SAFE_NO_PAD.encode(header) + ".";
        let header = header.as_bytes().try_into().expect("a kid has 11 characters");
        let state = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
        Self { header, state: state.chain_update(header) }
    }

    /// The encoded header and its dot.
    pub(super) fn header(&self) -> &str {
        std::str::from_utf8(&self.header).expect("base64 is ASCII")
    }

    /// HMAC-SHA256 over the header and `payload`, not finished yet.
    pub(super) fn mac(&self, payload: &[u8]) -> Hmac<Sha256> {
        self.state.clone().chain_update(payload)
    }
}

/// Puts a new key at `path`, unless another process has been faster.
fn create(path: &Path) -> Result<(), KeyringError> {
    let mut random = [0; KEY_BYTES + 8];
    getrandom::fill(&mut random).map_err(KeyringError::NoRandomness)?;
    let (secret, suffix) = random.split_at(KEY_BYTES);
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", URL_SAFE_NO_PAD.encode(suffix)));
    let temporary = PathBuf::from(temporary);

    let placed = place(&temporary, path, &URL_SAFE_NO_PAD.encode(secret));
    // Whatever happened, the name was only for this moment, and may not have been made at all.
    let _ = fs::remove_file(&temporary);
    placed.map_err(|source| KeyringError::File { path: path.into(), source })
}

/// Writes `text` to `temporary` and gives it the name `path` too, if that is free; durable.
fn place(temporary: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    // A rename would replace the key of a process that started at the same moment; a link does not.
    match fs::hard_link(temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        linked => linked?,
    }
    // Also when another was faster: it may not have come to this yet.
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};
    use std::thread;

    use super::*;

    const ONE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE";
    const TWO: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI";

    fn headers(ring: &Keyring) -> Vec<&str> {
        std::iter::once(&ring.signer).chain(&ring.older).map(Key::header).collect()
    }

    fn refusal(result: Result<Keyring, KeyringError>) -> String {
        result.expect_err("the keyring is refused").to_string()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_new_key_is_private_complete_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.key");
        let made = Keyring::load_or_create(&path).unwrap();
        let read = Keyring::load_or_create(&path).unwrap();
        assert_eq!(headers(&made), headers(&read));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(text.trim_end()).unwrap().len(), KEY_BYTES);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing else is left behind");

        let elsewhere = Keyring::load_or_create(&directory.path().join("other.key")).unwrap();
        assert_ne!(headers(&made), headers(&elsewhere));
    }

    #[test]
    fn all_who_start_at_once_end_with_one_key() {
        for _ in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let path: Arc<Path> = directory.path().join("token.key").into();
            let start = Arc::new(Barrier::new(8));
            let starting: Vec<_> = (0..8)
                .map(|_| {
                    let (path, start) = (Arc::clone(&path), Arc::clone(&start));
                    thread::spawn(move || {
                        start.wait();
                        Keyring::load_or_create(&path).unwrap().signer().header().to_owned()
                    })
                })
                .collect();
            let mut headers: Vec<_> = starting.into_iter().map(|t| t.join().unwrap()).collect();
            headers.dedup();
            assert_eq!(headers.len(), 1);
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_file_open_to_others_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.key");
        fs::write(&path, ONE).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666] {
            set_mode(&path, mode);
            let refusal = refusal(Keyring::load_or_create(&path));
            assert!(refusal.contains(&format!("mode {mode:04o}")), "{refusal}");
            assert!(refusal.contains(&format!("chmod 600 {}", path.display())), "{refusal}");
        }
        for mode in [0o600, 0o400] {
            set_mode(&path, mode);
            Keyring::load_or_create(&path).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), ONE);
    }

    #[test]
    fn a_file_without_a_key_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.key");
        for text in ["", "\n", "key", &ONE[..42]] {
            fs::write(&path, text).unwrap();
            set_mode(&path, 0o600);
            let refusal = refusal(Keyring::load_or_create(&path));
            assert!(refusal.starts_with(&format!("{}: key 1 ", path.display())), "{refusal}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let missing = directory.path().join("missing").join("token.key");
        let refusal = refusal(Keyring::load_or_create(&missing));
        assert!(refusal.contains(&missing.display().to_string()), "{refusal}");
    }

    #[test]
    fn keys_are_listed_with_commas_or_lines() {
        let both = Keyring::from_env_value(&format!("{ONE},{TWO}")).unwrap();
        let lines = Keyring::from_env_value(&format!(" {ONE}=\n{TWO}\n")).unwrap();
        let turned = Keyring::from_env_value(&format!("{TWO}, {ONE}")).unwrap();
        assert_eq!(headers(&both), headers(&lines));
        assert_eq!(headers(&both).into_iter().rev().collect::<Vec<_>>(), headers(&turned));
        assert_eq!(both.signer().header(), Keyring::from_env_value(ONE).unwrap().signer().header());
    }

    #[test]
    fn a_keyring_that_is_none_says_which_key_and_never_what() {
        let short = "c2hvcnQ";
        let table = [
            (String::new(), "key 1 is not"),
            (format!("{ONE},"), "key 2 is not"),
            (format!("{ONE},{short}"), "key 2 is not"),
            (format!("{ONE}!"), "key 1 is not"),
            (ONE.replace('E', "F"), "key 1 is not"), // not the canonical spelling
            (format!("{ONE},{TWO},{ONE}"), "key 3 is there already"),
        ];
        for (text, expected) in table {
            let refusal = refusal(Keyring::from_env_value(&text));
            assert!(refusal.contains(expected), "{refusal}");
            assert!(!refusal.contains("AAAA") && !refusal.contains(short), "{refusal}");
        }
        let nine: Vec<_> = (0..9).map(|n| URL_SAFE_NO_PAD.encode([n; 32])).collect();
        assert!(refusal(Keyring::from_env_value(&nine.join(","))).contains("more than 8"));
        assert!(Keyring::from_env_value(&nine[1..].join(",")).is_ok());
    }

    #[test]
    fn the_header_says_what_the_contract_says() {
        let ring = Keyring::from_env_value(ONE).unwrap();
        let (encoded, end) = ring.signer().header().split_at(HEADER_BYTES - 1);
        let header = String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap();
        let (before, after) = (r#"{"alg":"HS256","typ":"JWT","kid":""#, r#""}"#);
        let kid = header.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).unwrap();
        assert_eq!((kid.len(), end), (11, "."));
    }

    #[test]
    fn debug_shows_no_key() {
        let ring = Keyring::from_env_value(&format!("{ONE},{TWO}")).unwrap();
        assert_eq!(format!("{ring:?}"), "Keyring { keys: 2, .. }");
    }
}
