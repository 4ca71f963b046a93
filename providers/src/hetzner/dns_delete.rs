//! Takes one record out of its set. Rule: it goes by its value, and only out of a set that is ours and
//! holds exactly what Hangar wrote; what is only not seen now is not called gone.

use domain::code::Code;
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    core::Core,
    deed::Lock,
    dns::{action_key, set_id, zone_path},
    errors::Scope,
    poll::{Poll, actions_end},
    rrset::{Rrset, value_of},
    wire::Action,
};
use crate::{
    budget::Class,
    dns::{RecordDeleted, RecordTarget},
    dns_late, dns_wish,
    error::{Effect, ProviderError},
    journal::Journal,
};

/// How often the vendor may say that our record is not in a set which it shows with it.
const REFUSED_MOST: u32 = 5;

/// Takes our record out of its set by its value; the set goes with its last one. What somebody adds
/// between the look and this stays.
pub(super) async fn run(
    core: &Core,
    target: &RecordTarget,
    journal: &mut dyn Journal,
) -> Result<RecordDeleted, ProviderError> {
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
