//! The page of a node.

use domain::{
    node::{Cleanup, Drift, NodeState, NodeView},
    valid::{CockpitUrl, amount_rounded},
};
use leptos::{prelude::*, server_fn::ServerFn};
use leptos_router::hooks::use_params_map;

use super::{
    NodePage,
    api::{self, ActOnNode},
};
use crate::{
    Fault,
    live::live_one,
    routes,
    routes::testid,
    ui::{
        ActionsPanel, Cell, Cockpit, Code, Column, Confirm, Fact, Facts, History, Id, JobCard, LinkButton, Loaded,
        Notice, Outcome, PageHead, Row, Section, Status, Table, Time, Tone,
    },
};

const DRIFT: &[Column] =
    &[Column::text("Field"), Column::text("Recorded"), Column::text("Observed"), Column::text("Guidance")];

/// The page of a node.
#[component]
pub fn NodeDetailPage() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.get().get("id").unwrap_or_default());
    let act = ServerAction::<ActOnNode>::new();
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

fn shown(page: NodePage, act: ServerAction<ActOnNode>) -> impl IntoView {
    let NodePage { node, jobs, history } = page;
    let (state, observed) = (node.state, node.freshness.observed_at);
    let cockpit: Option<CockpitUrl> =
        node.cockpit_url.as_deref().filter(|_| state == NodeState::Ready).and_then(|url| url.parse().ok());
    let has_cockpit = cockpit.is_some();
    let failure = failure(&node);
    let facts = facts(&node);
    let health = health(&node);
    let drift = drift(node.drift.clone());
    let actions = actions(&node, act);
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
            note=move || match observed {
                Some(at) => view! { "Observed at the vendor " <Time at=at /> }.into_any(),
                None => view! { "Not observed at the vendor yet" }.into_any(),
            }
        >
            {has_cockpit.then(|| view! { <Cockpit url=cockpit primary=true /> })}
            <LinkButton href=routes::NODES>"All nodes"</LinkButton>
        </PageHead>
        {failure}
        {drift}
        {facts}
        <div class="detail">
            <div class="detail-side">{actions}</div>
            <div class="detail-main">
                {health} <Section title="Jobs" id="jobs" note="What worked on it, newest first.">
                    {jobs}
                </Section> <Section title="History" id="history">
                    <History entries=history />
                </Section>
            </div>
        </div>
    }
}

