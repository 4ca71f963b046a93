//! Firewalls: `/firewalls`. Rule: one that is applied to anything cannot be deleted; unlike servers
//! they take several changes at once, in the order they came.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    action::action_json,
    clock::{Action, Effect, Resource, Start},
    firewall_rules::rules_of,
    query::{Selector, labels_of, page, text_of},
    reply::Reply,
    route::Call,
    world::{Firewall, Target, World, timestamp},
};

fn target_json(world: &World, target: &Target) -> Value {
    match target {
        Target::Server(id) => json!({"type": "server", "server": {"id": id}}),
        Target::Selector(text) => {
            let selector = Selector::parse(text);
            let servers = world.saved.servers.values();
            let servers = servers.filter(|it| selector.as_ref().is_some_and(|selector| selector.selects(&it.labels)));
            let resources: Vec<Value> = servers.map(|it| json!({"type": "server", "server": {"id": it.id}})).collect();
            json!({
                "type": "label_selector",
                "label_selector": {"selector": text},
                "applied_to_resources": resources,
            })
        }
    }
}

fn firewall_json(world: &World, it: &Firewall) -> Value {
    json!({
        "id": it.id,
        "name": it.name,
        "labels": it.labels,
        "created": it.created,
        "rules": it.rules,
        "applied_to": it.applied.iter().map(|target| target_json(world, target)).collect::<Vec<_>>(),
    })
}

fn find<'a>(world: &'a World, id: &str) -> Result<&'a Firewall, Reply> {
    let found = id.parse().ok().and_then(|id: u64| world.saved.firewalls.get(&id));
    found.ok_or_else(|| Reply::not_found("firewall", id))
}

fn name_check(world: &World, name: &str, own: Option<u64>) -> Result<(), Reply> {
    if name.is_empty() || name.chars().count() > 128 {
        return Err(Reply::invalid("name", "must have 1 to 128 characters"));
    }
    if world.saved.firewalls.values().any(|it| it.name == name && Some(it.id) != own) {
        return Err(Reply::taken("name", "firewall name is already used"));
    }
    Ok(())
}

/// The targets that a request names under `field`, each of which must be there.
fn targets_of(world: &World, body: &Map<String, Value>, field: &str) -> Result<Option<Vec<Target>>, Reply> {
    let list = match body.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Reply::invalid(field, "must be a list")),
    };
    let target = |it: &Value| match it["type"].as_str() {
        Some("server") => {
            let id = it["server"]["id"].as_u64().ok_or_else(|| Reply::invalid(field, "server is required"))?;
            let there = world.saved.servers.contains_key(&id);
            let message = "firewall resource not found";
            let missing = || Reply::error(StatusCode::UNPROCESSABLE_ENTITY, "firewall_resource_not_found", message);
            there.then_some(Target::Server(id)).ok_or_else(missing)
        }
        Some("label_selector") => {
            let text = it["label_selector"]["selector"].as_str().filter(|text| Selector::parse(text).is_some());
            let text = text.ok_or_else(|| Reply::invalid(field, "is not a label selector"))?;
            Ok(Target::Selector(text.to_owned()))
        }
        _ => Err(Reply::invalid(field, "type must be server or label_selector")),
    };
    list.iter().map(target).collect::<Result<_, _>>().map(Some)
}

pub(super) fn list(world: &World, call: &Call) -> Result<Reply, Reply> {
    let query = &call.query;
    let labels = query.selector()?;
    let items = world.saved.firewalls.values();
    let items = items.filter(|it| query.keeps("name", &it.name) && labels.selects(&it.labels));
    let items = items.map(|it| firewall_json(world, it)).collect();
    page(query, "firewalls", &["id", "name", "created"], items)
}

