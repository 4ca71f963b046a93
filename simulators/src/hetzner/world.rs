//! The state of the project and how time changes it: the action clock.
//!
//! ```text
//! create ──► initializing ──(create_server done)──► starting ──(start_server done)──► running
//!                         └─(start_after_create: false)─► off ──(poweron)──► running
//! running ──► stopping ──► off          off ──► migrating ──► off
//! any ──► rebuilding ──► running        any ──► deleting ──► gone
//! ```
//! An action that ends in error puts a server back where it was; a create that does leaves it off.
//!
//! Rule: a change happens when its action completes, at `settle`, never before.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::Instant;

use super::query::Labels;
use crate::{hosts::cloud_init, random};

/// The life of a server as the vendor names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerStatus {
    /// Being created.
    Initializing,
    /// Booting.
    Starting,
    /// Powered on.
    Running,
    /// On its way to off.
    Stopping,
    /// Powered off, and billed.
    Off,
    /// On its way out.
    Deleting,
    /// Changing its type.
    Migrating,
    /// Being installed anew.
    Rebuilding,
    /// The vendor does not know.
    Unknown,
}

impl ServerStatus {
    /// The vendor's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Off => "off",
            Self::Deleting => "deleting",
            Self::Migrating => "migrating",
            Self::Rebuilding => "rebuilding",
            Self::Unknown => "unknown",
        }
    }
}

/// A server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Server {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) status: ServerStatus,
    pub(super) created: String,
    pub(super) server_type: String,
    pub(super) location: String,
    pub(super) image: u64,
    pub(super) labels: Labels,
    /// Whose first address it is; the id is the Primary IP's.
    pub(super) ipv4: Option<(u64, Ipv4Addr)>,
    /// A network, `…::/64`.
    pub(super) ipv6: Option<(u64, String)>,
    pub(super) user_data: Option<String>,
    /// Public keys that may log in.
    pub(super) authorized_keys: Vec<String>,
    /// The SSH host key, OpenSSH format: from the user data or made at creation.
    pub(super) host_key: String,
    pub(super) protected_delete: bool,
    pub(super) protected_rebuild: bool,
    /// Counts boots, so that a restarted machine is told from one that ran on.
    pub(super) boots: u64,
    /// Unix seconds of the last boot.
    pub(super) booted_at: i64,
}

/// A registered SSH key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SshKey {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) fingerprint: String,
    pub(super) public_key: String,
    pub(super) labels: Labels,
    pub(super) created: String,
}

/// How an action ended, if not well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ActionError {
    pub(super) code: String,
    pub(super) message: String,
}

/// What completing an action does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Effect {
    Nothing,
    Create { start: bool },
    Boot,
    Restart,
    PowerOff,
    Delete,
    Rebuild { image: u64, user_data: Option<String> },
    ChangeType { server_type: String },
    ChangeProtection { delete: Option<bool>, rebuild: Option<bool> },
}

/// An action.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Action {
    pub(super) id: u64,
    pub(super) command: String,
    pub(super) server: u64,
    pub(super) effect: Effect,
    /// The server's status before, to go back to on error.
    pub(super) before: ServerStatus,
    /// How it ended or, while it runs, how it is going to end.
    pub(super) error: Option<ActionError>,
    pub(super) started: String,
    pub(super) finished: Option<String>,
    /// When it starts and when it is due; after a restart of the simulator the clock starts anew.
    #[serde(skip)]
    pub(super) clock: Option<(Instant, Instant)>,
}

/// The part of the state that survives a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) last_id: u64,
    pub(super) servers: BTreeMap<u64, Server>,
    pub(super) ssh_keys: BTreeMap<u64, SshKey>,
    pub(super) actions: BTreeMap<u64, Action>,
    /// (type, location) without capacity.
    pub(super) full: BTreeSet<(String, String)>,
    pub(super) ports: Ports,
}

/// The ports that were picked.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Ports {
    pub(super) api: u16,
    pub(super) cockpit: u16,
    pub(super) ssh: u16,
}

/// How many actions are remembered.
const ACTIONS_MAX: usize = 5_000;

/// All state.
#[derive(Debug)]
pub(super) struct World {
    pub(super) saved: Saved,
    pub(super) action_time: Duration,
    pub(super) server_quota: usize,
    /// Ports that must be free on a new server's address.
    pub(super) host_ports: Vec<u16>,
    /// Set by every change; cleared by whoever saves.
    pub(super) changed: bool,
}

/// Now, as the vendor writes it.
pub(super) fn timestamp() -> String {
    let now = OffsetDateTime::now_utc();
    let now = now.replace_nanosecond(0).unwrap_or(now);
    now.format(&Rfc3339).unwrap_or_default()
}

/// Now, in Unix seconds.
pub(super) fn unix_now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

