//! Pools and their machines.

use domain::{
    access::Principal,
    code::Code,
    id::{NodeId, PoolId},
    job::Subject,
    list::{FieldError, Filter, Listing},
    node::NodeState,
    pool::{
        Cleaning, PoolCreate, PoolFacts, PoolPatch, PoolView, PoolVmEvent, PoolVmPatch, PoolVmSource, PoolVmStatus,
        PoolVmView, pool_actions,
    },
    provider::Capability,
    time::Timestamp,
    valid::{PoolName, PoolVmId},
};
use serde_json::{Value, json};
use store::{Conn, FreshId, PoolRow, StoreError};

use super::{
    Acted, Services,
    audit::{Happened, audit_in, event},
    need_admin,
    observe::is_unfit,
    pool_fill::plan_in,
    providers::done,
    provisioner::{activate, allocation_events},
    spending::spend_of,
    templates::template_hold_in,
    views::{Depth, pool_view, pool_vm_view},
};
use crate::fault::Fault;

/// The longest time for which a machine is given, unless the pool says otherwise.
const MAX_DURATION_HOURS: u32 = 720;

impl Services {
    /// The pools by name.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn pools_page(&self, who: &Principal, filter: Filter) -> Result<Listing<PoolView>, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let page = c.pools_page(&filter).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for row in &page.items {
            let counts = c.pool_counts(&row.name).await?;
            let spend = spend_of(&c.nodes_spend_of_pool(&row.name).await?).0;
            items.push(pool_view(row, counts, spend, None, Depth::List));
        }
        let count = c.pools_count(&filter, Listing::<()>::COUNT_CAP).await?;
        Ok(Listing { items, next_cursor: page.next_cursor, count })
    }

    /// One pool.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn pool_show(&self, who: &Principal, name: &PoolName) -> Result<PoolView, Fault> {
        need_admin(who)?;
        let row = self.store.read().await?.pool_get(name).await?.ok_or_else(|| Fault::not_found("pool"))?;
        let hold = self.pool_hold(&row).await?;
        let mut c = self.store.read().await?;
        let counts = c.pool_counts(name).await?;
        let plan = plan_in(&mut c, &row, counts, hold.as_deref(), self.clock.now()).await?;
        let spend = spend_of(&c.nodes_spend_of_pool(name).await?).0;
        Ok(pool_view(&row, counts, spend, plan.map(|p| p.reason), Depth::Detail(who)))
    }

    /// Makes a pool.
    ///
    /// # Errors
    /// `conflict` if there is one of this name; `validation`.
    pub async fn pool_create(
        &self,
        who: &Principal,
        request: PoolCreate,
        idempotent: Option<super::Idempotent>,
    ) -> Result<PoolView, Fault> {
        let subject = Subject::new("pool", &request.name);
        let outcome = self.create(who, request, idempotent).await;
        if let Err(fault) = &outcome {
            self.audit_refused(Some(who), "create-pool", subject, fault).await;
        }
        outcome
    }

    async fn create(
        &self,
        who: &Principal,
        request: PoolCreate,
        idempotent: Option<super::Idempotent>,
    ) -> Result<PoolView, Fault> {
        need_admin(who)?;
        let row = PoolRow {
            id: PoolId::fresh(),
            name: request.name,
            target_ready: request.target_ready,
            max_size: request.max_size,
            cleaning: request.cleaning.unwrap_or(Cleaning::Replace),
            template: request.template,
            max_duration_hours: request.max_duration_hours.unwrap_or(MAX_DURATION_HOURS),
            created_at: self.clock.now(),
            version: 1,
        };
        check(&row)?;
        self.check_template(&row).await?;
        let (who_owned, now) = (who.clone(), row.created_at);
        self.write::<PoolView, Fault, _>(move |c| {
            let (row, who, idempotent) = (row.clone(), who_owned.clone(), idempotent.clone());
            Box::pin(async move {
                template_hold_in(c, row.template.as_ref()).await?;
                match c.pool_insert(&row).await {
                    Err(StoreError::Conflict { .. }) => {
                        return Err(Fault {
                            errors: vec![FieldError {
                                pointer: "/name".to_owned(),
                                message: "choose a name that no other pool has".to_owned(),
                            }],
                            ..Fault::new(Code::ConflictState, format!("There is a pool {} already.", row.name))
                        });
                    }
                    other => other?,
                }
                let view = pool_view(&row, Default::default(), Vec::new(), None, Depth::Detail(&who));
                super::idempotency::store_in(c, idempotent.as_ref(), 201, &view, now).await?;
                audit_in(c, Happened::ok(&who, "create-pool", Subject::new("pool", &row.name), now)).await?;
                c.event_insert(&[event("pool", &row.name, 1, None)]).await?;
                Ok(view)
            })
        })
        .await
    }

    async fn check_template(&self, row: &PoolRow) -> Result<(), Fault> {
        let Some(template) = &row.template else { return Ok(()) };
        let Some(provider) = self.store.read().await?.provider_get(&template.provider_id).await? else {
            return Err(Fault::field("/template/provider_id", "use the id of a connected account"));
        };
        if row.cleaning == Cleaning::Rebuild && !self.capabilities(&provider.kind).contains(&Capability::Rebuild) {
            let message = format!("use replace or none: accounts of kind {} lay no machine anew", provider.kind);
            return Err(Fault::field("/cleaning", message));
        }
        let claims = self.template_claims(template, &provider).await?;
        if !claims.is_empty() && row.max_size != Some(1) {
            let message = format!("use 1: each stack of this blueprint has {} for itself alone", claims.join(", "));
            return Err(Fault::field("/max_size", message));
        }
        match self.node_wanted(&provider, template.clone()).await {
            // An account that is not connected now may be later; then the reconciler goes on.
            Ok(_) => Ok(()),
            Err(fault) if fault.code == Code::ProviderNotConnected => Ok(()),
            Err(fault) => Err(Fault {
                errors: fault
                    .errors
                    .into_iter()
                    .map(|e| FieldError { pointer: format!("/template{}", e.pointer), message: e.message })
                    .collect(),
                ..fault
            }),
        }
    }

    /// Changes a pool.
    ///
    /// # Errors
    /// `not_found`; `validation`.
    pub async fn pool_patch(&self, who: &Principal, name: &PoolName, patch: PoolPatch) -> Result<PoolView, Fault> {
        if let Err(fault) = self.patch(who, name, patch).await {
            self.audit_refused(Some(who), "update-pool", Subject::new("pool", name), &fault).await;
            return Err(fault);
        }
        self.pool_show(who, name).await
    }

    async fn patch(&self, who: &Principal, name: &PoolName, patch: PoolPatch) -> Result<(), Fault> {
        need_admin(who)?;
        let now = self.clock.now();
        let before = self.store.read().await?.pool_get(name).await?.ok_or_else(|| Fault::not_found("pool"))?;
        let mut wanted = before.clone();
        apply_patch(&mut wanted, &patch);
        check(&wanted)?;
        if asks_more(&before, &wanted) {
            self.check_template(&wanted).await?;
        }
        let (name_owned, who_owned) = (name.clone(), who.clone());
        self.write::<(), Fault, _>(move |c| {
            let (name, who, patch) = (name_owned.clone(), who_owned.clone(), patch.clone());
            Box::pin(async move {
                let before = c.pool_lock(&name).await?.ok_or_else(|| Fault::not_found("pool"))?;
                let mut row = before.clone();
                apply_patch(&mut row, &patch);
                check(&row)?;
                if asks_more(&before, &row) {
                    template_hold_in(c, row.template.as_ref()).await?;
                }
                c.pool_save(&row).await?;
                audit_in(c, Happened::ok(&who, "update-pool", Subject::new("pool", &name), now)).await?;
                Ok(c.event_insert(&[event("pool", &name, row.version + 1, None)]).await?)
            })
        })
        .await
    }

    /// Removes an empty pool.
    ///
    /// # Errors
    /// `action_blocked` while something is in it or waits for it.
    pub async fn pool_delete(&self, who: &Principal, name: &PoolName) -> Result<(), Fault> {
        need_admin(who)?;
        let now = self.clock.now();
        let (name_owned, who_owned) = (name.clone(), who.clone());
        let outcome = self
            .write::<(), Fault, _>(move |c| {
                let (name, who) = (name_owned.clone(), who_owned.clone());
                Box::pin(async move {
                    c.pool_lock(&name).await?.ok_or_else(|| Fault::not_found("pool"))?;
                    let facts = PoolFacts { name: name.clone(), counts: c.pool_counts(&name).await? };
                    if let Some(action) =
                        pool_actions(&facts, &who).into_iter().find(|a| a.identity == "delete-pool" && !a.enabled)
                    {
                        return Err(Fault::blocked(&action));
                    }
                    c.pool_delete(&name).await?;
                    audit_in(c, Happened::ok(&who, "delete-pool", Subject::new("pool", &name), now)).await?;
                    Ok(c.event_insert(&[event("pool", &name, now.millis(), None)]).await?)
                })
            })
            .await;
        if let Err(fault) = &outcome {
            self.audit_refused(Some(who), "delete-pool", Subject::new("pool", name), fault).await;
        }
        outcome
    }

    /// Carries out an action of a pool by its identity.
    ///
    /// # Errors
    /// `not_found` for an identity that is none.
    pub async fn pool_act(
        &self,
        who: &Principal,
        name: &PoolName,
        identity: &str,
        input: Value,
    ) -> Result<Acted, Fault> {
        match identity {
            "update-pool" => {
                let patch: PoolPatch =
                    serde_json::from_value(input).map_err(|e| Fault::unreadable("The change of the pool", &e))?;
                done(&self.pool_patch(who, name, patch).await?)
            }
            "delete-pool" => {
                self.pool_delete(who, name).await?;
                Ok(Acted::Done(json!({ "deleted": name })))
            }
            "record-history" => done(&self.history(who, &Subject::new("pool", name), Filter::default()).await?),
            _ => Err(Fault::not_found("action")),
        }
    }

    /// The machines of a pool.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn pool_vms(
        &self,
        who: &Principal,
        name: &PoolName,
        filter: Filter,
    ) -> Result<Listing<PoolVmView>, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        c.pool_get(name).await?.ok_or_else(|| Fault::not_found("pool"))?;
        let page = c.pool_vms_page(name, &filter).await?;
        let count = c.pool_vms_count(name, &filter, Listing::<()>::COUNT_CAP).await?;
        let items = page.items.into_iter().map(|(row, allocation)| pool_vm_view(&row, allocation)).collect();
        Ok(Listing { items, next_cursor: page.next_cursor, count })
    }

    /// Marks a machine clean, holds it back, or drains it.
    ///
    /// # Errors
    /// `conflict` if its status does not allow it; `node_not_ready` for a node that is not.
    pub async fn pool_vm_patch(
        &self,
        who: &Principal,
        name: &PoolName,
        id: &PoolVmId,
        patch: PoolVmPatch,
    ) -> Result<PoolVmView, Fault> {
        need_admin(who)?;
        let now = self.clock.now();
        let (name, id, who) = (name.clone(), id.clone(), who.clone());
        self.write::<PoolVmView, Fault, _>(move |c| {
            let (name, id, who) = (name.clone(), id.clone(), who.clone());
            Box::pin(async move {
                c.pool_lock(&name).await?.ok_or_else(|| Fault::not_found("pool"))?;
                let mut vm = c
                    .pool_vm_lock(&id)
                    .await?
                    .filter(|vm| vm.pool == name)
                    .ok_or_else(|| Fault::not_found("machine"))?;
                if vm.status != patch.status {
                    vm.status = vm_moved(c, &vm, patch.status).await?;
                    vm.note = None;
                    vm.updated_at = now;
                    c.pool_vm_save(&vm).await?;
                    let line = Happened::ok(&who, "pool-vm.status", Subject::new("pool", &name), now)
                        .detail(format!("{id} is {}", vm.status));
                    audit_in(c, line).await?;
                    c.event_insert(&[event("pool", &name, now.millis(), None)]).await?;
                    if vm.status == PoolVmStatus::Available {
                        assign_waiting_in(c, &name, now).await?;
                    }
                }
                let allocation = c.allocation_of_vm(&id).await?.map(|a| a.id);
                let now_row = c.pool_vm_get(&id).await?.unwrap_or(vm);
                Ok(pool_vm_view(&now_row, allocation))
            })
        })
        .await
    }
}

