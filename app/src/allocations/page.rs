//! Who holds which machine: the allocations of everybody.

use domain::allocation::{AllocationStatus, AllocationView};
use leptos::{prelude::*, server_fn::ServerFn};

use super::api::{self, ActOnAllocation};
use crate::{
    live::live,
    routes,
    routes::testid,
    ui::{
        Cell, Cockpit, Code, Column, ConfirmForm, EmptyState, FilterBar, FilterSelect, FilterText, LinkButton,
        ListView, Outcome, PageHead, Row, RowLink, ShortId, Status, Time, url_filter, word_choices,
    },
};

/// The thirteen columns, in the order that people know.
const COLUMNS: &[Column] = &[
    Column::text("id"),
    Column::text("user"),
    Column::text("forge id"),
    Column::text("pool"),
    Column::text("pool vm"),
    Column::text("host"),
    Column::text("provisioner"),
    Column::text("status"),
    Column::number("cost"),
    Column::text("allocated"),
    Column::text("expires"),
    Column::text("released"),
    Column::text("cockpit"),
];

/// The page of the allocations.
#[component]
pub fn AllocationsPage() -> impl IntoView {
    let filter = url_filter();
    let act = ServerAction::<ActOnAllocation>::new();
    let changed = live(&["allocation"]);
    let acted = act.version();
    let allocations =
        Resource::new(move || (filter.get(), changed.get(), acted.get()), |(filter, ..)| api::list(filter));
    let statuses = AllocationStatus::ALL.iter().map(|status| status.as_str());
    view! {
        <PageHead title="Allocations" note=|| "Who holds which machine, and until when." />
        <FilterBar what="Id">
            <FilterSelect name="status" label="Status" choices=word_choices(statuses) />
            <FilterText name="pool" label="Pool" placeholder="default" />
            <FilterText name="user" label="User id" placeholder="usr_…" />
        </FilterBar>
        <Outcome of=act.value() />
        <div class="allocations">
            <ListView
                from=allocations
                noun=["allocation", "allocations"]
                columns=COLUMNS
                testid=testid::ALLOCATIONS
                key=|allocation| allocation.id.to_string()
                empty=|| {
                    view! {
                        <EmptyState
                            title="Nobody holds a machine"
                            text="An allocation is one machine of a pool given to one person for a time. People ask for it on their dashboard."
                        >
                            <LinkButton href=routes::DASHBOARD>"Open the dashboard"</LinkButton>
                        </EmptyState>
                    }
                }
                row=move |allocation| row(allocation, act)
            />
        </div>
    }
}

fn row(allocation: AllocationView, act: ServerAction<ActOnAllocation>) -> impl IntoView {
    let release = release(&allocation, act);
    let AllocationView {
        id,
        user_id,
        user_name,
        forge_id,
        pool,
        pool_vm_id,
        host,
        provisioner,
        is_demo,
        status,
        cost_cents,
        cockpit_url,
        allocated_at,
        expires_at,
        released_at,
        reason,
        position,
        ..
    } = allocation;
    let short = id.to_string();
    let user = user_name.unwrap_or_else(|| user_id.to_string());
    let users = format!("{}?user={user_id}", routes::ALLOCATIONS);
    let cost = cost_cents.map(|cents| format!("{}.{:02}", cents / 100, (cents % 100).abs()));
    let waits = position.filter(|_| status == AllocationStatus::Waiting);
    let waits = waits.map(|position| view! { <span class="cell-sub">"number "{position}" in line"</span> });
    let cockpit = cockpit_url.filter(|_| status == AllocationStatus::Active);
    let vm = match pool_vm_id {
        Some(id) => view! { <ShortId value=id.to_string() /> }.into_any(),
        None => view! { <span class="none">"—"</span> }.into_any(),
    };
    view! {
        <Row id=id.to_string()>
            <Cell label="id">
                <RowLink href=routes::service(&id)>
                    <ShortId value=short />
                </RowLink>
            </Cell>
            <Cell label="user">
                <a class="link" href=users>
                    {user}
                </a>
            </Cell>
            <Cell label="forge id">{dash(forge_id)}</Cell>
            <Cell label="pool">
                <a class="link" href=routes::pool(&pool)>
                    {pool.to_string()}
                </a>
            </Cell>
            <Cell label="pool vm">
                {vm}
            </Cell>
            <Cell label="host">
                <Code value=host />
            </Cell>
            <Cell label="provisioner">
                {provisioner} {is_demo.then(|| view! { <span class="cell-sub">"demo"</span> })}
            </Cell>
            <Cell label="status">
                <Status word=status.as_str() />
                {waits}
            </Cell>
            <Cell label="cost" number=true>
                {dash(cost)}
            </Cell>
            <Cell label="allocated">
                <Time at=allocated_at />
            </Cell>
            <Cell label="expires">
                <Time at=expires_at />
            </Cell>
            <Cell label="released">
                {release}
                {released_at
                    .map(|at| {
                        view! {
                            <Time at=at />
                            {reason.map(|reason| view! { <span class="cell-sub">{reason}</span> })}
                        }
                    })}
            </Cell>
            <Cell label="cockpit">
                <Cockpit url=cockpit />
            </Cell>
        </Row>
    }
}

fn dash(text: Option<String>) -> impl IntoView {
    match text {
        Some(text) => text.into_any(),
        None => view! { <span class="none">"—"</span> }.into_any(),
    }
}

/// The button that takes it back, while there is something to take back.
fn release(allocation: &AllocationView, act: ServerAction<ActOnAllocation>) -> impl IntoView + use<> {
    const RELEASE: &str = "release-allocation";
    let id = allocation.id.clone();
    let who = allocation.user_name.clone().unwrap_or_else(|| allocation.user_id.to_string());
    let consequence = match &allocation.pool_vm_id {
        Some(vm) => format!(
            "Takes {vm} of the pool {} back from {who}. What is on it is deleted before the next person gets it. This cannot be undone.",
            allocation.pool
        ),
        None => format!("Takes the request of {who} out of the waiting list of the pool {}.", allocation.pool),
    };
    allocation.status.is_open().then(|| {
        let busy = {
            let id = id.clone();
            Signal::derive(move || act.input().get().is_some_and(|input| input.id == id))
        };
        let fields = vec![("id", id.to_string()), ("identity", RELEASE.to_owned())];
        let dialog = format!("release-{id}");
        let on_confirm = move |()| {
            act.dispatch(ActOnAllocation { id: id.clone(), identity: RELEASE.to_owned() });
        };
        view! {
            <ConfirmForm
                id=dialog
                label="Release"
                title=format!("Release the service of {who}?")
                consequence=consequence
                url=ActOnAllocation::url()
                fields=fields
                on_confirm=on_confirm
                busy=busy
                danger=true
            />
        }
    })
}
