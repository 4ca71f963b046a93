//! The nodes. The form that acquires one is the same page, asked for in the address.

use domain::node::{Drift, NodeState, NodeView, ReasonCode};
use leptos::{either::Either, prelude::*};
use leptos_router::hooks::use_query_map;

use super::{NodesPage, acquire::AcquirePage, api};
use crate::{
    Fault,
    live::live,
    routes,
    routes::testid,
    ui::{
        Cell, Choice, Code, Column, EmptyState, FilterBar, FilterSelect, Id, LinkButton, ListView, PageHead, Row,
        RowLink, Status, Tone, url_filter, word_choices,
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

type Nodes = Resource<Result<NodesPage, Fault>>;

/// The page of the nodes, or the form that acquires one.
#[component]
pub fn NodesListPage() -> impl IntoView {
    let query = use_query_map();
    let acquire = Memo::new(move |_| query.with(|query| query.get("acquire").is_some()));
    move || if acquire.get() { Either::Left(view! { <AcquirePage /> }) } else { Either::Right(view! { <ListPage /> }) }
}

#[component]
fn ListPage() -> impl IntoView {
    let filter = url_filter();
    let changed = live(&["node", "provider"]);
    let nodes = Resource::new(move || (filter.get(), changed.get()), |(filter, _)| api::list(filter));
    view! {
        <PageHead title="Nodes" note=|| "Machines that Hangar acquired and owns.">
            <LinkButton href=routes::ACQUIRE primary=true>
                "Acquire node"
            </LinkButton>
        </PageHead>
        <FilterBar what="Name or id">
            <FilterSelect
                name="status"
                label="Status"
                choices=word_choices(NodeState::ALL.iter().map(|state| state.as_str()))
            />
            <AccountFilter nodes=nodes />
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
                        <LinkButton href=routes::ACQUIRE>"Acquire the first one"</LinkButton>
                    </EmptyState>
                }
            }
            row=row
        />
    }
}

/// The filter by account, once the accounts are known.
#[component]
fn AccountFilter(nodes: Nodes) -> impl IntoView {
    view! {
        <Transition>
            {move || Suspend::new(async move {
                let accounts = nodes.await.map(|page| page.accounts).unwrap_or_default();
                let choices: Vec<Choice> = std::iter::once(Choice::new("", "any"))
                    .chain(accounts.into_iter().map(|(id, name)| Choice::new(id.to_string(), name)))
                    .collect();
                view! { <FilterSelect name="provider" label="Account" choices=choices /> }
            })}
        </Transition>
    }
}

fn row(node: NodeView) -> impl IntoView {
    let guidance = guidance(&node);
    let NodeView { id, name, host, provider, provider_name, state, health, pool, drift, freshness, .. } = node;
    let marks = marks(&drift, freshness.stale);
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
                {marks}
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

/// What the vendor says otherwise, and whether that is old.
fn marks(drift: &[Drift], stale: bool) -> impl IntoView + use<> {
    let fields: Vec<&str> = drift.iter().map(|one| one.field.as_str()).collect();
    let drift = (!drift.is_empty()).then(|| {
        let fields = fields.join(", ");
        view! { <span class="cell-sub"><Status word="drift" tone_is=Tone::Warn /> " " {fields}</span> }
    });
    let stale = stale.then(|| view! { <span class="cell-sub"><Status word="stale" tone_is=Tone::Warn /></span> });
    (drift, stale)
}

/// What to do about a node, in one sentence: about its failure first, then about what the vendor
/// says otherwise, then about its health.
fn guidance(node: &NodeView) -> String {
    match (node.state, node.code) {
        (NodeState::Failed, Some(code)) => code.recovery().next_step,
        (NodeState::Destroyed, _) => "Gone; the row stays as a record.".to_owned(),
        (NodeState::Suspended, _) => "Resume it to use it; it is still billed.".to_owned(),
        (state, _) if state.is_working() => "Its job is at work; open it to watch.".to_owned(),
        _ => match (node.drift.first(), node.health.reason_codes.first()) {
            (Some(drift), _) => drift.guidance.clone(),
            (None, Some(code)) => ReasonCode::guidance(*code).to_owned(),
            (None, None) => "Nothing to do.".to_owned(),
        },
    }
}
