//! Makes the records of one name and their marker, in one UPDATE. Rule: the prerequisites say that
//! everything still is as it was read; when they fail it is read again, and what is not ours is a
//! conflict.

use domain::code::Code;
use hickory_proto::rr::{Name, RData, RecordType as WireType};

use super::{
    marker::{Entry, Marker},
    session::{Server, Update, Updated},
    standing::Standing,
    wire::{absent, added, data_of, invalid, is_same, name_of, removed, shown, stands, wire_type},
};
use crate::{
    dns::{DnsName, RecordContent, RecordMade, RecordType, RecordWish},
    dns_late, dns_wish,
    error::{Effect, ProviderError},
    journal::Journal,
};

/// Seconds for which a record may be remembered when nobody says.
const TTL: u32 = 300;
/// How often a name may change between reading and writing before the job tries again later.
const TRIES: usize = 5;

/// One record that is wanted.
struct Wanted {
    kind: RecordType,
    data: RData,
    entry: Entry,
}

pub(super) async fn run(
    server: &Server,
    instance: &str,
    wish: &RecordWish,
    journal: &mut dyn Journal,
) -> Result<Vec<RecordMade>, ProviderError> {
    journal.step("create_record", "Create the DNS record").await?;
    let wanted = wanted(wish)?;
    let name = name_of(&wish.name)?;
    let ttl = wish.ttl.unwrap_or(TTL);
    let what = wish.name.fqdn();
    for _ in 0..TRIES {
        let mut session = server.open().await?;
        let standing = Standing::read(&mut session, &name, instance).await?;
        let Some(update) = plan(&name, &wish.name, &standing, &wanted, ttl, instance)? else {
            dns_late::found(journal, &what).await?;
            return Ok(made(wish));
        };
        dns_late::begun(journal, &what).await?;
        match session.update(&update).await {
            Ok(Updated::Done) => {
                dns_late::ended(journal, &what, true).await?;
                return Ok(made(wish));
            }
            Ok(Updated::Otherwise) => dns_late::ended(journal, &what, false).await?,
            Err(error) if error.effect == Effect::None => {
                dns_late::ended(journal, &what, false).await?;
                return Err(error);
            }
            Err(error) => {
                if !is_made(server, instance, &name, wish, &wanted, ttl).await {
                    return Err(error);
                }
                dns_late::found(journal, &what).await?;
                return Ok(made(wish));
            }
        }
    }
    Err(ProviderError::new(Code::ProviderLocked, "Something else keeps changing the name."))
}

/// Whether an UPDATE without an answer was carried out after all.
async fn is_made(server: &Server, instance: &str, name: &Name, wish: &RecordWish, wanted: &[Wanted], ttl: u32) -> bool {
    let look = async {
        let mut session = server.open().await?;
        let standing = Standing::read(&mut session, name, instance).await?;
        plan(name, &wish.name, &standing, wanted, ttl, instance)
    };
    matches!(look.await, Ok(None))
}

fn made(wish: &RecordWish) -> Vec<RecordMade> {
    wish.contents.iter().map(|it| RecordMade { record_id: it.record_id.clone(), vendor_id: None }).collect()
}

fn wanted(wish: &RecordWish) -> Result<Vec<Wanted>, ProviderError> {
    dns_wish::check(wish)?;
    if wish.name.name == "@" && wish.contents.iter().any(|it| it.kind == RecordType::Cname) {
        return Err(invalid("The zone itself cannot be a CNAME."));
    }
    if wish.ttl.is_some_and(|ttl| ttl > i32::MAX.unsigned_abs()) {
        return Err(invalid("The time to live is longer than DNS can say."));
    }
    let one = |content: &RecordContent| {
        let data = data_of(content)?;
        Ok(Wanted { kind: content.kind, entry: Entry::new(&content.record_id, &data)?, data })
    };
    wish.contents.iter().map(one).collect()
}

