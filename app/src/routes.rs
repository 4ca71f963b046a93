//! Every path and every test id. The rule: no page, link or browser test writes one of these out
//! by hand.

use domain::{
    id::{AllocationId, BackupId, DnsRecordId, JobId, NodeId, ProviderId},
    valid::{BlueprintName, PoolName, ProfileName},
};

/// The first page: the overview for administrators; others are sent to their dashboard.
pub const HOME: &str = "/";
/// The sign-in page.
pub const LOGIN: &str = "/login";
/// One's own services.
pub const DASHBOARD: &str = "/dashboard";
/// One's own account.
pub const ACCOUNT: &str = "/account";
/// Provider accounts.
pub const PROVIDERS: &str = "/providers";
/// Nodes.
pub const NODES: &str = "/nodes";
/// The form that acquires a node; a page of its own, so that its catalogue is read only when it is
/// asked for.
pub const ACQUIRE: &str = "/nodes?acquire=new";
/// DNS records.
pub const DNS: &str = "/dns";
/// The form that makes a DNS record; a page of its own, so that zones are read only when they are
/// asked for.
pub const DNS_CREATE: &str = "/dns?create=new";
/// Pools.
pub const POOLS: &str = "/pools";
/// Allocations of everybody.
pub const ALLOCATIONS: &str = "/allocations";
/// People.
pub const USERS: &str = "/users";
/// Jobs.
pub const JOBS: &str = "/jobs";
/// The audit trail.
pub const AUDIT: &str = "/audit";
/// What administrators set for the whole installation.
pub const SETTINGS: &str = "/settings";
/// Profiles of nodes.
pub const PROFILES: &str = "/profiles";
/// Blueprints of stacks.
pub const BLUEPRINTS: &str = "/blueprints";
/// Backups of nodes that are destroyed.
pub const BACKUPS: &str = "/backups";
/// Differences between vendors and database.
pub const ORPHANS: &str = "/orphans";
/// The same with what a sweep would take away.
pub const ORPHANS_DRY: &str = "/orphans?dry=run";
/// Where the sign-in by Forge begins.
pub const FORGE_START: &str = "/auth/forge/start";
/// Where the secret form goes.
pub const SECRET_LOGIN: &str = "/auth/secret";
/// Where the sign-out form goes.
pub const LOGOUT: &str = "/auth/logout";

/// The page of a service.
pub fn service(id: &AllocationId) -> String {
    format!("/services/{id}")
}

/// The page of an account.
pub fn provider(id: &ProviderId) -> String {
    format!("{PROVIDERS}/{id}")
}

/// The page of a node.
pub fn node(id: &NodeId) -> String {
    format!("{NODES}/{id}")
}

/// The page of a DNS record.
pub fn dns_record(id: &DnsRecordId) -> String {
    format!("{DNS}/{id}")
}

/// The form that makes a DNS record in a zone of this account.
pub fn dns_create_in(id: &ProviderId) -> String {
    format!("{DNS_CREATE}&account={id}")
}

/// The DNS records through this account.
pub fn dns_through(id: &ProviderId) -> String {
    format!("{DNS}?provider={id}")
}

/// The DNS records of this whole name.
pub fn dns_named(fqdn: &str) -> String {
    let plain: String = fqdn.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')).collect();
    format!("{DNS}?q={plain}")
}

/// The form that acquires a node through this account.
pub fn acquire_through(id: &ProviderId) -> String {
    format!("{ACQUIRE}&account={id}")
}

/// The same with the fields of a blueprint.
pub fn acquire_of(id: &ProviderId, blueprint: &str) -> String {
    format!("{ACQUIRE}&account={id}&blueprint={blueprint}")
}

/// The backups of a node.
pub fn backups_of(id: &NodeId) -> String {
    format!("{BACKUPS}?subject={id}")
}

/// The page of a node with the form that upgrades it.
pub fn upgrade(id: &NodeId) -> String {
    format!("{NODES}/{id}?do=upgrade#upgrade")
}

/// The page of a profile.
pub fn profile(name: &ProfileName) -> String {
    format!("{PROFILES}/{name}")
}

/// The page of a blueprint.
pub fn blueprint(name: &BlueprintName) -> String {
    format!("{BLUEPRINTS}/{name}")
}

/// Where a backup is downloaded from.
pub fn backup_download(id: &BackupId) -> String {
    format!("/api/v1/backups/{id}/download")
}

/// The page of a pool with the form that changes its template.
pub fn pool_template(name: &PoolName) -> String {
    format!("{POOLS}/{name}?do=template#template")
}

