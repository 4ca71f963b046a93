//! What stands in the zones, compared with what is recorded. The rule: one listing of what is marked
//! ours answers for all records of a zone; what it lacks is looked up by its name before it is called
//! gone or foreign; and a record that something works on, or that changed since the listing began, is
//! left for the next time.

use std::{collections::HashMap, time::Duration};

use ::providers::{DnsFound, DnsName, DnsProvider};
use domain::{
    access::Principal,
    code::Code,
    dns::DnsState,
    id::DnsRecordId,
    node::{Cleanup, Drift, GONE},
    orphan::{OrphanKind, OrphanSubject},
    time::Timestamp,
    valid::ZoneName,
};
use serde::{Deserialize, Serialize};
use store::{Conn, DnsRecordRow, OrphanRow, ProviderRow};

use super::{
    show::{name_of, no_dns},
    write::{foreign, subject},
};
use crate::{
    fault::Fault,
    services::{
        Services,
        accounts::provider_fault,
        audit::{Happened, audit_in, event},
        orphans::Judged,
    },
};

/// A listing that takes longer than this has failed. It may have many pages.
const LIST_BOUND: Duration = Duration::from_secs(60);
/// A question for one name.
const ASK_BOUND: Duration = Duration::from_secs(10);
/// Zones of an account that are looked at in one round.
const ZONES_AT_ONCE: usize = 50;
/// Names that a listing lacks and that are asked for in one round; the others wait.
const ASKED_AT_ONCE: usize = 25;
/// Records read at once.
const PAGE: u32 = 200;

/// A record at the vendor that a sweep takes away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SweptRecord {
    /// Its zone.
    pub zone: String,
    /// Its name within the zone.
    pub name: String,
    /// Its type, in capitals.
    pub kind: String,
    /// Its content when it was seen.
    pub content: String,
    /// The vendor's id.
    pub vendor_id: Option<String>,
    /// The record of ours that its marker names.
    pub record_id: String,
}

impl SweptRecord {
    pub fn dns_name(&self) -> DnsName {
        DnsName { zone: self.zone.clone(), name: self.name.clone() }
    }
}

/// What one look at a zone gave.
struct Looked {
    /// Everything in it that carries our marker.
    ours: Vec<DnsFound>,
    /// Records with their difference, if there is one.
    records: Vec<(DnsRecordRow, Vec<Drift>)>,
}

impl Services {
    /// Looks at every zone of an account in which Hangar ever wrote; how many records of ours stand
    /// there.
    ///
    /// # Errors
    /// What the vendor answers; [`Fault`] if the store does not answer.
    pub(in crate::services) async fn dns_observe(&self, provider: &ProviderRow) -> Result<u32, Fault> {
        let zones = self.store.read().await?.dns_zones_written(&provider.id, ZONES_AT_ONCE).await?;
        let open = self.account(provider)?;
        let dns = open.account.dns().ok_or_else(|| no_dns(provider))?;
        let mut asked = ASKED_AT_ONCE;
        let mut owned = 0_usize;
        let mut orphans = Vec::new();
        let begun = self.clock.now();
        let system = Principal::system();
        for zone in &zones {
            let looked = self.zone_looked(provider, dns, zone, &mut asked).await?;
            owned += looked.ours.len();
            let now = self.clock.now();
            let mut same = Vec::new();
            for (row, drift) in looked.records {
                if drift == row.drift {
                    same.push(row.id);
                } else {
                    self.dns_drift_put(&system, &row, drift, now).await?;
                }
            }
            for some in same.chunks(500) {
                let ids = some.to_vec();
                self.write::<(), Fault, _>(move |c| {
                    let ids = ids.clone();
                    Box::pin(async move { Ok(c.dns_records_observed_set(&ids, now).await?) })
                })
                .await?;
            }
            orphans.extend(looked.ours);
        }
        self.dns_orphans_seen(provider, orphans, begun).await?;
        Ok(u32::try_from(owned).unwrap_or(u32::MAX))
    }

    async fn zone_looked(
        &self,
        provider: &ProviderRow,
        dns: &dyn DnsProvider,
        zone: &ZoneName,
        asked: &mut usize,
    ) -> Result<Looked, Fault> {
        // What changes from here on is newer than the listing.
        let before: HashMap<DnsRecordId, i64> =
            self.records_at(provider, zone).await?.into_iter().map(|row| (row.id, row.version)).collect();
        let listed = tokio::time::timeout(LIST_BOUND, dns.owned(zone.as_str())).await.map_err(|_| {
            Fault::new(Code::ProviderUnreachable, "The vendor did not list the records within a minute.")
        })?;
        let (ours, no_zone) = match listed {
            Ok(ours) => (ours, false),
            Err(error) if error.code == Code::DnsZoneNotFound => (Vec::new(), true),
            Err(error) => return Err(provider_fault(error)),
        };
        let mut records = Vec::new();
        for row in self.records_at(provider, zone).await? {
            if row.state != DnsState::Active || before.get(&row.id) != Some(&row.version) {
                continue;
            }
            let own = ours.iter().find(|it| it.record_id.as_deref() == Some(row.id.as_str()) && is_at(it, &row));
            let drift = match own {
                Some(found) if holds(found, &row) => Vec::new(),
                Some(found) => vec![foreign(&row, &observed(found))],
                None if no_zone => vec![gone(&row, "The zone is no longer known to the account")],
                None if *asked == 0 => continue,
                None => {
                    *asked -= 1;
                    match asked_for(dns, &row).await {
                        Ok(drift) => drift,
                        // Nothing was learnt of this one; it is asked for again in the next round.
                        Err(fault) => {
                            tracing::info!(record = %row.id, code = %fault.code, "a name could not be asked for");
                            continue;
                        }
                    }
                }
            };
            records.push((row, drift));
        }
        Ok(Looked { ours, records })
    }

