//! Gives a stack another version. Rule: data services are left alone, each application service is
//! healthy before the next is touched, and when one is not, all go back; a stack that is suspended
//! gets its new containers and stays suspended.

use std::time::Duration;

use bollard::models::{ContainerStateStatusEnum as State, HealthStatusEnum};
use domain::code::Code;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    core::{Core, gone},
    files::{Plan, Written},
    power::ours,
    provision::{images_had, up},
    stack::{Stack, Standing},
};
use crate::{
    error::{Effect, ProviderError},
    infra::{MachineStatus, MachineTarget, StackWish, UpgradeWish},
    journal::{Journal, JournalLost},
};

const NOTE: &str = "upgrade";

/// For how long a service without a health check must keep running.
const SETTLED: Duration = Duration::from_secs(2);

/// How far it is. It outlives the job's attempts, and serves the undo as well.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Note {
    /// Whether the stack was suspended before anything was done.
    suspended: bool,
    /// The version that was asked for.
    to: String,
    /// Why it goes back, once it does.
    because: Option<String>,
}

impl Note {
    async fn put(&self, journal: &mut dyn Journal) -> Result<(), JournalLost> {
        journal.put(NOTE, json!(self)).await
    }
}

pub(super) async fn run(
    core: &Core,
    target: &MachineTarget,
    wish: &UpgradeWish,
    journal: &mut dyn Journal,
) -> Result<MachineStatus, ProviderError> {
    let UpgradeWish::Tag { stack, from } = wish else {
        return Err(ProviderError::new(
            Code::ProviderInvalidRequest,
            "A stack has a version, and neither type nor image.",
        ));
    };
    journal.step("pull_images", "Get the images of the version").await?;
    let (project, there) = ours(core, target).await?;
    let owner = core.owner(&target.node_id, &target.server_name);
    let plan = Plan::new(core, stack, owner, project)?;
    let noted: Option<Note> = journal.get(NOTE).and_then(|it| serde_json::from_value(it).ok());
    let mut note = noted.unwrap_or_else(|| Note {
        suspended: there.leading().iter().all(|it| it.standing == Standing::Stopped),
        ..Note::default()
    });
    if note.to != stack.tag {
        // Another version of the same job: the way back.
        note = Note { suspended: note.suspended, to: stack.tag.clone(), because: None };
    }
    note.put(journal).await?;
    if note.because.is_none() {
        let files = plan.written(core)?;
        let images: Vec<_> = plan.images().into_iter().filter(|(name, _)| is_application(&plan, name)).collect();
        images_had(core, &plan, &files, &images, journal).await?;
        journal.step("upgrade_services", "Make the application services anew").await?;
        match made_anew(core, &plan, &files, &note, journal).await {
            Ok(()) => return status(core, target).await,
            Err(Stop::Because(because)) if *from == stack.tag => {
                let message = format!("With the version {from} {because}.");
                return Err(ProviderError::new(Code::ProviderAcquisitionFailed, message).with_effect(Effect::Happened));
            }
            Err(Stop::Because(because)) => note.because = Some(because),
            Err(Stop::Error(error)) => return Err(error),
        }
        note.put(journal).await?;
    }
    let failure = back(core, target, stack, from, &note, journal).await?;
    // Whoever asks for it once more means it.
    Note { because: None, ..note }.put(journal).await?;
    Err(failure)
}

fn is_application(plan: &Plan, name: &str) -> bool {
    plan.model.applications().any(|it| it.told.name == name)
}

async fn status(core: &Core, target: &MachineTarget) -> Result<MachineStatus, ProviderError> {
    let (project, stack) = ours(core, target).await?;
    Ok(stack.into_status(core, &project))
}

