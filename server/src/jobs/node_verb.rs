//! Suspend, resume, change of type and rebuild: one frame for all of them. The vendor's part first,
//! then the checks; what fails for good is put back to where it was, by looking at what the vendor
//! says. The rule: a verb never ends with a node in a working state, and never takes away a machine
//! that served.

use std::sync::Arc;

use ::providers::{InfraProvider, Journal as _, MachinePower, MachineStatus, StackWish, UpgradeWish};
use domain::{
    code::{Code, Retry},
    id::NodeId,
    job::{JobError, JobStatus, StepStatus},
    node::{Cleanup, NodeEvent, ReasonCode},
    time::MINUTE,
};
use store::{JobRow, NodeRow, ProviderRow};

use super::{
    journal::{JobJournal, no_events},
    node_prepare::{PREPARE, checked, prepare, rows, target, user_data, verify},
    runner::{Failure, Signals, Stop, again, back_off, postpone},
};
use crate::{
    fault::Fault,
    services::{
        Cleaned, HEALTH_WITHIN, Lease, NewType, Power, Services, Undo, Verb, node_event_in, node_failed_in,
        node_place_lock_in, node_port_in, node_price_kept_in, node_ready_in, node_rebuilt_in, node_rolled_back_in,
        node_settled_in, node_stopped_in, node_tag_in, node_type_in, node_upgraded_in,
    },
};

const SHUT_DOWN: (&str, &str) = ("shut_down", "Ask the server to shut down");
const POWER_OFF: (&str, &str) = ("power_off", "Switch the server off");
const POWER_ON: (&str, &str) = ("power_on", "Switch the server on");
const CHANGE_TYPE: (&str, &str) = ("change_type", "Change the server's type");
const PULL: (&str, &str) = ("pull_images", "Get the images");
const UPGRADE: (&str, &str) = ("upgrade_services", "Make the application services anew");
/// What going back to the old tag is called, by the adapter and here.
const ROLL_BACK: &str = "roll_back";
const REBUILD: (&str, &str) = ("rebuild", "Lay the server anew");

/// A verb that is not done by then is given up.
const DEADLINE: i64 = 60 * MINUTE;

/// How often putting things back is tried before a person has to look.
const UNDO_TRIES: u32 = 12;

/// How often a stack is looked at again whose services are on their way.
const LOOKS_AT_CHANGING: u32 = 2;

/// What the journal's entry is called that tells that a rebuild may have been begun.
const REBUILD_BEGUN: &str = "rebuild";

fn plan(verb: &Verb, is_stack: bool) -> Vec<(&'static str, &'static str)> {
    match verb {
        Verb::Suspend if is_stack => vec![(SHUT_DOWN.0, "Stop the application services")],
        Verb::Resume if is_stack => vec![(POWER_ON.0, "Start the application services"), PREPARE[2]],
        Verb::Suspend => vec![SHUT_DOWN, POWER_OFF],
        Verb::Resume => vec![POWER_ON, PREPARE[2]],
        Verb::ChangeType(_) => vec![SHUT_DOWN, POWER_OFF, CHANGE_TYPE, POWER_ON, PREPARE[2]],
        Verb::ChangeTag { suspended: true, .. } => vec![PULL, UPGRADE],
        Verb::ChangeTag { .. } => vec![PULL, UPGRADE, PREPARE[2]],
        Verb::Rebuild { .. } => vec![REBUILD, PREPARE[0], PREPARE[1], PREPARE[2]],
        Verb::HealthCheck | Verb::Exec { .. } => Vec::new(),
    }
}