/// The UPDATE that is needed; `None` when everything stands.
///
/// # Errors
/// `DNS_NAME_CONFLICT`
fn plan(
    name: &Name,
    told: &DnsName,
    standing: &Standing,
    wanted: &[Wanted],
    ttl: u32,
    instance: &str,
) -> Result<Option<Update>, ProviderError> {
    conflict_check(told, standing, wanted)?;
    let mut update = Update::default();
    let mut marker = standing.marker.clone().unwrap_or_else(|| Marker::new(instance));
    // Records of ours that somebody took away: nothing answers for their entries any more.
    marker.entries.retain(|kind, _| !standing.is_stale(*kind) || wanted.iter().any(|it| it.kind == *kind));
    for one in wanted {
        let claimed = marker.entries.insert(one.kind, one.entry.clone());
        if claimed.as_ref() != Some(&one.entry) || !standing.holds(&one.data) {
            update.changes.push(added(name, ttl, one.data.clone()));
        }
    }
    if update.changes.is_empty() {
        return Ok(None);
    }

    if standing.records.is_empty() {
        update.prerequisites.push(absent(name, WireType::ANY));
    } else {
        let kinds = [RecordType::A, RecordType::Aaaa, RecordType::Cname, RecordType::Txt];
        let minds = |kind: &RecordType| *kind != RecordType::Txt || wanted.iter().any(|it| it.kind == *kind);
        for kind in kinds.into_iter().filter(minds).map(wire_type) {
            let before = update.prerequisites.len();
            update.prerequisites.extend(standing.of(kind).map(|record| stands(name, record.data.clone())));
            if update.prerequisites.len() == before {
                update.prerequisites.push(absent(name, kind));
            }
        }
    }
    let place = &standing.place;
    match standing.beside.first() {
        None => {
            // What is added beside an alias would be dropped without a word (RFC 2136, section 3.4.2.2).
            update.prerequisites.extend([WireType::TXT, WireType::CNAME].map(|kind| absent(place, kind)));
            update.changes.push(added(place, ttl, marker.write()));
        }
        Some(old) => {
            update.prerequisites.push(stands(place, old.data.clone()));
            if standing.marker.as_ref() != Some(&marker) {
                update.changes.push(removed(place, old.data.clone()));
                update.changes.push(added(place, old.ttl, marker.write()));
            }
        }
    }
    Ok(Some(update))
}

fn conflict_check(told: &DnsName, standing: &Standing, wanted: &[Wanted]) -> Result<(), ProviderError> {
    let conflict = |what: String| Err(ProviderError::new(Code::DnsNameConflict, format!("At {told} stands {what}.")));
    if standing.beside.len() > 1 || (standing.marker.is_none() && !standing.beside.is_empty()) {
        return conflict("a marker that is not ours; the name was left alone".to_owned());
    }
    let alias = wanted.iter().any(|it| it.kind == RecordType::Cname);
    for record in &standing.records {
        let kind = record.record_type();
        let whose = standing.owner(record);
        let what = || format!("{kind} {}", shown(&record.data));
        let wish = wanted.iter().find(|it| wire_type(it.kind) == kind);
        let minds = match kind {
            WireType::A | WireType::AAAA | WireType::CNAME => true,
            // A delegation, or a name that stands for a whole tree.
            WireType::NS | WireType::DNAME => told.name != "@",
            _ => alias || wish.is_some(),
        };
        match (whose, wish) {
            (None, _) if minds => return conflict(format!("{}, which is not ours and was left alone", what())),
            (Some(entry), Some(wish)) if entry.record_id != wish.entry.record_id => {
                return conflict(format!("{}, another record that Hangar made", what()));
            }
            (Some(_), Some(wish)) if !is_same(&record.data, &wish.data) => {
                return conflict(format!("{}, which somebody changed by hand", what()));
            }
            (Some(_), None) if alias || kind == WireType::CNAME => {
                return conflict(format!("{}, another record that Hangar made", what()));
            }
            _ => {}
        }
    }
    // An entry without a record of its type is in nobody's way: its record was taken away by hand.
    Ok(())
}
