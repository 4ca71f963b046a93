//! What stands in the zones, compared with what is recorded. The rule: one listing of what is marked
//! ours answers for all records of a zone; what it lacks is looked up by its name before it is called
//! gone or foreign; a zone that cannot be read hides no other one; and a record that something works
//! on, or that changed since the listing began, is left for the next time.

use std::{
    collections::{BTreeSet, HashMap},
    sync::PoisonError,
    time::Duration,
};

use ::providers::{DnsFound, DnsProvider};
use domain::{
    access::Principal,
    code::Code,
    dns::DnsState,
    id::DnsRecordId,
    node::{Drift, GONE},
    time::Timestamp,
    valid::ZoneName,
};
use store::{DnsRecordRow, ProviderRow};
use tokio::time::Instant;

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
    },
};

/// A listing that takes longer than this has failed. It may have many pages.
const LIST_BOUND: Duration = Duration::from_secs(60);
/// A question for one name.
const ASK_BOUND: Duration = Duration::from_secs(10);
/// Zones of an account that are known at all.
const ZONES_MOST: usize = 1_000;
/// Zones of an account that are looked at in one round; the others have their turn in the next.
const ZONES_AT_ONCE: usize = 50;
/// After this long no further zone is begun in a round.
const ROUND_BOUND: Duration = Duration::from_secs(180);
/// Names that the listings lack and that are asked for in one round; the others wait.
const ASKED_AT_ONCE: usize = 25;
/// Records read at once.
const PAGE: u32 = 200;

/// What one look at an account's zones gave.
pub(in crate::services) struct ZonesLooked {
    /// How many records of ours stand there.
    pub owned: u32,
    /// Why some zones could not be compared; the others were.
    pub failed: Option<Fault>,
    /// Why what stands there and is not known here cannot be told; what is known was compared.
    pub unlisted: Option<String>,
}

/// What one look at a zone gave.
#[derive(Default)]
struct Looked {
    /// Everything in it that carries our marker.
    ours: Vec<DnsFound>,
    /// Why that cannot be told.
    unlisted: Option<String>,
    /// Records with their difference, if there is one.
    records: Vec<(DnsRecordRow, Vec<Drift>)>,
    /// Records that have to be asked for by their names.
    missing: Vec<DnsRecordRow>,
}

impl Services {
    /// Looks at the zones of an account in which Hangar ever wrote, each in its turn.
    ///
    /// # Errors
    /// What the vendor answers, if that is of no zone alone; [`Fault`] if the store does not answer.
    pub(in crate::services) async fn dns_observe(&self, provider: &ProviderRow) -> Result<ZonesLooked, Fault> {
        let written = self.store.read().await?.dns_zones_written(&provider.id, ZONES_MOST).await?;
        let known = written.len();
        let open = self.account(provider)?;
        let dns = open.account.dns().ok_or_else(|| no_dns(provider))?;
        let (begun, round) = (self.clock.now(), Instant::now());
        let mut whole = Looked::default();
        let (mut listed, mut failures) = (BTreeSet::new(), Vec::new());
        let (mut owned, mut turns) = (0_u32, 0_usize);
        for zone in self.zones_in_turn(provider, written) {
            if round.elapsed() > ROUND_BOUND {
                break;
            }
            self.zone_had_its_turn(provider, &zone);
            let looked = match self.zone_looked(provider, dns, &zone).await {
                Ok(looked) => looked,
                // A database that does not answer says nothing of the vendor.
                Err(fault) if fault.code == Code::Unavailable => return Err(fault),
                Err(fault) => {
                    let is_limited = fault.code == Code::ProviderRateLimited;
                    failures.push(Fault { detail: format!("{zone}: {}", fault.detail), ..fault });
                    if is_limited {
                        break;
                    }
                    continue;
                }
            };
            // Where none can be listed, those that are recorded count.
            let unseen = if looked.unlisted.is_some() { looked.missing.len() } else { 0 };
            owned += u32::try_from(looked.ours.len() + unseen).unwrap_or(u32::MAX);
            turns += 1;
            whole.ours.extend(looked.ours);
            whole.records.extend(looked.records);
            whole.missing.extend(looked.missing);
            match looked.unlisted {
                None => {
                    listed.insert(zone);
                }
                why => whole.unlisted = why,
            }
        }
        let asked = asked(dns, whole.missing).await;
        whole.records.extend(asked);
        self.records_noted(whole.records).await?;
        let is_whole = listed.len() == known && known < ZONES_MOST;
        self.dns_orphans_seen(provider, whole.ours, (listed, is_whole), begun).await?;
        let more = failures.len().saturating_sub(1);
        let failed = failures.into_iter().next().map(|fault| match more {
            0 => fault,
            more => Fault { detail: format!("{} {more} more could not be read.", fault.detail), ..fault },
        });
        // What stands in zones whose turn comes later is told with the whole that was known before.
        let owned = provider.owned.filter(|_| turns < known).unwrap_or(owned);
        Ok(ZonesLooked { owned, failed, unlisted: whole.unlisted })
    }

    /// Those that are looked at in this round: the ones after the last that was.
    fn zones_in_turn(&self, provider: &ProviderRow, mut zones: Vec<ZoneName>) -> Vec<ZoneName> {
        zones.sort();
        let last = self.zones_looked.lock().unwrap_or_else(PoisonError::into_inner).get(&provider.id).cloned();
        let begin = last.map_or(0, |last| zones.partition_point(|zone| *zone <= last));
        zones.rotate_left(begin);
        zones.truncate(ZONES_AT_ONCE);
        zones
    }

    fn zone_had_its_turn(&self, provider: &ProviderRow, zone: &ZoneName) {
        let mut looked = self.zones_looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.insert(provider.id.clone(), zone.clone());
    }

