//! Reaches an engine on another machine through `ssh`, as the `docker` command does it. Rule: it is
//! that command which logs in, so that Compose and Hangar's own reads know one set of keys and one
//! set of hosts; a connection that its user has closed ends on both machines; and no more log in at
//! once than a machine lets in.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::{Either, select};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest, copy},
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::{
    command,
    settings::{Host, SOCKET_PATH_MOST},
};

/// What is kept of what a login says: its end.
const WORDS_MOST: usize = 4 * 1024;

/// How long the rest of a login's words is waited for. A connection that `ssh` keeps for others may
/// hold the pipe open for ever.
const WORDS_WAIT: Duration = Duration::from_secs(1);

/// How many may be logging in at a machine at once. From ten on, unless it is set otherwise, its server
/// turns some away (`MaxStartups`, sshd_config(5)); Compose, whose logins are its own, needs a few.
const LOGINS_MOST: usize = 6;

/// The places of those that are logging in at the machine of an engine, whatever account it is.
fn logins(host: &Host) -> Arc<Semaphore> {
    static MACHINES: Mutex<BTreeMap<String, Arc<Semaphore>>> = Mutex::new(BTreeMap::new());
    let machine = match host {
        Host::Ssh { host, port, .. } => format!("{host} {}", port.unwrap_or_default()),
        Host::Unix { .. } | Host::Tcp { .. } => String::new(),
    };
    let mut machines = MACHINES.lock().unwrap_or_else(PoisonError::into_inner);
    machines.entry(machine).or_insert_with(|| Arc::new(Semaphore::new(LOGINS_MOST))).clone()
}

/// What the last login said that came to nothing: why the engine could not be reached.
#[derive(Clone, Default)]
pub(super) struct Words(Arc<Mutex<Option<String>>>);

impl Words {
    pub(super) fn text(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, text: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

/// A socket of this machine behind which is the engine, as long as this lives.
pub(super) struct Tunnel {
    folder: TempDir,
    task: JoinHandle<()>,
}

impl Tunnel {
    /// `drain` is how long the engine may go on with a connection that its user has closed.
    pub(super) fn open(host: &Host, work_dir: &Path, drain: Duration, words: Words) -> io::Result<Self> {
        let folder = folder(work_dir)?;
        let listener = UnixListener::bind(folder.path().join("socket"))?;
        let task = tokio::spawn(all_carried(host.clone(), listener, drain, words));
        Ok(Self { folder, task })
    }

    pub(super) fn path(&self) -> String {
        self.folder.path().join("socket").to_string_lossy().into_owned()
    }
}

impl Drop for Tunnel {
    /// With the task go its connections, and with them their commands.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where what a killed process left is taken away by the next one, if a socket's path may be so long.
fn folder(work_dir: &Path) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.permissions(fs::Permissions::from_mode(0o700));
    let place = std::path::absolute(work_dir)?;
    if place.as_os_str().len() > SOCKET_PATH_MOST - "/engine-123456/socket".len() {
        return builder.prefix("hangar-engine-").tempdir();
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&place)?;
    builder.prefix("engine-").tempdir_in(place)
}

async fn all_carried(host: Host, listener: UnixListener, drain: Duration, words: Words) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { break };
                let (host, words) = (host.clone(), words.clone());
                connections.spawn(async move {
                    if let Err(error) = carried(&host, stream, drain, &words).await {
                        tracing::debug!(%error, "a connection to the engine broke");
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
    // Nobody new is let in; who is there goes on.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn carried(host: &Host, mut stream: UnixStream, drain: Duration, words: &Words) -> io::Result<()> {
    let login = logins(host).acquire_owned().await.map_err(io::Error::other)?;
    // Whoever had to wait for it may have given up.
    if stream.ready(Interest::WRITABLE).await?.is_write_closed() {
        return Ok(());
    }
    let mut child = command::docker(host)
        .args(["system", "dial-stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (Some(mut to), Some(mut from), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Ok(());
    };
    let (mut read, mut write) = stream.split();
    // The pipe goes with this future: closing it is what ends the command, the login and the
    // engine's end of the connection.
    let there = async move { copy(&mut read, &mut to).await.map(drop) };
    let back = async move {
        let said = Mutex::new(Vec::new());
        let copied = {
            let listened = std::pin::pin!(listened(errors, &said));
            let copied = std::pin::pin!(returned(&mut from, &mut write, login));
            match select(copied, listened).await {
                Either::Left((copied, listened)) => {
                    drop(timeout(WORDS_WAIT, listened).await);
                    copied?
                }
                Either::Right(((), copied)) => copied.await?,
            }
        };
        let said = said.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Before the other end learns that nothing comes.
        words.note((copied == 0).then(|| String::from_utf8_lossy(&said).into_owned()));
        write.shutdown().await
    };
    let mut back = std::pin::pin!(back);
    tokio::select! {
        ended = &mut back => ended,
        sent = there => {
            let ended = timeout(drain, back).await.unwrap_or(Ok(()));
            sent.and(ended)
        }
    }
}

/// Carries what comes back, and tells how much it was. With the first of it whoever logged in is in.
async fn returned(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    login: OwnedSemaphorePermit,
) -> io::Result<u64> {
    let mut first = [0; 4096];
    let read = from.read(&mut first).await?;
    drop(login);
    to.write_all(&first[..read]).await?;
    let rest = if read == 0 { 0 } else { copy(from, to).await? };
    Ok(read as u64 + rest)
}

/// Keeps the end of what comes out of a pipe, all of which is read.
async fn listened(mut pipe: impl AsyncRead + Unpin, said: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(&buffer[..read]);
        let over = said.len().saturating_sub(WORDS_MOST);
        said.drain(..over);
    }
}
