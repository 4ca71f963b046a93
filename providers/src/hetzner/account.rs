//! One project at the vendor. Rule: check, catalogue and status end within the read time-out as a
//! whole, whatever the number of calls.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    code::Code,
    job::CommandOutput,
    node::ReasonCode,
    provider::{CallBudget, Catalog},
};
use tokio::time::timeout;
use url::Url;

use super::{
    catalog,
    core::{Core, is_loopback},
    destroy,
    errors::{Intent, Scope, unreadable},
    keys, labels, provision,
    wire::{Server, is_id},
};
use crate::{
    adapter::{Account, CheckReport},
    error::{Effect, ProviderError},
    infra::{
        Destroyed, ExecWish, HealthTarget, InfraProvider, Machine, MachinePower, MachineStatus, MachineTarget,
        ProvisionWish, UpgradeWish,
    },
    journal::Journal,
    ssh::{self, ManagedKey},
};

#[derive(Debug)]
pub(super) struct HetznerAccount {
    core: Core,
    instance: String,
    /// Whether calls leave this machine unencrypted.
    plain: bool,
}

impl HetznerAccount {
    pub(super) fn new(core: Core, endpoint: &Url, instance: String) -> Self {
        Self { core, instance, plain: endpoint.scheme() == "http" && !is_loopback(endpoint) }
    }

    async fn within<T>(
        &self,
        effect: Effect,
        work: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        timeout(self.core.timeouts.read, work).await.unwrap_or_else(|_| {
            let message = "The vendor's API did not answer in time.";
            Err(ProviderError::new(Code::ProviderUnreachable, message).with_effect(effect))
        })
    }

    async fn checked(&self, managed_key: Option<&ManagedKey>) -> Result<CheckReport, ProviderError> {
        let body = self.core.get("/servers", &[("per_page", "1")], Scope::Collection).await?;
        let listed = body["servers"].as_array().ok_or_else(|| unreadable(Intent::Read, None))?.len();
        let total = body["meta"]["pagination"]["total_entries"].as_u64();
        let server_count = total.or_else(|| u64::try_from(listed).ok());
        let mut message = match managed_key {
            Some(key) => {
                keys::prove_write(&self.core, key, &self.instance).await?;
                "The token may read and write.".to_owned()
            }
            None => "The token may read; whether it may write was not tried.".to_owned(),
        };
        if self.plain {
            message.push_str(" The endpoint is plain http: anyone on the way can read the token.");
        }
        Ok(CheckReport { message, server_count, expires_at: None })
    }
}

#[async_trait]
impl Account for HetznerAccount {
    async fn check(&self, managed_key: Option<&ManagedKey>) -> Result<CheckReport, ProviderError> {
        self.within(Effect::Unknown, self.checked(managed_key)).await
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        self.within(Effect::None, catalog::read(&self.core)).await
    }

    fn budget(&self) -> Option<CallBudget> {
        None
    }

    fn infra(&self) -> Option<&dyn InfraProvider> {
        Some(self)
    }
}

#[async_trait]
impl InfraProvider for HetznerAccount {
    async fn provision(&self, wish: &ProvisionWish, journal: &mut dyn Journal) -> Result<Machine, ProviderError> {
        provision::run(&self.core, wish, journal).await
    }

    async fn destroy(&self, target: &MachineTarget, journal: &mut dyn Journal) -> Result<Destroyed, ProviderError> {
        destroy::run(&self.core, &self.instance, target, journal).await
    }

    async fn suspend(
        &self,
        _target: &MachineTarget,
        _graceful: Duration,
        _journal: &mut dyn Journal,
    ) -> Result<MachineStatus, ProviderError> {
        Err(not_yet())
    }

    async fn resume(
        &self,
        _target: &MachineTarget,
        _journal: &mut dyn Journal,
    ) -> Result<MachineStatus, ProviderError> {
        Err(not_yet())
    }

    async fn upgrade(
        &self,
        _target: &MachineTarget,
        _wish: &UpgradeWish,
        _journal: &mut dyn Journal,
    ) -> Result<MachineStatus, ProviderError> {
        Err(not_yet())
    }

    async fn exec(&self, _target: &HealthTarget, _wish: &ExecWish) -> Result<CommandOutput, ProviderError> {
        Err(not_yet())
    }

    async fn status(&self, infra_id: &str) -> Result<Option<MachineStatus>, ProviderError> {
        if !is_id(infra_id) {
            return Ok(None);
        }
        match self.core.get(&format!("/servers/{infra_id}"), &[], Scope::Resource).await {
            Ok(body) => {
                let server = Server::read(&body["server"]).ok_or_else(|| unreadable(Intent::Read, None))?;
                Ok(Some(server.into_status(&self.instance)))
            }
            Err(error) if error.code == Code::ProviderResourceGone => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn health_check(&self, target: &HealthTarget) -> Vec<ReasonCode> {
        let Some(host) = target.host.as_deref().filter(|host| !host.is_empty()) else {
            return vec![ReasonCode::NodeHostMissing];
        };
        if let Some(infra_id) = &target.infra_id {
            // The vendor being unreachable says nothing about the machine.
            let status = timeout(target.within, self.status(infra_id)).await;
            let runs = |it: &Option<MachineStatus>| it.as_ref().is_some_and(|it| it.status == MachinePower::Running);
            if matches!(&status, Ok(Ok(status)) if !runs(status)) {
                return vec![ReasonCode::NodeUnreachable];
            }
        }
        match &target.ssh {
            Some(ssh) => ssh_health(host, ssh, target.within).await,
            None => Vec::new(),
        }
    }

    async fn owned(&self) -> Result<Vec<MachineStatus>, ProviderError> {
        let selector = labels::selector(&self.instance);
        let servers = self.core.list("/servers", "servers", &[("label_selector", &selector)]).await?;
        let ours = servers.iter().filter_map(Server::read).filter(|it| labels::is_instances(it, &self.instance));
        Ok(ours.map(|server| server.into_status(&self.instance)).collect())
    }
}

fn not_yet() -> ProviderError {
    ProviderError::new(Code::ProviderAcquisitionUnavailable, "The adapter does not do this yet.")
}

async fn ssh_health(host: &str, target: &ssh::SshTarget, within: Duration) -> Vec<ReasonCode> {
    let mut found = Vec::new();
    if target.port == 0 {
        found.push(ReasonCode::SshPortInvalid);
    }
    if target.user.is_empty() {
        found.push(ReasonCode::SshUserMissing);
    }
    if !found.is_empty() {
        return found;
    }
    let target = ssh::SshTarget { host: host.to_owned(), ..target.clone() };
    match ssh::verify(&target, within).await {
        Ok(reasons) => reasons,
        Err(failure) if failure.code == Code::ProvisionHostKeyMismatch => vec![ReasonCode::HostKeyMismatch],
        Err(failure) if failure.code == Code::ProvisionScriptFailed => vec![ReasonCode::RuntimeMissing],
        Err(_) => vec![ReasonCode::NodeUnreachable],
    }
}
