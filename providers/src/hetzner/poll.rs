//! Waiting for what the vendor has accepted. Rule: the pause grows, is longer when little is left
//! of the project's calls, and every wait has a deadline.

use std::time::Duration;

use domain::code::Code;
use tokio::time::{Instant, sleep};

use super::{
    board,
    core::Core,
    wire::{Action, ActionState},
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

    /// Waits before the next question; after a transient error as long as it asks for.
    ///
    /// # Errors
    /// `PROVIDER_ACQUISITION_TIMEOUT` at the deadline; an error that is not transient as it is.
    pub(super) async fn pause(&mut self, after: Option<ProviderError>) -> Result<(), ProviderError> {
        if let Some(error) = after.as_ref()
            && !error.is_transient()
        {
            return after.map_or(Ok(()), Err);
        }
        let asked = after.as_ref().and_then(|error| error.retry_after).unwrap_or_default();
        let pause = self.core.pace(self.wait).max(asked);
        if Instant::now() + pause >= self.deadline {
            let message = "The vendor did not finish what it accepted by the deadline.";
            let mut late = ProviderError::new(Code::ProviderAcquisitionTimeout, message).with_effect(Effect::Happened);
            late.correlation_id = after.as_ref().and_then(|error| error.correlation_id.clone());
            late.source = after.map(Into::into);
            return Err(late);
        }
        sleep(pause).await;
        self.wait = (self.wait * 3 / 2).min(self.core.timeouts.poll_most);
        Ok(())
    }
}

/// Waits until every action has ended well. One that the vendor does not know any more counts as
/// ended: what it did is seen at the server itself.
///
/// # Errors
/// `PROVIDER_ACQUISITION_FAILED` when one ends in error, `PROVIDER_ACQUISITION_TIMEOUT` at the
/// deadline.
pub(super) async fn actions_end(
    core: &Core,
    ids: &[String],
    deadline: Instant,
    journal: &mut dyn Journal,
) -> Result<(), ProviderError> {
    let _watcher = core.board.watch();
    let mut told = None;
    for id in ids {
        let mut poll = Poll::until(core, deadline);
        loop {
            let trouble = match board::action(core, id).await {
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
                    None
                }
                Err(error) => Some(error),
            };
            poll.pause(trouble).await?;
        }
    }
    Ok(())
}

/// An action that ended in error.
pub(super) fn failed(action: &Action) -> ProviderError {
    let code = action.error_code.as_deref().map(|code| format!(" ({code})")).unwrap_or_default();
    let message = format!("The vendor's action {} ended in error{code}.", action.command);
    ProviderError::new(Code::ProviderAcquisitionFailed, message).with_effect(Effect::Happened)
}
