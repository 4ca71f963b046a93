//! What an administrator sees first.

use serde::{Deserialize, Serialize};

use crate::{job::JobView, pool::PoolView, spending::AcquisitionView};

/// The administrator's overview.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// The four first steps.
    pub first_steps: FirstSteps,
    /// Jobs at work.
    pub jobs_running: u32,
    /// Jobs that wait for their turn.
    pub jobs_queued: u32,
    /// Nodes that are ready.
    pub nodes_ready: u32,
    /// Nodes that Hangar answers for.
    pub nodes_live: u32,
    /// What the nodes cost, and what keeps more from being acquired.
    pub acquisition: AcquisitionView,
    /// Differences between vendors and database.
    pub orphans: u32,
    /// The pools.
    pub pools: Vec<PoolView>,
    /// The newest jobs.
    pub recent_jobs: Vec<JobView>,
    /// What needs attention.
    pub attention: Vec<Attention>,
}

/// The four steps of a first run; each ticks itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstSteps {
    /// An account is connected through which nodes can be acquired.
    pub account: bool,
    /// A node was acquired.
    pub node: bool,
    /// A pool has a machine.
    pub pool: bool,
    /// Somebody was given a service.
    pub user: bool,
}

impl FirstSteps {
    /// Whether nothing is left to do.
    pub fn all_done(self) -> bool {
        self.account && self.node && self.pool && self.user
    }
}

/// Something that needs attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// What it is, in one line.
    pub text: String,
    /// What to do.
    pub next_step: String,
    /// The page where it is done.
    pub href: String,
}
