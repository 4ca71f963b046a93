//! An engine with an account there and stacks of it, for every file of tests that has such. Rule:
//! what a test made is gone at its end, which [`Bed::ended`] proves.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::job::CommandOutput;
use providers::{
    Account, BackupMade, BackupWish, ExecWish, HealthTarget, InfraProvider, Machine, MachineStatus, MachineTarget,
    MemoryJournal, ProviderError, ProvisionWish, StackWish, Timeouts, UpgradeWish,
};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    common::{self, INSTANCE},
    docker::{self, Docker, stack},
};

pub const LONG: Duration = Duration::from_secs(90);

pub fn backup_wish(into: &Path) -> BackupWish<'_> {
    BackupWish { into, most_bytes: 1 << 30, leave_bytes: 0, within: LONG }
}

/// An engine, an account there, and where its files go.
pub struct Bed {
    pub docker: Engine,
    pub prefix: String,
    pub work: TempDir,
    pub account: Arc<dyn Account>,
}

/// The engine that is shared, or one of the test's own.
pub enum Engine {
    Shared(&'static Docker),
    Own(Box<Docker>),
}

impl std::ops::Deref for Engine {
    type Target = Docker;

    fn deref(&self) -> &Docker {
        match self {
            Self::Shared(docker) => docker,
            Self::Own(docker) => docker,
        }
    }
}

impl Bed {
    pub async fn shared() -> Option<Self> {
        if !docker::is_here() {
            return None;
        }
        let docker = tokio::task::spawn_blocking(Docker::shared).await.unwrap();
        Some(Self::on(Engine::Shared(docker)))
    }

    /// For tests that stop the engine.
    pub async fn own() -> Option<Self> {
        if !docker::is_here() {
            return None;
        }
        let docker = tokio::task::spawn_blocking(Docker::start).await.unwrap();
        Some(Self::on(Engine::Own(Box::new(docker))))
    }

    pub fn on(docker: Engine) -> Self {
        let (prefix, work) = (docker::prefix(), tempfile::tempdir().unwrap());
        let account = account(&docker.host(), &prefix, work.path(), docker::timeouts());
        Self { docker, prefix, work, account }
    }

    pub fn infra(&self) -> &dyn InfraProvider {
        self.account.infra().unwrap()
    }

    pub fn project(&self) -> String {
        format!("{}-alpha-0001", self.prefix)
    }

    pub fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.project())
    }

    pub fn target(&self) -> MachineTarget {
        common::target(Some(&self.project()))
    }

    pub fn health_target(&self) -> HealthTarget {
        health_target(&self.project())
    }

    pub async fn made_of(&self, stack: StackWish) -> Result<Machine, ProviderError> {
        self.infra().provision(&wish(stack), &mut MemoryJournal::default()).await
    }

    pub async fn made(&self) -> Machine {
        self.made_of(stack("good1")).await.unwrap()
    }

    pub async fn upgraded(&self, tag: &str, from: &str) -> Result<MachineStatus, ProviderError> {
        self.upgraded_to(stack(tag), from).await
    }

    pub async fn upgraded_to(&self, stack: StackWish, from: &str) -> Result<MachineStatus, ProviderError> {
        let wish = to(stack, from);
        self.infra().upgrade(&self.target(), &wish, &mut MemoryJournal::default()).await
    }

    pub async fn exec(&self, service: &str, task: &str, argv: &[&str], within: Duration) -> CommandOutput {
        self.infra().exec(&self.health_target(), &exec_wish(service, task, argv, within)).await.unwrap()
    }

    pub async fn destroyed(&self) {
        self.infra().destroy(&self.target(), &mut MemoryJournal::default()).await.unwrap();
    }

    pub async fn backed_up(&self, into: &Path) -> Result<Option<BackupMade>, ProviderError> {
        self.infra().backup(&self.target(), &backup_wish(into), &mut MemoryJournal::default()).await
    }

    pub async fn healthy(&self) {
        let until = Instant::now() + LONG;
        while !self.infra().health_check(&self.health_target()).await.is_empty() {
            assert!(Instant::now() < until, "it does not get healthy");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What stands of a container, by the engine's own command.
    pub fn inspect(&self, service: &str, format: &str) -> String {
        self.docker.docker(&["inspect", "--format", format, &self.container(service)])
    }

    pub fn image(&self, service: &str) -> String {
        self.inspect(service, "{{.Config.Image}}")
    }

    /// Takes the stack away and sees that nothing is left, of any test where the engine is its own.
    pub async fn ended(self) {
        self.infra().destroy(&self.target(), &mut MemoryJournal::default()).await.unwrap();
        let prefix = if matches!(self.docker, Engine::Own(_)) { "" } else { self.prefix.as_str() };
        assert_eq!(self.docker.things(prefix), Vec::<String>::new());
        assert_eq!(fs::read_dir(self.work.path()).unwrap().count(), 0, "no files are left");
    }
}

pub fn account(host: &str, prefix: &str, work: &Path, timeouts: Timeouts) -> Arc<dyn Account> {
    let settings = json!({"host": host, "project_prefix": prefix});
    docker::account_at(settings, &format!("{INSTANCE}-{prefix}"), timeouts, work)
}

pub fn wish(stack: StackWish) -> ProvisionWish {
    ProvisionWish { stack: Some(stack), pairs: Vec::new(), ..common::wish() }
}

pub fn health_target(project: &str) -> HealthTarget {
    HealthTarget { infra_id: Some(project.to_owned()), host: None, ssh: None, requires: Vec::new(), within: LONG }
}

/// Another version of a stack that runs.
pub fn to(stack: StackWish, from: &str) -> UpgradeWish {
    UpgradeWish::Tag { stack: Box::new(stack), from: from.to_owned(), suspended: false }
}

pub fn exec_wish(service: &str, task: &str, argv: &[&str], within: Duration) -> ExecWish {
    ExecWish {
        task: task.to_owned(),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        service: Some(service.to_owned()),
        within,
    }
}

/// The page that is served at a port of this machine.
pub async fn page(port: Option<u16>) -> String {
    let url = format!("http://127.0.0.1:{}/", port.unwrap());
    reqwest::get(url).await.unwrap().error_for_status().unwrap().text().await.unwrap()
}

/// A stack of one service.
pub fn lone(image: &str, lines: &str) -> StackWish {
    let blueprint = serde_json::from_value(json!({
        "file": format!("services:\n  web:\n    image: {image}\n{lines}"),
        "services": [{"name": "web", "role": "application"}],
    }));
    StackWish {
        blueprint: blueprint.unwrap(),
        variables: Default::default(),
        secrets: Default::default(),
        tag: "good1".to_owned(),
    }
}
