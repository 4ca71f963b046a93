//! Available actions: what can be done with a thing, by whom, and why not. The rule: one evaluator
//! answers the page, the API and the enforcement; there is no second rule anywhere.

use serde::{Deserialize, Serialize};

use crate::access::{Principal, Role};

/// What to tell a person whose action is blocked or whose work failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Recovery {
    /// Why it is so.
    pub cause: String,
    /// The policy behind it.
    pub policy_context: String,
    /// What to do about it.
    pub next_step: String,
    /// Whether trying again is safe.
    pub safe_retry: String,
}

/// The verdict of one policy gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum GateResult {
    /// The gate lets the action through.
    Pass,
    /// The gate holds the action back.
    Blocked,
}

/// One policy gate with its verdict and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Gate {
    /// The gate's stable name, such as `no-active-allocation`.
    pub name: String,
    /// Its verdict.
    pub result: GateResult,
    /// Why, in one sentence.
    pub reason: String,
}

/// An action with everything a person or a program needs to decide about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Action {
    /// The stable name, such as `destroy-node`.
    pub identity: String,
    /// What the button says.
    pub label: String,
    /// One line on what it does.
    pub description: String,
    /// The permission it needs, such as `hangar.node.destroy`.
    pub permission: String,
    /// Whether every gate passes.
    pub enabled: bool,
    /// Every gate, in a fixed order.
    pub gates: Vec<Gate>,
    /// Guidance, present exactly when blocked.
    pub recovery: Option<Recovery>,
    /// The HTTP method of its route.
    pub method: String,
    /// The path of its route.
    pub path: String,
}

/// The fixed part of an action: what does not depend on facts.
#[derive(Debug, Clone, Copy)]
pub struct ActionSpec {
    /// The stable name.
    pub identity: &'static str,
    /// Another accepted name, if there is one.
    pub alias: Option<&'static str>,
    /// What the button says.
    pub label: &'static str,
    /// One line on what it does.
    pub description: &'static str,
    /// The permission it needs.
    pub permission: &'static str,
    /// The HTTP method.
    pub method: &'static str,
}

impl ActionSpec {
    /// Whether `name` is this action's identity or alias.
    pub fn answers_to(&self, name: &str) -> bool {
        self.identity == name || self.alias == Some(name)
    }
}

/// The verdict of one gate together with the guidance for the case that it is blocked.
#[derive(Debug, Clone)]
pub struct Verdict {
    gate: Gate,
    recovery: Option<Recovery>,
}

impl Verdict {
    /// The gate passes because of `reason`.
    pub fn pass(name: &str, reason: impl Into<String>) -> Self {
        Self { gate: Gate { name: name.to_owned(), result: GateResult::Pass, reason: reason.into() }, recovery: None }
    }

    /// The gate is blocked because of `reason`; `policy`, `next` and `safe` tell what to do.
    pub fn blocked(name: &str, reason: impl Into<String>, policy: &str, next: impl Into<String>, safe: &str) -> Self {
        let reason = reason.into();
        Self {
            recovery: Some(Recovery {
                cause: reason.clone(),
                policy_context: policy.to_owned(),
                next_step: next.into(),
                safe_retry: safe.to_owned(),
            }),
            gate: Gate { name: name.to_owned(), result: GateResult::Blocked, reason },
        }
    }

    /// The gate every administrative action has first: the caller holds the permission.
    pub fn permission(spec: &ActionSpec, principal: &Principal, allowed: bool) -> Self {
        if allowed {
            let who = match principal.role {
                Role::Admin => "Administrators hold",
                Role::User => "The holder of the service has",
            };
            Self::pass("permission", format!("{who} {}.", spec.permission))
        } else {
            Self::blocked(
                "permission",
                format!("You do not hold {}.", spec.permission),
                "Everything that is not expressly allowed is refused.",
                "Ask an administrator to do it.",
                "Yes: nothing was changed.",
            )
        }
    }
}

/// Puts an action together: it is enabled exactly when every gate passes; the guidance is that of
/// the first blocked gate.
pub fn assemble(spec: &ActionSpec, path: String, verdicts: Vec<Verdict>) -> Action {
    let enabled = verdicts.iter().all(|v| v.gate.result == GateResult::Pass);
    let recovery = verdicts.iter().find_map(|v| v.recovery.clone());
    Action {
        identity: spec.identity.to_owned(),
        label: spec.label.to_owned(),
        description: spec.description.to_owned(),
        permission: spec.permission.to_owned(),
        enabled,
        gates: verdicts.into_iter().map(|v| v.gate).collect(),
        recovery,
        method: spec.method.to_owned(),
        path,
    }
}

impl Action {
    /// The reasons of the blocked gates, as one line.
    pub fn blocked_reasons(&self) -> String {
        self.gates
            .iter()
            .filter(|g| g.result == GateResult::Blocked)
            .map(|g| g.reason.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }
}