/// Why it failed and what to do, and what is left to take away.
fn failure(node: &NodeView) -> impl IntoView + use<> {
    let stage = node.failed_stage.map(NodeState::as_str);
    let message = node.message.clone();
    let failed = node.code.filter(|_| node.state == NodeState::Failed).map(|code| {
        let recovery = code.recovery();
        let title = match stage {
            Some(stage) => format!("Failed while {stage}: {}", code.title()),
            None => code.title().to_owned(),
        };
        view! {
            <Notice tone=Tone::Bad title=title>
                <p>
                    {message} " " <Code value=code.as_str().to_owned() />
                </p>
                <dl class="recovery">
                    <dt>"Cause"</dt>
                    <dd>{recovery.cause}</dd>
                    <dt>"Policy context"</dt>
                    <dd>{recovery.policy_context}</dd>
                    <dt>"Next step"</dt>
                    <dd>{recovery.next_step}</dd>
                    <dt>"Safe retry"</dt>
                    <dd>{recovery.safe_retry}</dd>
                </dl>
            </Notice>
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

fn facts(node: &NodeView) -> impl IntoView + use<> {
    let code = |value: &Option<String>| {
        let value = value.clone();
        view! { <Code value=value /> }.into_any()
    };
    let [host, ipv4, ipv6, fqdn, infra_id, image] =
        [&node.host, &node.ipv4, &node.ipv6, &node.fqdn, &node.infra_id, &node.image].map(code);
    let price = match (&node.price_monthly, &node.currency) {
        (Some(price), Some(currency)) => format!("{} {currency} per month", amount_rounded(price)),
        _ => "—".to_owned(),
    };
    let place = [&node.server_type, &node.location].map(|one| one.clone().unwrap_or_else(|| "—".to_owned()));
    let [server_type, location] = place;
    let pool = node.pool.as_ref().map(|pool| (routes::pool(pool), pool.to_string()));
    let pool = match pool {
        Some((href, name)) => view! {
            <a class="link" href=href>
                {name}
            </a>
        }
        .into_any(),
        None => view! { <span class="none">"—"</span> }.into_any(),
    };
    let cockpit: Option<CockpitUrl> = node.cockpit_url.as_deref().and_then(|url| url.parse().ok());
    let stage = node.failed_stage.map(|stage| {
        view! {
            <Fact label="Failed stage">
                <Status word=stage.as_str() tone_is=Tone::Bad />
            </Fact>
        }
    });
    let (id, created) = (node.id.to_string(), node.created_at);
    // Nothing to take away is nothing to say.
    let cleanup = (node.cleanup != Cleanup::None).then(|| {
        let word = node.cleanup.as_str();
        view! {
            <Fact label="Cleanup">
                <Status word=word />
            </Fact>
        }
    });
    let (account, account_name) = (routes::provider(&node.provider_id), node.provider_name.clone());
    let (kind, profile) = (node.provider.clone(), node.profile.to_string());
    view! {
        <Facts>
            <Fact label="Host">{host}</Fact>
            <Fact label="IPv4">{ipv4}</Fact>
            <Fact label="IPv6">{ipv6}</Fact>
            <Fact label="DNS name">{fqdn}</Fact>
            <Fact label="Provider">
                <a class="link" href=account>
                    {account_name}
                </a>
                <span class="muted">" "{kind}</span>
            </Fact>
            <Fact label="Infra id">{infra_id}</Fact>
            <Fact label="Type">{server_type}</Fact>
            <Fact label="Location">{location}</Fact>
            <Fact label="Image">{image}</Fact>
            <Fact label="Price">{price}</Fact>
            <Fact label="Pool">{pool}</Fact>
            <Fact label="Cockpit">
                <Cockpit url=cockpit />
            </Fact>
            <Fact label="Profile">{profile}</Fact>
            {cleanup}
            {stage}
            <Fact label="Asked for">
                <Time at=created />
            </Fact>
            <Fact label="Id">
                <Id value=id />
            </Fact>
        </Facts>
    }
}

fn health(node: &NodeView) -> impl IntoView + use<> {
    let checked = node.health.checked_at;
    let ready = node.health.ready;
    let codes = node.health.reason_codes.clone();
    let (word, tone) = if ready { ("ready", Tone::Ok) } else { ("not ready", Tone::Warn) };
    let lines = codes
        .into_iter()
        .map(|code| {
            view! {
                <li>
                    <Code value=code.as_str().to_owned() />
                    " "
                    {code.guidance()}
                </li>
            }
        })
        .collect_view();
    let gone = node.state == NodeState::Destroyed;
    (!gone).then(|| {
        view! {
            <Section title="Health" id="health">
                <div class="panel stack">
                    <p>
                        <Status word=word tone_is=tone />
                        {match checked {
                            Some(at) => view! { <span class="muted">" checked " <Time at=at /></span> }.into_any(),
                            None => view! { <span class="muted">" not checked yet"</span> }.into_any(),
                        }}
                    </p>
                    {ready
                        .then(|| {
                            view! { <p class="muted">"Nothing speaks against handing it out."</p> }
                        })}
                    {(!ready).then(|| view! { <ul class="reasons">{lines}</ul> })}
                </div>
            </Section>
        }
    })
}

fn drift(drift: Vec<Drift>) -> impl IntoView {
    (!drift.is_empty()).then(|| {
        let rows = drift
            .into_iter()
            .map(|one| {
                view! {
                    <Row id=one.field.clone()>
                        <Cell label="Field">{one.field}</Cell>
                        <Cell label="Recorded">
                            <Code value=one.recorded />
                        </Cell>
                        <Cell label="Observed">
                            <Code value=one.observed />
                        </Cell>
                        <Cell label="Guidance">{one.guidance}</Cell>
                    </Row>
                }
            })
            .collect_view();
        view! {
            <Section title="Drift" id="drift" note="The vendor says something else than what is recorded.">
                <Table caption="Drift" columns=DRIFT testid=testid::DRIFT>
                    {rows}
                </Table>
            </Section>
        }
    })
}

fn actions(node: &NodeView, act: ServerAction<ActOnNode>) -> impl IntoView + use<> {
    let id = node.id.clone();
    let pending = Signal::derive(move || act.input().get().map(|input| input.identity));
    let names = node.fqdn.as_ref().map(|fqdn| format!(" and its record {fqdn}")).unwrap_or_default();
    let consequence = format!(
        "Destroys the server of {} at {}{names}. What is on it is lost. This cannot be undone.",
        node.name, node.provider_name
    );
    let confirms = vec![
        Confirm { identity: "destroy-node", consequence, type_name: Some(node.name.clone()) },
        Confirm {
            identity: "rebuild-node",
            consequence: format!(
                "Lays the server of {} anew. What is on it is lost. This cannot be undone.",
                node.name
            ),
            type_name: Some(node.name.clone()),
        },
        Confirm {
            identity: "suspend-node",
            consequence: format!("Stops the server of {}. It is kept and still billed.", node.name),
            type_name: None,
        },
    ];
    let on_act = {
        let id = id.clone();
        move |identity: String| {
            act.dispatch(ActOnNode { id: id.clone(), identity });
        }
    };
    view! {
        <ActionsPanel
            actions=node.actions.clone()
            id=id.to_string()
            url=ActOnNode::url()
            on_act=on_act
            pending=pending
            confirms=confirms
        />
    }
}
