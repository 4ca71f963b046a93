//! Actions as the API tells them. Rule: a list of any actions must name their ids, 25 at most.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    query::page,
    reply::Reply,
    route::Call,
    world::{Action, World},
};

/// An action in full.
pub(super) fn action_json(action: &Action, now: Instant) -> Value {
    let (status, progress) = match (&action.finished, &action.error) {
        (None, _) => ("running", progress(action, now)),
        (Some(_), None) => ("success", 100),
        (Some(_), Some(_)) => ("error", 100),
    };
    let error = action.error.as_ref().filter(|_| action.finished.is_some());
    json!({
        "id": action.id,
        "command": action.command,
        "status": status,
        "progress": progress,
        "started": action.started,
        "finished": action.finished,
        "resources": [{"id": action.server, "type": "server"}],
        "error": error.map(|error| json!({"code": error.code, "message": error.message})),
    })
}

fn progress(action: &Action, now: Instant) -> u64 {
    let Some((begin, due)) = action.clock else { return 0 };
    let whole = due.saturating_duration_since(begin).as_micros().max(1);
    let done = now.saturating_duration_since(begin).as_micros();
    u64::try_from(done * 100 / whole).unwrap_or(99).min(99)
}

/// `GET /actions/{id}`, or the same below a server.
pub(super) fn get(world: &World, call: &Call, server: Option<&str>, id: &str) -> Result<Reply, Reply> {
    let action = id
        .parse()
        .ok()
        .and_then(|id: u64| world.saved.actions.get(&id))
        .filter(|action| server.is_none_or(|server| action.server.to_string() == server))
        .ok_or_else(|| Reply::not_found("action", id))?;
    Ok(Reply::ok(json!({"action": action_json(action, call.now)})))
}

/// `GET /actions?id=1&id=2`; unknown ids are left out.
pub(super) fn list(world: &World, call: &Call) -> Result<Reply, Reply> {
    let ids = call.query.all("id");
    if ids.is_empty() {
        return Err(Reply::invalid("id", "is required"));
    }
    if ids.len() > 25 {
        return Err(Reply::invalid("id", "at most 25 ids"));
    }
    let items = ids.iter().filter_map(|id| world.saved.actions.get(&id.parse().ok()?)).collect();
    answer(call, items)
}

/// `GET /servers/{id}/actions`, also for a server that is gone.
pub(super) fn list_of_server(world: &World, call: &Call, server: &str) -> Result<Reply, Reply> {
    let items: Vec<&Action> =
        world.saved.actions.values().filter(|action| action.server.to_string() == server).collect();
    if items.is_empty() {
        return Err(Reply::not_found("server", server));
    }
    answer(call, items)
}

fn answer(call: &Call, items: Vec<&Action>) -> Result<Reply, Reply> {
    let items = items
        .into_iter()
        .map(|action| action_json(action, call.now))
        .filter(|json| call.query.keeps("status", json["status"].as_str().unwrap_or_default()))
        .collect();
    page(&call.query, "actions", &["id", "command", "status", "started", "finished"], items)
}
