//! Commands that go on after the run that began them died: `docker` and Compose are processes of
//! their own, and what they are still about to make would come true behind the back of whoever takes
//! the work up. Rule: a command is known by a mark in its environment and by its arguments, not by a
//! number that another process may have by now, and two never work on one project.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use domain::code::Code;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use crate::{
    error::{Effect, ProviderError},
    work::MARK,
};

/// The option that names the project, and is followed by its name.
pub(super) const PROJECT: &str = "--project-name";

const PAUSE: Duration = Duration::from_millis(20);

/// What the mark says: a project of an account has one place on this machine.
pub(super) fn mark(work_dir: &Path, project: &str) -> PathBuf {
    let place = work_dir.join(project);
    std::path::absolute(&place).unwrap_or(place)
}

/// Waits until no command works on a project. What a process that is dead left is killed; what this
/// one began ends by itself, or was killed when its run ended. Whether any had to be killed.
///
/// # Errors
/// `PROVIDER_LOCKED` when there is one still after `within`.
pub(super) async fn ended(work_dir: &Path, project: &str, within: Duration) -> Result<bool, ProviderError> {
    let deadline = Instant::now() + within;
    let mut any = false;
    loop {
        let (marked, name) = (mark(work_dir, project), project.to_owned());
        let looked = spawn_blocking(move || {
            let found = commands(&marked, &name);
            let killed = orphans(&found).into_iter().filter(|pid| killed(*pid, &marked)).count();
            (found.len(), killed)
        });
        let (found, killed) = looked.await.map_err(|error| {
            let message = "Whether an earlier run is still at work on the stack is not known.";
            ProviderError::new(Code::ProviderLocked, message).with_effect(Effect::None).with_source(error)
        })?;
        any |= killed > 0;
        if found == 0 {
            return Ok(any);
        }
        if Instant::now() >= deadline {
            let message = "An earlier run is still at work on the stack.";
            return Err(ProviderError::new(Code::ProviderLocked, message).with_effect(Effect::None));
        }
        sleep(PAUSE).await;
    }
}

/// The commands at work on a project, each with its parent. `ssh`, which a command may have started
/// and others share, is none.
fn commands(mark: &Path, project: &str) -> HashMap<i32, i32> {
    let Ok(all) = fs::read_dir("/proc") else { return HashMap::new() };
    all.filter_map(|it| {
        let pid = it.ok()?.file_name().to_str()?.parse().ok()?;
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<_> = words.split(|byte| *byte == 0).collect();
        let named = words.windows(2).any(|two| two == [PROJECT.as_bytes(), project.as_bytes()]);
        if named && is_marked(pid, mark) { Some((pid, parent(pid)?)) } else { None }
    })
    .collect()
}

fn is_marked(pid: i32, mark: &Path) -> bool {
    let wanted = format!("{MARK}={}", mark.display());
    // Those of other accounts cannot be read, and are none of ours.
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes()))
}

/// The fourth field (`proc_pid_stat(5)`), after a name in brackets that may hold anything.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Those that descend from no run of this process.
fn orphans(found: &HashMap<i32, i32>) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let is_orphan = |pid: &i32| {
        let mut at = *pid;
        // Longer than any of them is deep: numbers may be given anew while they are read.
        for _ in 0..8 {
            match found.get(&at) {
                Some(parent) if *parent == own => return false,
                Some(parent) => at = *parent,
                None => return true,
            }
        }
        true
    };
    found.keys().copied().filter(is_orphan).collect()
}

/// Kills what has this number only if it is the command still.
fn killed(pid: i32, mark: &Path) -> bool {
    let Some(raw) = Pid::from_raw(pid) else { return false };
    let Ok(held) = pidfd_open(raw, PidfdFlags::empty()) else { return false };
    is_marked(pid, mark) && pidfd_send_signal(held, Signal::KILL).is_ok()
}
