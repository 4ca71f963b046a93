//! The page of an account.

use domain::provider::{ProviderStatus, ProviderView};
use leptos::{html, prelude::*, server_fn::ServerFn};
use leptos_router::hooks::use_params_map;

use super::{
    ProviderPage,
    api::{self, ActOnProvider, ReplaceSecret},
    schema,
};
use crate::{
    Fault,
    live::live_one,
    routes,
    routes::testid,
    ui::{
        ActionsPanel, Code, Confirm, Fact, Facts, FormFault, History, Id, LinkButton, Loaded, Notice, Outcome,
        PageHead, Section, Status, Submit, Time, Tone, fault_of,
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
    let ProviderPage { provider, secret_schema, history } = page;
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
    let consequence = format!(
        "Removes the account {name} and its sealed secret. Nodes can no longer be acquired through it; \
         to connect it again the secret is needed."
    );
    let facts = facts(&provider);
    let guidance = guidance(&provider);
    let secret = secret_form(id.to_string(), &secret_schema, replace);
    view! {
            <PageHead
                title=name
                beside=move || view! { <Status word=status.as_str() /> }
                note=move || view! { "Checked " <Time at=checked /> }
            >
                <LinkButton href=routes::PROVIDERS>"All providers"</LinkButton>
            </PageHead>
            {guidance}
            {facts}
            <div class="detail"><div class="detail-side">
            <ActionsPanel
                actions=provider.actions
                id=id.to_string()
                url=ActOnProvider::url()
                on_act=on_act
                pending=pending
                confirms=vec![Confirm { identity: "disconnect", consequence, type_name: None }]
                links=vec![
                    ("create-server", format!("{}?account={id}#acquire", routes::NODES)),
                    ("replace-secret", "#secret".to_owned()),
                ]
            />
    </div><div class="detail-main"><Section
                title="Replace secret"
                id="secret"
                note="The vendor is asked first: a secret that it refuses is not kept, and the old one stays in use."
            >
                {secret}
            </Section>
            <Section title="History" id="history">
                <History entries=history />
            </Section></div></div>
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

fn facts(account: &ProviderView) -> impl IntoView + use<> {
    let settings: Vec<_> = account.settings.clone().into_iter().collect();
    let settings = settings
        .into_iter()
        .map(|(name, value)| {
            let plain = value.trim_matches('"').to_owned();
            view! {
                <Fact label=name.replace('_', " ")>
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
    view! {
        <Facts>
            <Fact label="Kind">{kind}</Fact>
            <Fact label="Secret">{if sealed { "configured, sealed" } else { "none" }}</Fact>
            <Fact label="Live nodes">
                <a class="link" href=href>
                    {nodes}
                </a>
            </Fact>
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

fn secret_form(
    id: String,
    secret_schema: &serde_json::Value,
    replace: ServerAction<ReplaceSecret>,
) -> impl IntoView + use<> {
    let fault = fault_of(replace.value());
    let pending = replace.pending();
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
                <input type="hidden" name="id" value=id />
                {fields}
                <Submit busy=pending>"Replace secret"</Submit>
            </ActionForm>
            <FormFault fault=fault />
            {accepted}
        </div>
    }
}
