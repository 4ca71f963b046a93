//! The state of the project: what there is, and look-up in it. How time changes it is in `clock`.
//!
//! Rule: ids are given out once and are unique over all kinds of things, so that an action can name
//! what it locks by id alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::Instant;

use super::{
    clock::{Action, Timer},
    query::Labels,
};
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
    /// The SSH host key, OpenSSH format: from the user data or made at creation; empty where nothing
    /// needs one.
    pub(super) host_key: String,
    pub(super) protected_delete: bool,
    pub(super) protected_rebuild: bool,
    /// Counts boots, so that a restarted machine is told from one that ran on.
    pub(super) boots: u64,
    /// Unix seconds of the last boot.
    pub(super) booted_at: i64,
    /// Gigabytes; stays small when a type is changed without `upgrade_disk`. State files of before
    /// do not say.
    #[serde(default)]
    pub(super) disk: Option<u32>,
    /// `22-02` and the like, while backups are on.
    #[serde(default)]
    pub(super) backup_window: Option<String>,
    /// The operating system does not react to a shutdown signal.
    #[serde(default)]
    pub(super) ignores_shutdown: bool,
}

/// The SSH host key of a machine with this user data. Where no machine will ever need one, none is
/// made: a key takes longer than all the rest of a server.
pub(super) fn host_key(has_hosts: bool, user_data: Option<&str>) -> String {
    if has_hosts || user_data.is_some() { cloud_init::host_key(user_data) } else { String::new() }
}

impl Server {
    pub(super) fn boot(&mut self) {
        self.status = ServerStatus::Running;
        self.boots += 1;
        self.booted_at = unix_now();
    }
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

/// An image made from a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) id: u64,
    /// `snapshot` or `backup`.
    pub(super) kind: String,
    /// False while it is being made.
    pub(super) available: bool,
    pub(super) description: String,
    pub(super) labels: Labels,
    pub(super) created: String,
    /// The server it was made from, whether or not that is still there.
    pub(super) from: (u64, String),
    /// The system image at its bottom.
    pub(super) base: u64,
    /// Gigabytes that a server needs for it.
    pub(super) disk: u32,
    pub(super) protected: bool,
}

/// What a firewall is applied to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    Server(u64),
    Selector(String),
}

/// A firewall.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Firewall {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) created: String,
    /// Checked rules, as the vendor answers them.
    pub(super) rules: Vec<Value>,
    pub(super) applied: Vec<Target>,
}

/// A Primary IP: made with its server, and freed with it unless `auto_delete` was taken away.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PrimaryIp {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) created: String,
    /// `ipv4` or `ipv6`.
    pub(super) kind: String,
    pub(super) ip: String,
    pub(super) location: String,
    /// Address to name, as far as set.
    pub(super) dns_ptr: BTreeMap<String, String>,
    pub(super) protected: bool,
    pub(super) auto_delete: bool,
    pub(super) assignee: Option<u64>,
}

/// A DNS zone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Zone {
    pub(super) id: u64,
    pub(super) name: String,
    /// Seconds.
    pub(super) ttl: u32,
    pub(super) labels: Labels,
    pub(super) created: String,
    pub(super) protected: bool,
    /// By id.
    pub(super) rrsets: BTreeMap<u64, Rrset>,
}

/// All records of one name and type.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Rrset {
    pub(super) id: u64,
    /// Relative to the zone; `@` is the zone itself.
    pub(super) name: String,
    pub(super) kind: String,
    /// Seconds; the zone's when absent.
    pub(super) ttl: Option<u32>,
    pub(super) labels: Labels,
    pub(super) records: Vec<Record>,
    pub(super) protected: bool,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) value: String,
    #[serde(default)]
    pub(super) comment: Option<String>,
}

