//! The page of a pool: how it stands, its machines, what can be done.

use domain::{
    list::Filter,
    node::AcquireOptions,
    pool::{PoolView, PoolVmSource, PoolVmStatus, PoolVmView},
};
use leptos::{prelude::*, server_fn::ServerFn};
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    PoolDetail,
    api::{self, ActOnPool, SetVmStatus, UpdatePool},
    list::{cleaning_choices, parts},
    template::{self, Templating},
};
use crate::{
    Fault,
    live::{held, live},
    nodes::{Asked, api::acquire_options},
    routes,
    routes::testid,
    ui::{
        ActionsPanel, Bars, Cell, Code, Column, Confirm, ConfirmForm, EmptyState, Fact, Facts, FilterBar, FilterSelect,
        FormFault, History, LinkButton, ListView, Loaded, Notice, Outcome, PageHead, Row, RowLink, Section,
        SelectField, ShortId, Spent, Status, Submit, TextField, Time, Tone, fault_of, url_filter, word_choices,
    },
};

const COLUMNS: &[Column] = &[
    Column::text("Machine"),
    Column::text("Status"),
    Column::text("Source"),
    Column::text("Host"),
    Column::text("Holder"),
    Column::text("Note"),
    Column::text("Actions"),
];

/// The page of a pool.
#[component]
pub fn PoolDetailPage() -> impl IntoView {
    let params = use_params_map();
    let name = Memo::new(move |_| params.get().get("name").unwrap_or_default());
    let filter = url_filter();
    let act = ServerAction::<ActOnPool>::new();
    let update = ServerAction::<UpdatePool>::new();
    let set = ServerAction::<SetVmStatus>::new();
    let query = use_query_map();
    // What could be acquired is read only when it is asked for.
    let editing = Memo::new(move |_| query.with(|query| query.get("do").as_deref() == Some("template")));
    let templating = Templating::new(Asked::of(&query.get_untracked()));
    let changed = live(&["pool", "node", "allocation", "setting"]);
    // What is gone is not asked for again while the page is being left.
    let leaving = StoredValue::new(false);
    let acted = Memo::new(move |before: Option<&usize>| {
        let version = act.version().get();
        let gone = leaving.get_value() && matches!(act.value().get_untracked(), Some(Ok(_)));
        before.copied().filter(|_| gone).unwrap_or(version)
    });
    let templated = templating.action.version();
    let done = (acted, update.version(), set.version());
    // Its figures follow the news. What is typed into the template's form is not drawn over by it;
    // saving it looks anew.
    let read = move |news: Signal<u32>| {
        Resource::new(
            move || (name.get(), news.get(), done.0.get(), done.1.get(), done.2.get(), templated.get()),
            |(name, ..)| fetch(name, Filter { limit: Some(1), ..Filter::default() }),
        )
    };
    let pool = read(changed);
    let forms = read(held(changed, move || editing.get()).into());
    let options = Resource::new(
        move || (editing.get(), templating.account()),
        |(editing, account)| async move {
            Ok::<_, Fault>(if editing { Some(acquire_options(account).await?) } else { None })
        },
    );
    let machines = Resource::new(
        move || (name.get(), filter.get(), changed.get(), done.2.get()),
        |(name, filter, ..)| async move { Ok::<_, Fault>(fetch(name, filter).await?.vms) },
    );
    let set_fault = fault_of(set.value());
    let statuses = PoolVmStatus::ALL.iter().map(|status| status.as_str());
    let sources = PoolVmSource::ALL.iter().map(|source| source.as_str());
    view! {
        <Outcome of=act.value() />
        <Loaded from=pool let:page>
            {head(page.pool)}
        </Loaded>
        <Section title="Machines" id="machines">
            <FilterBar what="Id">
                <FilterSelect name="status" label="Status" choices=word_choices(statuses) />
                <FilterSelect name="kind" label="Source" choices=word_choices(sources) />
            </FilterBar>
            <FormFault fault=set_fault />
            <ListView
                from=machines
                noun=["machine", "machines"]
                columns=COLUMNS
                testid=testid::POOL_VMS
                key=|vm| vm.id.to_string()
                empty=|| {
                    view! {
                        <EmptyState
                            title="No machine is in this pool"
                            text="Acquire a node into it, or let an operator's list name machines for it."
                        >
                            <LinkButton href=routes::ACQUIRE>"Acquire a node"</LinkButton>
                        </EmptyState>
                    }
                }
                row=move |vm| row(vm, set)
            />
        </Section>
        <Loaded from=forms let:page>
            {foot(page, act, leaving, (update, options, templating))}
        </Loaded>
    }
}

async fn fetch(name: String, filter: Filter) -> Result<PoolDetail, Fault> {
    api::show(name.parse().map_err(|_| Fault::not_found())?, filter).await
}

