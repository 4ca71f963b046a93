//! Actions as the API tells them. Rule: a list of any actions must name their ids, 25 at most.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{clock::Action, query::page, reply::Reply, route::Call, world::World};

/// An action in full.
pub(super) fn action_json(action: &Action, now: Instant) -> Value {
    let (status, progress) = match (&action.finished, &action.error) {
        (None, _) => ("running", progress(action, now)),
        (Some(_), None) => ("success", 100),
        (Some(_), Some(_)) => ("error", 100),
    };
    let error = action.error.as_ref().filter(|_| action.finished.is_some());
    let resources = if action.resources.is_empty() {
        // State files of before knew servers only.
        json!([{"id": action.subject, "type": "server"}])
    } else {
        json!(action.resources)
    };
    json!({
        "id": action.id,
        "command": action.command,
        "status": status,
        "progress": progress,
        "started": action.started,
        "finished": action.finished,
        "resources": resources,
        "error": error.map(|error| json!({"code": error.code, "message": error.message})),
    })
}

fn progress(action: &Action, now: Instant) -> u64 {
    let Some((begin, due)) = action.clock else { return 0 };
    let whole = due.saturating_duration_since(begin).as_micros().max(1);
    let done = now.saturating_duration_since(begin).as_micros();
    u64::try_from(done * 100 / whole).unwrap_or(99).min(99)
}

/// Whether an action is about the thing of this kind with this id.
fn is_about(action: &Action, kind: &str, id: &str) -> bool {
    let server = action.resources.is_empty() && kind == "server" && action.subject.to_string() == id;
    server || action.resources.iter().any(|it| it.kind == kind && it.id.to_string() == id)
}

/// `GET /actions/{id}`, or the same below a thing: its kind and its id.
pub(super) fn get(world: &World, call: &Call, about: Option<(&str, &str)>, id: &str) -> Result<Reply, Reply> {
    let action = id
        .parse()
        .ok()
        .and_then(|id: u64| world.saved.actions.get(&id))
        .filter(|action| about.is_none_or(|(kind, it)| is_about(action, kind, it)))
        .ok_or_else(|| Reply::not_found("action", id))?;
    Ok(Reply::ok(json!({"action": action_json(action, call.now)})))
}

/// `GET /servers/actions/{id}` and the like: an action about anything of this kind.
pub(super) fn get_of_kind(world: &World, call: &Call, kind: &str, id: &str) -> Result<Reply, Reply> {
    let found = id.parse().ok().and_then(|id: u64| world.saved.actions.get(&id));
    found.filter(|it| it.resources.iter().any(|it| it.kind == kind)).ok_or_else(|| Reply::not_found("action", id))?;
    get(world, call, None, id)
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
    if ids.iter().any(|id| id.parse::<i64>().is_err()) {
        return Err(Reply::invalid("id", "must be a number"));
    }
    let items = ids.iter().filter_map(|id| world.saved.actions.get(&id.parse().ok()?)).collect();
    answer(call, items)
}

/// `GET /servers/{id}/actions` and the like, also for a thing that is gone.
pub(super) fn list_about(world: &World, call: &Call, kind: &str, id: &str) -> Result<Reply, Reply> {
    let items: Vec<&Action> = world.saved.actions.values().filter(|action| is_about(action, kind, id)).collect();
    let there = id.parse().is_ok_and(|id: u64| match kind {
        "server" => world.saved.servers.contains_key(&id),
        "firewall" => world.saved.firewalls.contains_key(&id),
        "zone" => world.saved.zones.contains_key(&id),
        "image" => world.image_find(&id.to_string(), "").is_some(),
        _ => world.saved.primary_ips.contains_key(&id),
    });
    if items.is_empty() && !there {
        return Err(Reply::not_found(kind, id));
    }
    answer(call, items)
}

/// `GET /servers/actions` and the like.
pub(super) fn list_of_kind(world: &World, call: &Call, kind: &str) -> Result<Reply, Reply> {
    let items = world.saved.actions.values();
    let items = items.filter(|action| action.resources.iter().any(|it| it.kind == kind));
    answer(call, items.filter(|action| call.query.keeps("id", &action.id.to_string())).collect())
}

fn answer(call: &Call, items: Vec<&Action>) -> Result<Reply, Reply> {
    let statuses = ["running", "success", "error"];
    if call.query.all("status").iter().any(|status| !statuses.contains(status)) {
        return Err(Reply::invalid("status", "is not a status of an action"));
    }
    let items = items
        .into_iter()
        .map(|action| action_json(action, call.now))
        .filter(|json| call.query.keeps("status", json["status"].as_str().unwrap_or_default()))
        .collect();
    page(&call.query, "actions", &["id", "command", "status", "started", "finished"], items)
}
