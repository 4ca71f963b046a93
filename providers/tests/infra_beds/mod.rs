//! What the contract of infra providers is tried on: a bed is one implementation with a vendor of its
//! own behind it. Rule: a bed acts on the vendor only as somebody else would, by hand.
//!
//! A new implementation is one file here and one line at the end of `infra_contract.rs`.

pub mod compose;
pub mod hetzner;

use std::{any::Any, sync::Arc};

use domain::node::ReasonCode;
use providers::{Account, HealthTarget, Machine, MachineTarget, ProvisionWish, UpgradeWish, async_trait};

/// An implementation with a vendor of its own.
#[async_trait]
pub trait InfraBed: Send + Sync + Sized {
    /// What speaks against a machine of which the vendor says nothing, and which is not asked itself.
    const HEALTH_WITHOUT_VENDOR: &[ReasonCode] = &[ReasonCode::NodeUnreachable];

    /// Whether it can run on this machine, or has to.
    fn is_here() -> bool {
        true
    }

    /// A vendor at which nothing is ours yet.
    async fn start() -> Self;

    /// An account at the vendor, opened by an installation.
    fn account(&self, instance: &str) -> Arc<dyn Account>;

    /// An account at a place where no vendor is.
    fn account_at_nobody(&self) -> Arc<dyn Account>;

    /// The machine that is wanted.
    fn wish(&self) -> ProvisionWish;

    /// What a machine shall become, as it is made by `wish`.
    fn upgrade(&self) -> UpgradeWish;

    /// The machines of ours as the vendor has them, by its own tools.
    async fn machines(&self) -> Vec<Seen>;

    /// Everything at the vendor, by its own tools, that has to be gone when every machine is.
    async fn things(&self) -> Vec<String>;

    /// Somebody else makes a machine of this name.
    async fn put_foreign(&self, server_name: &str);

    /// The machine was another installation's all along.
    async fn make_foreign(&self, machine: &Machine);

    /// Somebody takes the machine away by hand.
    async fn remove(&self, machine: &Machine);

    /// Somebody stops the machine by hand.
    async fn stop(&self, machine: &Machine);

    /// A machine that commands can be run on, with what keeps it; `None` where none can be had,
    /// which has to be allowed.
    async fn reachable(&self) -> Option<Reachable>;
}

/// A machine of ours at the vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub infra_id: String,
    pub node_id: String,
    pub running: bool,
    /// What an upgrade changes of it.
    pub is: String,
}

/// A machine that commands can be run on.
pub struct Reachable {
    pub account: Arc<dyn Account>,
    pub target: HealthTarget,
    pub service: Option<String>,
    /// Whether what a command wrote is told again to who asks later.
    pub keeps_output: bool,
    pub _keep: Box<dyn Any + Send>,
}

/// What something is to be done with.
pub fn target_of(wish: &ProvisionWish, infra_id: Option<&str>) -> MachineTarget {
    MachineTarget {
        infra_id: infra_id.map(str::to_owned),
        server_name: wish.server_name.clone(),
        node_id: wish.node_id.clone(),
    }
}
