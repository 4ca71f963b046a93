//! What Hangar decides. One file a noun; every change writes intent, audit and job in one
//! transaction. The rule: no vendor is called from inside a transaction, and only the short,
//! bounded reads (credential check, catalogue, status) call one at all; everything else is a job.

mod accounts;
mod acquisition;
mod allocations;
mod audit;
mod backups;
mod blueprints;
mod breaker;
mod changes;
mod dns;
mod idempotency;
mod jobs;
mod lease;
mod nodes;
mod observe;
mod orphans;
mod overview;
mod people;
mod pool_fill;
mod pool_refresh;
mod pools;
mod probe;
mod profiles;
mod providers;
pub mod provisioner;
mod release;
mod rotation;
mod spending;
mod templates;
mod views;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use ::providers::Registry;
use domain::{
    access::Principal,
    code::Code,
    id::{JobId, ProviderId, UserId},
    time::{HOUR, MINUTE, Millis, SECOND},
    valid::ZoneName,
};
use futures::future::BoxFuture;
use store::{Conn, EventRow, Store, StoreError};
use tokio::sync::broadcast;

pub(crate) use accounts::OpenAccount;
pub(crate) use acquisition::{
    Again, Cleaned, Undone, backup_owed, node_destroyed_in, node_event_in, node_failed_in, node_found_in, node_fqdn_in,
    node_made_in, node_not_destroyed_in, node_price_in, node_profile_in, node_ready_in, node_undone_in, vm_noted_in,
};
pub(crate) use audit::event;
pub use backups::{BackupContent, BackupFile, BackupFiles};
pub(crate) use backups::{UNFINISHED, backup_made_in, is_plain_file_name};
pub(crate) use blueprints::{node_port_in, node_rolled_back_in, node_tag_in};
pub(crate) use changes::Told;
pub(crate) use dns::{
    Marked, NameAs, SweptRecord, content_of, dns_adopted_in, dns_begun_in, dns_failed_in, dns_gone_in, dns_left_in,
    dns_made_in, dns_orphan_judged_in, dns_pending_in, dns_stands_in, names_begun_in, names_dropped_in,
    names_given_up_in, names_of_node_in, target_of,
};
pub use idempotency::Idempotent;
pub use lease::NodeJobState;
pub(crate) use lease::{Checkpoint, Lease, LeaseError, ProfileRun, Undo};
pub use lease::{DnsWork, NewType, Verb};
pub(crate) use nodes::{
    Wanted, masked, node_health_in, node_place_lock_in, node_price_kept_in, node_rebuilt_in, node_stopped_in,
    node_type_in, node_upgraded_in,
};
pub(crate) use observe::OBSERVED_AT_ONCE;
pub(crate) use orphans::{Judged, OrphanSweepState, SweepItem, is_elsewhere, orphan_judged_in, orphan_swept_in};
pub use people::ForgePerson;
pub use pool_fill::Filled;
pub use pool_refresh::DryRun;
pub(crate) use probe::{HEALTH_WITHIN, Power, Verified};
pub(crate) use provisioner::HookCleaned;
pub use release::ReleaseJobState;
pub(crate) use release::node_settled_in;
pub use rotation::seal_anew;
pub(crate) use spending::Held;

use crate::{clock::Clock, fault::Fault, request_scope, seal::Keyring};

/// For how long a failed sign-in counts: the longest limit looks back so far, and the tidying keeps
/// them until then.
pub const SIGN_IN_FAILURES_COUNT: Millis = 24 * HOUR;

/// The outcome of an action.
#[derive(Debug, Clone)]
pub enum Acted {
    /// It goes on as a job.
    Accepted {
        /// The job.
        job_id: JobId,
    },
    /// It is done, with this to say.
    Done(serde_json::Value),
}

/// Who may ask for services at once after signing in by Forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signup {
    /// Everybody.
    Open,
    /// Whom an administrator approved.
    Closed,
}

/// What the pages need to know of a running demo.
#[derive(Debug, Clone)]
pub struct DemoFacts {
    /// What reaches the simulated vendors.
    pub hints: Vec<domain::provider::DemoHint>,
    /// A cockpit URL template that fits the simulated servers.
    pub cockpit_url: String,
    /// Why SSH verification is off, if it is.
    pub ssh_off: Option<String>,
}

