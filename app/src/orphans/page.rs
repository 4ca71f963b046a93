//! The page of the orphans. The rule: what would be taken away is shown before it can be, and the
//! question names how many and that it cannot be undone.

use domain::orphan::{OrphanKind, OrphanReport, OrphanSubject, OrphanSweep, OrphanView};
use leptos::{prelude::*, server_fn::ServerFn};
use leptos_router::hooks::use_query_map;

use super::{
    OrphansShown,
    api::{self, SweepOrphans},
};
use crate::{
    context::now,
    live::live,
    routes,
    routes::testid,
    ui::{
        Cell, Code, Column, ConfirmForm, EmptyState, FormFault, LinkButton, Loaded, Notice, PageHead, Row, Section,
        Table, Time, Tone, fault_of, length,
    },
};

const UNKNOWN: &[Column] = &[
    Column::text("At the vendor"),
    Column::text("Account"),
    Column::text("Why and what to do"),
    Column::text("First seen"),
    Column::text("Swept"),
];
const GONE: &[Column] = &[
    Column::text("Recorded here"),
    Column::text("Account"),
    Column::text("Why"),
    Column::text("First seen"),
    Column::text("Guidance"),
];
const PLAN: &[Column] = &[Column::text("At the vendor"), Column::text("Account"), Column::text("Why")];

/// The page.
#[component]
pub fn OrphansPage() -> impl IntoView {
    let query = use_query_map();
    let dry = Memo::new(move |_| query.with(|query| query.get("dry").is_some()));
    let sweep = ServerAction::<SweepOrphans>::new();
    let changed = live(&["orphan", "node", "dns_record", "job"]);
    let done = sweep.version();
    let orphans = Resource::new(move || (dry.get(), changed.get(), done.get()), |(dry, ..)| api::report(dry));
    let fault = fault_of(sweep.value());
    view! {
        <PageHead
            title="Orphans"
            note=|| "What the vendors have and Hangar does not know, and what Hangar records and the vendors do not have."
        >
            <LinkButton href=routes::SETTINGS>"Settings"</LinkButton>
        </PageHead>
        <FormFault fault=fault />
        <div class="outcome" aria-live="polite">
            {move || sweep.value().get().and_then(Result::ok).map(swept)}
        </div>
        <Loaded from=orphans let:shown>
            {page(shown, sweep)}
        </Loaded>
    }
}

fn page(shown: OrphansShown, sweep: ServerAction<SweepOrphans>) -> impl IntoView {
    let OrphansShown { report, dry } = shown;
    let OrphanReport { items, observed_at, grace_seconds, unknown, can_sweep } = report;
    let (strangers, gone): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| item.kind == OrphanKind::Unknown);
    let nothing = strangers.is_empty() && gone.is_empty();
    let grace = length(grace_seconds.saturating_mul(1_000));
    let blind = (!unknown.is_empty()).then(|| {
        let lines = unknown.into_iter().map(|line| view! { <li>{line}</li> }).collect_view();
        view! {
            <Notice tone=Tone::Warn title="Not every account could be compared">
                <ul class="guidance">{lines}</ul>
                <p>"What stands at these vendors is not known; nothing of it is swept."</p>
            </Notice>
        }
    });
    let empty = nothing.then(|| {
        view! {
            <EmptyState
                title="Nothing differs"
                text="Every server and every record that carries this installation's mark belongs to something here, and what is recorded here is there."
            />
        }
    });
    let dry =
        dry.map(|plan| view! { <Section title="Dry run" id="dry">{plan_shown(plan, can_sweep, sweep)}</Section> });
    let asks = (!strangers.is_empty()).then(|| {
        view! {
            <p class="below">
                <LinkButton href=routes::ORPHANS_DRY primary=true>
                    "Dry run"
                </LinkButton>
                <span class="muted">" Shows exactly what a sweep would delete and what it would keep, and does nothing."</span>
            </p>
        }
    });
    let strangers = (!strangers.is_empty()).then(|| {
        view! {
            <Section
                title="At a vendor, unknown here"
                id="unknown"
                note=format!("They carry this installation's mark, and servers bill. A sweep deletes those that were seen for {grace}.")
            >
                <Table caption="At a vendor, unknown here" columns=UNKNOWN testid=testid::ORPHANS_UNKNOWN>
                    {strangers.into_iter().map(stranger).collect_view()}
                </Table>
                {asks}
            </Section>
        }
    });
    let gone = (!gone.is_empty()).then(|| {
        view! {
            <Section
                title="Recorded here, gone at the vendor"
                id="gone"
                note="Nothing of them bills. A sweep does not touch them: their own actions do."
            >
                <Table caption="Recorded here, gone at the vendor" columns=GONE testid=testid::ORPHANS_GONE>
                    {gone.into_iter().map(gone_row).collect_view()}
                </Table>
            </Section>
        }
    });
    let compared = match observed_at {
        Some(at) => view! { "Compared " <Time at=at /> "." }.into_any(),
        None => view! { "Not compared yet." }.into_any(),
    };
    view! {
        <p class="muted">{compared}</p>
        {blind}
        {dry}
        {empty}
        {strangers}
        {gone}
    }
}

