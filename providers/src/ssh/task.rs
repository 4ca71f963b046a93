//! Work on a machine that survives Hangar: a script that is sent there, started once, detached
//! from the connection, bounded in time and output, and followed until its end. Rule: the same id
//! never runs twice, however often it is asked for and whatever breaks in between.
//!
//! What happens on the machine stands in `task.sh`; it goes there with each task.

use std::time::Duration;

use domain::code::Code;
use openssh::Session;
use tokio::time::{Instant, sleep};

use super::{
    connection::{Ended, PROBE_MOST, Place, SshFailure, SshTarget, Tries, Trouble, broken, close, run},
    quote::{REMOTE_PATH, as_root, shell_quoted},
};

/// The most bytes of a task's script.
pub const TASK_SCRIPT_MOST: usize = 256 * 1024;
/// How much is kept of the end of each output, in bytes.
pub const TAIL_MOST: usize = 10 * 1024;

const TOOL: &str = include_str!("task.sh");
/// Where tasks live on a machine.
const ROOT: &str = "/var/lib/hangar/tasks";
/// For sending a script and starting it.
const BEGIN_MOST: Duration = Duration::from_secs(60);
/// What the tool ends with when a task has not begun, which is no word on whether it will.
const NOT_STARTED: i32 = 75;
/// A look waits on the machine for the end, so that it is known at once; this long at most, so
/// that progress is seen.
const LOOK_MOST: u64 = 5;

/// Puts the tool and the script where they belong, whole or not at all, and starts it. A script
/// that began is left alone. Arguments: id, tool, bytes of the script, seconds, merged.
const BEGIN: &str = r#"set -eu
umask 077
here=$0/$1
mkdir -p "$here"
printf %s "$2" >"$here/tool.$$"
mv -f "$here/tool.$$" "$here/tool"
if [ ! -d "$here/started" ]; then
  cat >"$here/script.$$"
  [ "$(($(wc -c <"$here/script.$$")))" = "$3" ] || { rm -f "$here/script.$$"; echo "it arrived in part" >&2; exit 74; }
  mv -f "$here/script.$$" "$here/script"
fi
exec /bin/sh "$here/tool" start "$1" "$4" "$5""#;

/// A script for a machine.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteTask {
    /// Names it on the machine: 1 to 64 of `[a-z0-9_-]`. Another attempt needs another id.
    pub id: String,
    /// For a POSIX shell, run as root; up to [`TASK_SCRIPT_MOST`].
    pub script: String,
    /// After this long it is killed on the machine, with its process group; whole seconds.
    pub within: Duration,
    /// Whether what it writes to standard error goes with its standard output.
    pub merged: bool,
}

impl RemoteTask {
    /// A program with its arguments, both outputs apart. Nothing is interpreted by a shell.
    pub fn command(id: &str, argv: &[String], within: Duration) -> Self {
        Self { id: id.to_owned(), script: format!("{}\n", shell_quoted(argv)), within, merged: false }
    }

    fn check(&self) -> Result<(), SshFailure> {
        id_check(&self.id)?;
        if self.script.len() > TASK_SCRIPT_MOST {
            return Err(refusal("The script has more than 256 KiB."));
        }
        Ok(())
    }

    fn seconds(&self) -> u64 {
        self.within.as_secs().max(1)
    }
}

impl std::fmt::Debug for RemoteTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteTask").field("id", &self.id).field("within", &self.within).finish_non_exhaustive()
    }
}

/// The end of an output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tail {
    /// The last [`TAIL_MOST`] bytes; what is not UTF-8 is replaced.
    pub text: String,
    /// Whether something came before it.
    pub cut: bool,
}

