//! Where the vendor says something else than what is recorded, and how fresh that is. The rule: what
//! differs stands beside what it means.

use domain::node::{Drift, Freshness};
use leptos::prelude::*;

use super::{Cell, Code, Column, Row, Status, Table, Time, Tone};
use crate::routes::testid;

const DRIFT: &[Column] = &[
    Column::text("Field"),
    Column::text("Recorded"),
    Column::text("Observed"),
    Column::text("What it means and what to do"),
];

/// The differences, one a row.
#[component]
pub fn DriftTable(
    /// The differences.
    drift: Vec<Drift>,
) -> impl IntoView {
    let rows = drift.into_iter().map(row).collect_view();
    view! {
        <Table caption="Drift" columns=DRIFT testid=testid::DRIFT>
            {rows}
        </Table>
    }
}

fn row(one: Drift) -> impl IntoView {
    view! {
        <Row id=one.field.clone()>
            <Cell label="Field">{one.field}</Cell>
            <Cell label="Recorded">
                <Code value=one.recorded />
            </Cell>
            <Cell label="Observed">
                <Code value=one.observed />
            </Cell>
            <Cell label="What it means and what to do">{one.guidance}</Cell>
        </Row>
    }
}

/// How fresh what is shown is, as one line.
#[component]
pub fn Observed(
    /// How fresh it is.
    freshness: Freshness,
) -> impl IntoView {
    let Freshness { observed_at, stale, reason } = freshness;
    let age = match observed_at {
        Some(at) => view! { "Observed at the vendor " <Time at=at /> }.into_any(),
        None => view! { "Not observed at the vendor yet" }.into_any(),
    };
    let stale_words = stale.then(|| {
        let why = reason.unwrap_or_else(|| "It was not observed for longer than it should be.".to_owned());
        view! {
            " · "
            <Status word="stale" tone_is=Tone::Warn />
            " "
            {why}
        }
    });
    view! {
        <span data-testid=testid::FRESHNESS data-stale=stale.to_string()>
            {age}
            {stale_words}
        </span>
    }
}
