//! The page of a record.

use domain::{
    dns::{DnsRecordPage, DnsRecordView, DnsState},
    job::{JobStatus, JobView},
    node::Cleanup,
};
use leptos::{prelude::*, server_fn::ServerFn};
use leptos_router::hooks::use_params_map;

use super::api::{self, ActOnDnsRecord};
use crate::{
    Fault,
    live::live_one,
    routes,
    routes::testid,
    ui::{
        ActionsPanel, Code, Confirm, DriftTable, Fact, Facts, Failure, History, Id, JobCard, LinkButton, Loaded,
        Notice, Observed, Outcome, PageHead, Section, Status, Time, Tone,
    },
};

/// The page of a record.
#[component]
pub fn DnsDetailPage() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.get().get("id").unwrap_or_default());
    let act = ServerAction::<ActOnDnsRecord>::new();
    let changed = live_one(&["job"], id.get_untracked());
    let page = Resource::new(
        move || (id.get(), changed.get(), act.version().get()),
        |(id, ..)| async move { api::show(id.parse().map_err(|_| Fault::not_found())?).await },
    );
    view! {
        <Outcome of=act.value() />
        <Loaded from=page let:page>
            {shown(page, act)}
        </Loaded>
    }
}

fn shown(page: DnsRecordPage, act: ServerAction<ActOnDnsRecord>) -> impl IntoView {
    let DnsRecordPage { record, jobs, history } = page;
    let (state, observed, fqdn) = (record.state, record.freshness.clone(), record.fqdn.clone());
    let failure = failure(&record, &jobs);
    let drift = (!record.drift.is_empty()).then(|| {
        let drift = record.drift.clone();
        let (title, note) = match state {
            DnsState::Failed => {
                ("What stands there", "Hangar did not write it, and wrote nothing of its own beside it.")
            }
            _ => ("Drift", "What stands in the zone is not what Hangar wrote."),
        };
        view! {
            <Section title=title id="drift" note=note>
                <DriftTable drift=drift />
            </Section>
        }
    });
    let facts = facts(&record);
    let actions = actions(&record, act);
    let jobs = if jobs.is_empty() {
        let why = match record.node_id {
            Some(_) => "No job of its own worked on it: it was made with its node.",
            None => "No job worked on it yet.",
        };
        view! { <p class="muted">{why}</p> }.into_any()
    } else {
        let cards = jobs.into_iter().enumerate().map(|(at, job)| view! { <JobCard job=job open=at == 0 /> });
        view! {
            <div class="stack" data-testid=testid::JOBS_OF>
                {cards.collect_view()}
            </div>
        }
        .into_any()
    };
    view! {
        <PageHead
            title=fqdn
            beside=move || view! { <Status word=state.as_str() /> }
            note=move || view! { <Observed freshness=observed.clone() /> }
        >
            <LinkButton href=routes::DNS>"All records"</LinkButton>
        </PageHead>
        {failure}
        {drift}
        {facts}
        <div class="detail">
            <div class="detail-side">{actions}</div>
            <div class="detail-main">
                <Section title="Jobs" id="jobs" note="What worked on it, newest first.">
                    {jobs}
                </Section>
                <Section title="History" id="history">
                    <History entries=history />
                </Section>
            </div>
        </div>
    }
}

/// Why it failed and what to do, and what is left to take away.
fn failure(record: &DnsRecordView, jobs: &[JobView]) -> impl IntoView + use<> {
    let failed = record.code.filter(|_| record.state != DnsState::Deleted).map(|code| {
        let job = jobs.iter().find(|job| job.status == JobStatus::Failed);
        let error = job.and_then(|job| job.error.clone()).filter(|error| error.code == code);
        let correlation_id = error.and_then(|error| error.correlation_id);
        let tone = if record.state == DnsState::Failed { Tone::Bad } else { Tone::Warn };
        let may_adopt = record.actions.iter().any(|action| action.identity == "adopt-dns-record" && action.enabled);
        view! {
            <Failure code=code tone=tone message=record.message.clone() correlation_id=correlation_id>
                {may_adopt
                    .then(|| {
                        view! {
                            <p>
                                "If what stands there shall be Hangar's, adopt it under "
                                <a class="link" href="#actions">
                                    "Available actions"
                                </a> "; otherwise give this record up."
                            </p>
                        }
                    })}
            </Failure>
        }
    });
    let pending = (record.cleanup == Cleanup::Pending).then(|| {
        view! {
            <Notice tone=Tone::Warn title="Cleanup pending">
                <p>
                    "It may still stand in the zone. It is looked for and taken away again and again until the vendor confirms that it is gone."
                </p>
            </Notice>
        }
    });
    (failed, pending)
}

