//! The audit trail: everything that was asked or happened, newest first.

use domain::audit::{AuditEntry, Outcome};
use leptos::prelude::*;

use super::api;
use crate::{
    live::live,
    routes,
    routes::testid,
    ui::{
        Cell, Code, Column, EmptyState, FilterBar, FilterSelect, FilterText, ListView, PageHead, Row, ShortId, Status,
        Time, url_filter, word_choices,
    },
};

const COLUMNS: &[Column] = &[
    Column::text("When"),
    Column::text("Who"),
    Column::text("What"),
    Column::text("About"),
    Column::text("Outcome"),
    Column::text("Detail"),
];

/// What entries can be about.
const KINDS: &[&str] = &["provider", "node", "pool", "allocation", "user", "job", "session"];

/// The page of the audit trail.
#[component]
pub fn AuditPage() -> impl IntoView {
    let filter = url_filter();
    let changed = live(&["node", "job", "allocation", "provider", "pool", "user"]);
    let entries = Resource::new(move || (filter.get(), changed.get()), |(filter, _)| api::list(filter));
    let outcomes = Outcome::ALL.iter().map(|outcome| outcome.as_str());
    view! {
        <PageHead title="Audit" note=|| "Everything that was asked or happened, also what was refused." />
        <FilterBar text=false>
            <FilterSelect name="kind" label="About" choices=word_choices(KINDS.iter().copied()) />
            <FilterText name="subject" label="Id or pool name" placeholder="nod_…" />
            <FilterSelect name="status" label="Outcome" choices=word_choices(outcomes) />
        </FilterBar>
        <div class="audit"><ListView
            from=entries
            noun=["entry", "entries"]
            columns=COLUMNS
            testid=testid::AUDIT
            key=|entry| entry.id.to_string()
            empty=|| {
                view! {
                    <EmptyState
                        title="Nothing happened yet"
                        text="Every action of a person and of Hangar itself appears here: who, what, to what, and how it went."
                    />
                }
            }
            row=row
        /></div>
    }
}

fn row(entry: AuditEntry) -> impl IntoView {
    let AuditEntry { id, at, actor, actor_name, action, subject, outcome, code, detail } = entry;
    let who = actor_name.unwrap_or_else(|| actor.clone());
    let only = format!("{}?subject={}", routes::AUDIT, subject.id);
    let (kind, whole) = (subject.kind.clone(), subject.id.clone());
    let name = view! { <ShortId value=whole /> };
    let about = match routes::subject(&subject) {
        Some(href) => view! {
            <a class="link" href=href>
                {name}
            </a>
        }
        .into_any(),
        None => name.into_any(),
    };
    view! {
        <Row id=id.to_string()>
            <Cell label="When">
                <Time at=at />
            </Cell>
            <Cell label="Who">
                <span title=actor>{who}</span>
            </Cell>
            <Cell label="What">
                <Code value=action />
            </Cell>
            <Cell label="About">
                <span>
                    <span class="muted">{kind}" "</span>
                    {about}
                </span>
                <span class="cell-sub">
                    <a class="link" href=only>
                        "only this"
                    </a>
                </span>
            </Cell>
            <Cell label="Outcome">
                <Status word=outcome.as_str() />
                {code
                    .map(|code| {
                        view! {
                            <span class="cell-sub">
                                <Code value=code.as_str().to_owned() />
                            </span>
                        }
                    })}
            </Cell>
            <Cell label="Detail">{detail}</Cell>
        </Row>
    }
}
