//! Cloudflare's zones at the simulated vendor.

use std::{sync::Mutex, time::Duration};

use serde_json::{Value, json};
use simulators::{
    CallLimit, Cloudflare, CloudflareCall, CloudflareConfig, CloudflareEffect, CloudflareFault, CloudflareFaultId,
    RecordChange, RecordSeed,
};

use super::{Call, DnsBed, Trouble, neighbours};

const ZONE: &str = "hangar.test";

pub struct CloudflareBed {
    sim: Cloudflare,
    last: Mutex<Option<CloudflareFaultId>>,
}

fn fqdn(name: &str) -> String {
    format!("{name}.{ZONE}")
}

impl DnsBed for CloudflareBed {
    const NAME_DEADLINE: Duration = Duration::from_secs(30);

    async fn start() -> Self {
        let limit = CallLimit { calls: 1_000_000, ..CallLimit::default() };
        let config = CloudflareConfig {
            zones: vec![ZONE.to_owned()],
            record_quota: 6_000,
            limit,
            ..CloudflareConfig::default()
        };
        let bed = Self { sim: Cloudflare::start(config).await.unwrap(), last: Mutex::default() };
        bed.put(&neighbours()).await;
        bed
    }

    fn zone(&self) -> String {
        ZONE.to_owned()
    }

    fn account(&self) -> Value {
        json!({
            "kind": "cloudflare", "secret": {"api_token": "c".repeat(40)},
            "settings": {"endpoint": self.sim.endpoint(), "dns_servers": self.sim.dns_address().to_string()},
        })
    }

    async fn put(&self, records: &[(String, &'static str, String)]) {
        let seed = |(name, kind, content): &(String, &'static str, String)| {
            let content = if *kind == "TXT" { format!("\"{content}\"") } else { content.clone() };
            RecordSeed::new(&fqdn(name), kind, &content)
        };
        assert!(self.sim.put_records(&records.iter().map(seed).collect::<Vec<_>>()));
    }

    async fn change(&self, name: &str, kind: &str, content: &str) {
        let change = RecordChange { content: Some(content.to_owned()), ..RecordChange::default() };
        assert_eq!(self.sim.change_records(&fqdn(name), Some(kind), &change), 1);
    }

    async fn unmark(&self, name: &str) {
        let change = RecordChange { comment: Some(String::new()), ..RecordChange::default() };
        assert!(self.sim.change_records(&fqdn(name), None, &change) > 0);
    }

    async fn remove(&self, name: &str, kind: &str) {
        assert_eq!(self.sim.remove_records(&fqdn(name), kind), 1);
    }

    async fn remove_zone(&self) {
        assert!(self.sim.remove_zone(ZONE));
    }

    async fn records(&self) -> Vec<String> {
        self.sim.records(ZONE).iter().map(Value::to_string).collect()
    }

    async fn contents(&self, name: &str, kind: &str) -> Vec<String> {
        let here = |it: &&Value| it["name"] == json!(fqdn(name)) && it["type"] == json!(kind);
        self.sim.records(ZONE).iter().filter(here).map(|it| it["content"].as_str().unwrap().to_owned()).collect()
    }

    async fn full(&self) -> bool {
        self.sim.set_record_quota(self.sim.records(ZONE).len());
        true
    }

    fn trouble(&self, call: Call, nth: u32, trouble: Trouble) -> bool {
        let effect = match trouble {
            Trouble::AnswerLost => CloudflareEffect::LostAnswer,
            Trouble::Unreadable => CloudflareEffect::UnreadableBody,
            Trouble::Broken => CloudflareEffect::Reset { after_effect: false },
            Trouble::ServerError => CloudflareEffect::HtmlBadGateway,
            Trouble::RateLimited => CloudflareEffect::RateLimited { retry_after: 1 },
            Trouble::Refused => {
                CloudflareEffect::Status { status: 403, code: 10_000, message: "no".to_owned(), body: None }
            }
            Trouble::Hang { after_effect } => CloudflareEffect::Hang { after_effect },
            Trouble::Late { ms } => CloudflareEffect::Late { ms },
        };
        let on = match call {
            Call::Any => CloudflareCall::Any,
            Call::Create => CloudflareCall::RecordCreate,
            Call::Delete => CloudflareCall::RecordDelete,
        };
        *self.last.lock().unwrap() = Some(self.sim.fault(CloudflareFault { on, nth, times: 1, effect }));
        true
    }

    async fn met(&self) {
        let last = *self.last.lock().unwrap();
        self.sim.fault_hit(last.unwrap()).await;
    }

    fn calm(&self) {
        self.sim.clear_faults();
    }
}
