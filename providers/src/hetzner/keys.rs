//! The managed SSH key at the vendor. Rule: keys are the same when their fingerprints are, never
//! by name; a name that another key holds is left alone.

use std::collections::BTreeMap;

use domain::code::Code;
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use super::{
    core::{Core, Turn},
    errors::Scope,
    labels,
    wire::SshKey,
};
use crate::{
    budget::Class,
    error::{Effect, ProviderError},
    ssh::{ManagedKey, fingerprint_md5},
};

/// The vendor's id of the managed key, which is registered if it is not; asked for once for
/// everybody who makes a server.
pub(super) async fn ensure(core: &Core, key: &ManagedKey) -> Result<String, ProviderError> {
    let fingerprint = fingerprint_of(key)?;
    let ensured = async {
        let turn = Class::Make.into();
        match find(core, turn, &fingerprint).await? {
            Some(known) => Ok(known.id),
            None => register(core, turn, key, &fingerprint).await,
        }
    };
    core.known.key(&fingerprint, ensured).await
}

/// Registers the managed key or labels it anew: either way something is written, which proves that
/// the credential may. Every call has its turn not later than `until`.
pub(super) async fn prove_write(core: &Core, key: &ManagedKey, until: Instant) -> Result<(), ProviderError> {
    let fingerprint = fingerprint_of(key)?;
    let turn = Turn::by(Class::Make, until);
    if let Some(known) = find(core, turn, &fingerprint).await? {
        // The vendor replaces all labels by those that are sent.
        let mut all = known.labels;
        all.extend(labels::of_instance(&core.instance));
        let path = format!("/ssh_keys/{}", known.id);
        match core.write(turn, Method::PUT, &path, Some(&json!({"labels": all})), Scope::Resource).await {
            Err(error) if error.code == Code::ProviderResourceGone => {}
            other => return other.map(drop),
        }
    }
    register(core, turn, key, &fingerprint).await.map(drop)
}

fn fingerprint_of(key: &ManagedKey) -> Result<String, ProviderError> {
    key.fingerprint_md5().map_err(|source| {
        let message = "Hangar's managed SSH key cannot be read.";
        ProviderError::new(Code::ProviderAcquisitionUnavailable, message).with_source(source)
    })
}

async fn find(core: &Core, turn: Turn, fingerprint: &str) -> Result<Option<SshKey>, ProviderError> {
    // The filter is only a help: whoever ignores it is not believed.
    let entries = core.list(turn, "/ssh_keys", "ssh_keys", &[("fingerprint", fingerprint)]).await?;
    Ok(entries.iter().filter_map(SshKey::read).find(|key| {
        let own = key.public_key.as_deref().and_then(|line| fingerprint_md5(line).ok());
        own.as_deref().or(key.fingerprint.as_deref()) == Some(fingerprint)
    }))
}

async fn register(core: &Core, turn: Turn, key: &ManagedKey, fingerprint: &str) -> Result<String, ProviderError> {
    match create(core, turn, &key.name, key, &labels::of_instance(&core.instance)).await {
        Err(error) if error.effect == Effect::Unknown => {
            // Registered after all, by this call or at the same time by another?
            let deadline = Instant::now() + core.timeouts.read;
            if let Some(known) = find_patiently(core, turn, fingerprint, deadline).await? {
                return Ok(known.id);
            }
            if error.code != Code::ProviderNameConflict {
                return Err(error);
            }
            // Another key holds the name: it stays, and ours gets one of its own.
            let tail: String = fingerprint.chars().filter(char::is_ascii_hexdigit).take(8).collect();
            create(core, turn, &format!("{}-{tail}", key.name), key, &labels::of_instance(&core.instance)).await
        }
        other => other,
    }
}

async fn find_patiently(
    core: &Core,
    turn: Turn,
    fingerprint: &str,
    deadline: Instant,
) -> Result<Option<SshKey>, ProviderError> {
    loop {
        match find(core, turn, fingerprint).await {
            Err(error) if error.is_transient() => {
                let pause = error.retry_after.unwrap_or_default().max(core.timeouts.poll_first);
                if Instant::now() + pause >= deadline {
                    return Err(error.with_effect(Effect::Unknown));
                }
                tokio::time::sleep(pause).await;
            }
            other => return other,
        }
    }
}

async fn create(
    core: &Core,
    turn: Turn,
    name: &str,
    key: &ManagedKey,
    labels: &BTreeMap<String, String>,
) -> Result<String, ProviderError> {
    let order = json!({"name": name, "public_key": key.public_openssh, "labels": labels});
    let answer = core.write(turn, Method::POST, "/ssh_keys", Some(&order), Scope::Collection).await?;
    SshKey::read(&answer["ssh_key"]).map(|key| key.id).ok_or_else(|| answer.unreadable())
}
