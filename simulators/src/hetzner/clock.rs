//! Actions, and how time changes the project by them: the action clock.
//!
//! ```text
//! create ──► initializing ──(create_server done)──► starting ──(start_server done)──► running
//!                         └─(start_after_create: false)─► off ──(poweron)──► running
//! running ──(shutdown_server done)──► running ──(a moment later, unless it ignores it)──► off
//! running ──► stopping ──► off          off ──► migrating ──► off
//! any ──► rebuilding ──► running        any ──► deleting ──► gone
//! ```
//! An action that ends in error puts a server back where it was; a create that does leaves it off.
//!
//! Rule: a change happens when its action completes, at `settle`, never before.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    rrset_change::RrsetChange,
    world::{PrimaryIp, ServerStatus, Target, World, host_key, timestamp},
};

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
    Shutdown,
    Delete,
    Rebuild { image: u64, user_data: Option<String> },
    ChangeType { server_type: String, disk: Option<u32> },
    ChangeProtection { delete: Option<bool>, rebuild: Option<bool> },
    CreateImage { image: u64 },
    SetBackup { window: Option<String> },
    SetDnsPtr { ip: String, name: Option<String> },
    PrimaryIpProtection { delete: bool },
    FirewallApply { targets: Vec<Target> },
    FirewallRemove { targets: Vec<Target> },
    FirewallRules { rules: Vec<Value> },
    ZoneDelete,
    ZoneTtl { ttl: u32 },
    ZoneProtection { delete: bool },
    Rrset { zone: u64, change: RrsetChange },
}

/// Something that an action is about: its id and the vendor's word for its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Resource {
    pub(super) id: u64,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

impl Resource {
    pub(super) fn new(kind: &str, id: u64) -> Self {
        Self { id, kind: kind.to_owned() }
    }
}

/// An action.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Action {
    pub(super) id: u64,
    pub(super) command: String,
    /// What it changes, and locks meanwhile.
    #[serde(alias = "server")]
    pub(super) subject: u64,
    /// What the answer says it is about.
    #[serde(default)]
    pub(super) resources: Vec<Resource>,
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

/// What can be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// An action is done.
    Action(u64),
    /// A server's operating system has gone down after a signal, unless it was booted since.
    Down { server: u64, boots: u64 },
}

/// How the actions that a request starts shall go, where a fault says so.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    /// They end in this error.
    pub(super) error: Option<ActionError>,
    /// They succeed, and nothing comes of them.
    pub(super) ignored: bool,
    /// Each takes this long.
    pub(super) time: Option<Duration>,
}

/// An action to be started.
pub(super) struct Start<'a> {
    pub(super) command: &'a str,
    pub(super) subject: u64,
    pub(super) resources: Vec<Resource>,
    pub(super) effect: Effect,
    /// It is due after this many action times, and begins with the last of them.
    pub(super) steps: u32,
}

impl<'a> Start<'a> {
    /// An action on a server.
    pub(super) fn on_server(command: &'a str, server: u64, effect: Effect) -> Self {
        Self { command, subject: server, resources: vec![Resource::new("server", server)], effect, steps: 1 }
    }
}

/// How many actions are remembered.
const ACTIONS_MAX: usize = 5_000;

impl World {
    /// Starts the clocks of what ran when the state was saved.
    pub(super) fn clock_restart(&mut self, now: Instant) {
        let running = self.saved.actions.values_mut().filter(|action| action.finished.is_none());
        for (step, action) in (1u32..).zip(running) {
            let due = now + self.action_time * step.min(2);
            action.clock = Some((now, due));
            self.timers.insert((due, Timer::Action(action.id)));
            *self.busy.entry(action.subject).or_default() += 1;
        }
    }

