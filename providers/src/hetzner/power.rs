//! Stops and starts servers. Rule: stopped already and running already are done, and a server that
//! does not obey is switched off.

use std::time::Duration;

use domain::code::Code;
use tokio::time::Instant;

use super::{
    core::Core,
    deed::{Deed, Next, done},
    find,
    poll::{Poll, server_soon},
    wire::Server,
};
use crate::{
    error::ProviderError,
    infra::{MachinePower, MachineStatus, MachineTarget},
    journal::Journal,
};

pub(super) async fn suspend(
    core: &Core,
    target: &MachineTarget,
    graceful: Duration,
    journal: &mut dyn Journal,
) -> Result<MachineStatus, ProviderError> {
    journal.step("shut_down", "Ask the server to shut down").await?;
    let server = find::ours(core, target).await?;
    let server = stopped(core, server, graceful, journal).await?;
    Ok(server.into_status(&core.instance))
}

pub(super) async fn resume(
    core: &Core,
    target: &MachineTarget,
    journal: &mut dyn Journal,
) -> Result<MachineStatus, ProviderError> {
    journal.step("power_on", "Start the server").await?;
    let server = find::ours(core, target).await?;
    let server = running(core, server, journal).await?;
    Ok(server.into_status(&core.instance))
}

/// Stops the server: by its own shutdown, and by its switch when `graceful` is over.
pub(super) async fn stopped(
    core: &Core,
    server: Server,
    graceful: Duration,
    journal: &mut dyn Journal,
) -> Result<Server, ProviderError> {
    let server = if server.power == MachinePower::Off || graceful.is_zero() {
        server
    } else {
        shut_down(core, server, graceful, journal).await?
    };
    if server.power == MachinePower::Off {
        return Ok(server);
    }
    journal.step("power_off", "Switch the server off").await?;
    let deadline = Instant::now() + core.timeouts.action;
    let next = |server: Option<&Server>, _| match server {
        None => Next::Done,
        Some(server) => match server.power {
            MachinePower::Off | MachinePower::Deleting => Next::Done,
            _ if server.busy => Next::Wait,
            _ => Next::Act,
        },
    };
    let deed = Deed::action("/actions/poweroff");
    there(done(core, server, &deed, deadline, journal, next).await?)
}

/// Asks for a shutdown and gives the server as it stands afterwards, off or not. Success of the
/// vendor's action only says that the signal was sent, and its failure only that it was not.
async fn shut_down(
    core: &Core,
    server: Server,
    graceful: Duration,
    journal: &mut dyn Journal,
) -> Result<Server, ProviderError> {
    let deadline = Instant::now() + graceful;
    // Asked once; whether it obeys is seen below.
    let next = |server: Option<&Server>, asked| match server {
        None => Next::Done,
        Some(server) if matches!(server.power, MachinePower::Off | MachinePower::Deleting) => Next::Done,
        Some(server) if server.busy => Next::Wait,
        Some(_) if asked > 0 => Next::Done,
        Some(_) => Next::Act,
    };
    let id = server.id.clone();
    let deed = Deed::action("/actions/shutdown");
    let mut last = server.clone();
    let patience = Instant::now() + graceful.max(core.timeouts.write);
    match done(core, server, &deed, patience, journal, next).await {
        Ok(seen) => last = there(seen)?,
        Err(error) if error.lost || is_final(&error) => return Err(error),
        Err(error) => tracing::debug!(%error, "a shutdown was not accepted"),
    }
    if last.power != MachinePower::Off {
        journal.detail("Waiting until it has shut down", None).await?;
    }
    let mut poll = Poll::until(core, deadline);
    // The error at the deadline only says that it did not obey.
    while last.power != MachinePower::Off && poll.pause(None).await.is_ok() {
        match server_soon(core, &id).await {
            Ok(seen) => last = there(seen)?,
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(last)
}

/// What switching it off would meet just the same.
fn is_final(error: &ProviderError) -> bool {
    matches!(error.code, Code::ProviderCredentialRejected | Code::ProviderTokenReadonly | Code::ProviderResourceGone)
}

/// Starts the server and waits until it runs.
pub(super) async fn running(core: &Core, server: Server, journal: &mut dyn Journal) -> Result<Server, ProviderError> {
    let deadline = Instant::now() + core.timeouts.action;
    let next = |server: Option<&Server>, _| match server.map(|server| server.power) {
        None | Some(MachinePower::Running | MachinePower::Deleting) => Next::Done,
        Some(MachinePower::Changing) => Next::Wait,
        Some(MachinePower::Off | MachinePower::Unknown) => Next::Act,
    };
    there(done(core, server, &Deed::action("/actions/poweron"), deadline, journal, next).await?)
}

/// The server, unless it went meanwhile.
pub(super) fn there(server: Option<Server>) -> Result<Server, ProviderError> {
    server.filter(|server| server.power != MachinePower::Deleting).ok_or_else(find::gone)
}
