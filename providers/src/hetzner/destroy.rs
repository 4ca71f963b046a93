//! Takes a server away and waits until it is gone; also the undo of a half-done create. Rule:
//! nothing is deleted before its labels were read and are ours, and gone already is done.

use domain::code::Code;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    core::Core,
    errors::{Intent, Scope, unreadable},
    labels,
    poll::{Poll, actions_end},
    provision::{attempt_noted, by_name, made_noted, note},
    wire::{Action, ActionState, Server, is_id},
};
use crate::{
    error::{Effect, ProviderError},
    infra::{Destroyed, MachinePower, MachineTarget},
    journal::Journal,
};

const DESTROY: &str = "destroy";

/// What is being deleted.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Deletion {
    id: String,
    action: Option<String>,
}

pub(super) async fn run(
    core: &Core,
    instance: &str,
    target: &MachineTarget,
    journal: &mut dyn Journal,
) -> Result<Destroyed, ProviderError> {
    journal.step("delete_server", "Delete the server").await?;
    let deadline = Instant::now() + core.timeouts.action;
    let noted: Option<Deletion> = note(journal, DESTROY);
    let Some(server) = locate(core, instance, target, journal).await? else {
        return Ok(Destroyed { found: noted.is_some() });
    };
    let noted = noted.filter(|noted| noted.id == server.id).and_then(|noted| noted.action);
    let running = match noted {
        Some(action) if is_running(core, &action).await => Some(action),
        _ => None,
    };
    let action = if server.power == MachinePower::Deleting || running.is_some() {
        running
    } else {
        journal.put(DESTROY, json!({"id": server.id, "action": null})).await?;
        match delete(core, &server.id, journal).await? {
            Deleted::Gone => return Ok(Destroyed { found: true }),
            Deleted::Running(action) => {
                journal.put(DESTROY, json!({"id": server.id, "action": action})).await?;
                action
            }
        }
    };
    match wait(core, &server.id, action, deadline, journal).await {
        Ok(()) => Ok(Destroyed { found: true }),
        Err(error) if error.code == Code::ProviderAcquisitionFailed => {
            // The next run sees that it does not run any more, and asks for the deletion anew.
            let message = "The vendor's action that deletes the server ended in error.";
            Err(ProviderError::new(Code::ProviderApiError, message).with_source(error))
        }
        Err(error) => Err(error),
    }
}

/// Whether a deletion that an earlier run asked for is still at work.
async fn is_running(core: &Core, action: &str) -> bool {
    let read = core.get(&format!("/actions/{action}"), &[], Scope::Resource).await;
    let action = read.ok().and_then(|body| Action::read(&body["action"]));
    action.is_some_and(|action| action.state == ActionState::Running)
}

/// The server, if it is there and ours.
async fn locate(
    core: &Core,
    instance: &str,
    target: &MachineTarget,
    journal: &mut dyn Journal,
) -> Result<Option<Server>, ProviderError> {
    let id = target.infra_id.clone().or_else(|| made_noted(journal).map(|made| made.id)).filter(|id| is_id(id));
    let is_ours = |server: &Server| labels::is_nodes(server, instance, &target.node_id);
    if let Some(id) = &id {
        let until = Instant::now() + core.timeouts.read * 3;
        match core.get_patiently(&format!("/servers/{id}"), &[], Scope::Resource, until).await {
            Ok(body) => {
                let server = Server::read(&body["server"]).ok_or_else(|| unreadable(Intent::Read, None))?;
                if is_ours(&server) {
                    return Ok(Some(server));
                }
                let message = "The server does not carry this node's labels, so it is not ours; it was left alone.";
                return Err(ProviderError::new(Code::ProviderNameConflict, message));
            }
            Err(error) if error.code == Code::ProviderResourceGone => {}
            Err(error) => return Err(error),
        }
    }
    // Names are unique: when something that is not ours holds the name, ours is not there.
    let found = by_name(core, &target.server_name).await?.filter(is_ours);
    let may_come = id.is_none() && attempt_noted(journal).is_some_and(|attempt| attempt.open);
    if found.is_some() || !may_come {
        return Ok(found);
    }
    journal.detail("Watching out for a create that was never answered", None).await?;
    let until = Instant::now() + core.timeouts.late_create;
    let mut poll = Poll::until(core, until);
    // The error at the deadline only says that nothing came.
    while poll.pause(None).await.is_ok() {
        if let Some(server) = by_name(core, &target.server_name).await?.filter(is_ours) {
            return Ok(Some(server));
        }
    }
    Ok(None)
}

enum Deleted {
    Gone,
    /// By this action, where the answer named one.
    Running(Option<String>),
}

/// Asks for the deletion. A server on which an action still runs, as right after its create,
/// refuses with 423 and nothing happens: that is waited out for as long as one write may take, so
/// that an undo need not fail first.
async fn delete(core: &Core, id: &str, journal: &mut dyn Journal) -> Result<Deleted, ProviderError> {
    let path = format!("/servers/{id}");
    let mut poll = Poll::until(core, Instant::now() + core.timeouts.write);
    let mut told = false;
    loop {
        let error = match core.write(Method::DELETE, &path, None, Scope::Resource).await {
            Ok(body) => {
                let action = Action::read(&body.unwrap_or(Value::Null)["action"]);
                return Ok(Deleted::Running(action.map(|action| action.id)));
            }
            Err(error) => error,
        };
        match (error.code, error.effect) {
            (Code::ProviderResourceGone, _) => return Ok(Deleted::Gone),
            (Code::ProviderLocked, Effect::None) => {}
            (_, Effect::None) => return Err(error),
            _ => return after_unknown(core, &path, error).await,
        }
        if !told {
            journal.detail("Waiting for another action on the server to end", None).await?;
            told = true;
        }
        if poll.pause(None).await.is_err() {
            return Err(error);
        }
    }
}

/// Whether a deletion without an answer was carried out; the error, where it does not look so.
async fn after_unknown(core: &Core, path: &str, error: ProviderError) -> Result<Deleted, ProviderError> {
    match core.get(path, &[], Scope::Resource).await {
        Err(now) if now.code == Code::ProviderResourceGone => Ok(Deleted::Gone),
        Ok(body) => match Server::read(&body["server"]) {
            Some(server) if server.power == MachinePower::Deleting => Ok(Deleted::Running(None)),
            _ => Err(error),
        },
        Err(_) => Err(error),
    }
}

/// Waits for the action and then until the vendor does not know the server any more.
async fn wait(
    core: &Core,
    id: &str,
    action: Option<String>,
    deadline: Instant,
    journal: &mut dyn Journal,
) -> Result<(), ProviderError> {
    actions_end(core, action.as_slice(), deadline, journal).await?;
    journal.step("await_deletion", "Wait until the server is gone").await?;
    let path = format!("/servers/{id}");
    let mut poll = Poll::until(core, deadline);
    loop {
        let trouble = match core.get(&path, &[], Scope::Resource).await {
            Ok(_) => None,
            Err(error) if error.code == Code::ProviderResourceGone => return Ok(()),
            Err(error) => Some(error),
        };
        poll.pause(trouble).await?;
    }
}
