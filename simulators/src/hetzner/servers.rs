//! Servers: reading, renaming, labels, deletion. Rule: a server that is being deleted is still
//! there, with its name, until the action is done.

use serde_json::{Value, json};

use super::{
    action::action_json,
    catalog,
    catalog_api::{included_traffic, location_json, server_type_json},
    clock::{Effect, Start},
    query::{Selector, labels_of, page_of, text_of},
    reply::Reply,
    route::Call,
    server_actions::disk_of,
    world::{Server, ServerStatus, Target, World},
};

/// A server in full, as of late 2026: it says `location` and no longer `datacenter`.
pub(super) fn server_json(world: &World, server: &Server) -> Value {
    let server_type = catalog::server_type(&server.server_type);
    json!({
        "id": server.id,
        "name": server.name,
        "status": server.status,
        "created": server.created,
        "public_net": {
            "ipv4": server.ipv4.as_ref().map(|(id, ip)| json!({
                "id": id, "ip": ip, "blocked": false, "dns_ptr": dns_ptr(world, *id, &ip.to_string()),
            })),
            "ipv6": server.ipv6.as_ref().map(|(id, network)| json!({
                "id": id, "ip": network, "blocked": false, "dns_ptr": world.dns_ptrs(*id),
            })),
            "floating_ips": [],
            "firewalls": firewalls_of(world, server),
        },
        "private_net": [],
        "server_type": server_type.map(|it| server_type_json(world, it)),
        "location": catalog::location(&server.location).map(location_json),
        "image": world.image_json(server.image),
        "iso": null,
        "rescue_enabled": false,
        "locked": world.is_locked(server.id),
        "backup_window": server.backup_window,
        "outgoing_traffic": 0,
        "ingoing_traffic": 0,
        "included_traffic": included_traffic(&server.location),
        "protection": {"delete": server.protected_delete, "rebuild": server.protected_rebuild},
        "labels": server.labels,
        "volumes": [],
        "load_balancers": [],
        "primary_disk_size": disk_of(server),
        "placement_group": null,
    })
}

fn dns_ptr(world: &World, id: u64, ip: &str) -> String {
    let set = world.saved.primary_ips.get(&id).and_then(|it| it.dns_ptr.get(ip));
    set.cloned().unwrap_or_else(|| format!("static.{ip}.example.net"))
}

/// The firewalls applied to a server, by name or by its labels; pending while that is under way.
fn firewalls_of(world: &World, server: &Server) -> Vec<Value> {
    let applied = |target: &Target| match target {
        Target::Server(id) => *id == server.id,
        Target::Selector(text) => Selector::parse(text).is_some_and(|it| it.selects(&server.labels)),
    };
    let firewalls = world.saved.firewalls.values().filter(|it| it.applied.iter().any(applied));
    firewalls
        .map(|it| {
            let pending = world.is_locked(it.id) || server.status == ServerStatus::Initializing;
            json!({"id": it.id, "status": if pending { "pending" } else { "applied" }})
        })
        .collect()
}

/// The server with this id.
pub(super) fn find<'a>(world: &'a World, id: &str) -> Result<&'a Server, Reply> {
    id.parse().ok().and_then(|id: u64| world.saved.servers.get(&id)).ok_or_else(|| Reply::not_found("server", id))
}

/// The server with this id, if no action runs on it.
pub(super) fn find_unlocked<'a>(world: &'a World, id: &str) -> Result<&'a Server, Reply> {
    let server = find(world, id)?;
    if world.is_locked(server.id) {
        return Err(Reply::locked("server is locked: another action is running"));
    }
    Ok(server)
}

/// A host name after RFC 1123 that no other server has.
pub(super) fn name_check(world: &World, name: &str, own: Option<u64>) -> Result<(), Reply> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(Reply::invalid("name", "must be a valid host name after RFC 1123"));
    }
    if world.saved.servers.values().any(|server| server.name == name && Some(server.id) != own) {
        return Err(Reply::taken("name", "server name is already used"));
    }
    Ok(())
}

pub(super) fn list(world: &World, call: &Call) -> Result<Reply, Reply> {
    let query = &call.query;
    let labels = query.selector()?;
    query.one_of("status", &STATUSES)?;
    let items = world.saved.servers.values().filter(|server| {
        query.keeps("name", &server.name)
            && query.keeps("status", server.status.as_str())
            && labels.selects(&server.labels)
    });
    let field = |server: &&Server, field: &str| match field {
        "name" => json!(server.name),
        "created" => json!(server.created),
        _ => json!(server.id),
    };
    page_of(query, "servers", &["id", "name", "created"], items.collect(), field, |it| server_json(world, it))
}

const STATUSES: [&str; 9] =
    ["running", "initializing", "starting", "stopping", "off", "deleting", "migrating", "rebuilding", "unknown"];

pub(super) fn get(world: &World, id: &str) -> Result<Reply, Reply> {
    Ok(Reply::ok(json!({"server": server_json(world, find(world, id)?)})))
}

pub(super) fn update(world: &mut World, call: &Call, id: &str) -> Result<Reply, Reply> {
    let id = find(world, id)?.id;
    let body = call.object()?;
    let name = text_of(body, "name")?;
    if let Some(name) = name {
        name_check(world, name, Some(id))?;
    }
    let labels = labels_of(body)?;
    if let Some(server) = world.saved.servers.get_mut(&id) {
        if let Some(name) = name {
            name.clone_into(&mut server.name);
        }
        if let Some(labels) = labels {
            server.labels = labels;
        }
    }
    world.changed = true;
    get(world, &id.to_string())
}

pub(super) fn delete(world: &mut World, call: &Call, id: &str) -> Result<Reply, Reply> {
    let server = find_unlocked(world, id)?;
    if server.protected_delete {
        return Err(Reply::protected("server deletion is protected"));
    }
    let id = server.id;
    let action = world.action_start(Start::on_server("delete_server", id, Effect::Delete), &call.course, call.now);
    if let Some(server) = world.saved.servers.get_mut(&id) {
        server.status = ServerStatus::Deleting;
    }
    Ok(Reply::ok(json!({"action": action_json(&action, call.now)})))
}