/// Runs the job once.
pub(super) async fn run(services: &Arc<Services>, job: &JobRow, lease: &Lease, signals: Signals) -> Result<(), Stop> {
    let id: NodeId = job.subject.id.parse().map_err(|e| Stop::from(Fault::internal(&e)))?;
    let state: crate::services::NodeJobState = serde_json::from_value(job.state.clone()).unwrap_or_default();
    let Some(verb) = state.verb else {
        return Err(Stop::Failed(Failure::new(Code::Internal, "This job does not say what it is to do.")));
    };
    let known = services.store().read().await.map_err(Fault::from)?.node_get(&id).await.map_err(Fault::from)?;
    let plan = plan(&verb, known.is_some_and(|node| node.blueprint.is_some()));
    let mut journal = JobJournal::open(services, job, lease, id.clone(), signals, &plan, no_events).await?;
    let mut work = Work { services, job, lease, id, verb };
    let undo = match journal.state.undo.clone() {
        Some(undo) => undo,
        None => {
            let failure = match work.forward(&mut journal).await {
                Ok(()) => return Ok(()),
                Err(Stop::Lost) => match journal.stopped() {
                    Some(Stop::Failed(failure)) => failure,
                    _ => return Err(Stop::Lost),
                },
                Err(Stop::Cancelled) => Failure::new(Code::JobCancelled, "The job was cancelled."),
                Err(Stop::Failed(failure)) => failure,
            };
            // An adapter that goes back by itself does so because this step did not succeed.
            let went_back = journal.is_at(ROLL_BACK);
            let mut closed = journal.close(StepStatus::Failed, Some(&failure.error.message), services.clock().now());
            if went_back {
                closed.extend(journal.refute(UPGRADE.0, &failure.error.message));
            }
            if again(&failure, job) && !work.is_late() {
                journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;
                return Err(Stop::Failed(failure));
            }
            let undo = Undo { error: failure.error, ends: JobStatus::Failed };
            journal.state.undo = Some(undo.clone());
            journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;
            undo
        }
    };
    journal.undoing();
    work.put_back(undo, &mut journal).await
}

/// One run of one verb.
struct Work<'a> {
    services: &'a Arc<Services>,
    job: &'a JobRow,
    lease: &'a Lease,
    id: NodeId,
    verb: Verb,
}

/// What was found when things were put back.
enum Found {
    /// The verb has come about after all: the node is what was wanted.
    Came,
    /// The node is as it was before, and these reasons speak against it.
    AsBefore(Vec<ReasonCode>),
    /// Nobody can say, or it is neither: a person has to look.
    Neither,
}

