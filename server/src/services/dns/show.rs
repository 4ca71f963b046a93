//! Records as people see them, and the zones that accounts hold.

use std::{collections::HashMap, time::Duration};

use ::providers::{DnsName, RecordContent, RecordTarget, RecordType};
use domain::{
    access::Principal,
    code::Code,
    dns::{DnsAccount, DnsFacts, DnsRecordPage, DnsRecordView, DnsState, DnsType, DnsZoneView, dns_actions},
    id::{DnsRecordId, NodeId, ProviderId},
    job::Subject,
    list::{Filter, Listing},
    node::{Drift, Freshness, GONE, JobRef},
    provider::{Capability, ProviderStatus},
};
use store::{Conn, DnsRecordRow, JobRow, NodeRow, ProviderRow};

use super::write::{in_its_way_in, is_of_type};
use crate::{
    fault::Fault,
    services::{Services, accounts::provider_fault, need_admin, orphans::answers},
};

/// A vendor who takes longer to list the zones holds nobody up.
const ZONES_BOUND: Duration = Duration::from_secs(10);

/// What a record's row says, as adapters want it.
pub(crate) fn content_of(row: &DnsRecordRow) -> RecordContent {
    let kind = match row.kind {
        DnsType::A => RecordType::A,
        DnsType::Aaaa => RecordType::Aaaa,
        DnsType::Cname => RecordType::Cname,
        DnsType::Txt => RecordType::Txt,
    };
    RecordContent { record_id: row.id.to_string(), kind, content: row.content.clone() }
}

pub(crate) fn name_of(row: &DnsRecordRow) -> DnsName {
    DnsName { zone: row.zone.to_string(), name: row.name.to_string() }
}

/// How a record is found at the vendor.
pub(crate) fn target_of(row: &DnsRecordRow) -> RecordTarget {
    RecordTarget {
        name: name_of(row),
        content: content_of(row),
        vendor_id: row.vendor_id.clone(),
        proxied: row.proxied,
    }
}

/// What the gates of a record's actions look at, as the database stands in the caller's transaction.
pub(in crate::services) async fn facts_in(
    c: &mut Conn,
    row: &DnsRecordRow,
    provider: Option<&ProviderRow>,
    capabilities: Vec<Capability>,
) -> Result<DnsFacts, Fault> {
    let node = match &row.node_id {
        Some(id) => c.node_get(id).await?,
        None => None,
    };
    let is_live = |node: &NodeRow| {
        answers(node) && (node.infra_id.is_some() || node.create_attempted_at.is_some() || node.state.is_working())
    };
    // One that was made with its node, as against those that somebody added.
    let is_own = |node: &NodeRow| {
        let wished = node.spec.dns.as_ref();
        wished.is_some_and(|wish| wish.provider_id == row.provider_id && wish.zone == row.zone.as_str())
            && node.fqdn.as_deref().is_none_or(|fqdn| fqdn == row.fqdn())
    };
    let mut open_job = c.job_open_for("dns_record", row.id.as_str()).await?.map(|j| j.id);
    if let (None, Some(node)) = (&open_job, &node) {
        open_job = c.job_open_for("node", node.id.as_str()).await?.map(|j| j.id);
    }
    // What is left of a failed one may be what a sweep of its account is taking away.
    if open_job.is_none() && row.state == DnsState::Failed {
        open_job = c.job_open_for("provider", row.provider_id.as_str()).await?.map(|j| j.id);
    }
    // A failed one leaves its name free, and another one may have taken it.
    let taken_by = match row.state {
        DnsState::Failed => in_its_way_in(c, row).await?.map(|other| other.id),
        _ => None,
    };
    let gone = is_gone(row);
    Ok(DnsFacts {
        id: row.id.clone(),
        state: row.state,
        open_job,
        node: node.as_ref().filter(|it| is_live(it) && is_own(it)).map(|it| it.id.clone()),
        lost_node: node.as_ref().filter(|it| !is_live(it)).map(|it| it.id.clone()),
        code: row.code,
        taken_by,
        drifted: !gone && row.drift.iter().any(|it: &Drift| it.field == "record"),
        of_its_type: row.drift.iter().any(|it| is_of_type(&it.observed, row.kind)),
        gone,
        provider_status: provider.map_or(ProviderStatus::Disconnected, |p| p.status),
        capabilities,
    })
}

