//! Waits for a service to get healthy. Rule: it ends in time, whatever the engine says, and as soon as
//! it is clear that the service will not.

use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as State, HealthStatusEnum};
use tokio::time::{Instant, sleep};

use super::{
    core::{Core, gone},
    stack::Stack,
};
use crate::{
    error::ProviderError,
    journal::{Journal, JournalLost},
};

/// For how long a service without a health check must keep running.
const SETTLED: Duration = Duration::from_secs(2);

/// What the engine takes where a health check does not say how often and for how long at most
/// (Dockerfile reference, HEALTHCHECK).
const CHECK: Duration = Duration::from_secs(30);

/// Why it does not go on.
pub(super) enum Stop {
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

/// Waits until a service is healthy, or it is clear that it will not be. A patient wait takes into
/// account that what the service asks for became well only now: it may be unhealthy until it was
/// asked about anew.
pub(super) async fn healthy(
    core: &Core,
    project: &str,
    name: &str,
    deadline: Instant,
    patient: bool,
    journal: &mut dyn Journal,
) -> Result<(), Stop> {
    let began = Instant::now();
    let mut restarts = None;
    let mut pause = core.timeouts.poll_first;
    let mut steady: Option<Instant> = None;
    journal.detail(&format!("Waiting until {name} is healthy"), None).await?;
    let stop = |why: String| Err(Stop::Because(format!("the service {name} {why}")));
    loop {
        // By its label: a run that died may have left it under the name that Compose uses in between.
        let there = Stack::read(core, project).await?;
        let Some(unit) = there.units.iter().find(|it| it.service() == name) else { return Err(gone().into()) };
        if let Some(told) = core.engine.container(&unit.id).await? {
            let patience = if patient { check_time(&told) * 2 } else { Duration::ZERO };
            let state = told.state.unwrap_or_default();
            let exit = state.exit_code.unwrap_or_default();
            let count = told.restart_count.unwrap_or_default();
            if count > *restarts.get_or_insert(count) {
                return stop(format!("ends again and again (exit code {exit})"));
            }
            match (state.status, state.health.and_then(|it| it.status)) {
                (Some(State::RUNNING), Some(HealthStatusEnum::HEALTHY)) => return Ok(()),
                (Some(State::RUNNING), Some(HealthStatusEnum::UNHEALTHY)) => {
                    if began.elapsed() >= patience || Instant::now() >= deadline {
                        return stop("is unhealthy".to_owned());
                    }
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
        }
        if Instant::now() >= deadline {
            return stop("did not get healthy in time".to_owned());
        }
        sleep(pause).await;
        pause = (pause * 2).min(core.timeouts.poll_most);
    }
}

/// For how long at most a check of it lasts, with the pause before it.
fn check_time(told: &ContainerInspectResponse) -> Duration {
    let check = told.config.as_ref().and_then(|it| it.healthcheck.as_ref());
    let time = |nanos: Option<i64>| {
        nanos.and_then(|it| u64::try_from(it).ok()).filter(|it| *it > 0).map_or(CHECK, Duration::from_nanos)
    };
    check.map_or(Duration::ZERO, |it| time(it.interval) + time(it.timeout))
}
