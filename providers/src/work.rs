//! The folder for what is handed to vendors' tools, when it is taken over from a process that died.
//! Rule: what that one left there, lying or running, is gone before anything new begins.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable by which a tool's process is known that an adapter started: a folder of its account's,
/// or below it. Those of a blueprint never begin with `HANGAR_`.
pub(crate) const MARK: &str = "HANGAR_WORK_DIR";

/// How often it is looked for tools at most, and the time in between.
const MOST_LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// For how long the end of what was killed is waited for.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// Ends what tools an earlier process left running for the folders below `work`, and empties `work`.
///
/// A tool outlives whoever started it when that one is killed, and would go on beside whatever takes
/// its place. Blocks for moments.
///
/// # Errors
/// When the folder cannot be emptied or made.
pub fn work_taken_over(work: &Path) -> io::Result<()> {
    if !work.exists() {
        return fs::DirBuilder::new().recursive(true).mode(0o700).create(work);
    }
    // What is just being started tells nothing about itself for a moment: two looks must find nothing.
    let mut quiet = 0;
    for _ in 0..MOST_LOOKS {
        quiet = if tools_ended(work) == 0 { quiet + 1 } else { 0 };
        if quiet == 2 {
            break;
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    match fs::remove_dir_all(work) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(work)
}

fn tools_ended(work: &Path) -> usize {
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let own = std::process::id().cast_signed();
    let numbers = processes.filter_map(|it| it.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let mut killed = Vec::new();
    for number in numbers.filter(|number| *number != own) {
        let Some(pid) = Pid::from_raw(number) else { continue };
        // Held before it is looked at: its number cannot become another's.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        if !works_in(number, work) {
            continue;
        }
        match pidfd_send_signal(&process, Signal::KILL) {
            Ok(()) => killed.push(number),
            Err(error) => tracing::warn!(pid = number, %error, "a command of an earlier run could not be ended"),
        }
    }
    let begun = Instant::now();
    while killed.iter().any(|number| works_in(*number, work)) {
        if begun.elapsed() > ENDED_WITHIN {
            tracing::warn!("a command of an earlier run was killed and has not ended yet");
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    if !killed.is_empty() {
        tracing::info!(count = killed.len(), "commands that an earlier run left were ended");
    }
    killed.len()
}

/// Whether a process was started for a folder below `work`. One that has ended says nothing.
fn works_in(number: i32, work: &Path) -> bool {
    let environment = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|entry| {
        let value = entry.strip_prefix(MARK.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        value.is_some_and(|value| Path::new(OsStr::from_bytes(value)).starts_with(work))
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn tool(folder: &Path) -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000").env(MARK, folder).stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn what_an_earlier_process_left_is_gone_and_anothers_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (folder.path().join("work"), folder.path().join("work-1"));
        for at in [&own, &other] {
            fs::create_dir_all(at.join("prv_1/project")).unwrap();
            fs::write(at.join("prv_1/project/variables.env"), "PASSWORD='x'").unwrap();
        }
        let (mut left, mut anothers) = (tool(&own.join("prv_1")), tool(&other.join("prv_1")));
        work_taken_over(&own).unwrap();
        assert_eq!(fs::read_dir(&own).unwrap().count(), 0);
        assert!(!left.wait().unwrap().success());
        assert!(other.join("prv_1/project/variables.env").exists());
        assert!(anothers.try_wait().unwrap().is_none(), "it goes on");
        anothers.kill().unwrap();
        anothers.wait().unwrap();
        work_taken_over(&folder.path().join("none/yet")).unwrap();
    }
}
