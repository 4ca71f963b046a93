//! Where the vendor says something else than what is recorded. The rule: what differs stands beside
//! what can be done about it.

use domain::{
    action::Action,
    node::{Drift, NodeView},
};
use leptos::prelude::*;

use super::api::ActOnNode;
use crate::ui::{DriftTable, LinkButton, Section, Submit};

/// The actions that may help against a difference in this field, the likeliest first.
fn helpers(field: &str) -> &'static [&'static str] {
    match field {
        "status" | "power" | "services" => &["resume-node", "get-server-status", "destroy-node"],
        "server" => &["retry-node", "destroy-node"],
        "ipv4" | "ipv6" | "address" | "host" => &["get-server-status", "destroy-node"],
        _ => &["get-server-status"],
    }
}

/// The enabled actions that help against these differences, each once.
fn helping(drift: &[Drift], actions: &[Action]) -> Vec<Action> {
    let mut found: Vec<Action> = Vec::new();
    for name in drift.iter().flat_map(|one| helpers(&one.field)) {
        let action = actions.iter().find(|action| action.identity == *name && action.enabled);
        if let Some(action) = action
            && !found.iter().any(|one| one.identity == action.identity)
        {
            found.push(action.clone());
        }
    }
    found
}

/// The differences, if there are any.
pub(super) fn panel(node: &NodeView, act: ServerAction<ActOnNode>) -> impl IntoView + use<> {
    let drift = node.drift.clone();
    let deeds = helping(&drift, &node.actions).into_iter().map(|action| deed(action, node, act)).collect_view();
    (!drift.is_empty()).then(|| {
        view! {
            <Section title="Drift" id="drift" note="The vendor says something else than what is recorded.">
                <DriftTable drift=drift />
                <div class="below">{deeds}</div>
            </Section>
        }
    })
}

/// What cannot be undone is asked for where it always is.
fn deed(action: Action, node: &NodeView, act: ServerAction<ActOnNode>) -> impl IntoView + use<> {
    let (label, identity) = (action.label, action.identity);
    if identity == "destroy-node" {
        return view! {
            <LinkButton href="#actions" small=true>
                {label}
                " …"
            </LinkButton>
        }
        .into_any();
    }
    let id = node.id.to_string();
    let busy = {
        let identity = identity.clone();
        Signal::derive(move || act.input().get().is_some_and(|input| input.identity == identity))
    };
    let first = identity == "resume-node";
    view! {
        <ActionForm action=act attr:class="row-form">
            <input type="hidden" name="id" value=id />
            <input type="hidden" name="identity" value=identity />
            <Submit busy=busy quiet=!first small=true>
                {label}
            </Submit>
        </ActionForm>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drift(field: &str) -> Drift {
        let text = String::new;
        Drift { field: field.to_owned(), recorded: text(), observed: text(), guidance: text() }
    }

    fn action(identity: &str, enabled: bool) -> Action {
        Action {
            identity: identity.to_owned(),
            label: identity.to_owned(),
            description: String::new(),
            permission: String::new(),
            enabled,
            gates: Vec::new(),
            recovery: None,
            method: "POST".to_owned(),
            path: String::new(),
        }
    }

    #[test]
    fn only_what_is_open_is_offered_and_once() {
        let actions = [action("destroy-node", true), action("resume-node", true), action("get-server-status", false)];
        let names = |fields: &[&str]| -> Vec<String> {
            let drift: Vec<_> = fields.iter().map(|field| drift(field)).collect();
            helping(&drift, &actions).into_iter().map(|action| action.identity).collect()
        };
        assert_eq!(names(&["status"]), ["resume-node", "destroy-node"]);
        assert_eq!(names(&["status", "server", "ipv4"]), ["resume-node", "destroy-node"]);
        assert_eq!(names(&["labels"]), Vec::<String>::new());
    }
}
