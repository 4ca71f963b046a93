//! The machines behind the simulated servers: on each one's loopback address a cockpit page and,
//! where it can be had, an SSH server with a machine of its own behind it.
//!
//! Rule: a machine is up exactly while its server runs; nothing outlives the simulator.

pub(crate) mod cloud_init;
mod cockpit;
mod disk;
mod sshd;

use std::{collections::BTreeMap, net::Ipv4Addr};

use futures::{StreamExt as _, stream};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) use cockpit::escaped;
pub(crate) use sshd::SshDaemons;

/// How many machines start at once.
const AT_ONCE: usize = 8;

/// A machine that shall be up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostSpec {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) server_type: String,
    pub(crate) location: String,
    pub(crate) address: Ipv4Addr,
    /// Counts boots: a machine that booted again is another one.
    pub(crate) boots: u64,
    /// Unix seconds.
    pub(crate) booted_at: i64,
    /// The private SSH host key.
    pub(crate) host_key: String,
    /// Public keys that may log in.
    pub(crate) authorized_keys: Vec<String>,
}

struct Host {
    spec: HostSpec,
    ended: CancellationToken,
    cockpit: JoinHandle<()>,
    sshd: Option<sshd::Sshd>,
}

/// Keeps the machines as they shall be.
pub(crate) struct HostManager {
    cockpit_port: u16,
    ssh: Option<SshDaemons>,
    hosts: BTreeMap<u64, Host>,
}

impl HostManager {
    pub(crate) fn new(cockpit_port: u16, ssh: Option<SshDaemons>) -> Self {
        Self { cockpit_port, ssh, hosts: BTreeMap::new() }
    }

    /// Takes down what shall not be up, and brings up what shall; false when something that shall
    /// be up is not.
    pub(crate) async fn reconcile(&mut self, wanted: Vec<HostSpec>) -> bool {
        let mut complete = true;
        let gone: Vec<u64> =
            self.hosts.iter().filter(|(_, host)| !wanted.contains(&host.spec)).map(|(id, _)| *id).collect();
        for id in gone {
            if let Some(host) = self.hosts.remove(&id) {
                host.down().await;
            }
        }
        let missing: Vec<HostSpec> = wanted.into_iter().filter(|spec| !self.hosts.contains_key(&spec.id)).collect();
        let up: Vec<Option<Host>> =
            stream::iter(missing).map(|spec| self.up(spec)).buffer_unordered(AT_ONCE).collect().await;
        for host in up {
            match host {
                Some(host) => {
                    self.hosts.insert(host.spec.id, host);
                }
                None => complete = false,
            }
        }
        complete
    }

    async fn up(&self, spec: HostSpec) -> Option<Host> {
        let listener = match TcpListener::bind((spec.address, self.cockpit_port)).await {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%error, server = spec.name, "no cockpit page for this server");
                return None;
            }
        };
        let sshd = match &self.ssh {
            None => None,
            Some(ssh) => match ssh.start(&spec).await {
                Ok(sshd) => Some(sshd),
                Err(error) => {
                    tracing::warn!(error, server = spec.name, "no SSH for this server");
                    None
                }
            },
        };
        let ended = CancellationToken::new();
        let cockpit = crate::net::serve(listener, cockpit::router(&spec), ended.clone());
        Some(Host { spec, ended, cockpit, sshd })
    }
}

impl Host {
    async fn down(self) {
        self.ended.cancel();
        if let Some(sshd) = self.sshd {
            sshd.stop();
        }
        // A page that panicked is down as well.
        let _ = self.cockpit.await;
    }
}

impl Drop for HostManager {
    fn drop(&mut self) {
        for host in self.hosts.values() {
            host.ended.cancel();
        }
    }
}
