//! A running simulator: its sockets, and what tests do with it. Rule: what changes the state is
//! elsewhere.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, routing::any};
use serde_json::Value;
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
};

use super::{
    api,
    behind::{RecordChange, RecordSeed},
    config::{CallLimit, CloudflareConfig},
    control, dns,
    fault::{CloudflareFault, CloudflareFaultId},
    limit::Calls,
    persist,
    shared::{CallView, Shared},
    world::World,
};
use crate::{SimulatorError, net};

/// How often a free port is looked for that is free over UDP too.
const PORT_TRIES: usize = 20;

/// A running simulator. It ends when dropped; `shutdown` also waits until it has.
pub struct Cloudflare {
    shared: Arc<Shared>,
    address: SocketAddr,
    dns_address: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

impl Cloudflare {
    /// Starts a simulator on the current tokio runtime.
    ///
    /// # Errors
    /// When an address is taken, or the state file cannot be read.
    pub async fn start(config: CloudflareConfig) -> Result<Self, SimulatorError> {
        let saved = match &config.state_file {
            Some(path) => persist::load(path)?,
            None => None,
        };
        let mut saved = saved.unwrap_or_else(|| World::fresh(&config.zones));
        let listener = listen(config.listen, saved.ports.api).await?;
        let address =
            listener.local_addr().map_err(|source| SimulatorError::Listen { address: config.listen, source })?;
        let (stream, datagram, dns_address) = listen_dns(config.dns_listen, saved.ports.dns).await?;
        saved.ports.api = address.port();
        saved.ports.dns = dns_address.port();
        // The picked ports are part of what must survive.
        let world = World { saved, record_quota: config.record_quota, changed: true };
        let shared = Arc::new(Shared::new(world, Calls::new(config.limit), config.tokens, config.state_file));
        shared.with(|_| ());

        let router = Router::new()
            .route(api::BASE, any(api::handle))
            .route(&format!("{}/{{*path}}", api::BASE), any(api::handle))
            .nest("/control", control::router())
            .with_state(shared.clone());
        let tasks = vec![
            net::serve(listener, router, shared.ended.clone()),
            tokio::spawn(dns::datagrams(datagram, shared.clone())),
            tokio::spawn(dns::streams(stream, shared.clone())),
        ];
        Ok(Self { shared, address, dns_address, tasks })
    }

    /// The base URL of the API, `http://127.0.0.1:<port>/client/v4`. The control endpoint is at
    /// `/control` of the same port.
    pub fn endpoint(&self) -> String {
        format!("http://{}{}", self.address, api::BASE)
    }

    /// Where the name server of the zones answers, over UDP and TCP.
    pub fn dns_address(&self) -> SocketAddr {
        self.dns_address
    }

    /// The id of the account that everything belongs to.
    pub fn account_id(&self) -> String {
        self.shared.with(|state| state.world.saved.account.clone())
    }

    /// The id of a zone.
    pub fn zone_id(&self, name: &str) -> Option<String> {
        self.shared.with(|state| state.world.zone_named(name).map(|zone| zone.id.clone()))
    }

    /// The records of a zone as the API shows them, oldest first.
    pub fn records(&self, zone: &str) -> Vec<Value> {
        self.shared.with(|state| state.world.records_of(zone))
    }

    /// The latest calls, oldest first.
    pub fn requests(&self) -> Vec<CallView> {
        self.shared.calls()
    }

    /// Sets a fault; it counts calls from now on.
    pub fn fault(&self, fault: CloudflareFault) -> CloudflareFaultId {
        self.shared.with(|state| state.faults.add(fault))
    }

    /// Removes every fault. A call that hangs goes on hanging.
    pub fn clear_faults(&self) {
        self.shared.with(|state| state.faults.clear());
    }

    /// Resolves when the fault has fired at least once: the effect, if any, is done, and the
    /// answer is spoiled or withheld. Resolves at once for a fault that is not set any more.
    pub async fn fault_hit(&self, id: CloudflareFaultId) {
        let hits = self.shared.with(|state| state.faults.watch(id));
        if let Some(mut hits) = hits {
            // An error means that the fault was cleared.
            let _ = hits.wait_for(|hits| *hits > 0).await;
        }
    }

    /// Resolves when every late call is carried out.
    pub async fn settled(&self) {
        // An error means that the simulator has ended.
        let _ = self.shared.late.subscribe().wait_for(|late| *late == 0).await;
    }

    /// Somebody makes these records behind everyone's back; false when a zone is not there.
    pub fn put_records(&self, seeds: &[RecordSeed]) -> bool {
        self.shared.with(|state| state.world.record_put(seeds))
    }

    /// Somebody changes the records of this name, and of this type where one is told, behind
    /// everyone's back; how many there were.
    pub fn change_records(&self, fqdn: &str, kind: Option<&str>, change: &RecordChange) -> usize {
        let is_it = |name: &str, its: &str| name == fqdn && kind.is_none_or(|kind| kind == its);
        self.shared.with(|state| state.world.record_change(|it| is_it(&it.name, &it.kind), change))
    }

    /// Somebody takes the records of this name and type away behind everyone's back; how many there
    /// were.
    pub fn remove_records(&self, fqdn: &str, kind: &str) -> usize {
        self.shared.with(|state| state.world.record_remove(|it| it.name == fqdn && it.kind == kind))
    }

    /// A zone comes behind everyone's back; false when it is there already.
    pub fn add_zone(&self, name: &str) -> bool {
        self.shared.with(|state| state.world.zone_add(name))
    }

    /// A zone goes behind everyone's back; false when it is not there.
    pub fn remove_zone(&self, name: &str) -> bool {
        self.shared.with(|state| state.world.zone_remove(name))
    }

    /// How many records a zone may hold from now on.
    pub fn set_record_quota(&self, records: usize) {
        self.shared.with(|state| state.world.record_quota = records);
    }

    /// Begins a window of this limit.
    pub fn set_limit(&self, limit: CallLimit) {
        self.shared.with(|state| state.calls = Calls::new(limit));
    }

    /// Ends the simulator and waits until it has.
    pub async fn shutdown(mut self) {
        self.shared.ended.cancel();
        for task in self.tasks.drain(..) {
            // A task that panicked has ended as well.
            let _ = task.await;
        }
    }
}

impl Drop for Cloudflare {
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

/// The same port over TCP and UDP.
async fn listen_dns(address: SocketAddr, before: u16) -> Result<(TcpListener, UdpSocket, SocketAddr), SimulatorError> {
    let refused = |source| SimulatorError::Listen { address, source };
    let mut before = before;
    let mut tries = 0;
    loop {
        let stream = listen(address, before).await?;
        let at = stream.local_addr().map_err(refused)?;
        match UdpSocket::bind(at).await {
            Ok(datagram) => return Ok((stream, datagram, at)),
            Err(_) if address.port() == 0 && tries < PORT_TRIES => {
                tries += 1;
                before = 0;
            }
            Err(source) => return Err(refused(source)),
        }
    }
}
