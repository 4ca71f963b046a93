//! The page of a service: its cockpit, its end, more time, giving it back, what happened.

use domain::{
    action::Action,
    allocation::{AllocationStatus, AllocationView},
    id::AllocationId,
    user::ServicePage as Service,
};
use leptos::{either::Either, prelude::*};
use leptos_router::hooks::use_params_map;
use web_sys::SubmitEvent;

use super::api::{self, ExtendService, ReleaseService};
use crate::{
    Fault,
    live::live_one,
    routes,
    routes::testid,
    ui::{
        CloseDialog, Cockpit, Code, Dialog, Fact, Facts, FormFault, History, Id, LinkButton, Loaded, Notice,
        OpenDialog, PageHead, Section, Status, Submit, Time, Tone, close_around, fault_of,
    },
};

/// The dialog that asks before a release.
const RELEASE: &str = "release";

/// The page of a service.
#[component]
pub fn ServicePage() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.get().get("id").unwrap_or_default());
    let extend = ServerAction::<ExtendService>::new();
    let release = ServerAction::<ReleaseService>::new();
    let changed = live_one(&["allocation", "pool"], "");
    let acted = (extend.version(), release.version());
    let service = Resource::new(
        move || (id.get(), changed.get(), acted.0.get(), acted.1.get()),
        |(id, ..)| async move { api::show(parsed(&id)?).await },
    );
    let extend_fault = fault_of(extend.value());
    let release_fault = fault_of(release.value());
    view! {
        <Loaded from=service let:service>
            {shown(service, extend, release)}
        </Loaded>
        <FormFault fault=extend_fault />
        <FormFault fault=release_fault />
    }
}

/// An address with something else than an id is an address of nothing.
fn parsed(id: &str) -> Result<AllocationId, Fault> {
    id.parse().map_err(|_| Fault::not_found())
}

fn shown(
    service: Service,
    extend: ServerAction<ExtendService>,
    release: ServerAction<ReleaseService>,
) -> impl IntoView {
    let Service { allocation, history } = service;
    let status = allocation.status;
    let cockpit = allocation.cockpit_url.clone().filter(|_| status == AllocationStatus::Active);
    let has_cockpit = cockpit.is_some();
    let title = format!("Service in {}", allocation.pool);
    let reason = allocation.reason.clone();
    let waits = (status == AllocationStatus::Waiting).then(|| {
        let place = allocation.position.map_or_else(
            || "Waiting for a machine".to_owned(),
            |position| format!("Number {position} in line for a machine"),
        );
        view! {
            <Notice tone=Tone::Neutral title=place>
                <p>{reason.unwrap_or_else(|| "It is yours as soon as one is free.".to_owned())}</p>
            </Notice>
        }
    });
    let note = allocation.expires_at.filter(|_| status == AllocationStatus::Active);
    view! {
        <PageHead
            title=title
            beside=move || view! { <Status word=status.as_str() /> }
            note=move || note.map(|at| view! { "Expires " <Time at=at /> })
        >
            {has_cockpit.then(|| view! { <Cockpit url=cockpit primary=true /> })}
            <LinkButton href=routes::DASHBOARD>"All services"</LinkButton>
        </PageHead>
        {waits}
        {facts(&allocation)}
        {deeds(allocation, extend, release)}
        <Section title="What happened" id="history">
            <History entries=history />
        </Section>
    }
}

fn facts(service: &AllocationView) -> impl IntoView + use<> {
    let reason = service.reason.clone().filter(|_| service.status == AllocationStatus::Released);
    let machine = service.pool_vm_id.as_ref().map(ToString::to_string);
    let host = service.host.clone();
    let (asked, started, expires, released) =
        (service.created_at, service.allocated_at, service.expires_at, service.released_at);
    let id = service.id.to_string();
    view! {
        <Facts>
            <Fact label="Machine">
                {machine.map(|machine| view! { <Id value=machine /> })}
            </Fact>
            <Fact label="Host">
                <Code value=host />
            </Fact>
            <Fact label="Asked for">
                <Time at=asked />
            </Fact>
            <Fact label="Started">
                <Time at=started />
            </Fact>
            <Fact label="Expires">
                <Time at=expires />
            </Fact>
            {released
                .map(|at| {
                    view! {
                        <Fact label="Released">
                            <Time at=at />
                            {reason.map(|reason| format!(" ({reason})"))}
                        </Fact>
                    }
                })}
            <Fact label="Id">
                <Id value=id />
            </Fact>
        </Facts>
    }
}

