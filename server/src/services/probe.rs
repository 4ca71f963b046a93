//! Whether a machine is fit to be used: looks at it from outside, and changes nothing.

use std::time::Duration;

use ::providers::{MachinePower, ssh};
use domain::{
    code::Code,
    node::ReasonCode,
    valid::{CockpitFacts, CockpitTemplate},
};
use store::{NodeRow, ProviderRow};

use super::Services;
use crate::fault::Fault;

impl Services {
    /// The readiness checks of a node, in the fixed order of the reason codes. What went wrong on
    /// the way is told as a code.
    ///
    /// # Errors
    /// [`Fault`] if Hangar's own keys cannot be used.
    pub(crate) async fn node_probe(
        &self,
        row: &NodeRow,
        provider: &ProviderRow,
        within: Duration,
    ) -> Result<Vec<ReasonCode>, Fault> {
        if !row.profile.has_login() {
            let open = self.account(provider)?;
            let running = match (open.account.infra(), &row.infra_id) {
                (Some(infra), Some(id)) => machine_runs(infra, id, within).await,
                _ => false,
            };
            let mut reasons = Vec::new();
            if !running {
                reasons.push(ReasonCode::NodeNotReady);
            }
            if row.host.is_none() {
                reasons.push(ReasonCode::NodeHostMissing);
            }
            if running && row.spec.verify_cockpit == Some(true) && !self.cockpit_answers(row, within).await {
                reasons.push(ReasonCode::NodeUnreachable);
            }
            return Ok(reasons);
        }
        match self.ssh_target(row)? {
            Err(reason) => Ok(vec![reason]),
            Ok(target) => match ssh::verify(&target, within).await {
                Ok(mut reasons) => {
                    if row.spec.verify_cockpit == Some(true) && !self.cockpit_answers(row, within).await {
                        reasons.push(ReasonCode::NodeUnreachable);
                        reasons.sort();
                    }
                    Ok(reasons)
                }
                Err(failure) if failure.code == Code::ProvisionHostKeyMismatch => Ok(vec![ReasonCode::HostKeyMismatch]),
                Err(_) => Ok(vec![ReasonCode::NodeUnreachable]),
            },
        }
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
    pub(crate) async fn cockpit_answers(&self, row: &NodeRow, within: Duration) -> bool {
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
}

/// Whether the vendor reports the machine running within the time. An answer that is lost says
/// nothing about the machine: it is asked for again.
async fn machine_runs(infra: &dyn ::providers::InfraProvider, id: &str, within: Duration) -> bool {
    let deadline = tokio::time::Instant::now() + within;
    loop {
        match infra.status(id).await {
            Ok(Some(status)) if status.status == MachinePower::Running => return true,
            Ok(None) => return false,
            Ok(Some(_)) => {}
            Err(error) if error.is_transient() => {}
            Err(_) => return false,
        }
        if tokio::time::Instant::now() + Duration::from_millis(500) > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The node's cockpit URL, once what it needs is known.
pub(crate) fn cockpit_of(row: &NodeRow) -> Option<domain::valid::CockpitUrl> {
    let template = CockpitTemplate::parse(row.spec.cockpit_url.as_deref()?).ok()?;
    template.fill(&CockpitFacts { name: row.name.as_str(), ipv4: row.ipv4.as_deref(), fqdn: row.fqdn.as_deref() })
}
