//! What vendors tell by themselves. The rule: what is told is a reason to look and nothing more; what
//! is true is what the look finds, which is the same look that the clock starts.

use std::{collections::BTreeSet, time::Duration};

use ::providers::Changes;
use domain::{
    code::Code,
    id::ProviderId,
    node::NodeState,
    provider::{Capability, ProviderStatus},
};
use futures::StreamExt as _;
use store::{NodeRow, ProviderRow};

use super::{
    Services,
    accounts::{provider_fault, secret_version},
    nodes::node_health_in,
};
use crate::fault::Fault;

/// How long a vendor may take to begin to tell.
const BEGIN_BOUND: Duration = Duration::from_secs(30);
/// How soon a machine must answer about which something was told.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Machines of one account that are asked at once.
const ASKED_AT_ONCE: usize = 8;

/// Which machines of an account were told of, by the vendor's ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nobody listened for a while: it may be any.
    Any,
    /// These.
    These(BTreeSet<String>),
}

impl Services {
    /// The connected accounts that may have machines. With each comes a mark, which is another one
    /// once the account is opened in another way.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub(crate) async fn accounts_to_hear(&self) -> Result<Vec<(ProviderId, i64)>, Fault> {
        let rows = self.store.read().await?.provider_list().await?;
        let wanted = |row: &&ProviderRow| {
            row.status == ProviderStatus::Connected && self.capabilities(&row.kind).contains(&Capability::Provision)
        };
        Ok(rows.iter().filter(wanted).map(|row| (row.id.clone(), secret_version(row))).collect())
    }

    /// Begins to listen to an account's vendor; `None` if that tells nothing by itself.
    ///
    /// # Errors
    /// What the vendor answers; `not_found` if there is no such account any more.
    pub(crate) async fn account_changes(&self, id: &ProviderId) -> Result<Option<Changes>, Fault> {
        let row = self.store.read().await?.provider_get(id).await?.ok_or_else(|| Fault::not_found("account"))?;
        let open = self.account(&row)?;
        let Some(infra) = open.account.infra() else { return Ok(None) };
        tokio::time::timeout(BEGIN_BOUND, infra.changes())
            .await
            .map_err(|_| Fault::new(Code::ProviderUnreachable, "The vendor did not begin to tell within 30 seconds."))?
            .map_err(provider_fault)
    }

    /// Looks at an account of whose machines something was told, and checks those that are in service.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer; what a vendor fails with stays with its account.
    pub(crate) async fn account_changed(&self, id: &ProviderId, told: &Told) -> Result<(), Fault> {
        let Some(provider) = self.store.read().await?.provider_get(id).await? else { return Ok(()) };
        self.account_observe(&provider).await;
        let nodes = match told {
            Told::Any => self.nodes_at(&provider).await?,
            Told::These(ids) => {
                let mut c = self.store.read().await?;
                let mut nodes = Vec::new();
                for infra_id in ids {
                    nodes.extend(c.node_at(id, infra_id).await?);
                }
                nodes
            }
        };
        let in_service = nodes.into_iter().filter(|row| row.state == NodeState::Ready);
        let checks = futures::stream::iter(in_service).map(|row| self.node_changed(row, &provider));
        let mut checks = checks.buffer_unordered(ASKED_AT_ONCE);
        while let Some(checked) = checks.next().await {
            checked?;
        }
        Ok(())
    }

    /// Checks one node, and writes down what was found if that is not what is known already.
    async fn node_changed(&self, row: NodeRow, provider: &ProviderRow) -> Result<(), Fault> {
        let reasons = self.node_probe(&row, provider, ANSWER_WITHIN).await?;
        let is_known = row.health.checked_at.is_some() && row.health.reason_codes == reasons;
        if is_known && !row.health.usage.is_empty() {
            return Ok(());
        }
        let usage = self.node_usage(&row, provider).await?;
        if is_known && usage.is_empty() {
            return Ok(());
        }
        let (id, version, now) = (row.id, row.version, self.clock.now());
        self.write::<(), Fault, _>(move |c| {
            let (id, reasons, usage) = (id.clone(), reasons.clone(), usage.clone());
            Box::pin(async move {
                // Whoever works on it, or has done so meanwhile, knows better.
                let same = c.node_get(&id).await?.is_some_and(|row| row.version == version);
                match same && c.job_open_for("node", id.as_str()).await?.is_none() {
                    true => node_health_in(c, &id, &reasons, &usage, now).await,
                    false => Ok(()),
                }
            })
        })
        .await
    }
}
