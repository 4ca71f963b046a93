//! What can be done to a record set: `/zones/{zone}/rrsets/{name}/{type}/actions/{command}`. Rule:
//! records are told apart by their value; adding makes the set, removing the last record ends it.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    query::flag_of,
    reply::Reply,
    route::Call,
    rrset_change::RrsetChange,
    rrsets::{changeable, existing, insert, key_check, records_of, start},
    world::{Rrset, World},
    zones::{find, find_unlocked, ttl_of},
};

pub(super) fn run(
    world: &mut World,
    call: &Call,
    zone: &str,
    key: (&str, &str),
    command: &str,
) -> Result<Reply, Reply> {
    find(world, zone)?;
    let body = call.object()?;
    if command == "add_records" && existing(find(world, zone)?, key).is_err() {
        return add_new(world, call, zone, key, body);
    }
    let (command, change) = match command {
        "add_records" => add(world, zone, key, body)?,
        "remove_records" => remove(world, zone, key, body)?,
        "set_records" => ("set_rrset_records", RrsetChange::Set { records: records_of(body, Some(key.1))? }),
        "update_records" => comment(world, zone, key, body)?,
        "change_ttl" => {
            if !body.contains_key("ttl") {
                return Err(Reply::invalid("ttl", "is required"));
            }
            ("change_rrset_ttl", RrsetChange::Ttl { ttl: ttl_of(body)? })
        }
        "change_protection" => {
            let change = flag_of(body, "change")?.ok_or_else(|| Reply::invalid("change", "is required"))?;
            return protect(world, call, zone, key, change);
        }
        _ => return Err(Reply::error(StatusCode::NOT_FOUND, "not_found", "no such RRSet action")),
    };
    let about = changeable(world, zone, key)?;
    let action = start(world, call, command, about, change);
    let reply = Reply::created(json!({"action": action}));
    // The one action that the vendor answers with 200.
    let status = if command == "update_rrset_records" { StatusCode::OK } else { reply.status };
    Ok(Reply { status, ..reply })
}

/// Protection itself can be changed while it holds.
fn protect(world: &mut World, call: &Call, zone: &str, key: (&str, &str), change: bool) -> Result<Reply, Reply> {
    let zone = find_unlocked(world, zone)?;
    let about = (zone.id, existing(zone, key)?.id);
    if world.is_locked(about.1) {
        return Err(Reply::locked("RRSet is locked: another action is running"));
    }
    let action = start(world, call, "change_rrset_protection", about, RrsetChange::Protect { change });
    Ok(Reply::created(json!({"action": action})))
}

fn add_new(
    world: &mut World,
    call: &Call,
    zone: &str,
    (name, kind): (&str, &str),
    body: &Map<String, Value>,
) -> Result<Reply, Reply> {
    key_check(name, kind)?;
    let rrset = Rrset {
        id: 0,
        name: name.to_owned(),
        kind: kind.to_owned(),
        ttl: ttl_of(body)?,
        labels: Default::default(),
        records: records_of(body, Some(kind))?,
        protected: false,
    };
    let zone = find_unlocked(world, zone)?.id;
    let (_, action) = insert(world, call, zone, rrset, "add_rrset_records")?;
    Ok(Reply::created(json!({"action": action})))
}

type Change = (&'static str, RrsetChange);

fn add(world: &World, zone: &str, key: (&str, &str), body: &Map<String, Value>) -> Result<Change, Reply> {
    let rrset = existing(find(world, zone)?, key)?;
    let there = &rrset.records;
    let (records, ttl) = (records_of(body, Some(key.1))?, ttl_of(body)?);
    if records.iter().any(|record| there.iter().any(|it| it.value == record.value)) {
        return Err(Reply::taken("records", "a record with this value already exists"));
    }
    if ttl.is_some() && rrset.ttl.is_some() && ttl != rrset.ttl {
        return Err(Reply::invalid("ttl", "must be the one the RRSet has"));
    }
    if key.1 == "CNAME" {
        return Err(Reply::invalid("records", "a CNAME has one record"));
    }
    Ok(("add_rrset_records", RrsetChange::Add { records, ttl }))
}

fn remove(world: &World, zone: &str, key: (&str, &str), body: &Map<String, Value>) -> Result<Change, Reply> {
    let records = records_of(body, None)?;
    all_there(world, zone, key, &records.iter().map(|it| it.value.as_str()).collect::<Vec<_>>())?;
    let values = records.into_iter().map(|record| record.value).collect();
    Ok(("remove_rrset_records", RrsetChange::Remove { values }))
}

fn comment(world: &World, zone: &str, key: (&str, &str), body: &Map<String, Value>) -> Result<Change, Reply> {
    let records = records_of(body, None)?;
    all_there(world, zone, key, &records.iter().map(|it| it.value.as_str()).collect::<Vec<_>>())?;
    if records.iter().any(|record| record.comment.is_none()) {
        return Err(Reply::invalid("records", "comment is required"));
    }
    Ok(("update_rrset_records", RrsetChange::Comment { records }))
}

fn all_there(world: &World, zone: &str, key: (&str, &str), values: &[&str]) -> Result<(), Reply> {
    let there = &existing(find(world, zone)?, key)?.records;
    if values.iter().all(|value| there.iter().any(|it| it.value == *value)) {
        return Ok(());
    }
    Err(Reply::invalid("records", "record not found"))
}
