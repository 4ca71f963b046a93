//! The actions of a node and their gates.

use crate::{
    access::Principal,
    action::{Action, ActionSpec, Verdict, assemble},
    id::{AllocationId, JobId, NodeId},
    node::{Cleanup, NodeState},
    provider::{Breaker, Capability, ProviderStatus},
    spending::Hold,
    time::Timestamp,
};

const SAFE: &str = "Yes: nothing was changed.";

macro_rules! spec {
    ($identity:literal $(or $alias:literal)?, $method:literal, $permission:literal, $label:literal, $description:literal) => {
        ActionSpec {
            identity: $identity,
            alias: { let _alias: Option<&'static str> = None; $(let _alias = Some($alias);)? _alias },
            label: $label,
            description: $description,
            permission: $permission,
            method: $method,
        }
    };
}

/// Every action of a node, in the order in which they are shown.
pub const NODE_ACTIONS: &[ActionSpec] = &[
    spec!(
        "get-server-status",
        "POST",
        "hangar.node.read",
        "Get server status",
        "Asks the vendor for the server's present state."
    ),
    spec!("check-health", "POST", "hangar.node.check", "Check health", "Runs the readiness checks now."),
    spec!("suspend-node", "POST", "hangar.node.suspend", "Suspend", "Stops the server; it is kept and still billed."),
    spec!(
        "resume-node",
        "POST",
        "hangar.node.resume",
        "Resume",
        "Starts the server that is suspended or was found powered off."
    ),
    spec!("upgrade-node", "POST", "hangar.node.upgrade", "Upgrade", "Changes the server's type or image."),
    spec!(
        "rebuild-node",
        "POST",
        "hangar.node.rebuild",
        "Rebuild",
        "Lays the server anew with fresh user data and host key."
    ),
    spec!("exec-command", "POST", "hangar.node.exec", "Run a command", "Runs one command over SSH."),
    spec!(
        "retry-node",
        "POST",
        "hangar.node.retry",
        "Retry",
        "Takes the failed work up again: afresh, or from the stage that failed."
    ),
    spec!("destroy-node" or "delete-server", "POST", "hangar.node.destroy", "Destroy node", "Destroys the server and its names. This cannot be undone."),
    spec!("record-history", "GET", "hangar.node.read", "Record history", "Shows everything that happened to the node."),
];

/// The action that `name` stands for, by identity or alias.
pub fn node_identity(name: &str) -> Option<&'static ActionSpec> {
    NODE_ACTIONS.iter().find(|spec| spec.answers_to(name))
}

/// What the gates look at.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// The node.
    pub id: NodeId,
    /// Where it stands.
    pub state: NodeState,
    /// Whether something it left behind is still to be taken away.
    pub cleanup: Cleanup,
    /// Whether the vendor gave it an id.
    pub has_server: bool,
    /// The open job on it.
    pub open_job: Option<JobId>,
    /// The allocation that holds it.
    pub allocation: Option<AllocationId>,
    /// Its account's standing.
    pub provider_status: ProviderStatus,
    /// What its account's adapter can do.
    pub capabilities: Vec<Capability>,
    /// Whether it has a profile by which Hangar logs in.
    pub has_login: bool,
    /// Whether it is a stack, in whose services commands run without a login.
    pub is_stack: bool,
    /// Whether the vendor said last that it, or a service of it, is off although it should run.
    pub powered_off: bool,
    /// Whether it was to be destroyed and its backup failed, so that nothing of it was taken away.
    pub kept_whole: bool,
    /// What a retry must pass that begins with a new server; `None` where one goes on with what is
    /// there.
    pub afresh: Option<Afresh>,
}

/// What may keep a new server from being asked for.
#[derive(Debug, Clone)]
pub struct Afresh {
    /// What keeps the node's price from being paid.
    pub hold: Option<Hold>,
    /// Its account's failures in a row.
    pub breaker: Option<Breaker>,
    /// When this is asked.
    pub now: Timestamp,
}

