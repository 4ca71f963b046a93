//! Keeps each pool at its target. The rule: a reconciler without inputs; it compares target and
//! fact in the transaction that acts, so that it survives restarts and never over-creates, however
//! many processes run it.

use domain::{
    access::Principal,
    code::Code,
    id::NodeId,
    list::Filter,
    node::{NodeCreate, NodeEvent, NodeState},
    pool::{Cleaning, FillFacts, FillPlan, PoolCounts, PoolVmSource, PoolVmStatus, fill_plan},
    provider::ProviderStatus,
    time::Timestamp,
    valid::PoolName,
};
use store::{Conn, FreshId as _, PoolRow, ProviderRow};

use super::{
    Services,
    nodes::{Growth, Replace, backup_of_pool_in, node_destroy_in, node_insert_in},
    pools::assign_waiting_in,
};
use crate::fault::Fault;

/// The newest nodes of a pool that are looked at for failures in a row.
const LOOK_BACK: u32 = 10;

/// Acquisitions begun for one pool in one pass.
const MOST_AT_ONCE: u32 = 20;

/// What one pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filled {
    /// Nodes whose acquisition was begun.
    pub acquired: u32,
    /// Nodes whose destruction was begun.
    pub retired: u32,
}

impl Services {
    /// Brings every pool with a target nearer to it.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub async fn pools_fill(&self) -> Result<Filled, Fault> {
        let pools = self.store.read().await?.pools_all().await?;
        let mut filled = Filled::default();
        // Whatever kept a free machine and a waiting request apart, here they meet.
        for name in self.store.read().await?.pools_with_waiting_and_available().await? {
            let now = self.clock.now();
            self.write::<(), Fault, _>(move |c| {
                let name = name.clone();
                Box::pin(async move { assign_waiting_in(c, &name, now).await })
            })
            .await?;
        }
        for pool in pools.into_iter().filter(|p| p.target_ready.is_some()) {
            match self.pool_fill(&pool).await {
                Ok(one) => {
                    filled.acquired += one.acquired;
                    filled.retired += one.retired;
                }
                // One pool that cannot be filled does not hold up the others.
                Err(fault) => {
                    tracing::warn!(pool = %pool.name, code = %fault.code, detail = %fault.detail, "a pool could not be filled")
                }
            }
        }
        Ok(filled)
    }

    /// What keeps a machine of the pool's template from being acquired now.
    pub(super) async fn pool_hold(&self, pool: &PoolRow) -> Result<Option<String>, Fault> {
        match (&pool.template, pool.target_ready) {
            (Some(template), Some(_)) => self.template_hold(template).await,
            _ => Ok(None),
        }
    }

    /// What a machine of the template takes for itself alone.
    pub(super) async fn template_claims(
        &self,
        template: &NodeCreate,
        provider: &ProviderRow,
    ) -> Result<Vec<String>, Fault> {
        let Some(compose) = &template.compose else { return Ok(Vec::new()) };
        let newest = self.store.read().await?.blueprint_newest(&compose.blueprint).await?;
        Ok(newest.map(|row| self.stack_claims(&provider.kind, &row.definition)).unwrap_or_default())
    }

    async fn pool_fill(&self, pool: &PoolRow) -> Result<Filled, Fault> {
        let now = self.clock.now();
        // A look without a lock first: most passes find nothing to do.
        let hold = self.pool_hold(pool).await?;
        let plan = {
            let mut c = self.store.read().await?;
            let counts = c.pool_counts(&pool.name).await?;
            plan_in(&mut c, pool, counts, hold.as_deref(), now).await?
        };
        let Some(FillPlan { acquire, retire, .. }) = plan else { return Ok(Filled::default()) };
        if acquire == 0 && retire == 0 {
            return Ok(Filled::default());
        }
        let mut fresh = Vec::new();
        if let (Some(template), 1..) = (&pool.template, acquire) {
            let provider = self.provider_row(&template.provider_id).await?;
            let at_once = match self.template_claims(template, &provider).await?.is_empty() {
                true => MOST_AT_ONCE,
                // Each takes something for itself alone.
                false => 1,
            };
            for _ in 0..acquire.min(at_once) {
                let mut spec = template.clone();
                spec.pool = Some(pool.name.clone());
                let id = NodeId::fresh();
                let wanted = self.node_wanted(&provider, spec).await?;
                let keys = self.node_keys(&id, wanted.stack.as_ref())?;
                fresh.push((wanted, id, keys));
            }
        }
        let (name, max_attempts) = (pool.name.clone(), self.settings.work.max_attempts);
        self.write::<Filled, Fault, _>(move |c| {
            let (name, fresh) = (name.clone(), fresh.clone());
            Box::pin(async move {
                let Some(pool) = c.pool_lock(&name).await? else { return Ok(Filled::default()) };
                let counts = c.pool_counts(&name).await?;
                let Some(plan) = plan_in(c, &pool, counts, None, now).await? else { return Ok(Filled::default()) };
                let system = Principal::system();
                let mut filled = Filled::default();
                for (wanted, id, keys) in fresh.into_iter().take(usize::try_from(plan.acquire).unwrap_or(0)) {
                    match node_insert_in(c, &system, &wanted, Growth::Yes, id, keys, max_attempts, now).await {
                        Ok(_) => filled.acquired += 1,
                        // As many as may be; the page of the pool says what holds up the others.
                        Err(fault) if is_hold(&fault) => break,
                        Err(fault) => return Err(fault),
                    }
                }
                for node in free_nodes_in(c, &name, plan.retire).await? {
                    filled.retired += retire_in(c, &system, &node, max_attempts, now).await?;
                }
                Ok(filled)
            })
        })
        .await
    }
}

