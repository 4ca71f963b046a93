//! Makes something else of a server: another type, or another image on its disk. Rule: a type is
//! changed only while it is another one, and an image is laid once however often that is asked.

use std::time::Duration;

use domain::code::Code;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    core::Core,
    deed::{Deed, Lock, Next, done},
    errors::Scope,
    find,
    poll::{Poll, actions_end},
    power::{running, stopped, there},
    provision::note,
    wire::{Action, Server},
};
use crate::{
    budget::Class,
    error::{Effect, ProviderError},
    infra::{MachinePower, MachineStatus, MachineTarget, UpgradeWish},
    journal::{Journal, JournalLost},
};

const REBUILD: &str = "rebuild";

/// How often a server that somebody started meanwhile is stopped again.
const STOPS_MOST: usize = 2;

pub(super) async fn run(
    core: &Core,
    target: &MachineTarget,
    wish: &UpgradeWish,
    journal: &mut dyn Journal,
) -> Result<MachineStatus, ProviderError> {
    let server = match wish {
        UpgradeWish::Type { server_type, graceful } => retyped(core, target, server_type, *graceful, journal).await?,
        UpgradeWish::Image { image, user_data } => rebuilt(core, target, image, user_data.as_deref(), journal).await?,
        UpgradeWish::Tag { .. } => {
            return Err(ProviderError::new(Code::ProviderInvalidRequest, "A server has no version to change."));
        }
    };
    Ok(server.into_status(&core.instance))
}

