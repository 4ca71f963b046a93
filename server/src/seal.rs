//! Sealing of secrets at rest: XChaCha20-Poly1305 under a keyring. The rule: a sealed text opens
//! only for the row it was sealed for, because the row's id is authenticated with it.
//!
//! Form: `v1.<key id>.<base64 of nonce and ciphertext>`. The first key seals, all keys open.

use std::{fs, io::Write as _, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The keys that seal secrets.
pub struct Keyring {
    keys: Vec<(String, Zeroizing<[u8; 32]>)>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

/// Why a keyring cannot be used or a secret cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The text of the keyring is not one.
    #[error("a keyring is `id:base64` of 32 bytes, comma separated; the part {part} is not that")]
    Keyring {
        /// Which part, from 1.
        part: usize,
    },
    /// The keyring file cannot be read or made.
    #[error("the keyring file cannot be used")]
    File(#[source] std::io::Error),
    /// The sealed text is of no known form.
    #[error("the sealed text is of no known form")]
    Form,
    /// No key of the keyring has the id under which the text was sealed.
    #[error("the key {0} is not in the keyring")]
    UnknownKey(String),
    /// The text was changed, or sealed for something else.
    #[error("the sealed text does not open")]
    Broken,
    /// The system has no randomness to give.
    #[error("the system gives no randomness")]
    Randomness,
}

impl Keyring {
    /// Reads `id:base64,…`; the first key seals.
    ///
    /// # Errors
    /// [`SealError::Keyring`] names the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let mut keys = Vec::new();
        for (index, part) in text.trim().split(',').enumerate() {
            let wrong = SealError::Keyring { part: index + 1 };
            let Some((id, key)) = part.trim().split_once(':') else { return Err(wrong) };
            let fits = !id.is_empty() && id.len() <= 32 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let bytes = Zeroizing::new(STANDARD.decode(key).unwrap_or_default());
            match (fits, <[u8; 32]>::try_from(bytes.as_slice())) {
                (true, Ok(key)) if !keys.iter().any(|(known, _)| known == id) => {
                    keys.push((id.to_owned(), Zeroizing::new(key)));
                }
                _ => return Err(wrong),
            }
        }
        if keys.is_empty() {
            return Err(SealError::Keyring { part: 1 });
        }
        Ok(Self { keys })
    }

    /// The text of a fresh key named `id`.
    ///
    /// # Errors
    /// [`SealError::Randomness`].
    pub fn fresh_key(id: &str) -> Result<String, SealError> {
        let mut key = Zeroizing::new([0_u8; 32]);
        getrandom::fill(key.as_mut()).map_err(|_| SealError::Randomness)?;
        Ok(format!("{id}:{}", STANDARD.encode(key.as_ref())))
    }

    /// Reads the keyring file, or makes one (mode 0600) when there is none.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn load_or_create(path: &Path) -> Result<Self, SealError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&Zeroizing::new(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = Zeroizing::new(Self::fresh_key("k1")?);
                write_private(path, text.as_bytes()).map_err(SealError::File)?;
                Self::parse(&text)
            }
            Err(error) => Err(SealError::File(error)),
        }
    }

    /// Puts a fresh key first in the keyring file; the older ones still open.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn add_key(path: &Path) -> Result<Self, SealError> {
        let old = Self::load_or_create(path)?;
        let text = Zeroizing::new(fs::read_to_string(path).map_err(SealError::File)?);
        let name = (1_u32..).map(|n| format!("k{n}")).find(|id| !old.keys.iter().any(|(known, _)| known == id));
        let fresh = Self::fresh_key(&name.unwrap_or_else(|| "k".to_owned()))?;
        let both = Zeroizing::new(format!("{fresh},{}", text.trim()));
        write_private(path, both.as_bytes()).map_err(SealError::File)?;
        Self::parse(&both)
    }

    /// The id of the key that seals.
    pub fn sealing_key(&self) -> &str {
        self.keys.first().map_or("", |(id, _)| id.as_str())
    }

    /// A keyed mark of `what`: whoever has the database but no key cannot try candidates against it.
    /// The oldest key makes it, so that it stays when a fresh one is put first.
    pub fn mark(&self, what: &[u8]) -> String {
        let mut derived = Zeroizing::new([0_u8; 32]);
        let key = self.keys.last().map_or(&[][..], |(_, key)| key.as_slice());
        // 32 bytes are always within what HKDF-SHA-256 may give (8,160), and HMAC takes any key.
        let _ = Hkdf::<Sha256>::new(None, key).expand(b"hangar mark v1", derived.as_mut());
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(derived.as_ref()) else { return String::new() };
        mac.update(what);
        STANDARD.encode(&mac.finalize().into_bytes()[..12])
    }

    /// Seals `secret` for the row `row`.
    ///
    /// # Errors
    /// [`SealError::Randomness`].
    pub fn seal(&self, row: &str, secret: &[u8]) -> Result<String, SealError> {
        let (id, key) = self.keys.first().ok_or(SealError::Form)?;
        let mut nonce = [0_u8; 24];
        getrandom::fill(&mut nonce).map_err(|_| SealError::Randomness)?;
        let text = cipher(key)
            .encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: row.as_bytes() })
            .map_err(|_| SealError::Broken)?;
        Ok(format!("v1.{id}.{}", STANDARD.encode([nonce.as_slice(), &text].concat())))
    }

    /// Opens what was sealed for the row `row`.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn open(&self, row: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let rest = sealed.strip_prefix("v1.").ok_or(SealError::Form)?;
        let (id, body) = rest.split_once('.').ok_or(SealError::Form)?;
        let (_, key) =
            self.keys.iter().find(|(known, _)| known == id).ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        let body = STANDARD.decode(body).map_err(|_| SealError::Form)?;
        let (nonce, text) = body.split_at_checked(24).ok_or(SealError::Form)?;
        let nonce = <[u8; 24]>::try_from(nonce).map_err(|_| SealError::Form)?;
        cipher(key)
            .decrypt(&XNonce::from(nonce), Payload { msg: text, aad: row.as_bytes() })
            .map(Zeroizing::new)
            .map_err(|_| SealError::Broken)
    }
}

