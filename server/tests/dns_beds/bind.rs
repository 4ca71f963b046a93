//! Zones at a real BIND 9, written by dynamic updates. One server for all tests, a zone for each bed,
//! and before it a relay at which requests meet their trouble.

#[path = "../../../providers/tests/bind/relay.rs"]
mod relay;
#[path = "../../../providers/tests/bind/mod.rs"]
mod server;

use std::{
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use relay::{Relay, RelayCall, RelayEffect};
use serde_json::{Value, json};
use server::{Bind, HANGAR, WRITER};

use super::{Call, DnsBed, Trouble, neighbours};

/// As many beds as all tests together can want.
const ZONES: usize = 300;

/// The server and its zones. It ends with the process: a guard sees the end of its input.
static SERVER: LazyLock<Option<(Bind, Mutex<Vec<String>>)>> = LazyLock::new(|| {
    let zones: Vec<String> = (0..ZONES).map(zone_name).collect();
    Some((Bind::start(&zones)?, Mutex::new(zones)))
});
static NEXT: AtomicUsize = AtomicUsize::new(0);

fn zone_name(n: usize) -> String {
    format!("z{n}.test")
}

fn server() -> &'static Bind {
    &SERVER.as_ref().unwrap().0
}

/// A zone and its relay.
pub struct BindBed {
    zone: String,
    relay: Relay,
}

impl BindBed {
    fn fqdn(&self, name: &str) -> String {
        format!("{name}.{}", self.zone)
    }

    fn has_zone(&self) -> bool {
        SERVER.as_ref().unwrap().1.lock().unwrap().contains(&self.zone)
    }

    /// What an account is connected by whose key may change the zone and not transfer it.
    pub fn without_transfer(&self) -> Value {
        let mut body = self.connection("writer");
        body["settings"]["key_name"] = json!(WRITER.name);
        body["settings"]["algorithm"] = json!(WRITER.algorithm);
        body["secret"]["key"] = json!(WRITER.secret);
        body
    }

    async fn update(&self, lines: &[String]) {
        server().update(&self.zone, lines).await;
    }
}

impl DnsBed for BindBed {
    const NAME_DEADLINE: Duration = Duration::from_secs(30);

    fn is_here() -> bool {
        SERVER.is_some()
    }

    async fn start() -> Self {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(n < ZONES, "more zones are needed");
        let bed = Self { zone: zone_name(n), relay: Relay::start(server().address).await };
        bed.put(&neighbours()).await;
        bed
    }

    fn zone(&self) -> String {
        self.zone.clone()
    }

    fn account(&self) -> Value {
        let settings = json!({
            "server": self.relay.server(), "zone": self.zone, "key_name": HANGAR.name, "algorithm": HANGAR.algorithm,
        });
        json!({"kind": "rfc2136", "settings": settings, "secret": {"key": HANGAR.secret}})
    }

    async fn put(&self, records: &[(String, &'static str, String)]) {
        let line = |(name, kind, content): &(String, &'static str, String)| {
            let content = if *kind == "TXT" { format!("\"{content}\"") } else { content.clone() };
            format!("update add {}. 3600 {kind} {content}", self.fqdn(name))
        };
        self.update(&records.iter().map(line).collect::<Vec<_>>()).await;
    }

    async fn change(&self, name: &str, kind: &str, content: &str) {
        let fqdn = self.fqdn(name);
        self.update(&[format!("update delete {fqdn}. {kind}"), format!("update add {fqdn}. 300 {kind} {content}")])
            .await;
    }

    async fn unmark(&self, name: &str) {
        self.update(&[format!("update delete _hangar.{}. TXT", self.fqdn(name))]).await;
    }

    async fn remove(&self, name: &str, kind: &str) {
        self.update(&[format!("update delete {}. {kind}", self.fqdn(name))]).await;
    }

    async fn remove_zone(&self) {
        let (bind, zones) = SERVER.as_ref().unwrap();
        {
            let mut zones = zones.lock().unwrap();
            zones.retain(|it| *it != self.zone);
            bind.reload(&zones);
        }
        while !bind.dig(&[&self.zone, "SOA"]).await.contains("REFUSED") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn records(&self) -> Vec<String> {
        if !self.has_zone() {
            return Vec::new();
        }
        let (own, ns) = (format!("{}. ", self.zone), format!("ns1.{}. ", self.zone));
        let mut all = server().records(&self.zone).await;
        all.retain(|line| !(line.starts_with(&ns) || line.starts_with(&own) && line.contains(" IN NS ")));
        all
    }

    async fn contents(&self, name: &str, kind: &str) -> Vec<String> {
        let text = server().dig(&[&self.fqdn(name), kind, "+short"]).await;
        text.lines().map(str::to_owned).collect()
    }

    async fn full(&self) -> bool {
        false
    }

    fn trouble(&self, call: Call, nth: u32, trouble: Trouble) -> bool {
        let effect = match trouble {
            Trouble::AnswerLost => RelayEffect::AnswerLost,
            Trouble::Unreadable => RelayEffect::Unreadable,
            Trouble::Broken => RelayEffect::Broken,
            Trouble::ServerError => RelayEffect::ServerError,
            Trouble::RateLimited => return false,
            Trouble::Refused => RelayEffect::Refused,
            Trouble::Hang { after_effect } => RelayEffect::Hang { after_effect },
            Trouble::Late { ms } => RelayEffect::Late(Duration::from_millis(ms)),
        };
        let on = if call == Call::Any { RelayCall::Any } else { RelayCall::Update };
        self.relay.trouble(on, nth, effect);
        true
    }

    async fn met(&self) {
        self.relay.met().await;
    }

    fn calm(&self) {
        self.relay.calm();
    }
}
