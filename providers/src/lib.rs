//! Adapters to the vendors' APIs, usable without the rest of Hangar.
//!
//! `adapter` is a kind of account, `infra` the life cycle of machines, `journal` what makes it
//! resumable, `choose` the pure choice out of a catalogue, `budget` the calls that everybody with
//! one credential shares, `ssh` keys, user data, tasks and verification.
//! Each vendor is one folder and one line in `registry`. Rule: no vendor's type stands in a public
//! signature, and nothing that is printed holds a secret or a vendor's text.

mod adapter;
mod budget;
mod choose;
pub mod cloudflare;
mod dns;
mod dns_late;
mod dns_query;
mod dns_unseen;
mod dns_wish;
pub mod docker_compose;
mod error;
pub mod hetzner;
mod infra;
mod journal;
mod registry;
pub mod rfc2136;
mod schema;
pub mod ssh;
mod work;

pub use adapter::{Account, AccountAccess, AccountSecret, CheckReport, ProviderAdapter, Timeouts};
pub use async_trait::async_trait;
pub use choose::{Chosen, Selection, choose};
pub use dns::{
    DnsFound, DnsName, DnsProvider, DnsZone, RecordContent, RecordDeleted, RecordMade, RecordTarget, RecordType,
    RecordWish,
};
pub use domain::list::FieldError;
pub use error::{Effect, ProviderError};
pub use hetzner::label_errors;
pub use infra::{
    BackupMade, BackupWish, Change, Changes, Destroyed, ExecWish, HealthTarget, InfraProvider, Machine, MachineFacts,
    MachinePower, MachineStatus, MachineTarget, Pair, PartTrouble, ProvisionWish, StackWish, Trouble, UpgradeWish,
};
pub use journal::{Journal, JournalLost, MemoryJournal};
pub use registry::Registry;
pub use ssh::{HostKey, ManagedKey, SshFailure, SshTarget, UserData};
pub use work::work_taken_over;
