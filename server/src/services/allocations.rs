//! Asking for a machine, extending, giving it back, and the end by the clock.

use domain::{
    access::{Principal, UserStatus},
    allocation::{
        AllocationCreate, AllocationExtend, AllocationFacts, AllocationStatus, AllocationView, AutoReleaseReport,
        ReleaseReason, allocation_actions,
    },
    audit::AuditEntry,
    code::Code,
    id::{AllocationId, NodeId},
    job::Subject,
    list::{Filter, Listing},
    time::{HOUR, Timestamp},
    user::{Dashboard, PoolChoice, ServicePage},
    valid::PoolName,
};
use serde_json::Value;
use store::{AllocationRow, Conn, Which};

use super::{
    Acted, Services,
    audit::{Happened, audit_in},
    idempotency::{self, Idempotent},
    need_admin,
    providers::done,
    provisioner::{AllocateRequest, allocation_events},
    views::allocation_view,
};
use crate::fault::Fault;

/// For how long a machine is given when nothing is said.
const DEFAULT_HOURS: u32 = 24;

impl Services {
    /// Asks for a machine: claims one, or takes a place in the waiting list.
    ///
    /// # Errors
    /// `quota_exceeded`, `approval_pending`, `forbidden`, `pool_not_registered`, `validation`.
    pub async fn allocation_create(
        &self,
        who: &Principal,
        request: AllocationCreate,
        idempotent: Option<Idempotent>,
    ) -> Result<AllocationView, Fault> {
        let subject = || Subject::new("pool", &request.pool);
        if let Err(fault) = may_ask(who, &request) {
            self.audit_refused(Some(who), "allocation.create", subject(), &fault).await;
            return Err(fault);
        }
        let now = self.clock.now();
        let provisioner = self.provisioner.clone();
        let (who_owned, wanted) = (who.clone(), request.clone());
        let outcome = self
            .write::<AllocationView, Fault, _>(move |c| {
                let (who, wanted, idempotent) = (who_owned.clone(), wanted.clone(), idempotent.clone());
                let provisioner = provisioner.clone();
                Box::pin(async move {
                    let Some(pool) = c.pool_lock(&wanted.pool).await? else {
                        return Err(no_such_pool(c, &wanted.pool).await?);
                    };
                    let hours = wanted.duration_hours.unwrap_or(DEFAULT_HOURS.min(pool.max_duration_hours));
                    if hours == 0 || hours > pool.max_duration_hours {
                        return Err(Fault::field(
                            "/duration_hours",
                            format!("use 1 to {} hours", pool.max_duration_hours),
                        ));
                    }
                    let user_id = wanted.user_id.clone().unwrap_or_else(|| who.user_id.clone());
                    let user = if who.is_admin() {
                        // Administrators are not held by quotas, nor are those they give something to.
                        c.user_get(&user_id)
                            .await?
                            .ok_or_else(|| Fault::field("/user_id", "use the id of a known person"))?
                    } else {
                        let user = c.user_lock(&user_id).await?.ok_or_else(|| Fault::not_found("user"))?;
                        let open = c.allocations_open_of_user(&user_id).await?;
                        if open >= user.max_active {
                            return Err(Fault {
                                recovery: Some(Box::new(Code::QuotaExceeded.recovery())),
                                ..Fault::new(Code::QuotaExceeded, most_are_held(open, user.max_active))
                            });
                        }
                        user
                    };
                    let request = AllocateRequest {
                        user_id,
                        forge_id: user.forge_id,
                        pool: wanted.pool.clone(),
                        duration_hours: hours,
                        ssh_pub_key: wanted.ssh_pub_key.clone(),
                        cost_cents: wanted.cost_cents,
                        now,
                    };
                    let row = provisioner.allocate(c, &request).await?;
                    let line = Happened::ok(&who, "allocation.create", Subject::new("allocation", &row.id), now)
                        .detail(row.pool_vm_id.as_ref().map_or_else(|| "waiting".to_owned(), ToString::to_string));
                    audit_in(c, line).await?;
                    c.event_insert(&allocation_events(&row)).await?;
                    let position = match row.status {
                        AllocationStatus::Waiting => Some(c.allocation_position(&row).await?),
                        _ => None,
                    };
                    let view = allocation_view(
                        &row,
                        Some(user.display_name),
                        position,
                        Some((pool.max_duration_hours, &who)),
                        now,
                    );
                    let status = if row.status == AllocationStatus::Waiting { 202 } else { 201 };
                    idempotency::store_in(c, idempotent.as_ref(), status, &view, now).await?;
                    Ok(view)
                })
            })
            .await;
        if let Err(fault) = &outcome {
            self.audit_refused(Some(who), "allocation.create", subject(), fault).await;
        }
        outcome
    }

