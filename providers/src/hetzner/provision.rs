//! Makes a server: key, create, actions, fetch.
//!
//! ```text
//! note the attempt → POST ─┬ created → note the id → actions → running
//!        ↑                 ├ refused → next pair if there is no capacity, else the error
//!        └── nothing ← look up by name ← unknown (time-out, reset, 5xx, unreadable, 409)
//!                          ├ ours → as created
//!                          └ not ours → PROVIDER_NAME_CONFLICT
//! ```
//!
//! Rule: what is about to be tried is noted before it is tried, and what was made before anything
//! else is done; the unique name is the only key that makes a create repeatable.

use domain::code::Code;
use reqwest::Method;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    core::Core,
    destroy,
    errors::{Intent, Scope, failed, unreadable},
    find, firewalls, keys, labels,
    poll::{Poll, actions_end, soon},
    wire::{Action, ActionState, Server},
};
use crate::{
    budget::Class,
    error::{Effect, ProviderError},
    infra::{Machine, MachineFacts, MachinePower, MachineTarget, Pair, ProvisionWish},
    journal::{Journal, JournalLost},
};

const CREATE: &str = "create";
const SERVER: &str = "server";

/// What was tried.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Attempt {
    /// The index of the pair.
    attempted: usize,
    /// Whether a create may have been carried out, or may still be.
    pub(super) open: bool,
    /// Whether what was made found no room, and is being taken away.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    spoilt: bool,
}

/// What was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) id: String,
    /// Those that had not ended well when the answer came; `None` when no answer came.
    #[serde(default)]
    actions: Option<Vec<String>>,
    #[serde(default)]
    facts: MachineFacts,
}

/// Reads a note; one that is null or of another version is none.
pub(super) fn note<T: DeserializeOwned>(journal: &dyn Journal, key: &str) -> Option<T> {
    serde_json::from_value(journal.get(key)?).ok()
}

pub(super) fn attempt_noted(journal: &dyn Journal) -> Option<Attempt> {
    note(journal, CREATE)
}

pub(super) fn made_noted(journal: &dyn Journal) -> Option<Made> {
    note(journal, SERVER)
}

pub(super) async fn run(
    core: &Core,
    wish: &ProvisionWish,
    journal: &mut dyn Journal,
) -> Result<Machine, ProviderError> {
    labels::check(&wish.labels)?;
    loop {
        let begun = Instant::now();
        let (made, fresh) = match made_noted(journal) {
            Some(made) => {
                journal.found(made.facts.clone()).await?;
                (made, false)
            }
            None => {
                journal.step("ensure_ssh_key", "Register the SSH key").await?;
                keys::ensure(core, &wish.managed_key).await?;
                journal.step("create_server", "Create the server").await?;
                (create(core, wish, begun, journal).await?, true)
            }
        };
        let spoilt = attempt_noted(journal).is_some_and(|attempt| attempt.spoilt);
        let ended = if spoilt { Err(no_capacity()) } else { started(core, &made, fresh, wish, journal).await };
        match ended {
            Err(error) if error.code == Code::ProviderCapacity => put_away(core, wish, made, error, journal).await?,
            other => return other,
        }
    }
}

/// Waits until the server runs.
async fn started(
    core: &Core,
    made: &Made,
    fresh: bool,
    wish: &ProvisionWish,
    journal: &mut dyn Journal,
) -> Result<Machine, ProviderError> {
    journal.step("start_server", "Start the server").await?;
    let deadline = Instant::now() + core.timeouts.action;
    let actions = match &made.actions {
        Some(actions) => actions.clone(),
        None => actions_of(core, &made.id).await?,
    };
    actions_end(core, &actions, deadline, journal).await?;
    journal.step("fetch_server", "Read the server's addresses").await?;
    // A create that was answered told the addresses, and its actions that it runs: where calls are
    // few, that is enough.
    let told = fresh && made.actions.is_some() && made.facts.host.is_some();
    let facts =
        if told && core.is_short() { made.facts.clone() } else { fetch(core, made.clone(), deadline, journal).await? };
    machine(facts, wish)
}

/// The vendor accepted the create and then found no room: what stands there is taken away, since
/// it bills and holds the name, and the next pair is tried.
///
/// # Errors
/// `spoilt` itself when there is no next pair; whatever keeps the server from being taken away.
async fn put_away(
    core: &Core,
    wish: &ProvisionWish,
    made: Made,
    spoilt: ProviderError,
    journal: &mut dyn Journal,
) -> Result<(), ProviderError> {
    let mut attempt = attempt_noted(journal).unwrap_or_default();
    attempt.spoilt = true;
    attempt_put(journal, attempt).await?;
    journal.detail("No room after all: taking the server away again", None).await?;
    let target = MachineTarget {
        infra_id: Some(made.id.clone()),
        server_name: wish.server_name.clone(),
        node_id: wish.node_id.clone(),
    };
    if let Some(server) = find::ours_by_id(core, &made.id, &target).await? {
        destroy::deleted(core, server, journal).await.map_err(|error| error.with_effect(Effect::Happened))?;
    }
    journal.put(SERVER, Value::Null).await?;
    let next = attempt.attempted + 1;
    let is_last = next >= wish.pairs.len();
    let attempt = Attempt { attempted: if is_last { 0 } else { next }, open: false, spoilt: false };
    attempt_put(journal, attempt).await?;
    if is_last { Err(spoilt.with_effect(Effect::None)) } else { Ok(()) }
}

