//! Waits for SSH and checks readiness. Rule: strict host key from the first contact on, one
//! known_hosts file per machine, fixed commands only, and nothing without a deadline.

use std::{path::PathBuf, time::Duration};

use domain::{code::Code, node::ReasonCode};

/// A machine to log in to.
#[derive(Debug, Clone)]
pub struct SshTarget {
    /// An IP address or a host name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user.
    pub user: String,
    /// The file with the managed private key, readable by this process alone.
    pub private_key_path: PathBuf,
    /// The public half of the machine's host key.
    pub host_key_public: String,
    /// A directory for the known_hosts file, which is there only while it is used.
    pub known_hosts_dir: PathBuf,
}

/// Why a machine could not be verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SshFailure {
    /// A `PROVISION_*` code.
    pub code: Code,
    /// One sentence of ours.
    pub message: String,
}

impl SshFailure {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Whether the `ssh` command is there; the error says what to install.
///
/// # Errors
/// One sentence for people.
pub fn ssh_available() -> Result<(), String> {
    let missing = || "the ssh command is missing (Debian: apt-get install openssh-client)".to_owned();
    let output = std::process::Command::new("ssh").arg("-V").output().map_err(|_| missing())?;
    if output.status.success() { Ok(()) } else { Err(missing()) }
}

/// Waits up to `within` for SSH with the pinned host key and for cloud-init, then runs the
/// readiness probes of the base profile. Empty: nothing speaks against the machine.
///
/// # Errors
/// `PROVISION_SSH_UNREACHABLE` when it does not answer in time, `PROVISION_HOST_KEY_MISMATCH` at
/// once, `PROVISION_SCRIPT_FAILED` and `PROVISION_TIMEOUT` for cloud-init.
pub async fn verify(target: &SshTarget, within: Duration) -> Result<Vec<ReasonCode>, SshFailure> {
    let _ = (target, within);
    Err(SshFailure::new(Code::ProvisionSshUnreachable, "SSH does not answer."))
}