fn head(pool: PoolView) -> impl IntoView {
    let PoolView {
        name,
        target_ready,
        max_size,
        cleaning,
        template,
        max_duration_hours,
        counts,
        plan,
        created_at,
        spend,
        ..
    } = pool;
    let number = |value: Option<u32>, none: &str| value.map_or_else(|| none.to_owned(), |value| value.to_string());
    let waiting = (counts.waiting > 0).then(|| {
        let title = match counts.waiting {
            1 => "1 request waits".to_owned(),
            more => format!("{more} requests wait"),
        };
        let href = format!("{}?status=waiting&pool={name}", routes::ALLOCATIONS);
        view! {
            <Notice tone=Tone::Warn title=title>
                <p>
                    "No machine is available. Whoever waits longest gets the next one. "
                    <a class="link" href=href>
                        "See who waits"
                    </a>
                </p>
            </Notice>
        }
    });
    let template = template.as_ref().map(template::words);
    let of = |what: &'static str, count: u32| view! { <Fact label=what>{count}</Fact> };
    let bars = parts(counts);
    view! {
        <PageHead title=format!("Pool {name}") note=move || view! { "Since " <Time at=created_at /> }>
            <LinkButton href=routes::POOLS>"All pools"</LinkButton>
        </PageHead>
        {waiting}
        <div class="panel">
            <Bars label=format!("Machines of {name}") parts=bars />
        </div>
        <Facts>
            {of("Available", counts.available)}
            {of("Allocated", counts.allocated)}
            {of("Cleaning", counts.cleaning)}
            {of("Coming", counts.coming)}
            {of("Maintenance", counts.maintenance)}
            {of("Draining", counts.draining)}
            {of("Waiting requests", counts.waiting)}
            <Fact label="Keep ready">{number(target_ready, "none in particular")}</Fact>
            {plan.map(|plan| view! { <Fact label="To keep that">{plan}</Fact> })}
            <Fact label="At most">{number(max_size, "unlimited")}</Fact>
            <Fact label="Cleaned by">{cleaning.as_str()}</Fact>
            <Fact label="Longest time">{max_duration_hours}" h"</Fact>
            <Fact label="Cost">
                <Spent all=spend />
            </Fact>
            <Fact label="Template">
                <Code value=template />
            </Fact>
        </Facts>
    }
}

fn row(vm: PoolVmView, set: ServerAction<SetVmStatus>) -> impl IntoView {
    let deeds = deeds(&vm, set);
    let PoolVmView { id, source, node_id, host, status, allocation_id, note, updated_at, .. } = vm;
    let name = id.to_string();
    let shown = name.clone();
    let machine = match &node_id {
        Some(node) => view! { <RowLink href=routes::node(node)><ShortId value=shown /></RowLink> }.into_any(),
        None => view! { <ShortId value=shown /> }.into_any(),
    };
    let holder = match &allocation_id {
        Some(id) => {
            let short = id.to_string();
            view! {
                <a class="link" href=routes::service(id)>
                    <ShortId value=short />
                </a>
            }
            .into_any()
        }
        None => view! { <span class="none">"—"</span> }.into_any(),
    };
    view! {
        <Row id=name>
            <Cell label="Machine">
                <span class="machine">{machine}</span>
            </Cell>
            <Cell label="Status">
                <Status word=status.as_str() />
                <span class="cell-sub">
                    <Time at=updated_at />
                </span>
            </Cell>
            <Cell label="Source">{source.as_str()}</Cell>
            <Cell label="Host">
                <Code value=host />
            </Cell>
            <Cell label="Holder">{holder}</Cell>
            <Cell label="Note">{note}</Cell>
            <Cell label="Actions">{deeds}</Cell>
        </Row>
    }
}

/// What can be made of a machine from where it stands.
fn next(status: PoolVmStatus) -> &'static [(PoolVmStatus, &'static str)] {
    use PoolVmStatus as S;
    match status {
        S::Available => &[(S::Maintenance, "Maintenance"), (S::Draining, "Retire")],
        S::Maintenance => &[(S::Available, "Mark clean"), (S::Draining, "Retire")],
        S::Cleaning => &[(S::Maintenance, "Maintenance"), (S::Draining, "Retire")],
        S::Allocated => &[(S::Draining, "Drain")],
        S::Draining | S::Retired => &[],
    }
}

