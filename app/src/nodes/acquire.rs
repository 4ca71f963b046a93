//! The form that acquires a node: one form, the price of exactly what is chosen beside the button.
//! Without JavaScript it posts as it is, and what is left open is chosen by the server.

use domain::{
    id::ProviderId,
    node::AcquireOptions,
    provider::{Catalog, ProviderStatus, ProviderView, ServerType},
    valid::ProfileName,
    valid::{PoolName, amount_display, amount_rounded},
};
use leptos::{either::Either, html, prelude::*};

use super::{
    api::AcquireNode,
    choose::{self, Pick, Wanted},
};
use crate::{
    Fault, routes,
    routes::testid,
    ui::{
        Cell, CheckField, Choice, Column, FormFault, LinkButton, Notice, Row, SelectField, Submit, Table, TextField,
        Tone, fault_of,
    },
};

const PRICES: &[Column] = &[
    Column::text("Type"),
    Column::text("Location"),
    Column::number("Cores"),
    Column::number("Memory"),
    Column::number("Disk"),
    Column::text("Architecture"),
    Column::number("Per hour"),
    Column::number("Per month"),
    Column::text("To be had"),
];

/// What must outlive a refetch of the options.
#[derive(Clone, Copy)]
pub(super) struct Acquiring {
    /// The action.
    pub action: ServerAction<AcquireNode>,
    /// The account whose catalogue is shown; the server's choice while `None`.
    pub account: RwSignal<Option<ProviderId>>,
    /// What was chosen out of it.
    pub wanted: RwSignal<Wanted>,
}

impl Acquiring {
    pub fn new(account: Option<ProviderId>) -> Self {
        Self { action: ServerAction::new(), account: RwSignal::new(account), wanted: RwSignal::new(Wanted::default()) }
    }
}

/// The form, or why there is none.
pub(super) fn form(options: AcquireOptions, state: Acquiring) -> impl IntoView {
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
    } = options;
    let fault = fault_of(state.action.value());
    let pending = state.action.pending();
    let account = account_field(&providers, selected, state, fault);
    let (machine, fallbacks, price, prices) = match catalog {
        Ok(catalog) => machine(catalog, state, fault),
        Err(why) => machine_in_words(why, fault),
    };
    // Opened for a marked field, never closed by an answer of the server.
    let marked = |fault: Option<Fault>| fault.is_some_and(|fault| fault.field("/max_price_monthly").is_some());
    let more = NodeRef::<html::Details>::new();
    Effect::new(move |_| {
        if marked(fault.get())
            && let Some(more) = more.get()
        {
            // An element of the page takes any attribute with a proper name.
            let _ = more.set_attribute("open", "");
        }
    });
    let open = marked(fault.get_untracked());
    let hold = hold.map(|hold| {
        let reason = hold.reason;
        view! {
            <Notice tone=Tone::Warn title="Nothing can be acquired now" testid=testid::HOLD>
                <p>{reason}</p>
            </Notice>
        }
    });
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
                />
                {machine}
                {pool_field(pools, fault)}
                <TextField
                    name="form[cockpit_url]"
                    label="Cockpit URL"
                    value=suggested_cockpit_url
                    pointer="/cockpit_url"
                    fault=fault
                    mono=true
                    help="Where its users open it. May hold {name}, {ipv4} and {fqdn}; empty for none.".to_owned()
                />
                <CheckField
                    name="form[verify_cockpit]"
                    label="Ready only once the cockpit answers"
                />
                {profile_field(profiles, suggested_profile, profile_note, fault)}
                <details class="more" node_ref=more open=open>
                    <summary>"Fallbacks and price ceiling"</summary>
                    <div class="form">
                        {fallbacks}
                        <TextField
                            name="form[max_price_monthly]"
                            label="At most per month"
                            pointer="/max_price_monthly"
                            fault=fault
                            placeholder="10.00".to_owned()
                            help="Nothing dearer is acquired, whatever the fallbacks say.".to_owned()
                        />
                    </div>
                </details>
                <div class="form-end">
                    <Submit busy=pending>"Acquire node"</Submit>
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
            let href = format!("{}?account={}#acquire", routes::NODES, account.id);
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

type Parts = (AnyView, AnyView, AnyView, AnyView);

