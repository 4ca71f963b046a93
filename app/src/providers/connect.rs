//! The form that connects an account, made from the schemas of the chosen kind. The rule: whatever
//! the vendor says of the credential, what was typed stays.

use std::collections::BTreeMap;

use domain::provider::{Capability, DemoHint, ProviderKindView, ProviderStatus, ProviderView, ProvidersPage};
use leptos::{html, prelude::*};

use super::{api::ConnectProvider, schema};
use crate::{
    Fault, routes,
    routes::testid,
    ui::{Choice, Code, FormFault, LinkButton, Notice, SelectField, Submit, TextField, Tone, fault_of},
};

/// What must outlive a refetch of the page.
#[derive(Clone, Copy)]
pub(super) struct Connecting {
    /// The action.
    pub action: ServerAction<ConnectProvider>,
    /// The chosen kind; the preselected one while empty.
    pub kind: RwSignal<String>,
}

impl Connecting {
    pub fn new(kind: String) -> Self {
        Self { action: ServerAction::new(), kind: RwSignal::new(kind) }
    }
}

/// The form.
pub(super) fn form(page: &ProvidersPage, state: Connecting) -> impl IntoView + use<> {
    let Connecting { action, kind } = state;
    let fault = fault_of(action.value());
    let pending = action.pending();
    let (kinds, hints, preselected) = (page.kinds.clone(), page.demo_hints.clone(), page.preselected_kind.clone());
    // A first try that went wrong is mended under its own name.
    let stuck = page.accounts.iter().all(|account| account.status != ProviderStatus::Connected);
    let first_name = match page.accounts.first() {
        Some(account) if stuck => Some(account.name.clone()),
        Some(_) => None,
        None => (!hints.is_empty()).then(|| "demo".to_owned()),
    };
    let stacked: Vec<String> = kinds.iter().filter(|kind| kind.has_blueprints).map(|kind| kind.kind.clone()).collect();
    let known: Vec<String> = kinds.iter().map(|kind| kind.kind.clone()).collect();
    let choices: Vec<Choice> =
        kinds.iter().map(|kind| Choice::new(kind.kind.clone(), kind.display_name.clone())).collect();
    let chosen = Signal::derive(move || {
        let wanted = kind.get();
        let fits = [wanted, preselected.clone()].into_iter().find(|one| known.contains(one));
        fits.or_else(|| known.first().cloned()).unwrap_or_default()
    });
    let node = NodeRef::<html::Form>::new();
    // A form whose account is connected is done with; after a refusal it keeps what was typed.
    Effect::new(move |before: Option<usize>| {
        let version = action.version().get();
        let done =
            matches!(action.value().get_untracked(), Some(Ok(account)) if account.status == ProviderStatus::Connected);
        if before.is_some_and(|before| before != version)
            && done
            && let Some(form) = node.get_untracked()
        {
            form.reset();
        }
        version
    });
    let fields = kinds.iter().map(|kind| kind_fields(kind, &hints, chosen, fault)).collect_view();
    view! {
        <div class="panel" data-testid=testid::CONNECT>
            <ActionForm action=action attr:class="form" node_ref=node>
                <SelectField
                    name="kind"
                    label="Kind"
                    choices=choices
                    value=chosen
                    on_change=move |word: String| kind.set(word)
                    pointer="/kind"
                    fault=fault
                />
                <TextField
                    name="name"
                    label="Name"
                    value=first_name
                    help="What people call the account here; no other account may have it.".to_owned()
                    pointer="/name"
                    fault=fault
                    required=true
                />
                {fields}
                <Submit busy=pending>"Connect account"</Submit>
            </ActionForm>
            <FormFault fault=fault />
            {move || answer(action.value().get(), &stacked)}
        </div>
    }
}

