//! Reaches an engine on another machine through `ssh`, as the `docker` command does it. Rule: it is
//! that command which logs in, so that Compose and Hangar's own reads know one set of keys and one
//! set of hosts; and a connection that its user has closed ends on both machines.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::{Either, select};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::{command, settings::Host};

/// What is kept of what a login says: its end.
const WORDS_MOST: usize = 4 * 1024;

/// How long the rest of a login's words is waited for. A connection that `ssh` keeps for others may
/// hold the pipe open for ever.
const WORDS_WAIT: Duration = Duration::from_secs(1);

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
    pub(super) fn open(host: &Host, drain: Duration, words: Words) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("hangar-engine-").tempdir()?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700))?;
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
            let copied = std::pin::pin!(copy(&mut from, &mut write));
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
