//! Runs a command in a service. Rule: a task is begun once, whatever dies in between.
//!
//! The engine starts a prepared command once and keeps it under an id. That id is noted in a label
//! of a volume with nothing in it whose name is made from the task: a volume is made once however
//! many ask, every one of them is told what the first wrote, it is there after the engine was
//! stopped, and no file system of the container is needed. What holds:
//! - Asked again while the command runs or after it ended: nothing is run; the exit code is told.
//!   What it wrote went to the call that began it, and is not told again.
//! - Asked again after the container was made anew or the engine was stopped for long enough to
//!   forget: nothing is run; no exit code is known.
//! - The time limit is kept by `timeout` within the container. Where an image has none, the call
//!   ends in time, and says that the command may still run.

use std::{collections::HashMap, time::Duration};

use bollard::{
    Docker,
    container::LogOutput,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    models::{ExecInspectResponse, VolumeCreateRequest},
    query_parameters::ContainerArchiveInfoOptionsBuilder,
};
use domain::{code::Code, job::CommandOutput};
use futures::StreamExt as _;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    core::{Core, foreign, gone, is_id},
    errors::{engine_error, is_gone},
    labels,
    stack::{Stack, Standing, Unit},
};
use crate::{
    error::{Effect, ProviderError},
    infra::{ExecWish, HealthTarget},
    ssh::TAIL_MOST,
};

/// What starting a command, and killing it, may take beyond its own time.
const MARGIN: Duration = Duration::from_secs(10);

/// For how long it stays noted that a task was begun, once its time was up: longer than Hangar's own
/// machine is likely to be away.
const NOTED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Where `timeout` is in images that have it.
const TIMEOUTS: [&str; 2] = ["/usr/bin/timeout", "/bin/timeout"];

/// The exit code of what was killed: 128 and the number of the signal.
const KILLED: i64 = 137;

pub(super) async fn run(core: &Core, target: &HealthTarget, wish: &ExecWish) -> Result<CommandOutput, ProviderError> {
    let invalid = |message: &str| ProviderError::new(Code::ProviderInvalidRequest, message);
    if wish.argv.first().is_none_or(String::is_empty) {
        return Err(invalid("There is no command to run."));
    }
    if wish.argv.iter().any(|word| word.contains('\0')) {
        return Err(invalid("A word of a command cannot hold a zero."));
    }
    let task_is_fine = (1..=64).contains(&wish.task.len())
        && wish.task.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
    if !task_is_fine {
        return Err(invalid("The task of a command has no name that can be one."));
    }
    let project = target.infra_id.as_deref().filter(|id| is_id(id)).ok_or_else(gone)?;
    let stack = Stack::read(core, project).await?;
    if stack.units.is_empty() {
        return Err(gone());
    }
    if !stack.all(|it| labels::is(it, labels::INSTANCE, &core.instance)) {
        return Err(foreign());
    }
    let docker = core.engine.docker().await?;
    let unit = unit_of(&stack, wish.service.as_deref())?;
    // Its own note before anything else: whoever comes after days must not find it tidied away.
    let name = format!("{project}_hangar-{}", wish.task);
    if let Some(noted) = core.engine.volume(&name).await? {
        return begun_before(core, &docker, &noted.labels, wish).await;
    }
    forgotten(core, &docker, &stack).await;
    if unit.standing != Standing::Running {
        let message = format!("The service {} does not run.", unit.service());
        return Err(ProviderError::new(Code::ProvisionNotReady, message));
    }
    let limit = has_timeout(core, &docker, &unit.id).await?;
    let id = prepared(core, &docker, &unit.id, wish, limit).await?;
    let noted = note(core, &docker, unit, project, &name, &id, wish.within).await?;
    if noted.get(labels::EXEC) != Some(&id) {
        return begun_before(core, &docker, &noted, wish).await;
    }
    started(core, &docker, &id, wish, limit.is_some()).await
}

fn unit_of<'a>(stack: &'a Stack, service: Option<&str>) -> Result<&'a Unit, ProviderError> {
    let invalid = |message: String| Err(ProviderError::new(Code::ProviderInvalidRequest, message));
    match service {
        Some(name) => match stack.units.iter().find(|unit| unit.service() == name) {
            Some(unit) => Ok(unit),
            None => invalid("The stack has no service of this name.".to_owned()),
        },
        None => match stack.leading()[..] {
            [unit] => Ok(unit),
            _ => invalid("The stack has several services; name the one to run the command in.".to_owned()),
        },
    }
}