impl Tail {
    fn of(bytes: &[u8], cut: bool) -> Self {
        // A cut goes through characters; what is left of one is none.
        let inside = |b: &&u8| cut && **b & 0b1100_0000 == 0b1000_0000;
        let skip = bytes.iter().take(3).take_while(inside).count();
        Self { text: String::from_utf8_lossy(bytes.get(skip..).unwrap_or_default()).into_owned(), cut }
    }
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnd {
    /// What the script ended with; 128 and the signal's number when it died by one. `None`: killed
    /// by its time limit, or with all its processes from outside.
    pub exit_code: Option<i32>,
    /// Whether its time limit killed it.
    pub timed_out: bool,
    /// Standard output; both outputs, where they were merged.
    pub stdout: Tail,
    /// Standard error; empty where the outputs were merged.
    pub stderr: Tail,
}

impl TaskEnd {
    /// Why this is no success, for a task that must end with 0: `PROVISION_TIMEOUT` or
    /// `PROVISION_SCRIPT_FAILED`.
    pub fn failure(&self) -> Option<SshFailure> {
        match self.exit_code {
            Some(0) => None,
            Some(code) => Some(refusal(format!("The script ended with exit code {code}."))),
            None if self.timed_out => {
                let message = "The script was not done by its time limit and was killed.";
                Some(SshFailure::new(Code::ProvisionTimeout, message))
            }
            None => Some(refusal("The script was killed on the machine.")),
        }
    }
}

/// Starts the task unless it was started before, and waits up to `within` for its end. It may be
/// called again with the same id, also by another process after this one died: the script runs
/// once. `progress` sees the standard output grow, every few seconds and at the end. What is known
/// of a task that has ended stays on the machine for 30 days, or until [`task_forget`].
///
/// # Errors
/// As [`ssh_wait`](super::ssh_wait); `PROVISION_TIMEOUT` when `within` is over while the task still
/// runs, and it goes on; `PROVISION_SCRIPT_FAILED` when it cannot be started, or was cut off by a
/// restart of the machine: then nobody knows how far it came, and it is not run again.
pub async fn task_run(
    target: &SshTarget,
    task: &RemoteTask,
    within: Duration,
    progress: &mut (dyn FnMut(&Tail) + Send),
) -> Result<TaskEnd, SshFailure> {
    task.check()?;
    let deadline = Instant::now() + within;
    let place = Place::prepare(target)?;
    let mut tries = Tries::until(deadline);
    let mut begun = false;
    loop {
        let outcome = match place.connect(target, deadline).await {
            Ok(session) => {
                let outcome = follow(&session, target, task, deadline, &mut begun, progress).await;
                close(session).await;
                outcome
            }
            Err(trouble) => Err(trouble),
        };
        match outcome {
            Ok(end) => return Ok(end),
            Err(trouble) => tries.again(trouble).await?,
        }
    }
}

/// Ends the task if it still runs, and removes what is left of it on the machine. No such task: the
/// same as removed.
///
/// # Errors
/// As [`ssh_wait`](super::ssh_wait), within a minute; `PROVISION_SCRIPT_FAILED` when it cannot be
/// removed.
pub async fn task_forget(target: &SshTarget, id: &str) -> Result<(), SshFailure> {
    id_check(id)?;
    let deadline = Instant::now() + BEGIN_MOST;
    let place = Place::prepare(target)?;
    // Without the tool it never began.
    let script =
        format!("PATH={REMOTE_PATH}; if [ -e \"$0/tool\" ]; then exec /bin/sh \"$0/tool\" forget; fi; rm -rf \"$0\"");
    let command = as_root(&target.user, &words(&["/bin/sh", "-c", &script, &format!("{ROOT}/{id}")]));
    let mut tries = Tries::until(deadline);
    loop {
        let trouble = match place.connect(target, deadline).await {
            Ok(session) => {
                let answer = run(&session, &command, &[], deadline.saturating_duration_since(Instant::now())).await;
                close(session).await;
                match answer.ended {
                    Ended::Code(0) => return Ok(()),
                    Ended::Code(_) | Ended::Missing => {
                        Trouble::Final(not_done(target, "cannot be removed from the machine", &answer.stderr))
                    }
                    Ended::Lost => broken(),
                }
            }
            Err(trouble) => trouble,
        };
        tries.again(trouble).await?;
    }
}

async fn follow(
    session: &Session,
    target: &SshTarget,
    task: &RemoteTask,
    deadline: Instant,
    begun: &mut bool,
    progress: &mut (dyn FnMut(&Tail) + Send),
) -> Result<TaskEnd, Trouble> {
    let left = || deadline.saturating_duration_since(Instant::now());
    if !*begun {
        begin(session, target, task, left().min(BEGIN_MOST)).await?;
        *begun = true;
    }
    let mut wait = 0;
    loop {
        // The first looks come sooner, as most tasks are short.
        wait = (wait + 1).min(LOOK_MOST);
        let view = look(session, target, &task.id, wait.min(left().as_secs()).max(1)).await?;
        progress(&view.stdout);
        match view.state {
            State::Running if left().is_zero() => {
                let message = "The task was not done by the deadline; it goes on on the machine.";
                return Err(Trouble::Final(SshFailure::new(Code::ProvisionTimeout, message)));
            }
            // Its wrapper may be between two states.
            State::Running => sleep(Duration::from_millis(10)).await,
            State::Ended { exit_code, timed_out } => {
                return Ok(TaskEnd { exit_code, timed_out, stdout: view.stdout, stderr: view.stderr });
            }
            State::Lost => {
                let message = "The machine restarted while the script ran; how far it came is unknown, so it is not \
                               run again by itself.";
                return Err(Trouble::Final(refusal(message)));
            }
            State::Gone => {
                return Err(Trouble::Final(refusal("What was known of the task is gone from the machine.")));
            }
        }
    }
}

async fn begin(session: &Session, target: &SshTarget, task: &RemoteTask, within: Duration) -> Result<(), Trouble> {
    let begin = format!("PATH={REMOTE_PATH}\nexport PATH\n{BEGIN}");
    let (size, seconds) = (task.script.len().to_string(), task.seconds().to_string());
    let merged = if task.merged { "1" } else { "0" };
    let argv = words(&["/bin/sh", "-c", &begin, ROOT, &task.id, TOOL, &size, &seconds, merged]);
    let answer = run(session, &as_root(&target.user, &argv), task.script.as_bytes(), within).await;
    match answer.ended {
        Ended::Code(0) => Ok(()),
        // It may begin yet: asked again, the tool finds that it did, or starts it.
        Ended::Code(NOT_STARTED) => {
            Err(Trouble::Passing(not_done(target, "has not started on the machine", &answer.stderr)))
        }
        Ended::Code(_) | Ended::Missing => {
            Err(Trouble::Final(not_done(target, "cannot be started on the machine", &answer.stderr)))
        }
        Ended::Lost => Err(broken()),
    }
}

/// What a look at a task finds.
struct View {
    state: State,
    stdout: Tail,
    stderr: Tail,
}

enum State {
    Running,
    Ended { exit_code: Option<i32>, timed_out: bool },
    Lost,
    Gone,
}

async fn look(session: &Session, target: &SshTarget, id: &str, wait: u64) -> Result<View, Trouble> {
    let (path, tool, wait_text) = (format!("PATH={REMOTE_PATH}"), format!("{ROOT}/{id}/tool"), wait.to_string());
    let command = as_root(&target.user, &words(&["env", &path, "/bin/sh", &tool, "look", &wait_text]));
    let answer = run(session, &command, &[], Duration::from_secs(wait) + PROBE_MOST).await;
    match (view(&answer.stdout), answer.ended) {
        (Some(view), Ended::Code(0)) => Ok(view),
        (_, Ended::Lost) => Err(broken()),
        // The tool is not there.
        (None, Ended::Missing | Ended::Code(2)) => {
            Ok(View { state: State::Gone, stdout: Tail::default(), stderr: Tail::default() })
        }
        (_, Ended::Code(_) | Ended::Missing) => {
            Err(Trouble::Passing(not_done(target, "cannot be looked at on the machine", &answer.stderr)))
        }
    }
}

/// Reads what the tool prints: a line of words, then both tails. A login shell may print before it.
fn view(bytes: &[u8]) -> Option<View> {
    const MARK: &[u8] = b"hangar-task ";
    let at = bytes.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let rest = bytes.get(at..)?;
    let end = rest.iter().position(|b| *b == b'\n')?;
    let line = std::str::from_utf8(rest.get(..end)?).ok()?;
    let fields: Vec<&str> = line.split(' ').collect();
    let [state, code, late, out_size, out_cut, err_size, err_cut] = fields[..] else { return None };
    let (out_size, err_size): (usize, usize) = (out_size.parse().ok()?, err_size.parse().ok()?);
    let body = rest.get(end + 1..)?;
    let state = match state {
        "running" => State::Running,
        "ended" => State::Ended { exit_code: code.parse().ok(), timed_out: late == "1" },
        "lost" => State::Lost,
        _ => State::Gone,
    };
    Some(View {
        state,
        stdout: Tail::of(body.get(..out_size)?, out_cut == "1"),
        stderr: Tail::of(body.get(out_size..out_size.checked_add(err_size)?)?, err_cut == "1"),
    })
}

fn id_check(id: &str) -> Result<(), SshFailure> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    if (1..=64).contains(&id.len()) && id.bytes().all(fits) {
        return Ok(());
    }
    Err(refusal("The task's id is not usable."))
}

