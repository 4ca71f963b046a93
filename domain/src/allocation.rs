//! Allocations: one pool VM assigned to one person for a time.
//!
//! ```text
//! waiting → active → releasing → released
//! waiting → released
//! ```

use serde::{Deserialize, Serialize};

use crate::{
    access::Principal,
    action::{Action, ActionSpec, Verdict, assemble},
    id::{AllocationId, UserId},
    state::{IllegalTransition, words},
    time::{HOUR, Timestamp},
    valid::{CockpitUrl, PoolName, PoolVmId},
};

words! {
    /// Where an allocation stands.
    AllocationStatus {
        /// In the waiting list of its pool.
        Waiting = "waiting",
        /// A machine is held.
        Active = "active",
        /// Given back; the hook and the cleaning are under way.
        Releasing = "releasing",
        /// Over.
        Released = "released",
    }
}

words! {
    /// Why an allocation ended.
    ReleaseReason {
        /// Its holder gave it back.
        User = "user",
        /// An administrator took it back.
        Admin = "admin",
        /// Its time was up.
        Expired = "expired",
        /// Its machine failed.
        Failed = "failed",
    }
}

/// What happens to an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllocationEvent {
    /// A machine was claimed for it.
    Claim,
    /// It was given back.
    Release,
    /// The hook and the cleaning have been seen to.
    Finish,
}

impl AllocationStatus {
    /// The status after `event`.
    ///
    /// # Errors
    /// [`IllegalTransition`] if the event does not happen in this status.
    pub fn apply(self, event: AllocationEvent) -> Result<Self, IllegalTransition> {
        use {AllocationEvent as E, AllocationStatus as S};
        Ok(match (self, event) {
            (S::Waiting, E::Claim) => S::Active,
            (S::Waiting, E::Release) => S::Released,
            (S::Active, E::Release) => S::Releasing,
            (S::Releasing, E::Finish) => S::Released,
            (status, event) => return Err(IllegalTransition::new(status.as_str(), &format!("{event:?}"))),
        })
    }

    /// Whether it counts against the quota.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Active)
    }
}

/// The request for a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AllocationCreate {
    /// The pool.
    pub pool: PoolName,
    /// For whom; administrators only. The caller when absent.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// For how long; 24 when absent, at most the pool's cap.
    #[serde(default)]
    pub duration_hours: Option<u32>,
    /// A public SSH key to put on the machine.
    #[serde(default)]
    pub ssh_pub_key: Option<String>,
    /// What it costs in cents; administrators only.
    #[serde(default)]
    pub cost_cents: Option<i64>,
}

/// The request for more time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AllocationExtend {
    /// How many hours more; 24 when absent.
    #[serde(default)]
    pub hours: Option<u32>,
}

/// An allocation as the API and the pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AllocationView {
    /// Its id.
    pub id: AllocationId,
    /// Whose it is.
    pub user_id: UserId,
    /// What people call that user.
    pub user_name: Option<String>,
    /// The Forge's id of that user when it was allocated.
    pub forge_id: Option<String>,
    /// The pool.
    pub pool: PoolName,
    /// The machine.
    pub pool_vm_id: Option<PoolVmId>,
    /// Where the machine is reached.
    pub host: Option<String>,
    /// The provisioner that made it.
    pub provisioner: String,
    /// Whether the demo provisioner made it.
    pub is_demo: bool,
    /// Where it stands.
    pub status: AllocationStatus,
    /// What it costs in cents.
    pub cost_cents: Option<i64>,
    /// The cockpit as it was when the machine was handed out.
    pub cockpit_url: Option<CockpitUrl>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the machine was handed out.
    pub allocated_at: Option<Timestamp>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was given back.
    pub released_at: Option<Timestamp>,
    /// Why it ended, or why it waits.
    pub reason: Option<String>,
    /// Its place in the waiting list, from 1.
    pub position: Option<u32>,
    /// Counts every change.
    pub version: i64,
    /// What can be done with it; empty in lists.
    pub actions: Vec<Action>,
}

/// What a sweep of the expired did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AutoReleaseReport {
    /// Active allocations looked at because their time is up.
    pub rows_examined: u32,
    /// Of these, whose time is indeed up.
    pub rows_expired: u32,
    /// Of these, released now.
    pub rows_released: u32,
    /// Of these, released meanwhile by somebody else.
    pub rows_already_released: u32,
    /// Of these, not released because of an error.
    pub errors: u32,
}

