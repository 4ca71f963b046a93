//! The page with the form that acquires a node: one form, the price of exactly what is chosen beside
//! the button. Without JavaScript it posts as it is, and what is left open is chosen by the server.

use domain::{
    id::ProviderId,
    node::AcquireOptions,
    provider::{ProviderStatus, ProviderView},
    spending::{Hold, HoldKind},
    valid::{PoolName, ProfileName},
};
use leptos::{either::Either, html, prelude::*};
use leptos_router::hooks::use_query_map;

use super::{
    api::{self, AcquireNode},
    choose::Wanted,
    machine::{self, Machine},
    naming::{self, Naming},
};
use crate::{
    Fault,
    live::live,
    routes,
    routes::testid,
    ui::{
        CheckField, Choice, FormFault, LinkButton, Loaded, Notice, PageHead, SelectField, Submit, TextArea, TextField,
        Tone, fault_of,
    },
};

/// Fields that are folded away.
const FOLDED: [&str; 6] =
    ["/max_price_monthly", "/firewalls", "/labels", "/fallbacks/0", "/fallbacks/1", "/fallbacks/2"];

/// The page.
#[component]
pub(super) fn AcquirePage() -> impl IntoView {
    let account = use_query_map().get_untracked().get("account").and_then(|id| id.parse().ok());
    let state = Acquiring::new(account);
    let changed = live(&["provider", "setting"]);
    let options =
        Resource::new(move || (state.account.get(), changed.get()), |(account, _)| api::acquire_options(account));
    view! {
        <PageHead
            title="Acquire node"
            note=|| "One form: Hangar creates the server, prepares it, checks it and puts it into its pool."
        >
            <LinkButton href=routes::NODES>"All nodes"</LinkButton>
        </PageHead>
        <Loaded from=options let:options>
            {form(options, state)}
        </Loaded>
    }
}

/// What must outlive a refetch of the options.
#[derive(Clone, Copy)]
pub(super) struct Acquiring {
    /// The action.
    pub action: ServerAction<AcquireNode>,
    /// The account whose catalogue is shown; the server's choice while `None`.
    pub account: RwSignal<Option<ProviderId>>,
    /// What was chosen out of it.
    pub wanted: RwSignal<Wanted>,
    /// What was typed of its name.
    pub naming: Naming,
}

impl Acquiring {
    pub fn new(account: Option<ProviderId>) -> Self {
        Self {
            action: ServerAction::new(),
            account: RwSignal::new(account),
            wanted: RwSignal::new(Wanted::default()),
            naming: Naming::new(),
        }
    }
}

/// The form, or why there is none.
fn form(options: AcquireOptions, state: Acquiring) -> impl IntoView {
    let connected = options.providers.iter().any(|account| account.status == ProviderStatus::Connected);
    if connected { Either::Left(filled(options, state)) } else { Either::Right(no_account(&options.providers)) }
}

fn no_account(accounts: &[ProviderView]) -> impl IntoView + use<> {
    let (why, next) = if accounts.is_empty() {
        ("Nodes are acquired through an account at a vendor, and none is connected yet.", "Connect an account")
    } else {
        (
            "Nodes are acquired through an account whose credential works, and at the moment none does. Its guidance says what to do.",
            "See the accounts",
        )
    };
    view! {
        <Notice tone=Tone::Warn title="No account is connected" testid=testid::NO_ACCOUNT>
            <p>{why}</p>
            <p>
                <LinkButton href=routes::PROVIDERS primary=true>
                    {next}
                </LinkButton>
            </p>
        </Notice>
    }
}

fn filled(options: AcquireOptions, state: Acquiring) -> impl IntoView {
    let AcquireOptions {
        providers,
        selected,
        catalog,
        pools,
        suggested_cockpit_url,
        suggested_profile,
        profiles,
        profile_note,
        hold,
        dns,
        blueprints: _,
    } = options;
    let fault = fault_of(state.action.value());
    let pending = state.action.pending();
    let account = account_field(&providers, selected, state, fault);
    let Machine { age, fields, fallbacks, price, prices } = match catalog {
        Ok(catalog) => machine::of_catalog(catalog, state, fault),
        Err(why) => machine::in_words(why, fault),
    };
    // Opened for a marked field, never closed by an answer of the server.
    let marked =
        |fault: Option<Fault>| fault.is_some_and(|fault| FOLDED.iter().any(|name| fault.field(name).is_some()));
    let more = NodeRef::<html::Details>::new();
    Effect::new(move |_| {
        if marked(fault.get())
            && let Some(more) = more.get()
        {
            // An element of the page takes any attribute with a proper name.
            let _ = more.set_attribute("open", "");
        }
    });
    // Written by the server alone: with every answer the browser would take the attribute away again.
    let open = cfg!(feature = "ssr") && marked(fault.get_untracked());
    let held = hold.is_some();
    let hold = hold.map(hold_notice);
    let ceiling = move |amount: String| state.wanted.update(|wanted| wanted.ceiling = amount);
    let folded = view! {
        <summary>"More: fallbacks, price ceiling, firewalls, labels"</summary>
        <div class="form">
            {fallbacks}
            <TextField
                name="form[max_price_monthly]"
                label="At most per month"
                pointer="/max_price_monthly"
                fault=fault
                placeholder="10.00".to_owned()
                help="Nothing dearer is acquired, whatever the fallbacks say.".to_owned()
                on_input=ceiling
            />
            <CheckField name="form[ipv6_only]" label="IPv6 only: no IPv4 address is ordered" />
            <TextField
                name="form[firewalls]"
                label="Firewalls"
                pointer="/firewalls"
                fault=fault
                mono=true
                placeholder="web, ssh-only".to_owned()
                help="Names or ids of firewalls at the vendor, separated by commas. They must let SSH in.".to_owned()
            />
            <TextArea
                name="form[labels]"
                label="Labels"
                pointer="/labels"
                fault=fault
                rows=2
                placeholder="team=platform"
                help="Put on the server at the vendor beside Hangar's own: key=value, one a line."
            />
        </div>
    };
    let folded = if open {
        view! {
            <details class="more" open=true>
                {folded}
            </details>
        }
        .into_any()
    } else {
        view! {
            <details class="more" node_ref=more>
                {folded}
            </details>
        }
        .into_any()
    };
    view! {
        <div class="panel acquire" data-testid=testid::ACQUIRE>
            {hold}
            <ActionForm action=state.action attr:class="form">
                {account}
                <TextField
                    name="form[name]"
                    label="Name"
                    pointer="/name"
                    fault=fault
                    placeholder="alpha".to_owned()
                    help="Lower-case letters, digits and hyphens, up to 54.".to_owned()
                    mono=true
                    required=true
                    on_input=move |name: String| state.naming.node.set(name)
                />
                {fields}
                {age}
                {naming::fields(dns, state.naming, fault)}
                {pool_field(pools, fault)}
                <TextField
                    name="form[cockpit_url]"
                    label="Cockpit URL"
                    value=suggested_cockpit_url
                    pointer="/cockpit_url"
                    fault=fault
                    mono=true
                    help="Where its users open it. {name}, {ipv4} and, with a DNS name, {fqdn} stand for its own; empty for none."
                        .to_owned()
                />
                <CheckField
                    name="form[verify_cockpit]"
                    label="Ready only once the cockpit answers"
                />
                {profile_field(profiles, suggested_profile, profile_note, fault)}
                {folded}
                <div class="form-end">
                    <Submit busy=pending blocked=held>
                        "Acquire node"
                    </Submit>
                    {price}
                </div>
            </ActionForm>
            <FormFault fault=fault />
        </div>
        {prices}
    }
}

