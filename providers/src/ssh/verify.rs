//! Waits for SSH and checks readiness, by the system's `ssh`. Rule: strict host key from the first
//! contact on, fixed commands only, nothing of the user's own configuration or agent, and nothing
//! without a deadline.

use std::{
    fs, io,
    net::IpAddr,
    num::NonZeroUsize,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{code::Code, node::ReasonCode};
use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder};
use ssh_key::PublicKey;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

/// For one try to connect.
const CONNECT_MOST: Duration = Duration::from_secs(10);
/// For one probe, and for closing the connection.
const PROBE_MOST: Duration = Duration::from_secs(20);
/// An idle connection ends by itself, should this process be killed.
const IDLE_SECONDS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(59);
/// A socket's path has at most 107 bytes, and `ssh` needs some 45 below the directory.
const CONTROL_PATH_MOST: usize = 60;
/// The name under which the pinned key stands in the known_hosts file, whatever the address.
const ALIAS: &str = "hangar-node";

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
    /// A directory for the known_hosts file, made if it is missing; the file is there only while
    /// it is used, and no two machines share one.
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
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Code::ProvisionSshUnreachable, message)
    }
}

/// Whether the `ssh` command is there; the error says what to install.
///
/// # Errors
/// One sentence for people.
pub fn ssh_available() -> Result<(), String> {
    let missing = || MISSING.to_owned();
    let output = std::process::Command::new("ssh").arg("-V").output().map_err(|_| missing())?;
    if output.status.success() { Ok(()) } else { Err(missing()) }
}

const MISSING: &str = "The ssh command is missing here (Debian: apt-get install openssh-client).";

/// Waits up to `within` for SSH with the pinned host key and for cloud-init, then runs the
/// readiness probes of the base profile. Empty: nothing speaks against the machine.
///
/// # Errors
/// `PROVISION_SSH_UNREACHABLE` when it does not answer in time, `PROVISION_HOST_KEY_MISMATCH` at
/// once, `PROVISION_SCRIPT_FAILED` and `PROVISION_TIMEOUT` for cloud-init, `PROVISION_NOT_READY`
/// when the target itself cannot be used.
pub async fn verify(target: &SshTarget, within: Duration) -> Result<Vec<ReasonCode>, SshFailure> {
    let deadline = Instant::now() + within;
    let place = Place::prepare(target)?;
    let mut pause = Duration::from_millis(200);
    loop {
        let trouble = match place.connect(target, deadline).await {
            Ok(session) => {
                let outcome = probe(&session, target, deadline).await;
                // It may be gone already; then there is nothing to close.
                let _ = timeout(PROBE_MOST, session.close()).await;
                match outcome {
                    Ok(reasons) => return Ok(reasons),
                    Err(trouble) => trouble,
                }
            }
            Err(trouble) => trouble,
        };
        let failure = match trouble {
            Trouble::Final(failure) => return Err(failure),
            Trouble::Passing(failure) => failure,
        };
        if Instant::now() + pause >= deadline {
            return Err(failure);
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_secs(2));
    }
}

/// What keeps a try from ending well.
enum Trouble {
    /// Another try may end well: the machine is still coming up.
    Passing(SshFailure),
    Final(SshFailure),
}

/// The files of one verification; gone when dropped.
struct Place {
    config: PathBuf,
    control: TempDir,
    _files: TempDir,
}

impl Place {
    fn prepare(target: &SshTarget) -> Result<Self, SshFailure> {
        let unusable = |what: &str| SshFailure::new(Code::ProvisionNotReady, format!("The {what} cannot be used."));
        if !is_host(&target.host) {
            return Err(unusable("machine's address"));
        }
        if target.port == 0 {
            return Err(unusable("SSH port"));
        }
        let user = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if target.user.is_empty() || target.user.starts_with('-') || !target.user.bytes().all(user) {
            return Err(unusable("SSH user"));
        }
        let key = PublicKey::from_openssh(target.host_key_public.trim()).and_then(|mut key| {
            key.set_comment("");
            key.to_openssh()
        });
        let key = key.map_err(|_| unusable("pinned host key"))?;
        Self::write(target, &key).map_err(|error| {
            tracing::warn!(%error, "the files for an SSH connection cannot be written");
            unusable("directory for SSH files")
        })
    }

