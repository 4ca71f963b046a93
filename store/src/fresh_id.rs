//! Fresh ids. The rule: ids made by one process ascend in the order in which they were made, so
//! that "newest first" is a walk along the primary key.

use domain::id::{AllocationId, AuditId, BackupId, DnsRecordId, JobId, NodeId, PoolId, ProviderId, TokenId, UserId};
use uuid::Uuid;

mod sealed {
    pub trait Sealed {}
}

/// An id of which fresh ones can be made.
pub trait FreshId: sealed::Sealed + Sized {
    /// An id that was never used before: its prefix and a version 7 UUID.
    fn fresh() -> Self;
}

macro_rules! fresh {
    ($($id:ty),*) => {$(
        impl sealed::Sealed for $id {}
        impl FreshId for $id {
            fn fresh() -> Self {
                // The uuid crate orders every id of the process by a shared counter.
                <$id>::from_uuid(Uuid::now_v7())
            }
        }
    )*};
}

fresh!(ProviderId, NodeId, DnsRecordId, BackupId, PoolId, AllocationId, UserId, JobId, AuditId, TokenId);