fn no_capacity() -> ProviderError {
    ProviderError::new(Code::ProviderCapacity, "There was no capacity for this type at this location.")
}

fn machine(facts: MachineFacts, wish: &ProvisionWish) -> Result<Machine, ProviderError> {
    let (Some(infra_id), Some(host)) = (facts.infra_id, facts.host) else {
        return Err(unreadable(Intent::Read, None).with_effect(Effect::Happened));
    };
    Ok(Machine {
        infra_id,
        action_id: facts.action_id,
        ipv4: facts.ipv4,
        ipv6: facts.ipv6,
        host,
        server_type: facts.server_type.unwrap_or_default(),
        location: facts.location.unwrap_or_default(),
        image: facts.image.unwrap_or_else(|| wish.image.clone()),
        price_monthly: facts.price_monthly,
        price_hourly: facts.price_hourly,
        cockpit_port: None,
    })
}

/// `begun`: what was known before this moment may be out of date.
async fn create(
    core: &Core,
    wish: &ProvisionWish,
    mut begun: Instant,
    journal: &mut dyn Journal,
) -> Result<Made, ProviderError> {
    let mut attempt = attempt_noted(journal).unwrap_or_default();
    if attempt.open
        && let Some(made) = adopted(core, wish, &mut attempt, journal).await?
    {
        return Ok(made);
    }
    let mut with = With::ask(core, wish).await?;
    let mut refusal = None;
    let first = if attempt.attempted < wish.pairs.len() { attempt.attempted } else { 0 };
    let mut pairs = wish.pairs.iter().enumerate().skip(first);
    let mut turn = pairs.next();
    while let Some((index, pair)) = turn {
        if index > 0 && !journal.may_try(pair).await? {
            refusal.get_or_insert_with(|| no_capacity().with_effect(Effect::None));
            turn = pairs.next();
            continue;
        }
        // An earlier create without an answer stays open, whatever comes of this one.
        let before = attempt.open;
        attempt = Attempt { attempted: index, open: true, spoilt: false };
        attempt_put(journal, attempt).await?;
        journal.detail(&format!("{} at {}", pair.server_type, pair.location), None).await?;
        let order = with.order(wish, pair);
        let error = match core.write(Class::Make, Method::POST, "/servers", Some(&order), Scope::Collection).await {
            Ok(answer) => match Server::read(&answer["server"]) {
                Some(server) => return created(wish, pair, &server, Some(Action::all_in(&answer)), journal).await,
                None => answer.unreadable(),
            },
            Err(error) => error,
        };
        if error.effect == Effect::Unknown {
            return match adopted(core, wish, &mut attempt, journal).await? {
                Some(made) => Ok(made),
                None if error.code == Code::ProviderNameConflict => Err(name_held()),
                None => Err(error),
            };
        }
        attempt.open = before;
        attempt_put(journal, attempt).await?;
        match error.code {
            Code::ProviderCapacity => turn = pairs.next(),
            // A key or a firewall that was known may be gone; what is asked for anew is right.
            Code::ProviderInvalidRequest if core.known.forget(begun).await => {
                begun = Instant::now();
                with = With::ask(core, wish).await?;
            }
            _ => return Err(error),
        }
        refusal = Some(error);
    }
    // Another run begins with the first pair again.
    attempt.attempted = 0;
    attempt_put(journal, attempt).await?;
    Err(refusal.unwrap_or_else(|| {
        ProviderError::new(Code::ProviderInvalidRequest, "There is no server type and location to try.")
    }))
}

async fn attempt_put(journal: &mut dyn Journal, attempt: Attempt) -> Result<(), JournalLost> {
    journal.put(CREATE, json!(attempt)).await
}

/// What an order takes from the project: the managed key, and the firewalls.
struct With {
    key: String,
    firewalls: Vec<Value>,
}

impl With {
    async fn ask(core: &Core, wish: &ProvisionWish) -> Result<Self, ProviderError> {
        let key = keys::ensure(core, &wish.managed_key).await?;
        Ok(Self { key, firewalls: firewalls::entries(core, &wish.firewalls).await? })
    }

    fn order(&self, wish: &ProvisionWish, pair: &Pair) -> Value {
        // The vendor takes names and ids; ids as numbers.
        let id = |text: &str| text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number));
        let mut order = json!({
            "name": wish.server_name,
            "server_type": pair.server_type,
            "location": pair.location,
            "image": wish.image,
            // Without a key the answer would hold a root password.
            "ssh_keys": [id(&self.key)],
            "labels": labels::of_wish(wish),
            "start_after_create": true,
            "public_net": {"enable_ipv4": wish.ipv4, "enable_ipv6": true},
        });
        if let Some(user_data) = &wish.user_data {
            order["user_data"] = json!(user_data);
        }
        if !self.firewalls.is_empty() {
            order["firewalls"] = json!(self.firewalls);
        }
        order
    }
}

