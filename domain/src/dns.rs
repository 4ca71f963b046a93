//! DNS records that Hangar made and owns.
//!
//! ```text
//! requested → creating → active → deleting → deleted
//! requested | creating | deleting → failed        failed → requested | deleting
//! requested | failed → deleting       deleting → active (changed by hand: left alone)
//! ```
//!
//! The rule: a row answers for a record at the vendor until the vendor has confirmed that it is gone,
//! or that it is not ours any more.

use serde::{Deserialize, Serialize};

use crate::{
    access::Principal,
    action::{Action, ActionSpec, Verdict, assemble},
    audit::AuditEntry,
    code::Code,
    id::{DnsRecordId, JobId, NodeId, ProviderId},
    job::JobView,
    node::{Cleanup, Drift, Freshness, JobRef},
    provider::{Capability, ProviderStatus},
    state::{IllegalTransition, words},
    time::Timestamp,
    valid::{RecordName, ZoneName},
};

words! {
    /// The types of records that Hangar makes.
    DnsType {
        /// An IPv4 address.
        A = "A",
        /// An IPv6 address.
        Aaaa = "AAAA",
        /// Another name.
        Cname = "CNAME",
        /// Text.
        Txt = "TXT",
    }
}

words! {
    /// Where a record stands.
    DnsState {
        /// Written down; nothing was asked of the vendor yet.
        Requested = "requested",
        /// Being made.
        Creating = "creating",
        /// It stands in its zone.
        Active = "active",
        /// Being taken away.
        Deleting = "deleting",
        /// Gone; the row stays as a record.
        Deleted = "deleted",
        /// Given up, with a code.
        Failed = "failed",
    }
}

/// What happens to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsEvent {
    /// It is about to be made.
    CreateBegun,
    /// It stands in its zone.
    Created,
    /// It is to be taken away.
    DeleteBegun,
    /// The vendor confirms that nothing of ours is left.
    DeleteConfirmed,
    /// What stands there is not as Hangar wrote it: it was left alone.
    DeleteRefused,
    /// The work on it was given up.
    Failed,
    /// A retry from the beginning.
    Retried,
}

impl DnsEvent {
    /// Every event, for the matrix.
    pub const ALL: &[DnsEvent] = &[
        Self::CreateBegun,
        Self::Created,
        Self::DeleteBegun,
        Self::DeleteConfirmed,
        Self::DeleteRefused,
        Self::Failed,
        Self::Retried,
    ];
}

