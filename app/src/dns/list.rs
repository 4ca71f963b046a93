//! The records. The form that makes one is the same page, asked for in the address.

use domain::{
    dns::{DnsRecordView, DnsState},
    node::{Cleanup, Drift},
};
use leptos::{either::Either, prelude::*};
use leptos_router::hooks::use_query_map;

use super::{DnsPage, api, create::CreatePage};
use crate::{
    Fault,
    live::live,
    routes,
    routes::testid,
    ui::{
        Cell, Choice, Code, Column, EmptyState, FilterBar, FilterSelect, LinkButton, ListView, PageHead, Row, RowLink,
        Status, Time, Tone, url_filter, word_choices,
    },
};

const COLUMNS: &[Column] = &[
    Column::text("Name"),
    Column::text("Content"),
    Column::text("Zone"),
    Column::text("Node"),
    Column::text("Status"),
    Column::text("Observed"),
    Column::text("Guidance"),
];

type Records = Resource<Result<DnsPage, Fault>>;

/// The page of the records, or the form that makes one.
#[component]
pub fn DnsListPage() -> impl IntoView {
    let query = use_query_map();
    let create = Memo::new(move |_| query.with(|query| query.get("create").is_some()));
    move || if create.get() { Either::Left(view! { <CreatePage /> }) } else { Either::Right(view! { <ListPage /> }) }
}

#[component]
fn ListPage() -> impl IntoView {
    let filter = url_filter();
    let changed = live(&["dns_record", "node", "provider"]);
    let records = Resource::new(move || (filter.get(), changed.get()), |(filter, _)| api::list(filter));
    let words = std::iter::once("live").chain(DnsState::ALL.iter().map(|state| state.as_str()));
    view! {
        <PageHead title="DNS" note=|| "Records that Hangar made and owns. What others wrote is never touched.">
            <LinkButton href=routes::DNS_CREATE primary=true>
                "Create record"
            </LinkButton>
        </PageHead>
        <FilterBar what="Whole name or id">
            <FilterSelect name="status" label="Status" choices=word_choices(words) />
            <AccountFilter records=records />
        </FilterBar>
        <ListView
            from=records
            noun=["record", "records"]
            columns=COLUMNS
            testid=testid::DNS_RECORDS
            key=|record| record.id.to_string()
            empty=move || view! { <Empty records=records /> }
            row=row
        />
    }
}

/// What this place is for, and the one thing to do next: an account first, then a name.
#[component]
fn Empty(records: Records) -> impl IntoView {
    view! {
        <Transition>
            {move || Suspend::new(async move {
                let accounts = records.await.map(|page| page.accounts).unwrap_or_default();
                if accounts.is_empty() { Either::Left(no_account()) } else { Either::Right(no_record()) }
            })}
        </Transition>
    }
}

fn no_account() -> impl IntoView {
    view! {
        <EmptyState
            title="No records yet"
            text="First connect an account that holds your zone: at a DNS vendor, or a name server that takes updates. Then nodes get their names with them, and other records are made by hand."
        >
            <LinkButton href=routes::PROVIDERS primary=true>
                "Connect an account"
            </LinkButton>
        </EmptyState>
    }
}

fn no_record() -> impl IntoView {
    view! {
        <EmptyState
            title="No records yet"
            text="A node that is acquired with a DNS name gets its records with it and takes them along when it is destroyed. Others are made by hand."
        >
            <LinkButton href=routes::ACQUIRE>"Acquire a node with a name"</LinkButton>
            <LinkButton href=routes::DNS_CREATE>"Create a record"</LinkButton>
        </EmptyState>
    }
}

/// The filter by account, once the accounts are known.
#[component]
fn AccountFilter(records: Records) -> impl IntoView {
    view! {
        <Transition>
            {move || Suspend::new(async move {
                let accounts = records.await.map(|page| page.accounts).unwrap_or_default();
                let choices: Vec<Choice> = std::iter::once(Choice::new("", "any"))
                    .chain(accounts.into_iter().map(|(id, name)| Choice::new(id.to_string(), name)))
                    .collect();
                view! { <FilterSelect name="provider" label="Account" choices=choices /> }
            })}
        </Transition>
    }
}

