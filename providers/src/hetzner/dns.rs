//! DNS records in the vendor's zones, and the reverse names of servers. Rule: what is not labelled
//! as ours is never changed, a set of records is taken away only when it is ours and exactly what
//! Hangar wrote, and every action is waited for.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::code::Code;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    account::HetznerAccount,
    adopt,
    core::{Core, Turn},
    deed::Lock,
    errors::Scope,
    find, labels,
    poll::{Poll, actions_end},
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
/// How often the vendor may say that our record is not in a set which it shows with it.
const REFUSED_MOST: u32 = 5;

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
        delete(&self.core, target, journal).await
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

/// For how long a zone's name servers are remembered.
const REMEMBERED: Duration = Duration::from_secs(300);

/// Which name servers the vendor has given a zone. Whoever waits for a name asks each second, and each
/// call would be one of the project's.
#[derive(Debug, Default)]
pub(super) struct ZoneServers(Mutex<BTreeMap<String, (Instant, Vec<String>)>>);

impl ZoneServers {
    async fn of(&self, core: &Core, zone: &str, until: Instant) -> Result<Vec<String>, ProviderError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(zone).cloned();
        if let Some((told, servers)) = known
            && told.elapsed() < REMEMBERED
        {
            return Ok(servers);
        }
        let answer = core.get(Turn::by(Class::Poll, until), &zone_path(zone)?, &[], Scope::Resource).await;
        let answer = answer.map_err(|error| zone_error(zone, error))?;
        let assigned = answer["zone"]["authoritative_nameservers"]["assigned"].as_array().cloned().unwrap_or_default();
        let servers: Vec<_> = assigned.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect();
        if !servers.is_empty() {
            let entry = (Instant::now(), servers.clone());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(zone.to_owned(), entry);
        }
        Ok(servers)
    }
}

pub(super) fn zone_path(zone: &str) -> Result<String, ProviderError> {
    if is_name(zone) { Ok(format!("/zones/{zone}")) } else { Err(invalid(format!("{zone:?} cannot be a zone."))) }
}

