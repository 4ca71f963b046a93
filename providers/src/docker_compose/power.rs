//! Stops and starts the application services of a stack. Rule: data services are left alone by a
//! stop, and a start waits until everything runs.

use std::time::Duration;

use domain::code::Code;
use tokio::time::{Instant, sleep};

use super::{
    command::Call,
    core::{Core, foreign, gone},
    errors::PORT_TAKEN,
    labels::is_ours,
    provision::settled,
    stack::{Health, Stack, Standing},
};
use crate::{
    error::{Effect, ProviderError},
    infra::{MachineStatus, MachineTarget},
    journal::Journal,
};

/// For how long a service may take to stop at most.
const GRACEFUL_MOST: Duration = Duration::from_secs(3600);

/// The stack of a target, which is there and ours.
pub(super) async fn ours(core: &Core, target: &MachineTarget) -> Result<(String, Stack), ProviderError> {
    let project = core.project_of(target)?;
    let stack = Stack::read(core, &project).await?;
    if stack.is_empty() {
        return Err(gone());
    }
    if !stack.all(|labels| is_ours(labels, &core.instance, &target.node_id)) {
        return Err(foreign());
    }
    // Volumes alone are no stack any more.
    if stack.units.is_empty() { Err(gone()) } else { Ok((project, stack)) }
}

pub(super) async fn suspend(
    core: &Core,
    target: &MachineTarget,
    graceful: Duration,
    journal: &mut dyn Journal,
) -> Result<MachineStatus, ProviderError> {
    journal.step("shut_down", "Stop the application services").await?;
    let (project, stack) = ours(core, target).await?;
    let running: Vec<_> =
        stack.units.iter().filter(|it| it.is_application() && it.standing != Standing::Stopped).collect();
    if running.is_empty() {
        return Ok(stack.into_status(core, &project));
    }
    let graceful = graceful.min(GRACEFUL_MOST);
    let seconds = graceful.as_secs().to_string();
    let mut words = vec!["stop", "--timeout", &seconds];
    words.extend(running.iter().map(|it| it.service()));
    let within = graceful + core.timeouts.action;
    let call = Call { project: &project, files: None, words: &words, secrets: Some(&[]), within };
    settled(core, core.compose.run(&call).await).await?;
    let (project, stack) = ours(core, target).await?;
    if let Some(unit) = stack.units.iter().find(|it| it.is_application() && it.standing != Standing::Stopped) {
        let message = format!("The service {} did not stop.", unit.service());
        return Err(ProviderError::new(Code::ProviderAcquisitionTimeout, message).with_effect(Effect::Happened));
    }
    Ok(stack.into_status(core, &project))
}

pub(super) async fn resume(
    core: &Core,
    target: &MachineTarget,
    journal: &mut dyn Journal,
) -> Result<MachineStatus, ProviderError> {
    journal.step("power_on", "Start the services").await?;
    let (project, stack) = ours(core, target).await?;
    let runs = |stack: &Stack| stack.units.iter().all(|it| it.standing == Standing::Running) && !stack.lacks_some();
    if runs(&stack) {
        return Ok(stack.into_status(core, &project));
    }
    // What it prints may hold what was put into a service's command, and that is not known here.
    let call = Call { project: &project, files: None, words: &["start"], secrets: None, within: core.timeouts.action };
    match settled(core, core.compose.run(&call).await).await {
        // A port that the engine chose is somebody else's: it goes on to others.
        Err(error) if error.message == PORT_TAKEN => settled(core, core.compose.run(&call).await).await?,
        done => done?,
    }
    let deadline = Instant::now() + core.timeouts.action;
    let mut pause = core.timeouts.poll_first;
    journal.detail("Waiting until every service runs", None).await?;
    loop {
        let (project, stack) = ours(core, target).await?;
        // What has no health check may end as soon as it was started.
        if runs(&stack) && stack.units.iter().all(|it| it.settled || it.health != Health::Unchecked) {
            return Ok(stack.into_status(core, &project));
        }
        if stack.lacks_some() {
            let message = "A service of the stack has no container any more.";
            return Err(ProviderError::new(Code::ProviderAcquisitionFailed, message).with_effect(Effect::Happened));
        }
        if let Some(unit) = stack.units.iter().find(|it| it.standing == Standing::Stopped) {
            let message = format!("The service {} was started and ended at once.", unit.service());
            return Err(ProviderError::new(Code::ProviderAcquisitionFailed, message).with_effect(Effect::Happened));
        }
        if Instant::now() >= deadline {
            let message = "The services were started, but not all of them run yet.";
            return Err(ProviderError::new(Code::ProviderAcquisitionTimeout, message).with_effect(Effect::Happened));
        }
        sleep(pause).await;
        pause = (pause * 2).min(core.timeouts.poll_most);
    }
}
