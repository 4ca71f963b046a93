//! Leases due jobs, runs them, and decides what becomes of them.

use std::{sync::Arc, time::Duration};

use domain::{
    code::{Code, Retry},
    id::NodeId,
    job::{JobError, JobKind, JobStatus, Lane},
    node::Cleanup,
    time::{MINUTE, Millis, Timestamp},
};
use futures::FutureExt as _;
use store::{FreshId as _, JobRow};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{dns_record, node_provision, node_remove, node_task, node_verb, orphan_sweep, release_hook};
use crate::{
    fault::Fault,
    services::{
        Lease, LeaseError, NodeJobState, Services, names_given_up_in, node_failed_in, node_not_destroyed_in,
        node_settled_in,
    },
};

/// Why a run of a job ended without success.
#[derive(Debug)]
pub(super) enum Stop {
    /// The lease is lost, or the process ends: nothing may be recorded any more.
    Lost,
    /// Somebody cancelled the job.
    Cancelled,
    /// A step failed.
    Failed(Failure),
}

/// A failed step.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub error: JobError,
    pub retry: Retry,
    pub retry_after: Option<Duration>,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { error: JobError::new(code, message), retry: code.retry(), retry_after: None }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        match fault.code {
            // A database that does not answer is like a lost lease: the job is taken up again.
            Code::Unavailable => Self::Lost,
            code => Self::Failed(Failure::new(code, fault.detail)),
        }
    }
}

impl From<LeaseError> for Stop {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Lost => Self::Lost,
            LeaseError::Fault(fault) => fault.into(),
        }
    }
}

impl From<::providers::ProviderError> for Stop {
    fn from(error: ::providers::ProviderError) -> Self {
        if error.lost {
            return Self::Lost;
        }
        tracing::warn!(
            code = %error.code,
            correlation = error.correlation_id.as_deref().unwrap_or("none"),
            cause = error.source.as_ref().map(ToString::to_string).unwrap_or_default(),
            "a call to the vendor failed"
        );
        let mut failure = Failure::new(error.code, error.message);
        failure.retry_after = error.retry_after;
        failure.error.correlation_id = error.correlation_id;
        Self::Failed(failure)
    }
}

/// What a run is told from outside.
#[derive(Clone)]
pub(super) struct Signals {
    cancelled: watch::Receiver<bool>,
}

