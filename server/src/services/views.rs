//! Rows as the API and the pages show them.

use domain::{
    access::Principal,
    allocation::{AllocationFacts, AllocationStatus, AllocationView, allocation_actions},
    code::Code,
    id::{AllocationId, JobId},
    job::{JobFacts, JobStep, JobView, job_actions},
    node::{Afresh, Drift, Freshness, JobRef, NodeFacts, NodeView, node_actions},
    pool::{PoolCounts, PoolFacts, PoolView, PoolVmView, pool_actions},
    provider::{Breaker, Capability, ProviderFacts, ProviderStatus, ProviderView, provider_actions},
    spending::{Hold, Spend},
    time::{HOUR, Millis, Timestamp},
    user::UserView,
};
use serde_json::Value;
use store::{AllocationRow, JobRow, NodeRow, PoolRow, PoolVmRow, ProviderRow, UserRow};

use super::{Services, blueprints::stack_head, nodes::is_kept_whole};

/// Whether a view is for a list (without actions) or for a detail page.
#[derive(Clone, Copy)]
pub(super) enum Depth<'a> {
    List,
    Detail(&'a Principal),
}

impl Services {
    pub(super) fn capabilities(&self, kind: &str) -> Vec<Capability> {
        self.registry.get(kind).map(|a| a.capabilities().to_vec()).unwrap_or_default()
    }

    /// Whether accounts of a kind have a secret that can be replaced.
    pub(super) fn has_secret(&self, kind: &str) -> bool {
        let schema = self.registry.get(kind).map(|adapter| adapter.secret_schema());
        schema.is_some_and(|it| it["properties"].as_object().is_some_and(|fields| !fields.is_empty()))
    }

    /// An account; `live` are the nodes and records made through it, `hold` what keeps every account
    /// from acquiring.
    pub(super) fn provider_view(
        &self,
        row: &ProviderRow,
        live: (u32, u32),
        hold: Option<Hold>,
        depth: Depth<'_>,
    ) -> ProviderView {
        let adapter = self.registry.get(&row.kind);
        let capabilities = self.capabilities(&row.kind);
        let guidance = match (row.status, row.last_code) {
            (ProviderStatus::Connected, _) => expiry_words(row, self.clock.now()).into_iter().collect(),
            (_, Some(code)) => {
                let r = code.recovery();
                let mut guidance = vec![r.cause, r.next_step];
                if matches!(code, Code::ProviderCredentialRejected | Code::ProviderTokenReadonly) {
                    guidance.extend(
                        adapter
                            .map(|it| credential_guidance(&it.secret_schema(), it.capabilities()))
                            .unwrap_or_default(),
                    );
                }
                guidance
            }
            (_, None) => vec!["Check the connection.".to_owned()],
        };
        let settings = match &row.settings {
            Value::Object(map) => map
                .iter()
                .map(|(k, v)| (k.clone(), v.as_str().map_or_else(|| v.to_string(), ToOwned::to_owned)))
                .collect(),
            _ => Default::default(),
        };
        let now = self.clock.now();
        let (actions, budget) = match depth {
            Depth::List => (Vec::new(), None),
            Depth::Detail(who) => (
                provider_actions(
                    &provider_facts(row, (capabilities.clone(), self.has_secret(&row.kind)), live, hold, now),
                    who,
                ),
                self.account(row).ok().and_then(|open| open.account.budget()),
            ),
        };
        ProviderView {
            id: row.id.clone(),
            kind: row.kind.clone(),
            display_name: adapter.map_or_else(|| row.kind.clone(), |a| a.display_name().to_owned()),
            name: row.name.clone(),
            status: row.status,
            capabilities,
            settings,
            secret_configured: row.secret_sealed.is_some(),
            last_code: row.last_code,
            last_message: row.last_message.clone(),
            guidance,
            connected_at: row.connected_at,
            last_checked_at: row.last_checked_at,
            expires_at: row.expires_at,
            nodes: live.0,
            budget,
            owned: row.owned,
            observed_at: row.observed_at,
            breaker: breaker_of(row),
            version: row.version,
            actions,
        }
    }

    pub(super) fn node_facts(
        &self,
        row: &NodeRow,
        provider: Option<&ProviderRow>,
        open_job: Option<JobId>,
        allocation: Option<AllocationId>,
        afresh: Option<Afresh>,
    ) -> NodeFacts {
        NodeFacts {
            id: row.id.clone(),
            state: row.state,
            cleanup: row.cleanup,
            has_server: row.infra_id.is_some(),
            open_job,
            allocation,
            provider_status: provider.map_or(ProviderStatus::Disconnected, |p| p.status),
            capabilities: provider.map(|p| self.capabilities(&p.kind)).unwrap_or_default(),
            has_login: row.profile.has_login(),
            is_stack: row.blueprint.is_some(),
            powered_off: row.drift.iter().any(Drift::is_powered_off),
            kept_whole: is_kept_whole(row),
            afresh,
        }
    }
}

