//! Runs `docker compose`. Rule: fixed words and checked names make its arguments, no shell reads
//! them, and its environment holds nothing but what it needs to find itself and the engine.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use domain::code::Code;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    time::timeout,
};

use super::{errors::command_error, former, settings::Host};
use crate::{
    error::{Effect, ProviderError},
    ssh::mask,
    work::MARK,
};

/// What is kept of what a command prints: its end.
const PRINTED_MOST: usize = 16 * 1024;

/// The oldest Compose that has every option that is used here.
pub(super) const OLDEST: (u32, u32) = (2, 20);

const GUIDANCE: &str = "Hangar needs Docker Compose 2.20 or newer as a plugin of the docker command. On Debian 12, \
    whose own is version 1, take the package docker-compose of Debian 13 or newer: put its \
    /usr/libexec/docker/cli-plugins/docker-compose into /usr/local/lib/docker/cli-plugins.";

/// Variables that are passed on: where programs are, and where `docker` and `ssh` find their settings
/// and keys.
const PASSED: [&str; 5] = ["PATH", "HOME", "DOCKER_CONFIG", "SSH_AUTH_SOCK", "TMPDIR"];

/// The command at one engine.
#[derive(Debug)]
pub(super) struct Compose {
    host: Host,
    work_dir: PathBuf,
}

/// One call.
pub(super) struct Call<'a> {
    pub(super) project: &'a str,
    /// The folder of the files that were written for it; without them the project is known by its
    /// labels.
    pub(super) files: Option<&'a Path>,
    pub(super) words: &'a [&'a str],
    /// What must not be seen of what it prints; `None` when that is not known, and then nothing of
    /// it is kept.
    pub(super) secrets: Option<&'a [&'a str]>,
    pub(super) within: Duration,
}

/// What a command left.
struct Ended {
    exit: Option<i32>,
    stdout: String,
    stderr: String,
}

/// What a command printed, for the log.
#[derive(Debug, thiserror::Error)]
#[error("docker compose printed: {0}")]
struct Printed(String);

impl Compose {
    pub(super) fn new(host: &Host, work_dir: PathBuf) -> Self {
        Self { host: host.clone(), work_dir }
    }

    /// Waits until nothing that was begun before works on a project; whether it had to be killed.
    ///
    /// # Errors
    /// `PROVIDER_LOCKED` when something still does after `within`.
    pub(super) async fn alone(&self, project: &str, within: Duration) -> Result<bool, ProviderError> {
        former::ended(&self.work_dir, project, within).await
    }

    pub(super) async fn run(&self, call: &Call<'_>) -> Result<(), ProviderError> {
        self.alone(call.project, call.within).await?;
        let mut command = docker(&self.host);
        command.env(MARK, former::mark(&self.work_dir, call.project));
        command.args(["compose", "--ansi", "never", "--progress", "quiet", former::PROJECT, call.project]);
        if let Some(folder) = call.files {
            command.arg("--project-directory").arg(folder);
            for name in [super::files::BASE, super::files::OVERRIDE] {
                command.arg("--file").arg(folder.join(name));
            }
            command.arg("--env-file").arg(folder.join(super::files::ENV));
        }
        command.args(call.words);
        let ended = ended(command, call.within).await?;
        if ended.exit == Some(0) {
            return Ok(());
        }
        let error = command_error(&ended.stderr, ended.exit);
        Err(match call.secrets {
            Some(secrets) => error.with_source(Printed(mask(&ended.stderr, secrets))),
            None => error,
        })
    }