/// What a difference is about, for people.
fn what(subject: OrphanSubject) -> &'static str {
    match subject {
        OrphanSubject::Server => "server",
        OrphanSubject::DnsRecord => "DNS record",
    }
}

fn server_cell(orphan: &OrphanView) -> impl IntoView + use<> {
    let (what, name, id) = (what(orphan.subject), orphan.name.clone(), orphan.infra_id.clone());
    view! {
        <span class="strong">{name}</span>
        <span class="cell-sub">
            <span class="muted">{what}" "</span>
            <Code value=id />
        </span>
    }
}

/// The page of what it names, if there is one: the record, or the node.
fn page_of(orphan: &OrphanView) -> Option<(String, &'static str)> {
    let record = orphan.record_id.as_ref().map(|id| (routes::dns_record(id), "its record"));
    record.or_else(|| orphan.node_id.as_ref().map(|id| (routes::node(id), "its node")))
}

fn page_link(orphan: &OrphanView) -> impl IntoView + use<> {
    page_of(orphan).map(|(href, word)| {
        view! {
            <span class="cell-sub">
                <a class="link" href=href>
                    {word}
                </a>
            </span>
        }
    })
}

fn account(orphan: &OrphanView) -> impl IntoView + use<> {
    let (href, name) = (routes::provider(&orphan.provider_id), orphan.provider_name.clone());
    view! {
        <a class="link" href=href>
            {name}
        </a>
    }
}

fn stranger(orphan: OrphanView) -> impl IntoView {
    let (server, node, account) = (server_cell(&orphan), page_link(&orphan), account(&orphan));
    let present = now();
    let due = orphan.sweepable_at.map(|at| {
        let word = move || if at <= present.get() { "due" } else { "not yet" };
        let from = move || (at <= present.get()).then_some("since ");
        view! {
            <span class="strong">{word}</span>
            <span class="cell-sub muted small">
                <span>{from} <Time at=at /></span>
            </span>
        }
    });
    let by_hand = due.is_none().then(|| view! { <span class="muted">"not by a sweep"</span> });
    view! {
        <Row id=orphan.infra_id>
            <Cell label="At the vendor">{server}</Cell>
            <Cell label="Account">{account}</Cell>
            <Cell label="Why and what to do">
                {orphan.reason} {node} <span class="muted">{orphan.guidance}</span>
            </Cell>
            <Cell label="First seen">
                <Time at=orphan.first_seen_at />
            </Cell>
            <Cell label="Swept">{due} {by_hand}</Cell>
        </Row>
    }
}

fn gone_row(orphan: OrphanView) -> impl IntoView {
    let account = account(&orphan);
    let what = what(orphan.subject);
    let name = match page_of(&orphan) {
        Some((href, _)) => {
            let name = orphan.name.clone();
            view! {
                <a class="link strong" href=href>
                    {name}
                </a>
            }
            .into_any()
        }
        None => orphan.name.clone().into_any(),
    };
    view! {
        <Row id=orphan.infra_id.clone()>
            <Cell label="Recorded here">
                {name} <span class="cell-sub">
                    <span class="muted">{what}" "</span>
                    <Code value=orphan.infra_id />
                </span>
            </Cell>
            <Cell label="Account">{account}</Cell>
            <Cell label="Why">{orphan.reason}</Cell>
            <Cell label="First seen">
                <Time at=orphan.first_seen_at />
            </Cell>
            <Cell label="Guidance">
                <span class="guidance-text">{orphan.guidance}</span>
            </Cell>
        </Row>
    }
}

