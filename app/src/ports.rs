//! What the pages ask of the server: one trait per noun, implemented by the server's backend and
//! given to leptos as the context [`Ports`]. The rule: every method takes who asks, answers with a
//! shape of `domain`, and fails with a problem as the API answers it.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use domain::{
    access::Principal,
    allocation::{AllocationCreate, AllocationExtend, AllocationView},
    audit::AuditEntry,
    blueprint::{BackupView, BlueprintDefinition, BlueprintView},
    dns::{DnsAccount, DnsRecordAccepted, DnsRecordCreate, DnsRecordPage, DnsRecordView},
    id::{AllocationId, BackupId, DnsRecordId, JobId, NodeId, ProviderId, UserId},
    job::JobView,
    list::{Filter, Listing, Problem},
    node::{AcquireOptions, NodeAccepted, NodeCreate, NodeDestroy, NodeExec, NodeUpgrade, NodeView},
    orphan::{OrphanReport, OrphanSweep},
    overview::Overview,
    pool::{PoolCreate, PoolPatch, PoolView, PoolVmPatch, PoolVmView},
    profile::{ProfileDefinition, ProfileView},
    provider::{ProviderView, ProvidersPage},
    spending::{AcquisitionPolicy, AcquisitionView},
    user::{AccountPage, Dashboard, Frame, ServicePage, UserPatch, UserView},
    valid::{BlueprintName, PoolName, PoolVmId, ProfileName},
};

use crate::{nodes::NodePage, pools::PoolPage, ui::ActedView};

/// What a port answers.
pub type Answer<T> = Result<T, Problem>;

/// All ports. Cheap to clone; the server provides it as context of every page and server function.
#[derive(Clone)]
pub struct Ports {
    /// Who one is, and what the installation offers.
    pub session: Arc<dyn SessionPort>,
    /// One's own account.
    pub account: Arc<dyn AccountPort>,
    /// The administrator's overview.
    pub overview: Arc<dyn OverviewPort>,
    /// One's own services.
    pub services: Arc<dyn ServicesPort>,
    /// Provider accounts.
    pub providers: Arc<dyn ProvidersPort>,
    /// Nodes.
    pub nodes: Arc<dyn NodesPort>,
    /// DNS records.
    pub dns: Arc<dyn DnsPort>,
    /// Pools and their VMs.
    pub pools: Arc<dyn PoolsPort>,
    /// Allocations of everybody.
    pub allocations: Arc<dyn AllocationsPort>,
    /// People.
    pub users: Arc<dyn UsersPort>,
    /// Jobs.
    pub jobs: Arc<dyn JobsPort>,
    /// Blueprints of stacks.
    pub blueprints: Arc<dyn BlueprintsPort>,
    /// Backups of nodes that are destroyed.
    pub backups: Arc<dyn BackupsPort>,
    /// Profiles of nodes.
    pub profiles: Arc<dyn ProfilesPort>,
    /// Differences between vendors and database.
    pub orphans: Arc<dyn OrphansPort>,
    /// What administrators set for the whole installation.
    pub settings: Arc<dyn SettingsPort>,
    /// The audit trail.
    pub audit: Arc<dyn AuditPort>,
}

/// Who one is, and what the installation offers.
#[async_trait]
pub trait SessionPort: Send + Sync {
    /// What every page's frame shows.
    async fn frame(&self, caller: Option<&Principal>) -> Answer<Frame>;
}

/// One's own account.
#[async_trait]
pub trait AccountPort: Send + Sync {
    /// The person and their ways in.
    async fn show(&self, who: &Principal) -> Answer<AccountPage>;
}

/// The administrator's overview.
#[async_trait]
pub trait OverviewPort: Send + Sync {
    /// What an administrator sees first.
    async fn show(&self, who: &Principal) -> Answer<Overview>;
}

