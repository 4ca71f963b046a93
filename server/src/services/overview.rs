//! What an administrator sees first.

use domain::{
    access::Principal,
    code::Code,
    list::Filter,
    node::NodeState,
    overview::{Attention, FirstSteps, Overview},
    provider::{Capability, ProviderStatus},
};

use super::{
    Services,
    breaker::{paused_until, paused_words},
    need_admin,
    spending::{acquisition_in, spend_of},
    views::{Depth, EXPIRY_REMINDER, day_of, job_view, pool_view},
};
use crate::fault::Fault;

impl Services {
    /// The administrator's overview.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn overview(&self, who: &Principal) -> Result<Overview, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let accounts = c.provider_list().await?;
        let (jobs_running, jobs_queued) = c.jobs_status_counts().await?;
        let by_state = c.nodes_by_state_count().await?;
        let nodes_ready = by_state.iter().filter(|(s, _)| *s == NodeState::Ready).map(|(_, n)| n).sum();
        let nodes_live: u32 = by_state.iter().map(|(_, n)| n).sum();
        let mut pools = Vec::new();
        for row in c.pools_all().await? {
            let counts = c.pool_counts(&row.name).await?;
            let spend = spend_of(&c.nodes_spend_of_pool(&row.name).await?).0;
            pools.push(pool_view(&row, counts, spend, None, Depth::List));
        }
        let jobs = c.jobs_page(&Filter { limit: Some(8), ..Filter::default() }).await?;
        let failed =
            c.nodes_page(&Filter { status: Some("failed".to_owned()), limit: Some(5), ..Filter::default() }).await?;
        let pending = c.nodes_cleanup_pending(5).await?;
        let drifted = c.nodes_drifted(5).await?;
        let drifted_records = c.dns_records_drifted(5).await?;
        let pending_records = c.dns_records_cleanup_pending(5).await?;
        let now = self.clock.now();
        let any_allocation =
            !c.allocations_page(&Filter { limit: Some(1), ..Filter::default() }).await?.items.is_empty();
        let any_node =
            nodes_live > 0 || !c.nodes_page(&Filter { limit: Some(1), ..Filter::default() }).await?.items.is_empty();
        let waiting_users =
            c.users_page(&Filter { status: Some("pending".to_owned()), limit: Some(5), ..Filter::default() }).await?;
        let acquisition = acquisition_in(&mut c).await?;
        let orphans = u32::try_from(c.orphans_all(1000).await?.len()).unwrap_or(u32::MAX);

        let mut attention = Vec::new();
        for row in accounts.iter().filter(|a| a.status != ProviderStatus::Connected) {
            attention.push(Attention {
                text: format!("The account {} is {}.", row.name, row.status),
                next_step: row
                    .last_code
                    .map_or_else(|| "Check the connection.".to_owned(), |code| code.recovery().next_step),
                href: format!("/providers/{}", row.id),
            });
        }
        for (row, end) in accounts.iter().filter_map(|row| Some((row, row.expires_at?))) {
            if end.since(now) <= EXPIRY_REMINDER {
                let over = end <= now;
                attention.push(Attention {
                    text: format!(
                        "The credential of {} {} on {}.",
                        row.name,
                        if over { "ended" } else { "ends" },
                        day_of(end)
                    ),
                    next_step: "Make another one at the vendor and choose Replace secret.".to_owned(),
                    href: format!("/providers/{}", row.id),
                });
            }
        }
        for (row, why) in accounts.iter().filter_map(|row| Some((row, self.account_stale(row)?))) {
            attention.push(Attention {
                text: format!("What is known of what {} holds is old.", row.name),
                next_step: format!("{why} It is tried again by itself; check the connection if it stays."),
                href: format!("/providers/{}", row.id),
            });
        }
        for row in accounts.iter().filter(|row| paused_until(row, now).is_some()) {
            attention.push(Attention {
                text: paused_words(row, now),
                next_step: Code::AccountPaused.recovery().next_step,
                href: format!("/providers/{}", row.id),
            });
        }
        if let Some(hold) = &acquisition.hold {
            attention.push(Attention {
                text: hold.reason.clone(),
                next_step: "Change it under Settings when more may be acquired.".to_owned(),
                href: "/settings".to_owned(),
            });
        }
        for row in &drifted {
            let Some(drift) = row.drift.first() else { continue };
            attention.push(Attention {
                text: format!(
                    "{} differs from what is recorded: {} is {}, the vendor says {}.",
                    row.name, drift.field, drift.recorded, drift.observed
                ),
                next_step: drift.guidance.clone(),
                href: format!("/nodes/{}", row.id),
            });
        }
        for row in &drifted_records {
            let Some(drift) = row.drift.first() else { continue };
            attention.push(Attention {
                text: format!("{} {} is not as Hangar wrote it: {}.", row.fqdn(), row.kind, drift.observed),
                next_step: drift.guidance.clone(),
                href: format!("/dns/{}", row.id),
            });
        }
        if orphans > 0 {
            attention.push(Attention {
                text: format!("{orphans} differences between the vendors and what is recorded."),
                next_step: "Look at the report; nothing is taken away by itself.".to_owned(),
                href: "/orphans".to_owned(),
            });
        }
        for row in &pending {
            attention.push(Attention {
                text: format!("Something of {} may be left at the vendor and may bill.", row.name),
                next_step: "Hangar looks for it again; open the node to see what is tried.".to_owned(),
                href: format!("/nodes/{}", row.id),
            });
        }
        for row in &pending_records {
            attention.push(Attention {
                text: format!("{} {} may still stand in its zone.", row.fqdn(), row.kind),
                next_step: "Hangar looks for it again; open the record to see what is tried.".to_owned(),
                href: format!("/dns/{}", row.id),
            });
        }
        for row in &failed.items {
            attention.push(Attention {
                text: format!(
                    "{} failed{}.",
                    row.name,
                    row.failed_stage.map(|s| format!(" while {s}")).unwrap_or_default()
                ),
                next_step: row.code.map_or_else(|| "Open the node.".to_owned(), |code| code.recovery().next_step),
                href: format!("/nodes/{}", row.id),
            });
        }
        for pool in pools.iter().filter(|p| p.counts.waiting > 0) {
            attention.push(Attention {
                text: format!("{} requests wait for pool {}.", pool.counts.waiting, pool.name),
                next_step: "Acquire more nodes into it, or mark machines available.".to_owned(),
                href: format!("/pools/{}", pool.name),
            });
        }
        for user in &waiting_users.items {
            attention.push(Attention {
                text: format!("{} waits for approval.", user.display_name),
                next_step: "Approve or suspend the account.".to_owned(),
                href: "/users?status=pending".to_owned(),
            });
        }
        Ok(Overview {
            first_steps: FirstSteps {
                // One through which nodes can be acquired: an account of names alone is not enough.
                account: accounts.iter().any(|a| {
                    a.status == ProviderStatus::Connected && self.capabilities(&a.kind).contains(&Capability::Provision)
                }),
                node: any_node,
                pool: pools.iter().any(|p| p.counts.available + p.counts.allocated > 0),
                user: any_allocation,
            },
            jobs_running,
            jobs_queued,
            nodes_ready,
            nodes_live,
            acquisition,
            orphans,
            pools,
            recent_jobs: jobs.items.iter().map(|row| job_view(row, Vec::new(), None)).collect(),
            attention,
        })
    }
}
