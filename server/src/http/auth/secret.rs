//! The admin secret. It is stored only as an argon2id hash; once a secret was accepted, a keyed MAC
//! of it under a random key in memory recognises it again. The rule: at most two verifications at
//! a time, and none while the client is locked out.

use std::{
    net::IpAddr,
    sync::{PoisonError, RwLock},
};

use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::{
    config::AdminSecret,
    fault::Fault,
    http::auth::lockout::{self, Locked},
    services::Services,
};

/// Longer secrets are refused unseen, so that nobody makes the hash work for megabytes.
const LONGEST: usize = 1_024;
/// Verifications at a time.
const TURNS: usize = 2;

/// The secret could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the secret could not be hashed: {0}")]
pub struct HashError(argon2::password_hash::Error);

/// The argon2id PHC string of `secret`.
///
/// # Errors
/// [`HashError`], when the system gives no randomness.
pub fn hash_secret(secret: &str) -> Result<String, HashError> {
    let hash: argon2::PasswordHash = Argon2::default().hash_password(secret.as_bytes()).map_err(HashError)?;
    Ok(hash.to_string())
}

/// Why a secret was not accepted.
#[derive(Debug)]
pub enum Refused {
    /// It is not the secret, or there is none.
    Wrong,
    /// Too many failures: no try is taken now.
    Locked(Locked),
    /// The failures could not be counted; then nothing is verified either.
    Fault(Fault),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Verifies the admin secret.
pub struct AdminAuth {
    hash: Option<SecretString>,
    fingerprint: String,
    mac_key: [u8; 32],
    accepted: RwLock<Option<[u8; 32]>>,
    turns: Semaphore,
}

impl std::fmt::Debug for AdminAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminAuth").field("configured", &self.is_configured()).finish_non_exhaustive()
    }
}

impl AdminAuth {
    /// The verifier for what was configured. A secret in clear is hashed here; `mark` tells it from
    /// another one without telling it.
    ///
    /// # Errors
    /// [`HashError`], when the system gives no randomness.
    pub fn new(secret: Option<&AdminSecret>, mark: impl Fn(&[u8]) -> String) -> Result<Self, HashError> {
        let mut mac_key = [0_u8; 32];
        getrandom::fill(&mut mac_key).map_err(|_| HashError(argon2::password_hash::Error::Crypto))?;
        let (hash, fingerprint) = match secret {
            None => (None, "none".to_owned()),
            Some(AdminSecret::Hash(hash)) => {
                let digest = Sha256::digest(hash.expose_secret().as_bytes());
                (Some(hash.clone()), hex(&digest[..8]))
            }
            // A fast hash of the secret itself must not get into the database; a keyed mark may.
            Some(AdminSecret::Plain(plain)) => {
                let clear = plain.expose_secret();
                (Some(hash_secret(clear)?.into()), mark(clear.as_bytes()))
            }
        };
        Ok(Self { hash, fingerprint, mac_key, accepted: RwLock::new(None), turns: Semaphore::new(TURNS) })
    }

    /// Whether there is a secret at all.
    pub fn is_configured(&self) -> bool {
        self.hash.is_some()
    }

    /// Which secret this is, without telling it; a session made by another one is over.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether `secret` was accepted before. No database, no slow hash.
    pub fn knows(&self, secret: &str) -> bool {
        let accepted = *self.accepted.read().unwrap_or_else(PoisonError::into_inner);
        accepted.is_some_and(|known| bool::from(known.ct_eq(&self.mac(secret))))
    }

    /// Verifies `secret`, sent from `client`.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn verify(&self, services: &Services, client: IpAddr, secret: &str) -> Result<(), Refused> {
        if self.knows(secret) {
            return Ok(());
        }
        if let Some(locked) = lockout::locked(services, client).await? {
            return Err(Refused::Locked(locked));
        }
        // Never closed, so that this always gives a turn.
        let _turn = self.turns.acquire().await;
        // Others may have failed while this one waited for its turn.
        if let Some(locked) = lockout::locked(services, client).await? {
            return Err(Refused::Locked(locked));
        }
        if self.matches(secret).await {
            *self.accepted.write().unwrap_or_else(PoisonError::into_inner) = Some(self.mac(secret));
            lockout::succeeded(services, client).await?;
            return Ok(());
        }
        lockout::failed(services, client).await?;
        Err(Refused::Wrong)
    }

    async fn matches(&self, secret: &str) -> bool {
        let Some(hash) = self.hash.clone() else { return false };
        if secret.is_empty() || secret.len() > LONGEST {
            return false;
        }
        let secret = Zeroizing::new(secret.to_owned());
        let verify = move || Argon2::default().verify_password(secret.as_bytes(), hash.expose_secret()).is_ok();
        tokio::task::spawn_blocking(verify).await.unwrap_or(false)
    }

    fn mac(&self, secret: &str) -> [u8; 32] {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.mac_key) else { return [0; 32] };
        mac.update(secret.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Lower-case hexadecimal.
pub(in crate::http) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {

    use super::*;

    #[tokio::test]
    async fn only_the_secret_matches() {
        let auth = AdminAuth::new(Some(&AdminSecret::Plain("correct horse".into())), |_| "m".to_owned()).unwrap();
        assert!(auth.matches("correct horse").await);
        for wrong in ["", "correct horsf", "correct horse ", &"x".repeat(LONGEST + 1)] {
            assert!(!auth.matches(wrong).await, "{wrong}");
        }
        assert!(!auth.knows("correct horse"), "nothing is known before it was verified");
        let none = AdminAuth::new(None, |_| String::new()).unwrap();
        assert!(!none.matches("").await && !none.is_configured());
    }

    /// A session holds the fingerprint, and is over once it is another one.
    #[test]
    fn another_secret_has_another_fingerprint() {
        let of = |secret: &str| {
            let mark = |what: &[u8]| format!("{what:?}");
            AdminAuth::new(Some(&AdminSecret::Plain(secret.into())), mark).unwrap().fingerprint().to_owned()
        };
        assert_eq!(of("one"), of("one"), "a restart ends no session");
        assert_ne!(of("one"), of("two"));
    }

    #[test]
    fn the_hash_is_argon2id() {
        let hash = hash_secret("x").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        assert_ne!(hash, hash_secret("x").unwrap(), "each hash has its own salt");
    }

    #[test]
    fn debug_shows_nothing() {
        let auth = AdminAuth::new(Some(&AdminSecret::Plain("pl4nted".into())), |_| "m".to_owned()).unwrap();
        assert!(!format!("{auth:?}").contains("pl4nted"));
    }
}
