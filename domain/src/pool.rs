//! Pools and their VMs.
//!
//! ```text
//! available → allocated → cleaning → available
//! available ⇄ maintenance ← cleaning        allocated ⇄ draining → retired
//! available | maintenance | cleaning → retired
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    access::Principal,
    action::{Action, ActionSpec, Verdict, assemble},
    id::{AllocationId, NodeId, PoolId},
    node::NodeCreate,
    spending::Spend,
    state::{IllegalTransition, words},
    time::{MINUTE, SECOND, Timestamp},
    valid::{CockpitUrl, PoolName, PoolVmId},
};

words! {
    /// Where a pool VM stands.
    PoolVmStatus {
        /// May be handed out.
        Available = "available",
        /// Somebody holds it.
        Allocated = "allocated",
        /// Given back; not yet fit for the next person.
        Cleaning = "cleaning",
        /// Held back by an administrator.
        Maintenance = "maintenance",
        /// Somebody holds it, but it is gone from the list: retired when released.
        Draining = "draining",
        /// No longer handed out; the row stays as a record.
        Retired = "retired",
    }
}

words! {
    /// Where a pool VM comes from.
    PoolVmSource {
        /// Backed by a node that Hangar acquired.
        Node = "node",
        /// Listed by an operator.
        Listed = "listed",
    }
}

words! {
    /// How a machine is made fit for the next person.
    Cleaning {
        /// A node is destroyed and acquired anew; a listed machine is cleaned by the release hook.
        Replace = "replace",
        /// A node is laid anew in place; a listed machine is cleaned by the release hook.
        Rebuild = "rebuild",
        /// Not at all: handed to the next person as it is.
        None = "none",
    }
}

/// What happens to a pool VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolVmEvent {
    /// It is handed to somebody.
    Claim,
    /// Its holder gave it back.
    Release,
    /// It is fit for the next person.
    Cleaned,
    /// It is held back.
    Park,
    /// It is let go again.
    MarkClean,
    /// It is gone from the operator's list, or an administrator drains it.
    Leave,
    /// It is in the operator's list again.
    Return,
}

impl PoolVmEvent {
    /// Every event, for the matrix.
    pub const ALL: &[PoolVmEvent] =
        &[Self::Claim, Self::Release, Self::Cleaned, Self::Park, Self::MarkClean, Self::Leave, Self::Return];
}

impl PoolVmStatus {
    /// The status after `event`.
    ///
    /// # Errors
    /// [`IllegalTransition`] if the event does not happen in this status.
    pub fn apply(self, event: PoolVmEvent) -> Result<Self, IllegalTransition> {
        use {PoolVmEvent as E, PoolVmStatus as S};
        Ok(match (self, event) {
            (S::Available, E::Claim) => S::Allocated,
            (S::Allocated, E::Release) => S::Cleaning,
            (S::Draining, E::Release) => S::Retired,
            (S::Cleaning, E::Cleaned) => S::Available,
            (S::Available | S::Cleaning, E::Park) => S::Maintenance,
            (S::Maintenance, E::MarkClean) => S::Available,
            (S::Available | S::Maintenance | S::Cleaning, E::Leave) => S::Retired,
            (S::Allocated, E::Leave) => S::Draining,
            (S::Draining, E::Return) => S::Allocated,
            (S::Retired, E::Return) => S::Available,
            (status, event) => return Err(IllegalTransition::new(status.as_str(), &format!("{event:?}"))),
        })
    }
}

