//! Everything of ours in the zone, found by a zone transfer (RFC 5936). Rule: a marker names what
//! is ours; what no marker names is passed over unseen.

use std::collections::BTreeMap;

use hickory_proto::rr::{Name, Record, RecordType as WireType};

use super::{
    errors::{Intent, no_transfer, unreadable},
    marker::Marker,
    session::{Server, Session},
    standing::{found, owner},
    wire::{relative, wire_type},
};
use crate::{dns::DnsFound, error::ProviderError};

/// What a marker may claim; nothing else is kept in memory.
const KINDS: [WireType; 4] = [WireType::A, WireType::AAAA, WireType::CNAME, WireType::TXT];

/// Whether the server lets this key transfer the zone.
pub(super) async fn is_allowed(session: &mut Session<'_>) -> Result<bool, ProviderError> {
    Ok(session.transfer().await?.next().await?.is_some())
}

pub(super) async fn owned(server: &Server, instance: &str) -> Result<Vec<DnsFound>, ProviderError> {
    let mut session = server.open().await?;
    let records = records(&mut session).await?.ok_or_else(|| no_transfer(server))?;
    let mut all = Vec::new();
    for (place, beside) in &records {
        let marker = beside.iter().find_map(|record| Marker::read(&record.data, instance));
        let (Some(marker), Some(subject)) = (marker, Marker::subject(place)) else { continue };
        let Some(name) = relative(&subject, server.origin(), server.zone()) else { continue };
        let at = records.get(&subject).map(Vec::as_slice).unwrap_or_default();
        for (kind, entry) in &marker.entries {
            let of_type = || at.iter().filter(|record| record.record_type() == wire_type(*kind));
            let ours = of_type().filter(|record| owner(entry, record, of_type()).is_some());
            all.extend(ours.map(|record| found(&name, record, Some(entry))));
        }
    }
    Ok(all)
}

/// The zone's records by name, in lower case; `None` when a transfer is not allowed. The zone
/// begins and ends with its SOA record.
async fn records(session: &mut Session<'_>) -> Result<Option<BTreeMap<Name, Vec<Record>>>, ProviderError> {
    let mut transfer = session.transfer().await?;
    let mut all: BTreeMap<Name, Vec<Record>> = BTreeMap::new();
    let mut ends = 0;
    while ends < 2 {
        let Some(message) = transfer.next().await? else {
            return if ends == 0 { Ok(None) } else { Err(unreadable(Intent::Read)) };
        };
        if message.answers.is_empty() {
            return Err(unreadable(Intent::Read));
        }
        for record in message.answers {
            match record.record_type() {
                WireType::SOA => ends += 1,
                kind if KINDS.contains(&kind) => all.entry(record.name.to_lowercase()).or_default().push(record),
                _ => {}
            }
        }
    }
    Ok(Some(all))
}