/// What the gates of an allocation's actions look at.
#[derive(Debug, Clone)]
pub struct AllocationFacts {
    /// The allocation.
    pub id: AllocationId,
    /// Whose it is.
    pub user_id: UserId,
    /// Where it stands.
    pub status: AllocationStatus,
    /// When the machine was handed out.
    pub allocated_at: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// The pool's cap in hours.
    pub max_duration_hours: u32,
    /// The present.
    pub now: Timestamp,
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

const ALLOCATION_ACTIONS: &[ActionSpec] = &[
    spec(
        "extend-allocation",
        "POST",
        "hangar.allocation.extend",
        "Extend",
        "Moves the end by a day, within the pool's cap.",
    ),
    spec(
        "release-allocation",
        "POST",
        "hangar.allocation.release",
        "Release",
        "Gives the machine back; what is on it is deleted.",
    ),
    spec("record-history", "GET", "hangar.allocation.read", "Record history", "Shows everything that happened to it."),
];

/// Every action of an allocation for `principal`.
pub fn allocation_actions(facts: &AllocationFacts, principal: &Principal) -> Vec<Action> {
    let holds = principal.is_admin() || principal.user_id == facts.user_id;
    let state = |fits: bool, wanted: &str| {
        if fits {
            Verdict::pass("allocation-state", format!("It is {}.", facts.status))
        } else {
            Verdict::blocked(
                "allocation-state",
                format!("It is {}; this needs {wanted}.", facts.status),
                "What is over is not begun again.",
                "Ask for a new service.",
                "Yes: nothing was changed.",
            )
        }
    };
    let runs = || match facts.expires_at {
        Some(end) if end <= facts.now => Verdict::blocked(
            "not-expired",
            format!("Its time was up at {}.", end.rfc3339()),
            "The end is strict: what has run out is released, not extended.",
            "Ask for a new service.",
            "No: the time stays up.",
        ),
        _ => Verdict::pass("not-expired", "Its time is not up."),
    };
    let cap = || match (facts.allocated_at, facts.expires_at) {
        (Some(from), Some(until)) if until.since(from) >= i64::from(facts.max_duration_hours) * HOUR => {
            Verdict::blocked(
                "duration-cap",
                format!("It already runs for the {} hours that the pool allows.", facts.max_duration_hours),
                "A machine is given for at most the pool's cap, so that others get their turn.",
                "Save your work, release it, and ask for a new service.",
                "No: the cap stays.",
            )
        }
        _ => Verdict::pass("duration-cap", format!("The pool allows {} hours in all.", facts.max_duration_hours)),
    };
    ALLOCATION_ACTIONS
        .iter()
        .map(|spec| {
            let (path, gates) = match spec.identity {
                "extend-allocation" => (
                    format!("/api/v1/allocations/{}/extend", facts.id),
                    vec![state(facts.status == AllocationStatus::Active, "an active one"), runs(), cap()],
                ),
                "release-allocation" => (
                    format!("/api/v1/allocations/{}/release", facts.id),
                    vec![state(facts.status.is_open(), "a waiting or active one")],
                ),
                _ => (format!("/api/v1/allocations/{}/history", facts.id), vec![]),
            };
            let mut verdicts = vec![Verdict::permission(spec, principal, holds)];
            verdicts.extend(gates);
            assemble(spec, path, verdicts)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> AllocationFacts {
        AllocationFacts {
            id: "alc_1".parse().unwrap(),
            user_id: "usr_1".parse().unwrap(),
            status: AllocationStatus::Active,
            allocated_at: Some(Timestamp::from_millis(0)),
            expires_at: Some(Timestamp::from_millis(24 * HOUR)),
            max_duration_hours: 720,
            now: Timestamp::from_millis(0),
        }
    }

    fn open(facts: &AllocationFacts, principal: &Principal) -> Vec<String> {
        allocation_actions(facts, principal).into_iter().filter(|a| a.enabled).map(|a| a.identity).collect()
    }

    #[test]
    fn gates() {
        let admin = Principal::admin_secret();
        assert_eq!(open(&facts(), &admin), ["extend-allocation", "release-allocation", "record-history"]);
        let full = AllocationFacts { expires_at: Some(Timestamp::from_millis(720 * HOUR)), ..facts() };
        assert_eq!(open(&full, &admin), ["release-allocation", "record-history"]);
        let late = AllocationFacts { now: Timestamp::from_millis(24 * HOUR), ..facts() };
        assert_eq!(open(&late, &admin), ["release-allocation", "record-history"]);
        let over = AllocationFacts { status: AllocationStatus::Released, ..facts() };
        assert_eq!(open(&over, &admin), ["record-history"]);
        let stranger = Principal {
            user_id: "usr_2".parse().unwrap(),
            role: crate::access::Role::User,
            ..Principal::admin_secret()
        };
        assert!(open(&facts(), &stranger).is_empty());
    }
}
