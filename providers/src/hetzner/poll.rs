//! Waiting for what the vendor has accepted. Rule: the pause grows, is longer when little is left
//! of the project's calls, and every wait has a deadline.

use std::time::Duration;

use domain::code::Code;
use tokio::time::{Instant, sleep_until};

use super::{
    board::Told,
    core::Core,
    errors::failed,
    wire::{ActionState, Server},
};
use crate::{
    error::{Effect, ProviderError},
    journal::Journal,
};

/// Pauses between questions.
pub(super) struct Poll<'a> {
    core: &'a Core,
    wait: Duration,
    deadline: Instant,
}

impl<'a> Poll<'a> {
    pub(super) fn until(core: &'a Core, deadline: Instant) -> Self {
        Self { core, wait: core.timeouts.poll_first, deadline }
    }

    /// When to ask next, where asking costs `calls`; after a transient error as late as it says.
    ///
    /// # Errors
    /// `PROVIDER_ACQUISITION_TIMEOUT` at the deadline; an error that is not transient as it is.
    pub(super) fn due(&mut self, after: Option<ProviderError>, calls: usize) -> Result<Instant, ProviderError> {
        if let Some(error) = after.as_ref()
            && !error.is_transient()
        {
            return after.map_or(Ok(self.deadline), Err);
        }
        let asked = after.as_ref().and_then(|error| error.retry_after).unwrap_or_default();
        let due = Instant::now() + self.core.pace(self.wait, calls).max(asked);
        if due >= self.deadline {
            let message = "The vendor did not finish what it accepted by the deadline.";
            let mut late = ProviderError::new(Code::ProviderAcquisitionTimeout, message).with_effect(Effect::Happened);
            late.correlation_id = after.as_ref().and_then(|error| error.correlation_id.clone());
            late.source = after.map(Into::into);
            return Err(late);
        }
        self.wait = (self.wait * 3 / 2).min(self.core.timeouts.poll_most);
        Ok(due)
    }

    /// Waits before the next question, which costs one call.
    ///
    /// # Errors
    /// As [`Poll::due`].
    pub(super) async fn pause(&mut self, after: Option<ProviderError>) -> Result<(), ProviderError> {
        sleep_until(self.due(after, 1)?).await;
        Ok(())
    }
}

/// Waits until every action has ended well. One that the vendor does not know any more counts as
/// ended: what it did is seen at the server itself.
///
/// # Errors
/// What [`failed`] says when one ends in error, `PROVIDER_ACQUISITION_TIMEOUT` at the deadline.
pub(super) async fn actions_end(
    core: &Core,
    ids: &[String],
    deadline: Instant,
    journal: &mut dyn Journal,
) -> Result<(), ProviderError> {
    let mut told = None;
    for id in ids {
        let mut poll = Poll::until(core, deadline);
        let mut trouble = None;
        loop {
            let due = match poll.due(trouble.take(), core.actions.calls()) {
                Ok(due) => due,
                Err(mut error) => {
                    error.correlation_id.get_or_insert_with(|| format!("action-{id}"));
                    return Err(error);
                }
            };
            match core.actions.told(core, id, due).await {
                Ok(None) => break,
                Ok(Some(action)) => {
                    match action.state {
                        ActionState::Success => break,
                        ActionState::Error => return Err(failed(&action)),
                        ActionState::Running => {}
                    }
                    let news = (id.clone(), action.progress);
                    if told.as_ref() != Some(&news) {
                        journal.detail(&format!("{} runs at the vendor", action.command), action.progress).await?;
                        told = Some(news);
                    }
                }
                Err(error) => trouble = Some(error),
            }
        }
    }
    Ok(())
}

/// How a server stands, asked soon together with whoever else wants to know.
pub(super) async fn server_soon(core: &Core, id: &str) -> Told<Server> {
    core.servers.told(core, id, Instant::now() + core.timeouts.poll_first / 4).await
}
