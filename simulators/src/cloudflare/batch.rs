//! `POST /zones/{zone}/dns_records/batch`. Rule: deletes, then PATCHes, then PUTs, then POSTs; all
//! of them or none.

use serde_json::{Map, Value, json};

use super::{
    records::{self, Change},
    reply::Reply,
    world::World,
};

pub(super) fn run(world: &mut World, zone: &str, body: &Map<String, Value>) -> Result<Reply, Reply> {
    let quota = world.record_quota;
    let found = world.zone_mut(zone).ok_or_else(|| Reply::no_zone(zone))?;
    let mut draft = found.clone();
    let mut results = Map::new();
    for list in ["deletes", "patches", "puts", "posts"] {
        let mut done = Vec::new();
        for entry in body.get(list).and_then(Value::as_array).into_iter().flatten() {
            let entry = entry.as_object().ok_or_else(|| Reply::invalid(9207, "Request body is invalid."))?;
            let id = entry.get("id").and_then(Value::as_str).unwrap_or_default();
            let change = match list {
                "deletes" => Change::Delete(id),
                "patches" => Change::Patch(id, entry),
                "puts" => Change::Put(id, entry),
                _ => Change::Post(entry),
            };
            let gone = draft.records.iter().find(|record| list == "deletes" && record.id == id);
            let gone = gone.map(|record| record.view());
            let result = records::change(&mut draft, quota, change)?;
            done.push(gone.unwrap_or(result));
        }
        results.insert(list.to_owned(), json!(done));
    }
    *found = draft;
    world.changed = true;
    Ok(Reply::ok(Value::Object(results)))
}
