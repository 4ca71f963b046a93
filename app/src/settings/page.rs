//! The settings: what keeps acquisition going or stops it, what is spent, and the way to profiles and
//! orphans. The rule: what a switch stops, and what it does not, stands beside it.

use domain::spending::{AcquisitionView, Spend};
use leptos::prelude::*;

use super::api::{self, SetAcquisition};
use crate::{
    live::live,
    routes,
    routes::testid,
    ui::{
        Cell, CheckField, Column, FormFault, Loaded, Notice, PageHead, Row, Section, Status, Submit, Table, TextField,
        Time, Tone, fault_of, money_hourly, money_monthly,
    },
};

const SPEND: &[Column] =
    &[Column::text("Currency"), Column::number("Nodes"), Column::number("Per hour"), Column::number("Per month")];

/// The page.
#[component]
pub fn SettingsPage() -> impl IntoView {
    let set = ServerAction::<SetAcquisition>::new();
    let changed = live(&["setting", "node"]);
    let acquisition = Resource::new(move || (changed.get(), set.version().get()), |_| api::acquisition());
    view! {
        <PageHead title="Settings" note=|| "What holds for the whole installation." />
        <nav class="places" aria-label="More settings">
            {place(routes::PROFILES, "Profiles", "How machines are prepared and checked.")}
            {place(routes::BLUEPRINTS, "Blueprints", "What stacks are made from.")}
            {place(routes::BACKUPS, "Backups", "What was kept of nodes before they were destroyed.")}
            {place(routes::ORPHANS, "Orphans", "What differs between vendors and record, and the sweep.")}
        </nav>
        <Loaded from=acquisition let:acquisition>
            {shown(acquisition, set)}
        </Loaded>
    }
}

fn place(href: &'static str, word: &'static str, text: &'static str) -> impl IntoView {
    view! {
        <a class="panel place" href=href>
            <span class="strong">{word}</span>
            <span class="muted small">{text}</span>
        </a>
    }
}

fn shown(acquisition: AcquisitionView, set: ServerAction<SetAcquisition>) -> impl IntoView {
    let AcquisitionView { policy, hold, spend, unpriced, changed_at, changed_by } = acquisition;
    let (word, tone) = if hold.is_some() { ("on hold", Tone::Warn) } else { ("open", Tone::Ok) };
    let reason = hold.map_or_else(|| "Nodes can be acquired.".to_owned(), |hold| hold.reason);
    let changed = changed_at.map(|at| {
        let by = changed_by.map(|by| format!(" by {by}"));
        view! { <p class="muted small">"Changed " <Time at=at /> {by} "."</p> }
    });
    let fault = fault_of(set.value());
    let pending = set.pending();
    let done = move || {
        matches!(set.value().get(), Some(Ok(_))).then(|| {
            view! {
                <Notice tone=Tone::Ok title="The settings are stored" testid=testid::OUTCOME>
                    ""
                </Notice>
            }
        })
    };
    let currency = policy.currency.clone().or_else(|| spend.first().map(|one| one.currency.clone()));
    view! {
        <Section
            title="Acquisition"
            id="acquisition"
            note="What runs goes on in any case: only what would cost more is stopped, by people, pools and the API alike."
        >
            <div class="panel stack" data-testid=testid::ACQUISITION>
                <p data-testid=testid::HOLD data-hold=(tone == Tone::Warn).to_string()>
                    <Status word=word tone_is=tone />
                    " "
                    {reason}
                </p>
                <ActionForm action=set attr:class="form">
                    <CheckField
                        name="form[paused]"
                        label="Pause all acquisition"
                        help=Some("No node is acquired, neither by hand nor to keep a pool full, until this is taken back.".to_owned())
                        checked=policy.paused
                    />
                    <TextField
                        name="form[note]"
                        label="Reason"
                        value=policy.note
                        pointer="/note"
                        fault=fault
                        help="Shown to whoever wants to acquire."
                    />
                    <TextField
                        name="form[cap_monthly]"
                        label="Spending cap per month"
                        value=policy.cap_monthly
                        pointer="/cap_monthly"
                        fault=fault
                        placeholder="100.00"
                        help="What all nodes together may cost at most; no cap when empty. With a cap, nodes whose price is not known or is in another currency are refused."
                    />
                    <TextField
                        name="form[currency]"
                        label="Currency of the cap"
                        value=currency
                        pointer="/currency"
                        fault=fault
                        placeholder="EUR"
                        mono=true
                    />
                    <Submit busy=pending>"Save settings"</Submit>
                </ActionForm>
                <FormFault fault=fault />
                {done}
                {changed}
            </div>
        </Section>
        <Section title="Spent now" id="spend" note="What all live nodes cost, as the vendors bill them.">
            {spent(spend, unpriced)}
        </Section>
    }
}

fn spent(spend: Vec<Spend>, unpriced: u32) -> impl IntoView {
    let without = match unpriced {
        0 => None,
        1 => Some("1 live node has no known price and is not in the sum.".to_owned()),
        more => Some(format!("{more} live nodes have no known price and are not in the sum.")),
    };
    let table = if spend.is_empty() {
        view! { <p class="muted">"No node is billed."</p> }.into_any()
    } else {
        let rows = spend
            .into_iter()
            .map(|one| {
                let (hourly, monthly) =
                    (money_hourly(&one.hourly, &one.currency), money_monthly(&one.monthly, &one.currency));
                view! {
                    <Row id=one.currency.clone()>
                        <Cell label="Currency">{one.currency}</Cell>
                        <Cell label="Nodes" number=true>
                            {one.nodes}
                        </Cell>
                        <Cell label="Per hour" number=true>
                            {hourly}
                        </Cell>
                        <Cell label="Per month" number=true>
                            {monthly}
                        </Cell>
                    </Row>
                }
            })
            .collect_view();
        view! {
            <Table caption="Spent now" columns=SPEND testid=testid::SPEND>
                {rows}
            </Table>
        }
        .into_any()
    };
    view! {
        {table}
        {without.map(|text| view! { <p class="muted below">{text}</p> })}
    }
}
