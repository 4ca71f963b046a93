//! The demo: simulated vendors and a simulated Forge on loopback, driven through the very same
//! adapters as the real ones. The rule: nothing in here is reachable from `hangar serve`.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, time::Duration};

use domain::provider::DemoHint;
use secrecy::SecretString;
use simulators::{
    Cloudflare, CloudflareConfig, CloudflareToken, Forge, ForgeConfig, Hetzner, HetznerConfig, Hosts, SimulatorError,
    Ssh, TokenAccess,
};
use url::Url;

use crate::{
    config::{Config, ForgeClient},
    run::demo_secret,
    seal::SealError,
    services::DemoFacts,
};

/// A token that the simulated Hetzner accepts; the vendor's have 64 characters too.
const TOKEN: &str = "demo000000000000000000000000000000000000000000000000000000000000";
/// One that may only read, to see what Hangar says to it.
const READ_ONLY_TOKEN: &str = "read000000000000000000000000000000000000000000000000000000000000";

/// A token that the simulated Cloudflare accepts; the vendor's have 40 characters too.
const DNS_TOKEN: &str = "demo000000000000000000000000000000000000";
/// The zone that it holds.
const ZONE: &str = "hangar.test";

/// Why the demo did not come up.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A simulator did not start.
    #[error("the demo's simulators did not start")]
    Simulator(#[from] SimulatorError),
    /// No secret could be made.
    #[error(transparent)]
    Secret(#[from] SealError),
    /// The demo's folder cannot be used.
    #[error("the demo's folder cannot be used")]
    Folder(#[from] std::io::Error),
}

/// The running simulators.
pub struct Demo {
    hetzner: Hetzner,
    cloudflare: Cloudflare,
    forge: Forge,
    made_secret: Option<SecretString>,
}

impl Demo {
    /// Starts the simulators and points the configuration at them. Their state is kept in the data
    /// folder, so that what was acquired is still there after a restart.
    ///
    /// # Errors
    /// [`DemoError`].
    pub async fn start(config: &mut Config) -> Result<Self, DemoError> {
        let folder = config.database.data_dir.join("demo");
        fs::create_dir_all(&folder)?;
        let hetzner = Hetzner::start(HetznerConfig {
            tokens: vec![
                (TOKEN.to_owned(), TokenAccess::ReadWrite),
                (READ_ONLY_TOKEN.to_owned(), TokenAccess::ReadOnly),
            ],
            action_time: Duration::from_millis(1500),
            hosts: Hosts::Loopback { cockpit_port: 0, ssh: Ssh::Auto { port: 0 } },
            state_file: Some(folder.join("hetzner.json")),
            ..HetznerConfig::default()
        })
        .await?;
        let cloudflare = Cloudflare::start(CloudflareConfig {
            tokens: vec![CloudflareToken::new(DNS_TOKEN)],
            zones: vec![ZONE.to_owned()],
            state_file: Some(folder.join("cloudflare.json")),
            ..CloudflareConfig::default()
        })
        .await?;
        let forge = forge_at_its_port(&folder.join("forge-port")).await?;
        if config.forge.client.is_none()
            && let Ok(url) = Url::parse(&forge.url())
        {
            let defaults = ForgeConfig::default();
            config.forge.client =
                Some(ForgeClient { url, client_id: defaults.client_id, client_secret: defaults.client_secret.into() });
        }
        let made_secret = demo_secret(config)?;
        Ok(Self { hetzner, cloudflare, forge, made_secret })
    }

    /// The admin secret that was made because none was given.
    pub fn made_secret(&self) -> Option<&SecretString> {
        self.made_secret.as_ref()
    }

    /// What the pages need to know.
    pub fn facts(&self) -> DemoFacts {
        let mut settings = BTreeMap::from([("endpoint".to_owned(), self.hetzner.endpoint())]);
        if let (Some(port), Some(user)) = (self.hetzner.ssh_port(), self.hetzner.ssh_user()) {
            settings.insert("ssh_port".to_owned(), port.to_string());
            settings.insert("ssh_user".to_owned(), user);
        }
        let port = self.hetzner.cockpit_port().unwrap_or(80);
        DemoFacts {
            hints: vec![
                DemoHint {
                    kind: "hetzner".to_owned(),
                    settings,
                    secret: BTreeMap::from([("api_token".to_owned(), TOKEN.to_owned())]),
                },
                DemoHint {
                    kind: "cloudflare".to_owned(),
                    settings: BTreeMap::from([
                        ("endpoint".to_owned(), self.cloudflare.endpoint()),
                        ("dns_servers".to_owned(), self.cloudflare.dns_address().to_string()),
                    ]),
                    secret: BTreeMap::from([("api_token".to_owned(), DNS_TOKEN.to_owned())]),
                },
            ],
            cockpit_url: format!("http://{{ipv4}}:{port}/"),
            ssh_off: self.hetzner.ssh_unavailable_reason(),
        }
    }

    /// What a newcomer reads in the terminal.
    pub fn explanation(&self) -> String {
        let mut text = format!(
            "  people          sign in with the Forge as ada, grace or alan\n  \
             Hetzner         simulated at {}\n                  token {TOKEN}\n                  read-only token {READ_ONLY_TOKEN}\n",
            self.hetzner.endpoint(),
        );
        let at = self.cloudflare.dns_address();
        text.push_str(&format!(
            "  Cloudflare      simulated at {}\n                  token {DNS_TOKEN}\n                  zone {ZONE}; ask for a name of it:\n                  dig @{} -p {} alpha.{ZONE}\n",
            self.cloudflare.endpoint(),
            at.ip(),
            at.port(),
        ));
        if let Some(why) = self.hetzner.ssh_unavailable_reason() {
            text.push_str(&format!("  SSH             verification is off: {why}\n"));
        }
        text.push_str("\nEverything is simulated on this machine; nothing is billed. Ctrl-C ends it.\n");
        text
    }

    /// Ends the simulators.
    pub async fn end(self) {
        self.hetzner.shutdown().await;
        self.cloudflare.shutdown().await;
        self.forge.shutdown().await;
    }
}

/// The Forge comes up at the port it had, because people are known by its address.
async fn forge_at_its_port(path: &Path) -> Result<Forge, DemoError> {
    let kept = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u16>().ok());
    let at = |port| ForgeConfig { listen: SocketAddr::from(([127, 0, 0, 1], port)), ..ForgeConfig::default() };
    let forge = match kept {
        Some(port) => match Forge::start(at(port)).await {
            Ok(forge) => forge,
            Err(_) => Forge::start(at(0)).await?,
        },
        None => Forge::start(at(0)).await?,
    };
    if let Some(port) = Url::parse(&forge.url()).ok().and_then(|url| url.port()) {
        fs::write(path, port.to_string())?;
    }
    Ok(forge)
}