    pub(super) fn action_start(&mut self, start: Start<'_>, course: &Course, now: Instant) -> Action {
        let before = self.saved.servers.get(&start.subject).map_or(ServerStatus::Unknown, |server| server.status);
        let id = self.next_id();
        let time = course.time.unwrap_or(self.action_time);
        let begin = now + time * start.steps.saturating_sub(1);
        let due = begin + time;
        let action = Action {
            id,
            command: start.command.to_owned(),
            subject: start.subject,
            resources: start.resources,
            effect: if course.ignored { Effect::Nothing } else { start.effect },
            before,
            error: course.error.clone(),
            started: timestamp(),
            finished: None,
            clock: Some((begin, due)),
        };
        self.saved.actions.insert(id, action.clone());
        self.timers.insert((due, Timer::Action(id)));
        *self.busy.entry(start.subject).or_default() += 1;
        self.changed = true;
        action
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Completes everything that is due, in order.
    pub(super) fn settle(&mut self, now: Instant) {
        while let Some((due, timer)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, timer));
            match timer {
                Timer::Action(id) => self.finish(id, due),
                Timer::Down { server, boots } => self.down(server, boots),
            }
        }
        // Old actions are forgotten: nobody asks for their ids any more.
        while self.saved.actions.len() > ACTIONS_MAX {
            self.saved.actions.pop_first();
        }
    }

    /// Completes what runs on a server at once, so that nothing undoes a change made by hand.
    pub(super) fn settle_server(&mut self, server: u64) {
        let running = self.timers.iter().filter_map(|(_, timer)| match timer {
            Timer::Action(id) => Some(*id),
            Timer::Down { .. } => None,
        });
        let ids: Vec<u64> =
            running.filter(|id| self.saved.actions.get(id).is_some_and(|it| it.subject == server)).collect();
        self.timers.retain(|(_, timer)| match timer {
            Timer::Action(id) => !ids.contains(id),
            Timer::Down { server: it, .. } => *it != server,
        });
        for id in ids {
            self.finish(id, Instant::now());
        }
        self.timers.retain(|(_, timer)| !matches!(timer, Timer::Down { server: it, .. } if *it == server));
    }

    fn finish(&mut self, id: u64, at: Instant) {
        let Some(action) = self.saved.actions.get_mut(&id) else { return };
        action.finished = Some(timestamp());
        let action = action.clone();
        self.changed = true;
        if let Some(count) = self.busy.get_mut(&action.subject) {
            *count -= 1;
            if *count == 0 {
                self.busy.remove(&action.subject);
            }
        }
        if action.error.is_some() {
            self.failed(&action);
        } else {
            self.complete(&action, at);
        }
    }

    fn failed(&mut self, action: &Action) {
        match &action.effect {
            Effect::CreateImage { image } => {
                self.saved.snapshots.remove(image);
            }
            Effect::Rrset { zone, change } => self.rrset_change_undo(*zone, action.subject, change),
            _ => {}
        }
        let Some(server) = self.saved.servers.get_mut(&action.subject) else { return };
        server.status = match (&action.effect, action.before) {
            (Effect::Create { .. }, _) | (_, ServerStatus::Initializing) => ServerStatus::Off,
            (Effect::CreateImage { .. } | Effect::SetBackup { .. } | Effect::SetDnsPtr { .. }, _) => server.status,
            (_, before) => before,
        };
    }

    fn complete(&mut self, action: &Action, at: Instant) {
        match &action.effect {
            Effect::Delete => self.server_take(action.subject),
            Effect::CreateImage { image } => {
                if let Some(image) = self.saved.snapshots.get_mut(image) {
                    image.available = true;
                }
            }
            Effect::SetDnsPtr { ip, name } => self.dns_ptr_set(ip, name.as_deref()),
            Effect::PrimaryIpProtection { delete } => {
                if let Some(ip) = self.saved.primary_ips.get_mut(&action.subject) {
                    ip.protected = *delete;
                }
            }
            Effect::FirewallApply { .. } | Effect::FirewallRemove { .. } | Effect::FirewallRules { .. } => {
                self.firewall_changed(action);
            }
            Effect::ZoneDelete => {
                self.saved.zones.remove(&action.subject);
            }
            Effect::ZoneTtl { ttl } => {
                if let Some(zone) = self.saved.zones.get_mut(&action.subject) {
                    zone.ttl = *ttl;
                }
            }
            Effect::ZoneProtection { delete } => {
                if let Some(zone) = self.saved.zones.get_mut(&action.subject) {
                    zone.protected = *delete;
                }
            }
            Effect::Rrset { zone, change } => self.rrset_change_apply(*zone, action.subject, change),
            _ => self.server_changed(action, at),
        }
    }

    fn server_changed(&mut self, action: &Action, at: Instant) {
        let (down_after, has_hosts) = (self.action_time, self.has_hosts());
        let Some(server) = self.saved.servers.get_mut(&action.subject) else { return };
        match &action.effect {
            Effect::Create { start: true } => server.status = ServerStatus::Starting,
            Effect::Create { start: false } | Effect::PowerOff => server.status = ServerStatus::Off,
            Effect::Boot => server.boot(),
            Effect::Restart if server.status == ServerStatus::Running => server.boot(),
            // Success means that the signal was sent, and no more.
            Effect::Shutdown if server.status == ServerStatus::Running && !server.ignores_shutdown => {
                let timer = Timer::Down { server: server.id, boots: server.boots };
                self.timers.insert((at + down_after, timer));
            }
            Effect::Rebuild { image, user_data } => {
                server.image = *image;
                // Without new user data the old is used again, and with it the old host key.
                if user_data.is_some() {
                    server.user_data.clone_from(user_data);
                }
                server.host_key = host_key(has_hosts, server.user_data.as_deref());
                server.boot();
            }
            Effect::ChangeType { server_type, disk } => {
                server.server_type.clone_from(server_type);
                server.disk = disk.or(server.disk);
                server.status = ServerStatus::Off;
            }
            Effect::ChangeProtection { delete, rebuild } => {
                server.protected_delete = delete.unwrap_or(server.protected_delete);
                server.protected_rebuild = rebuild.unwrap_or(server.protected_rebuild);
            }
            Effect::SetBackup { window } => server.backup_window.clone_from(window),
            // An action that was told to have no effect leaves its server as it was.
            Effect::Nothing if server.status != ServerStatus::Initializing => server.status = action.before,
            _ => {}
        }
    }

    fn down(&mut self, server: u64, boots: u64) {
        if let Some(server) = self.saved.servers.get_mut(&server)
            && server.boots == boots
            && server.status == ServerStatus::Running
        {
            server.status = ServerStatus::Off;
            self.changed = true;
        }
    }

    fn firewall_changed(&mut self, action: &Action) {
        let Some(firewall) = self.saved.firewalls.get_mut(&action.subject) else { return };
        match &action.effect {
            Effect::FirewallApply { targets } => {
                for target in targets {
                    if !firewall.applied.contains(target) {
                        firewall.applied.push(target.clone());
                    }
                }
            }
            Effect::FirewallRemove { targets } => firewall.applied.retain(|it| !targets.contains(it)),
            Effect::FirewallRules { rules } => firewall.rules.clone_from(rules),
            _ => {}
        }
    }

    fn dns_ptr_set(&mut self, ip: &str, name: Option<&str>) {
        let Some(primary) = self.saved.primary_ips.values_mut().find(|it| it.holds(ip)) else { return };
        match name {
            Some(name) => primary.dns_ptr.insert(ip.to_owned(), name.to_owned()),
            None => primary.dns_ptr.remove(ip),
        };
    }
}

impl PrimaryIp {
    /// Whether this address is it, or lies in it.
    pub(super) fn holds(&self, ip: &str) -> bool {
        let Some(network) = self.ip.strip_suffix("/64") else { return self.ip == ip };
        let (Ok(network), Ok(address)) = (network.parse::<std::net::Ipv6Addr>(), ip.parse::<std::net::Ipv6Addr>())
        else {
            return false;
        };
        network.segments()[..4] == address.segments()[..4]
    }
}
