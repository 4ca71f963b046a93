//! One zone at one name server. Rule: every call opens a connection of its own, so that nothing is
//! shared between pieces of work.

use std::net::SocketAddr;

use async_trait::async_trait;
use domain::{
    code::Code,
    provider::{CallBudget, Catalog},
};
use hickory_proto::rr::{RData, RecordType as WireType, TSigner};

use tokio::time::{Instant, timeout_at};

use super::{
    Settings, adopt, check, create, delete,
    session::{Server, Session},
    standing::Standing,
    transfer,
    wire::name_of,
};
use crate::{
    adapter::{Account, CheckReport, Timeouts},
    dns::{DnsFound, DnsName, DnsProvider, DnsZone, RecordDeleted, RecordMade, RecordTarget, RecordWish},
    dns_query,
    error::ProviderError,
    infra::InfraProvider,
    journal::Journal,
    ssh::ManagedKey,
};

#[derive(Debug)]
pub(super) struct Rfc2136Account {
    pub(super) server: Server,
    instance: String,
}

impl Rfc2136Account {
    pub(super) fn new(settings: Settings, signer: TSigner, instance: String, timeouts: Timeouts) -> Self {
        Self { server: Server::new(settings, signer, timeouts), instance }
    }

    /// # Errors
    /// `DNS_ZONE_NOT_FOUND` when it is not the one zone of this account.
    fn zone_must_be(&self, zone: &str) -> Result<(), ProviderError> {
        if zone == self.server.zone() {
            return Ok(());
        }
        let message = format!("The account is for the zone {}, not for {zone}.", self.server.zone());
        Err(ProviderError::new(Code::DnsZoneNotFound, message))
    }

    /// The primary and every name server that the zone names and whose address is found in time.
    async fn servers(&self, until: Instant) -> Result<Vec<SocketAddr>, ProviderError> {
        let late =
            || ProviderError::new(Code::ProviderUnreachable, "The name server did not say in time whom else to ask.");
        let named = async {
            let mut session = self.server.open().await?;
            let answer = session.query(self.server.origin(), WireType::NS).await?;
            Ok::<_, ProviderError>((session, answer.answers))
        };
        let (mut session, named) = timeout_at(until, named).await.unwrap_or_else(|_| Err(late()))?;
        let primary = session.address();
        let mut all = Vec::from_iter(primary);
        for record in named {
            let RData::NS(name) = &record.data else { continue };
            all.extend(timeout_at(until, self.addresses_of(&mut session, &name.0)).await.unwrap_or_default());
        }
        if let Some(primary) = primary {
            // The zone names it at the usual port; it is asked at its own.
            all.retain(|it| it.ip() != primary.ip() || *it == primary);
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// From the zone itself where the name lies in it: a private zone may be known nowhere else.
    async fn addresses_of(&self, session: &mut Session<'_>, name: &hickory_proto::rr::Name) -> Vec<SocketAddr> {
        if !self.server.origin().zone_of(name) {
            let host = name.to_ascii().trim_end_matches('.').to_owned();
            return dns_query::addresses(&[host], self.server.timeouts.connect).await;
        }
        let mut all = Vec::new();
        for kind in [WireType::A, WireType::AAAA] {
            let answers = session.query(name, kind).await.map(|it| it.answers).unwrap_or_default();
            let addresses = answers.iter().filter_map(|it| it.data.ip_addr());
            all.extend(addresses.map(|ip| SocketAddr::from((ip, dns_query::PORT))));
        }
        all
    }
}

#[async_trait]
impl Account for Rfc2136Account {
    async fn check(&self, _managed_key: Option<&ManagedKey>) -> Result<CheckReport, ProviderError> {
        let message = check::run(&self.server).await?;
        Ok(CheckReport { message, server_count: None, owned_count: None, expires_at: None })
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        Err(ProviderError::new(Code::ProviderInvalidRequest, "A name server has no machines to choose from."))
    }

    fn budget(&self) -> Option<CallBudget> {
        None
    }

    fn infra(&self) -> Option<&dyn InfraProvider> {
        None
    }

    fn dns(&self) -> Option<&dyn DnsProvider> {
        Some(self)
    }
}

#[async_trait]
impl DnsProvider for Rfc2136Account {
    async fn zones(&self) -> Result<Vec<DnsZone>, ProviderError> {
        let mut session = self.server.open().await?;
        match check::zone_check(&mut session).await {
            Ok(()) => {
                let name = self.server.zone().to_owned();
                Ok(vec![DnsZone { id: name.clone(), name }])
            }
            Err(error) if error.code == Code::DnsZoneNotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn lookup(&self, name: &DnsName) -> Result<Vec<DnsFound>, ProviderError> {
        self.zone_must_be(&name.zone)?;
        let wire_name = name_of(name)?;
        let mut session = self.server.open().await?;
        Ok(Standing::read(&mut session, &wire_name, &self.instance).await?.found(name))
    }

    async fn create_record(
        &self,
        wish: &RecordWish,
        journal: &mut dyn Journal,
    ) -> Result<Vec<RecordMade>, ProviderError> {
        self.zone_must_be(&wish.name.zone)?;
        create::run(&self.server, &self.instance, wish, journal).await
    }

    async fn delete_record(
        &self,
        target: &RecordTarget,
        journal: &mut dyn Journal,
    ) -> Result<RecordDeleted, ProviderError> {
        self.zone_must_be(&target.name.zone)?;
        delete::run(&self.server, &self.instance, target, journal).await
    }

    async fn adopt_record(&self, found: &DnsFound, record_id: &str) -> Result<RecordMade, ProviderError> {
        self.zone_must_be(&found.name.zone)?;
        adopt::run(&self.server, &self.instance, found, record_id).await
    }

    async fn owned(&self, zone: &str) -> Result<Vec<DnsFound>, ProviderError> {
        self.zone_must_be(zone)?;
        transfer::owned(&self.server, &self.instance).await
    }

    async fn is_visible(&self, target: &RecordTarget) -> Result<bool, ProviderError> {
        self.zone_must_be(&target.name.zone)?;
        let (begun, within) = (Instant::now(), self.server.timeouts.read.min(dns_query::VISIBLE_WITHIN));
        // However long it takes to find them, something is left for asking.
        let servers = self.servers(begun + within / 2).await?;
        let within = within.saturating_sub(begun.elapsed());
        let content = &target.content;
        dns_query::all_answer(&servers, &target.name.fqdn(), content.kind, within, |found| {
            dns_query::holds(found, content)
        })
        .await
    }
}
