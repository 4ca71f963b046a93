//! Takes a server away and waits until it is gone; also the undo of a half-done create. Rule:
//! nothing is deleted before its labels were read and are ours, and gone already is done.

use domain::code::Code;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{
    core::Core,
    deed::{Deed, Next, done},
    find, labels,
    poll::Poll,
    provision::{attempt_noted, made_noted, note},
    wire::Server,
};
use crate::{
    budget::Class,
    error::ProviderError,
    infra::{Destroyed, MachinePower, MachineTarget},
    journal::Journal,
};

const DESTROY: &str = "destroy";

/// What is being deleted.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Deletion {
    id: String,
}

pub(super) async fn run(
    core: &Core,
    target: &MachineTarget,
    journal: &mut dyn Journal,
) -> Result<Destroyed, ProviderError> {
    journal.step("delete_server", "Delete the server").await?;
    let noted: Option<Deletion> = note(journal, DESTROY);
    let Some(server) = locate(core, target, journal).await? else {
        return Ok(Destroyed { found: noted.is_some() });
    };
    journal.put(DESTROY, json!({"id": server.id})).await?;
    deleted(core, server, journal).await?;
    Ok(Destroyed { found: true })
}

/// Deletes a server that is ours, and waits until the vendor does not know it any more.
pub(super) async fn deleted(core: &Core, server: Server, journal: &mut dyn Journal) -> Result<(), ProviderError> {
    let deadline = Instant::now() + core.timeouts.action;
    let next = |server: Option<&Server>, _| match server.map(|server| server.power) {
        None => Next::Done,
        Some(MachinePower::Deleting) => Next::Wait,
        Some(_) => Next::Act,
    };
    let then = Some(("await_deletion", "Wait until the server is gone"));
    let deed = Deed { method: Method::DELETE, tail: "", body: None, then };
    match done(core, server, &deed, deadline, journal, next).await {
        Ok(_) => Ok(()),
        Err(error) if error.code == Code::ProviderAcquisitionFailed => {
            // The next run sees that it does not run any more, and asks for the deletion anew.
            let message = "The vendor's action that deletes the server ended in error.";
            let mut again = ProviderError::new(Code::ProviderApiError, message).with_effect(error.effect);
            again.correlation_id.clone_from(&error.correlation_id);
            Err(again.with_source(error))
        }
        Err(error) => Err(error),
    }
}

/// The server, if it is there and ours.
async fn locate(
    core: &Core,
    target: &MachineTarget,
    journal: &mut dyn Journal,
) -> Result<Option<Server>, ProviderError> {
    let made = made_noted(journal).map(|made| made.id);
    if let Some(id) = made.as_ref().or(target.infra_id.as_ref())
        && let Some(server) = find::ours_by_id(core, id, target).await?
    {
        return Ok(Some(server));
    }
    // Names are unique: when something that is not ours holds the name, ours is not there.
    let is_ours = |server: &Server| labels::is_nodes(server, &core.instance, &target.node_id);
    let found = find::by_name(core, Class::Tend, &target.server_name).await?.filter(is_ours);
    let may_come = made.is_none() && attempt_noted(journal).is_some_and(|attempt| attempt.open);
    if found.is_some() || !may_come {
        return Ok(found);
    }
    journal.detail("Watching out for a create that was never answered", None).await?;
    let mut poll = Poll::until(core, Instant::now() + core.timeouts.late_create);
    // The error at the deadline only says that nothing came.
    while poll.pause(None).await.is_ok() {
        if let Some(server) = find::by_name(core, Class::Tend, &target.server_name).await?.filter(is_ours) {
            return Ok(Some(server));
        }
    }
    Ok(None)
}
