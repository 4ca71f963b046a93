//! Verification over a real SSH server, which runs without privileges on a loopback address.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use common::{account, wish};
use domain::{code::Code, node::ReasonCode};
use providers::{
    HealthTarget, HostKey, ManagedKey, MemoryJournal, SshTarget, UserData,
    ssh::{ssh_available, user_data, verify},
};
use secrecy::ExposeSecret as _;
use simulators::{Hetzner, HetznerConfig, Hosts, Ssh};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(30);

/// A machine made with our user data, and what is needed to log in to it.
struct Machine {
    sim: Hetzner,
    directory: TempDir,
    private_key: PathBuf,
    host_key: HostKey,
    host: String,
    infra_id: String,
    account: std::sync::Arc<dyn providers::Account>,
}

impl Machine {
    /// `None` where no SSH server can run, which has to be allowed.
    async fn start(extra: Option<&str>) -> Option<Self> {
        let hosts = Hosts::Loopback { cockpit_port: 0, ssh: Ssh::Auto { port: 0 } };
        let sim = Hetzner::start(HetznerConfig { hosts, ..HetznerConfig::default() }).await.unwrap();
        if let Some(reason) = sim.ssh_unavailable_reason().or_else(|| ssh_available().err()) {
            assert!(std::env::var_os("HANGAR_ALLOW_MISSING").is_some(), "{reason}");
            eprintln!("left out: {reason}");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let (managed_key, private) = ManagedKey::generate("hangar").unwrap();
        let private_key = private_file(directory.path(), "managed", private.expose_secret());
        let host_key = HostKey::generate().unwrap();
        let mut wish = wish();
        let data =
            UserData { host_key: &host_key, ssh_user: "root", authorized_key: &managed_key.public_openssh, extra };
        wish.user_data = Some(user_data(&data).unwrap());
        wish.managed_key = managed_key;
        let account = account(&sim.endpoint());
        let made = account.infra().unwrap().provision(&wish, &mut MemoryJournal::default()).await.unwrap();
        let (host, infra_id) = (made.host, made.infra_id);
        Some(Self { sim, directory, private_key, host_key, host, infra_id, account })
    }

    fn target(&self) -> SshTarget {
        SshTarget {
            host: self.host.clone(),
            port: self.sim.ssh_port().unwrap(),
            user: self.sim.ssh_user().unwrap(),
            private_key_path: self.private_key.clone(),
            host_key_public: self.host_key.public_openssh().to_owned(),
            known_hosts_dir: self.directory.path().join("known hosts 100%"),
        }
    }
}

fn private_file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn other_host_key() -> String {
    HostKey::generate().unwrap().public_openssh().to_owned()
}

#[tokio::test]
async fn the_planted_key_is_the_one_that_answers() {
    for extra in [None, Some("#cloud-config\npackages: [jq]\n")] {
        let Some(machine) = Machine::start(extra).await else { return };
        let target = machine.target();
        assert_eq!(verify(&target, LONG).await, Ok(vec![]));
        let left: Vec<_> = std::fs::read_dir(&target.known_hosts_dir).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        machine.sim.shutdown().await;
    }
}

#[tokio::test]
async fn another_host_key_is_refused_at_once() {
    let Some(machine) = Machine::start(None).await else { return };
    // It answers already; only then does the time say anything.
    verify(&machine.target(), LONG).await.unwrap();
    let target = SshTarget { host_key_public: other_host_key(), ..machine.target() };
    let began = Instant::now();
    let failure = verify(&target, LONG).await.unwrap_err();
    assert_eq!(failure.code, Code::ProvisionHostKeyMismatch);
    assert!(began.elapsed() < LONG / 2);
    machine.sim.shutdown().await;
}

#[tokio::test]
async fn a_key_that_is_not_let_in_is_unreachable_and_said_so() {
    let Some(machine) = Machine::start(None).await else { return };
    let (_, private) = ManagedKey::generate("other").unwrap();
    let private_key_path = private_file(machine.directory.path(), "other", private.expose_secret());
    let target = SshTarget { private_key_path, ..machine.target() };
    let failure = verify(&target, Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(failure.code, Code::ProvisionSshUnreachable);
    machine.sim.shutdown().await;
}

#[tokio::test]
async fn health_follows_the_machine() {
    let Some(machine) = Machine::start(None).await else { return };
    let infra = machine.account.infra().unwrap();
    let target = |ssh: SshTarget| HealthTarget {
        infra_id: Some(machine.infra_id.clone()),
        host: Some(machine.host.clone()),
        ssh: Some(ssh),
        within: LONG,
    };
    assert_eq!(infra.health_check(&target(machine.target())).await, []);
    let wrong = SshTarget { host_key_public: other_host_key(), ..machine.target() };
    assert_eq!(infra.health_check(&target(wrong)).await, [ReasonCode::HostKeyMismatch]);
    let no_user = SshTarget { user: String::new(), port: 0, ..machine.target() };
    assert_eq!(infra.health_check(&target(no_user)).await, [ReasonCode::SshPortInvalid, ReasonCode::SshUserMissing]);
    let no_host = HealthTarget { host: None, ..target(machine.target()) };
    assert_eq!(infra.health_check(&no_host).await, [ReasonCode::NodeHostMissing]);
    machine.sim.power_off("alpha-0001");
    assert_eq!(infra.health_check(&target(machine.target())).await, [ReasonCode::NodeUnreachable]);
    machine.sim.shutdown().await;
}

fn nowhere(address: SocketAddr, directory: &Path) -> SshTarget {
    let (_, private) = ManagedKey::generate("hangar").unwrap();
    SshTarget {
        host: address.ip().to_string(),
        port: address.port(),
        user: "root".to_owned(),
        private_key_path: private_file(directory, "managed", private.expose_secret()),
        host_key_public: other_host_key(),
        known_hosts_dir: directory.join("known"),
    }
}

#[tokio::test]
async fn silent_and_closed_ports_are_unreachable_by_the_deadline() {
    let directory = tempfile::tempdir().unwrap();
    // Accepts and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [silent.local_addr().unwrap(), closed] {
        let within = Duration::from_secs(2);
        let began = Instant::now();
        let failure = verify(&nowhere(address, directory.path()), within).await.unwrap_err();
        assert_eq!(failure.code, Code::ProvisionSshUnreachable);
        assert!(began.elapsed() < within * 3, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn what_is_no_host_never_reaches_the_command() {
    let directory = tempfile::tempdir().unwrap();
    let good = nowhere(SocketAddr::from(([127, 0, 0, 1], 1)), directory.path());
    for host in ["", "-oProxyCommand=touch /tmp/x", "a b", "user@host", "ssh://x", "a;b", "a/b"] {
        let target = SshTarget { host: host.to_owned(), ..good.clone() };
        assert_eq!(verify(&target, LONG).await.unwrap_err().code, Code::ProvisionNotReady, "{host}");
    }
    let target = SshTarget { user: "-x".to_owned(), ..good };
    assert_eq!(verify(&target, LONG).await.unwrap_err().code, Code::ProvisionNotReady);
}
