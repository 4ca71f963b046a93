//! An account at Cloudflare: what the traits ask for, handed on. Rule: nothing is decided here.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    code::Code,
    provider::{CallBudget, Catalog},
};
use tokio::time::timeout;

use super::{adopt, check, core::Core, create, delete, marker::Marker, zones::Known};
use crate::{
    adapter::{Account, CheckReport},
    dns::{DnsFound, DnsName, DnsProvider, DnsZone, RecordDeleted, RecordMade, RecordTarget, RecordType, RecordWish},
    dns_query,
    error::ProviderError,
    infra::InfraProvider,
    journal::Journal,
    ssh::ManagedKey,
};

/// For finding a name server's address, and for its answer.
const RESOLVE: Duration = Duration::from_secs(4);
const ANSWER: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(super) struct CloudflareAccount {
    pub(super) core: Core,
    pub(super) marker: Marker,
    /// The one zone that a narrow token is about.
    pub(super) zone_id: Option<String>,
    /// Its name, for a token that may not even read it.
    pub(super) zone_name: Option<String>,
    /// Where an account's own token is verified.
    pub(super) account_id: Option<String>,
    /// Whom to ask whether a name is visible; the zone's own name servers when empty.
    pub(super) dns_servers: Vec<String>,
    /// Whether calls leave this machine unencrypted.
    pub(super) plain: bool,
    pub(super) known: Known,
}

fn late() -> ProviderError {
    ProviderError::new(Code::ProviderUnreachable, "The vendor's API did not answer in time.")
}

#[async_trait]
impl Account for CloudflareAccount {
    async fn check(&self, _managed_key: Option<&ManagedKey>) -> Result<CheckReport, ProviderError> {
        timeout(self.core.timeouts.read, check::run(self)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        Err(ProviderError::new(Code::ProviderInvalidRequest, "This kind of account has no machines."))
    }

    fn budget(&self) -> Option<CallBudget> {
        self.core.budget()
    }

    fn infra(&self) -> Option<&dyn InfraProvider> {
        None
    }

    fn dns(&self) -> Option<&dyn DnsProvider> {
        Some(self)
    }
}

#[async_trait]
impl DnsProvider for CloudflareAccount {
    async fn zones(&self) -> Result<Vec<DnsZone>, ProviderError> {
        let zones = self.zones_seen().await?;
        let mut zones: Vec<_> = zones.into_iter().map(|zone| DnsZone { id: zone.id, name: zone.name }).collect();
        zones.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(zones)
    }

    async fn lookup(&self, name: &DnsName) -> Result<Vec<DnsFound>, ProviderError> {
        let (zone, records) = self.records_at(name).await?;
        Ok(records.iter().map(|record| record.found(&zone, &self.marker)).collect())
    }

    async fn create_record(
        &self,
        wish: &RecordWish,
        journal: &mut dyn Journal,
    ) -> Result<Vec<RecordMade>, ProviderError> {
        create::run(self, wish, journal).await
    }

    async fn delete_record(
        &self,
        target: &RecordTarget,
        journal: &mut dyn Journal,
    ) -> Result<RecordDeleted, ProviderError> {
        delete::run(self, target, journal).await
    }

    async fn adopt_record(&self, found: &DnsFound, record_id: &str) -> Result<RecordMade, ProviderError> {
        adopt::run(self, found, record_id).await
    }

    async fn owned(&self, zone: &str) -> Result<Vec<DnsFound>, ProviderError> {
        // The filter only saves pages: whose a record is, is decided by the whole marker.
        let prefix = self.marker.prefix();
        let (zone, records) = self.records_in(zone, &[("comment.startswith", prefix.trim_end())]).await?;
        let ours = records.iter().filter(|record| record.record_id(&self.marker).is_some());
        Ok(ours.map(|record| record.found(&zone, &self.marker)).collect())
    }

    async fn is_visible(&self, target: &RecordTarget) -> Result<bool, ProviderError> {
        timeout(dns_query::VISIBLE_WITHIN, self.visible(target)).await.unwrap_or_else(|_| Err(late()))
    }
}

impl CloudflareAccount {
    async fn visible(&self, target: &RecordTarget) -> Result<bool, ProviderError> {
        let servers = if self.dns_servers.is_empty() {
            self.zone(&target.name.zone).await?.name_servers
        } else {
            self.dns_servers.clone()
        };
        let addresses = dns_query::addresses(&servers, RESOLVE).await;
        if addresses.is_empty() {
            let message = "The zone's name servers are not known or have no address; name some in the settings.";
            return Err(ProviderError::new(Code::ProviderUnreachable, message));
        }
        let content = &target.content;
        let kind = match content.kind {
            // The proxy answers with addresses of its own.
            RecordType::Cname if target.proxied => RecordType::A,
            kind => kind,
        };
        let holds = |contents: &[String]| {
            if target.proxied { !contents.is_empty() } else { dns_query::is_all(contents, content) }
        };
        dns_query::all_answer(&addresses, &target.name.fqdn(), kind, ANSWER, holds).await
    }
}