    fn write(target: &SshTarget, key: &str) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&target.known_hosts_dir)?;
        let files = TempDir::with_prefix_in("ssh-", &target.known_hosts_dir)?;
        let known_hosts = files.path().join("known_hosts");
        fs::write(&known_hosts, format!("{ALIAS} {}\n", key.trim()))?;
        let config = files.path().join("config");
        let private_key = std::path::absolute(&target.private_key_path)?;
        let known_hosts = std::path::absolute(known_hosts)?;
        fs::write(
            &config,
            format!(
                "Host *\nHostKeyAlias {ALIAS}\nUserKnownHostsFile {}\nGlobalKnownHostsFile none\n\
                 HostKeyAlgorithms ssh-ed25519\nUpdateHostKeys no\nCheckHostIP no\n\
                 IdentityFile {}\nIdentitiesOnly yes\nIdentityAgent none\n\
                 PreferredAuthentications publickey\nForwardAgent no\nForwardX11 no\n\
                 ServerAliveInterval 5\nServerAliveCountMax 2\n",
                quoted(&known_hosts)?,
                quoted(&private_key)?,
            ),
        )?;
        let temporary = std::env::temp_dir();
        let short = temporary.as_os_str().len() <= CONTROL_PATH_MOST;
        let control = TempDir::with_prefix_in("hg-", if short { &temporary } else { Path::new("/tmp") })?;
        Ok(Self { config: std::path::absolute(config)?, control, _files: files })
    }

    async fn connect(&self, target: &SshTarget, deadline: Instant) -> Result<Session, Trouble> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut builder = SessionBuilder::default();
        builder
            .user(target.user.clone())
            .port(target.port)
            .known_hosts_check(KnownHosts::Strict)
            .config_file(&self.config)
            .control_directory(self.control.path())
            .control_persist(ControlPersist::IdleFor(IDLE_SECONDS))
            // Whole seconds, and 0 would mean for ever.
            .connect_timeout(left.min(CONNECT_MOST).max(Duration::from_secs(1)));
        match timeout(left, builder.connect(&target.host)).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(error)) => Err(connect_trouble(&error)),
            Err(_) => Err(Trouble::Final(SshFailure::unreachable("SSH did not answer by the deadline."))),
        }
    }
}

/// What `ssh` says, by the texts that OpenSSH 7 to 10 write.
fn connect_trouble(error: &openssh::Error) -> Trouble {
    let openssh::Error::Connect(source) = error else {
        return Trouble::Passing(SshFailure::unreachable("The SSH connection broke off."));
    };
    if source.kind() == io::ErrorKind::NotFound {
        return Trouble::Final(SshFailure::unreachable(MISSING));
    }
    let text = source.to_string();
    let says = |part: &str| text.contains(part);
    if says("REMOTE HOST IDENTIFICATION HAS CHANGED")
        || says("Host key verification failed")
        || says("host key is known for")
        || says("no matching host key type found")
    {
        let message = "The machine shows another host key than the one that was planted.";
        return Trouble::Final(SshFailure::new(Code::ProvisionHostKeyMismatch, message));
    }
    let message = if says("Permission denied") {
        "SSH answers, but refuses the managed key for this user."
    } else {
        "SSH does not answer."
    };
    Trouble::Passing(SshFailure::unreachable(message))
}

/// What a command ended with.
enum Ended {
    Code(i32),
    /// The machine does not have it, or does not let us.
    Missing,
    /// The connection broke, or the time was over.
    Lost,
}

async fn run(session: &Session, command: &str, within: Duration) -> Ended {
    match timeout(within, session.raw_command(command).output()).await {
        Ok(Ok(output)) => match output.status.code() {
            Some(126 | 127) => Ended::Missing,
            Some(code) => Ended::Code(code),
            None => Ended::Lost,
        },
        // 127 comes as this error.
        Ok(Err(openssh::Error::Remote(source))) if source.kind() == io::ErrorKind::NotFound => Ended::Missing,
        Ok(Err(_)) | Err(_) => Ended::Lost,
    }
}

async fn probe(session: &Session, target: &SshTarget, deadline: Instant) -> Result<Vec<ReasonCode>, Trouble> {
    let left = || deadline.saturating_duration_since(Instant::now());
    // A local time-out would leave the remote command running.
    let wait = format!("timeout -k 5 {} cloud-init status --wait", left().as_secs().max(1));
    match run(session, &wait, left()).await {
        // 2: done, with errors that cloud-init recovered from.
        Ended::Code(0 | 2) | Ended::Missing => {}
        Ended::Code(124 | 137) => return Err(cloud_init_late()),
        Ended::Code(_) => {
            let message = "cloud-init ended in error on the machine.";
            return Err(Trouble::Final(SshFailure::new(Code::ProvisionScriptFailed, message)));
        }
        Ended::Lost if left().is_zero() => return Err(cloud_init_late()),
        // User data may ask for a reboot.
        Ended::Lost => return Err(Trouble::Passing(SshFailure::unreachable("The SSH connection broke off."))),
    }
    let mut found = Vec::new();
    match run(session, "true", left().min(PROBE_MOST)).await {
        Ended::Code(0) => {}
        Ended::Lost => return Err(Trouble::Passing(SshFailure::unreachable("The SSH connection broke off."))),
        Ended::Code(_) | Ended::Missing => found.push(ReasonCode::NodeUnreachable),
    }
    if target.user != "root" && !matches!(run(session, "sudo -n true", left().min(PROBE_MOST)).await, Ended::Code(0)) {
        found.push(ReasonCode::SudoUnavailable);
    }
    Ok(found)
}

fn cloud_init_late() -> Trouble {
    let message = "cloud-init was not done on the machine by the deadline.";
    Trouble::Final(SshFailure::new(Code::ProvisionTimeout, message))
}

/// There is no `--` before the destination of `ssh`, so nothing else may get there.
fn is_host(host: &str) -> bool {
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    host.parse::<IpAddr>().is_ok()
        || ((1..=253).contains(&host.len()) && !host.starts_with(['-', '.']) && host.bytes().all(name))
}

/// A path as `ssh`'s configuration takes it.
fn quoted(path: &Path) -> io::Result<String> {
    let text = path.to_str().filter(|text| !text.contains(['"', '\\', '\n', '$']));
    let text = text.ok_or_else(|| io::Error::other("the path has characters that ssh's configuration cannot hold"))?;
    Ok(format!("\"{}\"", text.replace('%', "%%")))
}
