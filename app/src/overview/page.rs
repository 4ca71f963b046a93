//! The administrator's overview: the first steps, the figures, what needs attention, the pools, the
//! newest jobs.

use domain::{
    job::JobView,
    overview::{Attention, FirstSteps, Overview},
    pool::PoolView,
    spending::{Hold, HoldKind},
};
use leptos::{either::Either, prelude::*};
use leptos_router::components::Redirect;

use super::api;
use crate::{
    context::boot,
    live::live,
    routes,
    routes::testid,
    ui::{
        BarPart, Bars, Icon, Loaded, Notice, PageHead, Section, Sign, Status, Subject, Time, Tone, spent_hourly,
        spent_monthly, tone,
    },
};

/// The first page, by who is signed in.
#[component]
pub fn HomePage() -> impl IntoView {
    if boot().is_admin() {
        Either::Left(view! { <OverviewPage /> })
    } else {
        Either::Right(view! { <Redirect path=routes::DASHBOARD /> })
    }
}

#[component]
fn OverviewPage() -> impl IntoView {
    let changed = live(&["node", "job", "pool", "provider", "allocation", "user", "orphan", "setting"]);
    let overview = Resource::new(move || changed.get(), |_| api::show());
    view! {
        <PageHead title="Overview" note=|| "How the installation stands." />
        <Loaded from=overview let:overview>
            {shown(overview)}
        </Loaded>
    }
}

fn shown(overview: Overview) -> impl IntoView {
    let steps = overview.first_steps;
    let steps = (!steps.all_done()).then(|| first_steps(steps));
    let figures = figures(&overview);
    let hold = overview.acquisition.hold.map(hold);
    let attention = attention(overview.attention);
    let pools = pools(overview.pools);
    let jobs = jobs(overview.recent_jobs);
    view! {
        {hold}
        {steps}
        {figures}
        {attention}
        <div class="overview-halves">{pools} {jobs}</div>
    }
}

/// What keeps every acquisition from being begun.
fn hold(hold: Hold) -> impl IntoView {
    let title = match hold.kind {
        HoldKind::Paused => "Acquisition is paused",
        HoldKind::Cap => "The spending cap is reached",
    };
    view! {
        <Notice tone=Tone::Warn title=title testid=testid::HOLD>
            <p>
                {hold.reason} " "
                <a class="link" href=routes::SETTINGS>
                    "Settings"
                </a>
            </p>
        </Notice>
    }
}

/// A step: its name, what it is for, where it is done, whether it is done.
struct Step {
    name: &'static str,
    title: &'static str,
    text: &'static str,
    href: String,
    done: bool,
}

fn first_steps(steps: FirstSteps) -> impl IntoView {
    let all = [
        Step {
            name: "account",
            title: "Connect an account",
            text: "A project at a vendor and a token for it: through it Hangar acquires machines.",
            href: format!("{}#connect", routes::PROVIDERS),
            done: steps.account,
        },
        Step {
            name: "node",
            title: "Acquire a node",
            text: "One form; Hangar creates the server, checks it and tells each step.",
            href: routes::ACQUIRE.to_owned(),
            done: steps.node,
        },
        Step {
            name: "pool",
            title: "Have a machine in a pool",
            text: "A ready node goes into its pool by itself and can be handed out from there.",
            href: routes::POOLS.to_owned(),
            done: steps.pool,
        },
        Step {
            name: "user",
            title: "Give somebody a service",
            text: "A person signs in, asks for a service and opens its cockpit.",
            href: routes::DASHBOARD.to_owned(),
            done: steps.user,
        },
    ];
    let done = all.iter().filter(|step| step.done).count();
    let next = all.iter().find(|step| !step.done).map(|step| step.name);
    let items = all
        .into_iter()
        .map(|step| {
            let current = (Some(step.name) == next).then_some("step");
            let state = if step.done { "first-step first-step-done" } else { "first-step" };
            let mark = if step.done {
                Either::Left(view! { <Icon of=Sign::Check /> })
            } else {
                Either::Right(view! { <span class="first-step-open"></span> })
            };
            let title = if step.done {
                view! { <span class="first-step-title">{step.title}</span> }.into_any()
            } else {
                view! {
                    <a class="first-step-title link" href=step.href>
                        {step.title}
                    </a>
                }
                .into_any()
            };
            view! {
                <li class=state data-step=step.name data-done=step.done.to_string() aria-current=current>
                    <span class="first-step-mark">{mark}</span>
                    <div>
                        <p>
                            {title}
                            <span class="visually-hidden">{if step.done { " (done)" } else { " (to do)" }}</span>
                        </p>
                        <p class="muted small">{step.text}</p>
                    </div>
                </li>
            }
        })
        .collect_view();
    view! {
        <section class="panel first-steps" aria-labelledby="first-steps-title" data-testid=testid::FIRST_STEPS>
            <h2 class="panel-title" id="first-steps-title">
                "First steps"
                <span class="muted small">" "{done}" of 4 done"</span>
            </h2>
            <ol class="first-step-list">{items}</ol>
        </section>
    }
}

