//! Waits for a machine to answer and checks its readiness. Rule: fixed commands only, and reason
//! codes in their fixed order.

use std::time::Duration;

use domain::{code::Code, node::ReasonCode};
use openssh::Session;
use tokio::time::Instant;

use super::{
    connection::{Ended, PROBE_MOST, Place, SshFailure, SshTarget, Tries, Trouble, broken, close, run},
    profile::Checks,
    quote::{REMOTE_PATH, as_root},
};

/// Waits up to `within` for SSH with the pinned host key and for cloud-init, then runs the
/// readiness probes that need no profile. Empty: nothing speaks against the machine.
///
/// # Errors
/// As [`ssh_wait`].
pub async fn verify(target: &SshTarget, within: Duration) -> Result<Vec<ReasonCode>, SshFailure> {
    reached(target, within, true, Some(&Checks::default())).await
}

/// Waits up to `within` for SSH with the pinned host key, and until cloud-init has ended.
///
/// # Errors
/// `PROVISION_SSH_UNREACHABLE` when it does not answer in time, `PROVISION_HOST_KEY_MISMATCH` at
/// once, `PROVISION_SCRIPT_FAILED` and `PROVISION_TIMEOUT` for cloud-init, `PROVISION_NOT_READY`
/// when the target itself cannot be used.
pub async fn ssh_wait(target: &SshTarget, within: Duration) -> Result<(), SshFailure> {
    reached(target, within, true, None).await.map(drop)
}

/// The readiness checks of a profile, without waiting for cloud-init. Empty: nothing speaks
/// against the machine.
///
/// # Errors
/// `PROVISION_SSH_UNREACHABLE`, `PROVISION_HOST_KEY_MISMATCH`, `PROVISION_NOT_READY` as
/// [`ssh_wait`].
pub async fn verify_profile(
    target: &SshTarget,
    checks: &Checks,
    within: Duration,
) -> Result<Vec<ReasonCode>, SshFailure> {
    reached(target, within, false, Some(checks)).await
}

async fn reached(
    target: &SshTarget,
    within: Duration,
    cloud_init: bool,
    checks: Option<&Checks>,
) -> Result<Vec<ReasonCode>, SshFailure> {
    let deadline = Instant::now() + within;
    let place = Place::prepare(target)?;
    let mut tries = Tries::until(deadline);
    loop {
        let outcome = match place.connect(target, deadline).await {
            Ok(session) => {
                let outcome = probes(&session, target, deadline, cloud_init, checks).await;
                close(session).await;
                outcome
            }
            Err(trouble) => Err(trouble),
        };
        match outcome {
            Ok(reasons) => return Ok(reasons),
            Err(trouble) => tries.again(trouble).await?,
        }
    }
}

async fn probes(
    session: &Session,
    target: &SshTarget,
    deadline: Instant,
    cloud_init: bool,
    checks: Option<&Checks>,
) -> Result<Vec<ReasonCode>, Trouble> {
    if cloud_init {
        cloud_init_ended(session, deadline).await?;
    }
    match checks {
        Some(checks) => found(session, target, deadline, checks).await,
        None => Ok(Vec::new()),
    }
}

async fn cloud_init_ended(session: &Session, deadline: Instant) -> Result<(), Trouble> {
    let left = || deadline.saturating_duration_since(Instant::now());
    // A local time-out would leave the remote command running.
    let wait = format!("timeout -k 5 {} cloud-init status --wait", left().as_secs().max(1));
    match run(session, &wait, &[], left()).await.ended {
        // 2: done, with errors that cloud-init recovered from.
        Ended::Code(0 | 2) | Ended::Missing => Ok(()),
        Ended::Code(124 | 137) => Err(cloud_init_late()),
        Ended::Code(_) => {
            let message = "cloud-init ended in error on the machine.";
            Err(Trouble::Final(SshFailure::new(Code::ProvisionScriptFailed, message)))
        }
        Ended::Lost if left().is_zero() => Err(cloud_init_late()),
        // User data may ask for a reboot.
        Ended::Lost => Err(broken()),
    }
}

fn cloud_init_late() -> Trouble {
    let message = "cloud-init was not done on the machine by the deadline.";
    Trouble::Final(SshFailure::new(Code::ProvisionTimeout, message))
}

/// What speaks against the machine, in the fixed order.
async fn found(
    session: &Session,
    target: &SshTarget,
    deadline: Instant,
    checks: &Checks,
) -> Result<Vec<ReasonCode>, Trouble> {
    let most = || deadline.saturating_duration_since(Instant::now()).min(PROBE_MOST);
    let mut found = Vec::new();
    match run(session, "true", &[], most()).await.ended {
        Ended::Code(0) => {}
        Ended::Lost => return Err(broken()),
        Ended::Code(_) | Ended::Missing => found.push(ReasonCode::NodeUnreachable),
    }
    let mut root = true;
    if target.user != "root" {
        match run(session, "sudo -n true", &[], most()).await.ended {
            Ended::Code(0) => {}
            Ended::Lost => return Err(broken()),
            Ended::Code(_) | Ended::Missing => {
                found.push(ReasonCode::SudoUnavailable);
                root = false;
            }
        }
    }
    if !checks.commands.is_empty() {
        let look = format!("PATH={REMOTE_PATH}; for it; do command -v \"$it\" >/dev/null || exit 1; done");
        let mut argv = vec!["sh".to_owned(), "-c".to_owned(), look, "sh".to_owned()];
        argv.extend(checks.commands.iter().cloned());
        // Without root it is looked for as the user: what is missing is missing for both.
        let command = as_root(if root { &target.user } else { "root" }, &argv);
        match run(session, &command, &[], most()).await.ended {
            Ended::Code(0) => {}
            Ended::Lost => return Err(broken()),
            Ended::Code(_) | Ended::Missing => found.push(ReasonCode::RuntimeMissing),
        }
    }
    Ok(found)
}
