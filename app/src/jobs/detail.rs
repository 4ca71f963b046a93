//! The page of a job: facts, live steps, what can be done.

use domain::job::{JobKind, JobStatus, JobView};
use leptos::{prelude::*, server_fn::ServerFn};
use leptos_router::hooks::use_params_map;

use super::api::{self, ActOnJob};
use crate::{
    Fault,
    live::live_one,
    routes,
    ui::{
        ActionsPanel, Confirm, Fact, Facts, Failure, Id, LinkButton, Loaded, Notice, Outcome, Output, PageHead,
        Section, Status, Subject, Time, Timeline, Tone, length,
    },
};

/// The page of a job.
#[component]
pub fn JobDetailPage() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.get().get("id").unwrap_or_default());
    let act = ServerAction::<ActOnJob>::new();
    // Every job's events: the address may change to another job without the page being made anew.
    let changed = live_one(&["job"], id.get_untracked());
    let job = Resource::new(
        move || (id.get(), changed.get(), act.version().get()),
        |(id, ..)| async move { api::show(id.parse().map_err(|_| Fault::not_found())?).await },
    );
    view! {
        <Outcome of=act.value() />
        <Loaded from=job let:job>
            {shown(job, act)}
        </Loaded>
    }
}

fn shown(job: JobView, act: ServerAction<ActOnJob>) -> impl IntoView {
    let (status, created) = (job.status, job.created_at);
    let id = job.id.clone();
    let name = job.subject_name.clone().unwrap_or_else(|| job.subject.id.clone());
    let title = format!("{} · {name}", job.kind.as_str());
    let failure = failure(&job);
    let facts = facts(&job);
    let output = output(&job);
    let pending = Signal::derive(move || act.input().get().map(|input| input.identity));
    let consequence = format!(
        "Stops the {} of {name}. What it created before the hand-over to SSH is undone; it can be retried afterwards.",
        job.kind.as_str()
    );
    let on_act = {
        let id = id.clone();
        move |identity: String| {
            act.dispatch(ActOnJob { id: id.clone(), identity });
        }
    };
    let progress = (!status.is_over()).then_some(job.progress);
    view! {
        <PageHead
            title=title
            beside=move || view! { <Status word=status.as_str() /> }
            note=move || view! { "Asked for " <Time at=created /> }
        >
            <LinkButton href=routes::JOBS>"All jobs"</LinkButton>
        </PageHead>
        {failure}
        {facts}
        <div class="detail">
            <div class="detail-side">
                <ActionsPanel
                    actions=job.actions
                    id=id.to_string()
                    url=ActOnJob::url()
                    on_act=on_act
                    pending=pending
                    confirms=vec![Confirm { identity: "cancel-job", consequence, type_name: None, choice: None }]
                />
            </div>
            <div class="detail-main">
                {output}
                <Section title="Steps" id="steps">
                    <div class="panel">
                        <Timeline steps=job.steps progress=progress />
                    </div>
                </Section>
            </div>
        </div>
    }
}

fn failure(job: &JobView) -> impl IntoView + use<> {
    let again = (job.status == JobStatus::Queued && job.attempt > 0).then_some(job.run_after);
    let over = job.status.is_over();
    let cancelling = (job.cancel_requested && !over).then(|| {
        view! {
            <Notice tone=Tone::Busy title="It is being cancelled">
                <p>"It stops at the next safe point and undoes what it created."</p>
            </Notice>
        }
    });
    let error = job.error.clone().filter(|_| job.status != JobStatus::Succeeded).map(|error| {
        let tone = if over { Tone::Bad } else { Tone::Warn };
        view! {
            <Failure code=error.code tone=tone message=Some(error.message) correlation_id=error.correlation_id>
                {again.map(|at| view! { <p>"It is tried again " <Time at=at /> "."</p> })}
            </Failure>
        }
    });
    (cancelling, error)
}

/// What its command or script wrote; the end of it while it runs.
fn output(job: &JobView) -> impl IntoView + use<> {
    let running = !job.status.is_over();
    let title = match job.kind {
        JobKind::NodeExec => "Output",
        _ => "Output of the profile",
    };
    job.output.clone().map(|output| {
        view! {
            <Section title=title id="output">
                <div class="panel">
                    <Output scope="job" output=output running=running />
                </div>
            </Section>
        }
    })
}

fn facts(job: &JobView) -> impl IntoView + use<> {
    let took = match (job.started_at, job.finished_at) {
        (Some(from), Some(until)) => length(until.since(from)),
        _ => "—".to_owned(),
    };
    let (kind, subject, name) = (job.kind.as_str(), job.subject.clone(), job.subject_name.clone());
    let attempts = format!("{}/{}", job.attempt, job.max_attempts);
    let (started, finished, id) = (job.started_at, job.finished_at, job.id.to_string());
    view! {
        <Facts>
            <Fact label="Type">{kind}</Fact>
            <Fact label="About">
                <Subject about=subject name=name />
            </Fact>
            <Fact label="Attempts">{attempts}</Fact>
            <Fact label="Started">
                <Time at=started />
            </Fact>
            <Fact label="Finished">
                <Time at=finished />
            </Fact>
            <Fact label="Took">{took}</Fact>
            <Fact label="Id">
                <Id value=id />
            </Fact>
        </Facts>
    }
}
