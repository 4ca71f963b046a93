//! Cloudflare, against its simulator.

use std::sync::Arc;

use providers::{Account, AccountAccess, AccountSecret, RecordType, Registry, async_trait};
use serde_json::json;
use simulators::{
    Cloudflare, CloudflareCall, CloudflareConfig, CloudflareEffect, CloudflareFault, RecordChange, RecordSeed,
};

use super::{DnsBed, Foreign, Trouble};
use crate::common::timeouts;

const ZONE: &str = "example.com";

pub struct CloudflareBed {
    pub sim: Cloudflare,
}

#[async_trait]
impl DnsBed for CloudflareBed {
    async fn start() -> Self {
        let sim = Cloudflare::start(CloudflareConfig::default()).await.unwrap();
        Self { sim }
    }

    fn zone(&self) -> String {
        ZONE.to_owned()
    }

    fn account(&self, instance: &str) -> Arc<dyn Account> {
        let access = AccountAccess {
            work_dir: std::env::temp_dir(),
            settings: json!({"endpoint": self.sim.endpoint(), "dns_servers": self.sim.dns_address().to_string()}),
            secret: AccountSecret::new(json!({"api_token": "c".repeat(40)})),
            instance: instance.to_owned(),
            timeouts: timeouts(),
        };
        Registry::standard().get("cloudflare").unwrap().open(access).unwrap()
    }

    async fn put(&self, records: &[Foreign]) {
        let seed = |record: &Foreign| match record.kind {
            RecordType::Txt => RecordSeed::new(&record.fqdn, "TXT", &format!("\"{}\"", record.content)),
            kind => RecordSeed::new(&record.fqdn, kind.as_str(), &record.content),
        };
        let mut seeds: Vec<_> = records.iter().map(seed).collect();
        for (n, seed) in seeds.iter_mut().enumerate() {
            // Comments of other people, some of which look like ours.
            seed.comment = match n % 3 {
                0 => None,
                1 => Some("hangar".to_owned()),
                _ => Some(format!("hangar inst-10 dns_{n}")),
            };
        }
        assert!(self.sim.put_records(&seeds));
    }

    async fn change(&self, fqdn: &str, kind: RecordType, content: &str) {
        let change = RecordChange { content: Some(content.to_owned()), ..RecordChange::default() };
        assert_eq!(self.sim.change_records(fqdn, Some(kind.as_str()), &change), 1);
    }

    async fn unmark(&self, fqdn: &str) {
        let change = RecordChange { comment: Some(String::new()), ..RecordChange::default() };
        assert!(self.sim.change_records(fqdn, None, &change) > 0);
    }

    async fn remove(&self, fqdn: &str, kind: RecordType) {
        assert_eq!(self.sim.remove_records(fqdn, kind.as_str()), 1);
    }

    async fn remove_zone(&self) {
        assert!(self.sim.remove_zone(ZONE));
    }

    async fn records(&self) -> Vec<String> {
        self.sim.records(ZONE).iter().map(ToString::to_string).collect()
    }

    async fn room(&self, records: usize) -> bool {
        self.sim.set_record_quota(self.sim.records(ZONE).len() + records);
        true
    }

    async fn trouble(&self, nth: u32, trouble: Trouble) -> bool {
        let effect = match trouble {
            Trouble::AnswerLost => CloudflareEffect::LostAnswer,
            Trouble::Unreadable => CloudflareEffect::UnreadableBody,
            Trouble::Broken => CloudflareEffect::Reset { after_effect: false },
            Trouble::ServerError => CloudflareEffect::HtmlBadGateway,
            Trouble::Late => CloudflareEffect::Late { ms: 40 },
            Trouble::RateLimited => CloudflareEffect::RateLimited { retry_after: 1 },
            Trouble::Refused => {
                CloudflareEffect::Status { status: 403, code: 10000, message: "VENDOR TEXT".to_owned(), body: None }
            }
        };
        self.sim.fault(CloudflareFault { on: CloudflareCall::Any, nth, times: 1, effect });
        true
    }

    async fn calm(&self) {
        self.sim.clear_faults();
    }

    async fn settled(&self) {
        self.sim.settled().await;
    }
}
