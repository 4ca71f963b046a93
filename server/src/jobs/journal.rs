//! The journal of a job on a node or a DNS record: every entry is durable, and proves the lease, before the adapter
//! goes on. It also keeps the timeline that people watch.

use std::sync::Arc;

use ::providers::{Chosen, Journal, JournalLost, MachineFacts, Pair, async_trait};
use domain::{
    id::NodeId,
    job::{CommandOutput, JobError, JobStatus, JobStep, StepStatus},
    node::NodeEvent,
    time::Timestamp,
};
use futures::future::BoxFuture;
use serde_json::Value;
use store::{Conn, JobRow};

use super::runner::{Signals, Stop};
use crate::{
    fault::Fault,
    services::{Checkpoint, Lease, LeaseError, NodeJobState, Services, node_event_in, node_found_in},
};

/// What the journal's entry is called that tells what will be asked for.
pub(super) const CHOSEN: &str = "chosen";

/// Whether a cancellation stops the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancellable {
    /// It does, at the next entry.
    Yes,
    /// What is being taken away is taken away.
    No,
}

/// What happens to the node when a step of this name begins.
pub(super) type Events = fn(&str) -> Option<NodeEvent>;

/// Nothing happens to the node with the steps alone.
pub(super) fn no_events(_: &str) -> Option<NodeEvent> {
    None
}

/// The journal of one run of a job on a node or a DNS record.
pub(super) struct JobJournal {
    services: Arc<Services>,
    lease: Lease,
    /// The node that it works on, if it works on one.
    node: Option<NodeId>,
    /// What the job keeps between its steps.
    pub state: NodeJobState,
    steps: Vec<JobStep>,
    current: Option<usize>,
    progress: u8,
    signals: Signals,
    events: Events,
    cancellable: Cancellable,
    undoing: bool,
    /// Why the journal was lost, if it was.
    stopped: Option<Stop>,
}

impl JobJournal {
    /// Opens the journal of `job` where the run before left it. `plan` are the steps that are
    /// expected, shown as pending from the beginning; `events` move the node on.
    pub async fn open(
        services: &Arc<Services>,
        job: &JobRow,
        lease: &Lease,
        node: impl Into<Option<NodeId>>,
        signals: Signals,
        plan: &[(&str, &str)],
        events: Events,
    ) -> Result<Self, Stop> {
        let state: NodeJobState = serde_json::from_value(job.state.clone()).unwrap_or_default();
        let mut steps =
            services.store().read().await.map_err(Fault::from)?.job_steps(&job.id).await.map_err(Fault::from)?;
        for (name, label) in plan {
            if !steps.iter().any(|s| s.name == *name) {
                steps.push(JobStep {
                    name: (*name).to_owned(),
                    label: (*label).to_owned(),
                    status: StepStatus::Pending,
                    started_at: None,
                    finished_at: None,
                    detail: None,
                });
            }
        }
        let mut journal = Self {
            services: services.clone(),
            lease: lease.clone(),
            node: node.into(),
            state,
            steps,
            current: None,
            progress: job.progress,
            signals,
            events,
            cancellable: Cancellable::No,
            undoing: false,
            stopped: None,
        };
        let all: Vec<usize> = (0..journal.steps.len()).collect();
        journal.write(&all, |_, _| Box::pin(async { Ok(()) })).await?;
        Ok(journal)
    }

    /// From here on a cancellation does or does not stop the work.
    pub fn cancellable(&mut self, cancellable: Cancellable) {
        self.cancellable = cancellable;
    }

    /// From here on the steps are those of the undo.
    pub fn undoing(&mut self) {
        self.undoing = true;
    }

    /// What will be asked for, once it was chosen.
    pub fn chosen(&self) -> Option<Chosen> {
        serde_json::from_value(self.get(CHOSEN)?).ok()
    }

    /// Why the journal was lost, if it was.
    pub fn stopped(&mut self) -> Option<Stop> {
        self.stopped.take()
    }

