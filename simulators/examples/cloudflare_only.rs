//! Runs a simulated Cloudflare, for tests in other languages and for a look by hand:
//! `cargo run -p simulators --example cloudflare_only`. It prints its endpoint, a token, the address
//! of its name server and the id of its account, a line each, and ends with its standard input, so
//! that it never outlives who started it.

use std::{io::Read as _, time::Duration};

use simulators::{CallLimit, Cloudflare, CloudflareConfig, SimulatorError};

#[tokio::main]
async fn main() -> Result<(), SimulatorError> {
    let config = CloudflareConfig {
        limit: CallLimit { calls: 1_000_000, window: Duration::from_secs(300), block: Duration::from_secs(1) },
        ..CloudflareConfig::default()
    };
    let token = config.tokens.first().map(|token| token.value.clone()).unwrap_or_default();
    let cloudflare = Cloudflare::start(config).await?;
    println!("{}", cloudflare.endpoint());
    println!("{token}");
    println!("{}", cloudflare.dns_address());
    println!("{}", cloudflare.account_id());
    // Whatever comes, and also when reading fails: then it ends.
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
    cloudflare.shutdown().await;
    Ok(())
}
