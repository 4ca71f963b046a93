//! Records with our marker that nobody here answers for. The rule: each of them is told; a sweep takes
//! away only what stands exactly as Hangar wrote it, and never what a person gave up.

use std::collections::{BTreeMap, BTreeSet};

use ::providers::{DnsFound, DnsName};
use domain::{
    code::Code,
    dns::DnsState,
    id::{DnsRecordId, ProviderId},
    node::Cleanup,
    orphan::{OrphanKind, OrphanSubject},
    time::Timestamp,
    valid::ZoneName,
};
use serde::{Deserialize, Serialize};
use store::{Conn, DnsRecordRow, OrphanRow, ProviderRow};

use super::{observe::holds, show::name_of};
use crate::{
    fault::Fault,
    services::{Services, audit::event, orphans::Judged},
};

/// Differences that are looked through when not every zone could be read.
const KNOWN_MOST: u32 = 10_000;

/// A record at the vendor that a sweep takes away, unless it is kept.
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
    /// Why no sweep takes it away, if none does.
    #[serde(default)]
    pub kept: Option<String>,
}

impl SweptRecord {
    pub fn dns_name(&self) -> DnsName {
        DnsName { zone: self.zone.clone(), name: self.name.clone() }
    }
}

/// What stands under one name and type with one marker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marked<'a> {
    /// The record of ours that the marker names, where it names one.
    pub record_id: Option<&'a str>,
    /// Its name.
    pub name: &'a DnsName,
    /// Its type, in capitals.
    pub kind: &'a str,
    /// Its contents; more than one where somebody added to it.
    pub contents: &'a [&'a str],
}

/// Under which a difference is known: no vendor's id tells zones apart.
fn key_of(found: &DnsFound) -> String {
    let record_id = found.record_id.as_deref().unwrap_or("-");
    format!("{}/{}/{}/{record_id}", found.name.zone, found.name.name, found.kind)
}

/// The zone of such a key.
fn zone_of(key: &str) -> &str {
    key.split('/').next().unwrap_or_default()
}