    /// Its version, when it may be used.
    ///
    /// # Errors
    /// `PROVIDER_ACQUISITION_UNAVAILABLE` with what to do when there is none, or too old a one.
    pub(super) async fn version(&self, within: Duration) -> Result<String, ProviderError> {
        let refused =
            |what: &str| ProviderError::new(Code::ProviderAcquisitionUnavailable, format!("{what} {GUIDANCE}"));
        let mut command = docker(&self.host);
        command.args(["compose", "version", "--short"]);
        let ended = ended(command, within).await?;
        if ended.exit != Some(0) {
            return Err(refused("The docker command knows no Compose."));
        }
        let version = ended.stdout.trim().trim_start_matches('v');
        let fine = |c: char| c.is_ascii_alphanumeric() || ".+-~".contains(c);
        let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(major), Some(minor)) if (major, minor) >= OLDEST && version.chars().all(fine) => {
                Ok(version.chars().take(40).collect())
            }
            (Some(_), Some(_)) => Err(refused("The docker command's Compose is too old.")),
            _ => Err(refused("The docker command's Compose does not tell its version.")),
        }
    }
}

/// `docker` at an engine, with the environment that it gets.
pub(super) fn docker(host: &Host) -> Command {
    let mut command = Command::new("docker");
    command.env_clear().env("DOCKER_HOST", host.variable());
    for name in PASSED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // Compose looks for files in the working folder and all above it.
    command.current_dir("/").kill_on_drop(true).process_group(0);
    command
}

/// Kills a command with whatever it started, unless it ended: `docker` runs Compose as a child of
/// its own.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            tracing::debug!(%error, "a command was not killed");
        }
    }
}

async fn ended(mut command: Command, within: Duration) -> Result<Ended, ProviderError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let message = format!("The docker command is not on this machine. {GUIDANCE}");
            ProviderError::new(Code::ProviderAcquisitionUnavailable, message)
        }
        _ => {
            let message = "The docker command does not start on this machine.";
            ProviderError::new(Code::ProviderAcquisitionUnavailable, message).with_source(error)
        }
    })?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let mut group = Group(pid);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async { tokio::join!(child.wait(), end_of(stdout), end_of(stderr)) };
    let Ok((status, stdout, stderr)) = timeout(within, work).await else {
        let message = "Docker Compose did not end in time and was killed.";
        return Err(ProviderError::new(Code::ProviderAcquisitionTimeout, message).with_effect(Effect::Unknown));
    };
    group.0 = None;
    let status = status.map_err(|error| {
        let message = "How Docker Compose ended is not known.";
        ProviderError::new(Code::ProviderApiError, message).with_effect(Effect::Unknown).with_source(error)
    })?;
    Ok(Ended { exit: status.code(), stdout, stderr })
}

/// The end of what comes out of a pipe, all of which is read. Where something was cut off it begins
/// with a whole line: half a secret would not be found when it is masked.
async fn end_of(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut kept: VecDeque<u8> = VecDeque::new();
    let mut cut = false;
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        kept.extend(&buffer[..read]);
        let over = kept.len().saturating_sub(PRINTED_MOST);
        cut |= over > 0;
        kept.drain(..over);
    }
    if cut {
        let line = kept.iter().position(|byte| *byte == b'\n').map_or(kept.len(), |at| at + 1);
        kept.drain(..line);
    }
    String::from_utf8_lossy(kept.make_contiguous()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{PRINTED_MOST, end_of};
    use crate::ssh::mask;

    #[tokio::test]
    async fn no_half_of_a_secret_is_left_where_it_is_cut() {
        let secret = "hunter22-of-the-node";
        for shift in 0..secret.len() {
            let text = format!("first\nPASSWORD={secret}\n{}\nlast\n", "x".repeat(PRINTED_MOST - 10 - shift));
            let kept = mask(&end_of(Some(text.as_bytes())).await, &[secret]);
            assert!(!kept.contains("node") && kept.ends_with("x\nlast\n"), "{shift}: {}", &kept[..40]);
        }
        assert_eq!(end_of(Some(&b"a\nb"[..])).await, "a\nb");
        assert_eq!(end_of(Some(&vec![b'x'; 3 * PRINTED_MOST][..])).await, "");
    }
}
