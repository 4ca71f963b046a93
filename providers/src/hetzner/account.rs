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
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use super::{
    catalog, change,
    core::{Core, Turn, is_loopback},
    destroy, dns,
    errors::{Scope, no_turn},
    keys, labels,
    poll::server_soon,
    power, provision,
    wire::{Server, is_id},
    zone_servers::ZoneServers,
};
use crate::{
    adapter::{Account, CheckReport},
    budget::Class,
    dns::DnsProvider,
    error::{Effect, ProviderError},
    infra::{
        Destroyed, ExecWish, HealthTarget, InfraProvider, Machine, MachinePower, MachineStatus, MachineTarget,
        ProvisionWish, UpgradeWish,
    },
    journal::Journal,
    ssh::{self, ManagedKey},
};

/// What starting a command and fetching its output may take beyond its own time.
const EXEC_MARGIN: Duration = Duration::from_secs(60);
/// Whoever got no turn in the budget is not told to come again earlier than this.
const SOONEST: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct HetznerAccount {
    pub(super) core: Core,
    /// Name servers to ask, as the settings name them; the zone's own when empty.
    pub(super) dns_servers: Vec<String>,
    /// The zones' own, as the vendor told them lately.
    pub(super) zone_servers: ZoneServers,
    /// Whether calls leave this machine unencrypted.
    plain: bool,
}

impl HetznerAccount {
    pub(super) fn new(core: Core, endpoint: &Url, dns_servers: Vec<String>) -> Self {
        Self {
            core,
            dns_servers,
            zone_servers: ZoneServers::default(),
            plain: endpoint.scheme() == "http" && !is_loopback(endpoint),
        }
    }

    /// Gives the work its end, which is also the last moment for each of its calls to go out.
    pub(super) async fn within<T, W: Future<Output = Result<T, ProviderError>>>(
        &self,
        effect: Effect,
        work: impl FnOnce(Instant) -> W,
    ) -> Result<T, ProviderError> {
        let until = Instant::now() + self.core.timeouts.read;
        timeout_at(until, work(until)).await.unwrap_or_else(|_| {
            // It may have waited for a call that others are in line for too.
            let wait = self.core.turn_in(Class::Poll);
            let error = if wait.is_zero() {
                ProviderError::new(Code::ProviderUnreachable, "The vendor's API did not answer in time.")
            } else {
                no_turn(wait.max(SOONEST))
            };
            Err(error.with_effect(effect))
        })
    }

    async fn checked(&self, managed_key: Option<&ManagedKey>, until: Instant) -> Result<CheckReport, ProviderError> {
        let server_count = Some(self.count(&[], until).await?);
        let selector = labels::selector(&self.core.instance);
        let owned_count = Some(self.count(&[("label_selector", &selector)], until).await?);
        let mut message = match managed_key {
            Some(key) => {
                keys::prove_write(&self.core, key, until).await?;
                "The token may read and write.".to_owned()
            }
            None => "The token may read; whether it may write was not tried.".to_owned(),
        };
        if self.plain {
            message.push_str(" The endpoint is plain http: anyone on the way can read the token.");
        }
        Ok(CheckReport { message, server_count, owned_count, expires_at: None })
    }

    /// How many servers the filters leave.
    async fn count(&self, filters: &[(&str, &str)], until: Instant) -> Result<u64, ProviderError> {
        let mut query = filters.to_vec();
        query.push(("per_page", "1"));
        let answer = self.core.get(Turn::by(Class::Poll, until), "/servers", &query, Scope::Collection).await?;
        let listed = answer["servers"].as_array().ok_or_else(|| answer.unreadable())?.len();
        Ok(answer["meta"]["pagination"]["total_entries"].as_u64().unwrap_or(listed as u64))
    }
}

#[async_trait]
impl Account for HetznerAccount {
    async fn check(&self, managed_key: Option<&ManagedKey>) -> Result<CheckReport, ProviderError> {
        self.within(Effect::Unknown, |until| self.checked(managed_key, until)).await
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        self.within(Effect::None, |until| catalog::read(&self.core, until)).await
    }

    fn budget(&self) -> Option<CallBudget> {
        self.core.budget()
    }

    fn infra(&self) -> Option<&dyn InfraProvider> {
        Some(self)
    }

    fn dns(&self) -> Option<&dyn DnsProvider> {
        Some(self)
    }
}

