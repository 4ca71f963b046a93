//! Behind a running server something real answers, and behind another nothing does.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod common;

use std::{path::Path, process::Output};

use common::{Sim, order, until};
use reqwest::Method;
use serde_json::json;
use simulators::{HetznerConfig, Hosts, Ssh};
use tokio::process::Command;

fn with_hosts(ssh: Ssh) -> HetznerConfig {
    let hosts = Hosts::Loopback { cockpit_port: 0, ssh };
    HetznerConfig { hosts, ..HetznerConfig::default() }
}

async fn page(sim: &Sim, path: &str) -> Option<String> {
    let address = sim.hetzner.servers().first().and_then(|server| server.ipv4);
    page_at(sim, &address?.to_string(), path).await
}

async fn page_at(sim: &Sim, address: &str, path: &str) -> Option<String> {
    let url = format!("http://{address}:{}{path}", sim.hetzner.cockpit_port().unwrap());
    sim.client.get(url).send().await.ok()?.text().await.ok()
}

#[tokio::test]
async fn a_cockpit_answers_exactly_while_its_server_runs() {
    let sim = Sim::start(with_hosts(Ssh::Off)).await;
    assert!(sim.hetzner.ssh_port().is_none() && sim.hetzner.ssh_unavailable_reason().is_some());
    let id = sim.running("alpha").await;
    until(|| async { page(&sim, "/").await.is_some() }).await;
    let text = page(&sim, "/shell/<b>").await.unwrap();
    for part in ["<title>Cockpit · alpha</title>", "cx23", "fsn1", "Uptime"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("<b>") && !text.contains("{uptime}"), "{text}");

    let address = sim.hetzner.servers()[0].ipv4.unwrap().to_string();
    let off = format!("/servers/{id}/actions/poweroff");
    sim.call(Method::POST, &off, None).await;
    until(|| async { page_at(&sim, &address, "/").await.is_none() }).await;
    sim.status(id, "off").await;
    sim.call(Method::POST, &format!("/servers/{id}/actions/poweron"), None).await;
    until(|| async { page_at(&sim, &address, "/").await.is_some() }).await;
    assert!(sim.hetzner.power_off("alpha"));
    until(|| async { page_at(&sim, &address, "/").await.is_none() }).await;
    sim.call(Method::POST, &format!("/servers/{id}/actions/poweron"), None).await;
    until(|| async { page_at(&sim, &address, "/").await.is_some() }).await;
    assert!(sim.hetzner.remove_server("alpha"));
    until(|| async { page_at(&sim, &address, "/").await.is_none() }).await;
}

#[tokio::test]
async fn hosts_come_back_after_a_restart_and_go_with_the_simulator() {
    let directory = tempfile::tempdir().unwrap();
    let config = || HetznerConfig { state_file: Some(directory.path().join("state.json")), ..with_hosts(Ssh::Off) };
    let sim = Sim::start(config()).await;
    sim.running("alpha").await;
    until(|| async { page(&sim, "/").await.is_some() }).await;
    let (address, port) = (sim.hetzner.servers()[0].ipv4.unwrap(), sim.hetzner.cockpit_port());
    let Sim { hetzner, .. } = sim;
    hetzner.shutdown().await;
    // Nothing listens any more, but for the moment in which a process that another test starts has
    // what this one had open.
    until(|| async { std::net::TcpListener::bind((address, port.unwrap())).is_ok() }).await;

    let sim = Sim::start(config()).await;
    assert_eq!((sim.hetzner.servers()[0].ipv4, sim.hetzner.cockpit_port()), (Some(address), port));
    until(|| async { page(&sim, "/").await.is_some() }).await;
}

/// A client's key pair and known host, and the command to log in.
struct Login {
    directory: tempfile::TempDir,
    address: String,
    port: u16,
    user: String,
}