fn facts(record: &DnsRecordView) -> impl IntoView + use<> {
    // An address comes with its node.
    let held = Some(record.content.clone()).filter(|content| !content.is_empty());
    let node = match &record.node_id {
        Some(node) => {
            let (href, name) = (routes::node(node), record.node_name.clone().unwrap_or_else(|| node.to_string()));
            view! {
                <a class="link" href=href>
                    {name}
                </a>
            }
            .into_any()
        }
        None => view! { <span class="muted">"none: made by hand"</span> }.into_any(),
    };
    let (account, account_name) = (routes::provider(&record.provider_id), record.provider_name.clone());
    let (kind, provider, zone) = (record.kind.as_str(), record.provider.clone(), record.zone.to_string());
    let ttl = record.ttl.map_or_else(|| "the vendor's own".to_owned(), |ttl| format!("{ttl} s"));
    let proxied = if record.proxied { "stands before it" } else { "none" };
    let origin = match (record.adopted, &record.vendor_id) {
        (true, _) => "taken over from somebody else",
        (false, Some(_)) => "written by Hangar",
        (false, None) => "nothing was written",
    };
    let (name, vendor_id, marker) = (record.name.to_string(), record.vendor_id.clone(), record.marker.clone());
    let (created, id) = (record.created_at, record.id.to_string());
    // Nothing to take away is nothing to say.
    let cleanup = (record.cleanup != Cleanup::None).then(|| {
        let word = record.cleanup.as_str();
        view! {
            <Fact label="Cleanup">
                <Status word=word />
            </Fact>
        }
    });
    view! {
        <Facts>
            <Fact label="Type">{kind}</Fact>
            <Fact label="Content">
                <Code value=held />
            </Fact>
            <Fact label="Zone">{zone}</Fact>
            <Fact label="Name in the zone">
                <Code value=name />
            </Fact>
            <Fact label="Account">
                <a class="link" href=account>
                    {account_name}
                </a>
                <span class="muted">" "{provider}</span>
            </Fact>
            <Fact label="Node">{node}</Fact>
            <Fact label="TTL">{ttl}</Fact>
            <Fact label="Proxy">{proxied}</Fact>
            <Fact label="Origin">{origin}</Fact>
            {cleanup}
            <Fact label="Asked for">
                <Time at=created />
            </Fact>
            <Fact label="Id">
                <Id value=id />
            </Fact>
            <Fact label="Vendor's id" wide=true>
                <Code value=vendor_id />
            </Fact>
            <Fact label="Marker" wide=true>
                <Code value=marker />
                <span class="muted">" in its comment, its labels or a TXT record beside it, as the zone's vendor has it"</span>
            </Fact>
        </Facts>
    }
}

fn actions(record: &DnsRecordView, act: ServerAction<ActOnDnsRecord>) -> impl IntoView + use<> {
    let id = record.id.clone();
    let pending = Signal::derive(move || act.input().get().map(|input| input.identity));
    let on_act = {
        let id = id.clone();
        move |identity: String| {
            act.dispatch(ActOnDnsRecord { id: id.clone(), identity });
        }
    };
    view! {
        <ActionsPanel
            actions=record.actions.clone()
            id=id.to_string()
            url=ActOnDnsRecord::url()
            on_act=on_act
            pending=pending
            confirms=confirms(record)
        />
    }
}

/// The questions: what is taken away, what is taken over, what is left behind.
fn confirms(record: &DnsRecordView) -> Vec<Confirm> {
    let DnsRecordView { fqdn, kind, content, provider_name: account, .. } = record;
    let stands = record.drift.first().map(|drift| drift.observed.as_str());
    let over = match stands {
        Some(stands) => format!("Takes over what stands there now: {stands}."),
        None => format!("Takes over the {kind} record that stands under {fqdn} at {account}, as it is."),
    };
    let changed = stands.map(|_| " What is not as Hangar wrote it is left alone.").unwrap_or_default();
    let what = if content.is_empty() { String::new() } else { format!(" ({content})") };
    vec![
        Confirm {
            identity: "delete-dns-record",
            consequence: format!(
                "Deletes the {kind} record {fqdn}{what} at {account}. Whoever asks for it gets no answer any more.{changed}"
            ),
            type_name: None,
            choice: None,
        },
        Confirm {
            identity: "adopt-dns-record",
            consequence: format!(
                "{over} Somebody else wrote it. It is marked as Hangar's own and keeps its content; from then on deleting it here deletes it in the zone."
            ),
            type_name: Some(fqdn.clone()),
            choice: None,
        },
        Confirm {
            identity: "give-up-dns-record",
            consequence: format!(
                "Hangar no longer answers for the {kind} record {fqdn} at {account}. What stands in the zone stays as it is, and Hangar never touches it again."
            ),
            type_name: None,
            choice: None,
        },
    ]
}
