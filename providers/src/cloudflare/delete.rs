//! Takes one record away. Rule: it is read again before, and goes only while marker, name, type and
//! content are still ours.

use domain::code::Code;
use reqwest::Method;
use tokio::time::{Instant, sleep};

use super::{
    account::CloudflareAccount,
    create::Noted,
    errors::{Intent, unreadable},
    wire::{Record, ids_of},
};
use crate::{
    dns::{RecordDeleted, RecordTarget},
    error::{Effect, ProviderError},
    journal::Journal,
};

/// A record that was found, and in which zone.
type Place = (String, Record);

pub(super) async fn run(
    account: &CloudflareAccount,
    target: &RecordTarget,
    journal: &mut dyn Journal,
) -> Result<RecordDeleted, ProviderError> {
    journal.step("delete_record", &format!("Deleting the DNS record of {}", target.name)).await?;
    let noted = Noted::get(journal, &target.content.record_id);
    if target.vendor_id.is_none() && noted.as_ref().is_some_and(|it| it.open == 0 && it.id.is_none()) {
        // It was never tried.
        return Ok(RecordDeleted::Gone);
    }
    let noted = noted.unwrap_or_default();
    // Nobody can tell that a create whose answer was lost will not be carried out later.
    let mut open = noted.open;
    let until = Instant::now() + account.core.timeouts.late_create;
    let mut wait = account.core.timeouts.poll_first;
    let mut done = RecordDeleted::Gone;
    loop {
        match find(account, target, &noted).await? {
            Some((_, record)) if !is_ours(account, target, &record) => {
                return Ok(RecordDeleted::Changed { observed: record.observed() });
            }
            Some((zone, record)) => {
                delete(account, &zone, &record).await?;
                done = RecordDeleted::Deleted;
                if noted.id.as_ref() != Some(&record.id) {
                    open = open.saturating_sub(1);
                }
            }
            None if Instant::now() >= until => return Ok(done),
            None if open > 0 => {
                sleep(wait).await;
                wait = (wait * 2).min(account.core.timeouts.poll_most);
            }
            None => {}
        }
        if open == 0 {
            return Ok(done);
        }
    }
}

async fn delete(account: &CloudflareAccount, zone: &str, record: &Record) -> Result<(), ProviderError> {
    let path = format!("/zones/{zone}/dns_records/{}", record.id);
    match account.core.write(Method::DELETE, &path, None).await {
        Ok(_) => Ok(()),
        Err(error) if is_gone(&error) => Ok(()),
        Err(error) if error.effect == Effect::Unknown => match account.core.get(&path, &[]).await {
            Err(gone) if is_gone(&gone) => Ok(()),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

fn is_gone(error: &ProviderError) -> bool {
    matches!(error.code, Code::ProviderResourceGone | Code::DnsZoneNotFound)
}

fn is_ours(account: &CloudflareAccount, target: &RecordTarget, record: &Record) -> bool {
    record.is_marked(&account.marker, &target.content.record_id)
        && record.fqdn == target.name.fqdn()
        && record.holds(&target.content)
}

/// The record by its id; else one of its name that carries its marker. `None` when it is gone, or
/// its zone is.
async fn find(
    account: &CloudflareAccount,
    target: &RecordTarget,
    noted: &Noted,
) -> Result<Option<Place>, ProviderError> {
    let told = target.vendor_id.as_deref().and_then(ids_of);
    let own = noted.zone.as_deref().zip(noted.id.as_deref());
    let zone = told.or(own).map(|(zone, _)| zone).or(noted.zone.as_deref());
    if let Some((zone, id)) = told.or(own) {
        match account.core.get(&format!("/zones/{zone}/dns_records/{id}"), &[]).await {
            Ok(value) => {
                let cannot = || unreadable(Intent::Read, None);
                return Record::read(&value).ok_or_else(cannot).map(|record| Some((zone.to_owned(), record)));
            }
            Err(error) if error.code == Code::DnsZoneNotFound => return Ok(None),
            Err(error) if error.code == Code::ProviderResourceGone => {}
            Err(error) => return Err(error),
        }
    }
    let (zone, records) = match zone {
        Some(zone) => match account.records_at_in(zone, &target.name.fqdn()).await {
            Ok(records) => (zone.to_owned(), records),
            Err(error) if error.code == Code::DnsZoneNotFound => return Ok(None),
            Err(error) => return Err(error),
        },
        None => {
            let (zone, records) = account.records_at(&target.name).await?;
            (zone.id, records)
        }
    };
    let is_it = |record: &Record| record.is_marked(&account.marker, &target.content.record_id);
    Ok(records.into_iter().find(is_it).map(|record| (zone, record)))
}
