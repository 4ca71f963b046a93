//! Puts our marker beside a record that somebody else wrote, in one UPDATE. Rule: the prerequisites
//! say that the record is exactly as it was shown to the person who decided; of what stands at the
//! name nothing is written.

use domain::code::Code;
use hickory_proto::rr::{Name, RData, Record, RecordType as WireType};

use super::{
    marker::{Entry, Marker},
    session::{Server, Update, Updated},
    standing::{Standing, kind_of},
    wire::{absent, added, data_of, name_of, removed, stands},
};
use crate::{
    dns::{DnsFound, RecordContent, RecordMade, RecordType},
    error::{Effect, ProviderError},
};

/// How often a name may change between reading and writing before the job tries again later.
const TRIES: usize = 5;

/// What is to become ours.
struct Wanted<'a> {
    found: &'a DnsFound,
    name: Name,
    kind: RecordType,
    data: RData,
    entry: Entry,
}

pub(super) async fn run(
    server: &Server,
    instance: &str,
    found: &DnsFound,
    record_id: &str,
) -> Result<RecordMade, ProviderError> {
    let wanted = Wanted::of(found, record_id)?;
    let made = || RecordMade { record_id: record_id.to_owned(), vendor_id: None };
    for _ in 0..TRIES {
        let mut session = server.open().await?;
        let standing = Standing::read(&mut session, &wanted.name, instance).await?;
        let Some(update) = plan(&standing, &wanted, instance)? else { return Ok(made()) };
        match session.update(&update).await {
            Ok(Updated::Done) => return Ok(made()),
            Ok(Updated::Otherwise) => {}
            Err(error) if error.effect == Effect::None => return Err(error),
            // Carried out after all?
            Err(error) => return if is_ours(server, instance, &wanted).await { Ok(made()) } else { Err(error) },
        }
    }
    Err(ProviderError::new(Code::ProviderLocked, "Something else keeps changing the name."))
}

async fn is_ours(server: &Server, instance: &str, wanted: &Wanted<'_>) -> bool {
    let look = async {
        let mut session = server.open().await?;
        plan(&Standing::read(&mut session, &wanted.name, instance).await?, wanted, instance)
    };
    matches!(look.await, Ok(None))
}

impl<'a> Wanted<'a> {
    fn of(found: &'a DnsFound, record_id: &str) -> Result<Self, ProviderError> {
        let kind = RecordType::named(&found.kind).ok_or_else(|| {
            let message = format!("A record of type {} cannot be adopted.", found.kind);
            ProviderError::new(Code::ProviderInvalidRequest, message)
        })?;
        let content = RecordContent { record_id: record_id.to_owned(), kind, content: found.content.clone() };
        let data = data_of(&content)?;
        Ok(Self { found, name: name_of(&found.name)?, kind, entry: Entry::new(record_id, &data)?, data })
    }
}

