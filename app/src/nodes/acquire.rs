//! The page with the form that acquires a node: one form, the price of exactly what is chosen beside
//! the button. Without JavaScript it posts as it is, and what is left open is chosen by the server.

use domain::{
    id::ProviderId,
    node::{AcquireOptions, NodeCreate},
    provider::{ProviderStatus, ProviderView},
    spending::{Hold, HoldKind},
    valid::{PoolName, ProfileName},
};
use leptos::{either::Either, html, prelude::*};
use leptos_router::{hooks::use_query_map, params::ParamsMap};

use super::{
    api::{self, AcquireNode},
    choose::Wanted,
    machine::{self, Machine},
    naming::{self, Naming},
    stack,
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
    let asked = Asked::of(&use_query_map().get_untracked());
    let state = Acquiring::new(asked);
    let changed = live(&["provider", "setting"]);
    let options = Resource::new(
        move || (state.choosing.account.get(), changed.get()),
        |(account, _)| api::acquire_options(account),
    );
    view! {
        <PageHead
            title="Acquire node"
            note=|| "One form: Hangar makes it, prepares it, checks it and puts it into its pool."
        >
            <LinkButton href=routes::NODES>"All nodes"</LinkButton>
        </PageHead>
        <Loaded from=options let:options>
            {form(options, state)}
        </Loaded>
    }
}

/// What the address of a form names, for whoever has no JavaScript to change the form with.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The account.
    pub account: Option<ProviderId>,
    /// The blueprint.
    blueprint: Option<String>,
}

impl Asked {
    /// Out of the address.
    pub fn of(query: &ParamsMap) -> Self {
        Self { account: query.get("account").and_then(|id| id.parse().ok()), blueprint: query.get("blueprint") }
    }
}

/// What was chosen in the fields of a node that is wanted; it outlives a refetch of the options.
#[derive(Clone, Copy)]
pub struct Choosing {
    /// The account whose catalogue or blueprints are shown; the server's choice while `None`.
    pub account: RwSignal<Option<ProviderId>>,
    /// What was chosen out of its catalogue.
    pub(super) wanted: RwSignal<Wanted>,
    /// What was typed of its name.
    naming: Naming,
    /// The chosen blueprint; the first one while empty.
    blueprint: RwSignal<String>,
}

impl Choosing {
    /// As it is asked for, and otherwise as it was wanted `before`, if anything was.
    pub fn new(asked: Asked, before: Option<&NodeCreate>) -> Self {
        let Asked { account, blueprint } = asked;
        let former = before.and_then(|before| before.compose.as_ref()).map(|compose| compose.blueprint.to_string());
        let wanted = before.map(|before| {
            let text = |value: &Option<String>| Some(value.clone().unwrap_or_default());
            Wanted {
                server_type: text(&before.server_type),
                location: text(&before.location),
                image: text(&before.image),
                ceiling: before.max_price_monthly.clone().unwrap_or_default(),
            }
        });
        Self {
            account: RwSignal::new(account.or_else(|| before.map(|before| before.provider_id.clone()))),
            wanted: RwSignal::new(wanted.unwrap_or_default()),
            naming: Naming::new(before),
            blueprint: RwSignal::new(blueprint.or(former).unwrap_or_default()),
        }
    }
}

impl Choosing {
    /// Takes up what was wanted `before`; what was asked for already goes before it.
    pub fn begin(self, before: &NodeCreate) {
        let former = Self::new(Default::default(), Some(before));
        if self.account.get_untracked().is_none() {
            self.account.set(former.account.get_untracked());
        }
        if self.blueprint.with_untracked(String::is_empty) {
            self.blueprint.set(former.blueprint.get_untracked());
        }
        self.wanted.set(former.wanted.get_untracked());
        self.naming.begin(former.naming);
    }
}

/// What must outlive a refetch of the options.
#[derive(Clone, Copy)]
pub(super) struct Acquiring {
    /// The action.
    pub action: ServerAction<AcquireNode>,
    /// What was chosen.
    pub choosing: Choosing,
}