/// The same with what this account offers.
pub fn pool_template_through(name: &PoolName, id: &ProviderId) -> String {
    format!("{POOLS}/{name}?do=template&account={id}#template")
}

/// The same with the fields of a blueprint.
pub fn pool_template_of(name: &PoolName, id: &ProviderId, blueprint: &str) -> String {
    format!("{POOLS}/{name}?do=template&account={id}&blueprint={blueprint}#template")
}

/// The page of a pool.
pub fn pool(name: &PoolName) -> String {
    format!("{POOLS}/{name}")
}

/// The page of a job.
pub fn job(id: &JobId) -> String {
    format!("{JOBS}/{id}")
}

/// The page of what a job or an audit entry is about, if it has one.
pub fn subject(subject: &domain::job::Subject) -> Option<String> {
    let folder = match subject.kind.as_str() {
        "node" => NODES,
        "provider" => PROVIDERS,
        "dns_record" => DNS,
        "pool" => POOLS,
        "profile" => PROFILES,
        "job" => JOBS,
        "allocation" => "/services",
        _ => return None,
    };
    // An id comes from the store, but a link never trusts that.
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (!subject.id.is_empty() && subject.id.bytes().all(plain)).then(|| format!("{folder}/{}", subject.id))
}

/// Test ids: `data-testid` of what browser tests look for. Rows carry theirs with the noun's id in
/// `data-id`.
pub mod testid {
    /// The sign-in page's button for the Forge.
    pub const LOGIN_FORGE: &str = "login-forge";
    /// The sign-in page's form for the admin secret.
    pub const LOGIN_SECRET: &str = "login-secret";
    /// The frame's live dot; `data-state` is idle, connected or reconnecting.
    pub const LIVE: &str = "live";
    /// The frame's theme switch.
    pub const THEME: &str = "theme";
    /// The frame's menu of the signed-in person.
    pub const WHO: &str = "who";
    /// The sign-out button.
    pub const LOGOUT: &str = "logout";
    /// The line above everything.
    pub const BANNER: &str = "banner";
    /// Every failure that is shown.
    pub const FAULT: &str = "fault";
    /// What is shown when there is nothing yet.
    pub const EMPTY: &str = "empty";
    /// What is shown when nothing fits the filters.
    pub const NOTHING_FOUND: &str = "nothing-found";
    /// The panel of available actions; each entry is `action` with `data-identity`.
    pub const ACTIONS: &str = "actions";
    /// One available action.
    pub const ACTION: &str = "action";
    /// The confirmation of a dangerous action.
    pub const CONFIRM: &str = "confirm";
    /// What an action answered.
    pub const OUTCOME: &str = "outcome";
    /// A job's steps; each is `step` with `data-step` and `data-status`.
    pub const TIMELINE: &str = "timeline";
    /// One step.
    pub const STEP: &str = "step";
    /// The open services.
    pub const ACTIVE_SERVICES: &str = "active-services";
    /// The services that are over.
    pub const PAST_SERVICES: &str = "past-services";
    /// The form that asks for a service.
    pub const REQUEST_SERVICE: &str = "request-service";
    /// The link to a cockpit.
    pub const COCKPIT: &str = "cockpit";
    /// The table of accounts.
    pub const PROVIDERS: &str = "providers";
    /// The form that connects an account.
    pub const CONNECT: &str = "connect-provider";
    /// The warning that no account is connected.
    pub const NO_ACCOUNT: &str = "no-account";
    /// The form that replaces an account's secret.
    pub const REPLACE_SECRET: &str = "replace-secret";
    /// The table of nodes.
    pub const NODES: &str = "nodes";
    /// The form that acquires a node.
    pub const ACQUIRE: &str = "acquire-node";
    /// What keeps every acquisition from being begun.
    pub const HOLD: &str = "acquisition-hold";
    /// The price beside the acquire button.
    pub const PRICE: &str = "price";
    /// The table of every type and location with its price.
    pub const PRICES: &str = "prices";
    /// How old the catalogue is.
    pub const CATALOG_AGE: &str = "catalog-age";
    /// What the vendor says otherwise; its rows carry the field in `data-id`.
    pub const DRIFT: &str = "drift";
    /// How fresh what is shown is; `data-stale` is true or false.
    pub const FRESHNESS: &str = "freshness";
    /// A kept failure with its guidance.
    pub const FAILURE: &str = "failure";
    /// The form that changes a node's type.
    pub const UPGRADE_TYPE: &str = "upgrade-type";
    /// The form that changes a node's image.
    pub const UPGRADE_IMAGE: &str = "upgrade-image";
    /// What the chosen type costs more or less.
    pub const UPGRADE_PRICE: &str = "upgrade-price";
    /// The form that runs a command.
    pub const EXEC: &str = "exec";
    /// What a command or script wrote; `data-exit` is its exit code, each stream carries
    /// `data-stream`.
    pub const OUTPUT: &str = "output";
    /// The jobs of a thing, newest first; each carries `data-job`.
    pub const JOBS_OF: &str = "jobs-of";
    /// The table of DNS records.
    pub const DNS_RECORDS: &str = "dns-records";
    /// The form that makes a DNS record.
    pub const CREATE_RECORD: &str = "create-record";
    /// The warning that no account holds zones.
    pub const NO_DNS_ACCOUNT: &str = "no-dns-account";
    /// The whole name of what is typed.
    pub const WHOLE_NAME: &str = "whole-name";
    /// The records of a node.
    pub const RECORDS_OF: &str = "records-of";
    /// The zones of an account.
    pub const ZONES: &str = "zones";
    /// What says when an account's credential ends.
    pub const EXPIRY: &str = "expiry";
    /// The table of pools.
    pub const POOLS: &str = "pools";
    /// The form that makes a pool.
    pub const CREATE_POOL: &str = "create-pool";
    /// The form that changes a pool.
    pub const CHANGE_POOL: &str = "change-pool";
    /// The table of a pool's VMs.
    pub const POOL_VMS: &str = "pool-vms";
    /// The table of allocations.
    pub const ALLOCATIONS: &str = "allocations";
    /// The table of people.
    pub const USERS: &str = "users";
    /// The table of jobs.
    pub const JOBS: &str = "jobs";
    /// The first four steps; each carries `data-step` and `data-done`.
    pub const FIRST_STEPS: &str = "first-steps";
    /// What needs attention.
    pub const ATTENTION: &str = "attention";
    /// The audit trail.
    pub const AUDIT: &str = "audit";
    /// The calls that are left of an account's budget.
    pub const BUDGET: &str = "budget";
    /// The row of failures that holds an account up.
    pub const BREAKER: &str = "breaker";
    /// The table of blueprints.
    pub const BLUEPRINTS: &str = "blueprints";
    /// The form that stores a blueprint.
    pub const BLUEPRINT_FORM: &str = "blueprint-form";
    /// The versions of a blueprint.
    pub const BLUEPRINT_VERSIONS: &str = "blueprint-versions";
    /// The table of backups.
    pub const BACKUPS: &str = "backups";
    /// Pools whose templates do not fit a blueprint any more.
    pub const MISFITS: &str = "misfits";
    /// What the parts of a node took when it was checked.
    pub const USAGE: &str = "usage";
    /// The services of a stack.
    pub const SERVICES: &str = "services";
    /// The form that brings a stack to another tag.
    pub const UPGRADE_TAG: &str = "upgrade-tag";
    /// The form that changes a pool's template.
    pub const POOL_TEMPLATE: &str = "pool-template";
    /// The table of profiles.
    pub const PROFILES: &str = "profiles";
    /// The form that stores a profile.
    pub const PROFILE_FORM: &str = "profile-form";
    /// The versions of a profile.
    pub const PROFILE_VERSIONS: &str = "profile-versions";
    /// The table of what the vendor has and Hangar does not know.
    pub const ORPHANS_UNKNOWN: &str = "orphans-unknown";
    /// The table of what Hangar records and the vendor does not have.
    pub const ORPHANS_GONE: &str = "orphans-gone";
    /// What a sweep would take away, or does.
    pub const SWEEP_PLAN: &str = "sweep-plan";
    /// What of it is taken away.
    pub const SWEEP_TAKEN: &str = "sweep-taken";
    /// What of it is left alone.
    pub const SWEEP_KEPT: &str = "sweep-kept";
    /// The form that sets the rules for acquiring.
    pub const ACQUISITION: &str = "acquisition";
    /// What all nodes cost.
    pub const SPEND: &str = "spend";
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::job::Subject;

    #[test]
    fn a_subject_links_to_its_page_and_nowhere_else() {
        assert_eq!(subject(&Subject::new("node", "nod_1")), Some("/nodes/nod_1".to_owned()));
        assert_eq!(subject(&Subject::new("user", "usr_1")), None);
        assert_eq!(subject(&Subject::new("node", "../login")), None);
        assert_eq!(subject(&Subject::new("node", "")), None);
    }
}