    async fn records_at(&self, provider: &ProviderRow, zone: &ZoneName) -> Result<Vec<DnsRecordRow>, Fault> {
        let mut all: Vec<DnsRecordRow> = Vec::new();
        loop {
            let after = all.last().map(|row| row.id.to_string()).unwrap_or_default();
            let page = self.store.read().await?.dns_records_at_zone(&provider.id, zone, &after, PAGE).await?;
            let last = page.len() < PAGE as usize;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    /// Looks at one record now, and writes down what came.
    pub(super) async fn dns_looked(
        &self,
        who: &Principal,
        row: &DnsRecordRow,
        provider: &ProviderRow,
    ) -> Result<Vec<Drift>, Fault> {
        let open = self.account(provider)?;
        let dns = open.account.dns().ok_or_else(|| no_dns(provider))?;
        let drift = match asked_for(dns, row).await {
            Ok(drift) => drift,
            Err(fault) if fault.code == Code::DnsZoneNotFound => {
                vec![gone(row, "The zone is no longer known to the account")]
            }
            Err(fault) => return Err(fault),
        };
        self.dns_drift_put(who, row, drift.clone(), self.clock.now()).await?;
        Ok(drift)
    }

    /// Writes down how a record was found, unless it has changed since it was read or something works
    /// on it.
    async fn dns_drift_put(
        &self,
        who: &Principal,
        row: &DnsRecordRow,
        drift: Vec<Drift>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let (who, id, version) = (who.clone(), row.id.clone(), row.version);
        self.write::<(), Fault, _>(move |c| {
            let (who, id, drift) = (who.clone(), id.clone(), drift.clone());
            Box::pin(async move {
                let Some(mut row) = c.dns_record_lock(&id).await? else { return Ok(()) };
                if row.version != version || c.job_open_for("dns_record", id.as_str()).await?.is_some() {
                    return Ok(());
                }
                if row.drift == drift {
                    return Ok(c.dns_records_observed_set(std::slice::from_ref(&id), now).await?);
                }
                row.observed_at = Some(now);
                row.updated_at = now;
                if drift.is_empty() {
                    row.code = None;
                    row.message = None;
                }
                row.drift = drift;
                c.dns_record_save(&row).await?;
                let line = Happened::ok(&who, "dns.drift", subject(&id), now);
                let line = match row.drift.first() {
                    None => line.detail("It stands in its zone as Hangar wrote it again."),
                    Some(it) => line
                        .detail(format!("{} is recorded, in the zone stands: {}", it.recorded, it.observed))
                        .failed(if it.observed == GONE { Code::ProviderResourceGone } else { Code::DnsNameConflict }),
                };
                audit_in(c, line).await?;
                Ok(c.event_insert(&[event("dns_record", &id, row.version + 1, None)]).await?)
            })
        })
        .await
    }

    /// Writes down which records with our marker nobody here answers for.
    async fn dns_orphans_seen(
        &self,
        provider: &ProviderRow,
        ours: Vec<DnsFound>,
        begun: Timestamp,
    ) -> Result<(), Fault> {
        let now = self.clock.now();
        let provider = provider.clone();
        self.write::<(), Fault, _>(move |c| {
            let (provider, ours) = (provider.clone(), ours.clone());
            Box::pin(async move {
                if c.provider_lock(&provider.id).await?.is_none() {
                    return Ok(());
                }
                let sweeping = crate::services::orphans::sweeping_in(c, &provider.id).await?;
                let mut seen = 0;
                for found in &ours {
                    let key = found.vendor_id.clone().unwrap_or_else(|| format!("{} {}", found.name, found.kind));
                    let Judged::Orphan(reason) =
                        dns_orphan_judged_in(c, found.record_id.as_deref(), &found.name, Some(begun)).await?
                    else {
                        continue;
                    };
                    if sweeping.contains(&key) && found.record_id.is_none() {
                        continue;
                    }
                    seen += 1;
                    let swept = found.record_id.as_ref().map(|id| SweptRecord {
                        zone: found.name.zone.clone(),
                        name: found.name.name.clone(),
                        kind: found.kind.clone(),
                        content: found.content.clone(),
                        vendor_id: found.vendor_id.clone(),
                        record_id: id.clone(),
                    });
                    c.orphan_seen(&OrphanRow {
                        provider_id: provider.id.clone(),
                        infra_id: key,
                        kind: OrphanKind::Unknown,
                        subject: OrphanSubject::DnsRecord,
                        name: format!("{} {} {}", found.name, found.kind, found.content),
                        node_id: None,
                        detail: swept.and_then(|it| serde_json::to_value(it).ok()),
                        reason,
                        first_seen_at: now,
                        last_seen_at: now,
                    })
                    .await?;
                }
                c.orphans_unseen_delete(&provider.id, OrphanSubject::DnsRecord, now).await?;
                if seen > 0 {
                    c.event_insert(&[event("orphan", &provider.id, now.millis(), None)]).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

/// Whether a record whose marker names `record_id` is an orphan as the database stands in the caller's
/// transaction. With `listed_at`, one whose row changed since then is not judged.
pub(crate) async fn dns_orphan_judged_in(
    c: &mut Conn,
    record_id: Option<&str>,
    at: &DnsName,
    listed_at: Option<Timestamp>,
) -> Result<Judged, Fault> {
    let orphan = |why: String| Ok(Judged::Orphan(why));
    let answered = |why: &str| Ok(Judged::Answered(why.to_owned()));
    let Some(label) = record_id else { return orphan("It carries our marker, but none names a record.".to_owned()) };
    let row = match label.parse::<DnsRecordId>() {
        Ok(id) => c.dns_record_get(&id).await?,
        Err(_) => None,
    };
    let Some(row) = row else { return orphan(format!("No record {label} is known here.")) };
    if listed_at.is_some_and(|at| row.updated_at >= at) {
        return answered("Its record has changed since.");
    }
    if c.job_open_for("dns_record", row.id.as_str()).await?.is_some() {
        return answered("A job works on its record.");
    }
    if name_of(&row) != *at {
        // Somebody copied it, with our marker: the record itself stands elsewhere.
        return answered("Its record stands under another name.");
    }
    match (row.state, row.cleanup) {
        (DnsState::Deleted, _) => orphan("Its record was deleted here; it stands there again, or still.".to_owned()),
        (DnsState::Failed, Cleanup::Pending) => answered("Its record is being cleaned up."),
        (DnsState::Failed, _) => orphan("Its record failed; this came or stayed after that.".to_owned()),
        _ => answered("A record answers for it."),
    }
}

/// What a look for one name says of a record.
async fn asked_for(dns: &dyn DnsProvider, row: &DnsRecordRow) -> Result<Vec<Drift>, Fault> {
    let found = tokio::time::timeout(ASK_BOUND, dns.lookup(&name_of(row)))
        .await
        .map_err(|_| Fault::new(Code::ProviderUnreachable, "The vendor did not answer within 10 seconds."))?
        .map_err(provider_fault)?;
    let of_kind: Vec<&DnsFound> = found.iter().filter(|it| it.kind == row.kind.as_str()).collect();
    let own = of_kind.iter().find(|it| it.record_id.as_deref() == Some(row.id.as_str()));
    Ok(match (own, of_kind.first()) {
        (Some(own), _) if holds(own, row) => Vec::new(),
        (Some(own), _) => vec![foreign(row, &observed(own))],
        (None, Some(other)) => vec![foreign(row, &format!("{}, without our marker", observed(other)))],
        (None, None) => vec![gone(row, "Somebody deleted it")],
    })
}

fn gone(row: &DnsRecordRow, why: &str) -> Drift {
    Drift {
        field: "record".to_owned(),
        recorded: format!("{} {}", row.kind, row.content),
        observed: GONE.to_owned(),
        guidance: format!("{why}. Choose Retry to write it again, or Delete to clear it here."),
    }
}

fn observed(found: &DnsFound) -> String {
    format!("{} {} {}", found.name, found.kind, found.content)
}

fn is_at(found: &DnsFound, row: &DnsRecordRow) -> bool {
    found.name == name_of(row) && found.kind == row.kind.as_str()
}

/// Whether what stands there is what was written; vendors write addresses and names in their own way.
fn holds(found: &DnsFound, row: &DnsRecordRow) -> bool {
    let (there, here) = (found.content.as_str(), row.content.as_str());
    let address = |text: &str| text.parse::<std::net::IpAddr>().ok();
    let name = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
    match row.kind {
        domain::dns::DnsType::A | domain::dns::DnsType::Aaaa => address(there) == address(here),
        domain::dns::DnsType::Cname => name(there) == name(here),
        // Vendors' long texts are cut where they are shown.
        domain::dns::DnsType::Txt => there == here || (there.chars().count() >= 256 && here.starts_with(there)),
    }
}