/// One entry of the operator's list. Unknown fields are let through: the list may serve others too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolEntry {
    /// The machine's id, unique in the installation.
    pub id: PoolVmId,
    /// Where it is reached.
    #[serde(default)]
    pub host: Option<String>,
    /// Its cockpit.
    #[serde(default)]
    pub cockpit_url: Option<CockpitUrl>,
    /// `available` or `maintenance`; `available` when absent.
    #[serde(default)]
    pub status: Option<PoolVmStatus>,
    /// Its pool; `default` when absent.
    #[serde(default)]
    pub pool: Option<PoolName>,
    /// The user for SSH.
    #[serde(default)]
    pub ssh_user: Option<String>,
    /// The port for SSH.
    #[serde(default)]
    pub ssh_port: Option<u16>,
    /// Free labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What a refresh of the operator's list did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolRefreshReport {
    /// Listed machines before, retired ones not counted.
    pub prev_pool_size: u32,
    /// Listed machines now, retired ones not counted.
    pub pool_size: u32,
    /// Machines that are new or came back.
    pub added: u32,
    /// Machines that were retired.
    pub removed: u32,
    /// Machines that are held and will be retired when released.
    pub draining: u32,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// How many VMs of a pool stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolCounts {
    /// May be handed out.
    pub available: u32,
    /// Held by somebody.
    pub allocated: u32,
    /// Being cleaned.
    pub cleaning: u32,
    /// Held back.
    pub maintenance: u32,
    /// Held, and retired when released.
    pub draining: u32,
    /// Requests in the waiting list.
    pub waiting: u32,
    /// Nodes of this pool that are being made.
    pub coming: u32,
}

/// What there is to do to keep a pool at its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillPlan {
    /// How many nodes to acquire now.
    pub acquire: u32,
    /// How many free nodes to take away now.
    pub retire: u32,
    /// What is done and why, in one sentence.
    pub reason: String,
}

/// What the plan looks at.
#[derive(Debug, Clone, Copy)]
pub struct FillFacts<'a> {
    /// How many ready ones to keep.
    pub target_ready: u32,
    /// How many machines at most.
    pub max_size: Option<u32>,
    /// How many VMs stand where.
    pub counts: PoolCounts,
    /// How many of the newest acquisitions failed in a row.
    pub failures: u32,
    /// When the newest of them failed.
    pub last_failure: Option<Timestamp>,
    /// Whether the template's account is connected.
    pub connected: bool,
    /// What keeps another one from being acquired, in one sentence, if anything does.
    pub hold: Option<&'a str>,
    /// The present.
    pub now: Timestamp,
}

/// Compares target and fact. Those who wait count as wanted, those on their way as there. After
/// failures it waits longer each time, at most half an hour.
pub fn fill_plan(facts: &FillFacts<'_>) -> FillPlan {
    let c = facts.counts;
    let wanted = facts.target_ready + c.waiting;
    let there = c.available + c.coming;
    let nothing = |reason: String| FillPlan { acquire: 0, retire: 0, reason };
    if there > wanted && c.available > 0 {
        let retire = (there - wanted).min(c.available);
        return FillPlan {
            acquire: 0,
            retire,
            reason: format!("{retire} more than the target of {} are free; they are taken away.", facts.target_ready),
        };
    }
    let missing = wanted.saturating_sub(there);
    if missing == 0 {
        return nothing(match c.coming {
            0 => format!("The target of {} is met.", facts.target_ready),
            n => format!("{n} are on their way."),
        });
    }
    let members = c.available + c.allocated + c.cleaning + c.maintenance + c.draining + c.coming;
    let room = facts.max_size.map_or(missing, |most| most.saturating_sub(members));
    if room == 0 {
        return nothing(format!("{missing} are missing, but the pool holds the {members} machines it may hold."));
    }
    if !facts.connected {
        return nothing(format!("{missing} are missing, but the template's account is not connected."));
    }
    if let Some(hold) = facts.hold {
        return nothing(format!("{missing} are missing, but none is acquired now. {hold}"));
    }
    if let (Some(at), failures @ 1..) = (facts.last_failure, facts.failures) {
        let wait = (30 * SECOND).saturating_mul(1 << (failures - 1).min(6)).min(30 * MINUTE);
        let left = at.plus(wait).since(facts.now);
        if left > 0 {
            let seconds = (left + SECOND - 1) / SECOND;
            return nothing(format!(
                "{missing} are missing; the last {failures} acquisitions failed, the next try is in {seconds} s."
            ));
        }
        return FillPlan { acquire: 1, retire: 0, reason: "One is acquired to see whether it works again.".to_owned() };
    }
    let acquire = missing.min(room);
    FillPlan { acquire, retire: 0, reason: format!("{acquire} are missing and are being acquired.") }
}

