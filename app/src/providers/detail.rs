//! The page of an account.

use domain::{
    provider::{Breaker, CallBudget, Capability, ProviderStatus, ProviderView},
    time::SECOND,
};
use leptos::{html, prelude::*, server_fn::ServerFn};
use leptos_router::hooks::use_params_map;

use super::{
    ProviderPage,
    api::{self, ActOnProvider, ReplaceSecret},
    domains, schema,
};
use crate::{
    Fault,
    context::now,
    live::live_one,
    routes,
    routes::testid,
    ui::{
        ActionsPanel, Code, Confirm, Fact, Facts, FormFault, History, Id, LinkButton, Loaded, Meter, Notice, Outcome,
        PageHead, Section, Status, Submit, Time, Tone, fault_of, length,
    },
};

/// The page of an account.
#[component]
pub fn ProviderDetailPage() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.get().get("id").unwrap_or_default());
    let act = ServerAction::<ActOnProvider>::new();
    let replace = ServerAction::<ReplaceSecret>::new();
    // What is gone is not asked for again while the page is being left.
    let leaving = StoredValue::new(false);
    let acted = Memo::new(move |before: Option<&usize>| {
        let version = act.version().get();
        let gone = leaving.get_value() && matches!(act.value().get_untracked(), Some(Ok(_)));
        before.copied().filter(|_| gone).unwrap_or(version)
    });
    let changed = live_one(&[], id.get_untracked());
    let page = Resource::new(
        move || (id.get(), changed.get(), acted.get(), replace.version().get()),
        |(id, ..)| async move { api::show(id.parse().map_err(|_| Fault::not_found())?).await },
    );
    view! {
        <Outcome of=act.value() />
        <Loaded from=page let:page>
            {shown(page, act, leaving, replace)}
        </Loaded>
    }
}

fn shown(
    page: ProviderPage,
    act: ServerAction<ActOnProvider>,
    leaving: StoredValue<bool>,
    replace: ServerAction<ReplaceSecret>,
) -> impl IntoView {
    let ProviderPage { mut provider, secret_schema, has_blueprints, zones, history } = page;
    let has_secret = !schema::fields(&secret_schema).is_empty();
    if !has_secret {
        // There is nothing that could take its place.
        provider.actions.retain(|action| action.identity != "replace-secret");
    }
    let (status, checked) = (provider.status, provider.last_checked_at);
    let (name, id) = (provider.name.clone(), provider.id.clone());
    let pending = Signal::derive(move || act.input().get().map(|input| input.identity));
    let on_act = {
        let id = id.clone();
        move |identity: String| {
            leaving.set_value(identity == "disconnect");
            act.dispatch(ActOnProvider { id: id.clone(), identity });
        }
    };
    let consequence = match has_secret {
        true => format!(
            "Removes the account {name} and its sealed secret. Nodes can no longer be acquired through it; \
             to connect it again the secret is needed."
        ),
        false => format!("Removes the account {name}. Nodes can no longer be acquired through it."),
    };
    let facts = facts(&provider, has_secret);
    let guidance = guidance(&provider);
    let reminder = domains::reminder(&provider);
    let zones = zones.map(|zones| domains::section(&provider.id, zones));
    let breaker = breaker(&provider, act);
    let budget = budget(&provider, has_blueprints);
    let blueprints = has_blueprints.then(|| {
        view! { <LinkButton href=routes::BLUEPRINTS>"Blueprints"</LinkButton> }
    });
    let secret = has_secret.then(|| {
        let secret = secret_form(id.to_string(), &secret_schema, replace);
        view! {
            <Section
                title="Replace secret"
                id="secret"
                note="The vendor is asked first: a secret that it refuses is not kept, and the old one stays in use."
            >
                {secret}
            </Section>
        }
    });
    view! {
        <PageHead
            title=name
            beside=move || view! { <Status word=status.as_str() /> }
            note=move || view! { "Checked " <Time at=checked /> }
        >
            {blueprints}
            <LinkButton href=routes::PROVIDERS>"All providers"</LinkButton>
        </PageHead>
        {guidance}
        {reminder}
        {breaker}
        {facts}
        {budget}
        <div class="detail">
            <div class="detail-side">
                <ActionsPanel
                    actions=provider.actions
                    id=id.to_string()
                    url=ActOnProvider::url()
                    on_act=on_act
                    pending=pending
                    confirms=vec![Confirm { identity: "disconnect", consequence, type_name: None, choice: None }]
                    links=vec![
                        ("create-server", routes::acquire_through(&id)),
                        ("create-dns-record", routes::dns_create_in(&id)),
                        ("replace-secret", "#secret".to_owned()),
                    ]
                />
            </div>
            <div class="detail-main">
                {zones}
                {secret}
                <Section title="History" id="history">
                    <History entries=history />
                </Section>
            </div>
        </div>
    }
}