impl Work<'_> {
    fn is_late(&self) -> bool {
        let begun = self.job.started_at.unwrap_or(self.job.created_at);
        self.services.clock().now().since(begun) > DEADLINE
    }

    /// From wherever the run before stopped to the verb's end.
    async fn forward(&mut self, journal: &mut JobJournal) -> Result<(), Stop> {
        if self.is_late() && !journal.state.handed_over {
            let words = "The work was not done by its deadline.";
            return Err(Stop::Failed(Failure { retry: Retry::No, ..Failure::new(Code::JobTimeout, words) }));
        }
        if !journal.state.handed_over {
            let (node, provider) = rows(self.services, &self.id).await?;
            let open = self.services.account(&provider)?;
            let infra = open.account.infra().ok_or_else(no_infra)?;
            match self.verb.clone() {
                Verb::Suspend => {
                    let grace = self.services.settings().work.shutdown_grace;
                    infra.suspend(&target(&node), grace, journal).await?;
                    return self.stopped(journal).await;
                }
                Verb::Resume => {
                    let status = infra.resume(&target(&node), journal).await?;
                    self.type_noted(&node, &provider, &status, journal).await?;
                    self.port_noted(&status, journal).await?;
                    return self.resumed(journal).await;
                }
                Verb::ChangeType(new) => {
                    let graceful = self.services.settings().work.shutdown_grace;
                    let wish = UpgradeWish::Type { server_type: new.server_type.clone(), graceful };
                    infra.upgrade(&target(&node), &wish, journal).await?;
                    self.handed_over(journal, Changed::Type(new)).await?;
                }
                Verb::ChangeTag { tag, from, suspended } => {
                    let wish = self.tag_wish(&node, &tag, from, suspended).await?;
                    let status = infra.upgrade(&target(&node), &wish, journal).await?;
                    if suspended {
                        // What does not run has nothing to check; it is checked when it is resumed.
                        return self.still_suspended(None, journal).await;
                    }
                    self.port_noted(&status, journal).await?;
                    // Only what passes its checks is its version: until then the way back is open.
                    checked(self.services, &self.id, journal, Power::SeenRunning).await?;
                    return self.ready(journal, vec![NodeEvent::Upgraded, NodeEvent::Verified], Vec::new(), None).await;
                }
                Verb::Rebuild { image } => self.rebuild(infra, &node, image, journal).await?,
                Verb::HealthCheck | Verb::Exec { .. } => return Err(no_infra()),
            }
        }
        prepare(self.services, &self.id, journal).await?;
        self.checked_and_ready(journal).await
    }

    /// The node's stack in the version `tag`.
    async fn tag_wish(&self, node: &NodeRow, tag: &str, from: String, suspended: bool) -> Result<UpgradeWish, Stop> {
        let stack = self.services.stack_wish(node).await?.ok_or_else(no_infra)?;
        Ok(UpgradeWish::Tag { stack: Box::new(StackWish { tag: tag.to_owned(), ..stack }), from, suspended })
    }

    /// A machine may answer at another port whenever it was started.
    async fn port_noted(&self, status: &MachineStatus, journal: &mut JobJournal) -> Result<(), Stop> {
        let Some(port) = status.cockpit_port else { return Ok(()) };
        let id = self.id.clone();
        journal
            .write(&[], move |c, now| {
                let id = id.clone();
                Box::pin(async move { node_port_in(c, &id, port, now).await })
            })
            .await
    }

    async fn checked_and_ready(&self, journal: &mut JobJournal) -> Result<(), Stop> {
        let rest = journal.skip_rest_but(PREPARE[2].0);
        journal.write(&rest, |_, _| Box::pin(async { Ok(()) })).await?;
        verify(self.services, &self.id, journal, Power::SeenRunning).await
    }

    /// The vendor's part of a rebuild: with a host key that nobody before has seen.
    async fn rebuild(
        &self,
        infra: &dyn InfraProvider,
        node: &NodeRow,
        image: String,
        journal: &mut JobJournal,
    ) -> Result<(), Stop> {
        if journal.state.fresh_key.is_none() {
            // Stored before it is sent: whoever goes on after a crash must know which key is there.
            journal.state.fresh_key = Some(self.services.host_key(&self.id)?);
            journal.write(&[], |_, _| Box::pin(async { Ok(()) })).await?;
        }
        let sealed = journal.state.fresh_key.as_ref().map(|(_, sealed)| sealed.clone());
        let fresh = NodeRow { host_key_sealed: sealed, ..node.clone() };
        let host_key = self.services.host_key_open(&fresh)?;
        let managed_key = self.services.managed_key().await?;
        let user_data = user_data(node, host_key.as_ref(), managed_key)?;
        let wish = UpgradeWish::Image { image: image.clone(), user_data };
        if let Err(error) = infra.upgrade(&target(node), &wish, journal).await {
            let mut stop = Stop::from(error);
            // Nobody's data is on a machine that was given back: laying it is simply tried again.
            if let (true, Stop::Failed(failure)) = (journal.state.cleaning, &mut stop)
                && failure.error.code == Code::ProviderAcquisitionFailed
            {
                failure.retry = Retry::Yes;
            }
            return Err(stop);
        }
        self.handed_over(journal, Changed::Image(image)).await
    }

    /// The vendor's part is over: from here on it is the machine that has to answer.
    async fn handed_over(&self, journal: &mut JobJournal, changed: Changed) -> Result<(), Stop> {
        journal.state.handed_over = true;
        let (node, key) = (self.id.clone(), journal.state.fresh_key.clone());
        let closed = journal.close(StepStatus::Succeeded, None, self.services.clock().now());
        let stored = journal
            .write(&closed, move |c, now| {
                let (node, key, changed) = (node.clone(), key.clone(), changed.clone());
                Box::pin(async move {
                    match changed {
                        Changed::Type(new) => node_upgraded_in(c, &node, &new, now).await,
                        Changed::Image(image) => node_rebuilt_in(c, &node, &image, key.as_ref(), now).await,
                    }
                })
            })
            .await;
        if stored.is_err() {
            journal.state.handed_over = false;
        }
        stored
    }

    async fn is_stack(&self) -> Result<bool, Stop> {
        Ok(rows(self.services, &self.id).await?.0.blueprint.is_some())
    }

    /// The machine is stopped: the suspension is done.
    async fn stopped(&self, journal: &mut JobJournal) -> Result<(), Stop> {
        let words = match self.is_stack().await? {
            true => "Its application services are stopped; its data is kept.",
            false => "The server is stopped. It is kept, and still billed.",
        };
        let mut closed = journal.close(StepStatus::Succeeded, Some(words), self.services.clock().now());
        closed.extend(journal.skip_rest());
        let node = self.id.clone();
        journal
            .end(&closed, JobStatus::Succeeded, None, move |c, now| {
                let node = node.clone();
                Box::pin(async move { node_stopped_in(c, &node, NodeEvent::Suspended, now).await })
            })
            .await
    }

    /// A change of type that failed on the way may have come about at the vendor all the same: what
    /// runs now is what is billed.
    async fn type_noted(
        &self,
        node: &NodeRow,
        provider: &ProviderRow,
        status: &MachineStatus,
        journal: &mut JobJournal,
    ) -> Result<(), Stop> {
        let Some(now_is) = status.server_type.clone().filter(|it| node.server_type.as_ref() != Some(it)) else {
            return Ok(());
        };
        let new = self.services.type_price(provider, &now_is, node.location.as_deref()).await;
        let id = self.id.clone();
        journal
            .write(&[], move |c, now| {
                let (id, new) = (id.clone(), new.clone());
                Box::pin(async move { node_type_in(c, &id, &new, now).await })
            })
            .await
    }

    /// The machine runs: the resumption is done once it passes its checks.
    async fn resumed(&self, journal: &mut JobJournal) -> Result<(), Stop> {
        checked(self.services, &self.id, journal, Power::SeenRunning).await?;
        self.ready(journal, vec![NodeEvent::Resumed], Vec::new(), None).await
    }

    /// The node is in service again, and the job over. What was given back meanwhile is cleaned now.
    async fn ready(
        &self,
        journal: &mut JobJournal,
        happened: Vec<NodeEvent>,
        reasons: Vec<ReasonCode>,
        error: Option<JobError>,
    ) -> Result<(), Stop> {
        let mut closed = journal.close(StepStatus::Succeeded, None, self.services.clock().now());
        closed.extend(journal.skip_rest());
        let status = if error.is_some() { JobStatus::Failed } else { JobStatus::Succeeded };
        let (node, cleaner) = (self.id.clone(), self.services.cleaner());
        let new = match &self.verb {
            Verb::ChangeType(new) => Some(new.clone()),
            _ => None,
        };
        let back = match (&self.verb, &error) {
            (Verb::ChangeTag { tag, from, .. }, Some(why)) => Some((tag.clone(), from.clone(), why.code)),
            _ => None,
        };
        let tag = match &self.verb {
            Verb::ChangeTag { tag, .. } => Some(tag.clone()),
            _ => None,
        };
        journal
            .end(&closed, status, error, move |c, now| {
                let (node, cleaner, new, tag) = (node.clone(), cleaner.clone(), new.clone(), tag.clone());
                let back = back.clone();
                let (happened, reasons) = (happened.clone(), reasons.clone());
                Box::pin(async move {
                    node_place_lock_in(c, &node).await?;
                    for event in happened {
                        match (event, &new) {
                            (NodeEvent::Upgraded, Some(new)) => node_upgraded_in(c, &node, new, now).await?,
                            (NodeEvent::Upgraded, None) => {
                                node_event_in(c, &node, event, now).await?;
                                if let Some(tag) = &tag {
                                    node_tag_in(c, &node, tag, now).await?;
                                }
                            }
                            (NodeEvent::UpgradeUndone, Some(new)) => {
                                node_price_kept_in(c, &node, new, now).await?;
                                node_ready_in(c, &node, event, &reasons, Cleaned::No, now).await?;
                            }
                            (event, _) => node_ready_in(c, &node, event, &reasons, Cleaned::No, now).await?,
                        }
                    }
                    if let Some((tag, from, code)) = back {
                        node_rolled_back_in(c, &node, (&tag, &from), code, now).await?;
                    }
                    node_settled_in(c, &node, &cleaner, now).await
                })
            })
            .await
    }

    /// The verb is given up: the node goes back to where the vendor says that it is.
    async fn put_back(&self, undo: Undo, journal: &mut JobJournal) -> Result<(), Stop> {
        if journal.state.handed_over || undo.error.code == Code::ProviderResourceGone {
            return self.failed(undo, journal).await;
        }
        let found = match self.look(&undo, journal).await {
            Ok(found) => found,
            Err(Stop::Lost) => match journal.stopped() {
                Some(Stop::Failed(failure)) => return self.put_back_later(undo, failure, journal).await,
                _ => return Err(Stop::Lost),
            },
            Err(Stop::Failed(failure)) => return self.put_back_later(undo, failure, journal).await,
            Err(Stop::Cancelled) => Found::Neither,
        };
        match (&self.verb, found) {
            (_, Found::Neither) => self.failed(undo, journal).await,
            (Verb::Suspend, Found::Came) => self.stopped(journal).await,
            (Verb::Resume, Found::Came) => self.ready(journal, vec![NodeEvent::Resumed], Vec::new(), None).await,
            (_, Found::Came) => {
                self.ready(journal, vec![NodeEvent::Upgraded, NodeEvent::Verified], Vec::new(), None).await
            }
            (Verb::Suspend, Found::AsBefore(reasons)) => {
                self.ready(journal, vec![NodeEvent::SuspendUndone], reasons, Some(undo.error)).await
            }
            (Verb::Resume, Found::AsBefore(_)) => self.still_stopped(undo, journal).await,
            (Verb::ChangeTag { suspended: true, .. }, Found::AsBefore(_)) => {
                self.still_suspended(Some(undo), journal).await
            }
            (Verb::ChangeType(_) | Verb::ChangeTag { .. }, Found::AsBefore(reasons)) => {
                self.ready(journal, vec![NodeEvent::UpgradeUndone], reasons, Some(undo.error)).await
            }
            (_, Found::AsBefore(reasons)) => {
                self.ready(journal, vec![NodeEvent::RebuildUndone], reasons, Some(undo.error)).await
            }
        }
    }

    /// Putting things back did not succeed now. The vendor may recover; a machine that was switched
    /// off for a verb is not left so because of one lost answer.
    async fn put_back_later(&self, undo: Undo, failure: Failure, journal: &mut JobJournal) -> Result<(), Stop> {
        journal.state.undo_tries += 1;
        let now = self.services.clock().now();
        let closed = journal.close(StepStatus::Failed, Some(&failure.error.message), now);
        if failure.retry != Retry::Yes || journal.state.undo_tries >= UNDO_TRIES {
            journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;
            return self.failed(undo, journal).await;
        }
        journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;
        let tried = JobRow { attempt: journal.state.undo_tries, ..self.job.clone() };
        let after = now.plus(back_off(self.services, &tried, failure.retry_after));
        postpone(self.services, self.lease, after, undo.error).await
    }

    /// Asks the vendor, and starts a machine that a change of type left switched off.
    async fn look(&self, undo: &Undo, journal: &mut JobJournal) -> Result<Found, Stop> {
        if let Verb::Rebuild { .. } = self.verb {
            let begun = journal.get(REBUILD_BEGUN).is_some_and(|noted| !noted.is_null() && noted["begun"] != false);
            // What was given back is never handed on uncleaned.
            if begun || journal.state.cleaning {
                return Ok(Found::Neither);
            }
            return Ok(Found::AsBefore(self.health().await?));
        }
        let (node, provider) = rows(self.services, &self.id).await?;
        let open = self.services.account(&provider)?;
        let infra = open.account.infra().ok_or_else(no_infra)?;
        if let Verb::ChangeTag { from, suspended, .. } = &self.verb {
            // The adapter goes back by itself; whatever kept it from that, here the old version is
            // what is wanted.
            let label = format!("Go back to the tag {from}");
            journal.begin(ROLL_BACK, &label, |_, _| Box::pin(async { Ok(()) })).await?;
            let wish = self.tag_wish(&node, from, from.clone(), *suspended).await?;
            let status = infra.upgrade(&target(&node), &wish, journal).await?;
            self.port_noted(&status, journal).await?;
            journal.begin(ROLL_BACK, &label, |_, _| Box::pin(async { Ok(()) })).await?;
            let has = if *suspended { "has" } else { "runs" };
            let words = format!("The stack {has} the tag {from} again.");
            let closed = journal.close(StepStatus::Succeeded, Some(&words), self.services.clock().now());
            journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;
            if *suspended {
                return Ok(Found::AsBefore(Vec::new()));
            }
            return match checked(self.services, &self.id, journal, Power::SeenRunning).await {
                Ok(()) => Ok(Found::AsBefore(Vec::new())),
                Err(Stop::Failed(_)) => Ok(Found::Neither),
                Err(stop) => Err(stop),
            };
        }
        if let Verb::ChangeType(new) = &self.verb {
            let status = infra.resume(&target(&node), journal).await?;
            return self.looked_at_type(new, &status, journal).await;
        }
        journal.step("look", "Look where the server stands").await.map_err(|_| Stop::Lost)?;
        let infra_id = node.infra_id.clone().unwrap_or_default();
        let mut status = infra.status(&infra_id).await?;
        if self.verb == Verb::Suspend && status.as_ref().is_some_and(|it| it.status == MachinePower::Running) {
            // A shutdown that was asked for may still be on its way: it runs on only if it does now.
            tokio::time::sleep(self.services.settings().work.shutdown_grace).await;
            status = infra.status(&infra_id).await?;
        }
        let Some(status) = status else { return Ok(Found::Neither) };
        let is_mixed = match status.status {
            // Some services run and some do not. Nothing works on them, so they stay so.
            MachinePower::Unknown => true,
            // One that ends again and again is on its way for ever.
            MachinePower::Changing => journal.state.undo_tries >= LOOKS_AT_CHANGING,
            _ => false,
        };
        if node.blueprint.is_some() && is_mixed {
            return Ok(Found::Neither);
        }
        match (&self.verb, status.status) {
            (_, MachinePower::Changing | MachinePower::Unknown) => Err(Stop::Failed(Failure {
                retry: Retry::Yes,
                ..Failure::new(Code::ProviderLocked, "The server is still changing at the vendor.")
            })),
            (Verb::Suspend, MachinePower::Off) => Ok(Found::Came),
            (Verb::Suspend, MachinePower::Running) => Ok(Found::AsBefore(self.health().await?)),
            (Verb::Resume, MachinePower::Off) => Ok(Found::AsBefore(Vec::new())),
            // It runs; what failed then was the answer or its checks.
            (Verb::Resume, MachinePower::Running) if !is_provisioning(undo.error.code) => {
                Ok(if self.health().await?.is_empty() { Found::Came } else { Found::Neither })
            }
            _ => Ok(Found::Neither),
        }
    }

    /// A machine that runs after a change of type was given up: of which type it is decides.
    async fn looked_at_type(
        &self,
        new: &NewType,
        status: &MachineStatus,
        journal: &mut JobJournal,
    ) -> Result<Found, Stop> {
        match checked(self.services, &self.id, journal, Power::SeenRunning).await {
            Ok(()) => {}
            Err(Stop::Failed(_)) => return Ok(Found::Neither),
            Err(stop) => return Err(stop),
        }
        Ok(match status.server_type.as_deref() == Some(new.server_type.as_str()) {
            true => Found::Came,
            false => Found::AsBefore(Vec::new()),
        })
    }

    async fn health(&self) -> Result<Vec<ReasonCode>, Stop> {
        let (node, provider) = rows(self.services, &self.id).await?;
        Ok(self.services.node_probe(&node, &provider, HEALTH_WITHIN).await?)
    }

    async fn still_stopped(&self, undo: Undo, journal: &mut JobJournal) -> Result<(), Stop> {
        let mut closed =
            journal.close(StepStatus::Succeeded, Some("It is still stopped."), self.services.clock().now());
        closed.extend(journal.skip_rest());
        let node = self.id.clone();
        journal
            .end(&closed, undo.ends, Some(undo.error), move |c, now| {
                let node = node.clone();
                Box::pin(async move { node_stopped_in(c, &node, NodeEvent::ResumeUndone, now).await })
            })
            .await
    }

    /// A suspended stack has its new version, or with `undo` the old one again, and is suspended still.
    async fn still_suspended(&self, undo: Option<Undo>, journal: &mut JobJournal) -> Result<(), Stop> {
        let Verb::ChangeTag { tag, from, .. } = self.verb.clone() else { return Err(no_infra()) };
        let words = "It stays suspended, and is checked when it is resumed.";
        let mut closed = journal.close(StepStatus::Succeeded, Some(words), self.services.clock().now());
        closed.extend(journal.skip_rest());
        let node = self.id.clone();
        let (status, error) = match undo {
            None => (JobStatus::Succeeded, None),
            Some(undo) => (undo.ends, Some(undo.error)),
        };
        let refused = error.as_ref().map(|error| error.code);
        journal
            .end(&closed, status, error, move |c, now| {
                let (node, tag, from) = (node.clone(), tag.clone(), from.clone());
                Box::pin(async move {
                    node_stopped_in(c, &node, NodeEvent::Suspended, now).await?;
                    match refused {
                        None => node_tag_in(c, &node, &tag, now).await,
                        Some(code) => node_rolled_back_in(c, &node, (&tag, &from), code, now).await,
                    }
                })
            })
            .await
    }

    /// The node fails in the stage it is in; its machine is kept.
    async fn failed(&self, undo: Undo, journal: &mut JobJournal) -> Result<(), Stop> {
        let mut closed = journal.close(StepStatus::Failed, None, self.services.clock().now());
        closed.extend(journal.skip_rest());
        let (node, why, cleaner) = (self.id.clone(), undo.error.clone(), self.services.cleaner());
        journal
            .end(&closed, undo.ends, Some(undo.error), move |c, now| {
                let (node, why, cleaner) = (node.clone(), why.clone(), cleaner.clone());
                Box::pin(async move {
                    node_failed_in(c, &node, &why, Cleanup::None, now).await?;
                    node_settled_in(c, &node, &cleaner, now).await
                })
            })
            .await
    }
}

/// What the vendor changed.
#[derive(Clone)]
enum Changed {
    Type(NewType),
    Image(String),
}

fn is_provisioning(code: Code) -> bool {
    code.as_str().starts_with("PROVISION_")
}

fn no_infra() -> Stop {
    Stop::Failed(Failure::new(Code::ProviderAcquisitionUnavailable, "This kind of account does not do this."))
}
