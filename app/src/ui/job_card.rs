//! A job on the page of what it is about: head, failure, steps.

use domain::job::{JobKind, JobView};
use leptos::prelude::*;

use super::{Code, Copied, Icon, Output, Sign, Status, Time, Timeline};
use crate::routes;

/// A job with its steps; folded away unless it is the one to look at.
#[component]
pub fn JobCard(
    /// The job with its steps.
    job: JobView,
    /// Whether its steps are shown at once.
    open: bool,
) -> impl IntoView {
    let JobView { id, kind, status, attempt, max_attempts, steps, progress, error, output, created_at, .. } = job;
    let href = routes::job(&id);
    let attempts = format!("attempt {attempt} of {max_attempts}");
    let failure = error.map(|error| {
        let asked = error.correlation_id.map(|id| view! { " " <Copied value=id what="correlation id" /> });
        view! {
            <p class="job-error">
                <Code value=error.code.as_str().to_owned() />
                " "
                {error.message}
                {asked}
            </p>
        }
    });
    let scope = id.to_string();
    // What a command wrote stands beside the form that runs one.
    let wrote = output.filter(|_| kind != JobKind::NodeExec).map(|output| {
        view! { <Output scope=scope output=output running=!status.is_over() /> }
    });
    let running = (!status.is_over()).then_some(progress);
    let id = id.to_string();
    let body = view! {
        <summary class="job-card-head">
            <Icon of=Sign::Down />
            <span class="job-card-kind">{kind.as_str()}</span>
            <Status word=status.as_str() />
            <span class="muted small">{attempts}</span>
            <span class="muted small job-card-time">
                <Time at=created_at />
            </span>
        </summary>
        <div class="stack">
            {failure}
            <Timeline steps=steps progress=running />
            {wrote}
            <p class="small">
                <a class="link" href=href>
                    "Open the job"
                </a>
            </p>
        </div>
    };
    // What somebody opened stays open: a card that is not open by itself carries no such attribute.
    if open {
        view! { <details class="job-card panel" open=true data-job=id>{body}</details> }.into_any()
    } else {
        view! { <details class="job-card panel" data-job=id>{body}</details> }.into_any()
    }
}
