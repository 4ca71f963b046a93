//! The jobs.

use domain::job::{JobKind, JobStatus, JobView};
use leptos::prelude::*;

use super::api;
use crate::{
    live::live,
    routes,
    routes::testid,
    ui::{
        Cell, Code, Column, EmptyState, FilterBar, FilterSelect, LinkButton, ListView, PageHead, Progress, Row,
        RowLink, ShortId, Status, Subject, Time, url_filter, word_choices,
    },
};

const COLUMNS: &[Column] = &[
    Column::text("ID"),
    Column::text("Type"),
    Column::text("Status"),
    Column::number("Attempts"),
    Column::text("Error"),
];

/// The page of the jobs.
#[component]
pub fn JobsListPage() -> impl IntoView {
    let filter = url_filter();
    let changed = live(&["job"]);
    let jobs = Resource::new(move || (filter.get(), changed.get()), |(filter, _)| api::list(filter));
    view! {
        <PageHead title="Jobs" note=|| "Durable pieces of work; they survive restarts and are tried again." />
        <FilterBar what="Id">
            <FilterSelect
                name="status"
                label="Status"
                choices=word_choices(JobStatus::ALL.iter().map(|status| status.as_str()))
            />
            <FilterSelect
                name="kind"
                label="Type"
                choices=word_choices(JobKind::ALL.iter().map(|kind| kind.as_str()))
            />
        </FilterBar>
        <ListView
            from=jobs
            noun=["job", "jobs"]
            columns=COLUMNS
            testid=testid::JOBS
            key=|job| job.id.to_string()
            empty=|| {
                view! {
                    <EmptyState
                        title="No jobs yet"
                        text="Whatever takes longer than a moment is a job: acquiring, cleaning, destroying. It appears here with its steps."
                    >
                        <LinkButton href=routes::ACQUIRE>"Acquire a node"</LinkButton>
                    </EmptyState>
                }
            }
            row=row
        />
    }
}

fn row(job: JobView) -> impl IntoView {
    let JobView { id, kind, status, subject, subject_name, attempt, max_attempts, progress, error, created_at, .. } =
        job;
    let short = id.to_string();
    let running =
        (status == JobStatus::Running).then(|| view! { <Progress percent=progress label="Progress of the job" /> });
    let error = match error {
        Some(error) => view! {
            <Code value=error.code.as_str().to_owned() />
            <span class="cell-sub">{error.message}</span>
        }
        .into_any(),
        None => view! { <span class="none">"—"</span> }.into_any(),
    };
    view! {
        <Row id=id.to_string()>
            <Cell label="ID">
                <RowLink href=routes::job(&id)>
                    <ShortId value=short />
                </RowLink>
                <span class="cell-sub">
                    <Time at=created_at />
                </span>
            </Cell>
            <Cell label="Type">
                {kind.as_str()} <span class="cell-sub">
                    <Subject about=subject name=subject_name />
                </span>
            </Cell>
            <Cell label="Status">
                <Status word=status.as_str() />
                {running}
            </Cell>
            <Cell label="Attempts" number=true>
                {format!("{attempt}/{max_attempts}")}
            </Cell>
            <Cell label="Error">{error}</Cell>
        </Row>
    }
}