impl Signals {
    /// Whether somebody asked the job to stop.
    pub fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// Comes back once somebody asked the job to stop.
    pub async fn cancelled(&mut self) {
        if self.cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Between two looks for due jobs, whatever nobody tells.
const MOST_WAIT: Duration = Duration::from_secs(5);

/// The worker of this process.
pub struct Runner {
    services: Arc<Services>,
    worker: String,
    stop: CancellationToken,
}

impl Runner {
    /// A worker over `services` that ends when `stop` is cancelled.
    pub fn new(services: Arc<Services>, stop: CancellationToken) -> Self {
        let worker = domain::id::JobId::fresh().short().to_owned();
        Self { services, worker, stop }
    }

    /// Runs until stopped. Jobs under way are dropped then: their leases run out and they are
    /// taken up again.
    ///
    /// What takes something away has slots of its own: however many machines are being made, and
    /// however long that takes, what bills without need goes.
    pub async fn run(self) {
        let work = self.services.settings().work.clone();
        let slots = Lane::ALL.map(|lane| {
            let share = if lane == Lane::Removing { work.concurrency.div_ceil(2) } else { work.concurrency };
            (lane, Arc::new(Semaphore::new(share)))
        });
        let mut running = JoinSet::new();
        let mut wakeups = self.services.store().wakeups();
        loop {
            while running.try_join_next().is_some() {}
            wakeups.borrow_and_update();
            let mut busy = false;
            let mut wait = MOST_WAIT;
            for (lane, slots) in &slots {
                let free = u32::try_from(slots.available_permits()).unwrap_or(u32::MAX);
                // With every slot taken there is nothing to claim: the end of a run is waited for.
                if free == 0 {
                    continue;
                }
                let claimed = self.claim(*lane, free.min(16), work.lease).await.unwrap_or_else(|fault| {
                    tracing::warn!(code = %fault.code, "due jobs could not be read");
                    Vec::new()
                });
                if claimed.is_empty() {
                    wait = wait.min(self.until_next(*lane).await);
                }
                busy |= !claimed.is_empty();
                for job in claimed {
                    let Ok(permit) = slots.clone().acquire_owned().await else { return };
                    let (services, worker) = (self.services.clone(), self.worker.clone());
                    running.spawn(async move {
                        supervise(services, job, worker).await;
                        drop(permit);
                    });
                }
            }
            if busy && !self.stop.is_cancelled() {
                continue;
            }
            tokio::select! {
                () = self.stop.cancelled() => {
                    running.shutdown().await;
                    return;
                }
                changed = wakeups.changed() => if changed.is_err() { return },
                _ = running.join_next(), if !running.is_empty() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn claim(&self, lane: Lane, limit: u32, lease: Millis) -> Result<Vec<JobRow>, Fault> {
        let services = &self.services;
        let now = services.clock().now();
        // The look costs no write while nothing is due.
        match services.store().read().await?.job_next_due(lane).await? {
            Some(due) if due <= now => {}
            _ => return Ok(Vec::new()),
        }
        let worker = self.worker.clone();
        services
            .store()
            .write::<Vec<JobRow>, Fault, _>(move |c| {
                let worker = worker.clone();
                Box::pin(async move { Ok(c.job_claim_due(&worker, lane, now, now.plus(lease), limit).await?) })
            })
            .await
    }

    async fn until_next(&self, lane: Lane) -> Duration {
        let due = match self.services.store().read().await {
            Ok(mut c) => c.job_next_due(lane).await.ok().flatten(),
            Err(_) => None,
        };
        match due {
            Some(at) => {
                let millis = at.since(self.services.clock().now()).max(10);
                Duration::from_millis(millis.unsigned_abs()).min(MOST_WAIT)
            }
            None => MOST_WAIT,
        }
    }
}

/// Runs one leased job with a heartbeat beside it. A lost lease drops the run where it stands.
async fn supervise(services: Arc<Services>, job: JobRow, worker: String) {
    let lease = Lease { job: job.id.clone(), fence: job.fence };
    let (told, cancelled) = watch::channel(job.cancel_requested);
    let signals = Signals { cancelled };
    tracing::info!(job = %job.id, kind = %job.kind, subject = %job.subject.id, attempt = job.attempt, worker, "job begins");
    let outcome = tokio::select! {
        outcome = contained(execute(&services, &job, &lease, signals)) => outcome,
        () = heartbeat(&services, &lease, told) => Err(Stop::Lost),
    };
    if let Err(error) = settle(&services, &job, &lease, outcome).await {
        match error {
            Stop::Lost => tracing::warn!(job = %job.id, "the lease was lost; another worker goes on"),
            other => {
                tracing::error!(job = %job.id, ?other, "the outcome of a job could not be stored; it is taken up again")
            }
        }
    }
}

/// A run that panics has failed. It counts as an attempt, so that a job that always panics comes to
/// an end.
async fn contained(run: impl Future<Output = Result<(), Stop>>) -> Result<(), Stop> {
    std::panic::AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a job panicked");
        let why = "Hangar met an error in this job that it did not expect; the log knows more.";
        Err(Stop::Failed(Failure { retry: Retry::Yes, ..Failure::new(Code::Internal, why) }))
    })
}

async fn execute(services: &Arc<Services>, job: &JobRow, lease: &Lease, signals: Signals) -> Result<(), Stop> {
    match job.kind {
        JobKind::NodeProvision => node_provision::run(services, job, lease, signals).await,
        JobKind::NodeDestroy | JobKind::NodeCleanup => node_remove::run(services, job, lease, signals).await,
        JobKind::NodeSuspend | JobKind::NodeResume | JobKind::NodeUpgrade | JobKind::NodeRebuild => {
            node_verb::run(services, job, lease, signals).await
        }
        JobKind::NodeHealthCheck | JobKind::NodeExec => node_task::run(services, job, lease, signals).await,
        JobKind::AllocationRelease => release_hook::run(services, job, lease).await,
        JobKind::OrphanSweep => orphan_sweep::run(services, job, lease).await,
        JobKind::DnsCreate | JobKind::DnsDelete => dns_record::run(services, job, lease, signals).await,
        other => Err(Stop::Failed(Failure::new(Code::Internal, format!("This version cannot carry out {other}.")))),
    }
}

/// Shows signs of life until the lease is lost; tells the run when somebody cancels it. A
/// cancellation in this process is heard at once, one in another with the next sign of life.
async fn heartbeat(services: &Services, lease: &Lease, told: watch::Sender<bool>) {
    let span = services.settings().work.lease;
    let beat = Duration::from_millis((span / 3).unsigned_abs().max(50));
    let mut cancellations = services.cancellations();
    let mut last_sign = services.clock().now();
    let mut beats = tokio::time::interval(beat);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    beats.tick().await;
    loop {
        tokio::select! {
            _ = beats.tick() => {}
            heard = cancellations.recv() => match heard {
                Ok(id) if id != lease.job => continue,
                _ => {}
            }
        }
        let now = services.clock().now();
        let owned = lease.clone();
        let alive = services
            .store()
            .write::<Option<bool>, Fault, _>(move |c| {
                let lease = owned.clone();
                Box::pin(async move { Ok(c.job_heartbeat(&lease.job, lease.fence, now.plus(span)).await?) })
            })
            .await;
        match alive {
            Ok(None) => return,
            Ok(Some(cancel)) => {
                last_sign = now;
                told.send_if_modified(|was| {
                    let new = cancel && !*was;
                    *was |= cancel;
                    new
                });
            }
            // Without a database the lease cannot be renewed: stop before another takes over.
            Err(_) if now.since(last_sign) >= span * 2 / 3 => return,
            Err(_) => {}
        }
    }
}

/// Stores what became of a run: done, tried again later, or given up.
async fn settle(services: &Services, job: &JobRow, lease: &Lease, outcome: Result<(), Stop>) -> Result<(), Stop> {
    let now = services.clock().now();
    match outcome {
        Ok(()) => Ok(()),
        Err(Stop::Lost) => Err(Stop::Lost),
        Err(Stop::Cancelled) => {
            let error = JobError::new(Code::JobCancelled, "The job was cancelled.");
            finish(services, lease, JobStatus::Cancelled, Some(error)).await
        }
        Err(Stop::Failed(failure)) if again(&failure, job) => {
            if held(&failure, job) {
                let wait =
                    failure.retry_after.map_or(5 * MINUTE, |wait| i64::try_from(wait.as_millis()).unwrap_or(MINUTE));
                return hold(services, lease, now.plus(wait.max(1)), failure.error).await;
            }
            let after = now.plus(back_off(services, job, failure.retry_after));
            if failure.error.code == Code::ProviderRateLimited {
                // The vendor asks for patience; that is no failed attempt.
                return postpone(services, lease, after, failure.error).await;
            }
            requeue(services, lease, after, failure.error).await
        }
        Err(Stop::Failed(failure)) => match job.kind {
            // What may bill is looked for until it is known to be gone.
            JobKind::NodeCleanup => {
                let wait = back_off(services, job, failure.retry_after).min(node_remove::LONGEST_WAIT);
                requeue(services, lease, now.plus(wait), failure.error).await
            }
            kind if kind.is_node_work() => node_given_up(services, job, lease, failure.error).await,
            JobKind::NodeHealthCheck | JobKind::NodeExec => node_given_up(services, job, lease, failure.error).await,
            JobKind::DnsCreate | JobKind::DnsDelete => dns_record::given_up(services, job, lease, failure.error).await,
            JobKind::AllocationRelease => release_hook::given_up(services, job, lease, failure.error).await,
            _ => finish(services, lease, JobStatus::Failed, Some(failure.error)).await,
        },
    }
}

/// Whether a run ended because more may not be acquired now: then nothing failed, and the job waits.
/// Only what takes another one's place waits for room under the spending cap; what is more than there
/// was is given up.
pub(super) fn held(failure: &Failure, job: &JobRow) -> bool {
    match failure.error.code {
        Code::AcquisitionPaused | Code::AccountPaused => true,
        Code::SpendingCapReached => job.state["replacement"] == true,
        _ => false,
    }
}

/// Whether a failed run is followed by another one.
pub(super) fn again(failure: &Failure, job: &JobRow) -> bool {
    held(failure, job)
        || failure.error.code == Code::ProviderRateLimited
        || (failure.retry == Retry::Yes && job.attempt < job.max_attempts)
}

/// Ends a job on a node that failed where nothing else sees to the node: it is failed too, and what
/// may be left at the vendor is looked for. No node is left in a working state without a job.
async fn node_given_up(services: &Services, job: &JobRow, lease: &Lease, error: JobError) -> Result<(), Stop> {
    let id: NodeId = job.subject.id.parse().map_err(|e| Stop::from(Fault::internal(&e)))?;
    let (now, owned, kind) = (services.clock().now(), lease.clone(), job.kind);
    let cleaner = services.cleaner();
    let noted = serde_json::from_value::<NodeJobState>(job.state.clone()).unwrap_or_default().journal;
    tracing::info!(job = %lease.job, code = %error.code, "job ends");
    let held = services
        .store()
        .write::<bool, Fault, _>(move |c| {
            let (lease, error, id, cleaner) = (owned.clone(), error.clone(), id.clone(), cleaner.clone());
            let noted = noted.clone();
            Box::pin(async move {
                if !c.job_finish(&lease.job, lease.fence, JobStatus::Failed, Some(&error), now).await? {
                    return Ok(false);
                }
                let node = c.node_get(&id).await?;
                let working = node.as_ref().is_some_and(|node| node.state.is_working());
                let node_is_unmade = node.as_ref().is_some_and(|node| node.create_attempted_at.is_none());
                match kind {
                    JobKind::NodeProvision | JobKind::NodeDestroy => {
                        let kept = node.is_none_or(|node| {
                            kind == JobKind::NodeProvision
                                && (node.state.is_after_hand_over() || node.create_attempted_at.is_none())
                        });
                        // As it is written down: what this run knows may be older.
                        let state = c.job_get(&lease.job).await?.map(|job| job.state).unwrap_or_default();
                        let state: NodeJobState = serde_json::from_value(state).unwrap_or_default();
                        if !state.owes_backup() && (!kept || node_is_unmade) {
                            names_given_up_in(c, &id, &error, &noted, now.plus(MINUTE), now).await?;
                        }
                        if kept {
                            node_failed_in(c, &id, &error, Cleanup::None, now).await?;
                        } else {
                            node_not_destroyed_in(c, &id, &error, &state, now.plus(MINUTE), now).await?;
                        }
                    }
                    // The machine of a verb served before: it is kept, whatever became of the verb.
                    _ if working => node_failed_in(c, &id, &error, Cleanup::None, now).await?,
                    _ => {}
                }
                node_settled_in(c, &id, &cleaner, now).await?;
                c.event_insert(&[crate::services::event("job", &lease.job, now.millis(), None)]).await?;
                Ok(true)
            })
        })
        .await?;
    if held { Ok(()) } else { Err(Stop::Lost) }
}

/// Puts a job back into the queue without using up an attempt.
pub(super) async fn postpone(
    services: &Services,
    lease: &Lease,
    after: Timestamp,
    error: JobError,
) -> Result<(), Stop> {
    let now = services.clock().now();
    let owned = lease.clone();
    let held = services
        .store()
        .write::<bool, Fault, _>(move |c| {
            let (lease, error) = (owned.clone(), error.clone());
            Box::pin(async move {
                let held = c.job_postpone(&lease.job, lease.fence, after, &error).await?;
                c.event_insert(&[crate::services::event("job", &lease.job, now.millis(), None)]).await?;
                Ok(held)
            })
        })
        .await?;
    if held { Ok(()) } else { Err(Stop::Lost) }
}

/// Puts a job back into the queue until more may be acquired; it counts as not begun.
async fn hold(services: &Services, lease: &Lease, after: Timestamp, error: JobError) -> Result<(), Stop> {
    let now = services.clock().now();
    let owned = lease.clone();
    tracing::info!(job = %lease.job, code = %error.code, "job waits until more may be acquired");
    let held = services
        .store()
        .write::<bool, Fault, _>(move |c| {
            let (lease, error) = (owned.clone(), error.clone());
            Box::pin(async move {
                let held = c.job_hold(&lease.job, lease.fence, after, &error).await?;
                c.event_insert(&[crate::services::event("job", &lease.job, now.millis(), None)]).await?;
                Ok(held)
            })
        })
        .await?;
    if held { Ok(()) } else { Err(Stop::Lost) }
}

/// The wait before the next attempt: the table's, with up to a quarter more at random so that
/// many do not come back at once; longer if the vendor asks for it.
pub(super) fn back_off(services: &Services, job: &JobRow, asked: Option<Duration>) -> Millis {
    let table = &services.settings().work.back_off;
    let index = usize::try_from(job.attempt.max(1) - 1).unwrap_or(0);
    let base = table.get(index).or(table.last()).copied().unwrap_or(MINUTE);
    let mut byte = [0_u8; 1];
    let _ = getrandom::fill(&mut byte);
    let jitter = base / 4 * i64::from(byte[0]) / 255;
    let asked = asked.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
    (base + jitter).max(asked)
}

/// Puts a job back into the queue.
pub(super) async fn requeue(services: &Services, lease: &Lease, after: Timestamp, error: JobError) -> Result<(), Stop> {
    let now = services.clock().now();
    let owned = lease.clone();
    tracing::info!(job = %lease.job, code = %error.code, after = %after.rfc3339(), "job waits for its next attempt");
    let held = services
        .store()
        .write::<bool, Fault, _>(move |c| {
            let (lease, error) = (owned.clone(), error.clone());
            Box::pin(async move {
                let held = c.job_requeue(&lease.job, lease.fence, after, Some(&error), now).await?;
                c.event_insert(&[crate::services::event("job", &lease.job, now.millis(), None)]).await?;
                Ok(held)
            })
        })
        .await?;
    if held { Ok(()) } else { Err(Stop::Lost) }
}

/// Ends a job.
pub(super) async fn finish(
    services: &Services,
    lease: &Lease,
    status: JobStatus,
    error: Option<JobError>,
) -> Result<(), Stop> {
    let now = services.clock().now();
    let owned = lease.clone();
    tracing::info!(job = %lease.job, %status, code = error.as_ref().map_or("none", |e| e.code.as_str()), "job ends");
    let held = services
        .store()
        .write::<bool, Fault, _>(move |c| {
            let (lease, error) = (owned.clone(), error.clone());
            Box::pin(async move {
                let held = c.job_finish(&lease.job, lease.fence, status, error.as_ref(), now).await?;
                c.event_insert(&[crate::services::event("job", &lease.job, now.millis(), None)]).await?;
                Ok(held)
            })
        })
        .await?;
    if held { Ok(()) } else { Err(Stop::Lost) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failed_attempt() {
        #[expect(clippy::panic, reason = "that is what is tested")]
        let outcome = contained(async { panic!("on purpose") }).await;
        let Err(Stop::Failed(failure)) = outcome else { unreachable!("a panic is a failure: {outcome:?}") };
        assert_eq!((failure.error.code, failure.retry), (Code::Internal, Retry::Yes));
        assert!(!failure.error.message.contains("on purpose"), "what it says is for the log");
        assert!(contained(async { Ok(()) }).await.is_ok());
    }
}