async fn has_timeout(core: &Core, docker: &Docker, container: &str) -> Result<Option<&'static str>, ProviderError> {
    for path in TIMEOUTS {
        let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
        match core
            .engine
            .within(core.timeouts.read, Effect::None, async {
                match docker.get_container_archive_info(container, Some(options)).await {
                    Err(error) if is_gone(&error) => Ok(false),
                    told => told.map(|_| true),
                }
            })
            .await?
        {
            true => return Ok(Some(path)),
            false => continue,
        }
    }
    Ok(None)
}

/// A command that the engine has and has not started.
async fn prepared(
    core: &Core,
    docker: &Docker,
    container: &str,
    wish: &ExecWish,
    limit: Option<&str>,
) -> Result<String, ProviderError> {
    let mut words: Vec<String> = Vec::new();
    if let Some(timeout) = limit {
        let seconds = wish.within.as_secs().max(1).to_string();
        words.extend([timeout, "-s", "KILL", &seconds].map(str::to_owned));
    }
    words.extend(wish.argv.iter().cloned());
    let options = CreateExecOptions {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(words),
        ..CreateExecOptions::default()
    };
    let call = docker.create_exec(container, options);
    Ok(core.engine.within(core.timeouts.write, Effect::None, call).await?.id)
}

/// Notes which command the task is; the labels that stand there then, which may be another's.
async fn note(
    core: &Core,
    docker: &Docker,
    unit: &Unit,
    project: &str,
    name: &str,
    id: &str,
    within: Duration,
) -> Result<labels::Labels, ProviderError> {
    let until = now().saturating_add((within + MARGIN).as_secs());
    let mut all: HashMap<String, String> = [labels::INSTANCE, labels::NODE, labels::NAME]
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), unit.labels.get(key)?.clone())))
        .collect();
    all.insert(labels::PROJECT.to_owned(), project.to_owned());
    all.insert(labels::EXEC.to_owned(), id.to_owned());
    all.insert(labels::UNTIL.to_owned(), until.to_string());
    let order =
        VolumeCreateRequest { name: Some(name.to_owned()), labels: Some(all), ..VolumeCreateRequest::default() };
    Ok(core.engine.within(core.timeouts.write, Effect::Unknown, docker.create_volume(order)).await?.labels)
}

/// Takes away the notes of tasks that nobody asks for any more and of which the engine knows nothing
/// either. One that is left is no harm.
async fn forgotten(core: &Core, docker: &Docker, stack: &Stack) {
    for volume in &stack.volumes {
        let until = volume.labels.get(labels::UNTIL).and_then(|it| it.parse::<u64>().ok());
        if until.is_none_or(|until| until.saturating_add(NOTED.as_secs()) >= now()) {
            continue;
        }
        let id = volume.labels.get(labels::EXEC).map_or("", String::as_str);
        if matches!(known(core, docker, id).await, Ok(None))
            && let Err(error) = core.engine.volume_remove(&volume.id).await
        {
            tracing::debug!(%error, "the note of a command was not removed");
        }
    }
}

/// A command as the engine knows it; `None` when it forgot it.
async fn known(core: &Core, docker: &Docker, id: &str) -> Result<Option<ExecInspectResponse>, ProviderError> {
    let call = async {
        match docker.inspect_exec(id).await {
            Err(error) if is_gone(&error) => Ok(None),
            told => told.map(Some),
        }
    };
    core.engine.within(core.timeouts.read, Effect::Unknown, call).await
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |it| it.as_secs())
}

