//! The nodes, and the form that acquires one.

use domain::node::{NodeState, NodeView, ReasonCode};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::{
    acquire::{self, Acquiring},
    api,
};
use crate::{
    Fault,
    live::live,
    routes,
    routes::testid,
    ui::{
        Cell, Choice, Code, Column, EmptyState, FilterBar, FilterSelect, Id, LinkButton, ListView, Loaded, PageHead,
        Row, RowLink, Section, Status, Tone, url_filter, word_choices,
    },
};

const COLUMNS: &[Column] = &[
    Column::text("Name"),
    Column::text("Host"),
    Column::text("Provider"),
    Column::text("Status"),
    Column::text("Ready"),
    Column::text("Readiness codes"),
    Column::text("Guidance"),
];

type Options = Resource<Result<domain::node::AcquireOptions, Fault>>;

/// The page of the nodes.
#[component]
pub fn NodesListPage() -> impl IntoView {
    let account = use_query_map().get_untracked().get("account").and_then(|id| id.parse().ok());
    let acquiring = Acquiring::new(account);
    let filter = url_filter();
    let changed = live(&["node"]);
    let accounts_changed = live(&["provider"]);
    let acquired = acquiring.action.version();
    let nodes = Resource::new(move || (filter.get(), changed.get(), acquired.get()), |(filter, ..)| api::list(filter));
    let options = Resource::new(
        move || (acquiring.account.get(), accounts_changed.get()),
        |(account, _)| api::acquire_options(account),
    );
    view! {
        <PageHead title="Nodes" note=|| "Machines that Hangar acquired and owns.">
            <LinkButton href="#acquire" primary=true>
                "Acquire node"
            </LinkButton>
        </PageHead>
        <FilterBar what="Name or id">
            <FilterSelect
                name="status"
                label="Status"
                choices=word_choices(NodeState::ALL.iter().map(|state| state.as_str()))
            />
            <AccountFilter options=options />
        </FilterBar>
        <ListView
            from=nodes
            noun=["node", "nodes"]
            columns=COLUMNS
            testid=testid::NODES
            key=|node| node.id.to_string()
            empty=|| {
                view! {
                    <EmptyState
                        title="No nodes yet"
                        text="A node is a machine that Hangar acquires, watches, hands out and takes away again."
                    >
                        <LinkButton href="#acquire">"Acquire the first one"</LinkButton>
                    </EmptyState>
                }
            }
            row=row
        />
        <Section
            title="Acquire a node"
            id="acquire"
            note="Creates a server at the vendor, names it, checks it and puts it into its pool. If it fails, what was created is taken away again."
        >
            <Loaded from=options let:options>
                {acquire::form(options, acquiring)}
            </Loaded>
        </Section>
    }
}

/// The filter by account, once the accounts are known.
#[component]
fn AccountFilter(options: Options) -> impl IntoView {
    view! {
        <Transition>
            {move || Suspend::new(async move {
                let accounts = options.await.map(|options| options.providers).unwrap_or_default();
                let choices: Vec<Choice> = std::iter::once(Choice::new("", "any"))
                    .chain(accounts.into_iter().map(|account| Choice::new(account.id.to_string(), account.name)))
                    .collect();
                view! { <FilterSelect name="provider" label="Account" choices=choices /> }
            })}
        </Transition>
    }
}

fn row(node: NodeView) -> impl IntoView {
    let guidance = guidance(&node);
    let NodeView { id, name, host, provider, provider_name, state, health, pool, .. } = node;
    let (word, tone) = if health.ready { ("yes", Tone::Ok) } else { ("no", Tone::Neutral) };
    let codes = if health.reason_codes.is_empty() {
        view! { <span class="none">"—"</span> }.into_any()
    } else {
        let codes = health.reason_codes.into_iter().map(|code| view! { <Code value=code.as_str().to_owned() /> " " });
        view! { <span class="codes">{codes.collect_view()}</span> }.into_any()
    };
    view! {
        <Row id=id.to_string()>
            <Cell label="Name">
                <RowLink href=routes::node(&id)>{name}</RowLink>
                <span class="cell-sub">
                    <Id value=id.to_string() />
                </span>
            </Cell>
            <Cell label="Host">
                <Code value=host />
                {pool.map(|pool| view! { <span class="cell-sub">"pool "{pool.to_string()}</span> })}
            </Cell>
            <Cell label="Provider">
                {provider_name} <span class="cell-sub">{provider}</span>
            </Cell>
            <Cell label="Status">
                <Status word=state.as_str() />
            </Cell>
            <Cell label="Ready">
                <Status word=word tone_is=tone />
            </Cell>
            <Cell label="Readiness codes">{codes}</Cell>
            <Cell label="Guidance">
                <span class="guidance-text">{guidance}</span>
            </Cell>
        </Row>
    }
}

/// What to do about a node, in one sentence: about its failure first, then about its health.
fn guidance(node: &NodeView) -> String {
    match (node.state, node.code) {
        (NodeState::Failed, Some(code)) => code.recovery().next_step,
        (NodeState::Destroyed, _) => "Gone; the row stays as a record.".to_owned(),
        (NodeState::Suspended, _) => "Resume it to use it; it is still billed.".to_owned(),
        (state, _) if state.is_working() => "Its job is at work; open it to watch.".to_owned(),
        _ => match node.health.reason_codes.first() {
            Some(code) => ReasonCode::guidance(*code).to_owned(),
            None => "Nothing to do.".to_owned(),
        },
    }
}