#[async_trait]
impl InfraProvider for HetznerAccount {
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
        change::run(&self.core, target, wish, journal).await
    }

    async fn exec(&self, target: &HealthTarget, wish: &ExecWish) -> Result<CommandOutput, ProviderError> {
        exec(target, wish).await
    }

    async fn status(&self, infra_id: &str) -> Result<Option<MachineStatus>, ProviderError> {
        if !is_id(infra_id) {
            return Ok(None);
        }
        let told = self.within(Effect::None, |_| server_soon(&self.core, infra_id)).await?;
        Ok(told.map(|server| server.into_status(&self.core.instance)))
    }

    async fn health_check(&self, target: &HealthTarget) -> Vec<ReasonCode> {
        let Some(host) = target.host.as_deref().filter(|host| !host.is_empty()) else {
            return vec![ReasonCode::NodeHostMissing];
        };
        let deadline = Instant::now() + target.within;
        if let Some(infra_id) = &target.infra_id {
            // The vendor being unreachable says nothing about the machine, for which time is left.
            let status = timeout(target.within / 2, self.status(infra_id)).await;
            let runs = |it: &Option<MachineStatus>| it.as_ref().is_some_and(|it| it.status == MachinePower::Running);
            if matches!(&status, Ok(Ok(status)) if !runs(status)) {
                return vec![ReasonCode::NodeUnreachable];
            }
        }
        match &target.ssh {
            Some(ssh) => {
                let left = deadline.saturating_duration_since(Instant::now());
                ssh_health(host, ssh, &target.requires, left).await
            }
            None => Vec::new(),
        }
    }

    async fn reverse_dns_set(&self, target: &MachineTarget, ip: &str, name: Option<&str>) -> Result<(), ProviderError> {
        dns::reverse_set(&self.core, target, ip, name).await
    }

    async fn owned(&self) -> Result<Vec<MachineStatus>, ProviderError> {
        let selector = labels::selector(&self.core.instance);
        let query = [("label_selector", selector.as_str())];
        let servers = self.core.list(Class::Background, "/servers", "servers", &query).await?;
        let ours = servers.iter().filter_map(Server::read);
        let ours = ours.filter(|server| labels::is_instances(server, &self.core.instance));
        Ok(ours.map(|server| server.into_status(&self.core.instance)).collect())
    }
}

/// Runs a command as a task of its own, which outlives the connection and runs once.
async fn exec(target: &HealthTarget, wish: &ExecWish) -> Result<CommandOutput, ProviderError> {
    if wish.service.is_some() {
        let message = "A server has no services to run a command in.";
        return Err(ProviderError::new(Code::ProviderInvalidRequest, message));
    }
    if wish.argv.first().is_none_or(String::is_empty) {
        return Err(ProviderError::new(Code::ProviderInvalidRequest, "There is no command to run."));
    }
    let unreachable = |message: &str| ProviderError::new(Code::ProvisionSshUnreachable, message);
    let ssh = target.ssh.as_ref().ok_or_else(|| unreachable("Hangar does not log in to this machine."))?;
    let host = target.host.as_deref().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| unreachable("The machine has no address."))?;
    let ssh = ssh::SshTarget { host: host.to_owned(), ..ssh.clone() };
    let task = ssh::RemoteTask::command(&wish.task, &wish.argv, wish.within);
    let end = ssh::task_run(&ssh, &task, wish.within + EXEC_MARGIN, &mut |_| ()).await;
    let end = end.map_err(|failure| ProviderError::new(failure.code, failure.message).with_effect(Effect::Unknown))?;
    Ok(CommandOutput {
        exit_code: end.exit_code,
        timed_out: end.timed_out,
        may_run: false,
        stdout: end.stdout.text,
        stdout_cut: end.stdout.cut,
        stderr: end.stderr.text,
        stderr_cut: end.stderr.cut,
    })
}

async fn ssh_health(host: &str, target: &ssh::SshTarget, requires: &[String], within: Duration) -> Vec<ReasonCode> {
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
    let checks = ssh::Checks { commands: requires.to_vec() };
    match ssh::verify_profile(&target, &checks, within).await {
        Ok(reasons) => reasons,
        Err(failure) if failure.code == Code::ProvisionHostKeyMismatch => vec![ReasonCode::HostKeyMismatch],
        Err(failure) if failure.code == Code::ProvisionScriptFailed => vec![ReasonCode::RuntimeMissing],
        Err(_) => vec![ReasonCode::NodeUnreachable],
    }
}
