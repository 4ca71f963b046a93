//! The vendor's limit of calls: 1,200 in five minutes for a user over all his tokens, and whoever
//! makes more is blocked for five minutes
//! (<https://developers.cloudflare.com/fundamentals/api/reference/limits/>). Rule: while the vendor
//! blocks, no call goes out; each one would be refused and tell nothing.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
    time::Duration,
};

use domain::provider::CallBudget;
use tokio::time::Instant;

/// Some are left for whatever else the same user runs.
const CALLS_MOST: usize = 1_100;
const WINDOW: Duration = Duration::from_secs(300);

/// The calls of one token.
#[derive(Debug, Default)]
pub(super) struct Limit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When each call of the window went out.
    made: VecDeque<Instant>,
    blocked: Option<Instant>,
}

type Shared = HashMap<(String, u64), Weak<Limit>>;
static SHARED: LazyLock<(RandomState, Mutex<Shared>)> = LazyLock::new(Default::default);

impl Limit {
    /// The limit of this token at this endpoint: one in the process, however many accounts are open
    /// with it. The token itself is not kept.
    pub(super) fn shared(endpoint: &str, token: &str) -> Arc<Self> {
        let (hasher, shared) = &*SHARED;
        let key = (endpoint.to_owned(), hasher.hash_one(token));
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        shared.retain(|_, limit| limit.strong_count() > 0);
        let fresh = Arc::new(Self::default());
        shared.insert(key, Arc::downgrade(&fresh));
        fresh
    }

    /// Counts a call that goes out now; else how long it would have to wait.
    pub(super) fn take(&self) -> Result<(), Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        state.pass(now);
        if let Some(until) = state.blocked {
            return Err(until - now);
        }
        if state.made.len() >= CALLS_MOST
            && let Some(oldest) = state.made.front()
        {
            return Err(*oldest + WINDOW - now);
        }
        state.made.push_back(now);
        Ok(())
    }

    /// The vendor refused a call for so long.
    pub(super) fn blocked(&self, wait: Duration) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.blocked = state.blocked.max(Some(Instant::now() + wait));
    }

    /// What is left, by what was sent and what the vendor refused; `None` before the first call.
    pub(super) fn standing(&self) -> Option<CallBudget> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        state.pass(now);
        let newest = state.made.back().map(|at| *at + WINDOW);
        let full = state.blocked.max(newest)?;
        let left = if state.blocked.is_some() { 0 } else { CALLS_MOST.saturating_sub(state.made.len()) };
        Some(CallBudget {
            limit: CALLS_MOST as u32,
            remaining: u32::try_from(left).unwrap_or(u32::MAX),
            full_in_seconds: u32::try_from((full - now).as_secs()).unwrap_or(u32::MAX),
        })
    }
}

impl State {
    fn pass(&mut self, now: Instant) {
        if self.blocked.is_some_and(|until| until <= now) {
            self.blocked = None;
            self.made.clear();
        }
        while self.made.front().is_some_and(|at| *at + WINDOW <= now) {
            self.made.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_go_out_in_a_window_than_the_vendor_takes() {
        let limit = Limit::default();
        assert_eq!(limit.standing(), None);
        for _ in 0..CALLS_MOST {
            limit.take().unwrap();
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        let wait = limit.take().unwrap_err();
        assert!(wait > Duration::from_secs(288) && wait < WINDOW, "{wait:?}");
        tokio::time::advance(wait).await;
        limit.take().unwrap();
        limit.take().unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_is_waited_out_by_everybody_with_the_token() {
        let limit = Limit::shared("http://127.0.0.1:1", "t");
        Limit::shared("http://127.0.0.1:1", "t").blocked(Duration::from_secs(300));
        Limit::shared("http://127.0.0.1:1", "other").take().unwrap();
        assert_eq!(limit.take().unwrap_err(), Duration::from_secs(300));
        assert_eq!(limit.standing().map(|it| (it.remaining, it.full_in_seconds)), Some((0, 300)));
        limit.blocked(Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(299)).await;
        limit.take().unwrap_err();
        tokio::time::advance(Duration::from_secs(1)).await;
        limit.take().unwrap();
    }
}
