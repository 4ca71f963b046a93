//! The simulated Hetzner Cloud.

use std::{sync::Arc, time::Duration};

use domain::node::ReasonCode;
use providers::{Account, HealthTarget, Machine, ProvisionWish, UpgradeWish, async_trait};
use serde_json::json;
use simulators::{Hetzner, ServerStatus};

use super::{InfraBed, Reachable, Seen};
use crate::{common, ssh_machine};

pub struct HetznerBed(Hetzner);

#[async_trait]
impl InfraBed for HetznerBed {
    /// A server goes on without the vendor; it is judged by its login, where there is one.
    const HEALTH_WITHOUT_VENDOR: &[ReasonCode] = &[];

    async fn start() -> Self {
        Self(Hetzner::start(common::quick()).await.unwrap())
    }

    fn account(&self, instance: &str) -> Arc<dyn Account> {
        common::account_of(&self.0.endpoint(), instance, common::timeouts())
    }

    fn account_at_nobody(&self) -> Arc<dyn Account> {
        common::account("http://127.0.0.1:1/v1")
    }

    fn wish(&self) -> ProvisionWish {
        common::wish()
    }

    fn upgrade(&self) -> UpgradeWish {
        UpgradeWish::Type { server_type: "cx43".to_owned(), graceful: Duration::from_secs(2) }
    }

    async fn machines(&self) -> Vec<Seen> {
        let seen = |server: simulators::ServerView| Seen {
            infra_id: server.id.to_string(),
            node_id: server.labels.get("hangar-node").cloned().unwrap_or_default(),
            running: server.status == ServerStatus::Running,
            is: server.server_type,
        };
        self.0.servers().into_iter().filter(|it| it.labels.contains_key("hangar-node")).map(seen).collect()
    }

    async fn things(&self) -> Vec<String> {
        self.0.servers().into_iter().map(|it| format!("server {}", it.name)).collect()
    }

    async fn put_foreign(&self, server_name: &str) {
        let order = json!({
            "name": server_name, "server_type": "cx33", "image": "debian-13", "location": "fsn1", "labels": {},
        });
        let url = format!("{}/servers", self.0.endpoint());
        let request = reqwest::Client::new().post(url).bearer_auth(common::token());
        assert_eq!(request.json(&order).send().await.unwrap().status(), 201);
    }

    async fn make_foreign(&self, machine: &Machine) {
        let servers = self.0.servers();
        let server = servers.iter().find(|it| it.id.to_string() == machine.infra_id).unwrap();
        let mut labels = server.labels.clone();
        labels.insert("hangar-instance".to_owned(), "inst-2".to_owned());
        let labels: Vec<_> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert!(self.0.set_server_labels(&server.name, &labels));
    }

    async fn remove(&self, machine: &Machine) {
        let servers = self.0.servers();
        let server = servers.iter().find(|it| it.id.to_string() == machine.infra_id).unwrap();
        assert!(self.0.remove_server(&server.name));
    }

    async fn stop(&self, machine: &Machine) {
        let servers = self.0.servers();
        let server = servers.iter().find(|it| it.id.to_string() == machine.infra_id).unwrap();
        assert!(self.0.power_off(&server.name));
    }

    async fn reachable(&self) -> Option<Reachable> {
        let machine = ssh_machine::Machine::start(None).await?;
        let target = HealthTarget {
            infra_id: Some(machine.infra_id.clone()),
            host: Some(machine.host.clone()),
            ssh: Some(machine.target()),
            requires: Vec::new(),
            within: Duration::from_secs(10),
        };
        let account = common::account(&machine.sim.endpoint());
        Some(Reachable { account, target, service: None, keeps_output: true, _keep: Box::new(machine) })
    }
}
