//! The two keys that Hangar makes: the host key of each machine, and the managed key that it logs
//! in with. Rule: Ed25519 only; a private half is a [`SecretString`].

use std::fmt;

use md5::{Digest as _, Md5};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey, rand_core::OsRng};

/// A key that cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[error("the SSH key cannot be made or read")]
pub struct KeyError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl KeyError {
    fn of(source: ssh_key::Error) -> Self {
        Self(Box::new(source))
    }
}

/// The host key of a machine, made before the machine.
#[derive(Clone)]
pub struct HostKey {
    private: SecretString,
    public: String,
}

impl HostKey {
    /// Makes a key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let (private, public) = pair("")?;
        Ok(Self { private, public })
    }

    /// Reads a private key in OpenSSH's format.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_openssh(private: SecretString) -> Result<Self, KeyError> {
        let key = PrivateKey::from_openssh(private.expose_secret()).map_err(KeyError::of)?;
        let public = key.public_key().to_openssh().map_err(KeyError::of)?;
        Ok(Self { private, public })
    }

    /// The private half, OpenSSH's PEM.
    pub fn private_openssh(&self) -> &SecretString {
        &self.private
    }

    /// The public half, one line `ssh-ed25519 …`.
    pub fn public_openssh(&self) -> &str {
        &self.public
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// The public half of the key that Hangar logs in with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedKey {
    /// One line `ssh-ed25519 …`.
    pub public_openssh: String,
    /// Its name at the vendor.
    pub name: String,
}

impl ManagedKey {
    /// Makes a key; the second is its private half, OpenSSH's PEM.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate(name: &str) -> Result<(Self, SecretString), KeyError> {
        let (private, public_openssh) = pair(name)?;
        Ok((Self { public_openssh, name: name.to_owned() }, private))
    }

    /// The public half of a private key in OpenSSH's format.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_private_openssh(private: &SecretString, name: &str) -> Result<Self, KeyError> {
        let key = PrivateKey::from_openssh(private.expose_secret()).map_err(KeyError::of)?;
        let public_openssh = key.public_key().to_openssh().map_err(KeyError::of)?;
        Ok(Self { public_openssh, name: name.to_owned() })
    }

    /// Its fingerprint as vendors write it: MD5 with colons.
    ///
    /// # Errors
    /// When the public half is no OpenSSH key.
    pub fn fingerprint_md5(&self) -> Result<String, KeyError> {
        fingerprint_md5(&self.public_openssh)
    }
}

/// The fingerprint of a public key line: MD5 with colons.
///
/// # Errors
/// When the line is no OpenSSH public key.
pub fn fingerprint_md5(public_openssh: &str) -> Result<String, KeyError> {
    let key = PublicKey::from_openssh(public_openssh.trim()).map_err(KeyError::of)?;
    let bytes = key.to_bytes().map_err(KeyError::of)?;
    let hex: Vec<String> = Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(hex.join(":"))
}

fn pair(comment: &str) -> Result<(SecretString, String), KeyError> {
    let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(KeyError::of)?;
    key.set_comment(comment);
    let private = key.to_openssh(LineEnding::LF).map_err(KeyError::of)?;
    let public = key.public_key().to_openssh().map_err(KeyError::of)?;
    Ok((SecretString::from(private.to_string()), public))
}