fn is_hold(fault: &Fault) -> bool {
    matches!(fault.code, Code::AcquisitionPaused | Code::SpendingCapReached | Code::AccountPaused)
}

/// What there is to do for a pool; `None` if it has no target. `hold` is what keeps another machine
/// from being acquired.
pub(super) async fn plan_in(
    c: &mut Conn,
    pool: &PoolRow,
    counts: PoolCounts,
    hold: Option<&str>,
    now: Timestamp,
) -> Result<Option<FillPlan>, Fault> {
    let (Some(target_ready), Some(template)) = (pool.target_ready, &pool.template) else { return Ok(None) };
    let newest = Filter { pool: Some(pool.name.to_string()), limit: Some(LOOK_BACK), ..Filter::default() };
    let newest = c.nodes_page(&newest).await?.items;
    let failed: Vec<_> = newest.iter().take_while(|n| n.state == NodeState::Failed).collect();
    let account = c.provider_get(&template.provider_id).await?;
    let counts = match pool.cleaning {
        // What is laid anew comes back; another one in its place would only be taken away again.
        Cleaning::Rebuild => PoolCounts { coming: counts.coming + counts.cleaning, cleaning: 0, ..counts },
        Cleaning::Replace | Cleaning::None => counts,
    };
    Ok(Some(fill_plan(&FillFacts {
        target_ready,
        max_size: pool.max_size,
        counts,
        failures: u32::try_from(failed.len()).unwrap_or(u32::MAX),
        last_failure: failed.first().map(|n| n.updated_at),
        hold,
        connected: account.is_some_and(|a| a.status == ProviderStatus::Connected),
        now,
    })))
}

/// Free machines of a pool that are backed by nodes, the newest first.
async fn free_nodes_in(c: &mut Conn, name: &PoolName, most: u32) -> Result<Vec<NodeId>, Fault> {
    if most == 0 {
        return Ok(Vec::new());
    }
    let free =
        Filter { status: Some(PoolVmStatus::Available.to_string()), limit: Some(most.min(200)), ..Filter::default() };
    let page = c.pool_vms_page(name, &free).await?;
    let nodes = page.items.into_iter().filter(|(vm, _)| vm.source == PoolVmSource::Node);
    Ok(nodes.filter_map(|(vm, _)| vm.node_id).collect())
}

async fn retire_in(
    c: &mut Conn,
    system: &Principal,
    node: &NodeId,
    max_attempts: u32,
    now: Timestamp,
) -> Result<u32, Fault> {
    let Some(row) = c.node_lock(node).await? else { return Ok(0) };
    let busy = c.job_open_for("node", node.as_str()).await?.is_some();
    if busy || row.state.apply(NodeEvent::DestroyBegun).is_err() {
        return Ok(0);
    }
    let backup = backup_of_pool_in(c, &row).await?;
    node_destroy_in(c, system, row, (Replace::No, backup), max_attempts, now).await?;
    Ok(1)
}
