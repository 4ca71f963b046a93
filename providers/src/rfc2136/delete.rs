//! Takes one record and its place in the marker away, in one UPDATE; the marker goes with the last.
//! Rule: only exactly the content that Hangar wrote is taken away, and only while the marker says
//! that it is ours.

use domain::code::Code;
use hickory_proto::rr::{Name, RData, RecordType as WireType};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    marker::Marker,
    session::{Server, Update, Updated},
    standing::Standing,
    wire::{absent, added, data_of, is_same, name_of, removed, stands, wire_type},
};
use crate::{
    dns::{RecordDeleted, RecordTarget},
    dns_late,
    error::{Effect, ProviderError},
    journal::Journal,
};

const TRIES: usize = 5;

/// What is to be done.
enum Plan {
    Update(Update, RecordDeleted),
    Nothing(RecordDeleted),
}

pub(super) async fn run(
    server: &Server,
    instance: &str,
    target: &RecordTarget,
    journal: &mut dyn Journal,
) -> Result<RecordDeleted, ProviderError> {
    journal.step("delete_record", "Delete the DNS record").await?;
    let (Ok(name), Ok(data)) = (name_of(&target.name), data_of(&target.content)) else {
        // What cannot be said in DNS never was there.
        return Ok(RecordDeleted::Gone);
    };
    late_ones_end(server, instance, &name, &data, target, journal).await?;
    let noted = format!("dns_delete:{}", target.content.record_id);
    for _ in 0..TRIES {
        let (update, outcome) = match look(server, instance, &name, &data, target).await? {
            Plan::Nothing(RecordDeleted::Gone) if journal.get(&noted).is_some() => return Ok(RecordDeleted::Deleted),
            Plan::Nothing(outcome) => return Ok(outcome),
            Plan::Update(update, outcome) => (update, outcome),
        };
        journal.put(&noted, json!(true)).await?;
        match server.open().await?.update(&update).await {
            Ok(Updated::Done) => return Ok(outcome),
            Ok(Updated::Otherwise) => {}
            Err(error) if error.effect == Effect::None => return Err(error),
            Err(error) => {
                return match look(server, instance, &name, &data, target).await {
                    Ok(Plan::Nothing(RecordDeleted::Gone)) => Ok(outcome),
                    _ => Err(error),
                };
            }
        }
    }
    Err(ProviderError::new(Code::ProviderLocked, "Something else keeps changing the name."))
}

/// Waits until no creation of the name can come any more.
async fn late_ones_end(
    server: &Server,
    instance: &str,
    name: &Name,
    data: &RData,
    target: &RecordTarget,
    journal: &mut dyn Journal,
) -> Result<(), ProviderError> {
    let what = target.name.fqdn();
    let until = Instant::now() + server.timeouts.late_create;
    let mut wait = server.timeouts.poll_first;
    while dns_late::open(journal, &what) > 0 && Instant::now() < until {
        if let Plan::Update(..) = look(server, instance, name, data, target).await? {
            dns_late::found(journal, &what).await?;
        }
        if dns_late::open(journal, &what) > 0 {
            sleep(wait).await;
            wait = (wait * 2).min(server.timeouts.poll_most);
        }
    }
    Ok(dns_late::over(journal, &what).await?)
}

/// What is to be done. A zone that is not there any more holds nothing; that the server does not have
/// it must last for a while, since a reload or another view hides one that is not gone.
async fn look(
    server: &Server,
    instance: &str,
    name: &Name,
    data: &RData,
    target: &RecordTarget,
) -> Result<Plan, ProviderError> {
    let mut wait = server.timeouts.poll_first;
    loop {
        let mut session = server.open().await?;
        match Standing::read(&mut session, name, instance).await {
            Ok(standing) => {
                server.unseen.end(server.zone());
                return Ok(plan(name, &standing, data, target));
            }
            Err(error) if error.code == Code::DnsZoneNotFound => {
                if server.unseen.lasts(server.zone(), server.timeouts.late_create) {
                    return Ok(Plan::Nothing(RecordDeleted::Gone));
                }
            }
            Err(error) => return Err(error),
        }
        sleep(wait).await;
        wait = (wait * 2).min(server.timeouts.poll_most);
    }
}

fn plan(name: &Name, standing: &Standing, data: &RData, target: &RecordTarget) -> Plan {
    let content = &target.content;
    let kind = wire_type(content.kind);
    let (holds, empty) = (standing.holds(data), standing.of(kind).next().is_none());
    let changed = || RecordDeleted::Changed { observed: standing.observed(content.kind) };
    let claim = standing.entry(content.kind).filter(|entry| entry.record_id == content.record_id);
    let Some((marker, _)) = standing.marker.as_ref().zip(claim) else {
        return Plan::Nothing(if holds { changed() } else { RecordDeleted::Gone });
    };
    if !holds && !empty {
        return Plan::Nothing(changed());
    }

    let mut update = Update::default();
    if empty {
        update.prerequisites.push(absent(name, kind));
    } else {
        update.prerequisites.extend(standing.of(kind).map(|record| stands(name, record.data.clone())));
        let exact = standing.of(kind).filter(|record| is_same(&record.data, data));
        update.changes.extend(exact.map(|record| removed(name, record.data.clone())));
    }
    let mut rest = marker.clone();
    rest.entries.retain(|kind, _| *kind != content.kind && !standing.is_stale(*kind));
    let texts = standing.beside.iter().filter(|record| record.record_type() == WireType::TXT);
    for text in texts {
        update.prerequisites.push(stands(&standing.place, text.data.clone()));
        if Marker::read(&text.data, marker.instance()).is_some() {
            update.changes.push(removed(&standing.place, text.data.clone()));
            if !rest.entries.is_empty() {
                update.changes.push(added(&standing.place, text.ttl, rest.write()));
            }
        }
    }
    Plan::Update(update, if empty { RecordDeleted::Gone } else { RecordDeleted::Deleted })
}