/// Whether nothing of the record stands in its zone, although it should.
pub(super) fn is_gone(row: &DnsRecordRow) -> bool {
    row.drift.iter().any(|it| it.observed == GONE)
}

impl Services {
    /// The records, newest first.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn dns_records(&self, who: &Principal, filter: Filter) -> Result<Listing<DnsRecordView>, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let page = c.dns_records_page(&filter).await?;
        let count = c.dns_records_count(&filter, Listing::<()>::COUNT_CAP).await?;
        let accounts: HashMap<ProviderId, ProviderRow> =
            c.provider_list().await?.into_iter().map(|p| (p.id.clone(), p)).collect();
        let mut nodes: HashMap<NodeId, NodeRow> = HashMap::new();
        for id in page.items.iter().filter_map(|row| row.node_id.as_ref()) {
            if !nodes.contains_key(id)
                && let Some(node) = c.node_get(id).await?
            {
                nodes.insert(id.clone(), node);
            }
        }
        let view = |row: &DnsRecordRow| {
            let node = row.node_id.as_ref().and_then(|id| nodes.get(id));
            self.dns_view(row, accounts.get(&row.provider_id), node, None)
        };
        let items = page.items.iter().map(view).collect();
        Ok(Listing { items, next_cursor: page.next_cursor, count })
    }

    /// One record.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn dns_record_show(&self, who: &Principal, id: &DnsRecordId) -> Result<DnsRecordView, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let row = c.dns_record_get(id).await?.ok_or_else(|| Fault::not_found("DNS record"))?;
        let provider = c.provider_get(&row.provider_id).await?;
        let node = match &row.node_id {
            Some(node) => c.node_get(node).await?,
            None => None,
        };
        let job = c.job_latest_for("dns_record", id.as_str()).await?;
        let facts = self.dns_facts_in(&mut c, &row, provider.as_ref()).await?;
        let view = self.dns_view(&row, provider.as_ref(), node.as_ref(), job.as_ref());
        Ok(DnsRecordView { actions: dns_actions(&facts, who), ..view })
    }

    /// What a record's page shows.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn dns_record_page(&self, who: &Principal, id: &DnsRecordId) -> Result<DnsRecordPage, Fault> {
        let subject = Subject::new("dns_record", id);
        Ok(DnsRecordPage {
            record: self.dns_record_show(who, id).await?,
            jobs: self.jobs_of(who, &subject).await?,
            history: self.history(who, &subject, Filter::default()).await?.items,
        })
    }

    fn dns_view(
        &self,
        row: &DnsRecordRow,
        provider: Option<&ProviderRow>,
        node: Option<&NodeRow>,
        job: Option<&JobRow>,
    ) -> DnsRecordView {
        DnsRecordView {
            id: row.id.clone(),
            provider_id: row.provider_id.clone(),
            provider: provider.map(|p| p.kind.clone()).unwrap_or_default(),
            provider_name: provider.map(|p| p.name.clone()).unwrap_or_default(),
            zone: row.zone.clone(),
            name: row.name.clone(),
            fqdn: row.fqdn(),
            kind: row.kind,
            content: row.content.clone(),
            ttl: row.ttl,
            proxied: row.proxied,
            state: row.state,
            code: row.code,
            message: row.message.clone(),
            cleanup: row.cleanup,
            vendor_id: row.vendor_id.clone(),
            marker: format!("hangar {} {}", self.instance, row.id),
            adopted: row.adopted,
            node_id: row.node_id.clone(),
            node_name: node.map(|n| n.name.to_string()),
            freshness: self.dns_freshness(row, provider),
            drift: row.drift.clone(),
            job: job.map(|j| JobRef { id: j.id.clone(), status: j.status, progress: j.progress }),
            created_at: row.created_at,
            version: row.version,
            actions: Vec::new(),
        }
    }

    /// How fresh what is known of a record is. Only what stands in its zone can be stale.
    fn dns_freshness(&self, row: &DnsRecordRow, provider: Option<&ProviderRow>) -> Freshness {
        let known = row.observed_at.unwrap_or(row.created_at);
        let late = self.clock.now().since(known) > self.settings.work.observe_every.saturating_mul(3);
        let stale = late && row.state == DnsState::Active;
        let reason = stale.then(|| match provider {
            None => "The record's account is no longer connected.".to_owned(),
            Some(p) => p.observe_failed.clone().unwrap_or_else(|| "The vendor's answer is still awaited.".to_owned()),
        });
        Freshness { observed_at: row.observed_at, stale, reason }
    }

    pub(super) async fn dns_facts_in(
        &self,
        c: &mut Conn,
        row: &DnsRecordRow,
        provider: Option<&ProviderRow>,
    ) -> Result<DnsFacts, Fault> {
        let capabilities = provider.map(|p| self.capabilities(&p.kind)).unwrap_or_default();
        facts_in(c, row, provider, capabilities).await
    }

    /// The zones of an account.
    ///
    /// # Errors
    /// `not_found`; what the vendor answers.
    pub async fn dns_zones(&self, who: &Principal, id: &ProviderId) -> Result<Vec<DnsZoneView>, Fault> {
        need_admin(who)?;
        let row = self.provider_row(id).await?;
        self.zones_of(&row).await
    }

    /// The accounts that hold zones, with those; of this one alone, if it is named.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn dns_accounts(&self, who: &Principal, only: Option<&ProviderId>) -> Result<Vec<DnsAccount>, Fault> {
        need_admin(who)?;
        let rows = self.store.read().await?.provider_list().await?;
        let rows: Vec<ProviderRow> = rows
            .into_iter()
            .filter(|row| self.capabilities(&row.kind).contains(&Capability::Dns))
            .filter(|row| only.is_none_or(|id| *id == row.id))
            .collect();
        let asked = rows.iter().map(|row| async move {
            if row.status == ProviderStatus::Connected {
                self.zones_of(row).await.map_err(|fault| fault.detail)
            } else {
                Err(format!("The account is {}.", row.status))
            }
        });
        let zones = futures::future::join_all(asked).await;
        let account = |(row, zones): (ProviderRow, Result<Vec<DnsZoneView>, String>)| DnsAccount {
            proxies: self.offers_proxy(&row.kind),
            provider_id: row.id,
            kind: row.kind,
            name: row.name,
            status: row.status,
            zones,
        };
        Ok(rows.into_iter().zip(zones).map(account).collect())
    }

    /// Whether accounts of this kind put a proxy before a record: its operations say so.
    pub(super) fn offers_proxy(&self, kind: &str) -> bool {
        let operations = self.registry.get(kind).map(|adapter| adapter.operations()).unwrap_or_default();
        operations.get("create-dns-record").is_some_and(|it| it.input_schema["properties"]["proxied"].is_object())
    }

    pub(super) async fn zones_of(&self, row: &ProviderRow) -> Result<Vec<DnsZoneView>, Fault> {
        let open = self.account(row)?;
        let dns = open.account.dns().ok_or_else(|| no_dns(row))?;
        let zones = tokio::time::timeout(ZONES_BOUND, dns.zones())
            .await
            .map_err(|_| Fault::new(Code::ProviderUnreachable, "The vendor did not answer within 10 seconds."))?
            .map_err(provider_fault)?;
        // What is no zone's name by our rules is not offered.
        let view = |zone: ::providers::DnsZone| Some(DnsZoneView { name: zone.name.parse().ok()?, id: zone.id });
        Ok(zones.into_iter().filter_map(view).collect())
    }
}

pub(super) fn no_dns(row: &ProviderRow) -> Fault {
    Fault::new(Code::NotFound, format!("Accounts of kind {} hold no zones.", row.kind))
}