async fn vm_moved(c: &mut Conn, vm: &store::PoolVmRow, wanted: PoolVmStatus) -> Result<PoolVmStatus, Fault> {
    let refuse = |why: &str| Fault::new(Code::ConflictState, why.to_owned());
    if wanted == PoolVmStatus::Available && c.allocation_of_vm(&vm.id).await?.is_some() {
        return Err(refuse("Its release is not finished yet; it becomes available by itself or can be marked then."));
    }
    if vm.source == PoolVmSource::Node && wanted == PoolVmStatus::Draining && vm.status != PoolVmStatus::Allocated {
        return Err(refuse("Nobody holds it; destroy its node instead, so that no server is left to bill unseen."));
    }
    let happened = match (vm.status, wanted) {
        (PoolVmStatus::Maintenance, PoolVmStatus::Available) => PoolVmEvent::MarkClean,
        (PoolVmStatus::Draining, PoolVmStatus::Allocated) => PoolVmEvent::Return,
        (_, PoolVmStatus::Maintenance) => PoolVmEvent::Park,
        (_, PoolVmStatus::Draining) => PoolVmEvent::Leave,
        (_, PoolVmStatus::Available) => PoolVmEvent::MarkClean,
        _ => return Err(Fault::field("/status", "use available, maintenance or draining")),
    };
    if vm.source == PoolVmSource::Node && wanted == PoolVmStatus::Available {
        let node: Option<NodeId> = vm.node_id.clone();
        let ready = match node {
            Some(id) => {
                c.node_get(&id).await?.is_some_and(|n| n.state == NodeState::Ready && n.health.ready && !is_unfit(&n))
            }
            None => false,
        };
        if !ready {
            return Err(Fault::new(Code::NodeNotReady, "Only a ready, healthy node may enter a pool."));
        }
    }
    vm.status.apply(happened).map_err(|_| {
        Fault::new(
            Code::ConflictState,
            format!("The machine is {}; from there it does not become {wanted}.", vm.status),
        )
    })
}

