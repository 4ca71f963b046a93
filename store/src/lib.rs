//! Hangar's database: one SQL text for SQLite and PostgreSQL.
//!
//! - [`Store`] opens a database, hands out connections for reading and puts writes through one
//!   group-committing writer;
//! - [`Conn`] has one method per query, by noun (`nouns/`);
//! - [`FreshId`] makes ids.
//!
//! The rule: no other crate names the database library, and no business decision is made here.

mod args;
mod conn;
mod db;
mod error;
mod fresh_id;
mod list;
mod migrate;
mod nouns;
#[cfg(test)]
mod plans;
mod record;
#[cfg(feature = "scratch")]
mod scratch;
mod sql;
mod write;

pub use conn::Conn;
pub use db::Store;
pub use error::{StoreError, constraint};
pub use fresh_id::FreshId;
pub use nouns::{
    allocations::{AllocationRow, Which},
    backups::BackupRow,
    blueprints::{BlueprintHead, BlueprintListed, BlueprintRow},
    dns_records::DnsRecordRow,
    events::EventRow,
    idempotency::IdempotencyRow,
    jobs::JobRow,
    nodes::{NodeRow, PricedNodes},
    orphans::OrphanRow,
    pool_vms::PoolVmRow,
    pools::PoolRow,
    profiles::ProfileRow,
    providers::ProviderRow,
    sessions::SessionRow,
    users::{IdentityRow, UserRow},
};
#[cfg(feature = "scratch")]
pub use scratch::ScratchDatabase;