/// The request to make a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolCreate {
    /// Its name.
    pub name: PoolName,
    /// How many ready ones to keep; none kept when absent.
    #[serde(default)]
    pub target_ready: Option<u32>,
    /// How many machines at most; unlimited when absent.
    #[serde(default)]
    pub max_size: Option<u32>,
    /// How machines are cleaned; `replace` when absent.
    #[serde(default)]
    pub cleaning: Option<Cleaning>,
    /// From what more are acquired.
    #[serde(default)]
    pub template: Option<NodeCreate>,
    /// The longest time for which a machine is given, in hours; 720 when absent.
    #[serde(default)]
    pub max_duration_hours: Option<u32>,
}

/// Tells a field that is absent from one that is null.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// The request to change a pool. What is absent stays; `null` takes a limit, target or template
/// away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolPatch {
    /// How many ready ones to keep.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u32>))]
    pub target_ready: Option<Option<u32>>,
    /// How many machines at most.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u32>))]
    pub max_size: Option<Option<u32>>,
    /// How machines are cleaned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleaning: Option<Cleaning>,
    /// From what more are acquired.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<NodeCreate>))]
    pub template: Option<Option<NodeCreate>>,
    /// The longest time for which a machine is given, in hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_hours: Option<u32>,
}

/// A pool as the API and the pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolView {
    /// Its id.
    pub id: PoolId,
    /// Its name.
    pub name: PoolName,
    /// How many ready ones to keep.
    pub target_ready: Option<u32>,
    /// How many machines at most.
    pub max_size: Option<u32>,
    /// How machines are cleaned.
    pub cleaning: Cleaning,
    /// From what more are acquired.
    pub template: Option<NodeCreate>,
    /// The longest time for which a machine is given, in hours.
    pub max_duration_hours: u32,
    /// How many VMs stand where.
    pub counts: PoolCounts,
    /// What its nodes cost, by currency.
    #[serde(default)]
    pub spend: Vec<Spend>,
    /// What is being done to keep its target, and why; absent without a target.
    pub plan: Option<String>,
    /// When it came into being.
    pub created_at: Timestamp,
    /// Counts every change.
    pub version: i64,
    /// What can be done with it; empty in lists.
    pub actions: Vec<Action>,
}

/// A pool VM as the API and the pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolVmView {
    /// Its id.
    pub id: PoolVmId,
    /// Its pool.
    pub pool: PoolName,
    /// Where it comes from.
    pub source: PoolVmSource,
    /// The node behind it.
    pub node_id: Option<NodeId>,
    /// Where it is reached.
    pub host: Option<String>,
    /// Its cockpit.
    pub cockpit_url: Option<CockpitUrl>,
    /// Where it stands.
    pub status: PoolVmStatus,
    /// The allocation that holds it.
    pub allocation_id: Option<AllocationId>,
    /// Why it stands there, where that needs saying.
    pub note: Option<String>,
    /// When that changed last.
    pub updated_at: Timestamp,
}

/// The request to change a pool VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolVmPatch {
    /// `available` (marks it clean), `maintenance` or `draining`.
    pub status: PoolVmStatus,
}

/// What the gates of a pool's actions look at.
#[derive(Debug, Clone)]
pub struct PoolFacts {
    /// The pool.
    pub name: PoolName,
    /// How many VMs stand where.
    pub counts: PoolCounts,
}

const fn spec(
    identity: &'static str,
    method: &'static str,
    permission: &'static str,
    label: &'static str,
    description: &'static str,
) -> ActionSpec {
    ActionSpec { identity, alias: None, label, description, permission, method }
}

const POOL_ACTIONS: &[ActionSpec] = &[
    spec("update-pool", "PATCH", "hangar.pool.update", "Change pool", "Changes target, size, cleaning or template."),
    spec("delete-pool", "DELETE", "hangar.pool.delete", "Delete pool", "Removes the empty pool."),
    spec("record-history", "GET", "hangar.pool.read", "Record history", "Shows everything that happened to the pool."),
];