/// Runs a prepared command and takes what it writes.
async fn started(
    core: &Core,
    docker: &Docker,
    id: &str,
    wish: &ExecWish,
    limited: bool,
) -> Result<CommandOutput, ProviderError> {
    let began = Instant::now();
    // Whoever has a `timeout` in the container ends by itself.
    let deadline = began + wish.within + if limited { MARGIN } else { Duration::ZERO };
    let options = StartExecOptions { detach: false, tty: false, output_capacity: None };
    let call = docker.start_exec(id, Some(options));
    let (mut stdout, mut stderr) = (Tail::default(), Tail::default());
    if let StartExecResults::Attached { mut output, .. } =
        core.engine.within(core.timeouts.write, Effect::Unknown, call).await?
    {
        while let Ok(Some(piece)) = timeout_at(deadline, output.next()).await {
            match piece.map_err(|error| engine_error(error, Effect::Unknown))? {
                LogOutput::StdErr { message } => stderr.take(&message),
                LogOutput::StdOut { message } | LogOutput::Console { message } => stdout.take(&message),
                LogOutput::StdIn { .. } => {}
            }
        }
    }
    let told = ended(core, docker, id, deadline).await?;
    let exit = told.and_then(|it| it.exit_code);
    let late = began.elapsed() >= wish.within;
    let timed_out = late && exit.is_none_or(|code| limited && code == KILLED);
    let may_run = exit.is_none();
    if may_run {
        let told: &[u8] = match (late, limited) {
            (true, false) => b"the time is up; the image has no `timeout`, so the command may still run",
            (true, true) => b"the time is up and the command was not seen to end, so it may still run",
            (false, _) => b"the engine does not know the command any more; it may still run",
        };
        stderr.take(&[b"\nhangar: ", told, b"\n"].concat());
    }
    let (stdout, stdout_cut) = stdout.text();
    let (stderr, stderr_cut) = stderr.text();
    let exit_code = exit.filter(|_| !timed_out).and_then(|code| i32::try_from(code).ok());
    Ok(CommandOutput { exit_code, timed_out, may_run, stdout, stdout_cut, stderr, stderr_cut })
}

/// The command once it ended; `None` when it did not by then, or the engine forgot it.
async fn ended(
    core: &Core,
    docker: &Docker,
    id: &str,
    deadline: Instant,
) -> Result<Option<ExecInspectResponse>, ProviderError> {
    let mut pause = core.timeouts.poll_first;
    loop {
        let Some(told) = known(core, docker, id).await? else { return Ok(None) };
        if told.running != Some(true) && told.exit_code.is_some() {
            return Ok(Some(told));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        sleep(pause).await;
        pause = (pause * 2).min(core.timeouts.poll_most);
    }
}

/// The task was begun by another run: nothing is run again.
async fn begun_before(
    core: &Core,
    docker: &Docker,
    noted: &labels::Labels,
    wish: &ExecWish,
) -> Result<CommandOutput, ProviderError> {
    let Some(id) = noted.get(labels::EXEC).filter(|_| labels::is(noted, labels::INSTANCE, &core.instance)) else {
        return Err(foreign());
    };
    let told = known(core, docker, id).await?;
    if let Some(told) = &told
        && told.running != Some(true)
        && told.exit_code.is_none()
    {
        // It was prepared and never started; of several who try, the engine lets one.
        let limited = told.process_config.as_ref().and_then(|it| it.entrypoint.as_deref());
        let limited = limited.is_some_and(|program| TIMEOUTS.contains(&program));
        match started(core, docker, id, wish, limited).await {
            Err(error) if error.code == Code::ProviderLocked => {}
            done => return done,
        }
    }
    let until = noted.get(labels::UNTIL).and_then(|it| it.parse::<u64>().ok()).unwrap_or_default();
    let left = Duration::from_secs(until.saturating_sub(now())).min(wish.within + MARGIN);
    let told = match told {
        Some(_) => ended(core, docker, id, Instant::now() + left).await?,
        None => None,
    };
    let exit = told.and_then(|it| it.exit_code).and_then(|code| i32::try_from(code).ok());
    let known = if exit.is_some() { "" } else { "; how it ended is not known, and it may still run" };
    Ok(CommandOutput {
        exit_code: exit,
        timed_out: false,
        may_run: exit.is_none(),
        stdout: String::new(),
        stdout_cut: true,
        stderr: format!("hangar: the command was begun by an earlier run, which took what it wrote{known}\n"),
        stderr_cut: true,
    })
}

/// The end of what a command writes.
#[derive(Default)]
struct Tail {
    kept: Vec<u8>,
    cut: bool,
}

impl Tail {
    fn take(&mut self, piece: &[u8]) {
        self.kept.extend_from_slice(piece);
        // Seldom, so that a flood is not moved byte by byte.
        if self.kept.len() > 8 * TAIL_MOST {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        let over = self.kept.len().saturating_sub(TAIL_MOST);
        self.cut |= over > 0;
        self.kept.drain(..over);
    }

    fn text(mut self) -> (String, bool) {
        self.shorten();
        // Not in the middle of a sign.
        let from = if self.cut { self.kept.iter().take(4).take_while(|b| (**b & 0xc0) == 0x80).count() } else { 0 };
        (String::from_utf8_lossy(&self.kept[from..]).into_owned(), self.cut)
    }
}