/// What the gates of an account's actions look at.
pub(super) fn provider_facts(
    row: &ProviderRow,
    (capabilities, has_secret): (Vec<Capability>, bool),
    (live_nodes, live_records): (u32, u32),
    hold: Option<Hold>,
    now: Timestamp,
) -> ProviderFacts {
    ProviderFacts {
        id: row.id.clone(),
        status: row.status,
        capabilities,
        has_secret,
        live_nodes,
        live_records,
        breaker: breaker_of(row),
        hold,
        now,
    }
}

/// What a credential is, where to make one and how to revoke it; the vendor's own words come from
/// the description of its secret.
fn credential_guidance(schema: &Value, capabilities: &[Capability]) -> Vec<String> {
    let mut guidance = vec![
        "Whoever holds the credential may do everything it allows, so it is stored sealed and never shown.".to_owned(),
    ];
    let fields = schema["properties"].as_object().into_iter().flatten();
    for (name, field) in fields.filter(|(_, field)| field["writeOnly"] == true) {
        let title = field["title"].as_str().unwrap_or(name);
        if let Some(words) = field["description"].as_str() {
            guidance.push(format!("{title}: {words}"));
        }
    }
    let made = match (capabilities.contains(&Capability::Provision), capabilities.contains(&Capability::Dns)) {
        (true, true) => "servers, SSH keys and DNS records",
        (false, true) => "DNS records",
        _ => "servers and SSH keys",
    };
    guidance.push(format!("It needs the right to read and to write; Hangar makes and deletes {made} with it."));
    guidance.push("To revoke one, delete it where it was made, after its replacement is stored here.".to_owned());
    guidance
}

/// From how long before its end on people are reminded of a credential.
pub(super) const EXPIRY_REMINDER: Millis = 14 * 24 * HOUR;

/// When the credential of an account ends, in words; what to do about it once it is time.
fn expiry_words(row: &ProviderRow, now: Timestamp) -> Option<String> {
    let end = row.expires_at?;
    let day = day_of(end);
    Some(if end.since(now) <= EXPIRY_REMINDER {
        format!("Its credential ends on {day}: make another one at the vendor and choose Replace secret.")
    } else {
        format!("Its credential ends on {day}.")
    })
}

/// The day of a time, in UTC; who has to act on it needs no more.
pub(super) fn day_of(time: Timestamp) -> String {
    time.rfc3339().chars().take_while(|c| *c != 'T').collect()
}

/// The failures in a row of an account, if there are any.
pub(super) fn breaker_of(row: &ProviderRow) -> Option<Breaker> {
    (row.failures > 0).then_some(Breaker {
        failures: row.failures,
        code: row.failure_code,
        open_until: row.paused_until,
    })
}

/// A node; `facts` and the caller make the actions of a detail page.
pub(super) fn node_view(
    row: &NodeRow,
    provider: Option<&ProviderRow>,
    job: Option<&JobRow>,
    actions: Option<(&NodeFacts, &Principal)>,
) -> NodeView {
    NodeView {
        id: row.id.clone(),
        name: row.name.to_string(),
        provider_id: row.provider_id.clone(),
        provider: provider.map(|p| p.kind.clone()).unwrap_or_default(),
        provider_name: provider.map(|p| p.name.clone()).unwrap_or_default(),
        infra_id: row.infra_id.clone(),
        state: row.state,
        failed_stage: row.failed_stage,
        code: row.code,
        message: row.message.clone(),
        cleanup: row.cleanup,
        host: row.host.clone(),
        ipv4: row.ipv4.clone(),
        ipv6: row.ipv6.clone(),
        fqdn: row.fqdn.clone(),
        action_id: row.action_id.clone(),
        server_type: row.server_type.clone(),
        location: row.location.clone(),
        image: row.image.clone(),
        price_monthly: row.price_monthly.clone(),
        price_hourly: row.price_hourly.clone(),
        currency: row.currency.clone(),
        profile: row.profile.clone(),
        profile_version: row.profile_version,
        health: row.health.clone(),
        freshness: Freshness { observed_at: row.observed_at, stale: false, reason: None },
        drift: row.drift.clone(),
        pool: row.pool.clone(),
        cockpit_url: row.cockpit_url.as_ref().map(ToString::to_string),
        stack: stack_head(row),
        job: job.map(|j| JobRef { id: j.id.clone(), status: j.status, progress: j.progress }),
        created_at: row.created_at,
        version: row.version,
        actions: actions.map(|(facts, who)| node_actions(facts, who)).unwrap_or_default(),
    }
}