/// What the catalogue says of a type at a location, where a test has changed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OfferChange {
    pub(super) server_type: String,
    pub(super) location: String,
    pub(super) available: Option<bool>,
    pub(super) recommended: Option<bool>,
    /// When it was announced to go, and when it goes.
    pub(super) deprecation: Option<(String, String)>,
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
    #[serde(default)]
    pub(super) snapshots: BTreeMap<u64, Snapshot>,
    #[serde(default)]
    pub(super) firewalls: BTreeMap<u64, Firewall>,
    #[serde(default)]
    pub(super) primary_ips: BTreeMap<u64, PrimaryIp>,
    #[serde(default)]
    pub(super) zones: BTreeMap<u64, Zone>,
    #[serde(default)]
    pub(super) offers: Vec<OfferChange>,
}

/// The ports that were picked.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Ports {
    pub(super) api: u16,
    pub(super) cockpit: u16,
    pub(super) ssh: u16,
}

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
    /// What is due and when, in order.
    pub(super) timers: BTreeSet<(Instant, Timer)>,
    /// How many actions run on what, by its id.
    pub(super) busy: HashMap<u64, usize>,
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
        let mut world = Self {
            saved,
            action_time,
            server_quota,
            host_ports: Vec::new(),
            changed: false,
            timers: BTreeSet::new(),
            busy: HashMap::new(),
        };
        world.clock_restart(now);
        // State files of before had no Primary IPs of their own.
        for server in world.saved.servers.values().cloned().collect::<Vec<_>>() {
            world.primary_ips_add(&server);
        }
        world
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.saved.last_id += 1;
        self.saved.last_id
    }

    /// Whether machines stand behind the servers.
    pub(super) fn has_hosts(&self) -> bool {
        !self.host_ports.is_empty()
    }

    /// A loopback address that no server has and where the needed ports are free.
    pub(super) fn free_address(&self) -> Option<Ipv4Addr> {
        (0..64).map(|_| random::loopback()).find(|address| {
            let taken =
                self.saved.servers.values().any(|server| server.ipv4.as_ref().is_some_and(|(_, ip)| ip == address));
            !taken && self.host_ports.iter().all(|port| TcpListener::bind(SocketAddr::from((*address, *port))).is_ok())
        })
    }

    /// A network of the range for documentation: nothing can ever answer there.
    pub(super) fn network() -> String {
        let [a, b, c, d] = random::bytes::<4>();
        format!("2001:db8:{:x}:{:x}::/64", u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }

    /// The Primary IPs of a new server.
    pub(super) fn primary_ips_add(&mut self, server: &Server) {
        let ipv4 = server.ipv4.as_ref().map(|(id, ip)| (*id, "ipv4", ip.to_string()));
        let ipv6 = server.ipv6.as_ref().map(|(id, network)| (*id, "ipv6", network.clone()));
        for (id, kind, ip) in ipv4.into_iter().chain(ipv6) {
            self.saved.primary_ips.entry(id).or_insert_with(|| PrimaryIp {
                id,
                name: format!("primary_ip-{id}"),
                labels: Labels::new(),
                created: server.created.clone(),
                kind: kind.to_owned(),
                ip,
                location: server.location.clone(),
                dns_ptr: BTreeMap::new(),
                protected: false,
                auto_delete: true,
                assignee: Some(server.id),
            });
        }
    }

    /// Takes a server out, with all that goes with it: its Primary IPs, its backups, its place in
    /// firewalls.
    pub(super) fn server_take(&mut self, id: u64) {
        self.saved.servers.remove(&id);
        self.saved.primary_ips.retain(|_, ip| ip.assignee != Some(id) || !ip.auto_delete);
        for ip in self.saved.primary_ips.values_mut().filter(|ip| ip.assignee == Some(id)) {
            ip.assignee = None;
        }
        self.saved.snapshots.retain(|_, it| it.kind != "backup" || it.from.0 != id);
        for firewall in self.saved.firewalls.values_mut() {
            firewall.applied.retain(|target| *target != Target::Server(id));
        }
        self.changed = true;
    }

    /// Whether an action runs on this.
    pub(super) fn is_locked(&self, id: u64) -> bool {
        self.busy.contains_key(&id)
    }
}
