//! Zones and what stands in them. Rule: a zone's id is remembered only until the vendor does not know
//! it any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use domain::code::Code;
use serde_json::Value;

use super::{
    account::CloudflareAccount,
    errors::{Intent, unreadable},
    wire::{Record, Zone},
};
use crate::{dns::DnsName, dns_wish, error::ProviderError};

/// Zones that are shown at most.
const ZONES_MOST: usize = 1_000;
/// Records that are read of one zone at most; the largest plans hold more than a million.
const RECORDS_MOST: usize = 400_000;

/// Zones that were seen, by name.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<BTreeMap<String, Zone>>);

impl Known {
    fn get(&self, name: &str) -> Option<Zone> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn put(&self, zone: &Zone) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(zone.name.clone(), zone.clone());
    }

    fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

fn not_found(message: impl Into<String>) -> ProviderError {
    ProviderError::new(Code::DnsZoneNotFound, message)
}

/// The zone of this name. The vendor lists several of them where one was moved to another account, or
/// somebody began to move it: then the active one is meant.
fn one_of(mut listed: Vec<Zone>, name: &str, account_id: Option<&str>) -> Result<Zone, ProviderError> {
    let mut seen = BTreeSet::new();
    listed.retain(|zone| zone.name == name && seen.insert(zone.id.clone()));
    if let Some(id) = account_id {
        listed.retain(|zone| zone.account_id.as_deref().is_none_or(|it| it == id));
    }
    if listed.len() > 1 {
        listed.retain(|zone| zone.active);
        if listed.len() != 1 {
            return Err(not_found(
                "The credential sees several zones of this name: set the zone's id in the settings.",
            ));
        }
    }
    listed.pop().ok_or_else(|| not_found("The credential sees no zone of this name."))
}

impl CloudflareAccount {
    /// The zones that the token sees: the one of the settings, or all that it may list.
    pub(super) async fn zones_seen(&self) -> Result<Vec<Zone>, ProviderError> {
        match &self.zone_id {
            Some(id) => Ok(vec![self.zone_by_id(id).await?]),
            None => self.zones_listed(&[], ZONES_MOST).await,
        }
    }

    /// The zones that the token may list and that pass these filters.
    pub(super) async fn zones_listed(&self, query: &[(&str, &str)], most: usize) -> Result<Vec<Zone>, ProviderError> {
        let listed = self.core.list("/zones", query, "50", most).await.map_err(|mut error| {
            if error.code == Code::ProviderCredentialRejected {
                error.message.push_str(" A token for one zone may not list zones: name the zone's id in the settings.");
            }
            error
        })?;
        Ok(listed.iter().filter_map(Zone::read).collect())
    }

    pub(super) async fn zone_by_id(&self, id: &str) -> Result<Zone, ProviderError> {
        match self.core.get(&format!("/zones/{id}"), &[]).await {
            Ok(value) => Zone::read(&value).ok_or_else(|| {
                ProviderError::new(Code::ProviderApiError, "The vendor's answer about the zone cannot be read.")
            }),
            Err(mut error) if error.code == Code::ProviderCredentialRejected => match &self.zone_name {
                // It may change records all the same.
                Some(name) => Ok(Zone {
                    id: id.to_owned(),
                    name: name.clone(),
                    name_servers: Vec::new(),
                    account_id: self.account_id.clone(),
                    active: true,
                }),
                None => {
                    error.message.push_str(" If it may only not read the zone itself, name the zone in the settings.");
                    Err(error)
                }
            },
            Err(error) => Err(error),
        }
    }

    /// The zone of this name.
    pub(super) async fn zone(&self, name: &str) -> Result<Zone, ProviderError> {
        if let Some(zone) = self.known.get(name) {
            return Ok(zone);
        }
        let zone = match &self.zone_id {
            Some(id) => {
                let zone = self.zone_by_id(id).await?;
                if zone.name != name {
                    return Err(not_found("The account is set to another zone than the one asked for."));
                }
                zone
            }
            None => {
                let listed = self.zones_listed(&[("name", name)], ZONES_MOST).await?;
                one_of(listed, name, self.account_id.as_deref())?
            }
        };
        self.known.put(&zone);
        Ok(zone)
    }

    /// The records of a zone that pass these filters and can be read.
    pub(super) async fn records_in(
        &self,
        zone: &str,
        query: &[(&str, &str)],
    ) -> Result<(Zone, Vec<Record>), ProviderError> {
        let (zone, listed) = self.listed_in(zone, query).await?;
        Ok((zone, listed.iter().filter_map(Record::read).collect()))
    }

    async fn listed_in(&self, zone: &str, query: &[(&str, &str)]) -> Result<(Zone, Vec<Value>), ProviderError> {
        let was_known = self.known.get(zone).is_some();
        let found = self.zone(zone).await?;
        match self.list_of(&found.id, query).await {
            Ok(records) => Ok((found, records)),
            Err(error) if error.code == Code::DnsZoneNotFound => {
                self.known.forget(zone);
                if !was_known {
                    return Err(error);
                }
                // It may have been taken away and made anew.
                let found = self.zone(zone).await?;
                let records = self.list_of(&found.id, query).await?;
                Ok((found, records))
            }
            Err(error) => Err(error),
        }
    }

    /// Every record of exactly this name.
    pub(super) async fn records_at(&self, name: &DnsName) -> Result<(Zone, Vec<Record>), ProviderError> {
        dns_wish::check_name(name)?;
        let fqdn = name.fqdn();
        let (zone, listed) = self.listed_in(&name.zone, &[("name", &fqdn)]).await?;
        Ok((zone, all_at(&listed, &fqdn)?))
    }

    /// Every record of exactly this name in the zone of this id.
    pub(super) async fn records_at_in(&self, zone_id: &str, fqdn: &str) -> Result<Vec<Record>, ProviderError> {
        all_at(&self.list_of(zone_id, &[("name", fqdn)]).await?, fqdn)
    }

    async fn list_of(&self, zone_id: &str, query: &[(&str, &str)]) -> Result<Vec<Value>, ProviderError> {
        self.core.list(&format!("/zones/{zone_id}/dns_records"), query, "1000", RECORDS_MOST).await
    }
}

/// The records of exactly this name. What cannot be read may be somebody's, or ours: of a name
/// nothing is passed over.
///
/// # Errors
/// `PROVIDER_API_ERROR`
fn all_at(listed: &[Value], fqdn: &str) -> Result<Vec<Record>, ProviderError> {
    let read = |value| Record::read(value).ok_or_else(|| unreadable(Intent::Read, None));
    let mut records = listed.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    records.retain(|record| record.fqdn == fqdn);
    Ok(records)
}