fn apply_patch(row: &mut PoolRow, patch: &PoolPatch) {
    row.target_ready = patch.target_ready.unwrap_or(row.target_ready);
    row.max_size = patch.max_size.unwrap_or(row.max_size);
    row.cleaning = patch.cleaning.unwrap_or(row.cleaning);
    if let Some(template) = &patch.template {
        row.template.clone_from(template);
    }
    row.max_duration_hours = patch.max_duration_hours.unwrap_or(row.max_duration_hours);
}

/// Whether a change wants more of the template than was wanted before. Whatever wants less is allowed
/// also where the template fits nothing any more: it is the way out.
fn asks_more(before: &PoolRow, after: &PoolRow) -> bool {
    let most = |row: &PoolRow| row.max_size.unwrap_or(u32::MAX);
    before.template != after.template
        || before.cleaning != after.cleaning
        || before.target_ready.unwrap_or(0) < after.target_ready.unwrap_or(0)
        || most(before) < most(after)
}

fn check(row: &PoolRow) -> Result<(), Fault> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: &str, message: &str| {
        errors.push(FieldError { pointer: pointer.to_owned(), message: message.to_owned() });
    };
    if !(1..=8_760).contains(&row.max_duration_hours) {
        wrong("/max_duration_hours", "use 1 to 8760 hours");
    }
    if row.max_size.is_some_and(|n| n > 10_000) {
        wrong("/max_size", "use at most 10000");
    }
    if row.target_ready.is_some_and(|n| n > 10_000) {
        wrong("/target_ready", "use at most 10000");
    }
    if let (Some(target), Some(most)) = (row.target_ready, row.max_size)
        && target > most
    {
        wrong("/target_ready", "a target above max_size can never be reached");
    }
    if row.target_ready.is_some_and(|n| n > 0) && row.template.is_none() {
        wrong("/target_ready", "keeping machines ready needs a template to acquire more from");
    }
    if errors.is_empty() { Ok(()) } else { Err(Fault::fields(errors)) }
}

