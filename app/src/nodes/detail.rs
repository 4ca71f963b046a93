//! The page of a node.

use domain::{
    blueprint::{ServiceRole, StackView},
    code::Code,
    dns::DnsRecordView,
    job::{JobStatus, JobView},
    node::{Cleanup, NodeState, NodeView},
    valid::CockpitUrl,
};
use leptos::{prelude::*, server_fn::ServerFn};
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    NodeDetail,
    api::{self, ActOnNode, ExecOnNode},
    drift, exec, facts, records, services,
    upgrade::{self, Upgrading},
};
use crate::{
    Fault,
    live::live_one,
    routes,
    routes::testid,
    ui::{
        ActionsPanel, Choice, Cockpit, Confirm, ConfirmChoice, Failure, History, JobCard, LinkButton, Loaded, Notice,
        Observed, Outcome, PageHead, Section, Status, Tone, money_monthly,
    },
};

/// What must outlive a refetch of the page.
#[derive(Clone, Copy)]
struct Deeds {
    act: ServerAction<ActOnNode>,
    exec: ServerAction<ExecOnNode>,
    upgrading: Upgrading,
    /// Whether a backup is made before it is destroyed.
    backup: RwSignal<String>,
}

/// The page of a node.
#[component]
pub fn NodeDetailPage() -> impl IntoView {
    let params = use_params_map();
    let query = use_query_map();
    let id = Memo::new(move |_| params.get().get("id").unwrap_or_default());
    // What it could become is read only when it is asked for.
    let offers = Memo::new(move |_| query.with(|query| query.get("do").as_deref() == Some("upgrade")));
    let deeds = Deeds {
        act: ServerAction::new(),
        exec: ServerAction::new(),
        upgrading: Upgrading::new(),
        backup: RwSignal::new("true".to_owned()),
    };
    let changed = live_one(&["job", "dns_record"], id.get_untracked());
    let done = (deeds.act.version(), deeds.exec.version(), deeds.upgrading.action.version());
    let page = Resource::new(
        move || (id.get(), offers.get(), changed.get(), done.0.get(), done.1.get(), done.2.get()),
        |(id, offers, ..)| async move { api::show(id.parse().map_err(|_| Fault::not_found())?, offers).await },
    );
    view! {
        <Outcome of=deeds.act.value() />
        <Outcome of=deeds.upgrading.action.value() />
        <Loaded from=page let:page>
            {shown(page, deeds)}
        </Loaded>
    }
}