fn refusal(message: impl Into<String>) -> SshFailure {
    SshFailure::new(Code::ProvisionScriptFailed, message)
}

/// With what the machine said last, which is for people.
fn not_done(target: &SshTarget, what: &str, stderr: &[u8]) -> SshFailure {
    let text = String::from_utf8_lossy(stderr);
    let said = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
    if target.user != "root" && said.starts_with("sudo:") {
        let message = "The SSH user may not become root without a password.";
        return SshFailure::new(Code::ProvisionNotReady, message);
    }
    if said.is_empty() {
        return refusal(format!("The task {what}."));
    }
    refusal(format!("The task {what}: {said}"))
}

fn words(argv: &[&str]) -> Vec<String> {
    argv.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_login_shell_prints_before_is_passed_over() {
        let said = b"Welcome!\nhangar-task ended 3 0 3 1 2 0\n\xa4beno";
        let view = view(said).unwrap();
        assert!(matches!(view.state, State::Ended { exit_code: Some(3), timed_out: false }));
        assert_eq!(view.stdout, Tail { text: "be".to_owned(), cut: true });
        assert_eq!(view.stderr, Tail { text: "no".to_owned(), cut: false });
    }

    #[test]
    fn half_an_answer_is_none() {
        for said in ["", "hangar-task ended 3 0", "hangar-task ended 3 0 9 0 0 0\nshort", "hangar-task \n"] {
            assert!(view(said.as_bytes()).is_none(), "{said}");
        }
    }

    #[test]
    fn what_ended_badly_has_its_code() {
        let end =
            |exit_code, timed_out| TaskEnd { exit_code, timed_out, stdout: Tail::default(), stderr: Tail::default() };
        assert_eq!(end(Some(0), false).failure(), None);
        assert_eq!(end(Some(3), false).failure().unwrap().code, Code::ProvisionScriptFailed);
        assert_eq!(end(None, true).failure().unwrap().code, Code::ProvisionTimeout);
        assert_eq!(end(None, false).failure().unwrap().code, Code::ProvisionScriptFailed);
    }

    #[test]
    fn ids_are_plain() {
        for id in ["job_018f-1", "a"] {
            id_check(id).unwrap();
        }
        for id in ["", "A", "a b", "../x", "a/b", "a.b", &"a".repeat(65)] {
            id_check(id).unwrap_err();
        }
    }
}