impl Services {
    /// Writes down which records with our marker nobody here answers for. What was known of zones that
    /// are not among `listed` stays as it was; `whole` says that these are all.
    pub(super) async fn dns_orphans_seen(
        &self,
        provider: &ProviderRow,
        ours: Vec<DnsFound>,
        (listed, whole): (BTreeSet<ZoneName>, bool),
        begun: Timestamp,
    ) -> Result<(), Fault> {
        let now = self.clock.now();
        let provider = provider.clone();
        let mut marked: BTreeMap<String, Vec<DnsFound>> = BTreeMap::new();
        for found in ours {
            marked.entry(key_of(&found)).or_default().push(found);
        }
        self.write::<(), Fault, _>(move |c| {
            let (provider, marked, listed) = (provider.clone(), marked.clone(), listed.clone());
            Box::pin(async move {
                if c.provider_lock(&provider.id).await?.is_none() {
                    return Ok(());
                }
                let before = told_in(c, &provider.id).await?;
                for (key, found) in &marked {
                    seen_in(c, &provider.id, (key, found), begun, now).await?;
                }
                if whole {
                    c.orphans_unseen_delete(&provider.id, OrphanSubject::DnsRecord, now).await?;
                } else {
                    unseen_in(c, &provider.id, &listed, now).await?;
                }
                if before != told_in(c, &provider.id).await? {
                    c.event_insert(&[event("orphan", &provider.id, now.millis(), None)]).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

/// What people are told of an account's records.
async fn told_in(c: &mut Conn, provider: &ProviderId) -> Result<BTreeSet<(String, String, String)>, Fault> {
    let rows = c.orphans_all(KNOWN_MOST).await?.into_iter();
    let own = rows.filter(|row| row.provider_id == *provider && row.subject == OrphanSubject::DnsRecord);
    Ok(own.map(|row| (row.infra_id, row.name, row.reason)).collect())
}

async fn seen_in(
    c: &mut Conn,
    provider: &ProviderId,
    (key, found): (&str, &[DnsFound]),
    begun: Timestamp,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(first) = found.first() else { return Ok(()) };
    let contents: Vec<&str> = found.iter().map(|it| it.content.as_str()).collect();
    let it =
        Marked { record_id: first.record_id.as_deref(), name: &first.name, kind: &first.kind, contents: &contents };
    let (reason, kept) = match dns_orphan_judged_in(c, it, Some(begun)).await? {
        Judged::Answered(_) => return Ok(()),
        Judged::Orphan(reason) => (reason, None),
        Judged::Kept(reason) => (reason.clone(), Some(reason)),
    };
    let swept = first.record_id.as_ref().map(|id| SweptRecord {
        zone: first.name.zone.clone(),
        name: first.name.name.clone(),
        kind: first.kind.clone(),
        content: first.content.clone(),
        vendor_id: first.vendor_id.clone(),
        record_id: id.clone(),
        kept,
    });
    c.orphan_seen(&OrphanRow {
        provider_id: provider.clone(),
        infra_id: key.to_owned(),
        kind: OrphanKind::Unknown,
        subject: OrphanSubject::DnsRecord,
        name: format!("{} {} {}", first.name, first.kind, contents.join(", ")),
        node_id: None,
        detail: swept.and_then(|it| serde_json::to_value(it).ok()),
        reason,
        first_seen_at: now,
        last_seen_at: now,
    })
    .await?;
    Ok(())
}

/// Forgets what was not seen again in the zones that were read.
async fn unseen_in(
    c: &mut Conn,
    provider: &ProviderId,
    listed: &BTreeSet<ZoneName>,
    now: Timestamp,
) -> Result<(), Fault> {
    for row in c.orphans_all(KNOWN_MOST).await? {
        let own = row.provider_id == *provider && row.subject == OrphanSubject::DnsRecord;
        let is_listed = listed.iter().any(|zone| zone.as_str() == zone_of(&row.infra_id));
        if own && is_listed && row.last_seen_at < now {
            c.orphan_delete(provider, &row.infra_id, row.kind).await?;
        }
    }
    Ok(())
}

/// Whether a record with our marker is an orphan as the database stands in the caller's transaction.
/// With `listed_at`, one whose row changed since then is not judged.
pub(crate) async fn dns_orphan_judged_in(
    c: &mut Conn,
    it: Marked<'_>,
    listed_at: Option<Timestamp>,
) -> Result<Judged, Fault> {
    let orphan = |why: String| Ok(Judged::Orphan(why));
    let answered = |why: &str| Ok(Judged::Answered(why.to_owned()));
    let kept = |why: &str| Ok(Judged::Kept(why.to_owned()));
    let Some(label) = it.record_id else { return orphan("It carries our marker, but none names a record.".to_owned()) };
    let row = match label.parse::<DnsRecordId>() {
        Ok(id) => c.dns_record_get(&id).await?,
        Err(_) => None,
    };
    let Some(row) = row else {
        if it.contents.len() > 1 {
            return kept("It names no record that is known here, and somebody added to it by hand.");
        }
        return orphan(format!("No record {label} is known here."));
    };
    if listed_at.is_some_and(|at| row.updated_at >= at) {
        return answered("Its record has changed since.");
    }
    if c.job_open_for("dns_record", row.id.as_str()).await?.is_some() {
        return answered("A job works on its record.");
    }
    if name_of(&row) != *it.name {
        // Somebody copied it, with our marker: the record itself stands elsewhere.
        return answered("Its record stands under another name.");
    }
    match (row.state, row.cleanup) {
        (DnsState::Failed, Cleanup::Pending) => answered("Its record is being cleaned up."),
        (DnsState::Deleted | DnsState::Failed, _) if is_given_up(&row) => {
            kept("Its record was given up here: somebody keeps it.")
        }
        // Nothing of Hangar's came about; it got the marker when somebody adopted it.
        (DnsState::Failed, _) if row.code == Some(Code::DnsNameConflict) => {
            kept("Its record failed because of what somebody has there.")
        }
        (DnsState::Deleted | DnsState::Failed, _) if !is_as_written(it, &row) => {
            kept("It is not as Hangar wrote it: somebody changed it by hand.")
        }
        (DnsState::Deleted, _) => orphan("Its record was deleted here; it stands there again, or still.".to_owned()),
        (DnsState::Failed, _) => orphan("Its record failed; this came or stayed after that.".to_owned()),
        _ => answered("A record answers for it."),
    }
}

/// Whether a person gave the record up: what was found to differ stays written down then.
fn is_given_up(row: &DnsRecordRow) -> bool {
    row.state == DnsState::Deleted && !row.drift.is_empty()
}

fn is_as_written(it: Marked<'_>, row: &DnsRecordRow) -> bool {
    it.kind == row.kind.as_str() && matches!(it.contents, [content] if holds(content, row))
}