/// Every action of a node for `principal`.
pub fn node_actions(facts: &NodeFacts, principal: &Principal) -> Vec<Action> {
    NODE_ACTIONS
        .iter()
        .map(|spec| {
            let path = match spec.identity {
                "record-history" => format!("/api/v1/nodes/{}/history", facts.id),
                identity => format!("/api/v1/nodes/{}/actions/{identity}", facts.id),
            };
            let mut verdicts = vec![Verdict::permission(spec, principal, principal.is_admin())];
            verdicts.extend(gates(spec.identity, facts));
            let action = assemble(spec, path, verdicts);
            match stack_words(spec.identity).filter(|_| facts.is_stack) {
                Some(description) => Action { description: description.into(), ..action },
                None => action,
            }
        })
        .collect()
}

/// What an action does with a stack, where that is not what it does with a server.
fn stack_words(identity: &str) -> Option<&'static str> {
    Some(match identity {
        "get-server-status" => "Asks the engine for the stack's present state.",
        "suspend-node" => "Stops the application services; data services run on.",
        "resume-node" => "Starts the application services of a stack that is suspended or was found stopped.",
        "upgrade-node" => "Brings the application services to another tag, and back when one does not get healthy.",
        "rebuild-node" => "Lays a server anew. A stack's services are made anew by Upgrade.",
        "exec-command" => "Runs one command in one of its services.",
        "destroy-node" => {
            "Destroys the stack with its volumes, after a backup where one is wanted. This cannot be undone."
        }
        _ => return None,
    })
}

fn gates(identity: &str, facts: &NodeFacts) -> Vec<Verdict> {
    use NodeState as S;
    match identity {
        "get-server-status" => {
            vec![server(facts), state(facts, |s| s != S::Destroyed, "a server that is not destroyed")]
        }
        "check-health" => vec![
            capability(facts, Capability::HealthCheck),
            state(facts, |s| s == S::Ready, "a ready node"),
            no_running_job(facts),
        ],
        "suspend-node" => vec![
            capability(facts, Capability::Suspend),
            state(facts, |s| s == S::Ready, "a ready node"),
            no_active_allocation(facts),
            no_running_job(facts),
            connected(facts),
        ],
        "resume-node" => vec![
            capability(facts, Capability::Resume),
            state(
                facts,
                |s| match s {
                    S::Suspended => true,
                    S::Ready => facts.powered_off,
                    // It serves again; the way back from a destruction that did not happen.
                    S::Failed => facts.kept_whole,
                    _ => false,
                },
                "a suspended node",
            ),
            no_running_job(facts),
            connected(facts),
        ],
        "upgrade-node" => vec![
            capability(facts, Capability::Upgrade),
            runs(facts).unwrap_or_else(|| {
                // A suspended stack gets its new version and stays suspended.
                let fits = |s| s == S::Ready || (s == S::Suspended && facts.is_stack);
                state(facts, fits, "a ready node")
            }),
            no_active_allocation(facts),
            no_running_job(facts),
            connected(facts),
        ],
        "rebuild-node" => vec![
            capability(facts, Capability::Rebuild),
            state(facts, |s| s == S::Ready, "a ready node"),
            no_active_allocation(facts),
            no_running_job(facts),
            connected(facts),
        ],
        "exec-command" => {
            vec![
                capability(facts, Capability::Exec),
                state(facts, |s| s == S::Ready, "a ready node"),
                login(facts),
                no_running_job(facts),
            ]
        }
        "retry-node" => {
            let mut gates = vec![
                state(facts, |s| s == S::Failed, "a failed node"),
                cleaned(facts),
                no_running_job(facts),
                connected(facts),
            ];
            if let Some(afresh) = &facts.afresh {
                gates.push(Breaker::verdict(afresh.breaker.as_ref(), afresh.now));
                gates.push(Hold::verdict(afresh.hold.as_ref()));
            }
            gates
        }
        "destroy-node" => vec![
            state(
                facts,
                |s| !matches!(s, S::Destroying | S::Destroyed),
                "a node that is not destroyed or being destroyed",
            ),
            no_active_allocation(facts),
            no_running_job(facts),
        ],
        _ => Vec::new(),
    }
}