impl DnsState {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalTransition`] if the event does not happen in this state.
    pub fn apply(self, event: DnsEvent) -> Result<Self, IllegalTransition> {
        use {DnsEvent as E, DnsState as S};
        Ok(match (self, event) {
            (S::Requested, E::CreateBegun) => S::Creating,
            (S::Creating, E::Created) => S::Active,
            (s, E::DeleteBegun) if !matches!(s, S::Deleting | S::Deleted) => S::Deleting,
            (S::Deleting, E::DeleteConfirmed) => S::Deleted,
            (S::Deleting, E::DeleteRefused) => S::Active,
            (S::Requested | S::Creating | S::Deleting, E::Failed) => S::Failed,
            (S::Failed, E::Retried) => S::Requested,
            (state, event) => return Err(IllegalTransition::new(state.as_str(), &format!("{event:?}"))),
        })
    }

    /// Whether a job is expected to be at work on it.
    pub fn is_working(self) -> bool {
        matches!(self, Self::Requested | Self::Creating | Self::Deleting)
    }

    /// Whether Hangar still answers for something in the zone.
    pub fn is_live(self) -> bool {
        self != Self::Deleted
    }
}

/// The request to make a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DnsRecordCreate {
    /// The account that holds the zone.
    pub provider_id: ProviderId,
    /// The zone, such as `example.org`.
    pub zone: ZoneName,
    /// The name within the zone, such as `alpha`; `@` for the zone itself.
    pub name: RecordName,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: DnsType,
    /// Its content: an address, a name, or text.
    pub content: String,
    /// Seconds for which it may be remembered, 60 to 86,400; the vendor's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Whether the vendor's proxy stands before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxied: Option<bool>,
    /// The node that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
}

/// The answer to an accepted record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DnsRecordAccepted {
    /// The record.
    #[serde(rename = "dns_record_id")]
    pub record_id: DnsRecordId,
    /// The job that makes it.
    pub job_id: JobId,
}

/// A zone that an account holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DnsZoneView {
    /// The vendor's id, or the name where it has no other.
    pub id: String,
    /// Its name.
    pub name: ZoneName,
}

/// An account that holds zones, as forms offer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsAccount {
    /// The account.
    pub provider_id: ProviderId,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How it stands.
    pub status: ProviderStatus,
    /// Whether its kind offers a proxy before a record.
    pub proxies: bool,
    /// Its zones, or why they are not known.
    pub zones: Result<Vec<DnsZoneView>, String>,
}

/// What a record's page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DnsRecordPage {
    /// The record with its actions.
    pub record: DnsRecordView,
    /// Its jobs with their steps, newest first.
    pub jobs: Vec<JobView>,
    /// What happened to it, newest first.
    pub history: Vec<AuditEntry>,
}

/// A record as the API and the pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DnsRecordView {
    /// Its id.
    pub id: DnsRecordId,
    /// The account through which it was made.
    pub provider_id: ProviderId,
    /// The account's kind.
    pub provider: String,
    /// The account's name.
    pub provider_name: String,
    /// Its zone.
    pub zone: ZoneName,
    /// Its name within the zone.
    pub name: RecordName,
    /// Its whole name.
    pub fqdn: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: DnsType,
    /// Its content.
    pub content: String,
    /// Seconds for which it may be remembered.
    pub ttl: Option<u32>,
    /// Whether the vendor's proxy stands before it.
    pub proxied: bool,
    /// Where it stands.
    pub state: DnsState,
    /// The code of the failure.
    pub code: Option<Code>,
    /// The failure in one sentence.
    pub message: Option<String>,
    /// Whether something may still be there that is to be taken away.
    pub cleanup: Cleanup,
    /// The vendor's id.
    pub vendor_id: Option<String>,
    /// By what it is known as Hangar's at the vendor: the installation and the record.
    pub marker: String,
    /// Whether a person let Hangar take over what it had not written.
    pub adopted: bool,
    /// The node that it names.
    pub node_id: Option<NodeId>,
    /// The node's name.
    pub node_name: Option<String>,
    /// How fresh the vendor's truth is.
    pub freshness: Freshness,
    /// Where the vendor's truth differs.
    pub drift: Vec<Drift>,
    /// Its newest job.
    pub job: Option<JobRef>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Counts every change.
    pub version: i64,
    /// What can be done with it; empty in lists.
    pub actions: Vec<Action>,
}

/// What the gates of a record's actions look at.
#[derive(Debug, Clone)]
pub struct DnsFacts {
    /// The record.
    pub id: DnsRecordId,
    /// Where it stands.
    pub state: DnsState,
    /// The open job on it.
    pub open_job: Option<JobId>,
    /// The live node that it was made with, and goes with.
    pub node: Option<NodeId>,
    /// The node that it belongs to, if that is not live.
    pub lost_node: Option<NodeId>,
    /// The code of its failure.
    pub code: Option<Code>,
    /// The record of Hangar's that has its name by now.
    pub taken_by: Option<DnsRecordId>,
    /// Whether what stands in the zone differs from what Hangar wrote.
    pub drifted: bool,
    /// Whether something of its own type was found to stand there.
    pub of_its_type: bool,
    /// Whether nothing of it stands in the zone any more, although it should.
    pub gone: bool,
    /// Its account's standing.
    pub provider_status: ProviderStatus,
    /// What its account's adapter can do.
    pub capabilities: Vec<Capability>,
}

const fn spec(
    identity: &'static str,
    method: &'static str,
    permission: &'static str,
    label: &'static str,
    description: &'static str,
) -> ActionSpec {
    ActionSpec { identity, alias: None, label, description, permission, method }
}

/// Every action of a record, in the order in which they are shown.
pub const DNS_ACTIONS: &[ActionSpec] = &[
    spec("check-dns-record", "POST", "hangar.dns.read", "Check record", "Reads what stands in the zone now."),
    spec("retry-dns-record", "POST", "hangar.dns.retry", "Retry", "Takes the failed work up again."),
    spec(
        "adopt-dns-record",
        "POST",
        "hangar.dns.adopt",
        "Adopt what stands there",
        "Takes the foreign record of this name and type over as Hangar's own; from then on Hangar deletes it.",
    ),
    spec(
        "give-up-dns-record",
        "POST",
        "hangar.dns.give_up",
        "Give the record up",
        "Hangar no longer answers for it; what stands in the zone stays as it is.",
    ),
    spec(
        "delete-dns-record",
        "POST",
        "hangar.dns.delete",
        "Delete record",
        "Deletes the record, if it is still as Hangar wrote it.",
    ),
    spec("record-history", "GET", "hangar.dns.read", "Record history", "Shows everything that happened to the record."),
];

/// The action that `name` stands for.
pub fn dns_identity(name: &str) -> Option<&'static ActionSpec> {
    DNS_ACTIONS.iter().find(|spec| spec.answers_to(name))
}

const SAFE: &str = "Yes: nothing was changed.";

/// Every action of a record for `principal`.
pub fn dns_actions(facts: &DnsFacts, principal: &Principal) -> Vec<Action> {
    DNS_ACTIONS
        .iter()
        .map(|spec| {
            let path = match spec.identity {
                "record-history" => format!("/api/v1/dns-records/{}/history", facts.id),
                identity => format!("/api/v1/dns-records/{}/actions/{identity}", facts.id),
            };
            let mut verdicts = vec![Verdict::permission(spec, principal, principal.is_admin())];
            verdicts.extend(gates(spec.identity, facts));
            assemble(spec, path, verdicts)
        })
        .collect()
}

fn gates(identity: &str, facts: &DnsFacts) -> Vec<Verdict> {
    use DnsState as S;
    match identity {
        "check-dns-record" => vec![capability(facts), state(facts, |s| s == S::Active, "a record that is active")],
        "retry-dns-record" => vec![
            state(facts, |s| s == S::Failed || (s == S::Active && facts.gone), "a failed record, or one that is gone"),
            no_lost_node(facts),
            name_free(facts),
            no_running_job(facts),
            connected(facts),
        ],
        "adopt-dns-record" => {
            vec![conflict(facts), of_its_type(facts), name_free(facts), no_running_job(facts), connected(facts)]
        }
        "give-up-dns-record" => vec![conflict(facts), no_live_node(facts), no_running_job(facts)],
        "delete-dns-record" => vec![
            state(facts, |s| !matches!(s, S::Deleting | S::Deleted), "a record that is not deleted or being deleted"),
            no_live_node(facts),
            no_running_job(facts),
        ],
        _ => Vec::new(),
    }
}

fn state(facts: &DnsFacts, fits: impl Fn(DnsState) -> bool, wanted: &str) -> Verdict {
    if fits(facts.state) {
        return Verdict::pass("record-state", format!("The record is {}.", facts.state));
    }
    let next = match facts.state {
        s if s.is_working() => "Wait until its job has finished.",
        DnsState::Failed => "Retry the record or delete it.",
        DnsState::Deleted => "Create another record; this one remains as a record of what was.",
        _ => "Choose an action that fits its state.",
    };
    Verdict::blocked(
        "record-state",
        format!("The record is {}; this needs {wanted}.", facts.state),
        "An action runs only from a state in which its outcome is known.",
        next,
        SAFE,
    )
}

fn conflict(facts: &DnsFacts) -> Verdict {
    let failed_on_it = facts.state == DnsState::Failed && facts.code == Some(Code::DnsNameConflict);
    if failed_on_it || (facts.state == DnsState::Active && facts.drifted) {
        Verdict::pass("foreign-record", "Something that Hangar did not write stands there.")
    } else {
        Verdict::blocked(
            "foreign-record",
            "Nothing foreign is known to stand there.",
            "Only what was found to be in the way is adopted, and only when a person says so.",
            "Nothing to do.",
            SAFE,
        )
    }
}

/// Only where something foreign stands, this says more than [`conflict`].
fn of_its_type(facts: &DnsFacts) -> Verdict {
    if facts.of_its_type || !(facts.drifted || facts.state == DnsState::Failed) {
        return Verdict::pass("record-type", "Nothing of another type is known to stand in its place.");
    }
    Verdict::blocked(
        "record-type",
        "Nothing of its own type is known to stand there.",
        "What is adopted takes the place of a record of its own type, as a person was shown it.",
        "Take away in the zone what is in the way, then retry; or choose another name.",
        SAFE,
    )
}

fn name_free(facts: &DnsFacts) -> Verdict {
    match &facts.taken_by {
        None => Verdict::pass("name-free", "No other record of Hangar's has its name."),
        Some(id) => Verdict::blocked(
            "name-free",
            format!("Record {id} has its name by now."),
            "Two records of Hangar's are never in each other's way.",
            format!("Delete this one; or delete {id} first."),
            SAFE,
        ),
    }
}

fn no_live_node(facts: &DnsFacts) -> Verdict {
    match &facts.node {
        // What failed stands nowhere, so that nobody reaches the node by it.
        Some(_) if facts.state == DnsState::Failed => {
            Verdict::pass("no-live-node", "It failed, so that no node is reached by it.")
        }
        None => Verdict::pass("no-live-node", "It belongs to no node that is in use."),
        Some(id) => Verdict::blocked(
            "no-live-node",
            format!("Node {id} is reached by it."),
            "The name of a node goes with the node.",
            format!("Destroy node {id}; its names go first."),
            SAFE,
        ),
    }
}

fn no_lost_node(facts: &DnsFacts) -> Verdict {
    match &facts.lost_node {
        None => Verdict::pass("node-live", "Nothing that it names is gone."),
        Some(id) => Verdict::blocked(
            "node-live",
            format!("Node {id}, which it names, is not in use."),
            "The name of a node is made with the node.",
            format!("Retry node {id}, or create another record."),
            SAFE,
        ),
    }
}

fn no_running_job(facts: &DnsFacts) -> Verdict {
    match &facts.open_job {
        None => Verdict::pass("no-running-job", "No job works on it."),
        Some(id) => Verdict::blocked(
            "no-running-job",
            format!("Job {id} works on it."),
            "At most one job works on a record at a time.",
            format!("Wait for job {id}."),
            SAFE,
        ),
    }
}

fn connected(facts: &DnsFacts) -> Verdict {
    match facts.provider_status {
        ProviderStatus::Connected => Verdict::pass("provider-connected", "Its account is connected."),
        other => Verdict::blocked(
            "provider-connected",
            format!("Its account is {other}."),
            "Work at a vendor begins only through an account whose credential works.",
            "Open Providers and follow the account's guidance.",
            SAFE,
        ),
    }
}

fn capability(facts: &DnsFacts) -> Verdict {
    if facts.capabilities.contains(&Capability::Dns) {
        Verdict::pass("provider-capability", "The account's adapter offers dns.")
    } else {
        Verdict::blocked(
            "provider-capability",
            "The account's adapter does not offer dns.",
            "Hangar offers only what the adapter of the account declares.",
            "Use an account whose kind offers it.",
            "No: the answer stays the same until the adapter offers it.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(state: DnsState) -> DnsFacts {
        DnsFacts {
            id: "dns_1".parse().unwrap(),
            state,
            open_job: None,
            node: None,
            lost_node: None,
            code: None,
            taken_by: None,
            drifted: false,
            of_its_type: false,
            gone: false,
            provider_status: ProviderStatus::Connected,
            capabilities: Capability::ALL.to_vec(),
        }
    }

    #[test]
    fn matrix() {
        let mut text = String::new();
        for state in DnsState::ALL {
            for event in DnsEvent::ALL {
                if let Ok(next) = state.apply(*event) {
                    text.push_str(&format!("{state} --{event:?}--> {next}\n"));
                }
            }
        }
        for state in DnsState::ALL {
            let open: Vec<_> = dns_actions(&facts(*state), &Principal::admin_secret())
                .into_iter()
                .filter(|a| a.enabled)
                .map(|a| a.identity)
                .collect();
            text.push_str(&format!("{state}: {}\n", open.join(" ")));
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn gates_block_one_by_one() {
        let mut text = String::new();
        let mut note = |what: &str, facts: DnsFacts| {
            for action in dns_actions(&facts, &Principal::admin_secret()) {
                if let Some(recovery) = &action.recovery {
                    text.push_str(&format!("{what}: {} — {}\n", action.identity, recovery.cause));
                }
            }
        };
        let active = facts(DnsState::Active);
        note("of a node", DnsFacts { node: Some("nod_1".parse().unwrap()), ..active.clone() });
        let failed = facts(DnsState::Failed);
        note("of a lost node", DnsFacts { lost_node: Some("nod_1".parse().unwrap()), ..failed.clone() });
        note("failed, of a node", DnsFacts { node: Some("nod_1".parse().unwrap()), ..failed });
        note("busy", DnsFacts { open_job: Some("job_1".parse().unwrap()), ..active.clone() });
        note("nothing offered", DnsFacts { capabilities: vec![], ..active.clone() });
        let other = DnsFacts { code: Some(Code::DnsNameConflict), ..facts(DnsState::Failed) };
        let conflict = DnsFacts { of_its_type: true, ..other.clone() };
        note("another type", other);
        note("taken", DnsFacts { taken_by: Some("dns_2".parse().unwrap()), ..conflict.clone() });
        note("degraded", DnsFacts { provider_status: ProviderStatus::Degraded, ..conflict.clone() });
        note("conflict", conflict);
        note("gone", DnsFacts { gone: true, ..active.clone() });
        note("drifted", DnsFacts { drifted: true, of_its_type: true, ..active });
        insta::assert_snapshot!(text);
    }
}
