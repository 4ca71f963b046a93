//! BIND 9 by dynamic updates. One server for all tests, a zone for each bed, and before it a relay
//! at which requests meet their trouble.

#[path = "../bind/relay.rs"]
mod relay;

use std::{
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use providers::{Account, AccountAccess, AccountSecret, Registry, Timeouts, async_trait};
use relay::{Relay, RelayCall, RelayEffect};
use serde_json::json;

use super::{DnsBed, Foreign, Trouble};
use crate::{
    bind::{Bind, HANGAR},
    common::timeouts,
};

/// As many beds as all tests together can want.
const ZONES: usize = 800;
/// After this, a late request is carried out.
const LATE: Duration = Duration::from_millis(150);

/// For an answer: all beds together are a crowd for one small server.
const LONG: Duration = Duration::from_secs(20);

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

#[async_trait]
impl DnsBed for BindBed {
    fn is_here() -> bool {
        SERVER.is_some()
    }

    async fn start() -> Self {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(n < ZONES, "more zones are needed");
        Self { zone: zone_name(n), relay: Relay::start(server().address).await }
    }

    fn zone(&self) -> String {
        self.zone.clone()
    }

    fn account(&self, instance: &str) -> Arc<dyn Account> {
        let settings = json!({
            "server": self.relay.server(), "zone": self.zone, "key_name": HANGAR.name, "algorithm": HANGAR.algorithm,
        });
        let access = AccountAccess {
            work_dir: std::env::temp_dir(),
            settings,
            secret: AccountSecret::new(json!({"key": HANGAR.secret})),
            instance: instance.to_owned(),
            timeouts: Timeouts { connect: LONG, read: LONG, write: LONG, ..timeouts() },
        };
        Registry::standard().get("rfc2136").unwrap().open(access).unwrap()
    }

    async fn put(&self, records: &[Foreign]) {
        let line = |it: &Foreign| {
            let content = match it.kind.as_str() {
                "CNAME" => format!("{}.", it.content),
                "TXT" => format!("\"{}\"", it.content),
                _ => it.content.clone(),
            };
            format!("update add {}. 3600 {} {content}", it.fqdn, it.kind.as_str())
        };
        server().update(&self.zone, &records.iter().map(line).collect::<Vec<_>>()).await;
    }

    async fn change(&self, fqdn: &str, kind: providers::RecordType, content: &str) {
        let lines = [
            format!("update delete {fqdn}. {}", kind.as_str()),
            format!("update add {fqdn}. 300 {} {content}", kind.as_str()),
        ];
        server().update(&self.zone, &lines).await;
    }

    async fn unmark(&self, fqdn: &str) {
        server().update(&self.zone, &[format!("update delete _hangar.{fqdn}. TXT")]).await;
    }

    async fn remove(&self, fqdn: &str, kind: providers::RecordType) {
        server().update(&self.zone, &[format!("update delete {fqdn}. {}", kind.as_str())]).await;
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
        let (own, ns) = (format!("{}. ", self.zone), format!("ns1.{}. ", self.zone));
        let mut all = server().records(&self.zone).await;
        all.retain(|line| !(line.starts_with(&ns) || line.starts_with(&own) && line.contains(" IN NS ")));
        all
    }

    async fn room(&self, _records: usize) -> bool {
        false
    }

    async fn trouble(&self, nth: u32, trouble: Trouble) -> bool {
        let effect = match trouble {
            Trouble::AnswerLost => RelayEffect::AnswerLost,
            Trouble::Unreadable => RelayEffect::Unreadable,
            Trouble::Broken => RelayEffect::Broken,
            Trouble::ServerError => RelayEffect::ServerError,
            Trouble::Late => RelayEffect::Late(LATE),
            Trouble::Refused => RelayEffect::Refused,
            Trouble::RateLimited => return false,
        };
        self.relay.trouble(RelayCall::Any, nth, effect);
        true
    }

    async fn calm(&self) {
        self.relay.calm();
    }

    async fn settled(&self) {
        self.relay.settled().await;
    }
}
