//! Runs both simulators until Ctrl-C, for a look by hand or with another client:
//! `cargo run -p simulators --example simulators`.

use std::{net::SocketAddr, time::Duration};

use simulators::{Forge, ForgeConfig, Hetzner, HetznerConfig, Hosts, SimulatorError, Ssh};

#[tokio::main]
async fn main() -> Result<(), SimulatorError> {
    let port = |name| std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(0);
    let hetzner = Hetzner::start(HetznerConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], port("HETZNER_PORT"))),
        action_time: Duration::from_secs(1),
        hosts: Hosts::Loopback { cockpit_port: 0, ssh: Ssh::Auto { port: 0 } },
        ..HetznerConfig::default()
    })
    .await?;
    let forge = Forge::start(ForgeConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], port("FORGE_PORT"))),
        ..ForgeConfig::default()
    })
    .await?;
    println!("HCLOUD_ENDPOINT={}", hetzner.endpoint());
    println!("HCLOUD_TOKEN={}", "t".repeat(64));
    println!("cockpit port {:?}, ssh port {:?}", hetzner.cockpit_port(), hetzner.ssh_port());
    if let Some(reason) = hetzner.ssh_unavailable_reason() {
        println!("no SSH: {reason}");
    }
    println!("forge {}", forge.url());
    // An error means that there are no signals here; then it ends at once.
    let _ = tokio::signal::ctrl_c().await;
    hetzner.shutdown().await;
    forge.shutdown().await;
    Ok(())
}