/// One's own services.
#[async_trait]
pub trait ServicesPort: Send + Sync {
    /// The dashboard.
    async fn dashboard(&self, who: &Principal) -> Answer<Dashboard>;
    /// One service.
    async fn show(&self, who: &Principal, id: AllocationId) -> Answer<ServicePage>;
    /// Asks for a service for oneself.
    async fn request(&self, who: &Principal, wish: AllocationCreate) -> Answer<AllocationView>;
    /// Gives a service back.
    async fn release(&self, who: &Principal, id: AllocationId) -> Answer<AllocationView>;
    /// Asks for more time.
    async fn extend(&self, who: &Principal, id: AllocationId, wish: AllocationExtend) -> Answer<AllocationView>;
}

/// Provider accounts.
#[async_trait]
pub trait ProvidersPort: Send + Sync {
    /// The accounts and the kinds.
    async fn list(&self, who: &Principal) -> Answer<ProvidersPage>;
    /// One account.
    async fn show(&self, who: &Principal, id: ProviderId) -> Answer<ProviderView>;
    /// Connects an account. The values are the form's texts; numbers are read as the schema says.
    async fn connect(
        &self,
        who: &Principal,
        kind: String,
        name: String,
        settings: BTreeMap<String, String>,
        secret: BTreeMap<String, String>,
    ) -> Answer<ProviderView>;
    /// Replaces the secret, unless the vendor refuses the new one.
    async fn replace_secret(
        &self,
        who: &Principal,
        id: ProviderId,
        secret: BTreeMap<String, String>,
    ) -> Answer<ProviderView>;
    /// Carries out an action by its identity.
    async fn act(&self, who: &Principal, id: ProviderId, identity: String) -> Answer<ActedView>;
}

/// Nodes.
#[async_trait]
pub trait NodesPort: Send + Sync {
    /// One page of the nodes.
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<NodeView>>;
    /// A node with its jobs and history.
    async fn show(&self, who: &Principal, id: NodeId) -> Answer<NodePage>;
    /// What the acquire form offers, for this account or the first connected one.
    async fn acquire_options(&self, who: &Principal, provider: Option<ProviderId>) -> Answer<AcquireOptions>;
    /// Acquires a node.
    async fn acquire(&self, who: &Principal, wish: NodeCreate) -> Answer<NodeAccepted>;
    /// Carries out an action by its identity.
    async fn act(&self, who: &Principal, id: NodeId, identity: String) -> Answer<ActedView>;
    /// Destroys it, with a backup first or without one.
    async fn destroy(&self, who: &Principal, id: NodeId, wish: NodeDestroy) -> Answer<ActedView>;
    /// Changes type, image or tag.
    async fn upgrade(&self, who: &Principal, id: NodeId, wish: NodeUpgrade) -> Answer<ActedView>;
    /// Runs a command.
    async fn exec(&self, who: &Principal, id: NodeId, wish: NodeExec) -> Answer<ActedView>;
}

/// DNS records.
#[async_trait]
pub trait DnsPort: Send + Sync {
    /// One page of the records.
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<DnsRecordView>>;
    /// A record with its jobs and history.
    async fn show(&self, who: &Principal, id: DnsRecordId) -> Answer<DnsRecordPage>;
    /// Makes a record.
    async fn create(&self, who: &Principal, wish: DnsRecordCreate) -> Answer<DnsRecordAccepted>;
    /// Carries out an action by its identity.
    async fn act(&self, who: &Principal, id: DnsRecordId, identity: String) -> Answer<ActedView>;
    /// The accounts that hold zones, with those; of this one alone, if it is named.
    async fn zones(&self, who: &Principal, provider: Option<ProviderId>) -> Answer<Vec<DnsAccount>>;
}

/// Pools and their VMs.
#[async_trait]
pub trait PoolsPort: Send + Sync {
    /// One page of the pools.
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<PoolView>>;
    /// A pool and one page of its VMs.
    async fn show(&self, who: &Principal, name: PoolName, filter: Filter) -> Answer<PoolPage>;
    /// Makes a pool.
    async fn create(&self, who: &Principal, wish: PoolCreate) -> Answer<PoolView>;
    /// Changes a pool; what is absent stays.
    async fn update(&self, who: &Principal, name: PoolName, wish: PoolPatch) -> Answer<PoolView>;
    /// Carries out an action by its identity.
    async fn act(&self, who: &Principal, name: PoolName, identity: String) -> Answer<ActedView>;
    /// Sets the status of a pool VM.
    async fn vm_status(&self, who: &Principal, pool: PoolName, vm: PoolVmId, wish: PoolVmPatch) -> Answer<PoolVmView>;
}

