//! Record sets: `/zones/{zone}/rrsets`. Rule: one name and type is one set, names are relative to
//! the zone, and every change but that of labels is an action.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

use super::{
    action::action_json,
    clock::{Effect, Resource, Start},
    query::{labels_of, page_up_to, text_of},
    reply::Reply,
    route::Call,
    rrset_change::RrsetChange,
    world::{Record, Rrset, World, Zone},
    zones::{find, find_unlocked, ttl_of},
};

/// The types of records there are.
const TYPES: [&str; 16] =
    ["A", "AAAA", "CAA", "CNAME", "DS", "HINFO", "HTTPS", "MX", "NS", "PTR", "RP", "SOA", "SRV", "SVCB", "TLSA", "TXT"];

/// The usual and the largest page of record sets.
const PER_PAGE: (usize, usize) = (25, 100);

pub(super) fn rrset_json(zone: &Zone, rrset: &Rrset) -> Value {
    let record = |record: &Record| {
        let mut json = json!({"value": record.value});
        if let Some(comment) = &record.comment {
            json["comment"] = comment.as_str().into();
        }
        json
    };
    json!({
        "id": format!("{}/{}", rrset.name, rrset.kind),
        "name": rrset.name,
        "type": rrset.kind,
        "ttl": rrset.ttl,
        "labels": rrset.labels,
        "protection": {"change": rrset.protected},
        "records": rrset.records.iter().map(record).collect::<Vec<_>>(),
        "zone": zone.id,
    })
}

/// The set of this name and type, if there is one.
pub(super) fn find_in<'a>(zone: &'a Zone, name: &str, kind: &str) -> Option<&'a Rrset> {
    zone.rrsets.values().find(|rrset| rrset.name == name && rrset.kind == kind)
}

/// The same, or 404.
pub(super) fn existing<'a>(zone: &'a Zone, (name, kind): (&str, &str)) -> Result<&'a Rrset, Reply> {
    find_in(zone, name, kind).ok_or_else(|| Reply::not_found("rrset", &format!("{name}/{kind}")))
}

/// Refuses a set whose name and type are taken, or which a CNAME rules out.
pub(super) fn room_check(zone: &Zone, name: &str, kind: &str) -> Result<(), Reply> {
    if find_in(zone, name, kind).is_some() {
        return Err(Reply::taken("name", "an RRSet with this name and type already exists"));
    }
    if name == zone.name || name.ends_with(&format!(".{}", zone.name)) {
        return Err(Reply::invalid("name", "must not end with the name of the zone"));
    }
    let mut beside = zone.rrsets.values().filter(|rrset| rrset.name == name);
    if beside.any(|rrset| (rrset.kind == "CNAME") != (kind == "CNAME")) {
        return Err(Reply::invalid("type", "a CNAME stands alone at its name"));
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
    };
    let rest = name.strip_prefix("*.").unwrap_or(name);
    name == "@" || name == "*" || (name.len() <= 253 && rest.split('.').all(label))
}

fn is_value(kind: &str, value: &str) -> bool {
    match kind {
        "A" => value.parse::<Ipv4Addr>().is_ok(),
        "AAAA" => value.parse::<Ipv6Addr>().is_ok(),
        "TXT" => value.len() >= 2 && value.starts_with('"') && value.ends_with('"'),
        _ => !value.trim().is_empty() && !value.contains('\n'),
    }
}

/// The `records` of a request, at least one, all different; `kind` is `None` where values need only
/// name what is there.
pub(super) fn records_of(body: &Map<String, Value>, kind: Option<&str>) -> Result<Vec<Record>, Reply> {
    let bad = |message: &str| Reply::invalid("records", message);
    let list = body.get("records").and_then(Value::as_array).ok_or_else(|| bad("must be a list"))?;
    let mut records: Vec<Record> = Vec::new();
    for item in list {
        let item = item.as_object().ok_or_else(|| bad("must be a list of objects"))?;
        let value = text_of(item, "value")?.ok_or_else(|| bad("value is required"))?;
        if kind.is_some_and(|kind| !is_value(kind, value)) {
            return Err(bad("value does not fit the type"));
        }
        if records.iter().any(|record| record.value == value) {
            return Err(bad("values must differ"));
        }
        records.push(Record { value: value.to_owned(), comment: text_of(item, "comment")?.map(ToOwned::to_owned) });
    }
    match (records.len(), kind) {
        (0, _) => Err(bad("must not be empty")),
        (2.., Some("CNAME")) => Err(bad("a CNAME has one record")),
        _ => Ok(records),
    }
}

/// A checked set; its id comes later.
pub(super) fn order_of(body: &Value) -> Result<Rrset, Reply> {
    let body = body.as_object().ok_or_else(|| Reply::invalid("rrsets", "must be a list of objects"))?;
    let name = text_of(body, "name")?.ok_or_else(|| Reply::invalid("name", "is required"))?;
    let kind = text_of(body, "type")?.ok_or_else(|| Reply::invalid("type", "is required"))?;
    key_check(name, kind)?;
    Ok(Rrset {
        id: 0,
        name: name.to_owned(),
        kind: kind.to_owned(),
        ttl: ttl_of(body)?,
        labels: labels_of(body)?.unwrap_or_default(),
        records: records_of(body, Some(kind))?,
        protected: false,
    })
}