/// The vendor's word for a zone or a set that is not there, where only the zone can be meant.
fn zone_error(zone: &str, error: ProviderError) -> ProviderError {
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

fn set_id(name: &DnsName, content: &RecordContent) -> String {
    format!("{}/{}", name.name, content.kind.as_str())
}

fn action_key(content: &RecordContent) -> String {
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

/// Takes our record out of its set by its value; the set goes with its last one. What somebody adds
/// between the look and this stays.
async fn delete(core: &Core, target: &RecordTarget, journal: &mut dyn Journal) -> Result<RecordDeleted, ProviderError> {
    journal.step("delete_record", "Delete the DNS record").await?;
    let (name, content) = (&target.name, &target.content);
    if dns_wish::check_name(name).is_err() || value_of(content).is_err() {
        // What cannot be a record never was there.
        return Ok(RecordDeleted::Gone);
    }
    let path = format!("{}/rrsets/{}", zone_path(&name.zone)?, set_id(name, content));
    let noted = format!("dns_delete:{}", content.record_id);
    let deadline = Instant::now() + core.timeouts.action;
    let accepted = journal.get(&action_key(content)).and_then(|it| it.as_str().map(str::to_owned));
    if let Some(action) = accepted.filter(|_| journal.get(&noted).is_none()) {
        // What was accepted may be seen only when it has ended.
        match actions_end(core, &[action], deadline, journal).await {
            Err(error) if error.code == Code::ProviderAcquisitionFailed => {}
            other => other?,
        }
    }
    late_ones_end(core, target, &path, journal).await?;
    let mut lock = Lock::new(core.timeouts.write);
    let mut poll = Poll::until(core, deadline);
    let (mut removed, mut refused) = (false, 0);
    loop {
        let gone = if journal.get(&noted).is_some() { RecordDeleted::Deleted } else { RecordDeleted::Gone };
        let Some(set) = read(core, &path).await? else {
            if !removed && zone_came_back(core, &name.zone).await? {
                continue;
            }
            return Ok(gone);
        };
        core.unseen.end(&name.zone);
        let changed = || RecordDeleted::Changed { observed: set.shown(&name.zone) };
        if set.record_id(&core.instance) != Some(content.record_id.as_str()) {
            return Ok(if set.holds(content, &name.zone) { changed() } else { gone });
        }
        let Some(value) = set.value_of(content, &name.zone) else { return Ok(changed()) };
        journal.put(&noted, json!(true)).await?;
        let order = json!({"records": [{"value": value}]});
        let take_out = format!("{path}/actions/remove_records");
        match core.write(Class::Tend, Method::POST, &take_out, Some(&order), Scope::Resource).await {
            Ok(answer) => {
                let Some(action) = Action::read(&answer["action"]) else {
                    // Accepted, by the status alone: it is over when the set is gone.
                    poll.pause(Some(answer.unreadable())).await?;
                    continue;
                };
                match actions_end(core, &[action.id], deadline, journal).await {
                    Err(error) if error.code == Code::ProviderAcquisitionFailed => {
                        let message = "The vendor's action that deletes the record ended in error.";
                        return Err(ProviderError::new(Code::ProviderApiError, message).with_source(error));
                    }
                    other => other?,
                }
                // The set is gone, or holds what somebody added meanwhile. Reads may lag behind.
                if removed {
                    poll.pause(None).await?;
                }
                removed = true;
            }
            // Reads lag behind what is done.
            Err(error) if error.code == Code::ProviderResourceGone => poll.pause(None).await?,
            // Somebody took our value out since it was read.
            Err(error) if error.code == Code::ProviderInvalidRequest && refused < REFUSED_MOST => {
                refused += 1;
                poll.pause(None).await?;
            }
            Err(error) if error.code == Code::ProviderLocked => lock.wait(core, error, journal).await?,
            Err(error) if error.effect == Effect::None => return Err(error),
            Err(error) => {
                return match read(core, &path).await {
                    Ok(None) => Ok(RecordDeleted::Deleted),
                    _ => Err(error),
                };
            }
        }
    }
}

/// Tells a set that is gone from a zone that is not seen: waits until the zone is seen, or has not been
/// for so long that it counts as gone. Whether it was seen only now, so that the set may be there.
async fn zone_came_back(core: &Core, zone: &str) -> Result<bool, ProviderError> {
    let path = zone_path(zone)?;
    let mut wait = core.timeouts.poll_first;
    let mut waited = false;
    loop {
        let deadline = Instant::now() + core.timeouts.read;
        match core.get_patiently(Class::Tend, &path, &[], Scope::Resource, deadline).await {
            Ok(_) => {
                core.unseen.end(zone);
                return Ok(waited);
            }
            Err(error) if error.code == Code::ProviderResourceGone => {
                if core.unseen.lasts(zone, core.timeouts.late_create) {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error),
        }
        waited = true;
        sleep(core.pace(wait, 1)).await;
        wait = (wait * 2).min(core.timeouts.poll_most);
    }
}

/// Waits until no creation of the set can come any more.
async fn late_ones_end(
    core: &Core,
    target: &RecordTarget,
    path: &str,
    journal: &mut dyn Journal,
) -> Result<(), ProviderError> {
    let what = set_id(&target.name, &target.content);
    let until = Instant::now() + core.timeouts.late_create;
    let mut wait = core.timeouts.poll_first;
    while dns_late::open(journal, &what) > 0 && Instant::now() < until {
        let ours = |set: &Rrset| set.record_id(&core.instance) == Some(target.content.record_id.as_str());
        if read(core, path).await?.as_ref().is_some_and(ours) {
            dns_late::found(journal, &what).await?;
        }
        if dns_late::open(journal, &what) > 0 {
            sleep(core.pace(wait, 1)).await;
            wait = (wait * 2).min(core.timeouts.poll_most);
        }
    }
    Ok(dns_late::over(journal, &what).await?)
}

/// One set; `None` when it or its zone is not there.
async fn read(core: &Core, path: &str) -> Result<Option<Rrset>, ProviderError> {
    let deadline = Instant::now() + core.timeouts.read;
    match core.get_patiently(Class::Tend, path, &[], Scope::Resource, deadline).await {
        Ok(answer) => Rrset::read(&answer["rrset"]).map(Some).ok_or_else(|| answer.unreadable()),
        Err(error) if error.code == Code::ProviderResourceGone => Ok(None),
        Err(error) => Err(error),
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
