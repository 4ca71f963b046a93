//! DNS zones: `/zones`. Rule: a zone is named by its id or its name, and every change of it is an
//! action.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    action::action_json,
    clock::{Effect, Resource, Start},
    query::{flag_of, labels_of, page, text_of},
    reply::Reply,
    route::Call,
    rrsets,
    world::{Record, Rrset, World, Zone, timestamp},
};

const NAMESERVERS: [&str; 3] = ["hydrogen.ns.hetzner.com.", "oxygen.ns.hetzner.com.", "helium.ns.hetzner.de."];

/// Seconds, where a request does not say.
const TTL: u32 = 3600;

fn zone_json(world: &World, zone: &Zone) -> Value {
    json!({
        "id": zone.id,
        "name": zone.name,
        "mode": "primary",
        // Of secondary zones only, but clients count on the list.
        "primary_nameservers": [],
        "status": if world.is_locked(zone.id) { "updating" } else { "ok" },
        "ttl": zone.ttl,
        "record_count": zone.rrsets.values().map(|rrset| rrset.records.len()).sum::<usize>(),
        "labels": zone.labels,
        "protection": {"delete": zone.protected},
        "created": zone.created,
        "registrar": "other",
        "authoritative_nameservers": {
            "assigned": NAMESERVERS,
            "delegated": NAMESERVERS,
            "delegation_last_check": zone.created,
            "delegation_status": "valid",
        },
    })
}

/// The zone with this id or name.
pub(super) fn find<'a>(world: &'a World, key: &str) -> Result<&'a Zone, Reply> {
    let mut zones = world.saved.zones.values();
    zones.find(|zone| zone.name == key || zone.id.to_string() == key).ok_or_else(|| Reply::not_found("zone", key))
}

/// The same, if nothing runs on it.
pub(super) fn find_unlocked<'a>(world: &'a World, key: &str) -> Result<&'a Zone, Reply> {
    let zone = find(world, key)?;
    if world.is_locked(zone.id) {
        return Err(Reply::locked("zone is locked: another action is running"));
    }
    Ok(zone)
}

/// A TTL of a request: 60 seconds to 68 years.
pub(super) fn ttl_of(body: &Map<String, Value>) -> Result<Option<u32>, Reply> {
    match body.get("ttl") {
        None | Some(Value::Null) => Ok(None),
        Some(ttl) => {
            let ttl = ttl.as_u64().and_then(|ttl| u32::try_from(ttl).ok());
            let ttl = ttl.filter(|ttl| (60..=2_147_483_647).contains(ttl));
            ttl.map(Some).ok_or_else(|| Reply::invalid("ttl", "must be between 60 and 2147483647"))
        }
    }
}

fn is_zone_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(label)
}

pub(super) fn list(world: &World, call: &Call) -> Result<Reply, Reply> {
    let query = &call.query;
    query.one_of("mode", &["primary", "secondary"])?;
    let labels = query.selector()?;
    let items = world.saved.zones.values().filter(|zone| {
        query.keeps("name", &zone.name) && query.keeps("mode", "primary") && labels.selects(&zone.labels)
    });
    page(query, "zones", &["id", "name", "created"], items.map(|zone| zone_json(world, zone)).collect())
}