/// A job; its facts and the caller make the actions of a detail page.
pub(super) fn job_view(row: &JobRow, steps: Vec<JobStep>, actions: Option<(&JobFacts, &Principal)>) -> JobView {
    // What a command wrote belongs on the page of the job alone.
    let output = row.output.clone().filter(|_| actions.is_some());
    let actions = actions.map(|(facts, who)| job_actions(facts, who)).unwrap_or_default();
    JobView {
        id: row.id.clone(),
        kind: row.kind,
        status: row.status,
        subject: row.subject.clone(),
        subject_name: row.subject_name.clone(),
        attempt: row.attempt,
        max_attempts: row.max_attempts,
        step: row.step.clone(),
        steps,
        progress: row.progress,
        error: row.error.clone(),
        output,
        cancel_requested: row.cancel_requested,
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        run_after: row.run_after,
        version: row.version,
        actions,
    }
}

pub(super) fn pool_view(
    row: &PoolRow,
    counts: PoolCounts,
    spend: Vec<Spend>,
    plan: Option<String>,
    depth: Depth<'_>,
) -> PoolView {
    PoolView {
        id: row.id.clone(),
        name: row.name.clone(),
        target_ready: row.target_ready,
        max_size: row.max_size,
        cleaning: row.cleaning,
        template: row.template.clone(),
        max_duration_hours: row.max_duration_hours,
        counts,
        spend,
        plan,
        created_at: row.created_at,
        version: row.version,
        actions: match depth {
            Depth::List => Vec::new(),
            Depth::Detail(who) => pool_actions(&PoolFacts { name: row.name.clone(), counts }, who),
        },
    }
}

pub(super) fn pool_vm_view(row: &PoolVmRow, allocation: Option<AllocationId>) -> PoolVmView {
    PoolVmView {
        id: row.id.clone(),
        pool: row.pool.clone(),
        source: row.source,
        node_id: row.node_id.clone(),
        host: row.host.clone(),
        cockpit_url: row.cockpit_url.clone(),
        status: row.status,
        allocation_id: allocation,
        note: row.note.clone(),
        updated_at: row.updated_at,
    }
}

/// An allocation; the pool's cap and the caller make the actions of a detail page.
pub(super) fn allocation_view(
    row: &AllocationRow,
    user_name: Option<String>,
    position: Option<u32>,
    actions: Option<(u32, &Principal)>,
    now: Timestamp,
) -> AllocationView {
    // Whose time is up opens nothing any more, also before the sweep has come round.
    let over = row.status == AllocationStatus::Active && row.expires_at.is_some_and(|end| end <= now);
    let actions = actions
        .map(|(max_duration_hours, who)| {
            let facts = AllocationFacts {
                id: row.id.clone(),
                user_id: row.user_id.clone(),
                status: row.status,
                allocated_at: row.allocated_at,
                expires_at: row.expires_at,
                max_duration_hours,
                now,
            };
            allocation_actions(&facts, who)
        })
        .unwrap_or_default();
    AllocationView {
        id: row.id.clone(),
        user_id: row.user_id.clone(),
        user_name,
        forge_id: row.forge_id.clone(),
        pool: row.pool.clone(),
        pool_vm_id: row.pool_vm_id.clone(),
        host: row.host.clone(),
        provisioner: row.provisioner.clone(),
        is_demo: row.is_demo,
        status: row.status,
        cost_cents: row.cost_cents,
        cockpit_url: row.cockpit_url.clone().filter(|_| !over),
        created_at: row.created_at,
        allocated_at: row.allocated_at,
        expires_at: row.expires_at,
        released_at: row.released_at,
        reason: row.reason.clone(),
        position,
        version: row.version,
        actions,
    }
}

pub(super) fn user_view(row: &UserRow) -> UserView {
    UserView {
        id: row.id.clone(),
        forge_id: row.forge_id.clone(),
        forge_login: row.forge_login.clone(),
        display_name: row.display_name.clone(),
        role: row.role,
        status: row.status,
        max_active: row.max_active,
        last_seen_at: row.last_seen_at,
        created_at: row.created_at,
        version: row.version,
    }
}
