//! Primary IPs: `/primary_ips`. Rule: they come with a server and go when its deletion is done;
//! one whose `auto_delete` was taken away stays behind, unassigned and billed.

use std::net::IpAddr;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    action::action_json,
    catalog,
    catalog_api::location_json,
    clock::{Effect, Resource, Start},
    query::{flag_of, labels_of, page, text_of},
    reply::Reply,
    route::Call,
    world::{PrimaryIp, World},
};

impl World {
    /// Names of the addresses of a Primary IP, as far as they were set.
    pub(super) fn dns_ptrs(&self, id: u64) -> Vec<Value> {
        let set = self.saved.primary_ips.get(&id).map(|it| &it.dns_ptr);
        set.into_iter().flatten().map(|(ip, name)| json!({"ip": ip, "dns_ptr": name})).collect()
    }
}

/// A Primary IP in full, as of late 2026: `assignee_type` may be `unassigned`, there is no
/// `datacenter`.
fn primary_ip_json(world: &World, it: &PrimaryIp) -> Value {
    let mut dns_ptr = world.dns_ptrs(it.id);
    if dns_ptr.is_empty() && it.kind == "ipv4" {
        dns_ptr.push(json!({"ip": it.ip, "dns_ptr": format!("static.{}.example.net", it.ip)}));
    }
    json!({
        "id": it.id,
        "name": it.name,
        "labels": it.labels,
        "created": it.created,
        "blocked": false,
        "location": catalog::location(&it.location).map(location_json),
        "ip": it.ip,
        "dns_ptr": dns_ptr,
        "protection": {"delete": it.protected},
        "type": it.kind,
        "auto_delete": it.auto_delete,
        "assignee_type": if it.assignee.is_some() { "server" } else { "unassigned" },
        "assignee_id": it.assignee,
    })
}

fn find<'a>(world: &'a World, id: &str) -> Result<&'a PrimaryIp, Reply> {
    let found = id.parse().ok().and_then(|id: u64| world.saved.primary_ips.get(&id));
    found.ok_or_else(|| Reply::not_found("primary IP", id))
}

pub(super) fn list(world: &World, call: &Call) -> Result<Reply, Reply> {
    let query = &call.query;
    let labels = query.selector()?;
    let items = world
        .saved
        .primary_ips
        .values()
        .filter(|it| query.keeps("name", &it.name) && query.keeps("ip", &it.ip) && labels.selects(&it.labels));
    page(query, "primary_ips", &["id", "created"], items.map(|it| primary_ip_json(world, it)).collect())
}

pub(super) fn get(world: &World, id: &str) -> Result<Reply, Reply> {
    Ok(Reply::ok(json!({"primary_ip": primary_ip_json(world, find(world, id)?)})))
}

pub(super) fn update(world: &mut World, call: &Call, id: &str) -> Result<Reply, Reply> {
    let id = find(world, id)?.id;
    let body = call.object()?;
    let name = text_of(body, "name")?;
    let taken = |name| world.saved.primary_ips.values().any(|it| it.name == name && it.id != id);
    match name {
        Some("") => return Err(Reply::invalid("name", "must not be empty")),
        Some(name) if taken(name) => return Err(Reply::taken("name", "Primary IP name is already used")),
        _ => {}
    }
    let (labels, auto_delete) = (labels_of(body)?, flag_of(body, "auto_delete")?);
    if let Some(it) = world.saved.primary_ips.get_mut(&id) {
        it.name = name.map_or_else(|| it.name.clone(), ToOwned::to_owned);
        it.labels = labels.unwrap_or_else(|| it.labels.clone());
        it.auto_delete = auto_delete.unwrap_or(it.auto_delete);
    }
    world.changed = true;
    get(world, &id.to_string())
}

pub(super) fn delete(world: &mut World, id: &str) -> Result<Reply, Reply> {
    let it = find(world, id)?;
    if it.protected {
        return Err(Reply::protected("Primary IP deletion is protected"));
    }
    if it.assignee.is_some() {
        let message = "Primary IP must be unassigned";
        return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, "must_be_unassigned", message));
    }
    let id = it.id;
    world.saved.primary_ips.remove(&id);
    world.changed = true;
    Ok(Reply::no_content())
}

pub(super) fn run(world: &mut World, call: &Call, id: &str, command: &str) -> Result<Reply, Reply> {
    let it = find(world, id)?;
    let body = call.object()?;
    let (command, effect) = match command {
        "change_protection" => {
            let delete = flag_of(body, "delete")?.ok_or_else(|| Reply::invalid("delete", "is required"))?;
            ("change_protection", Effect::PrimaryIpProtection { delete })
        }
        "change_dns_ptr" => ("change_dns_ptr", dns_ptr_of(body, |ip| it.holds(ip))?),
        _ => return Err(Reply::error(StatusCode::NOT_FOUND, "not_found", "no such Primary IP action")),
    };
    let id = it.id;
    if world.is_locked(id) {
        return Err(Reply::locked("Primary IP is locked: another action is running"));
    }
    let resources = vec![Resource::new("primary_ip", id)];
    let action =
        world.action_start(Start { command, subject: id, resources, effect, steps: 1 }, &call.course, call.now);
    Ok(Reply::created(json!({"action": action_json(&action, call.now)})))
}

/// The change of a name that a request asks for; null takes the name away.
pub(super) fn dns_ptr_of(body: &Map<String, Value>, is_own: impl Fn(&str) -> bool) -> Result<Effect, Reply> {
    let ip = text_of(body, "ip")?.ok_or_else(|| Reply::invalid("ip", "is required"))?;
    let name = text_of(body, "dns_ptr")?.map(ToOwned::to_owned);
    if !body.contains_key("dns_ptr") {
        return Err(Reply::invalid("dns_ptr", "is required"));
    }
    if ip.parse::<IpAddr>().is_err() || !is_own(ip) {
        return Err(Reply::invalid("ip", "is not an address of this resource"));
    }
    Ok(Effect::SetDnsPtr { ip: ip.to_owned(), name })
}
