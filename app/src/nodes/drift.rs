//! Where the vendor says something else than what is recorded, and how fresh that is. The rule: what
//! differs stands beside what can be done about it.

use domain::{
    action::Action,
    node::{Drift, Freshness, NodeView},
};
use leptos::prelude::*;

use super::api::ActOnNode;
use crate::{
    routes::testid,
    ui::{Cell, Code, Column, LinkButton, Row, Section, Status, Submit, Table, Time, Tone},
};

const DRIFT: &[Column] = &[
    Column::text("Field"),
    Column::text("Recorded"),
    Column::text("Observed"),
    Column::text("What it means and what to do"),
];

/// The actions that may help against a difference in this field, the likeliest first.
fn helpers(field: &str) -> &'static [&'static str] {
    match field {
        "status" | "power" => &["resume-node", "get-server-status", "destroy-node"],
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
        let rows = drift.into_iter().map(row).collect_view();
        view! {
            <Section title="Drift" id="drift" note="The vendor says something else than what is recorded.">
                <Table caption="Drift" columns=DRIFT testid=testid::DRIFT>
                    {rows}
                </Table>
                <div class="below">{deeds}</div>
            </Section>
        }
    })
}

fn row(one: Drift) -> impl IntoView {
    view! {
        <Row id=one.field.clone()>
            <Cell label="Field">{one.field}</Cell>
            <Cell label="Recorded">
                <Code value=one.recorded />
            </Cell>
            <Cell label="Observed">
                <Code value=one.observed />
            </Cell>
            <Cell label="What it means and what to do">{one.guidance}</Cell>
        </Row>
    }
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

/// How fresh what is shown is, as one line.
pub(super) fn freshness(freshness: Freshness) -> impl IntoView {
    let Freshness { observed_at, stale, reason } = freshness;
    let age = match observed_at {
        Some(at) => view! { "Observed at the vendor " <Time at=at /> }.into_any(),
        None => view! { "Not observed at the vendor yet" }.into_any(),
    };
    let stale_words = stale.then(|| {
        let why = reason.unwrap_or_else(|| "It was not observed for longer than it should be.".to_owned());
        view! {
            " · "
            <Status word="stale" tone_is=Tone::Warn />
            " "
            {why}
        }
    });
    view! {
        <span data-testid=testid::FRESHNESS data-stale=stale.to_string()>
            {age}
            {stale_words}
        </span>
    }
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
