//! Docker Compose on a real engine, which the tests of one program share.

use std::{sync::Arc, time::Duration};

use domain::node::ReasonCode;
use providers::{Account, HealthTarget, Machine, MemoryJournal, ProvisionWish, UpgradeWish, async_trait};
use serde_json::json;
use tempfile::TempDir;

use super::{InfraBed, Reachable, Seen};
use crate::{
    common,
    docker::{self, Docker},
};

pub struct ComposeBed {
    docker: &'static Docker,
    prefix: String,
    work: TempDir,
}

impl ComposeBed {
    fn open(&self, host: &str, instance: &str) -> Arc<dyn Account> {
        let settings = json!({"host": host, "project_prefix": self.prefix});
        docker::account_at(settings, &self.instance(instance), docker::timeouts(), self.work.path())
    }

    /// The installations of the tests that share the engine are not the same.
    fn instance(&self, instance: &str) -> String {
        format!("{instance}-{}", self.prefix)
    }

    fn foreign_labels(&self, project: &str) -> String {
        format!("com.docker.compose.project={project}")
    }
}

#[async_trait]
impl InfraBed for ComposeBed {
    fn is_here() -> bool {
        docker::is_here()
    }

    async fn start() -> Self {
        let docker = tokio::task::spawn_blocking(Docker::shared).await.unwrap();
        Self { docker, prefix: docker::prefix(), work: tempfile::tempdir().unwrap() }
    }

    fn account(&self, instance: &str) -> Arc<dyn Account> {
        self.open(&self.docker.host(), instance)
    }

    fn account_at_nobody(&self) -> Arc<dyn Account> {
        self.open("unix:///nowhere/docker.sock", common::INSTANCE)
    }

    fn health_at_nobody(&self) -> Vec<ReasonCode> {
        vec![ReasonCode::NodeUnreachable]
    }

    fn wish(&self) -> ProvisionWish {
        ProvisionWish { stack: Some(docker::stack("good1")), pairs: Vec::new(), ..common::wish() }
    }

    fn upgrade(&self) -> UpgradeWish {
        UpgradeWish::Tag { stack: Box::new(docker::stack("good2")), from: "good1".to_owned(), suspended: false }
    }

    async fn machines(&self) -> Vec<Seen> {
        let format = "{{.Label \"com.docker.compose.project\"}} {{.Label \"hangar.node\"}} {{.State}} {{.Image}}";
        let told = self.docker.docker(&["ps", "-a", "--filter", "label=hangar.service=web", "--format", format]);
        told.lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .filter(|words| words[0].starts_with(&self.prefix))
            .map(|words| Seen {
                infra_id: words[0].to_owned(),
                node_id: words[1].to_owned(),
                running: words[2] == "running",
                is: words[3].to_owned(),
            })
            .collect()
    }

    async fn things(&self) -> Vec<String> {
        self.docker.things(&self.prefix)
    }

    async fn put_foreign(&self, server_name: &str) {
        let project = format!("{}-{server_name}", self.prefix);
        let name = format!("{project}-web-1");
        let label = self.foreign_labels(&project);
        self.docker.docker(&["run", "-d", "--name", &name, "--label", &label, "--network", "none", "hangar-test/db:1"]);
    }

    /// The engine changes no labels: it is made anew under theirs.
    async fn make_foreign(&self, machine: &Machine) {
        self.remove(machine).await;
        let name = format!("{}-web-1", machine.infra_id);
        let own = self.foreign_labels(&machine.infra_id);
        let node = format!("hangar.node={}", common::NODE);
        let mut words = vec!["run", "-d", "--name", &name, "--network", "none", "--label", &own, "--label", &node];
        let theirs = format!("hangar.instance={}", self.instance("inst-2"));
        for label in [theirs.as_str(), "hangar.role=application", "hangar.service=web"] {
            words.extend(["--label", label]);
        }
        words.push("hangar-test/db:1");
        self.docker.docker(&words);
    }

    async fn remove(&self, machine: &Machine) {
        self.docker.docker(&["compose", "-p", &machine.infra_id, "down", "--volumes"]);
    }

    async fn stop(&self, machine: &Machine) {
        self.docker.docker(&["compose", "-p", &machine.infra_id, "kill", "web", "side"]);
    }

    async fn reachable(&self) -> Option<Reachable> {
        let account = self.account(common::INSTANCE);
        let machine = account.infra().unwrap().provision(&self.wish(), &mut MemoryJournal::default()).await.unwrap();
        let target = HealthTarget {
            infra_id: Some(machine.infra_id),
            host: Some(machine.host),
            ssh: None,
            requires: Vec::new(),
            within: Duration::from_secs(20),
        };
        let service = Some("web".to_owned());
        Some(Reachable { account, target, service, keeps_output: false, _keep: Box::new(()) })
    }
}

impl Drop for ComposeBed {
    /// What tests put there by hand, and what a failed one left.
    fn drop(&mut self) {
        for thing in self.docker.things(&self.prefix) {
            let (kind, name) = thing.split_once(' ').unwrap();
            let words = match kind {
                "container" => &["rm", "--force", "--volumes", name][..],
                "volume" => &["volume", "rm", name],
                _ => &["network", "rm", name],
            };
            self.docker.try_docker(words);
        }
    }
}
