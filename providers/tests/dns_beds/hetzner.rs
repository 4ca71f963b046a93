//! Hetzner DNS at the simulated vendor.

use std::{sync::Arc, time::Duration};

use providers::{Account, RecordType, async_trait};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, Hetzner, HetznerConfig, RateLimit, RequestKind};

use super::{DnsBed, Foreign, Trouble};
use crate::common::{account_of, timeouts, token};

const ZONE: &str = "example.com";
/// After this, a late request is carried out.
const LATE_MS: u64 = 150;

pub struct HetznerBed {
    sim: Hetzner,
    http: Client,
}

impl HetznerBed {
    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.sim.endpoint())).bearer_auth(token());
        let response = request.json(&body).send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{path}: {body}");
        body
    }

    /// The same, and what it starts is over.
    async fn done(&self, method: Method, path: &str, body: Value) {
        let answer = self.call(method, path, body).await;
        let Some(id) = answer["action"]["id"].as_u64() else { return };
        loop {
            let answer = self.call(Method::GET, &format!("/actions/{id}"), Value::Null).await;
            match answer["action"]["status"].as_str().unwrap() {
                "running" => tokio::time::sleep(Duration::from_millis(2)).await,
                status => return assert_eq!(status, "success"),
            }
        }
    }

    async fn sets(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for page in 1.. {
            let path = format!("/zones/{ZONE}/rrsets?per_page=100&page={page}");
            let answer = self.call(Method::GET, &path, Value::Null).await;
            all.extend(answer["rrsets"].as_array().unwrap().iter().cloned());
            if answer["meta"]["pagination"]["next_page"].is_null() {
                break;
            }
        }
        all.retain(|set| set["type"] != "SOA" && !(set["type"] == "NS" && set["name"] == "@"));
        all
    }

    fn relative(fqdn: &str) -> &str {
        fqdn.strip_suffix(ZONE).unwrap().strip_suffix('.').unwrap_or("@")
    }

    fn set_path(fqdn: &str, kind: &str) -> String {
        format!("/zones/{ZONE}/rrsets/{}/{kind}", Self::relative(fqdn))
    }
}

fn value_of(kind: RecordType, content: &str) -> String {
    match kind {
        RecordType::Cname => format!("{content}."),
        RecordType::Txt => format!("\"{content}\""),
        _ => content.to_owned(),
    }
}

#[async_trait]
impl DnsBed for HetznerBed {
    async fn start() -> Self {
        let config = HetznerConfig {
            action_time: Duration::from_millis(3),
            rate_limit: RateLimit::per_window(36_000_000, Duration::from_secs(3_600)),
            ..HetznerConfig::default()
        };
        let bed = Self { sim: Hetzner::start(config).await.unwrap(), http: Client::new() };
        bed.done(Method::POST, "/zones", json!({"name": ZONE, "mode": "primary"})).await;
        bed
    }

    fn zone(&self) -> String {
        ZONE.to_owned()
    }

    fn account(&self, instance: &str) -> Arc<dyn Account> {
        account_of(&self.sim.endpoint(), instance, timeouts())
    }

    async fn put(&self, records: &[Foreign]) {
        let mut actions = Vec::new();
        for record in records {
            let order = json!({
                "name": Self::relative(&record.fqdn), "type": record.kind.as_str(), "ttl": 3600,
                "records": [{"value": value_of(record.kind, &record.content)}],
            });
            let answer = self.call(Method::POST, &format!("/zones/{ZONE}/rrsets"), order).await;
            actions.push(answer["action"]["id"].as_u64().unwrap());
        }
        for id in actions {
            let path = format!("/actions/{id}");
            while self.call(Method::GET, &path, Value::Null).await["action"]["status"] == "running" {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    async fn change(&self, fqdn: &str, kind: RecordType, content: &str) {
        let path = format!("{}/actions/set_records", Self::set_path(fqdn, kind.as_str()));
        self.done(Method::POST, &path, json!({"records": [{"value": value_of(kind, content)}]})).await;
    }

    async fn unmark(&self, fqdn: &str) {
        for set in self.sets().await.iter().filter(|set| set["name"] == Self::relative(fqdn)) {
            let path = Self::set_path(fqdn, set["type"].as_str().unwrap());
            self.call(Method::PUT, &path, json!({"labels": {}})).await;
        }
    }

    async fn remove(&self, fqdn: &str, kind: RecordType) {
        self.done(Method::DELETE, &Self::set_path(fqdn, kind.as_str()), Value::Null).await;
    }

    async fn remove_zone(&self) {
        self.done(Method::DELETE, &format!("/zones/{ZONE}"), Value::Null).await;
    }

    async fn records(&self) -> Vec<String> {
        let mut all: Vec<_> = self.sets().await.iter().map(Value::to_string).collect();
        all.sort();
        all
    }

    async fn room(&self, records: usize) -> bool {
        let effect = FaultEffect::Status {
            status: 403,
            code: "resource_limit_exceeded".to_owned(),
            message: "no".to_owned(),
            body: None,
        };
        let nth = u32::try_from(records).unwrap() + 1;
        self.sim.fault(Fault { on: RequestKind::RrsetCreate, nth, times: 1_000, effect });
        true
    }

    async fn trouble(&self, nth: u32, trouble: Trouble) -> bool {
        let status = |status: u16, code: &str| FaultEffect::Status {
            status,
            code: code.to_owned(),
            message: "no".to_owned(),
            body: None,
        };
        let effect = match trouble {
            Trouble::AnswerLost => FaultEffect::LostAnswer,
            Trouble::Unreadable => FaultEffect::UnreadableBody,
            Trouble::Broken => FaultEffect::Reset { after_effect: false },
            Trouble::ServerError => FaultEffect::HtmlBadGateway,
            Trouble::Late => FaultEffect::Late { ms: LATE_MS },
            Trouble::RateLimited => FaultEffect::RateLimited,
            Trouble::Refused => status(401, "unauthorized"),
        };
        self.sim.fault(Fault { on: RequestKind::Any, nth, times: 1, effect });
        true
    }

    async fn calm(&self) {
        self.sim.clear_faults();
    }

    async fn settled(&self) {
        self.sim.settled().await;
    }

    fn has_name_server(&self) -> bool {
        false
    }
}
