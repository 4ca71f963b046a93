//! Makes the records of one name. Rule: the journal knows of every create before it goes out; what
//! came of one whose answer is lost is looked up, and only what is marked ours is taken over.
//!
//! Under `dns:<record>` the journal holds how many creates of a record went out that may still be
//! carried out, and what is known of the record. The vendor refuses a second one of the same name
//! and content, so that of several only one comes to pass, until that one is taken away.

use domain::code::Code;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    account::CloudflareAccount,
    errors::{Intent, unreadable},
    wire::{Record, Zone, sent, vendor_id},
};
use crate::{
    dns::{RecordContent, RecordMade, RecordType, RecordWish},
    dns_wish,
    error::{Effect, ProviderError},
    journal::{Journal, JournalLost},
};

/// Automatic, for the vendor.
const AUTOMATIC: u32 = 1;
/// What else it takes, in seconds.
const TTL: std::ops::RangeInclusive<u32> = 60..=86_400;

/// What the journal knows of one record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Noted {
    /// Creates that went out and whose end is not known.
    pub(super) open: u32,
    /// The zone's id at the vendor.
    pub(super) zone: Option<String>,
    /// The record's, once it is made.
    pub(super) id: Option<String>,
}

impl Noted {
    pub(super) fn get(journal: &dyn Journal, record_id: &str) -> Option<Self> {
        serde_json::from_value(journal.get(&key(record_id))?).ok()
    }

    async fn put(&self, journal: &mut dyn Journal, record_id: &str) -> Result<(), JournalLost> {
        let value = json!({"open": self.open, "zone": self.zone, "id": self.id});
        if journal.get(&key(record_id)).as_ref() == Some(&value) {
            return Ok(());
        }
        journal.put(&key(record_id), value).await
    }

    /// One of the creates that went out came to an end: a record, or nothing.
    fn ended(&self, zone: &Zone, record: Option<&Record>) -> Self {
        let id = record.map(|record| record.id.clone());
        Self { open: self.open.saturating_sub(1), zone: Some(zone.id.clone()), id }
    }
}

fn key(record_id: &str) -> String {
    format!("dns:{record_id}")
}

pub(super) async fn run(
    account: &CloudflareAccount,
    wish: &RecordWish,
    journal: &mut dyn Journal,
) -> Result<Vec<RecordMade>, ProviderError> {
    journal.step("create_record", &format!("Creating the DNS records of {}", wish.name)).await?;
    for content in &wish.contents {
        if Noted::get(journal, &content.record_id).is_none() {
            Noted::default().put(journal, &content.record_id).await?;
        }
    }
    check(account, wish)?;
    let (zone, found) = account.records_at(&wish.name).await?;
    for record in &found {
        conflict(account, wish, record)?;
    }
    let mut made = Vec::new();
    let mut fresh = Vec::new();
    for content in &wish.contents {
        let here = found.iter().find(|record| record.is_marked(&account.marker, &content.record_id));
        let record = match here {
            Some(record) => adopted(account, &zone, wish, content, record, journal).await?,
            None => match create(account, &zone, wish, content, journal).await {
                Ok(record) => {
                    fresh.push(record.id.clone());
                    record
                }
                Err(error) => {
                    if !error.lost && !error.is_transient() {
                        take_back(account, &zone, &fresh).await;
                    }
                    return Err(error);
                }
            },
        };
        made.push(RecordMade {
            record_id: content.record_id.clone(),
            vendor_id: Some(vendor_id(&zone.id, &record.id)),
        });
    }
    if !fresh.is_empty() {
        alone(account, &zone, wish, &fresh).await?;
    }
    Ok(made)
}

/// Looks once more, after the last create. The vendor takes a second address beside the first, so
/// what somebody else made since the look before stands beside ours now; then ours is taken back.
///
/// # Errors
/// `DNS_NAME_CONFLICT`
async fn alone(
    account: &CloudflareAccount,
    zone: &Zone,
    wish: &RecordWish,
    fresh: &[String],
) -> Result<(), ProviderError> {
    let looked = account.records_at_in(&zone.id, &wish.name.fqdn()).await;
    let alone = looked.and_then(|found| found.iter().try_for_each(|record| conflict(account, wish, record)));
    if let Err(error) = &alone
        && !error.is_transient()
    {
        take_back(account, zone, fresh).await;
    }
    alone
}

fn check(account: &CloudflareAccount, wish: &RecordWish) -> Result<(), ProviderError> {
    dns_wish::check(wish)?;
    let invalid = |message: &str| Err(ProviderError::new(Code::DnsValidation, message));
    if wish.ttl.is_some_and(|ttl| ttl != AUTOMATIC && !TTL.contains(&ttl)) {
        return invalid("The vendor takes a TTL from 60 to 86,400 seconds, or 1 for automatic.");
    }
    if wish.contents.iter().any(|content| account.marker.comment(&content.record_id).is_none()) {
        return invalid("The record's id has no room in the comment that marks it as ours.");
    }
    Ok(())
}