/// How many of what.
fn count(orphans: &[OrphanView]) -> String {
    let records = orphans.iter().filter(|one| one.subject == OrphanSubject::DnsRecord).count();
    let words = |number: usize, one: &str| match number {
        1 => format!("1 {one}"),
        more => format!("{more} {one}s"),
    };
    match (orphans.len() - records, records) {
        (servers, 0) => words(servers, "server"),
        (0, records) => words(records, "DNS record"),
        (servers, records) => format!("{} and {}", words(servers, "server"), words(records, "DNS record")),
    }
}

/// What is lost with them.
fn lost(orphans: &[OrphanView]) -> &'static str {
    match orphans.iter().filter(|one| one.subject == OrphanSubject::Server).count() {
        0 => "",
        1 if orphans.len() == 1 => " What is on it is lost.",
        1 => " What is on the server is lost.",
        _ => " What is on the servers is lost.",
    }
}

/// What a sweep would do, and the button that does it.
fn plan_shown(plan: OrphanSweep, can_sweep: bool, sweep: ServerAction<SweepOrphans>) -> impl IntoView {
    let (number, counted) = (plan.swept.len(), count(&plan.swept));
    let names: Vec<String> = plan.swept.iter().map(|one| one.name.clone()).collect();
    let pending = sweep.pending();
    let act = (number > 0 && can_sweep).then(|| {
        let consequence = format!(
            "Deletes {counted} at the vendor: {}.{} This cannot be undone.",
            names.join(", "),
            lost(&plan.swept)
        );
        view! {
            <ConfirmForm
                id="sweep"
                label=format!("Sweep {counted}")
                title=format!("Delete {counted}?")
                consequence=consequence
                url=SweepOrphans::url()
                fields=Vec::new()
                on_confirm=move |()| {
                    sweep.dispatch(SweepOrphans {});
                }
                busy=pending
                danger=true
            />
        }
    });
    view! {
        <div class="panel stack" data-testid=testid::SWEEP_PLAN>
            {lists(plan, "A sweep now would delete nothing.", "would be deleted", "would be kept")}
            {act}
        </div>
    }
}

fn lists(plan: OrphanSweep, none: &'static str, taken: &'static str, kept: &'static str) -> impl IntoView {
    let head = if plan.swept.is_empty() {
        view! { <p>{none}</p> }.into_any()
    } else {
        let title = format!("{} {taken}", count(&plan.swept));
        let rows = plan.swept.into_iter().map(plan_row).collect_view();
        view! {
            <p class="strong">{title.clone()}</p>
            <Table caption=title columns=PLAN testid=testid::SWEEP_TAKEN>
                {rows}
            </Table>
        }
        .into_any()
    };
    let tail = (!plan.kept.is_empty()).then(|| {
        let title = format!("{} {kept}", count(&plan.kept));
        let rows = plan.kept.into_iter().map(plan_row).collect_view();
        view! {
            <p class="strong">{title.clone()}</p>
            <Table caption=title columns=PLAN testid=testid::SWEEP_KEPT>
                {rows}
            </Table>
        }
    });
    (head, tail)
}

fn plan_row(orphan: OrphanView) -> impl IntoView {
    let (server, account) = (server_cell(&orphan), account(&orphan));
    view! {
        <Row id=orphan.infra_id>
            <Cell label="At the vendor">{server}</Cell>
            <Cell label="Account">{account}</Cell>
            <Cell label="Why">{orphan.reason}</Cell>
        </Row>
    }
}

/// What the sweep began, with the jobs that do it.
fn swept(sweep: OrphanSweep) -> impl IntoView {
    let jobs = sweep
        .jobs
        .iter()
        .map(|id| {
            let href = routes::job(id);
            view! {
                <p>
                    <a class="link" href=href>
                        "Watch the job"
                    </a>
                </p>
            }
        })
        .collect_view();
    let title = if sweep.swept.is_empty() {
        "There was nothing to sweep any more".to_owned()
    } else {
        format!("{} on the way out", count(&sweep.swept))
    };
    view! {
        <Notice tone=Tone::Ok title=title testid=testid::OUTCOME>
            {jobs}
        </Notice>
    }
}
