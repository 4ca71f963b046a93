//! Hetzner's zones at the simulated vendor, which sells servers too.

use std::{sync::Mutex, time::Duration};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use simulators::{
    Fault, FaultEffect, FaultId, Hetzner, HetznerConfig, RateLimit, RequestKind, ServerView, TokenAccess,
};

use super::{Call, DnsBed, Trouble, neighbours};

const ZONE: &str = "hangar.test";
const TOKEN: &str = "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";

pub struct HetznerBed {
    sim: Hetzner,
    http: Client,
    last: Mutex<Option<FaultId>>,
}

impl HetznerBed {
    /// The servers at the same vendor.
    pub fn servers(&self) -> Vec<ServerView> {
        self.sim.servers()
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.sim.endpoint())).bearer_auth(TOKEN);
        let response = request.json(&body).send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{path}: {body}");
        body
    }

    /// Somebody calls the vendor's API, and what that starts is over.
    pub async fn done(&self, method: Method, path: &str, body: Value) {
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

    async fn has_zone(&self) -> bool {
        let zones = self.call(Method::GET, "/zones", Value::Null).await;
        !zones["zones"].as_array().unwrap().is_empty()
    }

    /// The sets of the zone but those that the vendor itself made.
    async fn sets(&self) -> Vec<Value> {
        let mut all = Vec::new();
        if !self.has_zone().await {
            return all;
        }
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
}

impl DnsBed for HetznerBed {
    /// The simulated vendor has no name servers, so that nothing is worth waiting for.
    const NAME_DEADLINE: Duration = Duration::from_millis(100);

    async fn start() -> Self {
        let config = HetznerConfig {
            tokens: vec![(TOKEN.to_owned(), TokenAccess::ReadWrite)],
            action_time: Duration::from_millis(3),
            rate_limit: RateLimit::per_window(36_000_000, Duration::from_secs(3_600)),
            ..HetznerConfig::default()
        };
        let sim = Hetzner::start(config).await.unwrap();
        let bed = Self { sim, http: Client::new(), last: Mutex::default() };
        bed.done(Method::POST, "/zones", json!({"name": ZONE, "mode": "primary"})).await;
        bed.put(&neighbours()).await;
        bed
    }

    fn zone(&self) -> String {
        ZONE.to_owned()
    }

    fn account(&self) -> Value {
        // Nobody listens there: the vendor's real name servers are not asked.
        let settings = json!({"endpoint": self.sim.endpoint(), "dns_servers": "127.0.0.1:9"});
        json!({"kind": "hetzner", "settings": settings, "secret": {"api_token": TOKEN}})
    }

    async fn put(&self, records: &[(String, &'static str, String)]) {
        for (name, kind, content) in records {
            let value = if *kind == "TXT" { format!("\"{content}\"") } else { content.clone() };
            let order = json!({"name": name, "type": kind, "ttl": 3600, "records": [{"value": value}]});
            self.done(Method::POST, &format!("/zones/{ZONE}/rrsets"), order).await;
        }
    }

    async fn change(&self, name: &str, kind: &str, content: &str) {
        let path = format!("/zones/{ZONE}/rrsets/{name}/{kind}/actions/set_records");
        self.done(Method::POST, &path, json!({"records": [{"value": content}]})).await;
    }

    async fn unmark(&self, name: &str) {
        for set in self.sets().await.iter().filter(|set| set["name"] == json!(name)) {
            let path = format!("/zones/{ZONE}/rrsets/{name}/{}", set["type"].as_str().unwrap());
            self.call(Method::PUT, &path, json!({"labels": {}})).await;
        }
    }

    async fn remove(&self, name: &str, kind: &str) {
        self.done(Method::DELETE, &format!("/zones/{ZONE}/rrsets/{name}/{kind}"), Value::Null).await;
    }

    async fn remove_zone(&self) {
        self.done(Method::DELETE, &format!("/zones/{ZONE}"), Value::Null).await;
    }

    async fn records(&self) -> Vec<String> {
        let mut all: Vec<_> = self.sets().await.iter().map(Value::to_string).collect();
        all.sort();
        all
    }

    async fn contents(&self, name: &str, kind: &str) -> Vec<String> {
        let sets = self.sets().await;
        let here = sets.iter().filter(|set| set["name"] == json!(name) && set["type"] == json!(kind));
        let values = here.flat_map(|set| set["records"].as_array().unwrap());
        values.map(|it| it["value"].as_str().unwrap().to_owned()).collect()
    }

    async fn full(&self) -> bool {
        let effect = FaultEffect::Status {
            status: 403,
            code: "resource_limit_exceeded".to_owned(),
            message: "no".to_owned(),
            body: None,
        };
        self.sim.fault(Fault { on: RequestKind::RrsetCreate, nth: 1, times: 10_000, effect });
        true
    }

    fn trouble(&self, call: Call, nth: u32, trouble: Trouble) -> bool {
        let effect = match trouble {
            Trouble::AnswerLost => FaultEffect::LostAnswer,
            Trouble::Unreadable => FaultEffect::UnreadableBody,
            Trouble::Broken => FaultEffect::Reset { after_effect: false },
            Trouble::ServerError => FaultEffect::HtmlBadGateway,
            Trouble::RateLimited => FaultEffect::RateLimited,
            Trouble::Refused => FaultEffect::Status {
                status: 401,
                code: "unauthorized".to_owned(),
                message: "no".to_owned(),
                body: None,
            },
            Trouble::Hang { after_effect } => FaultEffect::Hang { after_effect },
            Trouble::Late { ms } => FaultEffect::Late { ms },
        };
        let on = match call {
            Call::Any => RequestKind::Any,
            Call::Create => RequestKind::RrsetCreate,
            // A record is taken out of its set; the set goes with it.
            Call::Delete => RequestKind::RrsetAction,
        };
        *self.last.lock().unwrap() = Some(self.sim.fault(Fault { on, nth, times: 1, effect }));
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