    /// The allocations the caller may see, newest first.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub async fn allocations_page(&self, who: &Principal, filter: Filter) -> Result<Listing<AllocationView>, Fault> {
        let filter = if who.is_admin() { filter } else { Filter { user: Some(who.user_id.to_string()), ..filter } };
        let mut c = self.store.read().await?;
        let page = c.allocations_page(&filter).await?;
        let count = c.allocations_count(&filter, Listing::<()>::COUNT_CAP).await?;
        let now = self.clock.now();
        let names = c.users_names(page.items.iter().map(|row| &row.user_id)).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for row in &page.items {
            let position = position_of(&mut c, row).await?;
            items.push(allocation_view(row, names.get(&row.user_id).cloned(), position, None, now));
        }
        Ok(Listing { items, next_cursor: page.next_cursor, count })
    }

    /// One allocation.
    ///
    /// # Errors
    /// `not_found` if there is none, or it is not the caller's to see.
    pub async fn allocation_show(&self, who: &Principal, id: &AllocationId) -> Result<AllocationView, Fault> {
        let mut c = self.store.read().await?;
        let row = c.allocation_get(id).await?;
        let row = row.filter(|r| sees(who, r)).ok_or_else(|| Fault::not_found("allocation"))?;
        view_in(&mut c, &row, who, self.clock.now()).await
    }

    /// Gives a machine back. Twice gives the same answer.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn allocation_release(&self, who: &Principal, id: &AllocationId) -> Result<AllocationView, Fault> {
        Ok(self.release(who, id, None).await?.0)
    }

    /// Also tells why it ended, if it was this call that ended it.
    async fn release(
        &self,
        who: &Principal,
        id: &AllocationId,
        by_clock: Option<Timestamp>,
    ) -> Result<(AllocationView, Option<ReleaseReason>), Fault> {
        let now = self.clock.now();
        let releaser = self.releaser();
        let (who, id) = (who.clone(), id.clone());
        let (view, ended, stub) = self
            .write::<(AllocationView, Option<ReleaseReason>, Option<String>), Fault, _>(move |c| {
                let (who, id, releaser) = (who.clone(), id.clone(), releaser.clone());
                Box::pin(async move {
                    // What is not theirs to see is not locked either. The pool before its
                    // allocation: nobody who waits is passed over because they are looked at.
                    let known = c.allocation_get(&id).await?.filter(|r| sees(&who, r));
                    let known = known.ok_or_else(|| Fault::not_found("allocation"))?;
                    c.pool_lock(&known.pool).await?;
                    let row = c.allocation_lock(&id).await?.ok_or_else(|| Fault::not_found("allocation"))?;
                    if !row.status.is_open() || by_clock.is_some_and(|then| row.expires_at.is_none_or(|end| end > then))
                    {
                        return Ok((view_in(c, &row, &who, now).await?, None, None));
                    }
                    let reason = match by_clock {
                        Some(_) => ReleaseReason::Expired,
                        None if row.user_id == who.user_id => ReleaseReason::User,
                        None => ReleaseReason::Admin,
                    };
                    let stub = releaser.release_in(c, &who, row, reason, now).await?;
                    let row = c.allocation_get(&id).await?.ok_or_else(|| Fault::not_found("allocation"))?;
                    Ok((view_in(c, &row, &who, now).await?, Some(reason), stub))
                })
            })
            .await?;
        if let Some(vm) = stub {
            tracing::info!("deployer-release stub: would release pool_vm_id={vm} here");
        }
        Ok((view, ended))
    }

    /// Moves the end of an allocation, within its pool's cap.
    ///
    /// # Errors
    /// `not_found`; `action_blocked` with the gate.
    pub async fn allocation_extend(
        &self,
        who: &Principal,
        id: &AllocationId,
        request: AllocationExtend,
    ) -> Result<AllocationView, Fault> {
        let hours = request.hours.unwrap_or(DEFAULT_HOURS);
        if !(1..=8_760).contains(&hours) {
            return Err(Fault::field("/hours", "use 1 to 8760 hours"));
        }
        let now = self.clock.now();
        let (who_owned, id_owned) = (who.clone(), id.clone());
        let outcome = self
            .write::<AllocationView, Fault, _>(move |c| {
                let (who, id) = (who_owned.clone(), id_owned.clone());
                Box::pin(async move {
                    let row = c.allocation_lock(&id).await?;
                    let mut row = row.filter(|r| sees(&who, r)).ok_or_else(|| Fault::not_found("allocation"))?;
                    let cap = cap_of(c, &row).await?;
                    let facts = facts_of(&row, cap, now);
                    if let Some(action) = allocation_actions(&facts, &who)
                        .into_iter()
                        .find(|a| a.identity == "extend-allocation" && !a.enabled)
                    {
                        return Err(Fault::blocked(&action));
                    }
                    let most = row.allocated_at.unwrap_or(now).plus(i64::from(cap) * HOUR);
                    let wanted = row.expires_at.unwrap_or(now).plus(i64::from(hours) * HOUR);
                    row.expires_at = Some(wanted.min(most));
                    c.allocation_save(&row).await?;
                    row.version += 1;
                    let line = Happened::ok(&who, "extend-allocation", Subject::new("allocation", &id), now)
                        .detail(format!("until {}", wanted.min(most).rfc3339()));
                    audit_in(c, line).await?;
                    c.event_insert(&allocation_events(&row)).await?;
                    view_in(c, &row, &who, now).await
                })
            })
            .await;
        if let Err(fault) = &outcome {
            self.audit_refused(Some(who), "extend-allocation", Subject::new("allocation", id), fault).await;
        }
        outcome
    }

    /// Carries out an action of an allocation by its identity.
    ///
    /// # Errors
    /// `not_found` for an identity that is none.
    pub async fn allocation_act(
        &self,
        who: &Principal,
        id: &AllocationId,
        identity: &str,
        input: Value,
    ) -> Result<Acted, Fault> {
        match identity {
            "release-allocation" | "release" => done(&self.allocation_release(who, id).await?),
            "extend-allocation" | "extend" => {
                let input = if input.is_null() { serde_json::json!({}) } else { input };
                let request: AllocationExtend =
                    serde_json::from_value(input).map_err(|e| Fault::unreadable("The extension", &e))?;
                done(&self.allocation_extend(who, id, request).await?)
            }
            "record-history" => done(&self.history(who, &Subject::new("allocation", id), Filter::default()).await?),
            _ => Err(Fault::not_found("action")),
        }
    }

    /// Releases what has run out. The end is strict: an allocation is over at its `expires_at`.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn auto_release_now(&self, who: &Principal) -> Result<AutoReleaseReport, Fault> {
        need_admin(who)?;
        let now = self.clock.now();
        let mut report = AutoReleaseReport::default();
        let system = Principal::system();
        loop {
            let due = self.store.read().await?.allocations_expired(now, 200).await?;
            let (before, full) = (report.rows_released, due.len() == 200);
            for row in due {
                report.rows_examined += 1;
                report.rows_expired += 1;
                match self.release(&system, &row.id, Some(now)).await {
                    Ok((_, Some(_))) => report.rows_released += 1,
                    // Somebody else released it between the look and the lock.
                    Ok((_, None)) => report.rows_already_released += 1,
                    Err(fault) => {
                        tracing::error!(allocation = %row.id, code = %fault.code, "an expired allocation could not be released");
                        report.errors += 1;
                    }
                }
            }
            if !full || report.rows_released == before {
                return Ok(report);
            }
        }
    }

    /// What a person's dashboard shows.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub async fn dashboard(&self, who: &Principal) -> Result<Dashboard, Fault> {
        let mut c = self.store.read().await?;
        let now = self.clock.now();
        let mut active = Vec::new();
        let mut past = Vec::new();
        for row in c.allocations_of_user(&who.user_id, Which::Open).await? {
            active.push(view_in(&mut c, &row, who, now).await?);
        }
        for row in c.allocations_of_user(&who.user_id, Which::Over).await?.iter().take(10) {
            past.push(view_in(&mut c, row, who, now).await?);
        }
        let mut pools = Vec::new();
        for row in c.pools_all().await? {
            let counts = c.pool_counts(&row.name).await?;
            pools.push(PoolChoice {
                name: row.name,
                available: counts.available,
                waiting: counts.waiting,
                max_duration_hours: row.max_duration_hours,
            });
        }
        let user = c.user_get(&who.user_id).await?.ok_or_else(|| Fault::not_found("user"))?;
        let open = c.allocations_open_of_user(&who.user_id).await?;
        let max_active = (!who.is_admin()).then_some(user.max_active);
        let blocked = match (who.status, max_active) {
            (UserStatus::Pending, _) => Some("An administrator has to approve your account first.".to_owned()),
            (_, Some(most)) if open >= most => Some(most_are_held(open, most)),
            _ if pools.is_empty() => Some("There is no pool to ask from yet.".to_owned()),
            _ => None,
        };
        Ok(Dashboard { active, past, pools, max_active, blocked })
    }

    /// What a service's page shows.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn service_page(&self, who: &Principal, id: &AllocationId) -> Result<ServicePage, Fault> {
        let allocation = self.allocation_show(who, id).await?;
        let mut c = self.store.read().await?;
        let mut history: Vec<AuditEntry> = c.audit_of("allocation", id.as_str(), 50).await?;
        for entry in &mut history {
            if let Some(detail) = &mut entry.detail {
                *detail = with_names_in(&mut c, detail).await?;
            }
        }
        Ok(ServicePage { allocation, history })
    }
}

