//! What stands at a name, and whose it is. Rule: a record is ours when the marker beside its name
//! claims its type with its content; where nothing under that type has the content, what stands
//! there was changed by hand and is still called ours, so that it is noticed.

use std::collections::BTreeSet;

use domain::code::Code;
use hickory_proto::{
    op::Message,
    rr::{Name, RData, Record, RecordType as WireType},
};

use super::{
    marker::{Entry, Marker},
    session::{Session, Update, Updated},
    wire::{absent, invalid, is_same, present, shown, stands, text_of, wire_type},
};
use crate::{
    dns::{DnsFound, DnsName, RecordType},
    error::ProviderError,
};

/// What the server adds by itself in a signed zone.
const SIGNATURES: [WireType; 3] = [WireType::RRSIG, WireType::NSEC, WireType::NSEC3];
/// How often what changes while it is read is read anew.
const READS_MOST: usize = 20;

/// What stands at a name and at the place of its marker.
#[derive(Debug)]
pub(super) struct Standing {
    /// Where the marker stands or would stand.
    pub(super) place: Name,
    /// The records of the name itself, but for signatures.
    pub(super) records: Vec<Record>,
    /// The texts at the place of the marker, or the alias that stands there.
    pub(super) beside: Vec<Record>,
    /// The marker, when it is this installation's.
    pub(super) marker: Option<Marker>,
}

impl Standing {
    pub(super) async fn read(session: &mut Session<'_>, name: &Name, instance: &str) -> Result<Self, ProviderError> {
        let place = Marker::place(name).ok_or_else(|| invalid("The name is too long to have a marker beside it."))?;
        // A record and its marker come and go together, but are asked for one after the other: what
        // is read of both counts only when it also stood at one moment.
        for _ in 0..READS_MOST {
            let mut beside = texts_at(session, &place).await?;
            let mut records = all_at(session, name).await?;
            if !records.is_empty() && stood(session, (name, &records), (&place, &beside)).await? {
                return Ok(Self::seen(place, records, beside, instance));
            }
            beside = unless_wildcard(session, &place, beside).await?;
            records = unless_wildcard(session, name, records).await?;
            if records.is_empty() || stood(session, (name, &records), (&place, &beside)).await? {
                return Ok(Self::seen(place, records, beside, instance));
            }
        }
        Err(ProviderError::new(Code::ProviderLocked, "Something else keeps changing the name."))
    }

    fn seen(place: Name, records: Vec<Record>, beside: Vec<Record>, instance: &str) -> Self {
        let marker = beside.iter().find_map(|record| Marker::read(&record.data, instance));
        Self { place, records, beside, marker }
    }

    /// The records of one type.
    pub(super) fn of(&self, kind: WireType) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.record_type() == kind)
    }

    /// Whether exactly this content stands.
    pub(super) fn holds(&self, data: &RData) -> bool {
        self.of(data.record_type()).any(|record| is_same(&record.data, data))
    }

    /// What the marker says of a type.
    pub(super) fn entry(&self, kind: RecordType) -> Option<&Entry> {
        self.marker.as_ref()?.entries.get(&kind)
    }

    /// Whether the marker claims a type of which nothing stands: since a record and its entry are
    /// written together, somebody took the record away.
    pub(super) fn is_stale(&self, kind: RecordType) -> bool {
        self.entry(kind).is_some() && self.of(wire_type(kind)).next().is_none()
    }

    /// The entry of the marker that a record belongs to; `None` when it is not ours.
    pub(super) fn owner(&self, record: &Record) -> Option<&Entry> {
        let kind = kind_of(record.record_type())?;
        owner(self.entry(kind)?, record, self.of(record.record_type()))
    }

    /// What is at the name, for people.
    pub(super) fn observed(&self, kind: RecordType) -> String {
        let of_type: Vec<_> = self.of(wire_type(kind)).map(|record| shown(&record.data)).collect();
        format!("{} {}", kind.as_str(), of_type.join(", "))
    }

    /// As the trait tells it.
    pub(super) fn found(&self, name: &DnsName) -> Vec<DnsFound> {
        self.records.iter().map(|record| found(name, record, self.owner(record))).collect()
    }
}