fn guidance(account: &ProviderView) -> impl IntoView + use<> {
    let message = account.last_message.clone();
    let code = account.last_code.map(|code| code.as_str().to_owned());
    let lines = account.guidance.clone();
    let status = account.status;
    (status != ProviderStatus::Connected).then(|| {
        let lines = lines.into_iter().map(|line| view! { <li>{line}</li> }).collect_view();
        view! {
            <Notice tone=Tone::Warn title=format!("The account is {status}")>
                <p>
                    {message} " " <Code value=code />
                </p>
                <ul class="guidance">{lines}</ul>
            </Notice>
        }
    })
}

/// The row of failures, and the button that forgets it.
fn breaker(account: &ProviderView, act: ServerAction<ActOnProvider>) -> impl IntoView + use<> {
    let id = account.id.to_string();
    let may = account.actions.iter().any(|action| action.identity == "reset-breaker" && action.enabled);
    let present = now();
    account.breaker.clone().map(|breaker| {
        let Breaker { failures, code, open_until } = breaker;
        let count = match failures {
            1 => "1 acquisition failed".to_owned(),
            more => format!("{more} acquisitions in a row failed"),
        };
        let open = open_until.filter(|until| *until > present.get_untracked());
        let (title, tone) = match open {
            Some(_) => ("Held up: no more is acquired through it for now", Tone::Bad),
            None => ("Acquisitions through it failed lately", Tone::Warn),
        };
        let guidance = code.map(|code| code.recovery().next_step);
        let code = code.map(|code| code.as_str().to_owned());
        let busy = Signal::derive(move || act.input().get().is_some_and(|input| input.identity == "reset-breaker"));
        let again = may.then(|| {
            view! {
                <ActionForm action=act attr:class="row-form">
                    <input type="hidden" name="id" value=id />
                    <input type="hidden" name="identity" value="reset-breaker" />
                    <Submit busy=busy quiet=true small=true>
                        "Try again now"
                    </Submit>
                </ActionForm>
            }
        });
        view! {
            <Notice tone=tone title=title testid=testid::BREAKER>
                <p>
                    {count} {code.map(|code| view! { ", the last one with " <Code value=code /> })} ". "
                    {open.map(|until| view! { "It goes on by itself " <Time at=until /> ". " })}
                    {guidance}
                </p>
                {again}
            </Notice>
        }
    })
}

/// What is left of the calls, and what it owns there. An engine counts no calls.
fn budget(account: &ProviderView, has_blueprints: bool) -> impl IntoView + use<> {
    let makes_nodes = account.capabilities.contains(&Capability::Provision);
    let (owned, observed, nodes) = (account.owned, account.observed_at, account.nodes);
    let calls = match account.budget {
        Some(CallBudget { limit, remaining, full_in_seconds }) => {
            let full = match full_in_seconds {
                0 => "It is full.".to_owned(),
                seconds => format!("It is full again in {}.", length(i64::from(seconds) * SECOND)),
            };
            let low = limit / 5;
            let little = (remaining < low)
                .then_some(" Little is left: Hangar looks less often, and keeps some for creating and destroying.");
            view! {
                <Meter value=remaining most=limit low=low label="Calls left">
                    {remaining} " of " {limit} " calls left. " {full} {little}
                </Meter>
            }
            .into_any()
        }
        None if has_blueprints => ().into_any(),
        None => view! {
            <p class="muted">
                "The vendor has not said yet how many calls are left; it does so with its next answer."
            </p>
        }
        .into_any(),
    };
    let there = if has_blueprints { "on the engine" } else { "at the vendor" };
    let owns = match owned {
        None => format!("What it owns {there} was not counted yet."),
        Some(owned) if owned == nodes => format!("Owns {owned} {there}, as many as are recorded here."),
        Some(owned) => format!("Owns {owned} {there}; {nodes} are recorded here."),
    };
    let differs = owned.is_some_and(|owned| owned != nodes);
    makes_nodes.then(|| {
        view! {
            <div class="panel stack budget" data-testid=testid::BUDGET>
                {calls}
                <p>
                    {owns}
                    {differs
                        .then(|| {
                            view! {
                                " "
                                <a class="link" href=routes::ORPHANS>
                                    "See what differs"
                                </a>
                            }
                        })}
                    {observed.map(|at| view! { <span class="muted">" Observed " <Time at=at /> "."</span> })}
                </p>
            </div>
        }
    })
}

