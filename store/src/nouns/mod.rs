//! Rows and queries, by noun. The rule: each file holds one table's row, its columns, and the
//! methods of [`Conn`](crate::Conn) on it; a query that joins lives with what it answers.

pub(crate) mod allocations;
pub(crate) mod audit;
pub(crate) mod backups;
pub(crate) mod blueprints;
pub(crate) mod dns_records;
pub(crate) mod events;
pub(crate) mod idempotency;
pub(crate) mod job_lease;
pub(crate) mod job_steps;
pub(crate) mod jobs;
pub(crate) mod nodes;
pub(crate) mod orphans;
pub(crate) mod pending;
pub(crate) mod pool_vms;
pub(crate) mod pools;
pub(crate) mod profiles;
pub(crate) mod providers;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod sign_in;
pub(crate) mod users;