fn deeds(
    service: AllocationView,
    extend: ServerAction<ExtendService>,
    release: ServerAction<ReleaseService>,
) -> impl IntoView {
    let find = |identity: &str| service.actions.iter().find(|action| action.identity == identity).cloned();
    let more = find("extend-allocation").map(|action| extend_deed(&action, service.id.clone(), extend));
    let back = find("release-allocation").map(|action| release_deed(&action, &service, release));
    (more.is_some() || back.is_some()).then(|| {
        view! {
            <section class="panel actions" aria-label="What you can do" data-testid=testid::ACTIONS>
                <ul class="action-list">{more} {back}</ul>
            </section>
        }
    })
}

/// One thing to do, or why not.
fn deed(action: &Action, does: AnyView) -> impl IntoView + use<> {
    let enabled = action.enabled;
    let why = (!enabled).then(|| {
        let next = action.recovery.as_ref().map(|recovery| recovery.next_step.clone());
        view! { <p class="small">{action.blocked_reasons()}" "{next}</p> }
    });
    view! {
        <li
            class="action"
            data-testid=testid::ACTION
            data-identity=action.identity.clone()
            data-enabled=enabled.to_string()
        >
            <div class="action-head">
                <div class="action-text">
                    <p class="action-label">{action.label.clone()}</p>
                    <p class="muted">{action.description.clone()}</p>
                    {why}
                </div>
                {if enabled { Either::Left(does) } else { Either::Right(()) }}
            </div>
        </li>
    }
}

fn extend_deed(action: &Action, id: AllocationId, extend: ServerAction<ExtendService>) -> impl IntoView + use<> {
    let pending = extend.pending();
    let does = view! {
        <ActionForm action=extend attr:class="action-form">
            <input type="hidden" name="id" value=id.to_string() />
            <input type="hidden" name="hours" value="24" />
            <Submit busy=pending quiet=true small=true>
                "Extend by 24 h"
            </Submit>
        </ActionForm>
    };
    deed(action, does.into_any())
}

fn release_deed(
    action: &Action,
    service: &AllocationView,
    release: ServerAction<ReleaseService>,
) -> impl IntoView + use<> {
    let pending = release.pending();
    let id = service.id.clone();
    let what = match &service.pool_vm_id {
        Some(machine) => format!(
            "Gives the machine {} of the pool {} back. What is on it is deleted before the next person gets it. This cannot be undone.",
            service.host.as_deref().unwrap_or(machine.as_str()),
            service.pool
        ),
        None => format!("Takes your request for a machine of the pool {} out of the waiting list.", service.pool),
    };
    let on_submit = {
        let id = id.clone();
        move |ev: SubmitEvent| {
            ev.prevent_default();
            close_around(&ev);
            release.dispatch(ReleaseService { id: id.clone() });
        }
    };
    let does = view! {
        <div class="action-form">
            <OpenDialog dialog=RELEASE danger=true small=true disabled=pending>
                "Release"
            </OpenDialog>
            <Dialog id=RELEASE title="Release this service?" testid=testid::CONFIRM>
                <form method="post" action=release_url() on:submit=on_submit>
                    <input type="hidden" name="id" value=id.to_string() />
                    <p>{what}</p>
                    <div class="dialog-buttons">
                        <CloseDialog dialog=RELEASE>"Keep it"</CloseDialog>
                        <Submit busy=pending danger=true>
                            "Release"
                        </Submit>
                    </div>
                </form>
            </Dialog>
        </div>
    };
    deed(action, does.into_any())
}

fn release_url() -> &'static str {
    <ReleaseService as leptos::server_fn::ServerFn>::url()
}