fn facts(account: &ProviderView, has_secret: bool) -> impl IntoView + use<> {
    let settings: Vec<_> = account.settings.clone().into_iter().collect();
    let settings = settings
        .into_iter()
        .map(|(name, value)| {
            let plain = value.trim_matches('"').to_owned();
            view! {
                <Fact label=sentence(&name)>
                    <Code value=plain />
                </Fact>
            }
        })
        .collect_view();
    let offers: Vec<&str> = account.capabilities.iter().map(|one| one.as_str()).collect();
    let (offers, message) = (offers.join(", "), account.last_message.clone());
    let (kind, id, nodes) = (account.display_name.clone(), account.id.to_string(), account.nodes);
    let (connected, checked) = (account.connected_at, account.last_checked_at);
    let href = format!("{}?provider={id}", routes::NODES);
    let sealed = account.secret_configured;
    let makes_nodes = account.capabilities.contains(&Capability::Provision);
    let nodes = makes_nodes.then(|| {
        view! {
            <Fact label="Live nodes">
                <a class="link" href=href>
                    {nodes}
                </a>
            </Fact>
        }
    });
    let holds_zones = account.capabilities.contains(&Capability::Dns);
    let ends = account.expires_at;
    // Only some vendors let a credential end, and say when.
    let ends = (holds_zones || ends.is_some()).then(|| {
        let when = match ends {
            Some(at) => view! { <Time at=at /> }.into_any(),
            None => "the vendor names no end".into_any(),
        };
        view! { <Fact label="Credential ends">{when}</Fact> }
    });
    view! {
        <Facts>
            <Fact label="Kind">{kind}</Fact>
            <Fact label="Secret">{schema::secret_words(has_secret, sealed)}</Fact>
            {nodes}
            {ends}
            <Fact label="First connected">
                <Time at=connected />
            </Fact>
            <Fact label="Checked">
                <Time at=checked />
            </Fact>
            <Fact label="Id">
                <Id value=id />
            </Fact>
            {settings}
            <Fact label="Last check" wide=true>
                {message.unwrap_or_else(|| "Not checked yet.".to_owned())}
            </Fact>
            <Fact label="Capabilities" wide=true>
                {offers}
            </Fact>
        </Facts>
    }
}

/// A setting's name as people write it.
fn sentence(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn secret_form(
    id: String,
    secret_schema: &serde_json::Value,
    replace: ServerAction<ReplaceSecret>,
) -> impl IntoView + use<> {
    let fault = fault_of(replace.value());
    let pending = replace.pending();
    let explained = schema::explanation(secret_schema);
    let fields = schema::draw("", "secret", schema::fields(secret_schema), &Default::default(), fault);
    let node = NodeRef::<html::Form>::new();
    // A secret that is in use does not stay in the page.
    Effect::new(move |before: Option<usize>| {
        let version = replace.version().get();
        if before.is_some_and(|before| before != version)
            && matches!(replace.value().get_untracked(), Some(Ok(_)))
            && let Some(form) = node.get_untracked()
        {
            form.reset();
        }
        version
    });
    let accepted = move || {
        matches!(replace.value().get(), Some(Ok(_))).then(|| {
            view! {
                <Notice tone=Tone::Ok title="The new secret is in use" testid=testid::OUTCOME>
                    <p>"The vendor accepted it; the old one is forgotten."</p>
                </Notice>
            }
        })
    };
    view! {
        <div class="panel" data-testid=testid::REPLACE_SECRET>
            <ActionForm action=replace attr:class="form" node_ref=node>
                {explained}
                <input type="hidden" name="id" value=id />
                {fields}
                <Submit busy=pending>"Replace secret"</Submit>
            </ActionForm>
            <FormFault fault=fault />
            {accepted}
        </div>
    }
}