/// Refuses what stands there already and is not what is wished.
fn conflict(account: &CloudflareAccount, wish: &RecordWish, record: &Record) -> Result<(), ProviderError> {
    let of_kind = wish.contents.iter().any(|content| content.kind.as_str() == record.kind);
    if !of_kind && !matches!(record.kind.as_str(), "A" | "AAAA" | "CNAME") {
        return Ok(());
    }
    // A name that leads elsewhere as a whole stands beside nothing.
    let leads_elsewhere = record.kind == "CNAME" || wish.contents.iter().any(|it| it.kind == RecordType::Cname);
    let beside = !of_kind && !leads_elsewhere;
    let reason = match record.record_id(&account.marker) {
        // Records of ours of several types stand beside each other; each is made and goes alone.
        Some(_) if beside => return Ok(()),
        None => "A record that is not ours stands there",
        Some(id) => match wish.contents.iter().find(|content| content.record_id == id) {
            Some(content) if record.holds(content) => return Ok(()),
            Some(_) => "Our record was changed by hand",
            None => "Another record of ours stands there",
        },
    };
    let kind: String = record.kind.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    Err(ProviderError::new(Code::DnsNameConflict, format!("{reason}: {} {kind}.", wish.name)))
}

fn ttl_of(wish: &RecordWish, proxied: bool) -> u32 {
    // Behind the proxy it is always automatic.
    if proxied { AUTOMATIC } else { wish.ttl.unwrap_or(AUTOMATIC) }
}

fn is_proxied(wish: &RecordWish, content: &RecordContent) -> bool {
    wish.proxied == Some(true) && content.kind != RecordType::Txt
}

/// Takes over what is there; what was wished of TTL and proxy and is otherwise is set right.
async fn adopted(
    account: &CloudflareAccount,
    zone: &Zone,
    wish: &RecordWish,
    content: &RecordContent,
    record: &Record,
    journal: &mut dyn Journal,
) -> Result<Record, ProviderError> {
    let before = Noted::get(journal, &content.record_id).unwrap_or_default();
    if before.id.as_ref() != Some(&record.id) {
        before.ended(zone, Some(record)).put(journal, &content.record_id).await?;
    }
    let proxied = is_proxied(wish, content);
    let ttl = ttl_of(wish, proxied);
    let other_proxy = wish.proxied.is_some() && record.proxied != proxied;
    let other_ttl = wish.ttl.is_some() && record.ttl.is_some_and(|it| it != ttl);
    if other_proxy || other_ttl {
        let path = format!("/zones/{}/dns_records/{}", zone.id, record.id);
        let body = json!({"ttl": ttl, "proxied": if wish.proxied.is_some() { proxied } else { record.proxied }});
        account.core.write(Method::PATCH, &path, Some(&body)).await?;
    }
    Ok(record.clone())
}

async fn create(
    account: &CloudflareAccount,
    zone: &Zone,
    wish: &RecordWish,
    content: &RecordContent,
    journal: &mut dyn Journal,
) -> Result<Record, ProviderError> {
    let id = &content.record_id;
    let before = Noted::get(journal, id).unwrap_or_default();
    let noted = Noted { open: before.open.saturating_add(1), zone: Some(zone.id.clone()), id: None };
    noted.put(journal, id).await?;
    let proxied = is_proxied(wish, content);
    let mut body = json!({
        "name": wish.name.fqdn(),
        "type": content.kind.as_str(),
        "content": sent(content),
        "ttl": ttl_of(wish, proxied),
        "comment": account.marker.comment(id),
    });
    if content.kind != RecordType::Txt {
        body["proxied"] = json!(proxied);
    }
    let path = format!("/zones/{}/dns_records", zone.id);
    let answer = account.core.write(Method::POST, &path, Some(&body)).await;
    let refused = match answer {
        Ok(result) => match Record::read(&result) {
            Some(record) => {
                noted.ended(zone, Some(&record)).put(journal, id).await?;
                return in_its_zone(account, zone, wish, record).await;
            }
            None => unreadable(Intent::Write, None),
        },
        Err(error) => error,
    };
    if refused.effect == Effect::None {
        noted.ended(zone, None).put(journal, id).await?;
        if refused.code != Code::DnsNameConflict {
            return Err(refused);
        }
    }
    // It may be there: by this create, by one before whose answer was lost, or by somebody else.
    let Ok(found) = account.records_at_in(&zone.id, &wish.name.fqdn()).await else { return Err(refused) };
    match found.into_iter().find(|record| record.is_marked(&account.marker, id) && record.holds(content)) {
        Some(record) => {
            let noted = Noted::get(journal, id).unwrap_or_default();
            noted.ended(zone, Some(&record)).put(journal, id).await?;
            Ok(record)
        }
        None => Err(refused),
    }
}

/// The vendor puts its own zone behind a name that does not end with it.
async fn in_its_zone(
    account: &CloudflareAccount,
    zone: &Zone,
    wish: &RecordWish,
    record: Record,
) -> Result<Record, ProviderError> {
    if record.fqdn == wish.name.fqdn() {
        return Ok(record);
    }
    take_back(account, zone, std::slice::from_ref(&record.id)).await;
    Err(ProviderError::new(Code::DnsZoneNotFound, "The zone's id in the settings is that of another zone."))
}

/// Takes away what this run has just made, since not all could be made. What is left by a failure
/// is in the journal, and the undo finds it.
async fn take_back(account: &CloudflareAccount, zone: &Zone, ids: &[String]) {
    for id in ids {
        let path = format!("/zones/{}/dns_records/{id}", zone.id);
        if let Err(error) = account.core.write(Method::DELETE, &path, None).await {
            tracing::warn!(%error, "a record that was made in vain stays until it is undone");
        }
    }
}
