//! The life cycle of a node.
//!
//! ```text
//! requested → creating → starting → naming → provisioning → verifying → ready
//! ready → suspending → suspended → resuming → ready     ready → resuming (found powered off)
//! ready → upgrading → verifying        ready → rebuilding → provisioning
//! any working state → failed           any live state → destroying → destroyed
//! suspending | upgrading | rebuilding → ready, resuming → suspended (given up, nothing was changed)
//! failed → requested (afresh)          failed → provisioning | verifying | resuming | rebuilding
//!                                               (from that stage)
//! ```

use crate::state::{IllegalTransition, words};

words! {
    /// Where a node stands.
    NodeState {
        /// Written down; nothing was asked of the vendor yet.
        Requested = "requested",
        /// The server is being asked for.
        Creating = "creating",
        /// The vendor accepted; the server starts.
        Starting = "starting",
        /// Its DNS name is being made.
        Naming = "naming",
        /// Handed over to SSH; the profile runs.
        Provisioning = "provisioning",
        /// The readiness checks run.
        Verifying = "verifying",
        /// The last verification passed.
        Ready = "ready",
        /// Being stopped.
        Suspending = "suspending",
        /// Stopped; still billed.
        Suspended = "suspended",
        /// Being started again.
        Resuming = "resuming",
        /// Its type or image is being changed.
        Upgrading = "upgrading",
        /// Being laid anew.
        Rebuilding = "rebuilding",
        /// Being taken away.
        Destroying = "destroying",
        /// Gone; the row stays as a record.
        Destroyed = "destroyed",
        /// Given up, with stage and code.
        Failed = "failed",
    }
}

words! {
    /// Whether something Hangar made is still to be taken away.
    Cleanup {
        /// There is nothing to take away.
        None = "none",
        /// Something may be left; it is being tried again.
        Pending = "pending",
        /// What was left has been taken away.
        Done = "done",
    }
}

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeEvent {
    /// The create call is about to be made.
    CreateBegun,
    /// The vendor accepted the create.
    ServerAccepted,
    /// The vendor reports the server running.
    ServerRunning,
    /// Its names exist (or none were asked for): handed over to SSH.
    HandedOver,
    /// The profile has run (or there is none).
    Provisioned,
    /// The readiness checks passed.
    Verified,
    /// A suspend was asked for.
    SuspendBegun,
    /// It is stopped, or still is after an upgrade.
    Suspended,
    /// The suspend was given up; it still runs.
    SuspendUndone,
    /// A resume was asked for.
    ResumeBegun,
    /// It runs again.
    Resumed,
    /// The resume was given up; it is still stopped.
    ResumeUndone,
    /// An upgrade was asked for.
    UpgradeBegun,
    /// The upgrade is done.
    Upgraded,
    /// The upgrade was given up; it runs as before.
    UpgradeUndone,
    /// A rebuild was asked for.
    RebuildBegun,
    /// The rebuild is done.
    Rebuilt,
    /// The rebuild was given up before it was begun; it runs as before.
    RebuildUndone,
    /// A destroy was asked for.
    DestroyBegun,
    /// The vendor confirms that it is gone.
    DestroyConfirmed,
    /// The work on it was given up.
    Failed,
    /// A retry from the beginning.
    RetriedAfresh,
    /// A retry from the provisioning stage.
    RetriedFromProvisioning,
    /// A retry from the verification.
    RetriedFromVerifying,
    /// A retry of work on a server that may be stopped: it is started and verified.
    RetriedFromResuming,
    /// A retry of a rebuild.
    RetriedFromRebuilding,
    /// A retry of a stack's upgrade: it is brought back to the version that it had.
    RetriedFromUpgrading,
}

impl NodeEvent {
    /// Every event, for the matrix.
    pub const ALL: &[NodeEvent] = &[
        Self::CreateBegun,
        Self::ServerAccepted,
        Self::ServerRunning,
        Self::HandedOver,
        Self::Provisioned,
        Self::Verified,
        Self::SuspendBegun,
        Self::Suspended,
        Self::SuspendUndone,
        Self::ResumeBegun,
        Self::Resumed,
        Self::ResumeUndone,
        Self::UpgradeBegun,
        Self::Upgraded,
        Self::UpgradeUndone,
        Self::RebuildBegun,
        Self::Rebuilt,
        Self::RebuildUndone,
        Self::DestroyBegun,
        Self::DestroyConfirmed,
        Self::Failed,
        Self::RetriedAfresh,
        Self::RetriedFromProvisioning,
        Self::RetriedFromVerifying,
        Self::RetriedFromResuming,
        Self::RetriedFromRebuilding,
        Self::RetriedFromUpgrading,
    ];
}