fn state(facts: &NodeFacts, fits: impl Fn(NodeState) -> bool, wanted: &str) -> Verdict {
    if fits(facts.state) {
        Verdict::pass("node-state", format!("The node is {}.", facts.state))
    } else {
        let next = match facts.state {
            s if s.is_working() => "Wait until its job has finished.",
            NodeState::Failed if facts.kept_whole => {
                "Resume it to keep it, retry to destroy it after a backup, or destroy it without one."
            }
            NodeState::Failed => "Retry the node or destroy it.",
            NodeState::Suspended => "Resume the node first.",
            NodeState::Destroyed => "Acquire a new node; this one remains as a record.",
            _ => "Choose an action that fits its state.",
        };
        Verdict::blocked(
            "node-state",
            format!("The node is {}; this needs {wanted}.", facts.state),
            "An action runs only from a state in which its outcome is known.",
            next,
            SAFE,
        )
    }
}

/// A stack that was found stopped is not started by an upgrade, and what does not run shows nothing of
/// the new version.
fn runs(facts: &NodeFacts) -> Option<Verdict> {
    (facts.is_stack && facts.powered_off && facts.state == NodeState::Ready).then(|| {
        Verdict::blocked(
            "node-state",
            "The node is ready, but services of it were found stopped; this needs a stack that runs.",
            "The new version is kept only if its services get healthy, and what is stopped does not.",
            "Resume the node first.",
            SAFE,
        )
    })
}

fn no_active_allocation(facts: &NodeFacts) -> Verdict {
    match &facts.allocation {
        None => Verdict::pass("no-active-allocation", "Nobody holds it."),
        Some(id) => Verdict::blocked(
            "no-active-allocation",
            format!("Allocation {id} holds it."),
            "A machine is never taken from under the person who holds it.",
            format!("Release allocation {id} first."),
            SAFE,
        ),
    }
}

fn no_running_job(facts: &NodeFacts) -> Verdict {
    match &facts.open_job {
        None => Verdict::pass("no-running-job", "No job works on it."),
        Some(id) => Verdict::blocked(
            "no-running-job",
            format!("Job {id} works on it."),
            "At most one job works on a node at a time.",
            format!("Wait for job {id}, or cancel it."),
            SAFE,
        ),
    }
}

