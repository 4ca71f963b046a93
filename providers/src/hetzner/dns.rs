//! DNS records in the vendor's zones, and the reverse names of servers. Rule: what is not labelled
//! as ours is never changed, and every action is waited for.

use async_trait::async_trait;
use domain::code::Code;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    account::HetznerAccount,
    adopt,
    core::Core,
    deed::Lock,
    dns_delete,
    errors::Scope,
    find, labels,
    poll::actions_end,
    rrset::{Rrset, invalid, is_name, labels_for, value_of},
    wire::{Action, id_of},
};
use crate::{
    budget::Class,
    dns::{
        DnsFound, DnsName, DnsProvider, DnsZone, RecordContent, RecordDeleted, RecordMade, RecordTarget, RecordType,
        RecordWish,
    },
    dns_late, dns_query, dns_wish,
    error::{Effect, ProviderError},
    infra::MachineTarget,
    journal::{Journal, MemoryJournal},
};

/// What the trait promises at most.
const ZONES_MOST: usize = 1_000;
/// The shortest and the longest time to live that the vendor takes, in seconds.
const TTL: std::ops::RangeInclusive<u32> = 60..=2_147_483_647;
/// Pages of one list, of a hundred sets each.
const PAGES_MOST: u32 = 400;

#[async_trait]
impl DnsProvider for HetznerAccount {
    async fn zones(&self) -> Result<Vec<DnsZone>, ProviderError> {
        let zones = self.core.list(Class::Background, "/zones", "zones", &[]).await?;
        let read = |zone: &Value| Some(DnsZone { id: id_of(&zone["id"])?, name: zone["name"].as_str()?.to_owned() });
        let mut zones: Vec<_> = zones.iter().filter_map(read).take(ZONES_MOST).collect();
        zones.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(zones)
    }

    async fn lookup(&self, name: &DnsName) -> Result<Vec<DnsFound>, ProviderError> {
        let found = at(&self.core, Class::Background, name).await?;
        Ok(found.iter().flat_map(|it| it.found(&name.zone, &self.core.instance)).collect())
    }

    async fn create_record(
        &self,
        wish: &RecordWish,
        journal: &mut dyn Journal,
    ) -> Result<Vec<RecordMade>, ProviderError> {
        create(&self.core, wish, journal).await
    }

    async fn delete_record(
        &self,
        target: &RecordTarget,
        journal: &mut dyn Journal,
    ) -> Result<RecordDeleted, ProviderError> {
        dns_delete::run(&self.core, target, journal).await
    }

    async fn adopt_record(&self, found: &DnsFound, record_id: &str) -> Result<RecordMade, ProviderError> {
        adopt::run(&self.core, found, record_id).await
    }

    async fn owned(&self, zone: &str) -> Result<Vec<DnsFound>, ProviderError> {
        let selector = labels::selector(&self.core.instance);
        let listed = sets(&self.core, Class::Background, zone, &[("label_selector", &selector)]).await?;
        let found: Vec<_> = listed.iter().filter_map(Rrset::read).collect();
        let instance = &self.core.instance;
        let ours = found.iter().filter(|it| it.record_id(instance).is_some());
        Ok(ours.flat_map(|it| it.found(zone, instance)).collect())
    }

    async fn is_visible(&self, target: &RecordTarget) -> Result<bool, ProviderError> {
        let until = Instant::now() + self.core.timeouts.read.min(dns_query::VISIBLE_WITHIN);
        let servers = if self.dns_servers.is_empty() {
            let zone = &target.name.zone;
            self.within(Effect::None, |until| self.zone_servers.of(&self.core, zone, until)).await?
        } else {
            self.dns_servers.clone()
        };
        let left = until.saturating_duration_since(Instant::now());
        let addresses = dns_query::addresses(&servers, self.core.timeouts.connect.min(left / 2)).await;
        let within = until.saturating_duration_since(Instant::now());
        let content = &target.content;
        dns_query::all_answer(&addresses, &target.name.fqdn(), content.kind, within, |found| {
            dns_query::holds(found, content)
        })
        .await
    }
}

pub(super) fn zone_path(zone: &str) -> Result<String, ProviderError> {
    if is_name(zone) { Ok(format!("/zones/{zone}")) } else { Err(invalid(format!("{zone:?} cannot be a zone."))) }
}

/// The vendor's word for a zone or a set that is not there, where only the zone can be meant.
pub(super) fn zone_error(zone: &str, error: ProviderError) -> ProviderError {
    if error.code != Code::ProviderResourceGone {
        return error;
    }
    let message = format!("The account has no zone {zone}.");
    ProviderError::new(Code::DnsZoneNotFound, message).with_source(error)
}

