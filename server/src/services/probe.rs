//! Whether a machine is fit to be used: looks at it from outside, and changes nothing.

use std::time::Duration;

use ::providers::{HealthTarget, MachinePower, SshFailure, ssh};
use domain::{
    code::Code,
    node::{PartUsage, ReasonCode},
    valid::{CockpitFacts, CockpitTemplate, cockpit_at},
};
use store::{NodeRow, ProviderRow};

use super::Services;
use crate::fault::Fault;

/// How soon a machine must answer that is in service.
pub(crate) const HEALTH_WITHIN: Duration = Duration::from_secs(20);

/// How soon a vendor must have told what a machine's parts take.
const USAGE_WITHIN: Duration = Duration::from_secs(10);

/// What a verification found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verified {
    /// What speaks against the machine, in the fixed order; empty when nothing does.
    pub reasons: Vec<ReasonCode>,
    /// Why it could not even be looked at, if it could not.
    pub failure: Option<SshFailure>,
}

/// Whether the vendor is asked if the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    /// It is.
    Ask,
    /// The vendor said a moment ago that it does.
    SeenRunning,
}

impl Services {
    /// Whether a node in service is healthy: reason codes in the fixed order, by the adapter's own
    /// check and, where it is wanted, the cockpit's answer.
    ///
    /// # Errors
    /// [`Fault`] if Hangar's own keys cannot be used.
    pub(crate) async fn node_probe(
        &self,
        row: &NodeRow,
        provider: &ProviderRow,
        within: Duration,
    ) -> Result<Vec<ReasonCode>, Fault> {
        let mut reasons = match self.health_target(row, within).await? {
            Err(reason) => vec![reason],
            Ok(target) => {
                let open = self.account(provider)?;
                match open.account.infra() {
                    Some(infra) => infra.health_check(&target).await,
                    None => vec![ReasonCode::NodeNotReady],
                }
            }
        };
        let reached = !reasons.contains(&ReasonCode::NodeUnreachable);
        if reached && row.spec.verify_cockpit == Some(true) && !self.cockpit_answers(row, within).await {
            reasons.push(ReasonCode::NodeUnreachable);
            reasons.sort();
        }
        Ok(reasons)
    }

    /// What the parts of a node in service take, as far as its vendor tells.
    ///
    /// # Errors
    /// [`Fault`] if Hangar's own keys cannot be used.
    pub(crate) async fn node_usage(&self, row: &NodeRow, provider: &ProviderRow) -> Result<Vec<PartUsage>, Fault> {
        let Ok(target) = self.health_target(row, USAGE_WITHIN).await? else { return Ok(Vec::new()) };
        let open = self.account(provider)?;
        let Some(infra) = open.account.infra() else { return Ok(Vec::new()) };
        Ok(tokio::time::timeout(USAGE_WITHIN, infra.usage(&target)).await.unwrap_or_default())
    }

    /// Waits up to `within` for a node that is being made or brought back, and checks what its
    /// profile asks for.
    ///
    /// # Errors
    /// [`Fault`] if Hangar's own keys cannot be used.
    pub(crate) async fn node_verify(
        &self,
        row: &NodeRow,
        provider: &ProviderRow,
        within: Duration,
        power: Power,
    ) -> Result<Verified, Fault> {
        let mut found = Verified::default();
        if row.profile.has_login() {
            match self.ssh_target(row)? {
                Err(reason) => found.reasons.push(reason),
                Ok(target) => {
                    let checks = ssh::Checks::from(&self.profile_of(row).await?);
                    match ssh::verify_profile(&target, &checks, within).await {
                        Ok(reasons) => found.reasons = reasons,
                        Err(failure) => {
                            found.reasons.push(match failure.code {
                                Code::ProvisionHostKeyMismatch => ReasonCode::HostKeyMismatch,
                                _ => ReasonCode::NodeUnreachable,
                            });
                            found.failure = Some(failure);
                        }
                    }
                }
            }
        } else {
            let runs = power == Power::SeenRunning || self.machine_runs(row, provider, within).await?;
            if !runs {
                found.reasons.push(ReasonCode::NodeNotReady);
            }
            if row.host.is_none() {
                found.reasons.push(ReasonCode::NodeHostMissing);
            }
        }
        let wants_cockpit = found.reasons.is_empty() && row.spec.verify_cockpit == Some(true);
        if wants_cockpit && !self.cockpit_answers(row, within).await {
            found.reasons.push(ReasonCode::NodeUnreachable);
        }
        found.reasons.sort();
        Ok(found)
    }