/// Refuses names and types that no set can have.
pub(super) fn key_check(name: &str, kind: &str) -> Result<(), Reply> {
    if !is_name(name) {
        return Err(Reply::invalid("name", "must be lower case and relative to the zone, @ for the zone itself"));
    }
    if !TYPES.contains(&kind) || kind == "SOA" {
        return Err(Reply::invalid("type", "is not a type that can be made"));
    }
    Ok(())
}

pub(super) fn list(world: &World, call: &Call, zone: &str) -> Result<Reply, Reply> {
    let query = &call.query;
    query.one_of("type", &TYPES)?;
    let (zone, labels) = (find(world, zone)?, query.selector()?);
    let items = zone.rrsets.values().filter(|rrset| {
        query.keeps("name", &rrset.name) && query.keeps("type", &rrset.kind) && labels.selects(&rrset.labels)
    });
    let field = |rrset: &&Rrset, field: &str| match field {
        "name" => json!(rrset.name),
        "id" => json!(format!("{}/{}", rrset.name, rrset.kind)),
        _ => json!(rrset.id),
    };
    let sortable = ["id", "name", "created"];
    page_up_to(PER_PAGE, query, "rrsets", &sortable, items.collect(), field, |rrset| rrset_json(zone, rrset))
}

pub(super) fn get(world: &World, zone: &str, name: &str, kind: &str) -> Result<Reply, Reply> {
    let zone = find(world, zone)?;
    Ok(Reply::ok(json!({"rrset": rrset_json(zone, existing(zone, (name, kind))?)})))
}

pub(super) fn create(world: &mut World, call: &Call, zone: &str) -> Result<Reply, Reply> {
    let body = Value::Object(call.object()?.clone());
    find(world, zone)?;
    let rrset = order_of(&body)?;
    let zone = find_unlocked(world, zone)?.id;
    let (id, action) = insert(world, call, zone, rrset, "create_rrset")?;
    let rrset = world.saved.zones.get(&zone).and_then(|zone| Some(rrset_json(zone, zone.rrsets.get(&id)?)));
    Ok(Reply::created(json!({"rrset": rrset, "action": action})))
}

/// Puts a new set in; its id and the action that says so.
pub(super) fn insert(
    world: &mut World,
    call: &Call,
    zone: u64,
    rrset: Rrset,
    command: &str,
) -> Result<(u64, Value), Reply> {
    let id = world.next_id();
    if let Some(zone) = world.saved.zones.get_mut(&zone) {
        room_check(zone, &rrset.name, &rrset.kind)?;
        zone.rrsets.insert(id, Rrset { id, ..rrset });
    }
    Ok((id, start(world, call, command, (zone, id), RrsetChange::Create)))
}

/// Starts a change of a set, which locks that set and no other.
pub(super) fn start(
    world: &mut World,
    call: &Call,
    command: &str,
    (zone, rrset): (u64, u64),
    change: RrsetChange,
) -> Value {
    let resources = vec![Resource::new("zone", zone)];
    let effect = Effect::Rrset { zone, change };
    let action =
        world.action_start(Start { command, subject: rrset, resources, effect, steps: 1 }, &call.course, call.now);
    action_json(&action, call.now)
}

/// The ids of a set that may be changed now, and of its zone.
pub(super) fn changeable(world: &World, zone: &str, key: (&str, &str)) -> Result<(u64, u64), Reply> {
    let zone = find_unlocked(world, zone)?;
    let rrset = existing(zone, key)?;
    if rrset.protected {
        return Err(Reply::protected("RRSet is protected"));
    }
    if world.is_locked(rrset.id) {
        return Err(Reply::locked("RRSet is locked: another action is running"));
    }
    Ok((zone.id, rrset.id))
}

pub(super) fn update(world: &mut World, call: &Call, zone: &str, key: (&str, &str)) -> Result<Reply, Reply> {
    let found = find(world, zone)?;
    let (zone_id, id) = (found.id, existing(found, key)?.id);
    let labels = labels_of(call.object()?)?;
    let rrset = world.saved.zones.get_mut(&zone_id).and_then(|zone| zone.rrsets.get_mut(&id));
    if let (Some(rrset), Some(labels)) = (rrset, labels) {
        rrset.labels = labels;
    }
    world.changed = true;
    get(world, zone, key.0, key.1)
}

pub(super) fn delete(world: &mut World, call: &Call, zone: &str, key: (&str, &str)) -> Result<Reply, Reply> {
    let about = changeable(world, zone, key)?;
    if key.1 == "SOA" {
        return Err(Reply::invalid("type", "the SOA cannot be deleted"));
    }
    Ok(Reply::created(json!({"action": start(world, call, "delete_rrset", about, RrsetChange::Delete)})))
}