    async fn zone_looked(
        &self,
        provider: &ProviderRow,
        dns: &dyn DnsProvider,
        zone: &ZoneName,
    ) -> Result<Looked, Fault> {
        // What changes from here on is newer than the listing.
        let before: HashMap<DnsRecordId, i64> =
            self.records_at(provider, zone).await?.into_iter().map(|row| (row.id, row.version)).collect();
        let listed = tokio::time::timeout(LIST_BOUND, dns.owned(zone.as_str())).await.map_err(|_| {
            Fault::new(Code::ProviderUnreachable, "The vendor did not list the records within a minute.")
        })?;
        let mut looked = Looked::default();
        let mut no_zone = false;
        match listed {
            Ok(ours) => looked.ours = ours,
            Err(error) if error.code == Code::DnsZoneNotFound => no_zone = true,
            // Not for this credential, and not later either: each name that is known is asked for.
            Err(error) if error.code == Code::ProviderInvalidRequest => looked.unlisted = Some(error.message),
            Err(error) => return Err(provider_fault(error)),
        }
        for row in self.records_at(provider, zone).await? {
            if row.state != DnsState::Active || before.get(&row.id) != Some(&row.version) {
                continue;
            }
            let is_own = |it: &&DnsFound| it.record_id.as_deref() == Some(row.id.as_str()) && is_at(it, &row);
            let own: Vec<&DnsFound> = looked.ours.iter().filter(is_own).collect();
            match own_drift(&row, &own) {
                Some(drift) => looked.records.push((row, drift)),
                None if no_zone => {
                    let drift = vec![gone(&row, "The zone is no longer known to the account")];
                    looked.records.push((row, drift));
                }
                None => looked.missing.push(row),
            }
        }
        Ok(looked)
    }

    /// Writes down how records were found.
    async fn records_noted(&self, records: Vec<(DnsRecordRow, Vec<Drift>)>) -> Result<(), Fault> {
        let (now, system) = (self.clock.now(), Principal::system());
        let mut same = Vec::new();
        for (row, drift) in records {
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
        Ok(())
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
}

/// What a look for one name says of a record.
async fn asked_for(dns: &dyn DnsProvider, row: &DnsRecordRow) -> Result<Vec<Drift>, Fault> {
    let found = tokio::time::timeout(ASK_BOUND, dns.lookup(&name_of(row)))
        .await
        .map_err(|_| Fault::new(Code::ProviderUnreachable, "The vendor did not answer within 10 seconds."))?
        .map_err(provider_fault)?;
    let of_kind: Vec<&DnsFound> = found.iter().filter(|it| it.kind == row.kind.as_str()).collect();
    let is_own = |it: &&DnsFound| it.record_id.as_deref() == Some(row.id.as_str());
    let own: Vec<&DnsFound> = of_kind.iter().copied().filter(is_own).collect();
    Ok(own_drift(row, &own).unwrap_or_else(|| match of_kind.as_slice() {
        [] => vec![gone(row, "Somebody deleted it")],
        others => vec![foreign(row, &format!("{}, without our marker", observed(others)))],
    }))
}

/// What the names say that no listing told, the longest unobserved first. Of what could not be asked
/// for, nothing was learnt; it is asked for again in a next round.
async fn asked(dns: &dyn DnsProvider, mut missing: Vec<DnsRecordRow>) -> Vec<(DnsRecordRow, Vec<Drift>)> {
    missing.sort_by_key(|row| row.observed_at);
    missing.truncate(ASKED_AT_ONCE);
    let answers = futures::future::join_all(missing.iter().map(|row| asked_for(dns, row))).await;
    let mut told = Vec::new();
    for (row, answer) in missing.into_iter().zip(answers) {
        match answer {
            Ok(drift) => told.push((row, drift)),
            Err(fault) => tracing::info!(record = %row.id, code = %fault.code, "a name could not be asked for"),
        }
    }
    told
}

/// How what stands there with the record's own marker differs; `None` where nothing does stand. A set
/// of several is changed by hand: Hangar writes one.
fn own_drift(row: &DnsRecordRow, own: &[&DnsFound]) -> Option<Vec<Drift>> {
    match own {
        [] => None,
        [one] if holds(&one.content, row) => Some(Vec::new()),
        several => Some(vec![foreign(row, &observed(several))]),
    }
}

fn gone(row: &DnsRecordRow, why: &str) -> Drift {
    Drift {
        field: "record".to_owned(),
        recorded: format!("{} {}", row.kind, row.content),
        observed: GONE.to_owned(),
        guidance: format!("{why}. Choose Retry to write it again, or Delete to clear it here."),
    }
}

/// What stands under one name and type, for people.
fn observed(found: &[&DnsFound]) -> String {
    let contents: Vec<&str> = found.iter().map(|it| it.content.as_str()).collect();
    let name = found.first().map(|it| format!("{} {}", it.name, it.kind)).unwrap_or_default();
    format!("{name} {}", contents.join(", "))
}

fn is_at(found: &DnsFound, row: &DnsRecordRow) -> bool {
    found.name == name_of(row) && found.kind == row.kind.as_str()
}

/// Whether what stands there is what was written; vendors write addresses and names in their own way.
pub(super) fn holds(there: &str, row: &DnsRecordRow) -> bool {
    let here = row.content.as_str();
    let address = |text: &str| text.parse::<std::net::IpAddr>().ok();
    let name = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
    match row.kind {
        domain::dns::DnsType::A | domain::dns::DnsType::Aaaa => address(there) == address(here),
        domain::dns::DnsType::Cname => name(there) == name(here),
        // Vendors' long texts are cut where they are shown.
        domain::dns::DnsType::Txt => there == here || (there.chars().count() >= 256 && here.starts_with(there)),
    }
}
