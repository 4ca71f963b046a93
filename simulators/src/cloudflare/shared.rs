//! The one lock over everything, the log of calls and the state file. Rule: whoever changed the
//! state leaves the lock only when the state file has it.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{config::CloudflareToken, fault::Faults, kind::CloudflareCall, limit::Calls, persist, world::World};

/// Calls that the log remembers.
const LOG_MOST: usize = 10_000;

/// A call that came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallView {
    /// Counts from 1.
    pub seq: u64,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// What kind it was.
    pub kind: CloudflareCall,
    /// The status answered; `None` while there is no answer, and for ever when none was given.
    pub status: Option<u16>,
}

pub(super) struct State {
    pub(super) world: World,
    pub(super) calls: Calls,
    pub(super) faults: Faults,
    log: VecDeque<CallView>,
    seq: u64,
}

pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) tokens: Vec<CloudflareToken>,
    state_file: Option<PathBuf>,
    pub(super) ended: CancellationToken,
    /// Calls that were answered and are still to be carried out.
    pub(super) late: watch::Sender<usize>,
}

impl Shared {
    pub(super) fn new(world: World, calls: Calls, tokens: Vec<CloudflareToken>, state_file: Option<PathBuf>) -> Self {
        let state = State { world, calls, faults: Faults::default(), log: VecDeque::new(), seq: 0 };
        Self {
            state: Mutex::new(state),
            tokens,
            state_file,
            ended: CancellationToken::new(),
            late: watch::Sender::new(0),
        }
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut state);
        if std::mem::take(&mut state.world.changed)
            && let Some(path) = &self.state_file
            && let Err(error) = persist::save(path, &state.world.saved)
        {
            tracing::warn!(%error, "the simulator's state cannot be saved");
        }
        done
    }

    pub(super) fn log_call(&self, method: &str, path: &str, kind: CloudflareCall) -> u64 {
        self.with(|state| {
            state.seq += 1;
            if state.log.len() == LOG_MOST {
                state.log.pop_front();
            }
            let seq = state.seq;
            let call = CallView { seq, method: method.to_owned(), path: path.to_owned(), kind, status: None };
            state.log.push_back(call);
            seq
        })
    }

    pub(super) fn calls(&self) -> Vec<CallView> {
        self.with(|state| state.log.iter().cloned().collect())
    }
}

impl State {
    pub(super) fn log_status(&mut self, seq: u64, status: u16) {
        if let Some(call) = self.log.iter_mut().rev().find(|it| it.seq == seq) {
            call.status = Some(status);
        }
    }
}