pub(super) fn get(world: &World, id: &str) -> Result<Reply, Reply> {
    Ok(Reply::ok(json!({"firewall": firewall_json(world, find(world, id)?)})))
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Reply, Reply> {
    let body = call.object()?;
    let name = text_of(body, "name")?.ok_or_else(|| Reply::invalid("name", "is required"))?;
    name_check(world, name, None)?;
    let (labels, rules) = (labels_of(body)?.unwrap_or_default(), rules_of(body)?.unwrap_or_default());
    let targets = targets_of(world, body, "apply_to")?.unwrap_or_default();
    let has_rules = !rules.is_empty();
    let id = world.next_id();
    let firewall = Firewall { id, name: name.to_owned(), labels, created: timestamp(), rules, applied: Vec::new() };
    world.saved.firewalls.insert(id, firewall);
    world.changed = true;
    let mut actions = Vec::new();
    if has_rules {
        let action = start(world, call, "set_firewall_rules", (id, None), Effect::Nothing);
        actions.push(action_json(&action, call.now));
    }
    actions.extend(apply(world, call, id, targets));
    let firewall = world.saved.firewalls.get(&id).map(|it| firewall_json(world, it));
    Ok(Reply::created(json!({"firewall": firewall, "actions": actions})))
}

pub(super) fn update(world: &mut World, call: &Call, id: &str) -> Result<Reply, Reply> {
    let id = find(world, id)?.id;
    let body = call.object()?;
    let name = text_of(body, "name")?;
    if let Some(name) = name {
        name_check(world, name, Some(id))?;
    }
    let labels = labels_of(body)?;
    if let Some(it) = world.saved.firewalls.get_mut(&id) {
        it.name = name.map_or_else(|| it.name.clone(), ToOwned::to_owned);
        it.labels = labels.unwrap_or_else(|| it.labels.clone());
    }
    world.changed = true;
    get(world, &id.to_string())
}

pub(super) fn delete(world: &mut World, id: &str) -> Result<Reply, Reply> {
    let it = find(world, id)?;
    if !it.applied.is_empty() {
        let message = "firewall is still in use";
        return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, "resource_in_use", message));
    }
    let id = it.id;
    world.saved.firewalls.remove(&id);
    world.changed = true;
    Ok(Reply::no_content())
}

pub(super) fn run(world: &mut World, call: &Call, id: &str, command: &str) -> Result<Reply, Reply> {
    let firewall = find(world, id)?;
    let (id, applied) = (firewall.id, firewall.applied.clone());
    if !["apply_to_resources", "remove_from_resources", "set_rules"].contains(&command) {
        return Err(Reply::error(StatusCode::NOT_FOUND, "not_found", "no such firewall action"));
    }
    let body = call.object()?;
    let unprocessable = |code, message| Reply::error(StatusCode::UNPROCESSABLE_ENTITY, code, message);
    let actions = match command {
        "apply_to_resources" => {
            let targets = targets_of(world, body, "apply_to")?;
            let targets = targets.ok_or_else(|| Reply::invalid("apply_to", "is required"))?;
            if targets.iter().any(|target| applied.contains(target)) {
                return Err(unprocessable("firewall_already_applied", "firewall is already applied"));
            }
            apply(world, call, id, targets)
        }
        "remove_from_resources" => {
            let targets = targets_of(world, body, "remove_from")?;
            let targets = targets.ok_or_else(|| Reply::invalid("remove_from", "is required"))?;
            if !targets.iter().all(|target| applied.contains(target)) {
                return Err(unprocessable("firewall_already_removed", "firewall is not applied"));
            }
            let remove = |target: Target| {
                let about = (id, Some(target.clone()));
                let action =
                    start(world, call, "remove_firewall", about, Effect::FirewallRemove { targets: vec![target] });
                action_json(&action, call.now)
            };
            targets.into_iter().map(remove).collect()
        }
        _ => {
            let rules = rules_of(body)?.ok_or_else(|| Reply::invalid("rules", "is required"))?;
            let action = start(world, call, "set_firewall_rules", (id, None), Effect::FirewallRules { rules });
            vec![action_json(&action, call.now)]
        }
    };
    Ok(Reply::created(json!({"actions": actions})))
}

fn apply(world: &mut World, call: &Call, id: u64, targets: Vec<Target>) -> Vec<Value> {
    let apply = |target: Target| {
        let about = (id, Some(target.clone()));
        let action = start(world, call, "apply_firewall", about, Effect::FirewallApply { targets: vec![target] });
        action_json(&action, call.now)
    };
    targets.into_iter().map(apply).collect()
}

/// Starts an action on a firewall, about a target of it too.
fn start(world: &mut World, call: &Call, command: &str, (id, target): (u64, Option<Target>), effect: Effect) -> Action {
    let mut resources = vec![Resource::new("firewall", id)];
    if let Some(Target::Server(server)) = target {
        resources.push(Resource::new("server", server));
    }
    world.action_start(Start { command, subject: id, resources, effect, steps: 1 }, &call.course, call.now)
}
