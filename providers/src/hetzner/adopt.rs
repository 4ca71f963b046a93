//! Labels a set of records as ours that somebody else made. Rule: it is labelled only while it holds
//! exactly what was shown to the person who decided; labels that it has stay, but for the names that
//! say what is ours.
//!
//! The vendor takes labels without a condition, so what the set holds is read again afterwards: when
//! it was changed in between, it gets its old labels back.

use std::collections::BTreeMap;

use domain::code::Code;
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use super::{
    core::{Answer, Core},
    deed::Lock,
    dns::{at, zone_path},
    errors::Scope,
    poll::actions_end,
    rrset::{Rrset, labels_for},
    wire::Action,
};
use crate::{
    budget::Class,
    dns::{DnsFound, RecordMade, RecordType},
    error::{Effect, ProviderError},
    journal::MemoryJournal,
};

pub(super) async fn run(core: &Core, found: &DnsFound, record_id: &str) -> Result<RecordMade, ProviderError> {
    if RecordType::named(&found.kind).is_none() {
        let message = format!("A record of type {} cannot be adopted.", found.kind);
        return Err(ProviderError::new(Code::ProviderInvalidRequest, message));
    }
    let is_ours = |set: &Rrset| set.record_id(&core.instance) == Some(record_id);
    let made = |set: &Rrset| RecordMade { record_id: record_id.to_owned(), vendor_id: Some(set.id.clone()) };
    let set = standing(core, found).await?;
    if is_ours(&set) {
        return Ok(made(&set));
    }
    let mut all = set.labels.clone();
    all.extend(labels_for(&core.instance, record_id));
    if let Err(error) = label(core, found, &all).await {
        if error.effect == Effect::None {
            return Err(error);
        }
        // Labelled after all?
        return match standing(core, found).await {
            Ok(set) if is_ours(&set) => Ok(made(&set)),
            _ => Err(error),
        };
    }
    match standing(core, found).await {
        Ok(set) => Ok(made(&set)),
        Err(error) => {
            if error.code == Code::DnsNameConflict {
                label(core, found, &set.labels).await?;
            }
            Err(error)
        }
    }
}

/// The set, which holds what was found and nothing else.
///
/// # Errors
/// `DNS_NAME_CONFLICT` when it holds something else, `PROVIDER_RESOURCE_GONE` when there is none.
async fn standing(core: &Core, found: &DnsFound) -> Result<Rrset, ProviderError> {
    let all = at(core, Class::Make, &found.name).await?;
    let Some(set) = all.into_iter().find(|set| set.kind == found.kind) else {
        let message = format!("At {} stands no {} any more.", found.name, found.kind);
        return Err(ProviderError::new(Code::ProviderResourceGone, message));
    };
    if set.is_as(found) {
        return Ok(set);
    }
    let message = format!("What stands at {} is not what it was when it was looked at; it was left alone.", found.name);
    Err(ProviderError::new(Code::DnsNameConflict, message))
}

/// Replaces all labels of the set by these, and waits until it is done.
async fn label(core: &Core, found: &DnsFound, labels: &BTreeMap<String, String>) -> Result<(), ProviderError> {
    let path = format!("{}/rrsets/{}/{}", zone_path(&found.name.zone)?, found.name.name, found.kind);
    let order = json!({"labels": labels});
    let deadline = Instant::now() + core.timeouts.action;
    let mut lock = Lock::new(core.timeouts.write);
    // Nothing of this need be resumed: it is asked for again.
    let mut journal = MemoryJournal::default();
    let answer: Answer = loop {
        match core.write(Class::Tend, Method::PUT, &path, Some(&order), Scope::Resource).await {
            Err(error) if error.code == Code::ProviderLocked => lock.wait(core, error, &mut journal).await?,
            other => break other?,
        }
    };
    let action = Action::read(&answer["action"]).map(|action| action.id);
    actions_end(core, action.as_slice(), deadline, &mut journal).await
}
