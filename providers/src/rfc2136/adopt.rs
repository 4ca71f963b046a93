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