fn machine(catalog: Catalog, state: Acquiring, fault: Signal<Option<Fault>>) -> Parts {
    let wanted = state.wanted;
    let prices = prices(&catalog).into_any();
    let types = choose::type_choices(&catalog);
    let pairs = choose::pair_choices(&catalog);
    let catalog = StoredValue::new(catalog);
    let pick = Memo::new(move |_| catalog.with_value(|catalog| wanted.with(|wanted| choose::pick(catalog, wanted))));
    let part = move |of: fn(&Pick) -> &String| Signal::derive(move || pick.with(|pick| of(pick).clone()));
    let server_type = part(|pick| &pick.server_type);
    let places = Signal::derive(move || catalog.with_value(|c| choose::location_choices(c, &server_type.get())));
    let images = Signal::derive(move || catalog.with_value(|c| choose::image_choices(c, &server_type.get())));
    let fields = view! {
        <SelectField
            name="form[server_type]"
            label="Type"
            choices=types
            value=server_type
            on_change=move |name: String| wanted.update(|wanted| wanted.server_type = Some(name))
            pointer="/server_type"
            fault=fault
        />
        <SelectField
            name="form[location]"
            label="Location"
            choices=places
            value=part(|pick| &pick.location)
            on_change=move |name: String| wanted.update(|wanted| wanted.location = Some(name))
            pointer="/location"
            fault=fault
        />
        <SelectField
            name="form[image]"
            label="Image"
            choices=images
            value=part(|pick| &pick.image)
            on_change=move |name: String| wanted.update(|wanted| wanted.image = Some(name))
            pointer="/image"
            fault=fault
        />
    };
    let price = view! {
        <p class="form-price" aria-live="polite" data-testid=testid::PRICE>
            {move || catalog.with_value(|catalog| choose::price_text(catalog, &pick.get()))}
        </p>
    };
    let fallbacks = [
        ("form[fallback_1]", "If there is no capacity, take"),
        ("form[fallback_2]", "then"),
        ("form[fallback_3]", "at last"),
    ]
    .map(|(name, label)| view! { <SelectField name=name label=label choices=pairs.clone() value="".to_owned() /> })
    .into_iter()
    .collect_view();
    (fields.into_any(), fallbacks.into_any(), price.into_any(), prices)
}

fn machine_in_words(why: String, fault: Signal<Option<Fault>>) -> Parts {
    let field = move |name: &'static str, label: &'static str, pointer: &'static str, help: &'static str| {
        view! { <TextField name=name label=label pointer=pointer fault=fault help=help.to_owned() mono=true /> }
    };
    let fields = view! {
        <Notice tone=Tone::Warn title="The catalogue cannot be read now">
            <p>{why}</p>
            <p>"What you leave empty is chosen once the vendor answers; set a price ceiling if that matters."</p>
        </Notice>
        {field("form[server_type]", "Type", "/server_type", "As the vendor names it; the smallest when empty.")}
        {field("form[location]", "Location", "/location", "As the vendor names it; the first with capacity when empty.")}
        {field("form[image]", "Image", "/image", "As the vendor names it; the newest Debian when empty.")}
    };
    let price = view! {
        <p class="form-price" data-testid=testid::PRICE>
            "The price is not known until the vendor answers."
        </p>
    };
    (fields.into_any(), ().into_any(), price.into_any(), ().into_any())
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
    }
}

fn prices(catalog: &Catalog) -> impl IntoView + use<> {
    let currency = catalog.currency.clone();
    let rows: Vec<_> = catalog.server_types.iter().flat_map(|server| price_rows(server, &currency)).collect();
    view! {
        <details class="panel prices">
            <summary>"Every type and location with its price"</summary>
            <Table caption="Prices" columns=PRICES testid=testid::PRICES>
                {rows}
            </Table>
        </details>
    }
}

fn price_rows(server: &ServerType, currency: &str) -> Vec<AnyView> {
    let row = |place: &domain::provider::TypeLocation| {
        let (name, location) = (server.name.clone(), place.location.clone());
        let (cores, memory) = (server.cores, format!("{} GB", server.memory_gb));
        let (disk, architecture) = (format!("{} GB", server.disk_gb), server.architecture.clone());
        let (hourly, monthly) = (
            format!("{} {currency}", amount_display(&place.price_hourly)),
            format!("{} {currency}", amount_rounded(&place.price_monthly)),
        );
        let to_be_had = choose::why_not(place).unwrap_or("yes");
        view! {
            <Row id=format!("{name}/{location}")>
                <Cell label="Type">{name}</Cell>
                <Cell label="Location">{location}</Cell>
                <Cell label="Cores" number=true>
                    {cores}
                </Cell>
                <Cell label="Memory" number=true>
                    {memory}
                </Cell>
                <Cell label="Disk" number=true>
                    {disk}
                </Cell>
                <Cell label="Architecture">{architecture}</Cell>
                <Cell label="Per hour" number=true>
                    {hourly}
                </Cell>
                <Cell label="Per month" number=true>
                    {monthly}
                </Cell>
                <Cell label="To be had">{to_be_had}</Cell>
            </Row>
        }
        .into_any()
    };
    server.locations.iter().map(row).collect()
}
