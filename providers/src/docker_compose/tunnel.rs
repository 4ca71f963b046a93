//! Reaches an engine on another machine through `ssh`, as the `docker` command does it. Rule: it is
//! that command which logs in, so that Compose and Hangar's own reads know one set of keys and one
//! set of hosts.

use std::{io, os::unix::fs::PermissionsExt as _, process::Stdio};

use tempfile::TempDir;
use tokio::{
    io::{AsyncWriteExt as _, copy},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use super::{command, settings::Host};

/// A socket of this machine behind which is the engine, as long as this lives.
pub(super) struct Tunnel {
    folder: TempDir,
    task: JoinHandle<()>,
}

impl Tunnel {
    pub(super) fn open(host: &Host) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("hangar-engine-").tempdir()?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700))?;
        let listener = UnixListener::bind(folder.path().join("socket"))?;
        let host = host.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let host = host.clone();
                tokio::spawn(async move {
                    if let Err(error) = carried(&host, stream).await {
                        tracing::debug!(%error, "a connection to the engine broke");
                    }
                });
            }
        });
        Ok(Self { folder, task })
    }

    pub(super) fn path(&self) -> String {
        self.folder.path().join("socket").to_string_lossy().into_owned()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carried(host: &Host, mut stream: UnixStream) -> io::Result<()> {
    let mut child = command::docker(host)
        .args(["system", "dial-stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (Some(mut to), Some(mut from)) = (child.stdin.take(), child.stdout.take()) else { return Ok(()) };
    let (mut read, mut write) = stream.split();
    let there = async {
        copy(&mut read, &mut to).await?;
        to.shutdown().await
    };
    let back = async {
        copy(&mut from, &mut write).await?;
        write.shutdown().await
    };
    // The engine's end ends it: a request may be finished long before its answer.
    tokio::pin!(there);
    tokio::select! {
        ended = back => ended,
        failed = async { match (&mut there).await { Ok(()) => std::future::pending().await, failed => failed } } => failed,
    }
}