    /// The node as its adapter checks it and runs commands on it, or what is missing for that.
    ///
    /// # Errors
    /// [`Fault`] if its profile cannot be read.
    pub(crate) async fn health_target(
        &self,
        row: &NodeRow,
        within: Duration,
    ) -> Result<Result<HealthTarget, ReasonCode>, Fault> {
        let (ssh, requires) = if row.profile.has_login() {
            match self.ssh_target(row)? {
                Ok(target) => (Some(target), ssh::Checks::from(&self.profile_of(row).await?).commands),
                Err(reason) => return Ok(Err(reason)),
            }
        } else {
            (None, Vec::new())
        };
        Ok(Ok(HealthTarget { infra_id: row.infra_id.clone(), host: row.host.clone(), ssh, requires, within }))
    }

    /// Where and as whom Hangar logs in, or what is missing for it.
    pub(crate) fn ssh_target(&self, row: &NodeRow) -> Result<Result<ssh::SshTarget, ReasonCode>, Fault> {
        let Some(host) = row.host.clone() else { return Ok(Err(ReasonCode::NodeHostMissing)) };
        let Some(port) = row.ssh_port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0) else {
            return Ok(Err(ReasonCode::SshPortInvalid));
        };
        let Some(user) = row.ssh_user.clone() else { return Ok(Err(ReasonCode::SshUserMissing)) };
        let host_key_public = row.host_key_public.clone().unwrap_or_default();
        Ok(Ok(ssh::SshTarget {
            host,
            port,
            user,
            private_key_path: self.managed_key_path(),
            host_key_public,
            known_hosts_dir: self.settings.data_dir.join("known_hosts"),
        }))
    }

    /// Whether the node's cockpit answers within the time.
    async fn cockpit_answers(&self, row: &NodeRow, within: Duration) -> bool {
        let Some(url) = cockpit_of(row) else { return false };
        let Ok(client) = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build()
        else {
            return false;
        };
        let deadline = tokio::time::Instant::now() + within;
        loop {
            if let Ok(answer) = client.get(url.as_str()).send().await
                && answer.status().as_u16() < 400
            {
                return true;
            }
            if tokio::time::Instant::now() + Duration::from_secs(1) > deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Whether the vendor reports the machine running within the time. An answer that is lost says
    /// nothing about the machine: it is asked for again.
    async fn machine_runs(&self, row: &NodeRow, provider: &ProviderRow, within: Duration) -> Result<bool, Fault> {
        let open = self.account(provider)?;
        let (Some(infra), Some(id)) = (open.account.infra(), &row.infra_id) else { return Ok(false) };
        let deadline = tokio::time::Instant::now() + within;
        loop {
            match infra.status(id).await {
                Ok(Some(status)) if status.status == MachinePower::Running => return Ok(true),
                Ok(None) => return Ok(false),
                Ok(Some(_)) => {}
                Err(error) if error.is_transient() => {}
                Err(_) => return Ok(false),
            }
            if tokio::time::Instant::now() + Duration::from_millis(500) > deadline {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// The node's cockpit URL, once what it needs is known.
pub(crate) fn cockpit_of(row: &NodeRow) -> Option<domain::valid::CockpitUrl> {
    let port = row.cockpit_port.and_then(|port| u16::try_from(port).ok());
    let Some(template) = row.spec.cockpit_url.as_deref() else {
        return cockpit_at(row.fqdn.as_deref().or(row.host.as_deref())?, port?);
    };
    let facts = CockpitFacts { name: row.name.as_str(), ipv4: row.ipv4.as_deref(), fqdn: row.fqdn.as_deref(), port };
    CockpitTemplate::parse(template).ok()?.fill(&facts)
}