/// The text with the names of nodes in place of their ids.
async fn with_names_in(c: &mut Conn, text: &str) -> Result<String, Fault> {
    let mut named = text.to_owned();
    for word in text.split(' ').filter(|word| word.starts_with(NodeId::PREFIX)) {
        if let Ok(id) = word.parse::<NodeId>()
            && let Some(node) = c.node_get(&id).await?
        {
            named = named.replace(word, node.name.as_str());
        }
    }
    Ok(named)
}

/// Why somebody who has all they may have gets no more.
fn most_are_held(open: u32, most: u32) -> String {
    match most {
        0 => "You may not have services of your own. An administrator can change that.".to_owned(),
        1 => "You hold or wait for a service already, and may have one at a time. Release it first.".to_owned(),
        _ => format!("You hold or wait for {open} services already, and may have {most} at a time. Release one first."),
    }
}

fn may_ask(who: &Principal, request: &AllocationCreate) -> Result<(), Fault> {
    if !who.is_admin() {
        let for_another = request.user_id.as_ref().is_some_and(|id| *id != who.user_id);
        if for_another || request.user_id.is_some() || request.cost_cents.is_some() {
            return Err(Fault::new(Code::Forbidden, "Only administrators may set user_id and cost_cents."));
        }
        if who.status == UserStatus::Pending {
            return Err(Fault {
                recovery: Some(Box::new(Code::ApprovalPending.recovery())),
                ..Fault::new(Code::ApprovalPending, "An administrator has to approve your account first.")
            });
        }
    }
    if let Some(key) = &request.ssh_pub_key
        && (key.len() > 16 * 1024
            || key.contains(['\n', '\r', '\0'])
            || !key.starts_with("ssh-") && !key.starts_with("ecdsa-") && !key.starts_with("sk-"))
    {
        return Err(Fault::field(
            "/ssh_pub_key",
            "give one line of an OpenSSH public key, such as ssh-ed25519 AAAA… name",
        ));
    }
    if request.cost_cents.is_some_and(|c| c < 0) {
        return Err(Fault::field("/cost_cents", "use 0 or more"));
    }
    Ok(())
}