/// The fields of a kind. Those of every kind are there, so that nothing typed is lost by looking at
/// another one; only those of the chosen kind are shown and sent.
fn kind_fields(
    kind: &ProviderKindView,
    hints: &[DemoHint],
    chosen: Signal<String>,
    fault: Signal<Option<Fault>>,
) -> impl IntoView + use<> {
    let hint = hints.iter().find(|hint| hint.kind == kind.kind);
    let none = BTreeMap::new();
    let (secret, settings) = hint.map_or((&none, &none), |hint| (&hint.secret, &hint.settings));
    let secrets = schema::fields(&kind.secret_schema);
    let then = match secrets.is_empty() {
        true => "Hangar tries the connection at once and says what it found.",
        false => {
            "Hangar asks the vendor at once whether the credential works. The secret is stored sealed and never shown again."
        }
    };
    let secret = schema::draw(&kind.kind, "secret", secrets, secret, fault);
    // Where it is comes before the key to it, and what is usually left empty after both.
    let (needed, usual): (Vec<_>, Vec<_>) =
        schema::fields(&kind.settings_schema).into_iter().partition(schema::SchemaField::is_required);
    let needed = schema::draw(&kind.kind, "settings", needed, settings, fault);
    let usual = schema::draw(&kind.kind, "settings", usual, settings, fault);
    let explained = [&kind.settings_schema, &kind.secret_schema].map(schema::explanation).collect_view();
    let note = hint.map(|_| {
        view! { <p class="form-note">"Demo: the address and the token of the simulated vendor are filled in already."</p> }
    });
    let other = {
        let kind = kind.kind.clone();
        Memo::new(move |_| chosen.get() != kind)
    };
    view! {
        <fieldset class="form fieldset" disabled=other hidden=other>
            <legend class="visually-hidden">{kind.display_name.clone()}</legend>
            {explained}
            {needed}
            {secret}
            {usual}
            {note}
            <p class="form-note">{then}</p>
        </fieldset>
    }
}

/// How it went. Accounts of the kinds in `stacked` make nodes out of blueprints.
fn answer(value: Option<Result<ProviderView, Fault>>, stacked: &[String]) -> Option<AnyView> {
    let account = value?.ok()?;
    let href = routes::provider(&account.id);
    let name = account.name.clone();
    let message = account.last_message.clone();
    let connected = account.status == ProviderStatus::Connected;
    Some(if connected {
        let makes_nodes = account.capabilities.contains(&Capability::Provision);
        let holds_zones = account.capabilities.contains(&Capability::Dns) && !makes_nodes;
        let create = routes::dns_create_in(&account.id);
        let acquire = routes::acquire_through(&account.id);
        let blueprints = stacked.contains(&account.kind).then(|| {
            view! {
                <LinkButton href=routes::BLUEPRINTS small=true>
                    "Blueprints"
                </LinkButton>
                " "
            }
        });
        view! {
            <Notice tone=Tone::Ok title=format!("{name} is connected") testid=testid::OUTCOME>
                <p>{message}</p>
                <p>
                    {blueprints}
                    {makes_nodes
                        .then(|| {
                            view! {
                                <LinkButton href=acquire small=true>
                                    "Acquire a node"
                                </LinkButton>
                            }
                        })}
                    {holds_zones
                        .then(|| {
                            view! {
                                <LinkButton href=create small=true>
                                    "Create a DNS record"
                                </LinkButton>
                            }
                        })} " " <LinkButton href=href small=true>"Open the account"</LinkButton>
                </p>
            </Notice>
        }
        .into_any()
    } else {
        let code = account.last_code.map(|code| code.as_str().to_owned());
        let guidance = account.guidance.into_iter().map(|line| view! { <li>{line}</li> }).collect_view();
        view! {
            <Notice
                tone=Tone::Warn
                title=format!("{name} is stored, but {}", account.status)
                testid=testid::OUTCOME
            >
                <p>
                    {message} " " <Code value=code />
                </p>
                <ul class="guidance">{guidance}</ul>
                <p>
                    "What you typed is still in the form: correct it and send it again under the same name, or "
                    <a class="link" href=href>
                        "open the account"
                    </a> "."
                </p>
            </Notice>
        }
        .into_any()
    })
}