    /// Stores the present state, the changed steps, and whatever `more` does, in one transaction.
    pub async fn write<F>(&mut self, changed: &[usize], more: F) -> Result<(), Stop>
    where
        F: for<'a> Fn(&'a mut Conn, Timestamp) -> BoxFuture<'a, Result<(), Fault>> + Send + Sync + 'static,
    {
        if self.cancellable == Cancellable::Yes && self.signals.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        let checkpoint = Checkpoint {
            step: self.current.and_then(|i| self.steps.get(i)).map(|s| s.name.clone()),
            state: serde_json::to_value(&self.state).map_err(|e| Stop::from(Fault::internal(&e)))?,
            progress: self.progress,
            steps: changed
                .iter()
                .filter_map(|i| Some((i64::try_from(*i).ok()?, self.steps.get(*i)?.clone())))
                .collect(),
        };
        match self.services.lease_write(&self.lease, checkpoint, more).await {
            Ok(()) => Ok(()),
            // A database that does not answer for a moment is waited for as long as the lease holds.
            Err(LeaseError::Fault(fault)) => Err(fault.into()),
            Err(LeaseError::Lost) => Err(Stop::Lost),
        }
    }

    /// Begins a step and ends the one before; `more` happens in the same transaction.
    pub async fn begin<F>(&mut self, name: &str, label: &str, more: F) -> Result<(), Stop>
    where
        F: for<'a> Fn(&'a mut Conn, Timestamp) -> BoxFuture<'a, Result<(), Fault>> + Send + Sync + 'static,
    {
        let now = self.services.clock().now();
        let mut changed = self.close(StepStatus::Succeeded, None, now);
        let index = match self.steps.iter().position(|s| s.name == name) {
            Some(index) => index,
            None => {
                self.steps.push(JobStep {
                    name: name.to_owned(),
                    label: label.to_owned(),
                    status: StepStatus::Pending,
                    started_at: None,
                    finished_at: None,
                    detail: None,
                });
                self.steps.len() - 1
            }
        };
        if let Some(step) = self.steps.get_mut(index) {
            step.status = StepStatus::Running;
            step.started_at = Some(now);
            step.finished_at = None;
            step.detail = None;
        }
        self.current = Some(index);
        if !self.undoing {
            let done = u8::try_from(index * 100 / self.steps.len().max(1)).unwrap_or(99);
            self.progress = self.progress.max(done.min(99));
        }
        changed.push(index);
        self.write(&changed, more).await
    }

    /// Ends the running step; its place in the timeline is returned, if there is one.
    pub fn close(&mut self, status: StepStatus, detail: Option<&str>, now: Timestamp) -> Vec<usize> {
        let Some(index) = self.current.take() else { return Vec::new() };
        if let Some(step) = self.steps.get_mut(index) {
            step.status = status;
            // What waits has not ended.
            step.finished_at = (status != StepStatus::Pending).then_some(now);
            if let Some(detail) = detail {
                step.detail = Some(detail.to_owned());
            }
        }
        vec![index]
    }

    /// Marks every step that was never begun as not needed; their places in the timeline.
    pub fn skip_rest(&mut self) -> Vec<usize> {
        self.skip_rest_but("")
    }

    /// Marks every step but `kept` that was never begun as not needed.
    pub fn skip_rest_but(&mut self, kept: &str) -> Vec<usize> {
        let pending = |(index, step): (usize, &JobStep)| {
            (step.status == StepStatus::Pending && step.name != kept).then_some(index)
        };
        let rest: Vec<usize> = self.steps.iter().enumerate().filter_map(pending).collect();
        for index in &rest {
            if let Some(step) = self.steps.get_mut(*index) {
                step.status = StepStatus::Skipped;
            }
        }
        rest
    }

    /// Whether the step of this name is the one that runs.
    pub fn is_at(&self, name: &str) -> bool {
        self.current.and_then(|index| self.steps.get(index)).is_some_and(|step| step.name == name)
    }

    /// Marks a step as failed that had ended well, as far as could be seen when the next one began.
    pub fn refute(&mut self, name: &str, why: &str) -> Vec<usize> {
        let ended_well = |step: &JobStep| step.name == name && step.status == StepStatus::Succeeded;
        let Some(index) = self.steps.iter().position(ended_well) else { return Vec::new() };
        if let Some(step) = self.steps.get_mut(index) {
            step.status = StepStatus::Failed;
            step.detail = Some(why.to_owned());
        }
        vec![index]
    }

    /// Keeps what the job's command or script wrote so far. Its secrets are masked already.
    pub async fn output(&mut self, output: CommandOutput) -> Result<(), Stop> {
        let lease = self.lease.clone();
        self.write(&[], move |c, _| {
            let (lease, output) = (lease.clone(), output.clone());
            Box::pin(async move {
                c.job_output_set(&lease.job, lease.fence, &output).await?;
                Ok(())
            })
        })
        .await
    }

    /// Marks a step as not needed this time.
    pub fn skip(&mut self, name: &str, why: &str) -> Vec<usize> {
        let Some(index) = self.steps.iter().position(|s| s.name == name) else { return Vec::new() };
        if let Some(step) = self.steps.get_mut(index) {
            step.status = StepStatus::Skipped;
            step.detail = Some(why.to_owned());
        }
        vec![index]
    }

    /// Ends the job, with whatever `more` does, in one transaction.
    pub async fn end<F>(
        &mut self,
        changed: &[usize],
        status: JobStatus,
        error: Option<JobError>,
        more: F,
    ) -> Result<(), Stop>
    where
        F: for<'a> Fn(&'a mut Conn, Timestamp) -> BoxFuture<'a, Result<(), Fault>> + Send + Sync + 'static,
    {
        tracing::info!(job = %self.lease.job, %status, code = error.as_ref().map_or("none", |e| e.code.as_str()), "job ends");
        let lease = self.lease.clone();
        let more = Arc::new(more);
        self.write(changed, move |c, now| {
            let (lease, error, more) = (lease.clone(), error.clone(), more.clone());
            Box::pin(async move {
                c.job_finish(&lease.job, lease.fence, status, error.as_ref(), now).await?;
                more(c, now).await
            })
        })
        .await
    }

    /// What a machine costs that was made from one of the pairs that were chosen, whichever of them
    /// are still tried.
    fn priced(&self, facts: MachineFacts) -> MachineFacts {
        let chosen = self.state.journal.get(CHOSEN).cloned();
        let pairs = chosen.and_then(|it| serde_json::from_value::<Chosen>(it).ok()).map(|it| it.pairs);
        let same = |it: &Pair| {
            facts.price_monthly.is_none()
                && Some(&it.server_type) == facts.server_type.as_ref()
                && Some(&it.location) == facts.location.as_ref()
        };
        match pairs.unwrap_or_default().into_iter().find(same) {
            Some(Pair { price_monthly, price_hourly, .. }) => MachineFacts { price_monthly, price_hourly, ..facts },
            None => facts,
        }
    }

    fn note(&mut self, stop: Stop) -> JournalLost {
        self.stopped = Some(stop);
        JournalLost
    }
}