fn row(record: DnsRecordView) -> impl IntoView {
    let guidance = guidance(&record);
    let content = brief(&record.content);
    let DnsRecordView {
        id, fqdn, kind, zone, provider_name, node_id, node_name, state, freshness, drift, cleanup, ..
    } = record;
    let node = match node_id {
        Some(node) => {
            let (href, name) = (routes::node(&node), node_name.unwrap_or_else(|| node.to_string()));
            view! {
                <a class="link" href=href>
                    {name}
                </a>
            }
            .into_any()
        }
        None => view! { <span class="none">"—"</span> }.into_any(),
    };
    let marks = marks(state, &drift, freshness.stale, cleanup);
    view! {
        <Row id=id.to_string()>
            <Cell label="Name">
                <span class="name">
                    <RowLink href=routes::dns_record(&id)>{fqdn}</RowLink>
                </span>
                <span class="cell-sub">{kind.as_str()}</span>
            </Cell>
            <Cell label="Content">
                {content}
            </Cell>
            <Cell label="Zone">
                {zone.to_string()} <span class="cell-sub">{provider_name}</span>
            </Cell>
            <Cell label="Node">{node}</Cell>
            <Cell label="Status">
                <Status word=state.as_str() />
                {marks}
            </Cell>
            <Cell label="Observed">
                <Time at=freshness.observed_at />
            </Cell>
            <Cell label="Guidance">
                <span class="guidance-text">{guidance}</span>
            </Cell>
        </Row>
    }
}

/// The longest content that a list shows whole.
const CONTENT_MOST: usize = 64;

/// What a record holds, as far as a row has room; an address comes with its node.
fn brief(content: &str) -> impl IntoView + use<> {
    let cut: String = content.chars().take(CONTENT_MOST).collect();
    match content.chars().count() {
        0 => view! { <Code value=None /> }.into_any(),
        1..=CONTENT_MOST if !content.contains(' ') => view! { <Code value=cut /> }.into_any(),
        1..=CONTENT_MOST => view! { <span class="record-content"><Code value=cut /></span> }.into_any(),
        _ => view! { <span class="record-content"><Code value=format!("{cut}…") /></span> }.into_any(),
    }
}

/// What the vendor says otherwise, whether that is old, and what is left to take away.
fn marks(state: DnsState, drift: &[Drift], stale: bool, cleanup: Cleanup) -> impl IntoView + use<> {
    // What could not be made never stood there: something else does.
    let differs = if state == DnsState::Failed { "name taken" } else { "drift" };
    let mark = |shown: bool, word: &'static str| {
        shown.then(|| view! { <span class="cell-sub"><Status word=word tone_is=Tone::Warn /></span> })
    };
    let left = mark(cleanup == Cleanup::Pending, "cleanup pending");
    (mark(!drift.is_empty(), differs), mark(stale, "stale"), left)
}

/// What to do about a record, in one sentence: about what is still to be taken away first, then about
/// its failure, then about what stands in the zone instead.
fn guidance(record: &DnsRecordView) -> String {
    let differs = record.drift.first();
    match (record.state, record.code, differs) {
        (DnsState::Deleted, ..) => "Gone; the row stays as a record.".to_owned(),
        _ if record.cleanup == Cleanup::Pending => {
            "It is looked for and taken away until the vendor confirms that it is gone.".to_owned()
        }
        (state, ..) if state.is_working() => "Its job is at work; open it to watch.".to_owned(),
        (_, _, Some(drift)) => drift.guidance.clone(),
        (DnsState::Failed, Some(code), None) => code.recovery().next_step,
        _ => match (record.freshness.stale, &record.freshness.reason) {
            (true, Some(reason)) => reason.clone(),
            _ => "Nothing to do.".to_owned(),
        },
    }
}