/// The UPDATE that is needed; `None` when the record is ours already.
///
/// # Errors
/// `DNS_NAME_CONFLICT` when it is not as it was found, `PROVIDER_RESOURCE_GONE` when nothing is there.
fn plan(standing: &Standing, wanted: &Wanted<'_>, instance: &str) -> Result<Option<Update>, ProviderError> {
    let there: Vec<&Record> =
        standing.records.iter().filter(|it| kind_of(it.record_type()) == Some(wanted.kind)).collect();
    let conflict = |what: &str| {
        let message = format!("What stands at {} {what}; it was left alone.", wanted.found.name);
        Err(ProviderError::new(Code::DnsNameConflict, message))
    };
    let record = match there[..] {
        [record] if standing.holds(&wanted.data) => record,
        [] => {
            let message = format!("At {} stands no {} any more.", wanted.found.name, wanted.found.kind);
            return Err(ProviderError::new(Code::ProviderResourceGone, message));
        }
        _ => return conflict("is not what it was when it was looked at"),
    };
    if standing.entry(wanted.kind) == Some(&wanted.entry) {
        return Ok(None);
    }
    let place = &standing.place;
    let mut update = Update { prerequisites: vec![stands(&wanted.name, record.data.clone())], changes: Vec::new() };
    if standing.beside.is_empty() {
        // What is added beside an alias would be dropped without a word (RFC 2136, section 3.4.2.2).
        update.prerequisites.extend([WireType::TXT, WireType::CNAME].map(|kind| absent(place, kind)));
    }
    let mut marker = Marker::new(instance);
    let mut ttl = record.ttl;
    for text in &standing.beside {
        if text.record_type() != WireType::TXT {
            return conflict("has an alias where its marker would be");
        }
        update.prerequisites.push(stands(place, text.data.clone()));
        ttl = text.ttl;
        match Marker::any(&text.data) {
            Some(ours) if ours.instance() == instance => {
                update.changes.push(removed(place, text.data.clone()));
                marker = ours;
            }
            // Another installation's: it was asked for that this record be ours and not theirs.
            Some(mut theirs) if theirs.entries.contains_key(&wanted.kind) => {
                theirs.entries.remove(&wanted.kind);
                update.changes.push(removed(place, text.data.clone()));
                if !theirs.entries.is_empty() {
                    update.changes.push(added(place, text.ttl, theirs.write()));
                }
            }
            _ => {}
        }
    }
    marker.entries.insert(wanted.kind, wanted.entry.clone());
    update.changes.push(added(place, ttl, marker.write()));
    Ok(Some(update))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dns::DnsName, rfc2136::wire::name};

    const RECORD: &str = "198.51.100.1";

    fn found() -> DnsFound {
        DnsFound {
            vendor_id: None,
            name: DnsName { zone: "example.org".to_owned(), name: "alpha".to_owned() },
            kind: "A".to_owned(),
            content: RECORD.to_owned(),
            ttl: Some(60),
            proxied: false,
            ours: false,
            record_id: None,
        }
    }

    fn data(text: &str) -> RData {
        RData::A(text.parse::<std::net::Ipv4Addr>().unwrap().into())
    }

    fn standing(records: &[&str], beside: &[&Marker]) -> Standing {
        let (alpha, place) = (name("alpha.example.org").unwrap(), name("_hangar.alpha.example.org").unwrap());
        Standing {
            records: records.iter().map(|text| added(&alpha, 60, data(text))).collect(),
            beside: beside.iter().map(|marker| added(&place, 30, marker.write())).collect(),
            marker: beside.iter().find(|it| it.instance() == "inst-1").map(|it| (*it).clone()),
            place,
        }
    }

    fn marker(instance: &str, kinds: &[RecordType]) -> Marker {
        let mut marker = Marker::new(instance);
        marker.entries.extend(kinds.iter().map(|kind| (*kind, Entry::new("dns_0", &data(RECORD)).unwrap())));
        marker
    }

    /// Between reading and writing nothing can come: what was read is what has to hold.
    #[test]
    fn everything_that_was_read_has_to_hold_and_only_markers_are_written() {
        let found = found();
        let wanted = Wanted::of(&found, "dns_1").unwrap();
        let seen = stands(&wanted.name, data(RECORD));
        let alone = standing(&[RECORD], &[]);
        let update = plan(&alone, &wanted, "inst-1").unwrap().unwrap();
        let free = [WireType::TXT, WireType::CNAME].map(|kind| absent(&alone.place, kind));
        assert_eq!(update.prerequisites, [&[seen.clone()][..], &free].concat());
        let mut mine = marker("inst-1", &[]);
        mine.entries.insert(RecordType::A, wanted.entry.clone());
        assert_eq!(update.changes, [added(&alone.place, 60, mine.write())]);

        let theirs = marker("inst-2", &[RecordType::A, RecordType::Aaaa]);
        let taken = standing(&[RECORD], &[&theirs]);
        let update = plan(&taken, &wanted, "inst-1").unwrap().unwrap();
        assert_eq!(update.prerequisites, [seen, stands(&taken.place, theirs.write())]);
        let rest = marker("inst-2", &[RecordType::Aaaa]);
        let changes = [
            removed(&taken.place, theirs.write()),
            added(&taken.place, 30, rest.write()),
            added(&taken.place, 30, mine.write()),
        ];
        assert_eq!(update.changes, changes);
        assert_eq!(plan(&standing(&[RECORD], &[&rest, &mine]), &wanted, "inst-1").unwrap(), None, "ours already");
    }

    #[test]
    fn what_is_not_as_it_was_found_is_left() {
        let found = found();
        let wanted = Wanted::of(&found, "dns_1").unwrap();
        for (records, code) in [
            (&[][..], Code::ProviderResourceGone),
            (&["198.51.100.2"], Code::DnsNameConflict),
            (&[RECORD, "198.51.100.2"], Code::DnsNameConflict),
        ] {
            assert_eq!(plan(&standing(records, &[]), &wanted, "inst-1").unwrap_err().code, code, "{records:?}");
        }
    }
}
