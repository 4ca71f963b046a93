//! The administrator's overview.

use domain::overview::Overview;
use leptos::{either::Either, prelude::*};
use leptos_router::components::Redirect;

use super::api;
use crate::{
    context::boot,
    live::live,
    routes,
    ui::{Fact, Facts, Loaded, PageHead},
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
    let changed = live(&["node", "job", "pool", "provider", "allocation"]);
    let overview = Resource::new(move || changed.get(), |_| api::show());
    view! {
        <PageHead title="Overview" />
        <Loaded from=overview let:overview>{figures(overview)}</Loaded>
    }
}

fn figures(overview: Overview) -> impl IntoView {
    view! {
        <Facts>
            <Fact label="Jobs running">{overview.jobs_running}</Fact>
            <Fact label="Jobs queued">{overview.jobs_queued}</Fact>
            <Fact label="Nodes ready">{overview.nodes_ready}" of "{overview.nodes_live}</Fact>
        </Facts>
    }
}