/// Allocations of everybody.
#[async_trait]
pub trait AllocationsPort: Send + Sync {
    /// One page of the allocations.
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<AllocationView>>;
    /// Carries out an action by its identity.
    async fn act(&self, who: &Principal, id: AllocationId, identity: String) -> Answer<ActedView>;
}

/// People.
#[async_trait]
pub trait UsersPort: Send + Sync {
    /// One page of the people.
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<UserView>>;
    /// Changes a person.
    async fn update(&self, who: &Principal, id: UserId, wish: UserPatch) -> Answer<UserView>;
}

/// Jobs.
#[async_trait]
pub trait JobsPort: Send + Sync {
    /// One page of the jobs.
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<JobView>>;
    /// One job with its steps.
    async fn show(&self, who: &Principal, id: JobId) -> Answer<JobView>;
    /// Carries out an action by its identity.
    async fn act(&self, who: &Principal, id: JobId, identity: String) -> Answer<ActedView>;
}

/// Blueprints of stacks.
#[async_trait]
pub trait BlueprintsPort: Send + Sync {
    /// Every blueprint in its newest version.
    async fn list(&self, who: &Principal) -> Answer<Vec<BlueprintView>>;
    /// One blueprint with its versions; in the newest version unless one is named.
    async fn show(&self, who: &Principal, name: BlueprintName, version: Option<u32>) -> Answer<BlueprintView>;
    /// Stores a new version, or a new blueprint.
    async fn save(&self, who: &Principal, name: BlueprintName, wish: BlueprintDefinition) -> Answer<BlueprintView>;
    /// Retires a blueprint.
    async fn retire(&self, who: &Principal, name: BlueprintName) -> Answer<()>;
}

/// Backups of nodes that are destroyed.
#[async_trait]
pub trait BackupsPort: Send + Sync {
    /// One page of the backups.
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<BackupView>>;
    /// Deletes a backup; with `missing` also where its files are not on the machine that is asked.
    async fn delete(&self, who: &Principal, id: BackupId, missing: bool) -> Answer<()>;
}

/// Profiles of nodes.
#[async_trait]
pub trait ProfilesPort: Send + Sync {
    /// Every profile in its newest version.
    async fn list(&self, who: &Principal) -> Answer<Vec<ProfileView>>;
    /// One profile with its versions; in the newest version unless one is named.
    async fn show(&self, who: &Principal, name: ProfileName, version: Option<u32>) -> Answer<ProfileView>;
    /// Stores a new version, or a new profile.
    async fn save(&self, who: &Principal, name: ProfileName, wish: ProfileDefinition) -> Answer<ProfileView>;
}

/// Differences between vendors and database.
#[async_trait]
pub trait OrphansPort: Send + Sync {
    /// What is known now.
    async fn report(&self, who: &Principal) -> Answer<OrphanReport>;
    /// What a sweep would take away.
    async fn sweep_dry(&self, who: &Principal) -> Answer<OrphanSweep>;
    /// Takes away what is due.
    async fn sweep(&self, who: &Principal) -> Answer<OrphanSweep>;
}

/// What administrators set for the whole installation.
#[async_trait]
pub trait SettingsPort: Send + Sync {
    /// The rules for acquiring, and what is spent.
    async fn acquisition(&self, who: &Principal) -> Answer<AcquisitionView>;
    /// Sets the rules for acquiring.
    async fn acquisition_set(&self, who: &Principal, wish: AcquisitionPolicy) -> Answer<AcquisitionView>;
}

/// The audit trail.
#[async_trait]
pub trait AuditPort: Send + Sync {
    /// One page of the trail.
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<AuditEntry>>;
}