impl Acquiring {
    pub fn new(asked: Asked) -> Self {
        Self { action: ServerAction::new(), choosing: Choosing::new(asked, None) }
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
    let fault = fault_of(state.action.value());
    let pending = state.action.pending();
    let missing = options.blueprints.as_ref().is_some_and(Vec::is_empty);
    let held = options.hold.is_some() || missing;
    let hold = options.hold.clone().map(hold_notice);
    let Fields { body, price, prices } = fields(options, state.choosing, fault, None);
    view! {
        <div class="panel acquire" data-testid=testid::ACQUIRE>
            {hold}
            <ActionForm action=state.action attr:class="form">
                {body}
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

/// The parts of a form that says what is wanted of a node.
pub struct Fields {
    /// The fields.
    pub body: AnyView,
    /// What it costs, beside the button.
    pub price: AnyView,
    /// Every pair with its price, for whoever compares.
    pub prices: AnyView,
}

/// A pool's template that is being changed.
pub struct Template {
    /// The pool.
    pub pool: PoolName,
    /// The template as it is, if there is one.
    pub before: Option<NodeCreate>,
}

/// The fields of a node that is wanted: of a server out of the account's catalogue, or of a stack from
/// one of the blueprints, whichever the account makes.
pub fn fields(
    options: AcquireOptions,
    state: Choosing,
    fault: Signal<Option<Fault>>,
    template: Option<Template>,
) -> Fields {
    let AcquireOptions {
        providers,
        selected,
        catalog,
        pools,
        suggested_cockpit_url,
        suggested_profile,
        profiles,
        profile_note,
        hold: _,
        dns,
        blueprints,
    } = options;
    let before = template.as_ref().and_then(|template| template.before.clone());
    let of_stacks = blueprints.is_some();
    let account = account_field(&providers, selected.clone(), state, fault, template.as_ref());
    let Machine { age, fields, fallbacks, price, prices } = match (blueprints, catalog) {
        (Some(blueprints), _) => {
            stack::of_blueprints(blueprints, state.blueprint, fault, (template.as_ref(), selected))
        }
        (None, Ok(catalog)) => machine::of_catalog(catalog, state, fault, fallbacks_of(before.as_ref())),
        (None, Err(why)) => machine::in_words(why, fault, before.as_ref()),
    };
    let (pool, cockpit_url, profile) = match &template {
        None => (Some(pool_field(pools, fault)), suggested_cockpit_url.filter(|_| !of_stacks), suggested_profile),
        Some(_) => {
            let profile = before.as_ref().and_then(|before| before.profile.clone()).unwrap_or(suggested_profile);
            (None, before.as_ref().and_then(|before| before.cockpit_url.clone()), profile)
        }
    };
    let verify = before.as_ref().is_some_and(|before| before.verify_cockpit == Some(true));
    let name = before.as_ref().map(|before| before.name.clone());
    let (profile, folded) = match of_stacks {
        true => (None, None),
        false => {
            let profile = profile_field(profiles, profile, profile_note, fault);
            (Some(profile), Some(folded(fallbacks, state, fault, before.as_ref())))
        }
    };
    let name_help = match template {
        None => "Lower-case letters, digits and hyphens, up to 54.",
        Some(_) => {
            "Lower-case letters, digits and hyphens, up to 54. Each node of the pool is called so, and told apart by its id."
        }
    };
    let cockpit_help = match of_stacks {
        true => {
            "Where its users open it; the blueprint's own when empty. {name}, {port} and, with a DNS name, {fqdn} stand for its own."
        }
        false => {
            "Where its users open it. {name}, {ipv4} and, with a DNS name, {fqdn} stand for its own; empty for none."
        }
    };
    let body = view! {
        {account}
        <TextField
            name="form[name]"
            label="Name"
            pointer="/name"
            fault=fault
            value=name
            placeholder="alpha".to_owned()
            help=name_help
            mono=true
            required=true
            on_input=move |name: String| state.naming.node.set(name)
        />
        {fields}
        {age}
        {naming::fields(dns, state.naming, fault)}
        {pool}
        <TextField
            name="form[cockpit_url]"
            label="Cockpit URL"
            value=cockpit_url
            pointer="/cockpit_url"
            fault=fault
            mono=true
            help=cockpit_help
        />
        <CheckField name="form[verify_cockpit]" label="Ready only once the cockpit answers" checked=verify />
        {profile}
        {folded}
    };
    Fields { body: body.into_any(), price, prices }
}

/// The fallbacks of a wish as the form's choices send them.
fn fallbacks_of(before: Option<&NodeCreate>) -> Vec<String> {
    let all = before.map(|before| before.fallbacks.as_slice()).unwrap_or_default();
    all.iter().map(|it| format!("{}/{}", it.server_type, it.location)).collect()
}

/// What is folded away, since it is seldom needed.
fn folded(
    fallbacks: AnyView,
    state: Choosing,
    fault: Signal<Option<Fault>>,
    before: Option<&NodeCreate>,
) -> impl IntoView + use<> {
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
    let ceiling = move |amount: String| state.wanted.update(|wanted| wanted.ceiling = amount);
    let most = before.and_then(|before| before.max_price_monthly.clone());
    let ipv6_only = before.is_some_and(|before| before.ipv4 == Some(false));
    let firewalls = before.map(|before| before.firewalls.join(", "));
    let labels = before.map(|before| before.labels.iter().map(|(key, value)| format!("{key}={value}")).collect());
    let labels = labels.map(|all: Vec<String>| all.join("\n")).unwrap_or_default();
    let folded = view! {
        <summary>"More: fallbacks, price ceiling, firewalls, labels"</summary>
        <div class="form">
            {fallbacks}
            <TextField
                name="form[max_price_monthly]"
                label="At most per month"
                pointer="/max_price_monthly"
                fault=fault
                value=most
                placeholder="10.00".to_owned()
                help="Nothing dearer is acquired, whatever the fallbacks say.".to_owned()
                on_input=ceiling
            />
            <CheckField
                name="form[ipv6_only]"
                label="IPv6 only: no IPv4 address is ordered"
                checked=ipv6_only
            />
            <TextField
                name="form[firewalls]"
                label="Firewalls"
                pointer="/firewalls"
                fault=fault
                value=firewalls
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
                value=labels
                placeholder="team=platform"
                help="Put on the server at the vendor beside Hangar's own: key=value, one a line."
            />
        </div>
    };
    if open {
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
    }
}

fn account_field(
    providers: &[ProviderView],
    selected: Option<ProviderId>,
    state: Choosing,
    fault: Signal<Option<Fault>>,
    template: Option<&Template>,
) -> impl IntoView + use<> {
    let none = template.map(|_| Choice::new("", "none: nothing is acquired by itself"));
    let href = |id: &ProviderId| match template {
        None => routes::acquire_through(id),
        Some(template) => routes::pool_template_through(&template.pool, id),
    };
    let choices: Vec<Choice> = providers
        .iter()
        .map(|account| {
            let label = format!("{} ({})", account.name, account.display_name);
            match account.status {
                ProviderStatus::Connected => Choice::new(account.id.to_string(), label),
                other => Choice::new(account.id.to_string(), format!("{label} · {other}")).disabled(),
            }
        })
        .chain(none)
        .collect();
    let shown = selected.clone();
    let value = Signal::derive(move || state.account.get().or(shown.clone()).map(String::from).unwrap_or_default());
    // Without JavaScript these lead to the form with the other account's catalogue.
    let others: Vec<_> = providers
        .iter()
        .filter(|account| account.status == ProviderStatus::Connected && Some(&account.id) != selected.as_ref())
        .map(|account| {
            let href = href(&account.id);
            view! {
                " "
                <a class="link" href=href rel="external">
                    {account.name.clone()}
                </a>
            }
        })
        .collect();
    let others =
        (!others.is_empty()).then(|| view! { <p class="field-help">"What another account offers:" {others}</p> });
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
