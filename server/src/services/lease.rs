//! How a worker holds a job, and what a job on a node keeps between its steps. The rule: every step
//! is stored in one transaction that also proves that the worker still holds the job.

use std::collections::BTreeMap;

use domain::{
    id::JobId,
    job::{JobError, JobStatus, JobStep},
    node::{NodeEvent, NodeState},
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
    /// Whether the node takes another one's place: then it waits for room under the spending cap.
    #[serde(default)]
    pub replacement: bool,
    /// What is done with a node that is there already.
    #[serde(default)]
    pub verb: Option<Verb>,
    /// The host key that becomes the node's once it is laid anew: public, and sealed.
    #[serde(default)]
    pub fresh_key: Option<(String, String)>,
    /// The run of the node's profile.
    #[serde(default)]
    pub profile: Option<ProfileRun>,
    /// A run of the profile that an earlier job began and nobody saw the end of.
    #[serde(default)]
    pub former_task: Option<String>,
    /// How often putting things back was tried.
    #[serde(default)]
    pub undo_tries: u32,
    /// Whether this makes a pool's machine fit for the next person.
    #[serde(default)]
    pub cleaning: bool,
    /// Whether what must not be lost is kept before anything is taken away.
    #[serde(default)]
    pub backup: bool,
    /// Whether that is done.
    #[serde(default)]
    pub backed_up: bool,
    /// Whether Hangar itself asked for it: then nobody is there to try again.
    #[serde(default)]
    pub unattended: bool,
    /// What is done with a DNS record.
    #[serde(default)]
    pub dns: Option<DnsWork>,
    /// What a person was shown and said may be taken over.
    #[serde(default)]
    pub confirmed: Option<String>,
}

impl NodeJobState {
    /// Whether something must not be lost and is not kept yet: until it is, nothing is taken away.
    pub(crate) fn owes_backup(&self) -> bool {
        self.backup && !self.backed_up
    }
}

/// What is done with a DNS record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsWork {
    /// It is made.
    Create,
    /// What stands there is taken over.
    Adopt,
    /// It is taken away because somebody asked for it.
    Delete,
    /// What may be left of a deletion is taken away; that is never given up.
    FinishDelete,
    /// What may be left of a creation that failed is taken away; that is never given up.
    UndoCreate,
}

/// What is done with a node that is there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Stops it.
    Suspend,
    /// Starts it again.
    Resume,
    /// Makes another type of it.
    ChangeType(NewType),
    /// Brings a stack to another version.
    ChangeTag {
        /// The version.
        tag: String,
        /// The one that it has.
        from: String,
        /// Whether it is suspended, and stays so.
        #[serde(default)]
        suspended: bool,
    },
    /// Lays it anew.
    Rebuild {
        /// From this image.
        image: String,
    },
    /// Looks whether it is healthy.
    HealthCheck,
    /// Runs a command on it.
    Exec {
        /// The [`NodeExec`](domain::node::NodeExec) as JSON, sealed: its words may hold a secret.
        sealed: String,
    },
}

impl Verb {
    /// Whether it was wanted of a node that stood elsewhere: what is suspended stays so.
    pub(crate) fn is_for_another_than(&self, state: NodeState) -> bool {
        matches!(self, Self::ChangeTag { suspended, .. } if *suspended != (state == NodeState::Suspended))
    }

    /// What happens to the node when it begins.
    pub(crate) fn begins(&self) -> Option<NodeEvent> {
        match self {
            Self::Suspend => Some(NodeEvent::SuspendBegun),
            Self::Resume => Some(NodeEvent::ResumeBegun),
            Self::ChangeType(_) | Self::ChangeTag { .. } => Some(NodeEvent::UpgradeBegun),
            Self::Rebuild { .. } => Some(NodeEvent::RebuildBegun),
            Self::HealthCheck | Self::Exec { .. } => None,
        }
    }
}

/// A type, and what it costs at the node's location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewType {
    /// The server type's name.
    pub server_type: String,
    /// Its price per month.
    pub price_monthly: Option<String>,
    /// Its price per hour that has begun.
    pub price_hourly: Option<String>,
    /// The currency of both.
    pub currency: String,
    /// What the node cost before per month, per hour that has begun, and the currency.
    #[serde(default)]
    pub before: (Option<String>, Option<String>, Option<String>),
}

/// One run of a profile on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRun {
    /// The profile's version; the same over every crash.
    pub version: u32,
    /// The run's name on the machine, by which it is found again after a crash; `None` once it ended
    /// in vain, so that the next attempt is another run.
    pub task: Option<String>,
}

/// Why work on a node is being undone.
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
