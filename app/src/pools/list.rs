//! The pools, and the form that makes one.

use domain::pool::{Cleaning, PoolCounts, PoolView};
use leptos::prelude::*;

use super::api::{self, CreatePool};
use crate::{
    live::live,
    routes,
    routes::testid,
    ui::{
        BarPart, Bars, Cell, Choice, Column, EmptyState, FilterBar, FormFault, LinkButton, ListView, PageHead, Row,
        RowLink, Section, SelectField, Spent, Status, Submit, TextField, Tone, fault_of, url_filter,
    },
};

const COLUMNS: &[Column] = &[
    Column::text("Name"),
    Column::text("Ready"),
    Column::number("Available"),
    Column::number("Allocated"),
    Column::number("Cleaning"),
    Column::number("Waiting"),
    Column::text("Cleaned by"),
    Column::number("Target"),
    Column::number("Cost"),
];

/// The page of the pools.
#[component]
pub fn PoolsListPage() -> impl IntoView {
    let create = ServerAction::<CreatePool>::new();
    let filter = url_filter();
    let changed = live(&["pool", "node", "allocation", "setting"]);
    let created = create.version();
    let pools = Resource::new(move || (filter.get(), changed.get(), created.get()), |(filter, ..)| api::list(filter));
    view! {
        <PageHead title="Pools" note=|| "Machines that are kept ready and handed out.">
            <LinkButton href="#create" primary=true>
                "Create pool"
            </LinkButton>
        </PageHead>
        <FilterBar what="Name" />
        <ListView
            from=pools
            noun=["pool", "pools"]
            columns=COLUMNS
            testid=testid::POOLS
            key=|pool| pool.id.to_string()
            empty=|| {
                view! {
                    <EmptyState
                        title="No pools yet"
                        text="A pool is a set of machines that people get from. The pool default comes into being with the first node that is acquired into it."
                    >
                        <LinkButton href=routes::ACQUIRE>"Acquire a node"</LinkButton>
                    </EmptyState>
                }
            }
            row=row
        />
        <Section title="Create a pool" id="create">
            {form(create)}
        </Section>
    }
}

/// The parts of a pool's bar.
pub(super) fn parts(counts: PoolCounts) -> Vec<BarPart> {
    vec![
        BarPart::new("available", counts.available, Tone::Ok),
        BarPart::new("allocated", counts.allocated, Tone::Busy),
        BarPart::new("cleaning", counts.cleaning, Tone::Warn),
        BarPart::new("coming", counts.coming, Tone::Neutral),
        BarPart::new("maintenance", counts.maintenance, Tone::Bad),
        BarPart::new("draining", counts.draining, Tone::Neutral),
    ]
}

/// The ways in which machines are made fit for the next person.
pub(super) fn cleaning_choices() -> Vec<Choice> {
    Cleaning::ALL
        .iter()
        .map(|cleaning| {
            let words = match cleaning {
                Cleaning::Replace => "replace: destroyed and acquired anew",
                Cleaning::Rebuild => "rebuild: laid anew in place",
                Cleaning::None => "none: handed on as it is",
            };
            Choice::new(cleaning.as_str(), words)
        })
        .collect()
}

fn row(pool: PoolView) -> impl IntoView {
    let PoolView { name, counts, cleaning, target_ready, max_size, spend, .. } = pool;
    let (title, bars) = (name.to_string(), format!("Machines of {name}"));
    let target = target_ready.map_or_else(|| "—".to_owned(), |target| target.to_string());
    let most = max_size.map(|most| view! { <span class="cell-sub">"at most "{most}</span> });
    let waiting = (counts.waiting > 0).then(|| view! { <Status word="waiting" /> });
    view! {
        <Row id=name.to_string()>
            <Cell label="Name">
                <RowLink href=routes::pool(&name)>{title}</RowLink>
            </Cell>
            <Cell label="Ready">
                <Bars label=bars parts=parts(counts) />
            </Cell>
            <Cell label="Available" number=true>
                {counts.available}
            </Cell>
            <Cell label="Allocated" number=true>
                {counts.allocated}
            </Cell>
            <Cell label="Cleaning" number=true>
                {counts.cleaning}
            </Cell>
            <Cell label="Waiting" number=true>
                {counts.waiting}
                {waiting}
            </Cell>
            <Cell label="Cleaned by">{cleaning.as_str()}</Cell>
            <Cell label="Target" number=true>
                {target}
                {most}
            </Cell>
            <Cell label="Cost" number=true>
                <Spent all=spend />
            </Cell>
        </Row>
    }
}

fn form(create: ServerAction<CreatePool>) -> impl IntoView {
    let fault = fault_of(create.value());
    let pending = create.pending();
    view! {
        <div class="panel" data-testid=testid::CREATE_POOL>
            <ActionForm action=create attr:class="form">
                <TextField
                    name="form[name]"
                    label="Name"
                    pointer="/name"
                    fault=fault
                    placeholder="default".to_owned()
                    help="Lower-case letters, digits and hyphens.".to_owned()
                    mono=true
                    required=true
                />
                <TextField
                    name="form[target_ready]"
                    label="Keep ready"
                    kind="number"
                    pointer="/target_ready"
                    fault=fault
                    help="How many available machines are wanted; none in particular when empty.".to_owned()
                />
                <TextField
                    name="form[max_size]"
                    label="At most"
                    kind="number"
                    pointer="/max_size"
                    fault=fault
                    help="How many machines the pool may hold; unlimited when empty.".to_owned()
                />
                <SelectField
                    name="form[cleaning]"
                    label="Cleaned by"
                    choices=cleaning_choices()
                    value=Cleaning::Replace.as_str().to_owned()
                    pointer="/cleaning"
                    fault=fault
                    help="What happens to a machine before the next person gets it. One that an operator listed is cleaned by the release hook.".to_owned()
                />
                <TextField
                    name="form[max_duration_hours]"
                    label="Longest time in hours"
                    kind="number"
                    pointer="/max_duration_hours"
                    fault=fault
                    placeholder="720".to_owned()
                    help="For how long one person may hold a machine, extensions included.".to_owned()
                />
                <Submit busy=pending>"Create pool"</Submit>
            </ActionForm>
            <FormFault fault=fault />
        </div>
    }
}
