//! The blueprints, and the form that makes one.

use domain::{
    blueprint::{BlueprintDefinition, BlueprintView, ServiceRole},
    id::UserId,
};
use leptos::prelude::*;

use super::{
    api,
    editor::{self, Editing},
    start,
};
use crate::{
    live::live,
    routes,
    routes::testid,
    ui::{Cell, Code, Column, EmptyState, LinkButton, Loaded, PageHead, Row, RowLink, Section, ShortId, Table, Time},
};

const COLUMNS: &[Column] = &[
    Column::text("Name"),
    Column::text("Version"),
    Column::number("Nodes"),
    Column::text("What it is made of"),
    Column::text("Tag"),
    Column::text("Changed"),
];

/// The page of the blueprints.
#[component]
pub fn BlueprintsListPage() -> impl IntoView {
    let state = Editing::new();
    let changed = live(&["blueprint", "node"]);
    let saved = state.save.version();
    let blueprints = Resource::new(move || (changed.get(), saved.get()), |_| api::list());
    view! {
        <PageHead title="Blueprints" note=|| "What stacks are made from: a Compose file and what goes with it, in versions.">
            <LinkButton href="#new" primary=true>
                "New blueprint"
            </LinkButton>
            <LinkButton href=routes::SETTINGS>"Settings"</LinkButton>
        </PageHead>
        <Loaded from=blueprints let:blueprints>
            {table(blueprints)}
        </Loaded>
        <Section
            title="New blueprint"
            id="new"
            note="The form is filled in with an example: give it a name, replace what is yours to say, and save."
        >
            {editor::form(None, start::example(), state)}
        </Section>
    }
}

fn table(blueprints: Vec<BlueprintView>) -> impl IntoView {
    if blueprints.is_empty() {
        return view! {
            <EmptyState
                title="No blueprints yet"
                text="A blueprint says what a stack is made of. Accounts that make stacks acquire nodes from it."
            >
                <LinkButton href="#new">"New blueprint"</LinkButton>
            </EmptyState>
        }
        .into_any();
    }
    view! {
        <Table caption="Blueprints" columns=COLUMNS testid=testid::BLUEPRINTS>
            {blueprints.into_iter().map(row).collect_view()}
        </Table>
    }
    .into_any()
}

/// Who changed something, short.
pub(super) fn who(by: UserId) -> impl IntoView {
    if by == UserId::admin() {
        view! { <span>"the administrator"</span> }.into_any()
    } else {
        let id = by.to_string();
        view! { <ShortId value=id /> }.into_any()
    }
}

/// What a blueprint is made of, in one line.
fn made_of(definition: &BlueprintDefinition) -> String {
    let of = |role: ServiceRole| {
        let names = definition.services.iter().filter(|one| one.role == role).map(|one| one.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let (application, data) = (of(ServiceRole::Application), of(ServiceRole::Data));
    match (application.is_empty(), data.is_empty()) {
        (true, true) => "no services yet".to_owned(),
        (false, true) => application,
        (true, false) => format!("data: {data}"),
        (false, false) => format!("{application}; data: {data}"),
    }
}

fn row(blueprint: BlueprintView) -> impl IntoView {
    let what = made_of(&blueprint.definition);
    let BlueprintView { name, version, nodes, definition, changed_at, changed_by, .. } = blueprint;
    let by = changed_by.map(|by| view! { <span class="cell-sub muted small"><span>"by " {who(by)}</span></span> });
    view! {
        <Row id=name.to_string()>
            <Cell label="Name">
                <RowLink href=routes::blueprint(&name)>{name.to_string()}</RowLink>
            </Cell>
            <Cell label="Version">{version}</Cell>
            <Cell label="Nodes" number=true>
                {nodes}
            </Cell>
            <Cell label="What it is made of">{what}</Cell>
            <Cell label="Tag">
                <Code value=definition.tag />
            </Cell>
            <Cell label="Changed">
                <Time at=changed_at />
                {by}
            </Cell>
        </Row>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blueprint_in_one_line() {
        let of = |services: serde_json::Value| {
            made_of(&serde_json::from_value(serde_json::json!({"file": "x", "services": services})).unwrap())
        };
        assert_eq!(of(serde_json::json!([])), "no services yet");
        let both = serde_json::json!([{"name": "web", "role": "application"}, {"name": "db", "role": "data"}]);
        assert_eq!(of(both), "web; data: db");
    }
}