fn account_field(
    providers: &[ProviderView],
    selected: Option<ProviderId>,
    state: Acquiring,
    fault: Signal<Option<Fault>>,
) -> impl IntoView + use<> {
    let choices: Vec<Choice> = providers
        .iter()
        .map(|account| {
            let label = format!("{} ({})", account.name, account.display_name);
            match account.status {
                ProviderStatus::Connected => Choice::new(account.id.to_string(), label),
                other => Choice::new(account.id.to_string(), format!("{label} · {other}")).disabled(),
            }
        })
        .collect();
    let shown = selected.clone();
    let value = Signal::derive(move || state.account.get().or(shown.clone()).map(String::from).unwrap_or_default());
    // Without JavaScript these lead to the form with the other account's catalogue.
    let others: Vec<_> = providers
        .iter()
        .filter(|account| account.status == ProviderStatus::Connected && Some(&account.id) != selected.as_ref())
        .map(|account| {
            let href = routes::acquire_through(&account.id);
            view! {
                " "
                <a class="link" href=href rel="external">
                    {account.name.clone()}
                </a>
            }
        })
        .collect();
    let others =
        (!others.is_empty()).then(|| view! { <p class="field-help">"Catalogue of another account:" {others}</p> });
    view! {
        <SelectField
            name="form[provider_id]"
            label="Provider"
            choices=choices
            value=value
            on_change=move |id: String| state.account.set(id.parse().ok())
            pointer="/provider_id"
            fault=fault
        />
        {others}
    }
}

/// What keeps every acquisition from being begun, and where that is changed.
fn hold_notice(hold: Hold) -> impl IntoView {
    let next = match hold.kind {
        HoldKind::Paused => "Let it go on under Settings",
        HoldKind::Cap => "See the spending cap",
    };
    view! {
        <Notice tone=Tone::Warn title="Nothing can be acquired now" testid=testid::HOLD>
            <p>{hold.reason}</p>
            <p>
                <a class="link" href=routes::SETTINGS>
                    {next}
                </a>
            </p>
        </Notice>
    }
}

fn pool_field(pools: Vec<PoolName>, fault: Signal<Option<Fault>>) -> impl IntoView {
    let choices: Vec<Choice> = pools
        .into_iter()
        .map(|name| Choice::new(name.to_string(), name.to_string()))
        .chain([Choice::new("", "none: it is not handed out")])
        .collect();
    view! {
        <SelectField
            name="form[pool]"
            label="Pool"
            choices=choices
            value=PoolName::default_pool().to_string()
            pointer="/pool"
            fault=fault
            help="Once it is ready, it is handed out from there.".to_owned()
        />
    }
}

fn profile_field(
    profiles: Vec<ProfileName>,
    suggested: ProfileName,
    note: Option<String>,
    fault: Signal<Option<Fault>>,
) -> impl IntoView {
    let says = |name: &ProfileName| match name.as_str() {
        "none" => "none: ready as soon as the vendor reports it running".to_owned(),
        "base" => "base: Hangar logs in over SSH, prepares it and checks that it is ready".to_owned(),
        own => own.to_owned(),
    };
    let choices = profiles.iter().map(|name| Choice::new(name.to_string(), says(name))).collect::<Vec<_>>();
    let links: Vec<_> = profiles
        .iter()
        .filter(|name| name.has_login())
        .map(|name| {
            let (href, name) = (routes::profile(name), name.to_string());
            view! {
                " "
                <a class="link" href=href>
                    {name}
                </a>
            }
        })
        .collect();
    view! {
        <SelectField
            name="form[profile]"
            label="Profile"
            choices=choices
            value=suggested.to_string()
            pointer="/profile"
            fault=fault
            help=note
        />
        <p class="field-help">"What a profile installs and runs:" {links}</p>
    }
}
