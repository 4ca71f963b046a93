//! The choice of a zone. The rule: a zone is chosen together with the account that holds it, in one
//! field, so that no choice waits for another one and the form works without JavaScript.

use domain::{dns::DnsAccount, id::ProviderId, list::FieldError, valid::ZoneName};
use leptos::prelude::*;

use super::{Choice, SelectField, Words};
use crate::{Fault, routes};

/// A zone and its account as a form sends them.
pub fn zone_value(account: &ProviderId, zone: &ZoneName) -> String {
    format!("{account}/{zone}")
}

/// The account and the zone of what a form sent.
pub fn zone_parts(value: &str) -> Option<(&str, &str)> {
    value.trim().split_once('/')
}

/// The whole name of `name` in the chosen zone; none while one of them is missing.
pub fn whole_name(chosen: &str, name: &str) -> Option<String> {
    let (_, zone) = zone_parts(chosen)?;
    match name.trim().to_ascii_lowercase().as_str() {
        "" => None,
        "@" => Some(zone.to_owned()),
        name => Some(format!("{name}.{zone}")),
    }
}

/// Every zone of every account, as it is sent.
pub fn zone_values(accounts: &[DnsAccount]) -> Vec<String> {
    let of = |account: &DnsAccount| -> Vec<String> {
        let zones = account.zones.as_deref().unwrap_or_default();
        zones.iter().map(|zone| zone_value(&account.provider_id, &zone.name)).collect()
    };
    accounts.iter().flat_map(of).collect()
}

fn choices(accounts: &[DnsAccount], none: Option<&str>) -> Vec<Choice> {
    let several = accounts.len() > 1;
    let of = |account: &DnsAccount| -> Vec<Choice> {
        match &account.zones {
            Ok(zones) if zones.is_empty() => {
                vec![Choice::new("", format!("{} holds no zone", account.name)).disabled()]
            }
            Ok(zones) => zones
                .iter()
                .map(|zone| {
                    let label =
                        if several { format!("{} · {}", zone.name, account.name) } else { zone.name.to_string() };
                    Choice::new(zone_value(&account.provider_id, &zone.name), label)
                })
                .collect(),
            Err(_) => vec![Choice::new("", format!("{} · its zones are not known now", account.name)).disabled()],
        }
    };
    let none = none.map(|label| Choice::new("", label));
    none.into_iter().chain(accounts.iter().flat_map(of)).collect()
}

/// A select with the zones of all accounts.
#[component]
pub fn ZoneField(
    /// The name under which account and zone are sent.
    #[prop(into)]
    name: String,
    /// The label.
    #[prop(into)]
    label: String,
    /// The accounts with their zones.
    accounts: Vec<DnsAccount>,
    /// What the choice of no zone says; without it there is none.
    #[prop(optional)]
    none: Option<&'static str>,
    /// What is chosen.
    #[prop(into)]
    value: Signal<String>,
    /// Called with what is chosen; `value` must then follow it.
    #[prop(into)]
    on_change: Callback<String>,
    /// Under what the server marks the account and the zone.
    pointers: [&'static str; 2],
    /// The failure of the form.
    #[prop(into)]
    fault: Signal<Option<Fault>>,
    /// The help below.
    #[prop(optional, into)]
    help: Words,
) -> impl IntoView {
    let [of_account, of_zone] = pointers;
    // One field stands for both.
    let fault = Signal::derive(move || {
        let fault = fault.get()?;
        Some(match fault.field(of_account) {
            Some(message) if fault.field(of_zone).is_none() => {
                Fault::fields(vec![FieldError { pointer: of_zone.to_owned(), message: message.to_owned() }])
            }
            _ => fault,
        })
    });
    let unknown = accounts
        .iter()
        .filter_map(|account| {
            let why = account.zones.as_ref().err()?.clone();
            let (href, name) = (routes::provider(&account.provider_id), account.name.clone());
            Some(view! {
                <p class="field-help">
                    "The zones of "
                    <a class="link" href=href>
                        {name}
                    </a> " cannot be read now: " {why}
                </p>
            })
        })
        .collect_view();
    view! {
        <SelectField
            name=name
            label=label
            choices=choices(&accounts, none)
            value=value
            on_change=on_change
            pointer=of_zone
            fault=fault
            help=help
        />
        {unknown}
    }
}

#[cfg(test)]
mod tests {
    use domain::{dns::DnsZoneView, provider::ProviderStatus};

    use super::*;

    fn account(id: &str, zones: Result<&[&str], &str>) -> DnsAccount {
        let zone = |name: &&str| DnsZoneView { id: (*name).to_owned(), name: name.parse().unwrap() };
        DnsAccount {
            provider_id: id.parse().unwrap(),
            kind: "cloudflare".to_owned(),
            name: id.to_owned(),
            status: ProviderStatus::Connected,
            proxies: true,
            zones: zones.map(|zones| zones.iter().map(zone).collect()).map_err(ToOwned::to_owned),
        }
    }

    #[test]
    fn a_zone_is_sent_with_its_account() {
        let accounts = [account("prv_1", Ok(&["example.org"])), account("prv_2", Err("no answer"))];
        assert_eq!(zone_values(&accounts), ["prv_1/example.org"]);
        assert_eq!(zone_parts("prv_1/example.org"), Some(("prv_1", "example.org")));
        let shown = choices(&accounts, Some("none"));
        let labels: Vec<_> = shown.iter().map(|one| (one.label.as_str(), one.disabled)).collect();
        let unknown = ("prv_2 · its zones are not known now", true);
        assert_eq!(labels, [("none", false), ("example.org · prv_1", false), unknown]);
        assert_eq!(choices(&accounts[..1], None)[0].label, "example.org");
    }

    #[test]
    fn the_whole_name_is_shown_once_there_is_one() {
        assert_eq!(whole_name("prv_1/example.org", " Alpha "), Some("alpha.example.org".to_owned()));
        assert_eq!(whole_name("prv_1/example.org", "@"), Some("example.org".to_owned()));
        assert_eq!((whole_name("prv_1/example.org", ""), whole_name("", "alpha")), (None, None));
    }
}