/// How this installation is set up, as far as decisions depend on it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The provider kind preselected for new nodes.
    pub preselected_kind: String,
    /// Forge logins who are administrators.
    pub admin_forge_users: Vec<String>,
    /// Who may ask for services at once.
    pub signup: Signup,
    /// Where the release hook goes.
    pub deployer_url: Option<url::Url>,
    /// Whether the demo provisioner is registered.
    pub provisioner_demo: bool,
    /// Whether one can sign in by Forge.
    pub forge_configured: bool,
    /// Whether one can sign in by the admin secret.
    pub secret_login: bool,
    /// The running demo.
    pub demo: Option<DemoFacts>,
    /// Where private files are kept.
    pub data_dir: std::path::PathBuf,
    /// Where backups of nodes are kept.
    pub backup_dir: std::path::PathBuf,
    /// An absolute folder of this process's own for what is handed to vendors' tools.
    pub work_dir: std::path::PathBuf,
    /// Times and bounds of the work at vendors.
    pub work: WorkSettings,
}

/// Times and bounds of the work at vendors.
#[derive(Debug, Clone)]
pub struct WorkSettings {
    /// Attempts before a job is given up.
    pub max_attempts: u32,
    /// The waits between attempts.
    pub back_off: Vec<Millis>,
    /// For how long after a lost answer a create may still come true at the vendor.
    pub late_create_grace: Millis,
    /// The deadline of a whole acquisition.
    pub provision_deadline: Millis,
    /// The deadline for SSH to answer and the checks to pass.
    pub verify_deadline: Duration,
    /// For how long the authoritative name servers are waited for to answer with a new name.
    pub name_deadline: Duration,
    /// For how long a server is asked to shut down before it is switched off.
    pub shutdown_grace: Duration,
    /// How often accounts are checked in the background.
    pub check_every: Millis,
    /// How often an account's machines are compared with what is recorded.
    pub observe_every: Millis,
    /// For how long an orphan must have been seen before a sweep may take it away.
    pub orphan_grace: Millis,
    /// For how long a worker holds a job without a sign of life.
    pub lease: Millis,
    /// Jobs at work at once in this process.
    pub concurrency: usize,
}

impl Default for WorkSettings {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            back_off: vec![5 * SECOND, 30 * SECOND, 120 * SECOND],
            late_create_grace: MINUTE,
            provision_deadline: 30 * MINUTE,
            verify_deadline: Duration::from_secs(600),
            name_deadline: Duration::from_secs(120),
            shutdown_grace: Duration::from_secs(60),
            check_every: 5 * MINUTE,
            observe_every: MINUTE,
            orphan_grace: 30 * MINUTE,
            lease: 15 * SECOND,
            concurrency: 256,
        }
    }
}

/// Every decision of Hangar, over one store.
pub struct Services {
    store: Store,
    clock: Clock,
    registry: Registry,
    keyring: Keyring,
    settings: Settings,
    instance: String,
    accounts: accounts::Accounts,
    /// Why Hangar cannot log in anywhere, if it cannot; looked for once, at the start.
    ssh_missing: Option<String>,
    provisioner: Arc<dyn provisioner::Provisioner>,
    live: broadcast::Sender<EventRow>,
    cancellations: broadcast::Sender<JobId>,
    /// The zone of each account that was looked at last: the next round goes on after it.
    zones_looked: Mutex<HashMap<ProviderId, ZoneName>>,
}

impl Services {
    /// Puts the services together over a migrated store, with every kind of account there is.
    ///
    /// # Errors
    /// [`Fault`] if the store cannot be used or `VM_POOL_JSON` is not acceptable.
    pub async fn start(
        store: Store,
        clock: Clock,
        keyring: Keyring,
        settings: Settings,
        vm_pool_json: Option<&str>,
    ) -> Result<Arc<Self>, Fault> {
        Self::start_with(Registry::standard(), store, clock, keyring, settings, vm_pool_json).await
    }