/// The key of the cipher is derived, so that the keyring's keys can serve other ends as well.
fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    let mut derived = Zeroizing::new([0_u8; 32]);
    let hkdf = Hkdf::<Sha256>::new(None, key);
    // 32 bytes are always within what HKDF-SHA-256 may give (8,160).
    let _ = hkdf.expand(b"hangar seal v1", derived.as_mut());
    XChaCha20Poly1305::new(&(*derived).into())
}

/// Writes a file that only its owner can read; it appears whole or not at all.
///
/// # Errors
/// What the file system answers.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let partial = path.with_extension("partial");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(ids: &[&str]) -> Keyring {
        Keyring::parse(&ids.iter().map(|id| Keyring::fresh_key(id).unwrap()).collect::<Vec<_>>().join(",")).unwrap()
    }

    #[test]
    fn opens_only_for_its_row_and_untouched() {
        let ring = ring(&["a"]);
        let sealed = ring.seal("prv_1", b"secret").unwrap();
        assert!(!sealed.contains("secret"));
        assert_eq!(ring.open("prv_1", &sealed).unwrap().as_slice(), b"secret");
        assert!(matches!(ring.open("prv_2", &sealed), Err(SealError::Broken)));
        let mut changed = sealed.clone().into_bytes();
        let last = changed.len() - 3;
        changed[last] = if changed[last] == b'A' { b'B' } else { b'A' };
        assert!(ring.open("prv_1", &String::from_utf8(changed).unwrap()).is_err());
        assert_ne!(sealed, ring.seal("prv_1", b"secret").unwrap(), "a nonce is never used twice");
    }

    #[test]
    fn rotation_opens_the_old_and_seals_with_the_first() {
        let old = Keyring::fresh_key("old").unwrap();
        let new = Keyring::fresh_key("new").unwrap();
        let sealed = Keyring::parse(&old).unwrap().seal("x", b"1").unwrap();
        let both = Keyring::parse(&format!("{new},{old}")).unwrap();
        assert_eq!(both.open("x", &sealed).unwrap().as_slice(), b"1");
        assert!(both.seal("x", b"1").unwrap().starts_with("v1.new."));
        assert!(matches!(Keyring::parse(&new).unwrap().open("x", &sealed), Err(SealError::UnknownKey(_))));
    }

    #[test]
    fn a_mark_tells_the_same_from_another_and_survives_a_rotation() {
        let old = Keyring::fresh_key("old").unwrap();
        let ring = Keyring::parse(&old).unwrap();
        assert_eq!(ring.mark(b"a"), ring.mark(b"a"));
        assert_ne!(ring.mark(b"a"), ring.mark(b"b"));
        let rotated = Keyring::parse(&format!("{},{old}", Keyring::fresh_key("new").unwrap())).unwrap();
        assert_eq!(rotated.mark(b"a"), ring.mark(b"a"));
        assert_ne!(self::ring(&["x"]).mark(b"a"), ring.mark(b"a"), "another installation's is another");
    }

    #[test]
    fn a_bad_keyring_names_the_part() {
        let good = Keyring::fresh_key("a").unwrap();
        for bad in ["", "a", "a:AAAA", &format!("{good},{good}"), &format!("{good},b:xx")] {
            assert!(matches!(Keyring::parse(bad), Err(SealError::Keyring { .. })), "{bad}");
        }
        assert!(!format!("{:?}", Keyring::parse(&good).unwrap()).contains(&good[2..]));
    }

    #[test]
    fn the_file_is_private_and_kept() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keyring");
        let sealed = Keyring::load_or_create(&path).unwrap().seal("x", b"1").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Keyring::load_or_create(&path).unwrap().open("x", &sealed).is_ok());
        let rotated = Keyring::add_key(&path).unwrap();
        assert!(rotated.open("x", &sealed).is_ok());
        assert_eq!(Keyring::load_or_create(&path).unwrap().sealing_key(), "k2");
    }
}