/// Gives every application service its old version again, and says why.
async fn back(
    core: &Core,
    target: &MachineTarget,
    stack: &StackWish,
    from: &str,
    note: &Note,
    journal: &mut dyn Journal,
) -> Result<ProviderError, ProviderError> {
    journal.step("roll_back", "Go back to the version before").await?;
    let (project, _) = ours(core, target).await?;
    let old = StackWish { tag: from.to_owned(), ..stack.clone() };
    let plan = Plan::new(core, &old, core.owner(&target.node_id, &target.server_name), project)?;
    let files = plan.written(core)?;
    let images: Vec<_> = plan.images().into_iter().filter(|(name, _)| is_application(&plan, name)).collect();
    images_had(core, &plan, &files, &images, journal).await?;
    let outcome = match made_anew(core, &plan, &files, note, journal).await {
        Ok(()) => format!("every service is back at the version {from}"),
        Err(Stop::Because(worse)) => format!("the services were put back to the version {from}, but {worse}"),
        Err(Stop::Error(error)) => return Err(error),
    };
    let because = note.because.as_deref().unwrap_or("a service did not get healthy");
    let message = format!("With the version {} {because}; it was rolled back: {outcome}.", stack.tag);
    Ok(ProviderError::new(Code::ProviderAcquisitionFailed, message).with_effect(Effect::Happened))
}

/// Why it does not go on.
enum Stop {
    /// A service does not get healthy: half a sentence.
    Because(String),
    Error(ProviderError),
}

impl From<ProviderError> for Stop {
    fn from(error: ProviderError) -> Self {
        Self::Error(error)
    }
}

impl From<JournalLost> for Stop {
    fn from(lost: JournalLost) -> Self {
        Self::Error(lost.into())
    }
}

/// Each application service in declared order, and its health before the next.
async fn made_anew(
    core: &Core,
    plan: &Plan,
    files: &Written,
    note: &Note,
    journal: &mut dyn Journal,
) -> Result<(), Stop> {
    for service in plan.model.applications() {
        let name = service.told.name.as_str();
        journal.detail(&format!("Making {name} anew"), None).await?;
        let start = if note.suspended { "--no-start" } else { "--detach" };
        match up(core, plan, files, &[start, "--no-deps", name]).await {
            // It cannot be started: its command does not fit the image, its port is taken.
            Err(error) if matches!(error.code, Code::ProviderAcquisitionFailed | Code::ProviderInvalidRequest) => {
                return Err(Stop::Because(format!("the service {name} does not start")));
            }
            done => done?,
        }
        if !note.suspended {
            healthy(core, plan, name, journal).await?;
        }
    }
    if !note.suspended {
        journal.detail("Every application service is healthy", None).await?;
    }
    Ok(())
}

/// Waits until a service is healthy, or it is clear that it will not be.
async fn healthy(core: &Core, plan: &Plan, name: &str, journal: &mut dyn Journal) -> Result<(), Stop> {
    let deadline = Instant::now() + core.timeouts.action;
    let mut restarts = None;
    let mut pause = core.timeouts.poll_first;
    let mut steady: Option<Instant> = None;
    journal.detail(&format!("Waiting until {name} is healthy"), None).await?;
    let stop = |why: String| Err(Stop::Because(format!("the service {name} {why}")));
    loop {
        // By its label: a run that died may have left it under the name that Compose uses in between.
        let there = Stack::read(core, &plan.project).await?;
        let Some(unit) = there.units.iter().find(|it| it.service() == name) else { return Err(gone().into()) };
        let Some(told) = core.engine.container(&unit.id).await? else { continue };
        let state = told.state.unwrap_or_default();
        let exit = state.exit_code.unwrap_or_default();
        let count = told.restart_count.unwrap_or_default();
        if count > *restarts.get_or_insert(count) {
            return stop(format!("ends again and again (exit code {exit})"));
        }
        match (state.status, state.health.and_then(|it| it.status)) {
            (Some(State::RUNNING), Some(HealthStatusEnum::HEALTHY)) => return Ok(()),
            (Some(State::RUNNING), Some(HealthStatusEnum::UNHEALTHY)) => {
                return stop("is unhealthy".to_owned());
            }
            (Some(State::RUNNING), Some(HealthStatusEnum::STARTING)) => {}
            (Some(State::RUNNING), _) => {
                let since = *steady.get_or_insert_with(Instant::now);
                if since.elapsed() >= SETTLED {
                    return Ok(());
                }
            }
            (Some(State::EXITED | State::DEAD), _) => return stop(format!("ended (exit code {exit})")),
            (Some(State::RESTARTING), _) => return stop(format!("ends again and again (exit code {exit})")),
            _ => steady = None,
        }
        if Instant::now() >= deadline {
            return stop("did not get healthy in time".to_owned());
        }
        sleep(pause).await;
        pause = (pause * 2).min(core.timeouts.poll_most);
    }
}