impl World {
    pub(super) fn new(mut saved: Saved, action_time: Duration, server_quota: usize, now: Instant) -> Self {
        // Ids look like the vendor's: large, and never used twice.
        saved.last_id = saved.last_id.max(42_000_000);
        for (step, action) in (1u32..).zip(saved.actions.values_mut().filter(|action| action.finished.is_none())) {
            action.clock = Some((now, now + action_time * step.min(2)));
        }
        Self { saved, action_time, server_quota, host_ports: Vec::new(), changed: false }
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.saved.last_id += 1;
        self.saved.last_id
    }

    /// A loopback address that no server has and where the needed ports are free.
    pub(super) fn free_address(&self) -> Option<Ipv4Addr> {
        (0..64).map(|_| random::loopback()).find(|address| {
            let taken =
                self.saved.servers.values().any(|server| server.ipv4.as_ref().is_some_and(|(_, ip)| ip == address));
            !taken && self.host_ports.iter().all(|port| TcpListener::bind(SocketAddr::from((*address, *port))).is_ok())
        })
    }

    /// Starts an action that is due after `steps` action times and begins with the last of them.
    pub(super) fn action_start(
        &mut self,
        command: &str,
        server: u64,
        effect: Effect,
        error: Option<ActionError>,
        (now, steps): (Instant, u32),
    ) -> Action {
        let before = self.saved.servers.get(&server).map_or(ServerStatus::Unknown, |server| server.status);
        let id = self.next_id();
        let begin = now + self.action_time * steps.saturating_sub(1);
        let action = Action {
            id,
            command: command.to_owned(),
            server,
            effect,
            before,
            error,
            started: timestamp(),
            finished: None,
            clock: Some((begin, begin + self.action_time)),
        };
        self.saved.actions.insert(id, action.clone());
        self.changed = true;
        action
    }

    /// Whether an action runs on the server.
    pub(super) fn is_locked(&self, server: u64) -> bool {
        // Running actions are among the newest.
        self.saved.actions.values().rev().any(|action| action.server == server && action.finished.is_none())
    }

    /// When the next action is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.running().map(|(due, _)| due).min()
    }

    fn running(&self) -> impl Iterator<Item = (Instant, u64)> {
        self.saved
            .actions
            .values()
            .filter(|action| action.finished.is_none())
            .filter_map(|action| action.clock.map(|(_, due)| (due, action.id)))
    }

    /// Completes every action that is due, in order.
    pub(super) fn settle(&mut self, now: Instant) {
        loop {
            let next = self.running().filter(|(due, _)| *due <= now).min();
            let Some((_, id)) = next else { break };
            self.finish(id);
        }
        // Old actions are forgotten: nobody asks for their ids any more.
        while self.saved.actions.len() > ACTIONS_MAX {
            self.saved.actions.pop_first();
        }
    }

    /// Completes what runs on a server at once, so that nothing undoes a change made by hand.
    pub(super) fn settle_server(&mut self, server: u64) {
        let running = |action: &&Action| action.server == server && action.finished.is_none();
        let ids: Vec<u64> = self.saved.actions.values().filter(running).map(|action| action.id).collect();
        for id in ids {
            self.finish(id);
        }
    }

    fn finish(&mut self, id: u64) {
        let Some(action) = self.saved.actions.get_mut(&id) else { return };
        action.finished = Some(timestamp());
        let action = action.clone();
        self.changed = true;
        self.complete(&action);
    }

    fn complete(&mut self, action: &Action) {
        let Some(server) = self.saved.servers.get_mut(&action.server) else { return };
        if action.error.is_some() {
            server.status = match (&action.effect, action.before) {
                (Effect::Create { .. }, _) | (_, ServerStatus::Initializing) => ServerStatus::Off,
                (_, before) => before,
            };
            return;
        }
        match &action.effect {
            Effect::Create { start: true } => server.status = ServerStatus::Starting,
            Effect::Create { start: false } | Effect::PowerOff => server.status = ServerStatus::Off,
            Effect::Boot => server.boot(),
            Effect::Restart if server.status == ServerStatus::Running => server.boot(),
            Effect::Restart | Effect::Nothing => {}
            Effect::Delete => {
                self.saved.servers.remove(&action.server);
            }
            Effect::Rebuild { image, user_data } => {
                server.image = *image;
                // Without new user data the old is used again, and with it the old host key.
                if user_data.is_some() {
                    server.user_data.clone_from(user_data);
                }
                server.host_key = cloud_init::host_key(server.user_data.as_deref());
                server.boot();
            }
            Effect::ChangeType { server_type } => {
                server.server_type.clone_from(server_type);
                server.status = ServerStatus::Off;
            }
            Effect::ChangeProtection { delete, rebuild } => {
                server.protected_delete = delete.unwrap_or(server.protected_delete);
                server.protected_rebuild = rebuild.unwrap_or(server.protected_rebuild);
            }
        }
    }
}

impl Server {
    pub(super) fn boot(&mut self) {
        self.status = ServerStatus::Running;
        self.boots += 1;
        self.booted_at = unix_now();
    }
}
