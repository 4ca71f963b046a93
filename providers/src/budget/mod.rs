//! The budget of calls that everybody with one credential shares: a bucket at the vendor, as its
//! headers tell of it. Rule: a call goes out only when the bucket is known to hold one for it, the
//! important ones first, and nobody waits for the bucket to be full.
//!
//! What is known of the bucket is kept on the safe side: an answer's `remaining` may or may not
//! have counted the calls that were on their way at the same time.

mod level;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use domain::provider::CallBudget;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout_at},
};

use level::Level;

/// What a call is for; the earlier go before the later when little is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Takes away, stops, starts or changes what is there, with the look-ups that this needs.
    Tend,
    /// Makes something; takes turns with `Tend`.
    Make,
    /// Asks how far the vendor is, or whether a credential works. Leaves a few calls for the two
    /// above: where no more are left it takes only what flows back while nobody else waits, and one
    /// in [`POLL_EVERY`] when they take everything.
    Poll,
    /// Observation and catalogue: leaves a tenth.
    Background,
}

const CLASSES: usize = 4;
/// A question that waits lets so many calls of the essential classes pass.
const POLL_EVERY: u32 = 4;
/// Calls on their way at once; questions get half of it.
const IN_FLIGHT_MOST: usize = 64;
/// Likewise while nothing, or nothing recent, is known of the bucket; the essential get double.
const UNSURE_MOST: usize = 4;
/// After how long without an answer what is known is no longer recent.
const RECENT: Duration = Duration::from_secs(10);
/// The longest pause after a refusal.
const HOLD_MOST: Duration = Duration::from_secs(60);

impl Class {
    fn is_essential(self) -> bool {
        matches!(self, Self::Tend | Self::Make)
    }

    /// Calls that it leaves in a bucket of `limit`.
    fn reserve(self, limit: f64) -> f64 {
        match self {
            Self::Tend | Self::Make => 0.0,
            Self::Poll => (limit / 50.0).min(20.0).floor(),
            Self::Background => (limit / 10.0).min(200.0).floor(),
        }
    }
}

/// What an answer says of the bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Calls in a full bucket.
    pub(crate) limit: Option<u32>,
    /// Calls that are left.
    pub(crate) remaining: Option<u32>,
    /// Until it is full again.
    pub(crate) full_in: Option<Duration>,
    /// Whether the call was refused because the bucket is empty.
    pub(crate) refused: bool,
}

/// The budget of one credential.
#[derive(Debug)]
pub(crate) struct Budget {
    state: Mutex<State>,
    /// Within a class first come, first served: whoever holds its gate is next.
    gates: [tokio::sync::Mutex<()>; CLASSES],
    /// Something changed: whoever is next looks again.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    level: Level,
    /// When the vendor answered last.
    answered: Option<Instant>,
    /// Answers came and told nothing: this vendor does not count.
    silent: bool,
    /// Refusals in a row, those of one pause as one, and until when nobody calls because of them.
    refused: u32,
    hold: Option<Instant>,
    /// The last call that went before it; an answer to one of those does not end it.
    held_after: u64,
    /// The one call that tries whether the bucket has something again.
    probe: Option<u64>,
    in_flight: usize,
    sent: u64,
    /// Which classes have somebody at their gate, and how many wait in all.
    heads: [bool; CLASSES],
    queued: [usize; CLASSES],
    last_essential: Class,
    /// Essential calls that went before the question that waits.
    passed: u32,
    /// From when on the next question may go out of the reserve: what it takes has flowed back.
    question: Option<Instant>,
}

type Shared = HashMap<(String, u64), Weak<Budget>>;
static SHARED: LazyLock<(RandomState, Mutex<Shared>)> = LazyLock::new(Default::default);

impl Budget {
    /// The budget of this credential at this endpoint: one in the process, however many accounts
    /// are open with it. The credential itself is not kept.
    pub(crate) fn shared(endpoint: &str, credential: &str) -> Arc<Self> {
        let (hasher, shared) = &*SHARED;
        let key = (endpoint.to_owned(), hasher.hash_one(credential));
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        shared.retain(|_, budget| budget.strong_count() > 0);
        let fresh = Arc::new(Self::fresh());
        shared.insert(key, Arc::downgrade(&fresh));
        fresh
    }

