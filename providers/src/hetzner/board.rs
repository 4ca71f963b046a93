//! Asks how things stand, once for everybody who waits: the project's calls are shared, so many
//! waiting jobs ask together. Rule: whoever holds the turn asks for all that wait; when it is
//! dropped in between, those whom it left without an answer ask again.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::code::Code;
use futures::future::join_all;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    core::Core,
    errors::Scope,
    labels,
    wire::{Action, Server},
};
use crate::{budget::Class, error::ProviderError};

/// `None` for what the vendor does not know (any more).
pub(super) type Told<T> = Result<Option<T>, ProviderError>;

/// What can be asked for together.
pub(super) trait Watched: Clone + Send + Sized {
    /// How many one question is about at most.
    const MOST: usize;

    /// Whether those that are not due yet cost nothing more in a question about `due` ones.
    fn may_ride(due: usize) -> bool;

    /// How many calls a question about so many costs.
    fn calls(count: usize) -> usize;

    /// Asks for one.
    fn ask_one(core: &Core, id: &str) -> impl Future<Output = Told<Self>> + Send;

    /// Asks for all of these.
    fn ask(core: &Core, ids: &[&str]) -> impl Future<Output = BTreeMap<String, Told<Self>>> + Send;
}

struct Entry<T> {
    due: Instant,
    senders: Vec<oneshot::Sender<Told<T>>>,
}

/// Who waits for what, and from when on.
pub(super) struct Board<T> {
    waiting: Mutex<BTreeMap<String, Entry<T>>>,
    turn: tokio::sync::Mutex<()>,
    /// Somebody came, perhaps due earlier than all others.
    came: Notify,
}

impl<T> Default for Board<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: tokio::sync::Mutex::default(), came: Notify::new() }
    }
}

impl<T: Watched> Board<T> {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, Entry<T>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls it costs to ask for all that wait now.
    pub(super) fn calls(&self) -> usize {
        T::calls(self.waiting().len().max(1))
    }

    fn enter(&self, id: &str, due: Instant) -> oneshot::Receiver<Told<T>> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting();
        let entry = waiting.entry(id.to_owned()).or_insert_with(|| Entry { due, senders: Vec::new() });
        entry.due = entry.due.min(due);
        entry.senders.push(sender);
        drop(waiting);
        self.came.notify_one();
        receiver
    }

    /// How it stands with `id`, asked not later than `due`, or a little later when little is left
    /// of the bucket.
    pub(super) async fn told(&self, core: &Core, id: &str, due: Instant) -> Told<T> {
        loop {
            let mut mine = self.enter(id, due);
            let _turn = tokio::select! {
                biased;
                told = &mut mine => match told {
                    Ok(told) => return told,
                    // Whoever asked was dropped.
                    Err(_) => continue,
                },
                turn = self.turn.lock() => turn,
            };
            loop {
                match mine.try_recv() {
                    Ok(told) => return told,
                    Err(oneshot::error::TryRecvError::Empty) => self.ask_next(core).await,
                    Err(oneshot::error::TryRecvError::Closed) => break,
                }
            }
        }
    }

    /// Waits for the next that is due, and asks for it and those that can come along.
    async fn ask_next(&self, core: &Core) {
        let next = self.waiting().values().map(|entry| entry.due).min();
        if let Some(next) = next
            && next > Instant::now()
        {
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.came.notified() => return,
            }
        }
        let batch = self.batch(Instant::now());
        let ids: Vec<&str> = batch.iter().map(|(id, _)| id.as_str()).collect();
        let mut told = T::ask(core, &ids).await;
        for (id, entry) in batch {
            let mut answer = told.remove(&id).unwrap_or(Ok(None));
            for sender in entry.senders {
                let copy = copy(&answer);
                // Whoever does not wait any more does not hear it.
                let _ = sender.send(std::mem::replace(&mut answer, copy));
            }
        }
    }

    /// Takes off what is asked for now, the longest due first.
    fn batch(&self, now: Instant) -> Vec<(String, Entry<T>)> {
        let mut waiting = self.waiting();
        // Nobody waits for these any more.
        waiting.retain(|_, entry| entry.senders.iter().any(|sender| !sender.is_closed()));
        let mut order: Vec<_> = waiting.iter().map(|(id, entry)| (entry.due, id.clone())).collect();
        order.sort_unstable();
        let due = order.iter().take_while(|(due, _)| *due <= now).count();
        let count = if T::may_ride(due) { T::MOST } else { due.min(T::MOST) };
        order.into_iter().take(count).filter_map(|(_, id)| waiting.remove_entry(&id)).collect()
    }
}