impl NodeState {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalTransition`] if the event does not happen in this state.
    pub fn apply(self, event: NodeEvent) -> Result<Self, IllegalTransition> {
        use {NodeEvent as E, NodeState as S};
        Ok(match (self, event) {
            (S::Requested, E::CreateBegun) => S::Creating,
            (S::Creating, E::ServerAccepted) => S::Starting,
            (S::Starting, E::ServerRunning) => S::Naming,
            (S::Naming, E::HandedOver) => S::Provisioning,
            (S::Provisioning, E::Provisioned) => S::Verifying,
            (S::Verifying, E::Verified) => S::Ready,
            (S::Ready, E::SuspendBegun) => S::Suspending,
            (S::Suspending, E::Suspended) => S::Suspended,
            (S::Suspending, E::SuspendUndone) => S::Ready,
            // From ready when the vendor says that it is off; the gates of the action look at that.
            (S::Suspended | S::Ready, E::ResumeBegun) => S::Resuming,
            (S::Resuming, E::Resumed) => S::Ready,
            (S::Resuming, E::ResumeUndone) => S::Suspended,
            // A stack that is suspended stays so; the gates of the action look at that.
            (S::Ready | S::Suspended, E::UpgradeBegun) => S::Upgrading,
            (S::Upgrading, E::Suspended) => S::Suspended,
            (S::Upgrading, E::Upgraded) => S::Verifying,
            (S::Upgrading, E::UpgradeUndone) => S::Ready,
            (S::Ready, E::RebuildBegun) => S::Rebuilding,
            (S::Rebuilding, E::Rebuilt) => S::Provisioning,
            (S::Rebuilding, E::RebuildUndone) => S::Ready,
            (s, E::DestroyBegun) if !matches!(s, S::Destroying | S::Destroyed) => S::Destroying,
            (S::Destroying, E::DestroyConfirmed) => S::Destroyed,
            (s, E::Failed) if s.is_working() => S::Failed,
            (S::Failed, E::RetriedAfresh) => S::Requested,
            (S::Failed, E::RetriedFromProvisioning) => S::Provisioning,
            (S::Failed, E::RetriedFromVerifying) => S::Verifying,
            (S::Failed, E::RetriedFromResuming) => S::Resuming,
            (S::Failed, E::RetriedFromRebuilding) => S::Rebuilding,
            (S::Failed, E::RetriedFromUpgrading) => S::Upgrading,
            (state, event) => return Err(IllegalTransition::new(state.as_str(), &format!("{event:?}"))),
        })
    }

    /// Whether a job is expected to be at work on it.
    pub fn is_working(self) -> bool {
        use NodeState as S;
        matches!(
            self,
            S::Requested
                | S::Creating
                | S::Starting
                | S::Naming
                | S::Provisioning
                | S::Verifying
                | S::Suspending
                | S::Resuming
                | S::Upgrading
                | S::Rebuilding
                | S::Destroying
        )
    }

    /// Whether a failure here leaves the server in place (the hand-over to SSH has happened).
    pub fn is_after_hand_over(self) -> bool {
        matches!(self, Self::Provisioning | Self::Verifying)
    }

    /// Whether Hangar still answers for something at the vendor.
    pub fn is_live(self) -> bool {
        self != Self::Destroyed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole matrix, so that a change of one arrow is seen.
    #[test]
    fn matrix() {
        let mut text = String::new();
        for state in NodeState::ALL {
            for event in NodeEvent::ALL {
                if let Ok(next) = state.apply(*event) {
                    text.push_str(&format!("{state} --{event:?}--> {next}\n"));
                }
            }
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn every_working_state_can_fail_and_every_live_state_can_be_destroyed() {
        for state in NodeState::ALL {
            assert_eq!(state.apply(NodeEvent::Failed).is_ok(), state.is_working(), "{state}");
            let destroyable = !matches!(state, NodeState::Destroying | NodeState::Destroyed);
            assert_eq!(state.apply(NodeEvent::DestroyBegun).is_ok(), destroyable, "{state}");
        }
    }
}