    fn fresh() -> Self {
        let state = State {
            level: Level::default(),
            answered: None,
            silent: false,
            refused: 0,
            hold: None,
            held_after: 0,
            probe: None,
            in_flight: 0,
            sent: 0,
            heads: [false; CLASSES],
            queued: [0; CLASSES],
            last_essential: Class::Tend,
            passed: 0,
            question: None,
        };
        Self { state: Mutex::new(state), gates: Default::default(), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn to make one call.
    ///
    /// # Errors
    /// How long it would still take, when that is later than `until`.
    pub(crate) async fn take(&self, class: Class, until: Instant) -> Result<Permit<'_>, Duration> {
        let _queued = Queued::enter(self, class);
        let wait = self.state().wait_of(class, Instant::now());
        if Instant::now() + wait > until {
            return Err(wait);
        }
        let late = || self.state().wait_of(class, Instant::now()).max(Duration::from_secs(1));
        timeout_at(until, self.next(class)).await.map_err(|_| late())
    }

    async fn next(&self, class: Class) -> Permit<'_> {
        let _gate = self.gates[class as usize].lock().await;
        let _head = Head::enter(self, class);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            let decided = self.state().decide(class, Instant::now());
            match decided {
                Ok((seq, beside)) => return Permit { budget: self, seq, beside, open: true },
                Err(Some(at)) => {
                    tokio::select! {
                        () = sleep_until(at) => {}
                        () = changed => {}
                    }
                }
                Err(None) => changed.await,
            }
        }
    }

    /// What is known of the bucket; `None` while nothing is.
    pub(crate) fn standing(&self) -> Option<CallBudget> {
        let mut state = self.state();
        state.level.pass(Instant::now());
        state.level.standing()
    }

    /// How long one more call of this class would wait for its turn now, at least.
    pub(crate) fn turn_in(&self, class: Class) -> Duration {
        self.state().wait_of(class, Instant::now())
    }

    /// How long to wait before a question that costs `calls`: `wait`, longer when little is left.
    pub(crate) fn pace(&self, wait: Duration, calls: usize) -> Duration {
        let mut state = self.state();
        state.level.pass(Instant::now());
        match state.level.spare_rate() {
            Some(rate) => wait.max(Duration::try_from_secs_f64(calls as f64 / rate).unwrap_or(wait)),
            None => wait,
        }
    }

    /// Whether less than a quarter of the bucket is left.
    pub(crate) fn is_short(&self) -> bool {
        self.standing().is_some_and(|it| it.remaining < it.limit / 4)
    }
}

impl State {
    /// The call's number and how many are on their way beside it; else when to look again, `None`
    /// for when something changes.
    fn decide(&mut self, class: Class, now: Instant) -> Result<(u64, usize), Option<Instant>> {
        self.level.pass(now);
        if let Some(hold) = self.hold
            && hold > now
        {
            return Err(Some(hold));
        }
        let share = if class.is_essential() { 1 } else { 2 };
        let unsure = self.answered.is_none_or(|at| now.saturating_duration_since(at) > RECENT);
        let full = self.in_flight >= IN_FLIGHT_MOST / share || (unsure && self.in_flight >= UNSURE_MOST * 2 / share);
        if full || self.probe.is_some() || self.turn() != Some(class) {
            return Err(None);
        }
        let urgent = class == Class::Poll && self.passed >= POLL_EVERY - 1;
        let question = self.question.filter(|at| class == Class::Poll && !urgent && *at > now);
        if !self.silent {
            let class = if class == Class::Poll && question.is_none() { Class::Make } else { class };
            self.level.take(class, now).map_err(|at| Some(question.map_or(at, |question| at.min(question))))?;
        }
        match class {
            Class::Tend | Class::Make => {
                self.last_essential = class;
                self.passed = if self.heads[Class::Poll as usize] { self.passed + 1 } else { 0 };
            }
            Class::Poll => {
                self.passed = 0;
                self.question = Some(now + self.level.refill());
            }
            Class::Background => {}
        }
        let beside = self.in_flight;
        self.in_flight += 1;
        self.sent += 1;
        if self.refused > 0 {
            self.probe = Some(self.sent);
        }
        Ok((self.sent, beside))
    }

    /// Whose turn it is among the classes that wait.
    fn turn(&self) -> Option<Class> {
        let waits = |class: Class| self.heads[class as usize];
        if waits(Class::Poll) && self.passed >= POLL_EVERY - 1 {
            return Some(Class::Poll);
        }
        if waits(Class::Tend) && waits(Class::Make) {
            return Some(if self.last_essential == Class::Tend { Class::Make } else { Class::Tend });
        }
        [Class::Tend, Class::Make, Class::Poll, Class::Background].into_iter().find(|class| waits(*class))
    }

