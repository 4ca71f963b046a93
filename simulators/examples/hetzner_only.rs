//! Runs a simulated Hetzner without machines, for tests in other languages:
//! `cargo run -p simulators --example hetzner_only -- [milliseconds an action takes]`. It prints its
//! endpoint, then its token, and ends with its standard input, so that it never outlives who
//! started it.

use std::{io::Read as _, time::Duration};

use simulators::{Hetzner, HetznerConfig, RateLimit, SimulatorError};

#[tokio::main]
async fn main() -> Result<(), SimulatorError> {
    let action_time = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(20);
    let config = HetznerConfig {
        action_time: Duration::from_millis(action_time),
        rate_limit: RateLimit { limit: 1_000_000, refill_per_second: 1_000.0 },
        server_quota: 1_000,
        ..HetznerConfig::default()
    };
    let token = config.tokens.first().map(|(token, _)| token.clone()).unwrap_or_default();
    let hetzner = Hetzner::start(config).await?;
    println!("{}", hetzner.endpoint());
    println!("{token}");
    // Whatever comes, and also when reading fails: then it ends.
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
    hetzner.shutdown().await;
    Ok(())
}