/// The pool `default`, made at its first use.
pub(super) async fn pool_ensure_default_in(c: &mut Conn, now: Timestamp) -> Result<(), Fault> {
    let name = PoolName::default_pool();
    pool_ensure_in(c, &name, Cleaning::Replace, now).await
}

/// The pool `name`, made if there is none.
pub(super) async fn pool_ensure_in(
    c: &mut Conn,
    name: &PoolName,
    cleaning: Cleaning,
    now: Timestamp,
) -> Result<(), Fault> {
    if c.pool_get(name).await?.is_some() {
        return Ok(());
    }
    let row = PoolRow {
        id: PoolId::fresh(),
        name: name.clone(),
        target_ready: None,
        max_size: None,
        cleaning,
        template: None,
        max_duration_hours: MAX_DURATION_HOURS,
        created_at: now,
        version: 1,
    };
    // Another process may be making it at this moment: then that one is taken.
    if c.pool_insert_new(&row).await? {
        c.event_insert(&[event("pool", name, 1, None)]).await?;
    }
    Ok(())
}

/// Hands the free machines of a pool to those who wait, first come first served.
pub(super) async fn assign_waiting_in(c: &mut Conn, pool: &PoolName, now: Timestamp) -> Result<(), Fault> {
    c.pool_lock(pool).await?;
    let system = Principal::system();
    while let Some(first) = c.allocation_waiting_first(pool).await? {
        let Some(vm) = c.pool_vm_claim(pool, now).await? else { return Ok(()) };
        let Some(mut row) = c.allocation_lock(&first.id).await? else { return Ok(()) };
        activate(&mut row, &vm, now)?;
        c.allocation_save(&row).await?;
        row.version += 1;
        let line = Happened::ok(&system, "allocation.active", Subject::new("allocation", &row.id), now)
            .detail(format!("{} from the waiting list", vm.id));
        audit_in(c, line).await?;
        c.event_insert(&allocation_events(&row)).await?;
    }
    Ok(())
}