#[async_trait]
impl Journal for JobJournal {
    fn get(&self, key: &str) -> Option<Value> {
        self.state.journal.get(key).cloned()
    }

    async fn put(&mut self, key: &str, value: Value) -> Result<(), JournalLost> {
        self.state.journal.insert(key.to_owned(), value);
        self.write(&[], |_, _| Box::pin(async { Ok(()) })).await.map_err(|stop| self.note(stop))
    }

    async fn step(&mut self, step: &'static str, label: &str) -> Result<(), JournalLost> {
        if self.undoing {
            let (name, label) = (format!("undo_{step}"), format!("Undo: {label}"));
            return self.begin(&name, &label, |_, _| Box::pin(async { Ok(()) })).await.map_err(|stop| self.note(stop));
        }
        let happened = (self.events)(step);
        let node = self.node.clone();
        let begun = self
            .begin(step, label, move |c, now| {
                let node = node.clone();
                Box::pin(async move {
                    match (happened, node) {
                        (Some(event), Some(node)) => node_event_in(c, &node, event, now).await,
                        _ => Ok(()),
                    }
                })
            })
            .await;
        begun.map_err(|stop| self.note(stop))
    }

    async fn detail(&mut self, text: &str, _progress: Option<u8>) -> Result<(), JournalLost> {
        let Some(index) = self.current else { return Ok(()) };
        if let Some(step) = self.steps.get_mut(index) {
            step.detail = Some(text.to_owned());
        }
        self.write(&[index], |_, _| Box::pin(async { Ok(()) })).await.map_err(|stop| self.note(stop))
    }

    async fn may_try(&mut self, pair: &Pair) -> Result<bool, JournalLost> {
        let Some(first) = self.chosen().and_then(|chosen| chosen.pairs.into_iter().next()) else { return Ok(true) };
        self.services.pair_within_cap(&first, pair).await.map_err(|fault| self.note(fault.into()))
    }

    async fn found(&mut self, facts: MachineFacts) -> Result<(), JournalLost> {
        let Some(node) = self.node.clone() else { return Ok(()) };
        let facts = self.priced(facts);
        self.write(&[], move |c, now| {
            let (node, facts) = (node.clone(), facts.clone());
            Box::pin(async move { node_found_in(c, &node, &facts, now).await })
        })
        .await
        .map_err(|stop| self.note(stop))
    }
}
