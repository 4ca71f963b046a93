//! What happens without any call: somebody else makes, changes and takes away records and zones.
//! Rule: neither quota nor validation stands in the way; what is there is there.

use serde::Deserialize;
use serde_json::Value;

use super::world::{Record, World, Zone, now};
use crate::random;

/// A record that nobody made by a call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordSeed {
    /// Its whole name.
    pub name: String,
    /// Its type, in capitals.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its content, as the API shows it.
    pub content: String,
    /// Its TTL; 1 is automatic.
    #[serde(default = "automatic")]
    pub ttl: u32,
    /// Whether the proxy stands before it.
    #[serde(default)]
    pub proxied: bool,
    /// Its comment.
    #[serde(default)]
    pub comment: Option<String>,
}

fn automatic() -> u32 {
    1
}

impl RecordSeed {
    /// A record with automatic TTL and no comment.
    pub fn new(name: &str, kind: &str, content: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            content: content.to_owned(),
            ttl: automatic(),
            proxied: false,
            comment: None,
        }
    }
}

/// What is changed of a record; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordChange {
    /// Another name.
    #[serde(default)]
    pub name: Option<String>,
    /// Another content.
    #[serde(default)]
    pub content: Option<String>,
    /// Another comment; an empty one is none.
    #[serde(default)]
    pub comment: Option<String>,
    /// Another TTL.
    #[serde(default)]
    pub ttl: Option<u32>,
}

impl World {
    /// False when there is no such zone.
    pub(super) fn record_put(&mut self, seeds: &[RecordSeed]) -> bool {
        let mut all = true;
        for seed in seeds {
            let zone = self.zone_of(&seed.name).map(|zone| zone.id.clone());
            let Some(zone) = zone.and_then(|id| self.zone_mut(&id)) else {
                all = false;
                continue;
            };
            zone.serial += 1;
            zone.records.push(Record {
                id: random::hex::<16>(),
                name: seed.name.to_ascii_lowercase(),
                kind: seed.kind.clone(),
                content: seed.content.clone(),
                ttl: seed.ttl,
                proxied: seed.proxied,
                comment: seed.comment.clone(),
                tags: Vec::new(),
                priority: None,
                data: None,
                created_on: now(),
                modified_on: now(),
            });
        }
        self.changed = true;
        all
    }

    /// How many were changed.
    pub(super) fn record_change(&mut self, is_it: impl Fn(&Record) -> bool, change: &RecordChange) -> usize {
        let mut changed = 0;
        for zone in &mut self.saved.zones {
            for record in zone.records.iter_mut().filter(|record| is_it(record)) {
                if let Some(name) = &change.name {
                    name.clone_into(&mut record.name);
                }
                if let Some(content) = &change.content {
                    content.clone_into(&mut record.content);
                }
                if let Some(comment) = &change.comment {
                    record.comment = (!comment.is_empty()).then(|| comment.clone());
                }
                record.ttl = change.ttl.unwrap_or(record.ttl);
                record.modified_on = now();
                zone.serial += 1;
                changed += 1;
            }
        }
        self.changed = true;
        changed
    }

    /// How many were taken away.
    pub(super) fn record_remove(&mut self, is_it: impl Fn(&Record) -> bool) -> usize {
        let mut removed = 0;
        for zone in &mut self.saved.zones {
            let before = zone.records.len();
            zone.records.retain(|record| !is_it(record));
            if zone.records.len() < before {
                zone.serial += 1;
            }
            removed += before - zone.records.len();
        }
        self.changed = true;
        removed
    }

    pub(super) fn zone_remove(&mut self, name: &str) -> bool {
        let before = self.saved.zones.len();
        self.saved.zones.retain(|zone| zone.name != name);
        self.changed = true;
        self.saved.zones.len() < before
    }

    /// False when there is one already.
    pub(super) fn zone_add(&mut self, name: &str) -> bool {
        if self.zone_named(name).is_some() {
            return false;
        }
        self.saved.zones.push(Zone::new(name));
        self.changed = true;
        true
    }

    pub(super) fn records_of(&mut self, zone: &str) -> Vec<Value> {
        self.zone_named(zone).map(|zone| zone.records.iter().map(Record::view).collect()).unwrap_or_default()
    }
}
