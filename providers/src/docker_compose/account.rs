//! One engine. Rule: check and status end within the read time-out as a whole, whatever the number
//! of calls.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use domain::{
    code::Code,
    job::CommandOutput,
    node::{PartUsage, ReasonCode},
    provider::{CallBudget, Catalog},
};
use tokio::time::timeout;

use super::{
    backup,
    core::{Core, is_id},
    destroy, events, exec, labels, power, provision,
    settings::Host,
    stack::Stack,
    upgrade, usage,
};
use crate::{
    adapter::{Account, CheckReport},
    error::{Effect, ProviderError},
    infra::{
        BackupMade, BackupWish, Changes, Destroyed, ExecWish, HealthTarget, InfraProvider, Machine, MachineStatus,
        MachineTarget, ProvisionWish, UpgradeWish,
    },
    journal::Journal,
    ssh::ManagedKey,
};

#[derive(Debug)]
pub(super) struct ComposeAccount {
    core: Core,
}

impl ComposeAccount {
    pub(super) fn new(core: Core) -> Self {
        Self { core }
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ProviderError> {
        timeout(self.core.timeouts.read, work).await.unwrap_or_else(|_| {
            let message = "The engine did not answer in time.";
            Err(ProviderError::new(Code::ProviderUnreachable, message).with_effect(Effect::None))
        })
    }

    async fn checked(&self) -> Result<CheckReport, ProviderError> {
        let core = &self.core;
        let engine = core.engine.version().await?.version.unwrap_or_default();
        let fine = |c: char| c.is_ascii_alphanumeric() || ".+-~".contains(c);
        let engine: String = engine.chars().filter(|c| fine(*c)).take(40).collect();
        let compose = core.compose.version(core.timeouts.read).await?;
        let all = Stack::labelled(core, labels::PROJECT).await?;
        let server_count = Some(projects(&all).len() as u64);
        let ours = all.only(|it| labels::is(it, labels::INSTANCE, &core.instance));
        let mut message = format!("Docker Engine {engine} and Docker Compose {compose} answer.");
        if matches!(core.settings.host, Host::Tcp { .. }) {
            message.push_str(" The engine is reached by plain tcp: whoever reaches that port is root on its machine.");
        }
        let owned_count = Some(projects(&ours).len() as u64);
        Ok(CheckReport { message, server_count, owned_count, expires_at: None })
    }

    async fn health(&self, project: &str) -> Result<bool, ProviderError> {
        // A stack of the same name may be another installation's.
        let ours = |it: &labels::Labels| labels::is(it, labels::INSTANCE, &self.core.instance);
        Ok(Stack::read(&self.core, project).await?.only(ours).troubles().is_empty())
    }
}

fn projects(stack: &Stack) -> BTreeSet<String> {
    stack.all_labels().filter_map(|it| it.get(labels::PROJECT).cloned()).collect()
}

#[async_trait]
impl Account for ComposeAccount {
    async fn check(&self, _managed_key: Option<&ManagedKey>) -> Result<CheckReport, ProviderError> {
        self.within(self.checked()).await
    }

    /// There is nothing to choose: a stack is what its blueprint says, and costs nothing here.
    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        Ok(Catalog {
            server_types: Vec::new(),
            locations: Vec::new(),
            images: Vec::new(),
            currency: "EUR".to_owned(),
            read_at: None,
            stale: None,
        })
    }

    fn budget(&self) -> Option<CallBudget> {
        None
    }

    fn infra(&self) -> Option<&dyn InfraProvider> {
        Some(self)
    }
}

#[async_trait]
impl InfraProvider for ComposeAccount {
    async fn provision(&self, wish: &ProvisionWish, journal: &mut dyn Journal) -> Result<Machine, ProviderError> {
        provision::run(&self.core, wish, journal).await
    }

    async fn destroy(&self, target: &MachineTarget, journal: &mut dyn Journal) -> Result<Destroyed, ProviderError> {
        destroy::run(&self.core, target, journal).await
    }

    async fn suspend(
        &self,
        target: &MachineTarget,
        graceful: Duration,
        journal: &mut dyn Journal,
    ) -> Result<MachineStatus, ProviderError> {
        power::suspend(&self.core, target, graceful, journal).await
    }

    async fn resume(&self, target: &MachineTarget, journal: &mut dyn Journal) -> Result<MachineStatus, ProviderError> {
        power::resume(&self.core, target, journal).await
    }

    async fn upgrade(
        &self,
        target: &MachineTarget,
        wish: &UpgradeWish,
        journal: &mut dyn Journal,
    ) -> Result<MachineStatus, ProviderError> {
        upgrade::run(&self.core, target, wish, journal).await
    }

    async fn status(&self, infra_id: &str) -> Result<Option<MachineStatus>, ProviderError> {
        if !is_id(infra_id) {
            return Ok(None);
        }
        let stack = self.within(Stack::read(&self.core, infra_id)).await?;
        Ok((!stack.is_gone()).then(|| stack.into_status(&self.core, infra_id)))
    }

    async fn health_check(&self, target: &HealthTarget) -> Vec<ReasonCode> {
        let Some(project) = target.infra_id.as_deref().filter(|id| is_id(id)) else {
            return vec![ReasonCode::NodeHostMissing];
        };
        match timeout(target.within, self.health(project)).await {
            Ok(Ok(true)) => Vec::new(),
            Ok(Ok(false)) => vec![ReasonCode::NodeNotReady],
            Ok(Err(_)) | Err(_) => vec![ReasonCode::NodeUnreachable],
        }
    }

    async fn usage(&self, target: &HealthTarget) -> Vec<PartUsage> {
        let Some(project) = target.infra_id.as_deref().filter(|id| is_id(id)) else { return Vec::new() };
        timeout(target.within, usage::run(&self.core, project)).await.unwrap_or_default()
    }

    async fn exec(&self, target: &HealthTarget, wish: &ExecWish) -> Result<CommandOutput, ProviderError> {
        exec::run(&self.core, target, wish).await
    }

    async fn backup(
        &self,
        target: &MachineTarget,
        wish: &BackupWish<'_>,
        journal: &mut dyn Journal,
    ) -> Result<Option<BackupMade>, ProviderError> {
        self.core.alone(&self.core.project_of(target)?).await?;
        backup::run(&self.core, target, wish, journal).await
    }

    async fn backup_undone(&self, target: &MachineTarget, journal: &mut dyn Journal) -> Result<(), ProviderError> {
        self.core.alone(&self.core.project_of(target)?).await?;
        backup::undone(&self.core, target, journal).await
    }

    fn reached_at(&self) -> Option<String> {
        Some(self.core.settings.public_host.clone())
    }

    async fn owned(&self) -> Result<Vec<MachineStatus>, ProviderError> {
        let core = &self.core;
        let all = Stack::labelled(core, &format!("{}={}", labels::INSTANCE, core.instance)).await?;
        Ok(all.projects().into_iter().map(|(project, stack)| stack.into_status(core, &project)).collect())
    }

    async fn changes(&self) -> Result<Option<Changes>, ProviderError> {
        events::changes(&self.core).await.map(Some)
    }
}