/// A refusal of a record in the terms of DNS.
fn dns_error(zone: &str, mut error: ProviderError) -> ProviderError {
    let code = match error.code {
        Code::ProviderResourceGone => return zone_error(zone, error),
        Code::ProviderQuotaExceeded => Code::DnsQuotaExceeded,
        Code::ProviderInvalidRequest => Code::DnsValidation,
        // Taken, and free again when it was looked at.
        Code::ProviderNameConflict => Code::ProviderLocked,
        code => code,
    };
    error.code = code;
    error
}

/// The sets of a zone that the filters leave, as the vendor writes them.
async fn sets(core: &Core, class: Class, zone: &str, filters: &[(&str, &str)]) -> Result<Vec<Value>, ProviderError> {
    let path = format!("{}/rrsets", zone_path(zone)?);
    let mut all = Vec::new();
    let mut page = 1;
    for _ in 0..PAGES_MOST {
        let number = page.to_string();
        let mut query = filters.to_vec();
        query.extend([("page", number.as_str()), ("per_page", "100")]);
        let deadline = Instant::now() + core.timeouts.read;
        let answer = match class {
            Class::Background => core.get(class, &path, &query, Scope::Resource).await,
            _ => core.get_patiently(class, &path, &query, Scope::Resource, deadline).await,
        };
        let answer = answer.map_err(|error| zone_error(zone, error))?;
        let more = answer["rrsets"].as_array().ok_or_else(|| answer.unreadable())?;
        all.extend(more.iter().cloned());
        match answer["meta"]["pagination"]["next_page"].as_u64() {
            Some(next) if next > page && !more.is_empty() => page = next,
            _ => return Ok(all),
        }
    }
    Err(ProviderError::new(Code::ProviderApiError, "The vendor's list of records does not end."))
}

/// Everything at exactly this name.
pub(super) async fn at(core: &Core, class: Class, name: &DnsName) -> Result<Vec<Rrset>, ProviderError> {
    dns_wish::check_name(name)?;
    let listed = sets(core, class, &name.zone, &[("name", &name.name)]).await?;
    // What cannot be read may be somebody's, or ours: of a name nothing is passed over.
    let mut found = listed.iter().map(Rrset::read).collect::<Option<Vec<_>>>().ok_or_else(|| {
        ProviderError::new(Code::ProviderApiError, "The vendor's answer about the name cannot be read.")
    })?;
    // The filter is only a help: whoever ignores it is not believed.
    found.retain(|it| it.name == name.name);
    Ok(found)
}

async fn create(core: &Core, wish: &RecordWish, journal: &mut dyn Journal) -> Result<Vec<RecordMade>, ProviderError> {
    journal.step("create_record", "Create the DNS record").await?;
    wish_check(wish)?;
    let deadline = Instant::now() + core.timeouts.action;
    let found = at(core, Class::Make, &wish.name).await?;
    conflict_check(core, &found, wish)?;
    let mut actions = Vec::new();
    for content in &wish.contents {
        if stands(core, &found, wish, content) {
            dns_late::found(journal, &set_id(&wish.name, content)).await?;
            actions.extend(journal.get(&action_key(content)).and_then(|it| it.as_str().map(str::to_owned)));
        } else {
            actions.extend(make(core, wish, content, journal).await?);
        }
    }
    actions_end(core, &actions, deadline, journal).await.map_err(|error| dns_error(&wish.name.zone, error))?;
    let made = |content: &RecordContent| RecordMade {
        record_id: content.record_id.clone(),
        vendor_id: Some(set_id(&wish.name, content)),
    };
    Ok(wish.contents.iter().map(made).collect())
}

pub(super) fn set_id(name: &DnsName, content: &RecordContent) -> String {
    format!("{}/{}", name.name, content.kind.as_str())
}

pub(super) fn action_key(content: &RecordContent) -> String {
    format!("dns_action:{}", content.record_id)
}

fn wish_check(wish: &RecordWish) -> Result<(), ProviderError> {
    dns_wish::check(wish)?;
    if wish.name.name == "@" && wish.contents.iter().any(|it| it.kind == RecordType::Cname) {
        return Err(invalid("The zone itself cannot be a CNAME."));
    }
    match wish.ttl {
        Some(ttl) if !TTL.contains(&ttl) => Err(invalid("The vendor takes a time to live of 60 seconds or more.")),
        _ => Ok(()),
    }
}

/// Whether the record is there and ours.
fn stands(core: &Core, found: &[Rrset], wish: &RecordWish, content: &RecordContent) -> bool {
    let ours = |it: &Rrset| it.record_id(&core.instance) == Some(content.record_id.as_str());
    found.iter().any(|it| ours(it) && it.is(content, &wish.name.zone))
}

