//! Nodes as people see them, and what the acquire form offers.

use std::collections::HashMap;

use domain::{
    access::Principal,
    id::{NodeId, ProviderId},
    list::{Filter, Listing},
    node::{AcquireOptions, NodeFacts, NodeView},
    provider::{Capability, ProviderStatus},
    valid::{PoolName, ProfileName},
};
use store::{Conn, NodeRow, ProviderRow};

use super::{acquire::CATALOG_BOUND, write::afresh_in};
use crate::{
    fault::Fault,
    services::{
        Services, need_admin,
        spending::acquisition_in,
        views::{Depth, node_view},
    },
};

impl Services {
    /// The nodes, newest first.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn nodes_page(&self, who: &Principal, filter: Filter) -> Result<Listing<NodeView>, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let page = c.nodes_page(&filter).await?;
        let count = c.nodes_count(&filter, Listing::<()>::COUNT_CAP).await?;
        let providers: HashMap<ProviderId, ProviderRow> =
            c.provider_list().await?.into_iter().map(|p| (p.id.clone(), p)).collect();
        let shown = page.items.iter().map(|row| {
            let provider = providers.get(&row.provider_id);
            NodeView { freshness: self.freshness(row, provider), ..node_view(row, provider, None, None) }
        });
        let items = shown.collect();
        Ok(Listing { items, next_cursor: page.next_cursor, count })
    }

    /// One node.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn node_show(&self, who: &Principal, id: &NodeId) -> Result<NodeView, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let row = c.node_get(id).await?.ok_or_else(|| Fault::not_found("node"))?;
        let provider = c.provider_get(&row.provider_id).await?;
        let job = c.job_latest_for("node", id.as_str()).await?;
        let facts = self.facts_in(&mut c, &row, provider.as_ref()).await?;
        let view = node_view(&row, provider.as_ref(), job.as_ref(), Some((&facts, who)));
        drop(c);
        let stack = self.stack_view(&row).await?;
        Ok(NodeView { freshness: self.freshness(&row, provider.as_ref()), stack, ..view })
    }

    pub(super) async fn facts_in(
        &self,
        c: &mut Conn,
        row: &NodeRow,
        provider: Option<&ProviderRow>,
    ) -> Result<NodeFacts, Fault> {
        let open = c.job_open_for("node", row.id.as_str()).await?.map(|j| j.id);
        let vm = row.id.as_str().parse().map_err(|e| Fault::internal(&e))?;
        let allocation = c.allocation_of_vm(&vm).await?.map(|a| a.id);
        let afresh = afresh_in(c, row, provider, self.clock.now()).await?;
        Ok(self.node_facts(row, provider, open, allocation, afresh))
    }

    /// What the acquire form offers.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn acquire_options(
        &self,
        who: &Principal,
        provider: Option<ProviderId>,
    ) -> Result<AcquireOptions, Fault> {
        need_admin(who)?;
        let (rows, pools, hold) = {
            let mut c = self.store.read().await?;
            (c.provider_list().await?, c.pools_all().await?, acquisition_in(&mut c).await?.hold)
        };
        let can: Vec<_> = rows.iter().filter(|r| self.capabilities(&r.kind).contains(&Capability::Provision)).collect();
        let chosen = match &provider {
            Some(id) => can.iter().find(|r| &r.id == id),
            None => can
                .iter()
                .find(|r| r.status == ProviderStatus::Connected && r.kind == self.settings.preselected_kind)
                .or_else(|| can.iter().find(|r| r.status == ProviderStatus::Connected)),
        };
        let of_stacks = chosen.is_some_and(|row| self.has_blueprints(&row.kind));
        let blueprints = if of_stacks { Some(self.blueprints(who).await?) } else { None };
        let catalog = match chosen {
            _ if of_stacks => Err("A stack is made from a blueprint; there is nothing else to choose.".to_owned()),
            None => Err("Connect an account first.".to_owned()),
            Some(row) => match tokio::time::timeout(CATALOG_BOUND, self.catalog_of(row)).await {
                Ok(Ok(catalog)) => Ok((*catalog).clone()),
                Ok(Err(fault)) => Err(fault.detail),
                Err(_) => Err("The vendor did not answer within 10 seconds.".to_owned()),
            },
        };
        let mut pools: Vec<PoolName> = pools.into_iter().map(|p| p.name).collect();
        if !pools.contains(&PoolName::default_pool()) {
            pools.insert(0, PoolName::default_pool());
        }
        let demo = self.settings.demo.as_ref();
        let ssh_off = demo.and_then(|d| d.ssh_off.clone()).or_else(|| self.ssh_missing.clone());
        Ok(AcquireOptions {
            providers: can.iter().map(|r| self.provider_view(r, (0, 0), None, Depth::List)).collect(),
            selected: chosen.map(|r| r.id.clone()),
            catalog,
            pools,
            suggested_cockpit_url: demo.map(|d| d.cockpit_url.clone()),
            suggested_profile: if ssh_off.is_some() { ProfileName::none() } else { ProfileName::base() },
            profiles: self.profile_names().await?,
            blueprints,
            hold,
            dns: self.dns_accounts(who, None).await?,
            profile_note: ssh_off.map(|why| format!("SSH verification is off here: {why}")),
        })
    }
}
