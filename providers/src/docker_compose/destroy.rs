//! Takes a stack away and proves that nothing of it is left; also the undo of a half-made one.
//! Rule: nothing is taken away before its labels were read and are ours, and gone already is done.

use std::time::Duration;

use domain::code::Code;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    command::Call,
    core::{Core, foreign},
    files,
    labels::{Labels, is_ours},
    nameless::all_noted,
    provision::{MAKING, settled},
    stack::{Stack, Thing, Unit},
};
use crate::{
    error::{Effect, ProviderError},
    infra::{Destroyed, MachineTarget},
    journal::Journal,
};

/// Volumes without a name that its containers had, and that carry no labels.
const NAMELESS: &str = "nameless_volumes";
/// For how many seconds a service may take to end by itself.
const GRACEFUL: &str = "30";
/// Whether an earlier run found something.
const FOUND: &str = "found";

pub(super) async fn run(
    core: &Core,
    target: &MachineTarget,
    journal: &mut dyn Journal,
) -> Result<Destroyed, ProviderError> {
    let Ok(project) = core.project_of(target) else { return Ok(Destroyed { found: false }) };
    journal.step("delete_server", "Take the stack away").await?;
    // What was asked for and not answered may come true afterwards.
    let late = core.alone(&project).await? || journal.get(MAKING) == Some(json!(true));
    if late {
        journal.put(MAKING, json!(true)).await?;
    }
    files::removed(core, &project).await;
    let ours = |labels: &Labels| is_ours(labels, &core.instance, &target.node_id);
    let whole = Stack::read(core, &project).await?;
    let pure = whole.all(ours);
    let stack = whole.clone().only(ours);
    if stack.is_empty() && !whole.is_empty() {
        // By its name alone it was never known to be ours.
        return if target.infra_id.is_some() { Err(foreign()) } else { Ok(Destroyed { found: false }) };
    }
    let mut nameless: Vec<String> =
        journal.get(NAMELESS).and_then(|it| serde_json::from_value(it).ok()).unwrap_or_default();
    let mut found = !stack.is_empty() || journal.get(FOUND) == Some(json!(true));
    if !stack.is_empty() {
        nameless.extend(stack.units.iter().flat_map(Unit::nameless).cloned());
        nameless.extend(all_noted(&stack).into_iter().map(|it| it.volume));
        nameless.sort();
        nameless.dedup();
        journal.put(NAMELESS, json!(nameless)).await?;
        journal.put(FOUND, json!(true)).await?;
        if pure {
            down(core, &project).await?;
        }
    }
    found |= left_removed(core, &project, &ours, &nameless, late, journal).await?;
    if late {
        journal.put(MAKING, json!(false)).await?;
    }
    files::removed(core, &project).await;
    Ok(Destroyed { found })
}

async fn down(core: &Core, project: &str) -> Result<(), ProviderError> {
    let call = Call {
        project,
        files: None,
        words: &["down", "--volumes", "--remove-orphans", "--timeout", GRACEFUL],
        secrets: Some(&[]),
        within: core.timeouts.action,
    };
    match settled(core, core.compose.run(&call).await).await {
        // What it could not do is done one by one below, with force: also when a service did not
        // stop in time.
        Err(error) if !matches!(error.code, Code::ProviderUnreachable | Code::ProviderCredentialRejected) => {
            tracing::info!(%error, "a stack was not taken away at once");
            Ok(())
        }
        done => done,
    }
}

/// Removes whatever of ours is left, until nothing is; where something may be on its way still, that
/// is watched for. Whether there was any.
async fn left_removed(
    core: &Core,
    project: &str,
    ours: &(impl Fn(&Labels) -> bool + Sync),
    nameless: &[String],
    late: bool,
    journal: &mut dyn Journal,
) -> Result<bool, ProviderError> {
    let deadline = Instant::now() + core.timeouts.action;
    let watched = Instant::now() + if late { core.timeouts.late_create } else { Duration::ZERO };
    let mut any = false;
    journal.detail("Looking that nothing of it is left", None).await?;
    loop {
        let left = Stack::read(core, project).await?.only(ours);
        if left.is_empty() {
            if Instant::now() >= watched {
                break;
            }
            sleep(core.timeouts.poll_most).await;
            continue;
        }
        any = true;
        let failed = removed(core, &left).await.err();
        if let Some(error) = failed.as_ref().filter(|error| !error.is_transient()) {
            return Err(ProviderError::new(error.code, error.message.clone()).with_effect(Effect::Happened));
        }
        if Stack::read(core, project).await?.only(ours).is_empty() {
            continue;
        }
        if Instant::now() >= deadline {
            let message = "Something of the stack is left that the engine does not take away.";
            return Err(failed.unwrap_or_else(|| ProviderError::new(Code::ProviderAcquisitionTimeout, message)));
        }
        sleep(core.timeouts.poll_most).await;
    }
    for name in nameless {
        // Somebody else may have taken a liking to it: then it stays.
        match core.engine.volume_remove(name).await {
            Err(error) if error.code != Code::ProviderLocked => return Err(error),
            _ => {}
        }
    }
    Ok(any)
}

/// Everything that can be; the first failure when not all could.
async fn removed(core: &Core, left: &Stack) -> Result<(), ProviderError> {
    let mut outcome = Ok(());
    for unit in &left.units {
        outcome = outcome.and(core.engine.container_remove(&unit.id).await);
    }
    for Thing { id, .. } in &left.networks {
        outcome = outcome.and(core.engine.network_remove(id).await);
    }
    for Thing { id, .. } in &left.volumes {
        outcome = outcome.and(core.engine.volume_remove(id).await);
    }
    outcome
}
