//! `/zones/{zone}/dns_records`: list, read, create, PATCH, PUT, DELETE. Rule: PATCH keeps what the
//! body does not name; PUT puts everything else back to its default, `comment` and `proxied` too.

use serde_json::{Map, Value, json};

use super::{
    query::Query,
    reply::Reply,
    validate,
    world::{World, Zone},
};

/// The page size when none is asked for, and its bounds.
const PER_PAGE: (usize, usize, usize) = (100, 1, 5_000_000);

/// One change to the records of a zone.
pub(super) enum Change<'a> {
    Post(&'a Map<String, Value>),
    Patch(&'a str, &'a Map<String, Value>),
    Put(&'a str, &'a Map<String, Value>),
    Delete(&'a str),
}

pub(super) fn list(zone: &Zone, query: &Query) -> Result<Reply, Reply> {
    let (usual, least, most) = PER_PAGE;
    let (page, per_page) = query.page(usual, least, most)?;
    let mut records: Vec<_> = zone.records.iter().filter(|record| query.keeps(record)).collect();
    query.order(&mut records);
    let total = records.len();
    let skipped = (page - 1).saturating_mul(per_page);
    let shown = records.into_iter().skip(skipped).take(per_page).map(|record| record.view()).collect();
    Ok(Reply::page(shown, page, per_page, total))
}

pub(super) fn get(zone: &Zone, id: &str) -> Result<Reply, Reply> {
    let record = zone.records.iter().find(|record| record.id == id);
    record.map(|record| Reply::ok(record.view())).ok_or_else(Reply::no_record)
}

/// Carries one change out; its result.
pub(super) fn change(zone: &mut Zone, quota: usize, change: Change<'_>) -> Result<Value, Reply> {
    let place =
        |zone: &Zone, id: &str| zone.records.iter().position(|record| record.id == id).ok_or_else(Reply::no_record);
    let result = match change {
        Change::Post(body) => {
            let record = validate::record(zone, body, None)?;
            validate::beside(zone, &record)?;
            if zone.records.len() >= quota {
                return Err(Reply::error(400, 81045, "Record quota exceeded."));
            }
            let view = record.view();
            zone.records.push(record);
            view
        }
        Change::Patch(id, body) => {
            let at = place(zone, id)?;
            let record = validate::record(zone, body, zone.records.get(at))?;
            replace(zone, at, record)?
        }
        Change::Put(id, body) => {
            let at = place(zone, id)?;
            let before = &zone.records[at];
            let mut record = validate::record(zone, body, None)?;
            record.id.clone_from(&before.id);
            record.created_on.clone_from(&before.created_on);
            replace(zone, at, record)?
        }
        Change::Delete(id) => {
            let at = place(zone, id)?;
            json!({"id": zone.records.remove(at).id})
        }
    };
    zone.serial += 1;
    Ok(result)
}

fn replace(zone: &mut Zone, at: usize, record: super::world::Record) -> Result<Value, Reply> {
    validate::beside(zone, &record)?;
    let view = record.view();
    zone.records[at] = record;
    Ok(view)
}

/// One change by a call of its own.
pub(super) fn call(world: &mut World, zone: &str, one: Change<'_>) -> Result<Reply, Reply> {
    let quota = world.record_quota;
    let found = world.zone_mut(zone).ok_or_else(|| Reply::no_zone(zone))?;
    let result = change(found, quota, one)?;
    world.changed = true;
    Ok(Reply::ok(result))
}
