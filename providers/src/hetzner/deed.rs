//! Does one thing to a server that may be done again: look, do, look. Rule: what is done next is
//! decided by how the server stands and never by what was asked for, so a crash or a lost answer
//! needs nothing but another look.

use std::time::Duration;

use domain::code::Code;
use reqwest::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    core::Core,
    errors::Scope,
    find,
    poll::{Poll, actions_end, server_soon},
    wire::{Action, Server},
};
use crate::{
    budget::Class,
    error::{Effect, ProviderError},
    journal::Journal,
};

/// How often it is asked for in one run although it was accepted or may have been.
const TRIES_MOST: u32 = 4;

/// What is to be done.
pub(super) struct Deed<'a> {
    /// POST or DELETE.
    pub(super) method: Method,
    /// Below `/servers/{id}`: empty, or such as `/actions/poweron`.
    pub(super) tail: &'static str,
    pub(super) body: Option<&'a Value>,
    /// A step that begins when the vendor has accepted it.
    pub(super) then: Option<(&'static str, &'static str)>,
}

impl Deed<'_> {
    pub(super) fn action(tail: &'static str) -> Self {
        Self { method: Method::POST, tail, body: None, then: None }
    }
}

/// What a look at the server says; it is `None` when the server is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It is as it should be, or nothing can be done about it.
    Done,
    /// It is on its way.
    Wait,
    /// It is to be asked for.
    Act,
}

/// Does `deed` to `server` until `next` says that it is done, and gives the server as it was seen
/// then. `next` is also told how often the vendor accepted the deed so far, or may have. A server on which another action runs refuses (423, or 409 `conflict`), and nothing
/// happens: that is waited out for as long as one write may take, so that an undo right after a
/// create need not fail first.
///
/// # Errors
/// `PROVIDER_LOCKED` when it stays locked, what the vendor says of an action that ends in error,
/// `PROVIDER_ACQUISITION_TIMEOUT` at the deadline.
pub(super) async fn done(
    core: &Core,
    server: Server,
    deed: &Deed<'_>,
    deadline: Instant,
    journal: &mut dyn Journal,
    next: impl Fn(Option<&Server>, u32) -> Next + Send,
) -> Result<Option<Server>, ProviderError> {
    let id = server.id.clone();
    let path = format!("/servers/{id}{}", deed.tail);
    let mut lock = Lock::new(core.timeouts.write);
    let mut poll = Poll::until(core, deadline);
    let mut tries = 0;
    let mut seen = Some(server);
    loop {
        let trouble = match next(seen.as_ref(), tries) {
            Next::Done => return Ok(seen),
            Next::Wait => None,
            // It was accepted and has ended well: what it did is only not seen yet.
            Next::Act if tries >= TRIES_MOST => None,
            Next::Act => match core.write(Class::Tend, deed.method.clone(), &path, deed.body, Scope::Resource).await {
                Ok(answer) => {
                    tries += 1;
                    if let Some((step, label)) = deed.then {
                        journal.step(step, label).await?;
                    }
                    if let Some(action) = Action::read(&answer["action"]) {
                        actions_end(core, &[action.id], deadline, journal).await?;
                    }
                    seen = look(core, &id, &deed.method).await?;
                    continue;
                }
                Err(error) if error.code == Code::ProviderResourceGone => None,
                Err(error) if error.code == Code::ProviderLocked => {
                    lock.wait(core, error, journal).await?;
                    seen = look(core, &id, &deed.method).await?;
                    continue;
                }
                Err(error) if error.effect == Effect::None => return Err(error),
                Err(error) => {
                    tries += 1;
                    if tries >= TRIES_MOST {
                        return Err(error);
                    }
                    Some(error)
                }
            },
        };
        poll.pause(trouble).await?;
        seen = look(core, &id, &deed.method).await?;
    }
}

/// A server that is taken away is asked for by itself: what a list lacks would be asked for
/// anyway. Others are asked for together.
async fn look(core: &Core, id: &str, method: &Method) -> Result<Option<Server>, ProviderError> {
    let until = Instant::now() + core.timeouts.read * 3;
    let mut poll = Poll::until(core, until);
    loop {
        let told = if *method == Method::DELETE {
            find::by_id(core, Class::Tend, id).await
        } else {
            server_soon(core, id).await
        };
        match told {
            Err(error) if error.is_transient() => poll.pause(Some(error)).await?,
            other => return other,
        }
    }
}

/// Waits out another action on the same server.
pub(super) struct Lock {
    most: Duration,
    since: Option<Instant>,
    wait: Duration,
}

impl Lock {
    pub(super) fn new(most: Duration) -> Self {
        Self { most, since: None, wait: Duration::ZERO }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// The refusal itself, once it has lasted for as long as one write may take.
    pub(super) async fn wait(
        &mut self,
        core: &Core,
        refusal: ProviderError,
        journal: &mut dyn Journal,
    ) -> Result<(), ProviderError> {
        let now = Instant::now();
        if self.since.is_none() {
            journal.detail("Waiting for another action on the server to end", None).await?;
            self.wait = core.timeouts.poll_first;
        }
        let since = *self.since.get_or_insert(now);
        let pause = core.pace(self.wait, 1);
        if now + pause >= since + self.most {
            return Err(refusal.with_effect(Effect::None));
        }
        tokio::time::sleep(pause).await;
        self.wait = (self.wait * 3 / 2).min(core.timeouts.poll_most);
        Ok(())
    }
}