impl Login {
    async fn key(path: &Path) -> String {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
            .arg(path)
            .status()
            .await
            .expect("ssh-keygen (package openssh-client)");
        assert!(made.success());
        std::fs::read_to_string(path.with_extension("pub")).unwrap()
    }

    async fn ssh(&self, key: &str, command: &str) -> Output {
        let file = |name| self.directory.path().join(name).display().to_string();
        Command::new("ssh")
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args(["-o", &format!("UserKnownHostsFile={}", file("known_hosts"))])
            .args(["-o", "GlobalKnownHostsFile=none", "-o", "IdentitiesOnly=yes"])
            .args(["-o", "IdentityAgent=none", "-o", "ConnectTimeout=10"])
            .args(["-i", &file(key), "-p", &self.port.to_string(), "-l", &self.user])
            .args([&self.address, command])
            .output()
            .await
            .expect("ssh (package openssh-client)")
    }
}

#[tokio::test]
async fn behind_ssh_is_a_machine_under_the_host_key_of_the_user_data() {
    let sim = Sim::start(with_hosts(Ssh::Auto { port: 0 })).await;
    if let Some(reason) = sim.hetzner.ssh_unavailable_reason() {
        assert!(
            std::env::var_os("HANGAR_ALLOW_MISSING").is_some(),
            "this test needs sshd (Debian: apt-get install openssh-server) and namespaces for it: {reason}. \
             HANGAR_ALLOW_MISSING=1 leaves it out"
        );
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (host_key, key) = (Login::key(&at("host")).await, Login::key(&at("right")).await);
    Login::key(&at("wrong")).await;
    sim.key("right", &key).await;
    let private = std::fs::read_to_string(at("host")).unwrap();
    let private: String = private.lines().map(|line| format!("    {line}\n")).collect();
    let mut body = order("alpha");
    body["ssh_keys"] = json!(["right"]);
    body["user_data"] =
        format!("#cloud-config\nssh_keys:\n  ed25519_private: |\n{private}  ed25519_public: {host_key}").into();
    let (status, answer) = sim.call(Method::POST, "/servers", Some(body)).await;
    assert_eq!(status.as_u16(), 201, "{answer}");
    let address = answer["server"]["public_net"]["ipv4"]["ip"].as_str().unwrap().to_owned();
    let (port, user) = (sim.hetzner.ssh_port().unwrap(), sim.hetzner.ssh_user().unwrap());
    std::fs::write(at("known_hosts"), format!("[{address}]:{port} {host_key}")).unwrap();
    let login = Login { directory, address: address.clone(), port, user };

    until(|| async { login.ssh("right", "true").await.status.success() }).await;
    let cases = [
        ("sudo -n true", 0, ""),
        ("timeout -k 5 30 sudo -n true", 0, ""),
        ("cloud-init status --wait", 0, "status: done\n"),
        ("command -v apt-get", 0, "/usr/local/bin/apt-get\n"),
        ("hostname; whoami; id -u", 0, "alpha\nroot\n0\n"),
        ("exit 3", 3, ""),
        ("no-such-command", 127, ""),
        ("cat /proc/1/comm", 0, "sshd\n"),
        ("", 126, ""),
        // Nothing of the real machine can be written, and there is no network.
        ("touch /usr/x || touch /usr/bin/x || touch /run/simulated/x || mount -o remount,rw,bind /usr", 32, ""),
        ("ls /home /root; cat /sys/class/net/lo/operstate", 1, "/home:\nadmin\n\n/root:\n"),
        ("cat </dev/tcp/127.0.0.1/1 || tail -n +3 /proc/net/dev | grep -v lo:", 1, ""),
        ("kill -KILL 1; echo still here", 0, "still here\n"),
    ];
    for (command, code, stdout) in cases {
        let output = login.ssh("right", command).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!((output.status.code(), text.as_str()), (Some(code), stdout), "{command}: {output:?}");
    }
    let refused = login.ssh("wrong", "true").await;
    assert_eq!(refused.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Permission denied"));

    let said = |output: Output| String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let beat = "echo kept >/root/kept; setsid sh -c 'while :; do date +%s%N >/root/beat; sleep 0.01; done' \
                >/dev/null 2>&1 </dev/null &";
    assert!(login.ssh("right", beat).await.status.success());
    let beating = || async {
        let first = login.ssh("right", "cat /root/beat").await;
        first.status.success() && said(first) != said(login.ssh("right", "cat /root/beat").await)
    };
    until(|| async { beating().await }).await;

    let id = answer["server"]["id"].as_u64().unwrap();
    sim.call(Method::POST, &format!("/servers/{id}/actions/poweroff"), None).await;
    let closed = || async { std::net::TcpStream::connect((address.as_str(), port)).is_err() };
    until(closed).await;
    sim.status(id, "off").await;
    sim.call(Method::POST, &format!("/servers/{id}/actions/poweron"), None).await;
    until(|| async { !closed().await }).await;
    assert!(login.ssh("right", "true").await.status.success(), "the host key stayed");
    assert_eq!(said(login.ssh("right", "cat /root/kept").await), "kept", "and so did the disk");
    let (one, two) = (login.ssh("right", "cat /root/beat").await, login.ssh("right", "cat /root/beat").await);
    assert_eq!(said(one), said(two), "but not what ran");

    let admin = Login { user: "admin".to_owned(), directory: login.directory, address: login.address, port };
    assert_eq!(said(admin.ssh("right", "whoami; sudo -n id -u").await), "admin\n0");
    assert!(admin.ssh("right", "sudo -n touch /etc/simulated/no-sudo").await.status.success());
    assert_eq!(admin.ssh("right", "sudo -n true").await.status.code(), Some(1));
    let Login { directory, address, .. } = admin;
    let login = Login { directory, address: address.clone(), port, user: "root".to_owned() };
    assert!(login.ssh("right", "echo 1 >/etc/simulated/refuse").await.status.success());
    assert_eq!(login.ssh("right", "true").await.status.code(), Some(255));
    assert!(login.ssh("right", "true").await.status.success());
    let closed = || async { std::net::TcpStream::connect((address.as_str(), port)).is_err() };
    sim.hetzner.shutdown().await;
    until(closed).await;
}

/// Not a test by itself: the process that `nothing_outlives_a_killed_simulator` kills.
#[tokio::test]
async fn helper_that_is_killed() {
    let Some(state_file) = std::env::var_os("SIMULATOR_STATE_FILE") else { return };
    let config = with_hosts(Ssh::Auto { port: 0 });
    let sim = Sim::start(HetznerConfig { state_file: Some(state_file.into()), ..config }).await;
    sim.running("alpha").await;
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn nothing_outlives_a_killed_simulator() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_that_is_killed"])
        .env("SIMULATOR_STATE_FILE", &path)
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let state = || async {
        let text = std::fs::read(&path).ok()?;
        let state: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let server = state["servers"].as_object()?.values().next()?.clone();
        let ports = ["cockpit", "ssh"].map(|it| state["ports"][it].as_u64().unwrap());
        Some((server["ipv4"][1].as_str()?.to_owned(), ports))
    };
    until(|| async { state().await.is_some() }).await;
    let (address, ports) = state().await.unwrap();
    let answers = |port: u64| {
        let port = u16::try_from(port).unwrap();
        std::net::TcpStream::connect((address.as_str(), port)).is_ok()
    };
    // Without sshd there is only the page; another test says what to install.
    let ssh = ssh_is_possible().await;
    until(|| async { answers(ports[0]) && (!ssh || answers(ports[1])) }).await;
    child.kill().await.unwrap();
    until(|| async { !answers(ports[0]) && !answers(ports[1]) }).await;
}

async fn ssh_is_possible() -> bool {
    let sim = Sim::start(with_hosts(Ssh::Auto { port: 0 })).await;
    sim.hetzner.ssh_port().is_some()
}
