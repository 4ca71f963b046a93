//! Health is separate from state: reason codes in a fixed order, each with one sentence of
//! guidance. The rule: the order of [`ReasonCode::ALL`] is the order in which they are shown.

use serde::{Deserialize, Serialize};

use crate::{state::words, time::Timestamp};

words! {
    /// Why a node is not healthy.
    ReasonCode {
        /// Its state is not ready.
        NodeNotReady = "node_not_ready",
        /// No address is known.
        NodeHostMissing = "node_host_missing",
        /// The SSH port is not one.
        SshPortInvalid = "ssh_port_invalid",
        /// No SSH user is known.
        SshUserMissing = "ssh_user_missing",
        /// It does not answer.
        NodeUnreachable = "node_unreachable",
        /// It shows another host key.
        HostKeyMismatch = "host_key_mismatch",
        /// The SSH user may not become root.
        SudoUnavailable = "sudo_unavailable",
        /// What the profile installs is not there.
        RuntimeMissing = "runtime_missing",
    }
}

impl ReasonCode {
    /// One sentence on what to do.
    pub fn guidance(self) -> &'static str {
        match self {
            Self::NodeNotReady => "Wait until its job has finished, or retry the node.",
            Self::NodeHostMissing => "Get the server's status, so that its address is fetched again.",
            Self::SshPortInvalid => "Correct the SSH port in the settings of the account.",
            Self::SshUserMissing => "Correct the SSH user in the settings of the account.",
            Self::NodeUnreachable => "Check that the server runs and that no firewall blocks it.",
            Self::HostKeyMismatch => "Treat the address as not yours: destroy the node and acquire a new one.",
            Self::SudoUnavailable => "Let the SSH user become root without a password, or choose another image.",
            Self::RuntimeMissing => "Retry the node, so that its profile runs again.",
        }
    }
}

/// What the last check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// Whether nothing speaks against handing the node out.
    pub ready: bool,
    /// What speaks against it, in the fixed order.
    pub reason_codes: Vec<ReasonCode>,
    /// When it was checked last.
    pub checked_at: Option<Timestamp>,
}