fn shown(page: NodeDetail, deeds: Deeds) -> impl IntoView {
    let NodeDetail { node, jobs, history, records, offers } = page;
    let (state, observed) = (node.state, node.freshness.clone());
    let cockpit: Option<CockpitUrl> =
        node.cockpit_url.as_deref().filter(|_| state == NodeState::Ready).and_then(|url| url.parse().ok());
    let has_cockpit = cockpit.is_some();
    let backups = (state == NodeState::Destroyed && node.stack.is_some()).then(|| {
        let href = routes::backups_of(&node.id);
        view! { <LinkButton href=href>"Its backups"</LinkButton> }
    });
    let failure = failure(&node, &jobs);
    let facts = facts::facts(&node);
    let health = facts::health(&node);
    let drift = drift::panel(&node, deeds.act);
    let actions = actions(&node, &records, deeds);
    let records = records::section(&records);
    let upgrade = upgrade::section(&node, offers, deeds.upgrading);
    // Commands are seldom for where the data is.
    let mut parts: Vec<_> = node.stack.iter().flat_map(|stack| stack.services.iter()).collect();
    parts.sort_by_key(|one| one.role == ServiceRole::Data);
    let names = parts.into_iter().map(|one| one.name.clone()).collect();
    let preset = node.stack.as_ref().and_then(|stack| stack.service_preset.clone());
    let exec = node.actions.iter().find(|action| action.identity == "exec-command");
    let exec = exec.and_then(|action| exec::form(node.id.to_string(), action, &jobs, deeds.exec, (names, preset)));
    let services = services::section(&node);
    let jobs = if jobs.is_empty() {
        view! { <p class="muted">"No job worked on it yet."</p> }.into_any()
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
            title=node.name
            beside=move || view! { <Status word=state.as_str() /> }
            note=move || view! { <Observed freshness=observed.clone() /> }
        >
            {backups}
            {has_cockpit.then(|| view! { <Cockpit url=cockpit primary=true /> })}
            <LinkButton href=routes::NODES>"All nodes"</LinkButton>
        </PageHead>
        {failure}
        {drift}
        {facts}
        <div class="detail">
            <div class="detail-side">{actions}</div>
            <div class="detail-main">
                <div id="upgrade">{upgrade}</div>
                {health}
                {services}
                {records}
                {exec}
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
fn failure(node: &NodeView, jobs: &[JobView]) -> impl IntoView + use<> {
    let failed = node.code.filter(|_| node.state == NodeState::Failed).map(|code| {
        let title = match node.failed_stage {
            Some(stage) => format!("Failed while {stage}: {}", code.title()),
            None => code.title().to_owned(),
        };
        let job = jobs.iter().find(|job| job.status == JobStatus::Failed);
        let error = job.and_then(|job| job.error.clone()).filter(|error| error.code == code);
        let correlation_id = error.and_then(|error| error.correlation_id);
        view! {
            <Failure code=code title=Some(title) message=node.message.clone() correlation_id=correlation_id>
                {(code == Code::DnsNameConflict)
                    .then(|| {
                        view! {
                            <p>
                                "What stands in the way is shown with its "
                                <a class="link" href="#records">
                                    "DNS records"
                                </a> ". Retry the node once the name is free, or destroy it and acquire another one under another name."
                            </p>
                        }
                    })}
            </Failure>
        }
    });
    let pending = (node.cleanup == Cleanup::Pending).then(|| {
        view! {
            <Notice tone=Tone::Warn title="Cleanup pending">
                <p>
                    "Something that Hangar made for it may still be at the vendor and may bill. It is looked for and taken away again and again until the vendor confirms that it is gone."
                </p>
            </Notice>
        }
    });
    (failed, pending)
}

fn actions(node: &NodeView, records: &[DnsRecordView], deeds: Deeds) -> impl IntoView + use<> {
    let (id, Deeds { act, backup, .. }) = (node.id.clone(), deeds);
    // Without the question there is no answer: what is right without one is the server's to say.
    let asked = node.stack.as_ref().is_some_and(asks_for_backup);
    let pending = Signal::derive(move || act.input().get().map(|input| input.identity));
    let on_act = {
        let id = id.clone();
        move |identity: String| {
            let backup = (asked && identity == "destroy-node").then(|| backup.get_untracked() != "false");
            act.dispatch(ActOnNode { id: id.clone(), identity, backup });
        }
    };
    view! {
        <ActionsPanel
            actions=node.actions.clone()
            id=id.to_string()
            url=ActOnNode::url()
            on_act=on_act
            pending=pending
            confirms=confirms(node, records, backup)
            links=vec![("upgrade-node", routes::upgrade(&id)), ("exec-command", "#exec".to_owned())]
        />
    }
}

/// The questions: what stops, what is lost, what is still paid for.
fn confirms(node: &NodeView, records: &[DnsRecordView], backup: RwSignal<String>) -> Vec<Confirm> {
    if let Some(stack) = &node.stack {
        return stack_confirms(node, stack, records, backup);
    }
    let (name, account) = (&node.name, &node.provider_name);
    let names = records::words(records, node.fqdn.as_deref());
    let price = match (&node.price_monthly, &node.currency) {
        (Some(price), Some(currency)) => format!(" ({})", money_monthly(price, currency)),
        _ => String::new(),
    };
    let out_of_pool =
        node.pool.as_ref().map(|pool| format!(" It leaves the pool {pool} until it is resumed.")).unwrap_or_default();
    vec![
        Confirm {
            identity: "destroy-node",
            consequence: format!(
                "Destroys the server of {name} at {account}{names}. What is on it is lost. This cannot be undone."
            ),
            type_name: Some(name.clone()),
            choice: None,
        },
        Confirm {
            identity: "rebuild-node",
            consequence: format!(
                "Lays the server of {name} anew from its image, with fresh user data and a fresh host key. It keeps its address and its price. What is on it is lost. This cannot be undone."
            ),
            type_name: Some(name.clone()),
            choice: None,
        },
        Confirm {
            identity: "suspend-node",
            consequence: format!(
                "Shuts the server of {name} down, and powers it off if it does not stop in time. Everything on it stops, its cockpit too; its disk is kept.{out_of_pool} It is still billed{price}: only destroying it ends that."
            ),
            type_name: None,
            choice: None,
        },
    ]
}

/// Whether there may be data that a backup would keep. What never served has none.
fn asks_for_backup(stack: &StackView) -> bool {
    stack.served && stack.services.iter().any(|one| one.role == ServiceRole::Data)
}

/// The same for a stack.
fn stack_confirms(
    node: &NodeView,
    stack: &StackView,
    records: &[DnsRecordView],
    backup: RwSignal<String>,
) -> Vec<Confirm> {
    let (name, account) = (&node.name, &node.provider_name);
    let names = records::words(records, node.fqdn.as_deref());
    let of = |role: ServiceRole| {
        let names = stack.services.iter().filter(|one| one.role == role).map(|one| one.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let (application, data) = (of(ServiceRole::Application), of(ServiceRole::Data));
    let kept = if data.is_empty() { String::new() } else { format!(" {data} runs on, and its data is kept.") };
    let out_of_pool =
        node.pool.as_ref().map(|pool| format!(" It leaves the pool {pool} until it is resumed.")).unwrap_or_default();
    let backed_up = match data.as_str() {
        "" => String::new(),
        data => format!(" A backup holds the data of {data}; if it cannot be made, nothing is taken away."),
    };
    let choice = asks_for_backup(stack).then(|| ConfirmChoice {
        name: "backup",
        label: "Its data",
        choices: vec![Choice::new("true", "Keep a backup of it first"), Choice::new("false", "No backup: it is lost")],
        chosen: backup,
    });
    vec![
        Confirm {
            identity: "destroy-node",
            consequence: format!(
                "Destroys the stack {name} at {account}{names}, with its volumes and networks. This cannot be undone.{backed_up}"
            ),
            type_name: Some(name.clone()),
            choice,
        },
        Confirm {
            identity: "suspend-node",
            consequence: format!("Stops {application} of {name}, its cockpit too.{kept}{out_of_pool}"),
            type_name: None,
            choice: None,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The question and its answer go by the same: where nobody is asked, nothing is sent.
    #[test]
    fn a_backup_is_asked_for_where_there_may_be_data() {
        let asks = |role: &str, served: bool| {
            let stack = serde_json::json!({
                "blueprint": "shop", "blueprint_version": 1, "tag": "1", "variables": {}, "served": served,
                "services": [{"name": "web", "role": "application"}, {"name": "more", "role": role}],
            });
            asks_for_backup(&serde_json::from_value(stack).unwrap())
        };
        assert!(asks("data", true));
        assert!(!asks("data", false), "it never served");
        assert!(!asks("application", true), "it has no data");
    }
}
