//! The steps of a job, live, with a progress bar on what runs and long output folded.

use domain::job::{JobStep, StepStatus};
use leptos::prelude::*;

use super::{Status, Time, Tone, length, tone};
use crate::{context::now, routes::testid};

/// Details longer than this are folded.
const FOLD: usize = 160;

/// How much of something is done.
#[component]
pub fn Progress(
    /// Percent, 0 to 100.
    percent: u8,
    /// Of what, for screen readers.
    #[prop(into)]
    label: String,
) -> impl IntoView {
    view! {
        <div class="progress">
            <progress max="100" value=percent.to_string() aria-label=label></progress>
            <span class="number muted">{percent}" %"</span>
        </div>
    }
}

/// The steps of a job, in order.
#[component]
pub fn Timeline(
    /// The steps.
    steps: Vec<JobStep>,
    /// Percent done; shown while the job is not over.
    #[prop(optional_no_strip)]
    progress: Option<u8>,
) -> impl IntoView {
    view! {
        <div class="timeline" data-testid=testid::TIMELINE>
            {progress.map(|percent| view! { <Progress percent=percent label="Progress of the job" /> })}
            <ol class="steps">{steps.into_iter().map(step).collect_view()}</ol>
        </div>
    }
}

fn step(step: JobStep) -> impl IntoView {
    let now = now();
    let (started, finished, status) = (step.started_at, step.finished_at, step.status);
    let took = move || {
        let started = started?;
        match (finished, status) {
            (Some(finished), _) => Some(length(finished.since(started))),
            (None, StepStatus::Running) => Some(length(now.get().since(started))),
            _ => None,
        }
    };
    // A step whose turn has not come is nothing to look at.
    let tone = if status == StepStatus::Pending { Tone::Neutral } else { tone(status.as_str()) };
    let detail = step.detail.map(|detail| {
        if detail.len() > FOLD || detail.contains('\n') {
            view! {
                <details class="step-output">
                    <summary>"Output"</summary>
                    <pre class="output">{detail}</pre>
                </details>
            }
            .into_any()
        } else {
            view! { <p class="step-detail muted">{detail}</p> }.into_any()
        }
    });
    view! {
        <li class=format!("step step-{}", status.as_str()) data-testid=testid::STEP data-step=step.name data-status=status.as_str()>
            <div class="step-head">
                <span class="step-label">{step.label}</span>
                <Status word=status.as_str() tone_is=tone />
                <span class="step-time muted number">{took}</span>
                {started.map(|at| view! { <span class="muted small"><Time at=at /></span> })}
            </div>
            {detail}
        </li>
    }
}
