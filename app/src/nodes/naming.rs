//! The part of the acquire form that gives the node a DNS name. The rule: the whole name is shown
//! before it is made.

use domain::{dns::DnsAccount, node::NodeCreate};
use leptos::{either::Either, prelude::*};

use crate::{
    Fault, routes,
    routes::testid,
    ui::{TextField, ZoneField, whole_name, zone_values},
};

/// What was typed and chosen; it outlives a refetch of the options.
#[derive(Clone, Copy)]
pub(super) struct Naming {
    /// The node's name.
    pub node: RwSignal<String>,
    /// The account and the zone; the form's choice while `None`.
    zone: RwSignal<Option<String>>,
    /// The name within the zone; the node's while empty.
    name: RwSignal<String>,
}

impl Naming {
    /// What was wanted `before`, if anything was.
    pub fn new(before: Option<&NodeCreate>) -> Self {
        let dns = before.and_then(|before| before.dns.as_ref());
        let zone = match (before, dns) {
            (None, _) => None,
            (Some(_), None) => Some(String::new()),
            (Some(_), Some(dns)) => Some(format!("{}/{}", dns.provider_id, dns.zone)),
        };
        Self {
            node: RwSignal::new(before.map(|before| before.name.clone()).unwrap_or_default()),
            zone: RwSignal::new(zone),
            name: RwSignal::new(dns.map(|dns| dns.name.clone()).unwrap_or_default()),
        }
    }

    /// Takes up what stood there before.
    pub fn begin(self, former: Self) {
        self.node.set(former.node.get_untracked());
        self.zone.set(former.zone.get_untracked());
        self.name.set(former.name.get_untracked());
    }
}

/// The fields, or where to get zones.
pub(super) fn fields(accounts: Vec<DnsAccount>, state: Naming, fault: Signal<Option<Fault>>) -> impl IntoView {
    let values = zone_values(&accounts);
    if values.is_empty() {
        let unread = accounts.iter().any(|account| account.zones.is_err());
        let why = if unread { "no zone can be read now. " } else { "no account holds a zone. " };
        return Either::Left(view! {
            <p class="field-help">
                "It gets no DNS name: " {why} <a class="link" href=routes::PROVIDERS>
                    "See the accounts"
                </a>
            </p>
        });
    }
    // The one zone there is; among several a person chooses.
    let first = match values.as_slice() {
        [one] => one.clone(),
        _ => String::new(),
    };
    let zone = Signal::derive(move || {
        let chosen = state.zone.get().filter(|chosen| chosen.is_empty() || values.contains(chosen));
        chosen.unwrap_or_else(|| first.clone())
    });
    let named = Memo::new(move |_| zone.with(|zone| !zone.is_empty()));
    let whole = move || {
        let node = state.node.get();
        let name = state.name.with(|name| if name.trim().is_empty() { node.clone() } else { name.clone() });
        zone.with(|zone| whole_name(zone, &name.replace("{name}", node.trim())))
    };
    let words = move || match (named.get(), whole()) {
        (false, _) => "It gets no DNS name.".into_any(),
        (true, None) => "Its whole DNS name is shown here as you type.".into_any(),
        (true, Some(name)) => view! {
            "Its A and AAAA records are made with it, and go with it: "
            <code class="code">{name}</code>
        }
        .into_any(),
    };
    Either::Right(view! {
        <ZoneField
            name="form[dns_zone]"
            label="DNS zone"
            accounts=accounts
            none="none: it gets no DNS name"
            value=zone
            on_change=move |chosen: String| state.zone.set(Some(chosen))
            pointers=["/dns/provider_id", "/dns/zone"]
            fault=fault
        />
        <TextField
            name="form[dns_name]"
            label="DNS name"
            pointer="/dns/name"
            fault=fault
            mono=true
            value=state.name.get_untracked()
            help="Within the zone; the node's own name when empty."
            on_input=move |name: String| state.name.set(name)
        />
        <p class="form-note needs-js" aria-live="polite" data-testid=testid::WHOLE_NAME>
            {words}
        </p>
    })
}
