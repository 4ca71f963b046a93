//! The connection to one machine, by the system's `ssh`, and the commands that go over it. Rule:
//! strict host key from the first contact on, nothing of the user's own configuration or agent,
//! and nothing without a deadline or a bound.

use std::{
    fs, io,
    net::IpAddr,
    num::NonZeroUsize,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use domain::code::Code;
use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder, Stdio};
use ssh_key::PublicKey;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep, timeout},
};

/// For one try to connect.
const CONNECT_MOST: Duration = Duration::from_secs(10);
/// For one probe, and for closing the connection.
pub(super) const PROBE_MOST: Duration = Duration::from_secs(20);
/// An idle connection ends by itself, should this process be killed.
const IDLE_SECONDS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(59);
/// A socket's path has at most 107 bytes, and `ssh` needs some 45 below the directory.
const CONTROL_PATH_MOST: usize = 60;
/// The name under which the pinned key stands in the known_hosts file, whatever the address.
const ALIAS: &str = "hangar-node";

/// The most that is read of what a command prints, so that a machine cannot fill our memory.
const ANSWER_MOST: u64 = 64 * 1024;

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

/// Why work on a machine could not be done.
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

    pub(super) fn unreachable(message: impl Into<String>) -> Self {
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

/// What keeps a try from ending well.
pub(super) enum Trouble {
    /// Another try may end well: the machine is still coming up.
    Passing(SshFailure),
    Final(SshFailure),
}

/// The files of one connection; gone when dropped.
pub(super) struct Place {
    config: PathBuf,
    control: TempDir,
    _files: TempDir,
}

impl Place {
    pub(super) fn prepare(target: &SshTarget) -> Result<Self, SshFailure> {
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

    pub(super) async fn connect(&self, target: &SshTarget, deadline: Instant) -> Result<Session, Trouble> {
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

/// Ends a connection; it may be gone already, and then there is nothing to end.
pub(super) async fn close(session: Session) {
    let _ = timeout(PROBE_MOST, session.close()).await;
}

/// The connection broke in the middle, as it does when a machine restarts.
pub(super) fn broken() -> Trouble {
    Trouble::Passing(SshFailure::unreachable("The SSH connection broke off."))
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

/// The tries to reach a machine, with growing pauses, up to a deadline.
pub(super) struct Tries {
    deadline: Instant,
    pause: Duration,
}

impl Tries {
    pub(super) fn until(deadline: Instant) -> Self {
        Self { deadline, pause: Duration::from_millis(200) }
    }

    /// Pauses before the next try, or says why there is none.
    pub(super) async fn again(&mut self, trouble: Trouble) -> Result<(), SshFailure> {
        let failure = match trouble {
            Trouble::Final(failure) => return Err(failure),
            Trouble::Passing(failure) => failure,
        };
        if Instant::now() + self.pause >= self.deadline {
            return Err(failure);
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 3 / 2).min(Duration::from_secs(2));
        Ok(())
    }
}

/// What a command ended with.
pub(super) struct Answer {
    pub(super) ended: Ended,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

pub(super) enum Ended {
    Code(i32),
    /// The machine does not have it, or does not let us.
    Missing,
    /// The connection broke, or the time was over.
    Lost,
}

/// Runs a command over the connection, gives it `input`, and reads a bounded answer.
pub(super) async fn run(session: &Session, command: &str, input: &[u8], within: Duration) -> Answer {
    let lost = || Answer { ended: Ended::Lost, stdout: Vec::new(), stderr: Vec::new() };
    match timeout(within, conversation(session, command, input)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => lost(),
    }
}

async fn conversation(session: &Session, command: &str, input: &[u8]) -> Result<Answer, openssh::Error> {
    let mut child = session
        .raw_command(command)
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .await?;
    let (stdin, stdout, stderr) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
    let fed = async move {
        if let Some(mut stdin) = stdin {
            // A command may end without having read it all; its answer says what is the matter.
            let _ = stdin.write_all(input).await;
            let _ = stdin.shutdown().await;
        }
    };
    let ((), stdout, stderr) = tokio::join!(fed, bounded(stdout), bounded(stderr));
    let ended = match child.wait().await {
        Ok(status) => match status.code() {
            Some(126) => Ended::Missing,
            Some(code) => Ended::Code(code),
            None => Ended::Lost,
        },
        // 127 comes as this error.
        Err(openssh::Error::Remote(source)) if source.kind() == io::ErrorKind::NotFound => Ended::Missing,
        Err(_) => Ended::Lost,
    };
    Ok(Answer { ended, stdout, stderr })
}

async fn bounded(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut read = Vec::new();
    if let Some(from) = from {
        // What was read before a break is as good as any.
        let _ = from.take(ANSWER_MOST).read_to_end(&mut read).await;
    }
    read
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
