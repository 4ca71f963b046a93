//! What can go wrong in the database. The rule: a caller can tell a conflict from an outage without
//! reading messages, and no value from a row stands in a message.

use std::sync::Arc;

/// The names of the constraints whose violation says something to a caller, the same on both
/// engines. A primary key's is the table's name with `_pkey`.
pub mod constraint {
    /// Another living account has the name.
    pub const PROVIDER_NAME: &str = "providers_name";
    /// Another node has the server name.
    pub const NODE_SERVER_NAME: &str = "nodes_server_name";
    /// Another record of ours stands under this name and type.
    pub const DNS_NAME: &str = "dns_records_name";
    /// Another job is queued or running on the node or record.
    pub const JOB_ONE_OPEN: &str = "jobs_one_open";
    /// Another pool has the name.
    pub const POOL_NAME: &str = "pools_name";
    /// The pool VM's id is taken.
    pub const POOL_VM_ID: &str = "pool_vms_pkey";
    /// Somebody else holds the machine.
    pub const ONE_HOLDER: &str = "allocations_one_holder";
    /// The identity is linked already.
    pub const IDENTITY: &str = "identities_pkey";
    /// The idempotency key was used already.
    pub const IDEMPOTENCY: &str = "idempotency_pkey";
}

/// A failure of the database. Cheap to clone, since one outage answers every waiting operation.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A uniqueness constraint speaks against it: somebody else was first.
    #[error("the constraint {constraint} is violated")]
    Conflict {
        /// The constraint, one of [`constraint`] where it is known.
        constraint: String,
    },
    /// A row refers to something that is not there, or holds a value that is not allowed.
    #[error("the constraint {constraint} refuses the row")]
    Refused {
        /// The constraint, where the engine names it.
        constraint: String,
    },
    /// The database does not answer now: busy, out of reach, out of connections, or two
    /// transactions stood in each other's way. Nothing was changed.
    #[error("the database is not available")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// The connection was lost during the commit: what was asked for was done wholly or not at all.
    #[error("the connection was lost during the commit")]
    OutcomeUnknown(#[source] Arc<sqlx::Error>),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A column holds something that does not belong there.
    #[error("{what} holds something that does not belong there")]
    Corrupt {
        /// The column.
        what: String,
    },
    /// The cursor is not one that this list gave out.
    #[error("the cursor is not one of this list")]
    BadCursor,
    /// The caller asked for something that makes no sense here.
    #[error("{0}")]
    Invalid(&'static str),
    /// This engine cannot do it; the text says what can.
    #[error("{0}")]
    Unsupported(&'static str),
    /// An operation went on after one of its statements had failed; nothing of it was kept.
    #[error("an operation ignored a failed statement")]
    Aborted,
    /// An operation panicked; nothing of it was kept.
    #[error("an operation panicked")]
    Panicked,
    /// The database's schema could not be brought up to date.
    #[error("the migrations failed")]
    Migrate(#[source] Arc<sqlx::migrate::MigrateError>),
    /// A file beside the database could not be used.
    #[error("{what}")]
    File {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Anything else.
    #[error("the database answered with an error")]
    Other(#[source] Arc<sqlx::Error>),
}

impl StoreError {
    /// Whether the same call may succeed when it is repeated a little later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether this is the violation of the constraint `name` (one of [`constraint`]).
    pub fn is_conflict(&self, name: &str) -> bool {
        matches!(self, Self::Conflict { constraint } if constraint == name)
    }

    /// Whether the connection itself can no longer be trusted.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Self::Unavailable(e) | Self::OutcomeUnknown(e) | Self::Other(e) => match &**e {
                // Class 57P is the server going away; all else from it came over a living connection.
                sqlx::Error::Database(d) => d.code().is_some_and(|c| c.starts_with("57P")),
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::Encode(_) => false,
                _ => true,
            },
            _ => false,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::{Error as E, error::ErrorKind as K};
        match &error {
            E::Database(d) => match d.kind() {
                K::UniqueViolation => Self::Conflict { constraint: constraint_name(&**d) },
                K::ForeignKeyViolation | K::CheckViolation | K::NotNullViolation | K::ExclusionViolation => {
                    Self::Refused { constraint: constraint_name(&**d) }
                }
                _ if is_passing(&**d) => Self::Unavailable(Arc::new(error)),
                _ => Self::Other(Arc::new(error)),
            },
            E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::WorkerCrashed => {
                Self::Unavailable(Arc::new(error))
            }
            E::PoolClosed => Self::Closed,
            E::ColumnDecode { index, .. } => Self::Corrupt { what: index.clone() },
            E::ColumnNotFound(name) => Self::Corrupt { what: name.clone() },
            _ => Self::Other(Arc::new(error)),
        }
    }
}

/// Whether the engine says that a later try may succeed.
fn is_passing(error: &dyn sqlx::error::DatabaseError) -> bool {
    let Some(code) = error.code() else { return false };
    if let Some(pg) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        // Serialisation failure and deadlock (40), lock or statement timeout, read-only standby (25006),
        // resources (53), connection (08), operator intervention (57).
        let code = pg.code();
        return code.starts_with("40")
            || code.starts_with("08")
            || code.starts_with("53")
            || code.starts_with("57")
            || code == "55P03"
            || code == "25006";
    }
    // SQLite's primary result codes: BUSY, LOCKED, IOERR, FULL, CANTOPEN, PROTOCOL.
    code.parse::<u32>().is_ok_and(|c| matches!(c & 0xff, 5 | 6 | 10 | 13 | 14 | 15))
}

/// PostgreSQL names the constraint; SQLite names its columns, from which the name follows.
fn constraint_name(error: &dyn sqlx::error::DatabaseError) -> String {
    if let Some(name) = error.constraint() {
        return name.to_owned();
    }
    let message = error.message();
    let columns = message.split("constraint failed: ").nth(1).unwrap_or_default();
    match columns {
        "providers.name" => constraint::PROVIDER_NAME.to_owned(),
        "nodes.server_name" => constraint::NODE_SERVER_NAME.to_owned(),
        "dns_records.provider_id, dns_records.zone, dns_records.name, dns_records.type" => {
            constraint::DNS_NAME.to_owned()
        }
        "jobs.subject_id" => constraint::JOB_ONE_OPEN.to_owned(),
        "pools.name" => constraint::POOL_NAME.to_owned(),
        "allocations.pool_vm_id" => constraint::ONE_HOLDER.to_owned(),
        other => match other.split_once('.') {
            Some((table, _)) => format!("{table}_pkey"),
            None => other.to_owned(),
        },
    }
}
