//! What the tasks and handlers of one simulator share. Rule: every change passes through
//! `Shared::with`, which settles the clock first, saves after, and wakes whoever must know.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    config::TokenAccess,
    fault::Faults,
    kind::RequestKind,
    limit::Bucket,
    persist,
    view::{RequestView, ServerView, SshKeyView},
    world::{ServerStatus, World},
};
use crate::hosts::HostSpec;

/// How many requests the log keeps.
const LOG_MAX: usize = 20_000;

/// Everything behind the lock.
pub(super) struct State {
    pub(super) world: World,
    pub(super) bucket: Bucket,
    pub(super) faults: Faults,
    log: VecDeque<RequestView>,
    last_seq: u64,
}

impl State {
    pub(super) fn log_status(&mut self, seq: u64, status: u16) {
        // The log is in order of `seq` and without gaps.
        let first = self.log.front().map_or(0, |it| it.seq);
        let index = usize::try_from(seq.saturating_sub(first)).unwrap_or(usize::MAX);
        if let Some(entry) = self.log.get_mut(index).filter(|entry| entry.seq == seq) {
            entry.status = Some(status);
        }
    }
}

/// What the tasks and handlers of one simulator share.
pub(super) struct Shared {
    state: Mutex<State>,
    tokens: Vec<(String, TokenAccess)>,
    state_file: Option<PathBuf>,
    /// Something changed: the next due action may be another.
    pub(super) clock: Notify,
    /// Something changed: machines may have to come up or go down.
    pub(super) hosts: Notify,
    /// Requests that are still to be carried out.
    pub(super) late: watch::Sender<u32>,
    pub(super) ended: CancellationToken,
}

impl Shared {
    pub(super) fn new(
        world: World,
        bucket: Bucket,
        tokens: Vec<(String, TokenAccess)>,
        state_file: Option<PathBuf>,
    ) -> Self {
        Self {
            state: Mutex::new(State { world, bucket, faults: Faults::default(), log: VecDeque::new(), last_seq: 0 }),
            tokens,
            state_file,
            clock: Notify::new(),
            hosts: Notify::new(),
            late: watch::Sender::new(0),
            ended: CancellationToken::new(),
        }
    }

    /// Runs `work` on the settled state.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.world.settle(Instant::now());
        let result = work(&mut state);
        if std::mem::take(&mut state.world.changed) {
            if let Some(path) = &self.state_file
                && let Err(error) = persist::save(path, &state.world.saved)
            {
                tracing::warn!(%error, path = %path.display(), "simulator state not saved");
            }
            self.clock.notify_one();
            self.hosts.notify_one();
        }
        result
    }

    pub(super) fn token_access(&self, token: &str) -> Option<TokenAccess> {
        self.tokens.iter().find(|(known, _)| known == token).map(|(_, access)| *access)
    }

    pub(super) fn log_request(&self, method: &str, path: &str, kind: RequestKind) -> u64 {
        self.with(|state| {
            state.last_seq += 1;
            if state.log.len() == LOG_MAX {
                state.log.pop_front();
            }
            state.log.push_back(RequestView {
                seq: state.last_seq,
                method: method.to_owned(),
                path: path.to_owned(),
                kind,
                status: None,
            });
            state.last_seq
        })
    }

    pub(super) fn servers(&self) -> Vec<ServerView> {
        self.with(|state| {
            let world = &state.world;
            world.saved.servers.values().map(|server| ServerView::of(world, server)).collect()
        })
    }

    pub(super) fn ssh_keys(&self) -> Vec<SshKeyView> {
        self.with(|state| state.world.saved.ssh_keys.values().map(SshKeyView::of).collect())
    }

    pub(super) fn requests(&self) -> Vec<RequestView> {
        self.with(|state| state.log.iter().cloned().collect())
    }

    pub(super) fn host_specs(&self) -> Vec<HostSpec> {
        self.with(|state| {
            let running = |status| status == ServerStatus::Running;
            let servers = state.world.saved.servers.values();
            servers
                .filter(|server| running(server.status))
                .filter_map(|server| {
                    Some(HostSpec {
                        id: server.id,
                        name: server.name.clone(),
                        server_type: server.server_type.clone(),
                        location: server.location.clone(),
                        address: server.ipv4.as_ref()?.1,
                        boots: server.boots,
                        booted_at: server.booted_at,
                        host_key: server.host_key.clone(),
                        authorized_keys: server.authorized_keys.clone(),
                    })
                })
                .collect()
        })
    }
}
