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

words! {
    /// How a part of a node stands.
    PartState {
        /// It runs, and its own check says that it does well.
        Healthy = "healthy",
        /// It runs, and has no check of its own.
        Up = "up",
        /// It runs, and its own check has not said anything yet.
        Starting = "starting",
        /// It runs, and its own check says that it does not do well.
        Unhealthy = "unhealthy",
        /// It is paused, started anew or taken away.
        Changing = "changing",
        /// It does not run.
        Stopped = "stopped",
    }
}

/// What a part of a node, such as a service of a stack, did and took at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PartUsage {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: PartState,
    /// What it took of a core, in thousandths; absent where that is not known, as of what is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u32>,
    /// The most it may take of a core, in thousandths; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_most_millis: Option<u32>,
    /// The memory it held, in bytes; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The most memory it may hold, in bytes; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_most_bytes: Option<u64>,
}

impl PartUsage {
    /// A part of which no more than this is known.
    pub fn new(name: &str, state: PartState) -> Self {
        Self {
            name: name.to_owned(),
            state,
            cpu_millis: None,
            cpu_most_millis: None,
            memory_bytes: None,
            memory_most_bytes: None,
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
    /// What its parts took then, where the vendor tells of parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usage: Vec<PartUsage>,
}
