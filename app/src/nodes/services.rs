//! What a stack is made of: the facts of its blueprint, its services, and the form that brings it to
//! another tag.

use domain::{
    action::Action,
    blueprint::{BlueprintService, ServiceRole, StackView},
    node::{NodeState, NodeView},
};
use leptos::prelude::*;

use super::upgrade::Upgrading;
use crate::{
    routes,
    routes::testid,
    ui::{Cell, Code, Column, Fact, FormFault, Notice, Row, Section, Submit, Table, TextField, Tone, fault_of},
};

const COLUMNS: &[Column] =
    &[Column::text("Service"), Column::text("Role"), Column::number("Memory"), Column::number("CPU")];

/// The facts that a stack has in the place of a server's.
pub(super) fn facts(stack: &StackView) -> impl IntoView + use<> {
    let href = format!("{}?version={}", routes::blueprint(&stack.blueprint), stack.blueprint_version);
    let (name, version) = (stack.blueprint.to_string(), stack.blueprint_version);
    let (tag, port) = (stack.tag.clone(), stack.cockpit_port.map(|port| port.to_string()));
    let variables = stack
        .variables
        .iter()
        .map(|(name, value)| {
            let (name, value) = (name.clone(), value.clone());
            view! {
                <li>
                    <code class="code">{name}</code>
                    " "
                    {value}
                </li>
            }
        })
        .collect_view();
    let variables = (!stack.variables.is_empty()).then(|| {
        view! {
            <Fact label="Variables" wide=true>
                <ul class="reasons">{variables}</ul>
            </Fact>
        }
    });
    view! {
        <Fact label="Blueprint">
            <a class="link" href=href>
                {name}
            </a>
            <span class="muted">" version " {version}</span>
        </Fact>
        <Fact label="Tag">
            <Code value=tag />
        </Fact>
        <Fact label="Cockpit port">
            <Code value=port />
        </Fact>
        {variables}
    }
}

/// Its services.
pub(super) fn section(node: &NodeView) -> Option<impl IntoView + use<>> {
    let services = node.stack.as_ref().map(|stack| stack.services.clone()).filter(|all| !all.is_empty())?;
    let rows = services.into_iter().map(row).collect_view();
    Some(view! {
        <Section title="Services" id="services" note="In the order in which an upgrade makes them anew; data services are left as they are.">
            <Table caption="Services" columns=COLUMNS testid=testid::SERVICES>
                {rows}
            </Table>
        </Section>
    })
}

fn row(service: BlueprintService) -> impl IntoView {
    let BlueprintService { name, role, memory_mib, cpu_millis } = service;
    let role = match role {
        ServiceRole::Application => "application",
        ServiceRole::Data => "data",
    };
    let limit = |most: Option<u32>, unit: &str| most.map_or_else(|| "no limit".to_owned(), |n| format!("{n} {unit}"));
    view! {
        <Row id=name.clone()>
            <Cell label="Service">
                <Code value=name />
            </Cell>
            <Cell label="Role">{role}</Cell>
            <Cell label="Memory" number=true>
                {limit(memory_mib, "MiB")}
            </Cell>
            <Cell label="CPU" number=true>
                {limit(cpu_millis, "thousandths")}
            </Cell>
        </Row>
    }
}

/// The form that brings it to another tag, once it was asked for.
pub(super) fn upgrade(node: &NodeView, action: &Action, state: Upgrading) -> Option<impl IntoView + use<>> {
    let tag = node.stack.as_ref()?.tag.clone();
    let (id, name) = (node.id.to_string(), node.name.clone());
    let fault = fault_of(state.action.value());
    let pending = state.action.pending();
    let (help, then) = match node.state {
        NodeState::Suspended => (
            format!("It has {tag} now."),
            " are made anew. They stay stopped, and are checked when it is resumed. If one cannot be made, all go back to ",
        ),
        _ => (
            format!("It runs {tag} now."),
            " are made anew, one after the other; each must get healthy. If one does not, all go back to ",
        ),
    };
    let body = if action.enabled {
        view! {
            <div class="panel" data-testid=testid::UPGRADE_TAG>
                <ActionForm action=state.action attr:class="form">
                    <input type="hidden" name="id" value=id />
                    <TextField
                        scope="upgrade"
                        name="form[tag]"
                        label="Tag"
                        pointer="/tag"
                        fault=fault
                        mono=true
                        required=true
                        help=help
                    />
                    <p class="form-note">
                        "The images are pulled, then the application services of " {name}
                        {then} <code class="code">{tag.clone()}</code> ". Its data stays."
                    </p>
                    <Submit busy=pending>"Upgrade"</Submit>
                </ActionForm>
                <FormFault fault=fault />
            </div>
        }
        .into_any()
    } else {
        let why = action.blocked_reasons();
        view! {
            <Notice tone=Tone::Neutral title="It cannot be upgraded now">
                <p>{why}</p>
            </Notice>
        }
        .into_any()
    };
    Some(view! {
        <Section title="Upgrade" note="Another tag.">
            {body}
        </Section>
    })
}
