//! Values on their way into a statement. The rule: two types reach the database, text and 64-bit
//! integers, so that one SQL text serves both engines.

use domain::{
    access::{Role, UserStatus},
    allocation::AllocationStatus,
    audit::Outcome,
    code::Code,
    dns::{DnsState, DnsType},
    id::{AllocationId, AuditId, BackupId, DnsRecordId, JobId, NodeId, PoolId, ProviderId, UserId},
    job::{JobKind, JobStatus, StepStatus},
    node::{Cleanup, NodeState},
    orphan::{OrphanKind, OrphanSubject},
    pool::{Cleaning, PoolVmSource, PoolVmStatus},
    provider::ProviderStatus,
    time::Timestamp,
    valid::{BlueprintName, CockpitUrl, NodeName, PoolName, PoolVmId, ProfileName, RecordName, ZoneName},
};
use serde::Serialize;
use sqlx::{Arguments as _, postgres::PgArguments, sqlite::SqliteArguments};

use crate::StoreError;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arg {
    Text(Option<String>),
    Int(Option<i64>),
}

/// The values of a statement, in the order of its placeholders.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::args::Arg::from($value)),*] };
}
pub(crate) use args;

/// JSON as text.
pub(crate) fn json(value: &impl Serialize) -> Result<Arg, StoreError> {
    match serde_json::to_string(value) {
        Ok(text) => Ok(Arg::Text(Some(text))),
        Err(_) => Err(StoreError::Invalid("a value cannot be written as JSON")),
    }
}

/// The same for a value that may be absent.
pub(crate) fn opt_json(value: Option<&impl Serialize>) -> Result<Arg, StoreError> {
    value.map_or(Ok(Arg::Text(None)), json)
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}
impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}
impl From<&String> for Arg {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}
impl From<Option<&str>> for Arg {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}
impl From<&Option<String>> for Arg {
    fn from(text: &Option<String>) -> Self {
        Self::Text(text.clone())
    }
}
impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}
impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        Self::Int(Some(number.into()))
    }
}
impl From<Option<i64>> for Arg {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}
impl From<Option<u32>> for Arg {
    fn from(number: Option<u32>) -> Self {
        Self::Int(number.map(i64::from))
    }
}
impl From<bool> for Arg {
    fn from(flag: bool) -> Self {
        Self::Int(Some(i64::from(flag)))
    }
}
impl From<Timestamp> for Arg {
    fn from(at: Timestamp) -> Self {
        Self::Int(Some(at.millis()))
    }
}
impl From<Option<Timestamp>> for Arg {
    fn from(at: Option<Timestamp>) -> Self {
        Self::Int(at.map(Timestamp::millis))
    }
}

macro_rules! texts {
    ($($name:ty),*) => {$(
        impl From<&$name> for Arg {
            fn from(value: &$name) -> Self {
                Self::Text(Some(value.as_str().to_owned()))
            }
        }
        impl From<&Option<$name>> for Arg {
            fn from(value: &Option<$name>) -> Self {
                Self::Text(value.as_ref().map(|v| v.as_str().to_owned()))
            }
        }
    )*};
}
texts!(
    BackupId,
    BlueprintName,
    AllocationId,
    DnsRecordId,
    RecordName,
    ZoneName,
    AuditId,
    JobId,
    NodeId,
    PoolId,
    ProviderId,
    UserId,
    CockpitUrl,
    NodeName,
    PoolName,
    PoolVmId,
    ProfileName
);

macro_rules! words {
    ($($name:ty),*) => {$(
        impl From<$name> for Arg {
            fn from(value: $name) -> Self {
                Self::Text(Some(value.as_str().to_owned()))
            }
        }
        impl From<Option<$name>> for Arg {
            fn from(value: Option<$name>) -> Self {
                Self::Text(value.map(|v| v.as_str().to_owned()))
            }
        }
    )*};
}
words!(
    AllocationStatus,
    Cleaning,
    Cleanup,
    Code,
    DnsState,
    DnsType,
    JobKind,
    JobStatus,
    NodeState,
    Outcome,
    PoolVmSource,
    PoolVmStatus,
    OrphanKind,
    OrphanSubject,
    ProviderStatus,
    Role,
    StepStatus,
    UserStatus
);

pub(crate) fn for_sqlite(args: Vec<Arg>) -> Result<SqliteArguments, StoreError> {
    let mut bound = SqliteArguments::default();
    for arg in args {
        match arg {
            Arg::Text(text) => bound.add(text),
            Arg::Int(number) => bound.add(number),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(bound)
}

pub(crate) fn for_postgres(args: Vec<Arg>) -> Result<PgArguments, StoreError> {
    let mut bound = PgArguments::default();
    for arg in args {
        match arg {
            Arg::Text(text) => bound.add(text),
            Arg::Int(number) => bound.add(number),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(bound)
}
