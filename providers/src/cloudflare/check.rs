//! Whether the token works and may edit. Rule: nothing is made or left to prove it; the message says
//! what was proved and what was not.

use domain::code::Code;
use reqwest::Method;
use serde_json::Value;

use super::{account::CloudflareAccount, wire::Zone};
use crate::{adapter::CheckReport, error::ProviderError};

/// The id of a record that does not exist: whoever may not edit is refused before it is looked for.
const NO_RECORD: &str = "00000000000000000000000000000000";

pub(super) async fn run(account: &CloudflareAccount) -> Result<CheckReport, ProviderError> {
    // A user's token is verified here, an account's own only at its account, which the zone tells.
    let by_user = match account.core.get("/user/tokens/verify", &[]).await {
        Ok(told) => Some(told),
        Err(error) if error.code == Code::ProviderCredentialRejected => None,
        Err(error) => return Err(error),
    };
    if let Some(told) = &by_user {
        is_active(told)?;
    }
    let (zone, several) = zone_of(account).await?;
    let told = match by_user {
        Some(told) => Some(told),
        None => match account.account_id.as_deref().or(zone.account_id.as_deref()) {
            Some(id) => {
                let told = account.core.get(&format!("/accounts/{id}/tokens/verify"), &[]).await?;
                is_active(&told)?;
                Some(told)
            }
            None => None,
        },
    };
    let records = format!("/zones/{}/dns_records", zone.id);
    account.core.list(&records, &[], "5", 1).await?;
    let edits = edits(account, &records).await?;

    let name = &zone.name;
    let mut message = if edits {
        format!("The token may read and edit the records of {name}; tried on a record that does not exist.")
    } else {
        format!("The token may read the records of {name}; whether it may edit them could not be found out.")
    };
    if several {
        message.push_str(" Other zones were not tried.");
    }
    let expires_at = told.as_ref().and_then(|told| told["expires_on"].as_str()).filter(|at| is_time(at));
    match (&told, expires_at) {
        (None, _) => message.push_str(" It could not be verified itself: its account is not known."),
        (_, Some(at)) => message.push_str(&format!(" It expires on {at}.")),
        _ => {}
    }
    if account.plain {
        message.push_str(" The endpoint is plain http: anyone on the way can read the token.");
    }
    Ok(CheckReport { message, server_count: None, owned_count: None, expires_at: expires_at.map(str::to_owned) })
}

fn is_active(told: &Value) -> Result<(), ProviderError> {
    let reason = match told["status"].as_str() {
        Some("active") => return Ok(()),
        Some("expired") => "The token has expired.",
        Some("disabled") => "The token is switched off.",
        _ => "The vendor does not say that the token is active.",
    };
    Err(ProviderError::new(Code::ProviderCredentialRejected, reason))
}

/// A zone to try the token on, and whether there are others.
async fn zone_of(account: &CloudflareAccount) -> Result<(Zone, bool), ProviderError> {
    if let Some(id) = &account.zone_id {
        return account.zone_by_id(id).await.map(|zone| (zone, false));
    }
    let mut zones = account.zones_listed(&[], 2).await?.into_iter();
    let several = zones.len() > 1;
    zones.next().map(|zone| (zone, several)).ok_or_else(|| {
        let message = "The token works, but it sees no zone; name the zone's id in the settings.";
        ProviderError::new(Code::DnsZoneNotFound, message)
    })
}

/// Whether the token may edit; false when the answer tells neither.
async fn edits(account: &CloudflareAccount, records: &str) -> Result<bool, ProviderError> {
    match account.core.write(Method::DELETE, &format!("{records}/{NO_RECORD}"), None).await {
        Ok(_) => Ok(true),
        Err(error) => match error.code {
            Code::ProviderResourceGone => Ok(true),
            // It has just been let read.
            Code::ProviderCredentialRejected => {
                let message = "The token may read the zone's records but not edit them.";
                let mut refused = ProviderError::new(Code::ProviderTokenReadonly, message);
                refused.correlation_id = error.correlation_id;
                Err(refused)
            }
            _ if error.is_transient() => Err(error),
            _ => Ok(false),
        },
    }
}

/// Whether a text looks like a time, and can be shown.
fn is_time(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b':' | b'.' | b'T' | b'Z' | b'+');
    (20..=35).contains(&text.len()) && text.bytes().all(plain)
}
