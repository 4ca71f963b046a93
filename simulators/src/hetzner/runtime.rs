//! A running simulator: its sockets, the clock that completes actions, and the task that brings
//! machines up and down. Rule: the two tasks only react; what changes the state is elsewhere.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, routing::any};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{
    api,
    behind::ForeignServer,
    config::{HetznerConfig, Hosts, RateLimit, Ssh},
    control,
    fault::{Fault, FaultId},
    limit::Bucket,
    persist,
    shared::Shared,
    view::{RequestView, ServerView, SshKeyView},
    world::{OfferChange, ServerStatus, World, host_key},
};
use crate::{
    SimulatorError,
    hosts::{HostManager, SshDaemons},
    net, random,
};

/// After how long a machine that did not come up is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// A running simulator. It ends when dropped; `shutdown` also waits until it has.
pub struct Hetzner {
    shared: Arc<Shared>,
    address: SocketAddr,
    cockpit_port: Option<u16>,
    ssh: Result<(u16, String), Option<String>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Hetzner {
    /// Starts a simulator on the current tokio runtime.
    ///
    /// # Errors
    /// When the address is taken, no loopback address can be had for machines, or the state file
    /// cannot be read.
    pub async fn start(config: HetznerConfig) -> Result<Self, SimulatorError> {
        let mut saved = match &config.state_file {
            Some(path) => persist::load(path)?,
            None => Default::default(),
        };
        let listener = listen(config.listen, saved.ports.api).await?;
        let address =
            listener.local_addr().map_err(|source| SimulatorError::Listen { address: config.listen, source })?;
        saved.ports.api = address.port();

        let (cockpit_port, ssh) = match &config.hosts {
            Hosts::None => (None, Err(None)),
            Hosts::Loopback { cockpit_port, ssh } => {
                let cockpit = port_of(*cockpit_port, saved.ports.cockpit)?;
                saved.ports.cockpit = cockpit;
                let ssh = match ssh {
                    Ssh::Off => Err(Some("SSH is switched off".to_owned())),
                    Ssh::Auto { port } => {
                        saved.ports.ssh = port_of(*port, saved.ports.ssh)?;
                        SshDaemons::prepare(saved.ports.ssh).map_err(Some)
                    }
                };
                (Some(cockpit), ssh)
            }
        };
        let ports = saved.ports;
        let now = Instant::now();
        let mut world = World::new(saved, config.action_time, config.server_quota, now);
        world.host_ports = cockpit_port.into_iter().chain(ssh.is_ok().then_some(ports.ssh)).collect();
        // Those of a time without machines.
        for server in world.saved.servers.values_mut().filter(|it| it.host_key.is_empty()) {
            server.host_key = host_key(cockpit_port.is_some(), server.user_data.as_deref());
        }
        // The picked ports are part of what must survive.
        world.changed = true;
        let bucket = Bucket::new(config.rate_limit, config.rate_limit_left);
        let shared = Arc::new(Shared::new(world, bucket, config.tokens, config.state_file));
        shared.with(|_| ());

        let router = Router::new()
            .route("/v1", any(api::handle))
            .route("/v1/{*path}", any(api::handle))
            .nest("/control", control::router())
            .with_state(shared.clone());
        let mut tasks =
            vec![net::serve(listener, router, shared.ended.clone()), tokio::spawn(clock_run(shared.clone()))];
        let (ssh, daemons) = match ssh {
            Ok(daemons) => (Ok((ports.ssh, daemons.user().to_owned())), Some(daemons)),
            Err(reason) => (Err(reason), None),
        };
        if let Some(port) = cockpit_port {
            let manager = HostManager::new(port, daemons);
            tasks.push(tokio::spawn(hosts_run(shared.clone(), manager)));
        }
        Ok(Self { shared, address, cockpit_port, ssh, tasks })
    }

    /// The base URL of the API, `http://127.0.0.1:<port>/v1`. The control endpoint is beside it,
    /// at `/control`.
    pub fn endpoint(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The port of every cockpit page, where there are hosts.
    pub fn cockpit_port(&self) -> Option<u16> {
        self.cockpit_port
    }

    /// The port of every SSH server, where there are any.
    pub fn ssh_port(&self) -> Option<u16> {
        self.ssh.as_ref().ok().map(|(port, _)| *port)
    }

    /// The user to log in as, where there are SSH servers. They run without privileges, so only
    /// one name can log in.
    pub fn ssh_user(&self) -> Option<String> {
        self.ssh.as_ref().ok().map(|(_, user)| user.clone())
    }

    /// Why there are no SSH servers although there are hosts.
    pub fn ssh_unavailable_reason(&self) -> Option<String> {
        self.ssh.as_ref().err().cloned().flatten()
    }

    /// The servers, oldest first, those being deleted included.
    pub fn servers(&self) -> Vec<ServerView> {
        self.shared.servers()
    }

    /// The registered SSH keys, oldest first.
    pub fn ssh_keys(&self) -> Vec<SshKeyView> {
        self.shared.ssh_keys()
    }

    /// The latest requests below `/v1`, oldest first.
    pub fn requests(&self) -> Vec<RequestView> {
        self.shared.requests()
    }

    /// Sets a fault; it counts requests from now on.
    pub fn fault(&self, fault: Fault) -> FaultId {
        self.shared.with(|state| state.faults.add(fault))
    }

    /// Removes every fault. A request that hangs goes on hanging.
    pub fn clear_faults(&self) {
        self.shared.with(|state| state.faults.clear());
    }

    /// Resolves when the fault has fired at least once: the effect, if any, is done, and the
    /// answer is spoiled or withheld. Resolves at once for a fault that is not set any more.
    pub async fn fault_hit(&self, id: FaultId) {
        let hits = self.shared.with(|state| state.faults.watch(id));
        if let Some(mut hits) = hits {
            // An error means that the fault was cleared.
            let _ = hits.wait_for(|hits| *hits > 0).await;
        }
    }

    /// Sets a server's status behind everyone's back; false when there is no such server.
    pub fn set_server_status(&self, name: &str, status: ServerStatus) -> bool {
        self.shared.server_set(|_, it| it == name, status)
    }

    /// Powers a server off behind everyone's back; false when there is no such server.
    pub fn power_off(&self, name: &str) -> bool {
        self.set_server_status(name, ServerStatus::Off)
    }

    /// Replaces a server's labels behind everyone's back; false when there is no such server.
    pub fn set_server_labels(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.shared.server_change(|_, it| it == name, |server| server.labels = labels)
    }

    /// Renames a server behind everyone's back; false when there is no such server.
    pub fn rename_server(&self, name: &str, to: &str) -> bool {
        self.shared.server_change(|_, it| it == name, |server| to.clone_into(&mut server.name))
    }

    /// Gives a server another address behind everyone's back; `None` when there is no such server,
    /// or it has no address.
    pub fn move_server(&self, name: &str) -> Option<Ipv4Addr> {
        self.shared.server_move(|_, it| it == name)
    }

    /// Whether a server's operating system ignores the signal to shut down; false when there is no
    /// such server.
    pub fn set_ignores_shutdown(&self, name: &str, ignores: bool) -> bool {
        self.shared.server_change(|_, it| it == name, |server| server.ignores_shutdown = ignores)
    }

    /// Removes a server behind everyone's back, at once; false when there is no such server.
    pub fn remove_server(&self, name: &str) -> bool {
        self.shared.server_remove(|_, it| it == name)
    }

    /// Makes a server that nobody created by a call: a stranger's or an orphan, as its labels say.
    /// `None` when its name is taken or something it names is not known.
    pub fn add_server(&self, server: ForeignServer) -> Option<ServerView> {
        self.shared.server_add(server)
    }

    /// Whether creates of this type at this location find capacity. What the catalogue says about
    /// it does not change: there, availability is only an indicator.
    pub fn set_capacity(&self, server_type: &str, location: &str, available: bool) {
        self.shared.capacity_set(server_type, location, available);
    }

    /// What the catalogue says about availability of a type at a location, whether or not creates
    /// find capacity.
    pub fn set_available(&self, server_type: &str, location: &str, available: bool) {
        self.shared.offer_set(OfferChange {
            server_type: server_type.to_owned(),
            location: location.to_owned(),
            available: Some(available),
            recommended: None,
            deprecation: None,
        });
    }

    /// Replaces the project's bucket of requests; a full one when `left` is not told.
    pub fn set_rate_limit(&self, limit: RateLimit, left: Option<u32>) {
        self.shared.rate_limit_set(limit, left);
    }

    /// How many servers the project may have from now on.
    pub fn set_server_quota(&self, servers: usize) {
        self.shared.server_quota_set(servers);
    }

    /// Resolves when every late request is carried out.
    pub async fn settled(&self) {
        // An error means that the simulator has ended.
        let _ = self.shared.late.subscribe().wait_for(|late| *late == 0).await;
    }

    /// Ends the simulator, its hosts and its processes, and waits until they have.
    pub async fn shutdown(mut self) {
        self.shared.ended.cancel();
        for task in self.tasks.drain(..) {
            // A task that panicked has ended as well.
            let _ = task.await;
        }
    }
}

impl Drop for Hetzner {
    fn drop(&mut self) {
        self.shared.ended.cancel();
    }
}

async fn listen(address: SocketAddr, before: u16) -> Result<TcpListener, SimulatorError> {
    if address.port() == 0
        && before != 0
        && let Ok(listener) = TcpListener::bind((address.ip(), before)).await
    {
        return Ok(listener);
    }
    TcpListener::bind(address).await.map_err(|source| SimulatorError::Listen { address, source })
}

/// The port asked for, or the one picked before, or one that is free now on a random address.
fn port_of(asked: u16, before: u16) -> Result<u16, SimulatorError> {
    let fixed = if asked == 0 { before } else { asked };
    if fixed != 0 {
        return Ok(fixed);
    }
    let address: Ipv4Addr = random::loopback();
    std::net::TcpListener::bind((address, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| SimulatorError::Loopback { source })
}

/// Completes actions when they are due.
async fn clock_run(shared: Arc<Shared>) {
    loop {
        let due = shared.with(|state| state.world.next_due());
        let due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = shared.clock.notified() => {}
            () = shared.ended.cancelled() => return,
        }
    }
}

/// Brings machines up and down as servers start and stop.
async fn hosts_run(shared: Arc<Shared>, mut manager: HostManager) {
    loop {
        let complete = manager.reconcile(shared.host_specs()).await;
        tokio::select! {
            // A port may be held for a moment longer by whoever had it before.
            () = sleep(RETRY), if !complete => {}
            () = shared.hosts.notified() => {}
            () = shared.ended.cancelled() => break,
        }
    }
    manager.reconcile(Vec::new()).await;
}