async fn no_such_pool(c: &mut Conn, name: &PoolName) -> Result<Fault, Fault> {
    if c.pools_exist().await? {
        Ok(Fault::field("/pool", format!("there is no pool {name}; use the name of one that exists")))
    } else {
        Ok(Fault {
            recovery: Some(Box::new(Code::PoolNotRegistered.recovery())),
            ..Fault::new(Code::PoolNotRegistered, "There is no pool to take a machine from.")
        })
    }
}

fn sees(who: &Principal, row: &AllocationRow) -> bool {
    who.is_admin() || row.user_id == who.user_id
}

async fn position_of(c: &mut Conn, row: &AllocationRow) -> Result<Option<u32>, Fault> {
    Ok(match row.status {
        AllocationStatus::Waiting => Some(c.allocation_position(row).await?),
        _ => None,
    })
}

async fn cap_of(c: &mut Conn, row: &AllocationRow) -> Result<u32, Fault> {
    Ok(c.pool_get(&row.pool).await?.map_or(row.duration_hours, |p| p.max_duration_hours))
}

fn facts_of(row: &AllocationRow, cap: u32, now: Timestamp) -> AllocationFacts {
    AllocationFacts {
        id: row.id.clone(),
        user_id: row.user_id.clone(),
        status: row.status,
        allocated_at: row.allocated_at,
        expires_at: row.expires_at,
        max_duration_hours: cap,
        now,
    }
}

async fn view_in(c: &mut Conn, row: &AllocationRow, who: &Principal, now: Timestamp) -> Result<AllocationView, Fault> {
    let name = c.user_get(&row.user_id).await?.map(|u| u.display_name);
    let position = position_of(c, row).await?;
    let cap = cap_of(c, row).await?;
    Ok(allocation_view(row, name, position, Some((cap, who)), now))
}