pub(super) fn get(world: &World, key: &str) -> Result<Reply, Reply> {
    Ok(Reply::ok(json!({"zone": zone_json(world, find(world, key)?)})))
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Reply, Reply> {
    let body = call.object()?;
    let name = text_of(body, "name")?.filter(|name| is_zone_name(name));
    let name = name.ok_or_else(|| Reply::invalid("name", "must be a lower-case domain name"))?;
    let unsupported = |message| Reply::error(StatusCode::UNPROCESSABLE_ENTITY, "unsupported_error", message);
    match text_of(body, "mode")? {
        Some("primary") => {}
        Some("secondary") => return Err(unsupported("this simulator has primary zones only")),
        _ => return Err(Reply::invalid("mode", "must be primary or secondary")),
    }
    if text_of(body, "zonefile")?.is_some() {
        return Err(unsupported("this simulator reads no zone files"));
    }
    let (ttl, labels) = (ttl_of(body)?.unwrap_or(TTL), labels_of(body)?.unwrap_or_default());
    let orders = match body.get("rrsets") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(orders)) => orders.iter().map(rrsets::order_of).collect::<Result<Vec<_>, _>>()?,
        Some(_) => return Err(Reply::invalid("rrsets", "must be a list")),
    };
    if find(world, name).is_ok() {
        return Err(Reply::taken("name", "zone name is already used"));
    }
    let soa = format!("hydrogen.ns.hetzner.com. dns.hetzner.com. {} 86400 10800 3600000 3600", 2_026_110_100);
    let own = [("SOA", vec![soa]), ("NS", NAMESERVERS.map(ToOwned::to_owned).to_vec())];
    let own = own.into_iter().map(|(kind, values)| Rrset {
        id: 0,
        name: "@".to_owned(),
        kind: kind.to_owned(),
        ttl: None,
        labels: Default::default(),
        records: values.into_iter().map(|value| Record { value, comment: None }).collect(),
        protected: false,
    });
    let id = world.next_id();
    let mut zone = Zone {
        id,
        name: name.to_owned(),
        ttl,
        labels,
        created: timestamp(),
        protected: false,
        rrsets: Default::default(),
    };
    for rrset in own.chain(orders) {
        rrsets::room_check(&zone, &rrset.name, &rrset.kind)?;
        let id = world.next_id();
        zone.rrsets.insert(id, Rrset { id, ..rrset });
    }
    world.saved.zones.insert(id, zone);
    let action = start(world, call, "create_zone", id, Effect::Nothing);
    let zone = world.saved.zones.get(&id).map(|zone| zone_json(world, zone));
    Ok(Reply::created(json!({"zone": zone, "action": action})))
}

fn start(world: &mut World, call: &Call, command: &str, id: u64, effect: Effect) -> Value {
    let start = Start { command, subject: id, resources: vec![Resource::new("zone", id)], effect, steps: 1 };
    let action = world.action_start(start, &call.course, call.now);
    action_json(&action, call.now)
}

pub(super) fn update(world: &mut World, call: &Call, key: &str) -> Result<Reply, Reply> {
    let id = find(world, key)?.id;
    let labels = labels_of(call.object()?)?;
    if let (Some(zone), Some(labels)) = (world.saved.zones.get_mut(&id), labels) {
        zone.labels = labels;
    }
    world.changed = true;
    get(world, key)
}

pub(super) fn delete(world: &mut World, call: &Call, key: &str) -> Result<Reply, Reply> {
    let zone = find_unlocked(world, key)?;
    if zone.protected {
        return Err(Reply::protected("zone deletion is protected"));
    }
    let id = zone.id;
    Ok(Reply::created(json!({"action": start(world, call, "delete_zone", id, Effect::ZoneDelete)})))
}

pub(super) fn run(world: &mut World, call: &Call, key: &str, command: &str) -> Result<Reply, Reply> {
    find(world, key)?;
    let body = call.object()?;
    let (command, effect) = match command {
        "change_ttl" => {
            let ttl = ttl_of(body)?.ok_or_else(|| Reply::invalid("ttl", "is required"))?;
            ("change_zone_ttl", Effect::ZoneTtl { ttl })
        }
        "change_protection" => {
            let delete = flag_of(body, "delete")?.unwrap_or(find(world, key)?.protected);
            ("change_zone_protection", Effect::ZoneProtection { delete })
        }
        _ => return Err(Reply::error(StatusCode::NOT_FOUND, "not_found", "no such zone action")),
    };
    let id = find_unlocked(world, key)?.id;
    Ok(Reply::created(json!({"action": start(world, call, command, id, effect)})))
}
