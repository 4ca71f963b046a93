//! Pools and their VMs.

use domain::{
    list::Listing,
    pool::{PoolView, PoolVmView},
};
use serde::{Deserialize, Serialize};

pub mod api;
mod form;

pub use form::PoolForm;

/// What a pool's page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolPage {
    /// The pool with its actions.
    pub pool: PoolView,
    /// One page of its VMs.
    pub vms: Listing<PoolVmView>,
}