fn deeds(vm: &PoolVmView, set: ServerAction<SetVmStatus>) -> impl IntoView + use<> {
    let (pool, id, from) = (vm.pool.clone(), vm.id.clone(), vm.status);
    let busy = {
        let id = id.clone();
        Signal::derive(move || set.input().get().is_some_and(|input| input.vm == id))
    };
    let one = move |(to, label): &(PoolVmStatus, &'static str)| {
        let (to, label) = (*to, *label);
        let (pool, id) = (pool.clone(), id.clone());
        if to == PoolVmStatus::Draining {
            let consequence = match from {
                PoolVmStatus::Allocated => format!(
                    "{id} stays with its holder and is retired as soon as it is given back. Nobody gets it after that."
                ),
                _ => format!(
                    "{id} leaves the pool {pool} and is handed to nobody any more. A node behind it stays until it is destroyed."
                ),
            };
            let fields = vec![("pool", pool.to_string()), ("vm", id.to_string()), ("status", to.as_str().to_owned())];
            let on_confirm = {
                let id = id.clone();
                move |()| {
                    set.dispatch(SetVmStatus { pool: pool.clone(), vm: id.clone(), status: to });
                }
            };
            view! {
                <ConfirmForm
                    id=format!("drain-{}", id.as_str().replace([':', '.'], "-"))
                    label=label
                    title=format!("{label} {id}?")
                    consequence=consequence
                    url=SetVmStatus::url()
                    fields=fields
                    on_confirm=on_confirm
                    busy=busy
                    danger=true
                />
            }
            .into_any()
        } else {
            view! {
                <ActionForm action=set attr:class="row-form">
                    <input type="hidden" name="pool" value=pool.to_string() />
                    <input type="hidden" name="vm" value=id.to_string() />
                    <input type="hidden" name="status" value=to.as_str() />
                    <Submit busy=busy quiet=true small=true>
                        {label}
                    </Submit>
                </ActionForm>
            }
            .into_any()
        }
    };
    let all = next(from).iter().map(one).collect_view();
    view! { <div class="row-actions">{all}</div> }
}

/// What could be acquired, once it was asked for.
type Options = Resource<Result<Option<AcquireOptions>, Fault>>;

fn foot(
    page: PoolDetail,
    act: ServerAction<ActOnPool>,
    leaving: StoredValue<bool>,
    (update, options, templating): (ServerAction<UpdatePool>, Options, Templating),
) -> impl IntoView {
    let PoolDetail { pool, history, .. } = page;
    let shown = pool.clone();
    let pending = Signal::derive(move || act.input().get().map(|input| input.identity));
    let name = pool.name.clone();
    let change = change_form(&pool, update);
    let consequence = format!("Removes the pool {name} with its settings. Its history stays.");
    let on_act = {
        let name = name.clone();
        move |identity: String| {
            leaving.set_value(identity == "delete-pool");
            act.dispatch(ActOnPool { id: name.clone(), identity });
        }
    };
    view! {
        <div class="detail">
            <div class="detail-side">
                <ActionsPanel
                    actions=pool.actions
                    id=name.to_string()
                    url=ActOnPool::url()
                    on_act=on_act
                    pending=pending
                    confirms=vec![Confirm { identity: "delete-pool", consequence, type_name: None, choice: None }]
                    links=vec![("update-pool", "#change".to_owned())]
                />
            </div>
            <div class="detail-main">
                <Section title="Change pool" id="change" note="An emptied target or limit is taken away.">
                    {change}
                </Section>
                <Loaded from=options let:options>
                    {template::section(&shown, options, templating)}
                </Loaded>
                <Section title="History" id="history">
                    <History entries=history />
                </Section>
            </div>
        </div>
    }
}

fn change_form(pool: &PoolView, update: ServerAction<UpdatePool>) -> impl IntoView + use<> {
    let fault = fault_of(update.value());
    let pending = update.pending();
    let number = |value: Option<u32>| value.map(|value| value.to_string());
    let (name, cleaning) = (pool.name.to_string(), pool.cleaning.as_str().to_owned());
    let (target, most) = (number(pool.target_ready), number(pool.max_size));
    let longest = pool.max_duration_hours.to_string();
    let done = move || {
        matches!(update.value().get(), Some(Ok(_))).then(|| {
            view! {
                <Notice tone=Tone::Ok title="The pool is changed" testid=testid::OUTCOME>
                    ""
                </Notice>
            }
        })
    };
    view! {
        <div class="panel" data-testid=testid::CHANGE_POOL>
            <ActionForm action=update attr:class="form">
                <input type="hidden" name="name" value=name />
                <TextField
                    name="form[target_ready]"
                    label="Keep ready"
                    kind="number"
                    value=target
                    pointer="/target_ready"
                    fault=fault
                />
                <TextField
                    name="form[max_size]"
                    label="At most"
                    kind="number"
                    value=most
                    pointer="/max_size"
                    fault=fault
                />
                <SelectField
                    name="form[cleaning]"
                    label="Cleaned by"
                    choices=cleaning_choices()
                    value=cleaning
                    pointer="/cleaning"
                    fault=fault
                />
                <TextField
                    name="form[max_duration_hours]"
                    label="Longest time in hours"
                    kind="number"
                    value=longest
                    pointer="/max_duration_hours"
                    fault=fault
                />
                <Submit busy=pending>"Change pool"</Submit>
            </ActionForm>
            <FormFault fault=fault />
            {done}
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::pool::PoolVmEvent;

    /// A button that the life cycle refuses would be a lie.
    #[test]
    fn what_is_offered_can_happen() {
        for status in PoolVmStatus::ALL {
            for (to, label) in next(*status) {
                let event = match to {
                    PoolVmStatus::Available => PoolVmEvent::MarkClean,
                    PoolVmStatus::Maintenance => PoolVmEvent::Park,
                    _ => PoolVmEvent::Leave,
                };
                assert!(status.apply(event).is_ok(), "{label} is offered for a machine that is {status}");
            }
        }
    }
}
