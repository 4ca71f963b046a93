//! Marks a record as ours that somebody else wrote. Rule: it is read again before, and is marked only
//! while it is as it was when a person decided; nothing but the comment changes.

use domain::code::Code;
use reqwest::Method;
use serde_json::json;

use super::{
    account::CloudflareAccount,
    errors::{Intent, unreadable},
    wire::{Record, ids_of},
};
use crate::{
    dns::{DnsFound, RecordMade},
    error::{Effect, ProviderError},
};

pub(super) async fn run(
    account: &CloudflareAccount,
    found: &DnsFound,
    record_id: &str,
) -> Result<RecordMade, ProviderError> {
    let changed = || {
        let message = format!("What stands at {} is not what it was when it was looked at.", found.name);
        ProviderError::new(Code::DnsNameConflict, message)
    };
    let (zone, id) = found.vendor_id.as_deref().and_then(ids_of).ok_or_else(changed)?;
    let comment = account.marker.comment(record_id).ok_or_else(|| {
        ProviderError::new(Code::DnsValidation, "The record's id has no room in the comment that marks it as ours.")
    })?;
    let path = format!("/zones/{zone}/dns_records/{id}");
    let value = account.core.get(&path, &[]).await?;
    let record = Record::read(&value).ok_or_else(|| unreadable(Intent::Read, None))?;
    if !record.is_as(found) {
        return Err(changed());
    }
    if !record.is_marked(&account.marker, record_id) {
        let after = marked(account, &path, &comment, record_id).await?;
        if !after.is_as(found) {
            // Somebody changed it in between; the vendor has no condition for a change.
            account.core.write(Method::PATCH, &path, Some(&json!({"comment": record.comment}))).await?;
            return Err(changed());
        }
    }
    Ok(RecordMade { record_id: record_id.to_owned(), vendor_id: found.vendor_id.clone() })
}

/// Gives the record our comment; as it stands then. Where the answer does not tell, it is looked up.
async fn marked(
    account: &CloudflareAccount,
    path: &str,
    comment: &str,
    record_id: &str,
) -> Result<Record, ProviderError> {
    let answer = account.core.write(Method::PATCH, path, Some(&json!({"comment": comment}))).await;
    let is_marked = |record: &Record| record.is_marked(&account.marker, record_id);
    let unknown = match answer {
        Ok(value) => match Record::read(&value).filter(is_marked) {
            Some(record) => return Ok(record),
            None => unreadable(Intent::Write, None),
        },
        Err(error) if error.effect == Effect::Unknown => error,
        Err(error) => return Err(error),
    };
    let after = account.core.get(path, &[]).await.ok();
    after.as_ref().and_then(Record::read).filter(is_marked).ok_or(unknown)
}
