//! The dashboard: the open services, the form that asks for one, the services that are over.

use domain::{
    allocation::{AllocationStatus, AllocationView},
    id::NodeId,
    user::{Dashboard, PoolChoice},
    valid::PoolVmId,
};
use leptos::{either::Either, prelude::*};

use super::api;
use crate::{
    live::live,
    routes,
    routes::testid,
    services::api::RequestService,
    ui::{
        Cell, Choice, Cockpit, Column, EmptyState, FormFault, Loaded, Notice, PageHead, Row, RowLink, Section,
        SelectField, Status, Submit, Table, TextField, Time, Tone, fault_of, length,
    },
};

const ACTIVE: &[Column] = &[
    Column::text("Service"),
    Column::text("Status"),
    Column::text("Started"),
    Column::text("Expires"),
    Column::text("Cockpit"),
];
const PAST: &[Column] =
    &[Column::text("Service"), Column::text("Ended"), Column::text("Reason"), Column::number("Held for")];

/// The dashboard.
#[component]
pub fn DashboardPage() -> impl IntoView {
    let request = ServerAction::<RequestService>::new();
    let changed = live(&["allocation", "pool", "user"]);
    let asked = request.version();
    let dashboard = Resource::new(move || (changed.get(), asked.get()), |_| api::show());
    view! {
        <PageHead title="Dashboard" note=|| "Your services: machines that are yours for a time." />
        <Loaded from=dashboard let:dashboard>
            {shown(dashboard, request)}
        </Loaded>
    }
}

fn shown(dashboard: Dashboard, request: ServerAction<RequestService>) -> impl IntoView {
    let Dashboard { active, past, pools, max_active, blocked } = dashboard;
    let open = if active.is_empty() {
        Either::Left(view! {
            <EmptyState
                title="No service is yours at the moment"
                text="Ask for one below. As soon as a machine is free it appears here, with the way into its cockpit."
            />
        })
    } else {
        Either::Right(view! {
            <Table caption="Active services" columns=ACTIVE testid=testid::ACTIVE_SERVICES>
                {active.into_iter().map(active_row).collect_view()}
            </Table>
        })
    };
    let over = (!past.is_empty()).then(|| {
        view! {
            <Section title="Past services">
                <Table caption="Past services" columns=PAST testid=testid::PAST_SERVICES>
                    {past.into_iter().map(past_row).collect_view()}
                </Table>
            </Section>
        }
    });
    view! {
        <Section title="Active services">{open}</Section>
        {ask(pools, max_active, blocked, request)}
        {over}
    }
}

fn name_cell(service: &AllocationView) -> impl IntoView + use<> {
    let machine = service.pool_vm_id.as_ref().map_or_else(|| service.id.short(), short_vm).to_owned();
    let pool = service.pool.to_string();
    view! {
        <RowLink href=routes::service(&service.id)>{pool}</RowLink>
        <span class="cell-sub mono">{machine}</span>
    }
}

/// A machine's id, short where it is a node's.
fn short_vm(vm: &PoolVmId) -> &str {
    let id = vm.as_str();
    match id.strip_prefix(NodeId::PREFIX) {
        Some(tail) if tail.len() > 8 => tail.get(tail.len() - 8..).unwrap_or(id),
        _ => id,
    }
}

fn active_row(service: AllocationView) -> impl IntoView {
    let name = name_cell(&service);
    let waiting = (service.status == AllocationStatus::Waiting).then(|| {
        let place = service.position.map(|position| format!("Number {position} in line. ")).unwrap_or_default();
        view! { <span class="cell-sub">{place}{service.reason.clone()}</span> }
    });
    view! {
        <Row id=service.id.to_string()>
            <Cell label="Service">{name}</Cell>
            <Cell label="Status">
                <Status word=service.status.as_str() />
                {waiting}
            </Cell>
            <Cell label="Started">
                <Time at=service.allocated_at />
            </Cell>
            <Cell label="Expires">
                <Time at=service.expires_at />
            </Cell>
            <Cell label="Cockpit">
                <Cockpit url=service.cockpit_url />
            </Cell>
        </Row>
    }
}

fn past_row(service: AllocationView) -> impl IntoView {
    let name = name_cell(&service);
    let held = match (service.allocated_at, service.released_at) {
        (Some(from), Some(until)) => length(until.since(from)),
        _ => "—".to_owned(),
    };
    view! {
        <Row id=service.id.to_string()>
            <Cell label="Service">{name}</Cell>
            <Cell label="Ended">
                <Time at=service.released_at />
            </Cell>
            <Cell label="Reason">{service.reason}</Cell>
            <Cell label="Held for" number=true>
                {held}
            </Cell>
        </Row>
    }
}

fn pool_label(pool: &PoolChoice) -> String {
    match (pool.available, pool.waiting) {
        (0, 0) => format!("{} (none free now)", pool.name),
        (0, waiting) => format!("{} (none free now, {waiting} waiting)", pool.name),
        (free, _) => format!("{} ({free} free now)", pool.name),
    }
}

fn ask(
    pools: Vec<PoolChoice>,
    max_active: Option<u32>,
    blocked: Option<String>,
    request: ServerAction<RequestService>,
) -> impl IntoView {
    let note = max_active.map(|most| match most {
        1 => "You may hold one service at a time.".to_owned(),
        most => format!("You may hold {most} services at a time."),
    });
    let fault = fault_of(request.value());
    let pending = request.pending();
    let form = if let Some(why) = blocked {
        view! {
            <Notice tone=Tone::Neutral title="You cannot ask for a service now">
                <p>{why}</p>
            </Notice>
        }
        .into_any()
    } else if pools.is_empty() {
        view! {
            <Notice tone=Tone::Neutral title="There is no pool yet">
                <p>"An administrator makes one; then you can ask for a service here."</p>
            </Notice>
        }
        .into_any()
    } else {
        let most = pools.iter().map(|pool| pool.max_duration_hours).max().unwrap_or(720);
        let first = pools.first().map(|pool| pool.name.to_string()).unwrap_or_default();
        let choices: Vec<Choice> =
            pools.iter().map(|pool| Choice::new(pool.name.to_string(), pool_label(pool))).collect();
        view! {
            <div class="panel" data-testid=testid::REQUEST_SERVICE>
                <ActionForm action=request attr:class="form form-row">
                    <SelectField
                        name="form[pool]"
                        label="Pool"
                        choices=choices
                        value=first
                        pointer="/pool"
                        fault=fault
                    />
                    <TextField
                        name="form[duration_hours]"
                        label="For how many hours"
                        kind="number"
                        value="24".to_owned()
                        help=format!("At most {most}. You can extend it later.")
                        pointer="/duration_hours"
                        fault=fault
                    />
                    <Submit busy=pending>"Ask for a service"</Submit>
                </ActionForm>
                <FormFault fault=fault />
            </div>
        }
        .into_any()
    };
    view! {
        <Section title="Ask for a service" note=note.unwrap_or_default()>
            {form}
        </Section>
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_pool_says_how_soon_one_is_served() {
        let pool = |available, waiting| PoolChoice {
            name: "default".parse().unwrap(),
            available,
            waiting,
            max_duration_hours: 720,
        };
        assert_eq!(pool_label(&pool(3, 0)), "default (3 free now)");
        assert_eq!(pool_label(&pool(0, 0)), "default (none free now)");
        assert_eq!(pool_label(&pool(0, 2)), "default (none free now, 2 waiting)");
    }
}