/// Which of the records of one type the entry is about, as seen from one of them.
pub(super) fn owner<'e, 'r>(
    entry: &'e Entry,
    record: &Record,
    mut all: impl Iterator<Item = &'r Record>,
) -> Option<&'e Entry> {
    let is_it = entry.is_about(&record.data) || !all.any(|other| entry.is_about(&other.data));
    is_it.then_some(entry)
}

pub(super) fn found(name: &DnsName, record: &Record, owner: Option<&Entry>) -> DnsFound {
    DnsFound {
        vendor_id: None,
        name: name.clone(),
        kind: record.record_type().to_string(),
        content: text_of(&record.data),
        ttl: Some(record.ttl),
        proxied: false,
        ours: owner.is_some(),
        record_id: owner.map(|entry| entry.record_id.clone()),
    }
}

pub(super) fn kind_of(kind: WireType) -> Option<RecordType> {
    [RecordType::A, RecordType::Aaaa, RecordType::Cname, RecordType::Txt]
        .into_iter()
        .find(|known| wire_type(*known) == kind)
}

/// Every record of exactly this name. Over TCP most servers tell everything when they are asked for
/// `ANY`; all of them tell something when there is anything (RFC 8482), and then what matters is
/// asked for by type.
async fn all_at(session: &mut Session<'_>, name: &Name) -> Result<Vec<Record>, ProviderError> {
    let answer = session.query(name, WireType::ANY).await?;
    if is_delegated(&answer, name) {
        return Err(invalid("The name lies in a part of the zone that is delegated to other name servers."));
    }
    let mut all = of_name(answer, name);
    if !all.is_empty() {
        // An alias comes along with whatever type is asked for.
        for kind in [WireType::A, WireType::AAAA, WireType::TXT] {
            all.extend(of_name(session.query(name, kind).await?, name));
        }
    }
    Ok(unique(all))
}

/// The texts of exactly this name, and an alias where it is one.
async fn texts_at(session: &mut Session<'_>, name: &Name) -> Result<Vec<Record>, ProviderError> {
    Ok(unique(of_name(session.query(name, WireType::TXT).await?, name)))
}

fn of_name(answer: Message, name: &Name) -> Vec<Record> {
    let here = answer.answers.into_iter().filter(|it| it.name.to_lowercase() == name.to_lowercase());
    here.filter(|it| !SIGNATURES.contains(&it.record_type())).collect()
}

/// Each record once. The strings of a text are part of what must be named to take it away.
fn unique(mut records: Vec<Record>) -> Vec<Record> {
    let mut seen = BTreeSet::new();
    records.retain(|it| seen.insert((u16::from(it.record_type()), format!("{:?}", it.data))));
    records
}

/// Whether exactly this stands at both names at one moment, none of it by a wildcard. Types that
/// Hangar never makes are left out.
async fn stood(
    session: &mut Session<'_>,
    (name, records): (&Name, &[Record]),
    (place, beside): (&Name, &[Record]),
) -> Result<bool, ProviderError> {
    let minded = records.iter().filter(|record| kind_of(record.record_type()).is_some());
    let mut prerequisites: Vec<_> = minded.map(|record| stands(name, record.data.clone())).collect();
    prerequisites.extend(beside.iter().map(|record| stands(place, record.data.clone())));
    // At least of the name: it is in use.
    prerequisites.push(present(name, WireType::ANY));
    if beside.is_empty() {
        prerequisites.push(absent(place, WireType::TXT));
    }
    Ok(session.update(&Update { prerequisites, changes: Vec::new() }).await? == Updated::Done)
}

/// Nothing, when the name has no records of its own and a wildcard answered for it.
async fn unless_wildcard(
    session: &mut Session<'_>,
    name: &Name,
    records: Vec<Record>,
) -> Result<Vec<Record>, ProviderError> {
    if records.is_empty() {
        return Ok(records);
    }
    let in_use = Update { prerequisites: vec![present(name, WireType::ANY)], changes: Vec::new() };
    Ok(if session.update(&in_use).await? == Updated::Done { records } else { Vec::new() })
}

/// Whether the answer sends us on to the name servers of a zone below.
fn is_delegated(answer: &Message, name: &Name) -> bool {
    let below = |record: &Record| record.record_type() == WireType::NS && record.name.zone_of(name);
    !answer.metadata.authoritative && answer.answers.is_empty() && answer.authorities.iter().any(below)
}
