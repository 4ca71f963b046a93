//! Verification over a real SSH server, which runs without privileges on a loopback address.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;
mod ssh_machine;

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use common::account;
use domain::{code::Code, node::ReasonCode};
use providers::{
    HealthTarget, HostKey, ManagedKey, SshTarget,
    ssh::{Checks, ssh_wait, verify, verify_profile},
};
use secrecy::ExposeSecret as _;
use ssh_machine::{Machine, private_file};

const LONG: Duration = Duration::from_secs(30);

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
    let account = account(&machine.sim.endpoint());
    let infra = account.infra().unwrap();
    let target = |ssh: SshTarget| HealthTarget {
        infra_id: Some(machine.infra_id.clone()),
        host: Some(machine.host.clone()),
        ssh: Some(ssh),
        requires: Vec::new(),
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

#[tokio::test]
async fn cloud_init_is_waited_for_and_its_failure_is_told() {
    let Some(machine) = Machine::start(None).await else { return };
    let target = machine.target();
    machine.told("echo running 3600 >/etc/simulated/cloud-init").await;
    let failure = ssh_wait(&target, Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(failure.code, Code::ProvisionTimeout);
    assert_eq!(verify_profile(&target, &Checks::default(), LONG).await, Ok(vec![]), "checks do not wait for it");
    machine.told("echo error >/etc/simulated/cloud-init").await;
    assert_eq!(ssh_wait(&target, LONG).await.unwrap_err().code, Code::ProvisionScriptFailed);
    machine.told("echo running 0 >/etc/simulated/cloud-init").await;
    assert_eq!(ssh_wait(&target, LONG).await, Ok(()));
    machine.sim.shutdown().await;
}

#[tokio::test]
async fn what_a_profile_wants_and_does_not_find_is_told_in_order() {
    let Some(machine) = Machine::start(None).await else { return };
    let checks = |commands: &[&str]| Checks { commands: commands.iter().map(|it| (*it).to_owned()).collect() };
    let target = machine.target();
    assert_eq!(verify_profile(&target, &checks(&["sh", "timeout"]), LONG).await, Ok(vec![]));
    let missing = checks(&["sh", "no-such-command"]);
    assert_eq!(verify_profile(&target, &missing, LONG).await, Ok(vec![ReasonCode::RuntimeMissing]));
    // Only root's part of the machine has it.
    machine.told("printf '#!/bin/sh\\n' >/usr/local/sbin/mine; chmod 755 /usr/local/sbin/mine").await;
    let admin = SshTarget { user: "admin".to_owned(), ..target };
    assert_eq!(verify_profile(&admin, &checks(&["mine"]), LONG).await, Ok(vec![]));
    machine.told(": >/etc/simulated/no-sudo").await;
    let both = vec![ReasonCode::SudoUnavailable, ReasonCode::RuntimeMissing];
    assert_eq!(verify_profile(&admin, &missing, LONG).await, Ok(both));
    let wrong = SshTarget { host_key_public: other_host_key(), ..admin };
    assert_eq!(verify_profile(&wrong, &missing, LONG).await.unwrap_err().code, Code::ProvisionHostKeyMismatch);
    machine.sim.shutdown().await;
}