/// Gives the server another type; its disk keeps its size, so that it can be given back.
async fn retyped(
    core: &Core,
    target: &MachineTarget,
    wanted: &str,
    graceful: Duration,
    journal: &mut dyn Journal,
) -> Result<Server, ProviderError> {
    journal.step("shut_down", "Ask the server to shut down").await?;
    let mut server = find::ours(core, target).await?;
    let is_wanted = |server: &Server| server.server_type.as_deref() == Some(wanted);
    let order = json!({"server_type": wanted, "upgrade_disk": false});
    for _ in 0..STOPS_MOST {
        if is_wanted(&server) {
            break;
        }
        server = stopped(core, server, graceful, journal).await?;
        journal.step("change_type", "Change the type").await?;
        let id = server.id.clone();
        let next = |server: Option<&Server>, _| match server {
            None => Next::Done,
            Some(server) if is_wanted(server) => Next::Done,
            Some(server) => match server.power {
                MachinePower::Off => Next::Act,
                // Somebody started it: it is stopped again.
                MachinePower::Running | MachinePower::Deleting => Next::Done,
                MachinePower::Changing | MachinePower::Unknown => Next::Wait,
            },
        };
        let deed = Deed { body: Some(&order), ..Deed::action("/actions/change_type") };
        let deadline = Instant::now() + core.timeouts.action;
        server = match done(core, server, &deed, deadline, journal, next).await {
            Ok(seen) => there(seen)?,
            // Also when it was started between the look and the call.
            Err(error) if error.code == Code::ProviderInvalidRequest => {
                match find::by_id(core, Class::Tend, &id).await? {
                    Some(seen) if is_wanted(&seen) || seen.power == MachinePower::Running => seen,
                    _ => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
    }
    if !is_wanted(&server) {
        let message = "The server was started by somebody else again and again, so its type cannot be changed.";
        return Err(ProviderError::new(Code::ProviderLocked, message));
    }
    journal.step("power_on", "Start the server").await?;
    running(core, server, journal).await
}

/// How far the laying of an image is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Laying {
    /// Whether it was asked for, or may have been.
    begun: bool,
    /// The server's newest action before that: a rebuild that comes later is ours.
    after: Option<String>,
    /// What the vendor answered with; empty when no answer came.
    actions: Vec<String>,
    /// Whether it ended in error, so that nothing of it is on its way any more.
    failed: bool,
}

impl Laying {
    async fn put(&self, journal: &mut dyn Journal) -> Result<(), JournalLost> {
        journal.put(REBUILD, json!(self)).await
    }
}

/// Lays the image anew. The call must not be repeated lightly, since it wipes what was done after
/// it: what may be ours is looked for first, for as long as a lost call may still be carried out.
async fn rebuilt(
    core: &Core,
    target: &MachineTarget,
    image: &str,
    user_data: Option<&str>,
    journal: &mut dyn Journal,
) -> Result<Server, ProviderError> {
    journal.step("rebuild", "Lay the image anew").await?;
    let server = find::ours(core, target).await?;
    let mut laying: Laying = note(journal, REBUILD).unwrap_or_default();
    if laying.begun && !laying.failed && laying.actions.is_empty() {
        laying.actions = begun_after(core, &server.id, &laying, core.timeouts.late_create).await?;
        laying.put(journal).await?;
    }
    if laying.actions.is_empty() {
        let mut order = json!({"image": image});
        if let Some(user_data) = user_data {
            // Without it the vendor takes the old one, whose host key the former holder knows.
            order["user_data"] = json!(user_data);
        }
        lay(core, &server.id, &order, &mut laying, journal).await?;
    }
    let deadline = Instant::now() + core.timeouts.action;
    if let Err(error) = actions_end(core, &laying.actions, deadline, journal).await {
        // An error of the questions themselves says nothing about the rebuild.
        let ended = error.effect == Effect::Happened && error.code != Code::ProviderAcquisitionTimeout;
        if ended && !error.lost {
            // Another run asks for it anew.
            let again = Laying { begun: true, after: laying.actions.pop(), actions: Vec::new(), failed: true };
            again.put(journal).await?;
        }
        return Err(error);
    }
    let server = find::ours(core, target).await?;
    running(core, server, journal).await
}

/// Asks for the rebuild, once.
async fn lay(
    core: &Core,
    id: &str,
    order: &Value,
    laying: &mut Laying,
    journal: &mut dyn Journal,
) -> Result<(), ProviderError> {
    let path = format!("/servers/{id}/actions/rebuild");
    let mut lock = Lock::new(core.timeouts.write);
    let before = laying.clone();
    if !laying.begun || laying.failed {
        let after = newest(core, id).await?;
        *laying = Laying { begun: true, after, ..Laying::default() };
        laying.put(journal).await?;
    }
    let refusal = loop {
        let error = match core.write(Class::Tend, Method::POST, &path, Some(order), Scope::Resource).await {
            Ok(answer) => {
                laying.actions = Action::read(&answer["action"]).map(|action| action.id).into_iter().collect();
                if laying.actions.is_empty() {
                    laying.actions = begun_after(core, id, laying, Duration::ZERO).await?;
                }
                return Ok(laying.put(journal).await?);
            }
            Err(error) => error,
        };
        let late = match (error.code, error.effect) {
            // Perhaps by our own call, which was taken for lost.
            (Code::ProviderLocked, Effect::None) => Duration::ZERO,
            (_, Effect::None) => break error,
            _ => core.timeouts.late_create,
        };
        match begun_after(core, id, laying, late).await {
            Ok(actions) if !actions.is_empty() => {
                laying.actions = actions;
                return Ok(laying.put(journal).await?);
            }
            Err(unseen) if error.effect != Effect::None => return Err(unseen),
            _ if error.effect != Effect::None => return Err(error),
            Err(unseen) => break unseen,
            Ok(_) => match lock.wait(core, error, journal).await {
                Ok(()) => {}
                Err(error) if error.lost => return Err(error),
                Err(error) => break error,
            },
        }
    };
    // This call changed nothing; what an earlier one began, or may have, stands as it was noted.
    *laying = before;
    laying.put(journal).await?;
    Err(refusal)
}

/// The rebuild that was begun after the laying was noted, if one comes to light within `late`.
async fn begun_after(core: &Core, id: &str, laying: &Laying, late: Duration) -> Result<Vec<String>, ProviderError> {
    let mut poll = Poll::until(core, Instant::now() + late);
    loop {
        let actions = actions_of(core, id).await?;
        let ours = actions.into_iter().filter(|action| action.command.starts_with("rebuild"));
        let ours = ours.filter(|action| laying.after.as_deref().is_none_or(|after| is_newer(&action.id, after)));
        if let Some(action) = ours.max_by(|a, b| order_of(&a.id).cmp(&order_of(&b.id))) {
            return Ok(vec![action.id]);
        }
        // The error at the deadline only says that nothing came.
        if poll.pause(None).await.is_err() {
            return Ok(Vec::new());
        }
    }
}

async fn newest(core: &Core, id: &str) -> Result<Option<String>, ProviderError> {
    let actions = actions_of(core, id).await?.into_iter();
    Ok(actions.map(|action| action.id).max_by(|a, b| order_of(a).cmp(&order_of(b))))
}

/// The latest actions of a server.
async fn actions_of(core: &Core, id: &str) -> Result<Vec<Action>, ProviderError> {
    let path = format!("/servers/{id}/actions");
    let query = [("sort", "id:desc"), ("per_page", "50")];
    let until = Instant::now() + core.timeouts.read * 3;
    let answer = core.get_patiently(Class::Tend, &path, &query, Scope::Resource, until).await?;
    let Some(actions) = answer["actions"].as_array() else { return Err(answer.unreadable()) };
    Ok(actions.iter().filter_map(Action::read).collect())
}

/// Ids grow; they are compared as the numbers that they are written as.
fn order_of(id: &str) -> (usize, &str) {
    (id.len(), id)
}

fn is_newer(id: &str, than: &str) -> bool {
    order_of(id) > order_of(than)
}