    /// The same with the kinds of account of `registry`.
    ///
    /// # Errors
    /// As [`Services::start`].
    pub async fn start_with(
        registry: Registry,
        store: Store,
        clock: Clock,
        keyring: Keyring,
        settings: Settings,
        vm_pool_json: Option<&str>,
    ) -> Result<Arc<Self>, Fault> {
        let fresh = UserId::fresh_tail();
        let instance = store
            .write::<String, Fault, _>(move |c| {
                let fresh = fresh.clone();
                Box::pin(async move { Ok(c.setting_put_new("instance", &fresh).await?) })
            })
            .await?;
        let provisioner: Arc<dyn provisioner::Provisioner> =
            Arc::new(provisioner::PoolAssignmentProvisioner::new(settings.provisioner_demo));
        let ssh_missing = tokio::task::spawn_blocking(::providers::ssh::ssh_available)
            .await
            .unwrap_or_else(|_| Err("the ssh command could not be tried".to_owned()))
            .err();
        let services = Arc::new(Self {
            store,
            clock,
            registry,
            keyring,
            settings,
            instance,
            accounts: accounts::Accounts::default(),
            ssh_missing,
            provisioner,
            live: broadcast::channel(1024).0,
            cancellations: broadcast::channel(256).0,
            zones_looked: Mutex::default(),
        });
        services.managed_key().await?;
        services.policy_ensure().await?;
        services.pool_seed(vm_pool_json).await?;
        Ok(services)
    }

    /// The store beneath.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Carries out `function` in one transaction, as [`Store::write`] does. What it writes down
    /// belongs to the request that is being answered, though another task does the writing.
    pub(crate) async fn write<T, E, F>(&self, function: F) -> Result<T, E>
    where
        F: for<'a> Fn(&'a mut Conn) -> BoxFuture<'a, Result<T, E>> + Send + Sync + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match request_scope::current() {
            None => self.store.write::<T, E, F>(function).await,
            Some(id) => {
                self.store.write::<T, E, _>(move |c| Box::pin(request_scope::scope(id.clone(), function(c)))).await
            }
        }
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A mark of `what` that only this installation's keyring makes: it tells whether two are the same
    /// and nothing else, so that it may stand in the database.
    pub fn mark(&self, what: &[u8]) -> String {
        self.keyring.mark(what)
    }

    /// How this installation is set up.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// This installation's id, as it stands in labels at vendors.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// New events as they are committed.
    pub fn live(&self) -> broadcast::Receiver<EventRow> {
        self.live.subscribe()
    }

    /// Jobs that somebody in this process asked to stop.
    pub(crate) fn cancellations(&self) -> broadcast::Receiver<JobId> {
        self.cancellations.subscribe()
    }

    /// Events after `seq`, for a listener that comes back.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub async fn events_after(&self, seq: i64) -> Result<Vec<EventRow>, Fault> {
        Ok(self.store.read().await?.events_after(seq, 500).await?)
    }

    /// Reads new events and hands them to every listener, until the store is closed. One such pump
    /// runs per process; it also hears of what other processes commit.
    pub async fn pump_events(self: Arc<Self>) {
        let mut wakeups = self.store.wakeups();
        let mut last = match self.store.read().await {
            Ok(mut c) => c.events_last_seq().await.unwrap_or(0),
            Err(_) => 0,
        };
        while wakeups.changed().await.is_ok() {
            // Their numbers become visible in order, whoever writes: what comes after the last one
            // seen is all there is to read. A read that fails is made up for at the next wake-up.
            while let Ok(rows) = self.events_after(last).await {
                let Some(newest) = rows.last() else { break };
                last = newest.seq;
                for row in rows {
                    let _ = self.live.send(row);
                }
            }
        }
    }
}

/// The first check of every administrative service: the caller is an administrator.
fn need_admin(who: &Principal) -> Result<(), Fault> {
    if who.is_admin() { Ok(()) } else { Err(Fault::new(Code::Forbidden, "Only administrators may do this.")) }
}

/// Fresh random tails for names that are not ids of rows.
trait FreshTail {
    fn fresh_tail() -> String;
}

impl FreshTail for UserId {
    fn fresh_tail() -> String {
        let id = <UserId as store::FreshId>::fresh();
        id.short().to_owned()
    }
}