/// Every action of a pool for `principal`.
pub fn pool_actions(facts: &PoolFacts, principal: &Principal) -> Vec<Action> {
    let c = facts.counts;
    let members = c.available + c.allocated + c.cleaning + c.maintenance + c.draining + c.coming;
    let empty = || {
        if members == 0 && c.waiting == 0 {
            Verdict::pass("pool-empty", "No machine is in it and nobody waits for it.")
        } else {
            Verdict::blocked(
                "pool-empty",
                format!("{members} machines are in it or on their way, and {} requests wait.", c.waiting),
                "A pool that somebody holds or waits for is not removed.",
                "Destroy or retire its machines and release what waits.",
                "Yes: nothing was changed.",
            )
        }
    };
    POOL_ACTIONS
        .iter()
        .map(|spec| {
            let (path, gates) = match spec.identity {
                "delete-pool" => (format!("/api/v1/pools/{}", facts.name), vec![empty()]),
                "update-pool" => (format!("/api/v1/pools/{}", facts.name), vec![]),
                _ => (format!("/api/v1/pools/{}/history", facts.name), vec![]),
            };
            let mut verdicts = vec![Verdict::permission(spec, principal, principal.is_admin())];
            verdicts.extend(gates);
            assemble(spec, path, verdicts)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrix() {
        let mut text = String::new();
        for status in PoolVmStatus::ALL {
            for event in PoolVmEvent::ALL {
                if let Ok(next) = status.apply(*event) {
                    text.push_str(&format!("{status} --{event:?}--> {next}\n"));
                }
            }
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn null_takes_away_and_absent_leaves() {
        let patch: PoolPatch = serde_json::from_str(r#"{"max_size": null, "target_ready": 2}"#).unwrap();
        assert_eq!((patch.max_size, patch.target_ready, patch.template), (Some(None), Some(Some(2)), None));
    }

    #[test]
    fn the_plan_never_over_creates_and_backs_off() {
        let facts = FillFacts {
            target_ready: 3,
            max_size: None,
            counts: PoolCounts { available: 1, coming: 1, ..PoolCounts::default() },
            failures: 0,
            last_failure: None,
            connected: true,
            hold: None,
            now: Timestamp::from_millis(1_000_000),
        };
        assert_eq!(fill_plan(&facts).acquire, 1);
        let waiting = PoolCounts { waiting: 2, ..facts.counts };
        assert_eq!(fill_plan(&FillFacts { counts: waiting, ..facts }).acquire, 3);
        assert_eq!(fill_plan(&FillFacts { counts: waiting, max_size: Some(3), ..facts }).acquire, 1);
        assert_eq!(fill_plan(&FillFacts { connected: false, ..facts }).acquire, 0);
        let held = fill_plan(&FillFacts { counts: waiting, hold: Some("All acquisition is paused."), ..facts });
        assert_eq!((held.acquire, held.reason.ends_with("All acquisition is paused.")), (0, true));
        let met = PoolCounts { available: 2, coming: 1, ..PoolCounts::default() };
        assert_eq!(fill_plan(&FillFacts { counts: met, ..facts }).acquire, 0);
        let many = PoolCounts { available: 5, ..PoolCounts::default() };
        let plan = fill_plan(&FillFacts { counts: many, ..facts });
        assert_eq!((plan.acquire, plan.retire), (0, 2));
        let failed = FillFacts { failures: 2, last_failure: Some(facts.now), ..facts };
        assert_eq!(fill_plan(&failed).acquire, 0);
        let later = FillFacts { now: facts.now.plus(60 * SECOND), ..failed };
        assert_eq!(fill_plan(&later).acquire, 1);
    }

    /// The one way to a holder is from `available`, and the one way there from a holder is through
    /// cleaning.
    #[test]
    fn nothing_is_given_twice() {
        for status in PoolVmStatus::ALL {
            assert_eq!(status.apply(PoolVmEvent::Claim).is_ok(), *status == PoolVmStatus::Available);
        }
        assert_eq!(PoolVmStatus::Allocated.apply(PoolVmEvent::Release), Ok(PoolVmStatus::Cleaning));
    }
}