/// Notes what was made, before anything else is done. `actions` is `None` when no answer told.
async fn created(
    wish: &ProvisionWish,
    pair: &Pair,
    server: &Server,
    actions: Option<Vec<Action>>,
    journal: &mut dyn Journal,
) -> Result<Made, ProviderError> {
    let mut facts = MachineFacts {
        server_type: Some(pair.server_type.clone()),
        location: Some(pair.location.clone()),
        image: Some(wish.image.clone()),
        action_id: actions.as_ref().and_then(|actions| actions.first()).map(|action| action.id.clone()),
        ..MachineFacts::default()
    };
    facts.merge(server.facts());
    let same = |it: &&Pair| {
        Some(&it.server_type) == facts.server_type.as_ref() && Some(&it.location) == facts.location.as_ref()
    };
    if let Some(pair) = wish.pairs.iter().find(same) {
        facts.price_monthly.clone_from(&pair.price_monthly);
        facts.price_hourly.clone_from(&pair.price_hourly);
    }
    let open = actions.map(|actions| {
        actions.into_iter().filter(|action| action.state != ActionState::Success).map(|action| action.id).collect()
    });
    let made = Made { id: server.id.clone(), actions: open, facts };
    let value = json!({"id": made.id, "actions": made.actions, "facts": made.facts});
    journal.put(SERVER, value).await?;
    journal.found(made.facts.clone()).await?;
    Ok(made)
}

/// Looks whether a create whose answer is not known was carried out.
async fn adopted(
    core: &Core,
    wish: &ProvisionWish,
    attempt: &mut Attempt,
    journal: &mut dyn Journal,
) -> Result<Option<Made>, ProviderError> {
    let found = find::by_name(core, Class::Make, &wish.server_name)
        .await
        .map_err(|error| error.with_effect(Effect::Unknown))?;
    let Some(server) = found else { return Ok(None) };
    if !labels::is_nodes(&server, &wish.instance, &wish.node_id) {
        // Whoever holds the name keeps ours from ever being made.
        attempt.open = false;
        attempt_put(journal, *attempt).await?;
        let message = "A server of this name stands in the project and is not this node's; it was left alone.";
        return Err(ProviderError::new(Code::ProviderNameConflict, message));
    }
    if server.power == MachinePower::Deleting {
        return Err(name_held());
    }
    let Some(pair) = wish.pairs.get(attempt.attempted).or(wish.pairs.first()) else { return Ok(None) };
    journal.detail("The server exists already and is taken over", None).await?;
    created(wish, pair, &server, None, journal).await.map(Some)
}

fn name_held() -> ProviderError {
    let message = "The name is still held by a server that is being deleted.";
    ProviderError::new(Code::ProviderLocked, message).with_effect(Effect::Unknown)
}

/// The actions of a server whose create went unanswered. Not every implementation lists them:
/// then the server's own status has to do.
async fn actions_of(core: &Core, id: &str) -> Result<Vec<String>, ProviderError> {
    let path = format!("/servers/{id}/actions");
    let deadline = Instant::now() + core.timeouts.read;
    let Ok(body) = core.get_patiently(Class::Make, &path, &[], Scope::Resource, deadline).await else {
        return Ok(Vec::new());
    };
    let mut running = Vec::new();
    for action in body["actions"].as_array().into_iter().flatten().filter_map(Action::read) {
        let makes_it = matches!(action.command.as_str(), "create_server" | "start_server");
        match action.state {
            ActionState::Error if makes_it => return Err(failed(&action)),
            ActionState::Running => running.push(action.id),
            _ => {}
        }
    }
    Ok(running)
}

/// Reads the server until it runs and is known to be reached.
async fn fetch(
    core: &Core,
    made: Made,
    deadline: Instant,
    journal: &mut dyn Journal,
) -> Result<MachineFacts, ProviderError> {
    let gone = || {
        let message = "The server vanished while it was being made.";
        ProviderError::new(Code::ProviderResourceGone, message)
    };
    let mut facts = made.facts;
    let mut poll = Poll::until(core, deadline);
    let mut due = soon(core);
    loop {
        let trouble = match core.servers.told(core, &made.id, due).await {
            Ok(None) => return Err(gone()),
            Ok(Some(server)) if server.power == MachinePower::Deleting => return Err(gone()),
            Ok(Some(server)) => {
                let before = facts.clone();
                facts.merge(server.facts());
                if facts != before {
                    journal.found(facts.clone()).await?;
                }
                if server.power == MachinePower::Running && facts.host.is_some() {
                    return Ok(facts);
                }
                None
            }
            Err(error) => Some(error),
        };
        due = poll.due(trouble, core.servers.calls())?;
    }
}