fn figures(overview: &Overview) -> impl IntoView + use<> {
    let figure = |label: &'static str, value: String, note: String, href: String| {
        view! {
            <a class="panel figure" href=href>
                <span class="figure-label">{label}</span>
                <span class="figure-value number">{value}</span>
                <span class="figure-note muted small">{note}</span>
            </a>
        }
    };
    let spend = &overview.acquisition.spend;
    let unpriced = match overview.acquisition.unpriced {
        0 => String::new(),
        1 => ", 1 node without a price".to_owned(),
        more => format!(", {more} nodes without a price"),
    };
    let cost_note = if spend.is_empty() {
        format!("nothing is billed{unpriced}")
    } else {
        format!("{} per hour{unpriced}", spent_hourly(spend))
    };
    let cost = spent_monthly(spend);
    let orphans = (overview.orphans > 0).then(|| {
        figure(
            "Orphans",
            overview.orphans.to_string(),
            "differ between vendor and record".to_owned(),
            routes::ORPHANS.to_owned(),
        )
    });
    let with = |page: &str, status: &str| format!("{page}?status={status}");
    view! {
        <div class="overview-figures">
            {figure(
                "Nodes ready",
                overview.nodes_ready.to_string(),
                format!("of {} that Hangar answers for", overview.nodes_live),
                routes::NODES.to_owned(),
            )}
            {figure(
                "Jobs running",
                overview.jobs_running.to_string(),
                "at work now".to_owned(),
                with(routes::JOBS, "running"),
            )}
            {figure(
                "Jobs queued",
                overview.jobs_queued.to_string(),
                "wait for their turn".to_owned(),
                with(routes::JOBS, "queued"),
            )}
            {figure("Cost per month", cost, cost_note, routes::SETTINGS.to_owned())}
            {orphans}
        </div>
    }
}

fn attention(all: Vec<Attention>) -> impl IntoView {
    let body = if all.is_empty() {
        view! {
            <p class="all-well">
                <Icon of=Sign::Check />
                " Nothing needs attention."
            </p>
        }
        .into_any()
    } else {
        let items = all
            .into_iter()
            .map(|one| {
                view! {
                    <li class="attention-item">
                        <Icon of=Sign::Alert />
                        <div>
                            <p>
                                <a class="link strong" href=one.href>
                                    {one.text}
                                </a>
                            </p>
                            <p class="muted">{one.next_step}</p>
                        </div>
                    </li>
                }
            })
            .collect_view();
        view! { <ul class="attention-list panel">{items}</ul> }.into_any()
    };
    view! {
        <Section title="Needs attention" id="attention">
            <div data-testid=testid::ATTENTION>{body}</div>
        </Section>
    }
}

fn pools(pools: Vec<PoolView>) -> impl IntoView {
    let body = if pools.is_empty() {
        view! { <p class="muted">"There is no pool yet; the first comes with the first node."</p> }.into_any()
    } else {
        let items = pools.into_iter().map(pool).collect_view();
        view! { <ul class="panel pool-levels">{items}</ul> }.into_any()
    };
    view! {
        <Section title="Pools" id="pools">
            {body}
        </Section>
    }
}

fn pool(pool: PoolView) -> impl IntoView {
    let PoolView { name, counts, target_ready, .. } = pool;
    let parts = vec![
        BarPart::new("available", counts.available, Tone::Ok),
        BarPart::new("allocated", counts.allocated, Tone::Busy),
        BarPart::new("cleaning", counts.cleaning, Tone::Warn),
        BarPart::new("coming", counts.coming, Tone::Neutral),
        BarPart::new("maintenance", counts.maintenance, Tone::Bad),
        BarPart::new("draining", counts.draining, Tone::Neutral),
    ];
    let target = target_ready.map(|target| view! { <span class="muted small">"target "{target}</span> });
    let waiting = (counts.waiting > 0)
        .then(|| view! { <Status word=format!("{} waiting", counts.waiting) tone_is=Tone::Warn /> });
    view! {
        <li class="pool-level">
            <div class="pool-level-head">
                <a class="link strong" href=routes::pool(&name)>
                    {name.to_string()}
                </a>
                {target}
                {waiting}
            </div>
            <Bars label=format!("Machines of {name}") parts=parts />
        </li>
    }
}

fn jobs(jobs: Vec<JobView>) -> impl IntoView {
    let body = if jobs.is_empty() {
        view! { <p class="muted">"No job has run yet."</p> }.into_any()
    } else {
        let strip = strip(&jobs);
        let items = jobs.into_iter().map(job).collect_view();
        view! {
            <div class="panel">
                {strip}
                <ul class="recent-jobs">{items}</ul>
            </div>
        }
        .into_any()
    };
    view! {
        <Section title="Recent jobs" id="recent-jobs">
            {body}
        </Section>
    }
}

/// The newest jobs as a strip, oldest at the left.
fn strip(jobs: &[JobView]) -> impl IntoView + use<> {
    const WIDTH: usize = 12;
    let words: Vec<&str> = jobs.iter().rev().map(|job| job.status.as_str()).collect();
    let text = format!("The newest jobs, oldest first: {}", words.join(", "));
    let width = jobs.len() * WIDTH;
    let cells = words
        .iter()
        .enumerate()
        .map(|(at, word)| {
            view! {
                <rect
                    class=format!("fill-{}", tone(word).as_str())
                    x=(at * WIDTH).to_string()
                    y="0"
                    width=(WIDTH - 2).to_string()
                    height="12"
                    rx="2"
                ></rect>
            }
        })
        .collect_view();
    view! {
        <svg
            class="job-strip"
            viewBox=format!("0 0 {width} 12")
            width=width.to_string()
            height="12"
            role="img"
            aria-label=text
        >
            {cells}
        </svg>
    }
}

fn job(job: JobView) -> impl IntoView {
    let JobView { id, kind, status, subject, subject_name, progress, created_at, .. } = job;
    let running = (!status.is_over()).then(|| view! { <span class="number muted small">{progress}" %"</span> });
    view! {
        <li class="recent-job">
            <a class="link" href=routes::job(&id)>
                {kind.as_str()}
            </a>
            <Subject about=subject name=subject_name />
            <span class="recent-job-end">
                {running}
                <Status word=status.as_str() />
                <span class="muted small">
                    <Time at=created_at />
                </span>
            </span>
        </li>
    }
}