impl Watched for Action {
    /// What the vendor takes in one call.
    const MOST: usize = 25;

    fn may_ride(due: usize) -> bool {
        due > 0
    }

    fn calls(count: usize) -> usize {
        count.div_ceil(Self::MOST)
    }

    async fn ask_one(core: &Core, id: &str) -> Told<Self> {
        match core.get(Class::Poll, &format!("/actions/{id}"), &[], Scope::Resource).await {
            Ok(answer) => Self::read(&answer["action"]).map(Some).ok_or_else(|| answer.unreadable()),
            Err(error) if error.code == Code::ProviderResourceGone => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ask(core: &Core, ids: &[&str]) -> BTreeMap<String, Told<Self>> {
        let mut told = BTreeMap::new();
        if ids.len() > 1 {
            let mut query: Vec<_> = ids.iter().map(|id| ("id", *id)).collect();
            query.push(("per_page", "50"));
            match core.get(Class::Poll, "/actions", &query, Scope::Collection).await {
                Ok(answer) => {
                    let actions = answer["actions"].as_array().into_iter().flatten().filter_map(Self::read);
                    told.extend(actions.map(|action| (action.id.clone(), Ok(Some(action)))));
                }
                // Not every implementation lists actions by id: then each is asked for by itself.
                Err(error) if error.code == Code::ProviderInvalidRequest => {}
                Err(error) => return everybody(ids, &error),
            }
        }
        singly(core, ids, told).await
    }
}

/// So few servers are asked for one by one; more are listed, 50 in a call.
const SINGLY_MOST: usize = 3;

impl Watched for Server {
    const MOST: usize = 500;

    fn may_ride(due: usize) -> bool {
        due > SINGLY_MOST
    }

    fn calls(count: usize) -> usize {
        if count <= SINGLY_MOST { count } else { count.div_ceil(50) }
    }

    async fn ask_one(core: &Core, id: &str) -> Told<Self> {
        match core.get(Class::Poll, &format!("/servers/{id}"), &[], Scope::Resource).await {
            Ok(answer) => Self::read(&answer["server"]).map(Some).ok_or_else(|| answer.unreadable()),
            Err(error) if error.code == Code::ProviderResourceGone => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ask(core: &Core, ids: &[&str]) -> BTreeMap<String, Told<Self>> {
        let mut told = BTreeMap::new();
        if ids.len() > SINGLY_MOST {
            // The newest first: those are waited for.
            let selector = labels::selector(&core.instance);
            let query = [("label_selector", selector.as_str()), ("sort", "id:desc")];
            let mut page = Some(1);
            // More pages than that cost more than asking one by one.
            for _ in 0..ids.len() {
                let Some(number) = page else { break };
                match core.page(Class::Poll, "/servers", "servers", &query, number).await {
                    Ok((servers, next)) => {
                        let wanted = servers.iter().filter_map(Self::read).filter(|it| ids.contains(&it.id.as_str()));
                        told.extend(wanted.map(|server| (server.id.clone(), Ok(Some(server)))));
                        page = next.filter(|next| *next > number && told.len() < ids.len());
                    }
                    Err(error) if error.code == Code::ProviderInvalidRequest => break,
                    Err(error) => return everybody(ids, &error),
                }
            }
        }
        // What a list lacks may have lost its labels: only its own address tells that it is gone.
        singly(core, ids, told).await
    }
}

fn everybody<T>(ids: &[&str], error: &ProviderError) -> BTreeMap<String, Told<T>> {
    ids.iter().map(|id| ((*id).to_owned(), Err(copy_of(error)))).collect()
}

/// Asks one by one for those of which nothing is told yet.
async fn singly<T: Watched>(
    core: &Core,
    ids: &[&str],
    mut told: BTreeMap<String, Told<T>>,
) -> BTreeMap<String, Told<T>> {
    let missing: Vec<&str> = ids.iter().copied().filter(|id| !told.contains_key(*id)).collect();
    let mut answers = Vec::new();
    for id in &missing {
        answers.push(T::ask_one(core, id));
    }
    let answers = join_all(answers).await;
    told.extend(missing.iter().map(|id| (*id).to_owned()).zip(answers));
    told
}

fn copy<T: Clone>(told: &Told<T>) -> Told<T> {
    match told {
        Ok(found) => Ok(found.clone()),
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
