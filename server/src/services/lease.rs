//! How a worker holds a job, and what a job on a node keeps between its steps. The rule: every step
//! is stored in one transaction that also proves that the worker still holds the job.

use std::collections::BTreeMap;

use domain::{
    id::JobId,
    job::{JobError, JobStatus, JobStep},
    time::Timestamp,
};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Conn, StoreError};

use super::{Services, audit::event};
use crate::fault::Fault;

/// What a job on a node keeps between its steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeJobState {
    /// What the adapter noted, by its own keys.
    #[serde(default)]
    pub journal: BTreeMap<String, Value>,
    /// Whether the node was handed over to SSH already.
    #[serde(default)]
    pub handed_over: bool,
    /// Why everything is being undone, once that has begun.
    #[serde(default)]
    pub undo: Option<Undo>,
    /// Whether the same node is acquired anew once this one is gone.
    #[serde(default)]
    pub replace: bool,
}

/// Why an acquisition is being undone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// The failure that is reported at the end.
    pub error: JobError,
    /// How the job ends: failed or cancelled.
    pub ends: JobStatus,
}

/// The hold a worker has on a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub job: JobId,
    pub fence: i64,
}

/// Why a job's transaction did not come about.
#[derive(Debug)]
pub(crate) enum LeaseError {
    /// Another worker holds the job now.
    Lost,
    /// Something else went wrong.
    Fault(Fault),
}

impl From<StoreError> for LeaseError {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<Fault> for LeaseError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Where a job stands, stored with every step.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    pub step: Option<String>,
    pub state: Value,
    pub progress: u8,
    /// Steps that changed, with their place in the timeline.
    pub steps: Vec<(i64, JobStep)>,
}

impl Services {
    /// Stores a checkpoint and whatever `more` does, or nothing at all if the lease is lost.
    pub(crate) async fn lease_write<T, F>(
        &self,
        lease: &Lease,
        checkpoint: Checkpoint,
        more: F,
    ) -> Result<T, LeaseError>
    where
        T: Send + 'static,
        F: for<'a> Fn(&'a mut Conn, Timestamp) -> BoxFuture<'a, Result<T, Fault>> + Send + Sync + 'static,
    {
        let now = self.clock.now();
        let lease = lease.clone();
        let more = std::sync::Arc::new(more);
        self.write::<T, LeaseError, _>(move |c| {
            let (lease, checkpoint, more) = (lease.clone(), checkpoint.clone(), more.clone());
            Box::pin(async move {
                let held = c
                    .job_checkpoint(
                        &lease.job,
                        lease.fence,
                        checkpoint.step.as_deref(),
                        &checkpoint.state,
                        checkpoint.progress,
                        now,
                    )
                    .await?;
                if !held {
                    return Err(LeaseError::Lost);
                }
                for (seq, step) in &checkpoint.steps {
                    c.job_step_put(&lease.job, *seq, step).await?;
                }
                let value = more(c, now).await?;
                c.event_insert(&[event("job", &lease.job, now.millis(), None)]).await?;
                Ok(value)
            })
        })
        .await
    }
}