/// # Errors
/// `DNS_NAME_CONFLICT`
fn conflict_check(core: &Core, found: &[Rrset], wish: &RecordWish) -> Result<(), ProviderError> {
    let zone = &wish.name.zone;
    let alias = wish.contents.iter().any(|it| it.kind == RecordType::Cname);
    for set in found {
        let wanted = wish.contents.iter().find(|it| it.kind.as_str() == set.kind);
        let minds = match set.kind.as_str() {
            "A" | "AAAA" | "CNAME" => true,
            // A delegation, or what the zone itself has to have.
            "NS" => wish.name.name != "@",
            "SOA" => false,
            _ => alias || wanted.is_some(),
        };
        let reason = match (set.record_id(&core.instance), wanted) {
            (None, _) if minds => "which is not ours and was left alone",
            (Some(id), Some(wanted)) if id != wanted.record_id => "another record that Hangar made",
            (Some(_), Some(wanted)) if !set.is(wanted, zone) => "which somebody changed by hand",
            (Some(_), None) if alias || set.kind == "CNAME" => "another record that Hangar made",
            _ => continue,
        };
        let message = format!("At {} stands {}, {reason}.", wish.name, set.shown(zone));
        return Err(ProviderError::new(Code::DnsNameConflict, message));
    }
    Ok(())
}

/// Asks for one set; gives the action that makes it, where the answer names one.
async fn make(
    core: &Core,
    wish: &RecordWish,
    content: &RecordContent,
    journal: &mut dyn Journal,
) -> Result<Option<String>, ProviderError> {
    let zone = &wish.name.zone;
    let path = format!("{}/rrsets", zone_path(zone)?);
    let order = json!({
        "name": wish.name.name,
        "type": content.kind.as_str(),
        "ttl": wish.ttl,
        "labels": labels_for(&core.instance, &content.record_id),
        "records": [{"value": value_of(content)?}],
    });
    let what = set_id(&wish.name, content);
    let mut lock = Lock::new(core.timeouts.write);
    loop {
        dns_late::begun(journal, &what).await?;
        let error = match core.write(Class::Make, Method::POST, &path, Some(&order), Scope::Resource).await {
            Ok(answer) => match Action::read(&answer["action"]) {
                Some(action) => {
                    dns_late::ended(journal, &what, true).await?;
                    journal.put(&action_key(content), json!(action.id)).await?;
                    return Ok(Some(action.id));
                }
                // Accepted, by the status alone: what came of it is looked up.
                None => answer.unreadable(),
            },
            Err(error) if error.code == Code::ProviderLocked && error.effect == Effect::None => {
                dns_late::ended(journal, &what, false).await?;
                lock.wait(core, error, journal).await?;
                continue;
            }
            Err(error) => error,
        };
        // A name that is taken was refused, whatever else is not known.
        if error.effect == Effect::None || error.code == Code::ProviderNameConflict {
            dns_late::ended(journal, &what, false).await?;
        }
        // Made after all, or taken in the meantime?
        if let Ok(found) = at(core, Class::Make, &wish.name).await {
            if stands(core, &found, wish, content) {
                dns_late::found(journal, &what).await?;
                return Ok(None);
            }
            conflict_check(core, &found, wish)?;
        }
        return Err(dns_error(zone, error));
    }
}

/// Sets or clears the reverse name of one of a server's addresses, and waits until it is done. May
/// be repeated.
pub(super) async fn reverse_set(
    core: &Core,
    target: &MachineTarget,
    ip: &str,
    name: Option<&str>,
) -> Result<(), ProviderError> {
    let gone = || ProviderError::new(Code::ProviderResourceGone, "The server is gone, and its addresses with it.");
    let server = match &target.infra_id {
        Some(id) => find::ours_by_id(core, id, target).await?,
        None => None,
    };
    let Some(server) = server else { return if name.is_none() { Ok(()) } else { Err(gone()) } };
    let path = format!("/servers/{}/actions/change_dns_ptr", server.id);
    let order = json!({"ip": ip, "dns_ptr": name});
    let deadline = Instant::now() + core.timeouts.action;
    let mut lock = Lock::new(core.timeouts.write);
    // Nothing of this need be resumed: it is asked for again.
    let mut journal = MemoryJournal::default();
    loop {
        match core.write(Class::Tend, Method::POST, &path, Some(&order), Scope::Resource).await {
            Ok(answer) => {
                let action = Action::read(&answer["action"]).ok_or_else(|| answer.unreadable())?;
                return actions_end(core, &[action.id], deadline, &mut journal).await;
            }
            Err(error) if error.code == Code::ProviderResourceGone && name.is_none() => return Ok(()),
            Err(error) if error.code == Code::ProviderLocked => lock.wait(core, error, &mut journal).await?,
            Err(error) => return Err(error),
        }
    }
}
