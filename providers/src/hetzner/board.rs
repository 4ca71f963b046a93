//! Asks how actions stand, once for everybody who waits: the project's calls are shared, so many
//! waiting jobs ask in one call of up to 25 ids. Rule: whoever holds the turn asks for all that
//! wait; when it is dropped in between, those whom it left without an answer ask again.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use domain::code::Code;
use futures::future::join_all;
use tokio::{sync::oneshot, time::sleep};

use super::{core::Core, errors::Scope, wire::Action};
use crate::error::ProviderError;

/// What the vendor takes in one call.
const IDS_MOST: usize = 25;

/// `None` for an action that the vendor does not know (any more).
type Told = Result<Option<Action>, ProviderError>;
type Waiting = BTreeMap<String, Vec<oneshot::Sender<Told>>>;

/// Who waits for which action.
#[derive(Default)]
pub(super) struct Board {
    waiting: Mutex<Waiting>,
    turn: tokio::sync::Mutex<()>,
    watchers: AtomicUsize,
}

/// Somebody who waits for actions; gone when dropped.
pub(super) struct Watcher<'a>(&'a Board);

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Board {
    pub(super) fn watch(&self) -> Watcher<'_> {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Watcher(self)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, id: &str) -> oneshot::Receiver<Told> {
        let (sender, receiver) = oneshot::channel();
        self.waiting().entry(id.to_owned()).or_default().push(sender);
        receiver
    }

    /// Asks `core` for all that wait, or lets whoever asks already do it.
    async fn told(&self, core: &Core, id: &str) -> Told {
        loop {
            let mut mine = self.enter(id);
            let turn = tokio::select! {
                biased;
                told = &mut mine => match told {
                    Ok(told) => return told,
                    // Whoever asked was dropped.
                    Err(_) => continue,
                },
                turn = self.turn.lock() => turn,
            };
            if self.watchers.load(Ordering::Relaxed) > 1 {
                // The others come soon.
                sleep(core.timeouts.poll_first / 2).await;
            }
            self.ask(core).await;
            drop(turn);
            if let Ok(told) = mine.try_recv() {
                return told;
            }
        }
    }

    async fn ask(&self, core: &Core) {
        let batch: Vec<_> = {
            let mut waiting = self.waiting();
            std::iter::from_fn(|| waiting.pop_first()).take(IDS_MOST).collect()
        };
        let ids: Vec<&str> = batch.iter().map(|(id, _)| id.as_str()).collect();
        let mut told = many(core, &ids).await;
        for (id, senders) in batch {
            let mut answer = told.remove(&id).unwrap_or(Ok(None));
            for sender in senders {
                let copy = copy(&answer);
                // Whoever does not wait any more does not hear it.
                let _ = sender.send(std::mem::replace(&mut answer, copy));
            }
        }
    }
}

/// How an action stands; `None` when the vendor does not know it (any more).
pub(super) async fn action(core: &Core, id: &str) -> Told {
    core.board.told(core, id).await
}

async fn many(core: &Core, ids: &[&str]) -> BTreeMap<String, Told> {
    let mut told = BTreeMap::new();
    if ids.len() > 1 {
        let mut query: Vec<_> = ids.iter().map(|id| ("id", *id)).collect();
        query.push(("per_page", "50"));
        match core.get("/actions", &query, Scope::Collection).await {
            Ok(body) => {
                let actions = body["actions"].as_array().into_iter().flatten().filter_map(Action::read);
                told.extend(actions.map(|action| (action.id.clone(), Ok(Some(action)))));
            }
            // Not every implementation lists actions by id: then each is asked for by itself.
            Err(error) if error.code == Code::ProviderInvalidRequest => {}
            Err(error) => {
                let all = ids.iter().map(|id| ((*id).to_owned(), Err(copy_of(&error))));
                return all.collect();
            }
        }
    }
    let missing = ids.iter().filter(|id| !told.contains_key(**id));
    let one = |id: &&str| {
        let id = (*id).to_owned();
        async move { (id.clone(), one(core, &id).await) }
    };
    let singles = join_all(missing.map(one)).await;
    told.extend(singles);
    told
}

async fn one(core: &Core, id: &str) -> Told {
    match core.get(&format!("/actions/{id}"), &[], Scope::Resource).await {
        Ok(body) => Ok(Action::read(&body["action"])),
        Err(error) if error.code == Code::ProviderResourceGone => Ok(None),
        Err(error) => Err(error),
    }
}

fn copy(told: &Told) -> Told {
    match told {
        Ok(action) => Ok(action.clone()),
        Err(error) => Err(copy_of(error)),
    }
}

/// The same failure for another who waits; what lies beneath stays with the first.
fn copy_of(error: &ProviderError) -> ProviderError {
    let mut copy = ProviderError::new(error.code, error.message.clone()).with_effect(error.effect);
    copy.correlation_id.clone_from(&error.correlation_id);
    copy.retry_after = error.retry_after;
    copy
}