fn connected(facts: &NodeFacts) -> Verdict {
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

fn capability(facts: &NodeFacts, wanted: Capability) -> Verdict {
    if facts.capabilities.contains(&wanted) {
        Verdict::pass("provider-capability", format!("The account's adapter offers {wanted}."))
    } else {
        Verdict::blocked(
            "provider-capability",
            format!("The account's adapter does not offer {wanted}."),
            "Hangar offers only what the adapter of the account declares.",
            "Do it in the vendor's console, or use an account whose kind offers it.",
            "No: the answer stays the same until the adapter offers it.",
        )
    }
}

fn server(facts: &NodeFacts) -> Verdict {
    if facts.has_server {
        Verdict::pass("server-exists", if facts.is_stack { "It was made." } else { "The vendor gave it an id." })
    } else if facts.is_stack {
        Verdict::blocked(
            "server-exists",
            "There is no stack on the engine yet.",
            "Only what exists can be asked about.",
            "Wait until its job has made the stack.",
            SAFE,
        )
    } else {
        Verdict::blocked(
            "server-exists",
            "There is no server at the vendor yet.",
            "Only what exists can be asked about.",
            "Wait until its job has made the server.",
            SAFE,
        )
    }
}

fn login(facts: &NodeFacts) -> Verdict {
    if facts.is_stack {
        Verdict::pass("login", "Commands run in its services; no login is needed.")
    } else if facts.has_login {
        Verdict::pass("login", "Its profile lets Hangar log in.")
    } else {
        Verdict::blocked(
            "login",
            "Its profile is none: Hangar does not log in.",
            "A node with the profile none is left alone.",
            "Acquire a node with another profile.",
            "No: the profile of a node does not change.",
        )
    }
}

fn cleaned(facts: &NodeFacts) -> Verdict {
    if facts.cleanup == Cleanup::Pending {
        Verdict::blocked(
            "cleanup",
            "What an earlier attempt left behind is still being taken away.",
            "A new attempt begins from a clean slate.",
            "Wait until the clean-up is done.",
            SAFE,
        )
    } else {
        Verdict::pass("cleanup", "Nothing is left to clean up.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(state: NodeState) -> NodeFacts {
        NodeFacts {
            id: "nod_1".parse().unwrap(),
            state,
            cleanup: Cleanup::None,
            has_server: true,
            open_job: None,
            allocation: None,
            provider_status: ProviderStatus::Connected,
            capabilities: Capability::ALL.to_vec(),
            has_login: true,
            is_stack: false,
            powered_off: false,
            kept_whole: false,
            afresh: None,
        }
    }

    /// Which action is open in which state, when nothing else speaks against it.
    #[test]
    fn matrix() {
        let mut text = String::new();
        for state in NodeState::ALL {
            let open: Vec<_> = node_actions(&facts(*state), &Principal::admin_secret())
                .into_iter()
                .filter(|a| a.enabled)
                .map(|a| a.identity)
                .collect();
            text.push_str(&format!("{state}: {}\n", open.join(" ")));
        }
        insta::assert_snapshot!(text);
    }

    /// Each fact that speaks against it, one by one.
    #[test]
    fn gates_block_one_by_one() {
        let mut text = String::new();
        let mut note = |what: &str, facts: NodeFacts| {
            for action in node_actions(&facts, &Principal::admin_secret()) {
                if let Some(recovery) = &action.recovery {
                    assert!(!action.enabled);
                    text.push_str(&format!("{what}: {} — {}\n", action.identity, recovery.cause));
                }
            }
        };
        let ready = facts(NodeState::Ready);
        note("held", NodeFacts { allocation: Some("alc_1".parse().unwrap()), ..ready.clone() });
        note("busy", NodeFacts { open_job: Some("job_1".parse().unwrap()), ..ready.clone() });
        note("degraded", NodeFacts { provider_status: ProviderStatus::Degraded, ..ready.clone() });
        note("nothing offered", NodeFacts { capabilities: vec![], has_login: false, ..ready });
        for action in
            node_actions(&NodeFacts { powered_off: true, ..facts(NodeState::Ready) }, &Principal::admin_secret())
        {
            assert_eq!(action.enabled, !matches!(&*action.identity, "retry-node"), "{}", action.identity);
        }
        let off = NodeFacts { powered_off: true, is_stack: true, ..facts(NodeState::Ready) };
        note("a stack that was found stopped", off);
        note("cleanup", NodeFacts { cleanup: Cleanup::Pending, ..facts(NodeState::Failed) });
        insta::assert_snapshot!(text);
    }

    /// What holds up a new server holds up a retry that needs one, and no other.
    #[test]
    fn a_retry_afresh_asks_for_leave() {
        let retry = |afresh: Option<Afresh>| {
            let facts = NodeFacts { afresh, ..facts(NodeState::Failed) };
            let actions = node_actions(&facts, &Principal::admin_secret());
            let retry = actions.into_iter().find(|it| it.identity == "retry-node").unwrap();
            let blocked = retry.gates.iter().find(|it| it.result == crate::action::GateResult::Blocked);
            blocked.map(|it| it.name.to_string())
        };
        let now = Timestamp::parse("2026-11-20T04:30:00Z").unwrap();
        let breaker = Breaker { failures: 3, code: None, open_until: Some(now.plus(1)) };
        let hold = Hold { kind: crate::spending::HoldKind::Paused, reason: "paused".to_owned() };
        assert_eq!(retry(None), None);
        assert_eq!(retry(Some(Afresh { hold: None, breaker: None, now })), None);
        assert_eq!(retry(Some(Afresh { hold: None, breaker: Some(breaker.clone()), now: now.plus(1) })), None);
        assert_eq!(retry(Some(Afresh { hold: None, breaker: Some(breaker), now })).as_deref(), Some("account-breaker"));
        assert_eq!(retry(Some(Afresh { hold: Some(hold), breaker: None, now })).as_deref(), Some("acquisition-open"));
    }

    #[test]
    fn the_alias_means_the_same() {
        assert_eq!(node_identity("delete-server").map(|s| s.identity), Some("destroy-node"));
        assert!(node_identity("explode").is_none());
    }
}
