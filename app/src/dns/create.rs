//! The page with the form that makes a record by hand. Without JavaScript it posts as it is.

use domain::{
    dns::{DnsAccount, DnsType},
    id::ProviderId,
};
use leptos::{either::Either, prelude::*};
use leptos_router::hooks::use_query_map;

use super::api::{self, CreateDnsRecord};
use crate::{
    live::live,
    routes,
    routes::testid,
    ui::{
        CheckField, Choice, FormFault, LinkButton, Loaded, Notice, PageHead, SelectField, Submit, TextField, Tone,
        ZoneField, fault_of, whole_name, zone_parts, zone_values,
    },
};

/// What must outlive a refetch of the zones.
#[derive(Clone, Copy)]
struct Creating {
    action: ServerAction<CreateDnsRecord>,
    /// The account that was asked for in the address.
    account: StoredValue<Option<ProviderId>>,
    /// The account and zone that were chosen.
    zone: RwSignal<Option<String>>,
    name: RwSignal<String>,
    kind: RwSignal<String>,
}

/// The page.
#[component]
pub(super) fn CreatePage() -> impl IntoView {
    let account = use_query_map().get_untracked().get("account").and_then(|id| id.parse().ok());
    let state = Creating {
        action: ServerAction::new(),
        account: StoredValue::new(account),
        zone: RwSignal::new(None),
        name: RwSignal::new(String::new()),
        kind: RwSignal::new(DnsType::A.as_str().to_owned()),
    };
    let changed = live(&["provider"]);
    let zones = Resource::new(move || changed.get(), |_| api::zones(None));
    view! {
        <PageHead
            title="Create record"
            note=|| "Hangar marks the record as its own. A name that somebody else wrote is refused, never overwritten."
        >
            <LinkButton href=routes::DNS>"All records"</LinkButton>
        </PageHead>
        <Loaded from=zones let:accounts>
            {form(accounts, state)}
        </Loaded>
    }
}

/// The form, or why there is none.
fn form(accounts: Vec<DnsAccount>, state: Creating) -> impl IntoView {
    if zone_values(&accounts).is_empty() {
        Either::Left(no_zone(&accounts))
    } else {
        Either::Right(filled(accounts, state))
    }
}

fn no_zone(accounts: &[DnsAccount]) -> impl IntoView + use<> {
    let (title, why, next) = if accounts.is_empty() {
        ("No account holds zones", "Records are made through an account at a DNS vendor.", "Connect an account")
    } else {
        ("No zone is known", "No connected account shows a zone at the moment.", "See the accounts")
    };
    let lines = accounts
        .iter()
        .map(|account| {
            let why = match &account.zones {
                Ok(_) => "It holds no zone.".to_owned(),
                Err(why) => why.clone(),
            };
            let (href, name) = (routes::provider(&account.provider_id), account.name.clone());
            view! {
                <li>
                    <a class="link" href=href>
                        {name}
                    </a> ": " {why}
                </li>
            }
        })
        .collect_view();
    view! {
        <Notice tone=Tone::Warn title=title testid=testid::NO_DNS_ACCOUNT>
            <p>{why}</p>
            <ul class="guidance">{lines}</ul>
            <p>
                <LinkButton href=routes::PROVIDERS primary=true>
                    {next}
                </LinkButton>
            </p>
        </Notice>
    }
}

fn filled(accounts: Vec<DnsAccount>, state: Creating) -> impl IntoView {
    let fault = fault_of(state.action.value());
    let pending = state.action.pending();
    let values = zone_values(&accounts);
    let wanted = state.account.get_value();
    let first = values
        .iter()
        .find(|value| wanted.as_ref().is_some_and(|id| zone_parts(value).is_some_and(|(own, _)| own == id.as_str())))
        .or(values.first())
        .cloned()
        .unwrap_or_default();
    let zone = Signal::derive(move || {
        state.zone.get().filter(|chosen| values.contains(chosen)).unwrap_or_else(|| first.clone())
    });
    let proxies: Vec<String> =
        accounts.iter().filter(|it| it.proxies).map(|account| account.provider_id.to_string()).collect();
    let any_proxies = !proxies.is_empty();
    let unproxied = Memo::new(move |_| {
        let offered = zone.with(|zone| zone_parts(zone).is_some_and(|(id, _)| proxies.iter().any(|own| own == id)));
        !offered || state.kind.with(|kind| kind == DnsType::Txt.as_str())
    });
    let proxy = any_proxies.then(|| {
        view! {
            <fieldset class="fieldset" disabled=unproxied hidden=unproxied>
                <CheckField name="form[proxied]" label="Put the vendor's proxy before it"
                    help="Visitors then reach the vendor, which passes them on; the name answers with the vendor's addresses.".to_owned() />
            </fieldset>
        }
    });
    let types: Vec<Choice> = DnsType::ALL.iter().map(|kind| Choice::new(kind.as_str(), says(*kind))).collect();
    let whole = move || zone.with(|zone| state.name.with(|name| whole_name(zone, name)));
    view! {
        <div class="panel" data-testid=testid::CREATE_RECORD>
            <ActionForm action=state.action attr:class="form">
                <ZoneField
                    name="form[zone]"
                    label="Zone"
                    accounts=accounts
                    value=zone
                    on_change=move |chosen: String| state.zone.set(Some(chosen))
                    pointers=["/provider_id", "/zone"]
                    fault=fault
                />
                <TextField
                    name="form[name]"
                    label="Name"
                    pointer="/name"
                    fault=fault
                    placeholder="www"
                    help="Within the zone; @ is the zone itself."
                    mono=true
                    required=true
                    on_input=move |name: String| state.name.set(name)
                />
                <p class="form-note needs-js" aria-live="polite" data-testid=testid::WHOLE_NAME>
                    {move || match whole() {
                        Some(name) => view! { "The whole name is " <code class="code">{name}</code> }.into_any(),
                        None => "The whole name is shown here as you type.".into_any(),
                    }}
                </p>
                <SelectField
                    name="form[type]"
                    label="Type"
                    choices=types
                    value=state.kind
                    on_change=move |kind: String| state.kind.set(kind)
                    pointer="/type"
                    fault=fault
                />
                <TextField
                    name="form[content]"
                    label="Content"
                    pointer="/content"
                    fault=fault
                    help="An IPv4 address for A, an IPv6 address for AAAA, a whole name for CNAME, text for TXT."
                    mono=true
                    required=true
                />
                <TextField
                    name="form[ttl]"
                    label="TTL in seconds"
                    kind="number"
                    pointer="/ttl"
                    fault=fault
                    placeholder="300"
                    help="60 to 86400: for how long others may remember it. The vendor's own when empty."
                />
                {proxy}
                <Submit busy=pending>"Create record"</Submit>
            </ActionForm>
            <FormFault fault=fault />
        </div>
    }
}

/// What a type is for.
fn says(kind: DnsType) -> &'static str {
    match kind {
        DnsType::A => "A: an IPv4 address",
        DnsType::Aaaa => "AAAA: an IPv6 address",
        DnsType::Cname => "CNAME: another name",
        DnsType::Txt => "TXT: text",
    }
}
