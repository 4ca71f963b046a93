//! Nodes: machines that Hangar acquired and owns. `state` is the life cycle, `health` the reason
//! codes, `actions` the gates, `view` the shapes of the API and the pages, `wish` the checks of what
//! is wanted.

mod actions;
mod health;
mod state;
mod view;
mod wish;

pub use actions::{Afresh, NODE_ACTIONS, NodeFacts, node_actions, node_identity};
pub use health::{Health, PartState, PartUsage, ReasonCode};
pub use state::{Cleanup, NodeEvent, NodeState};
pub use view::{
    AcquireOptions, DnsWish, Drift, Fallback, Freshness, JobRef, NodeAccepted, NodeCreate, NodeDestroy, NodeExec,
    NodeUpgrade, NodeView,
};
pub use view::{GONE, RUNNING_AGAIN, SERVICES};