    /// A call was refused: until when nobody calls. What was on its way together is refused together,
    /// and makes the pause no longer.
    fn held(&mut self, now: Instant) -> Duration {
        if let Some(left) = self.hold.and_then(|hold| hold.checked_duration_since(now)).filter(|left| !left.is_zero()) {
            return left;
        }
        self.refused = self.refused.saturating_add(1);
        let wait = (self.level.refill() * 2_u32.saturating_pow((self.refused - 1).min(8))).min(HOLD_MOST);
        self.hold = Some(now + wait);
        self.held_after = self.sent;
        wait
    }

    /// This call is over; if it tried the bucket, the next may.
    fn probed(&mut self, seq: u64) {
        if self.probe == Some(seq) {
            self.probe = None;
        }
    }

    /// How long a call of this class, the last of its queue, waits at least.
    fn wait_of(&mut self, class: Class, now: Instant) -> Duration {
        self.level.pass(now);
        let hold = self.hold.map_or(Duration::ZERO, |hold| hold.saturating_duration_since(now));
        if self.silent {
            return hold;
        }
        let [tend, make, poll, background] = self.queued;
        let (essential, own) = (tend + make, self.queued[class as usize].saturating_sub(1));
        let ahead = match class {
            Class::Tend => own + make.min(own + 1),
            Class::Make => own + tend.min(own + 1),
            Class::Poll => own + essential.min((own + 1) * POLL_EVERY as usize),
            Class::Background => essential + poll + background.saturating_sub(1),
        };
        // A question goes without its reserve when it has let enough others pass, or waits alone.
        if class == Class::Poll && essential == 0 {
            let others = u32::try_from(ahead).unwrap_or(u32::MAX);
            let next = self.question.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
            let low = (next + self.level.refill().saturating_mul(others)).max(self.level.wait(Class::Make, ahead));
            return hold.max(low.min(self.level.wait(class, ahead)));
        }
        let class = if class == Class::Poll { Class::Make } else { class };
        hold.max(self.level.wait(class, ahead))
    }
}

/// One call that may be made; whoever holds it tells what came of it.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    budget: &'a Budget,
    seq: u64,
    beside: usize,
    open: bool,
}

impl Permit<'_> {
    /// The vendor answered; how long to wait before the next call, when it refused this one.
    pub(crate) fn answered(mut self, told: Told) -> Option<Duration> {
        self.open = false;
        let mut state = self.budget.state();
        let now = Instant::now();
        let since = usize::try_from(state.sent - self.seq).unwrap_or(usize::MAX);
        state.in_flight = state.in_flight.saturating_sub(1);
        state.answered = Some(now);
        state.level.pass(now);
        state.level.learn(told, self.beside.saturating_add(since), now);
        state.silent = !state.level.is_known();
        state.probed(self.seq);
        let wait = if told.refused {
            Some(state.held(now))
        } else {
            if self.seq > state.held_after {
                state.refused = 0;
            }
            None
        };
        drop(state);
        self.budget.changed.notify_waiters();
        wait
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.open {
            // No answer came, so nothing was learnt; the call may have been counted.
            let mut state = self.budget.state();
            state.in_flight = state.in_flight.saturating_sub(1);
            state.probed(self.seq);
            drop(state);
            self.budget.changed.notify_waiters();
        }
    }
}

/// Somebody who waits; gone when dropped.
struct Queued<'a>(&'a Budget, Class);

impl<'a> Queued<'a> {
    fn enter(budget: &'a Budget, class: Class) -> Self {
        budget.state().queued[class as usize] += 1;
        Self(budget, class)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.state().queued[self.1 as usize] -= 1;
    }
}

/// The first who waits of a class; when it is dropped, the others look again.
struct Head<'a>(&'a Budget, Class);

impl<'a> Head<'a> {
    fn enter(budget: &'a Budget, class: Class) -> Self {
        budget.state().heads[class as usize] = true;
        Self(budget, class)
    }
}

impl Drop for Head<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.heads[self.1 as usize] = false;
        if self.1 == Class::Poll {
            state.passed = 0;
        }
        drop(state);
        self.0.changed.notify_waiters();
    }
}
