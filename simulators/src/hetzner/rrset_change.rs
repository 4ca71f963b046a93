//! Changes of record sets, done when their action completes. Rule: a set that loses its last record
//! is gone, and one whose creation failed was never there.

use serde::{Deserialize, Serialize};

use super::world::{Record, World, Zone};

/// What an action does to a record set. A creation has done its work already: the name is taken
/// from the request on, and only a failure changes anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RrsetChange {
    Create,
    Set { records: Vec<Record> },
    Add { records: Vec<Record>, ttl: Option<u32> },
    Remove { values: Vec<String> },
    Comment { records: Vec<Record> },
    Ttl { ttl: Option<u32> },
    Protect { change: bool },
    Delete,
}

impl World {
    /// Does what the action promised.
    pub(super) fn rrset_change_apply(&mut self, zone: u64, id: u64, change: &RrsetChange) {
        let Some(zone) = self.saved.zones.get_mut(&zone) else { return };
        let Some(rrset) = zone.rrsets.get_mut(&id) else { return };
        match change {
            RrsetChange::Create => {}
            RrsetChange::Set { records } => rrset.records.clone_from(records),
            RrsetChange::Add { records, ttl } => {
                rrset.records.extend(records.iter().cloned());
                rrset.ttl = ttl.or(rrset.ttl);
            }
            RrsetChange::Remove { values } => {
                rrset.records.retain(|record| !values.contains(&record.value));
                if rrset.records.is_empty() {
                    zone.rrsets.remove(&id);
                }
            }
            RrsetChange::Comment { records } => {
                for record in &mut rrset.records {
                    if let Some(new) = records.iter().find(|it| it.value == record.value) {
                        record.comment.clone_from(&new.comment);
                    }
                }
            }
            RrsetChange::Ttl { ttl } => rrset.ttl = *ttl,
            RrsetChange::Protect { change } => rrset.protected = *change,
            RrsetChange::Delete => {
                zone.rrsets.remove(&id);
            }
        }
        zone.serial_raise();
    }

    /// Takes back what was done before the action failed.
    pub(super) fn rrset_change_undo(&mut self, zone: u64, id: u64, change: &RrsetChange) {
        if matches!(change, RrsetChange::Create)
            && let Some(zone) = self.saved.zones.get_mut(&zone)
        {
            zone.rrsets.remove(&id);
        }
    }
}

impl Zone {
    /// Adds one to the serial number, the third word of the SOA.
    fn serial_raise(&mut self) {
        let soa = self.rrsets.values_mut().find(|rrset| rrset.kind == "SOA");
        let Some(record) = soa.and_then(|rrset| rrset.records.first_mut()) else { return };
        let words = record.value.split(' ').enumerate().map(|(at, word)| match word.parse::<u32>() {
            Ok(serial) if at == 2 => serial.wrapping_add(1).to_string(),
            _ => word.to_owned(),
        });
        record.value = words.collect::<Vec<_>>().join(" ");
    }
}
