//! Takes over a DNS record that somebody else wrote. The rule: only what a person was shown, and said may
//! be Hangar's; whatever else stands there is left alone and told.

use std::{net::IpAddr, sync::Arc};

use ::providers::{DnsFound, RecordMade};
use domain::{
    code::Code,
    dns::DnsState,
    id::DnsRecordId,
    job::{JobStatus, StepStatus},
};
use store::JobRow;

use super::{
    dns_record::{dns_of, rows},
    journal::{JobJournal, no_events},
    runner::{Failure, Signals, Stop},
};
use crate::{
    fault::Fault,
    services::{Lease, Services, dns_adopted_in, dns_stands_in, target_of},
};

/// What a person sees before the first step has begun.
const ADOPT: &[(&str, &str)] = &[("adopt_record", "Take over what stands there")];
/// Contents that are shown cut cannot be taken over.
const CONTENT_MOST: usize = 256;

/// Takes over what stands under the record's name and type, and nothing else.
pub(super) async fn run(
    services: &Arc<Services>,
    job: &JobRow,
    lease: &Lease,
    id: &DnsRecordId,
    signals: Signals,
) -> Result<(), Stop> {
    if signals.is_cancelled() {
        return Err(Stop::Cancelled);
    }
    let mut journal = JobJournal::open(services, job, lease, None, signals, ADOPT, no_events).await?;
    journal.begin(ADOPT[0].0, ADOPT[0].1, |_, _| Box::pin(async { Ok(()) })).await?;
    let confirmed = journal.state.confirmed.clone();
    match taken_over(services, id, confirmed.as_deref()).await {
        Ok((found, made)) => {
            let detail = format!("{} {} {}", found.name, found.kind, found.content);
            let closed = journal.close(StepStatus::Succeeded, Some(&detail), services.clock().now());
            let record = id.clone();
            journal
                .end(&closed, JobStatus::Succeeded, None, move |c, now| {
                    let (id, found, made) = (record.clone(), found.clone(), made.clone());
                    Box::pin(async move { dns_adopted_in(c, &id, &found, &made, now).await })
                })
                .await
        }
        Err(Stop::Failed(failure)) => {
            let closed = journal.close(StepStatus::Failed, Some(&failure.error.message), services.clock().now());
            journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;
            Err(Stop::Failed(failure))
        }
        Err(stop) => Err(stop),
    }
}

/// Takes over what stands there, if it is what a person saw when saying so: `confirmed`.
async fn taken_over(
    services: &Services,
    id: &DnsRecordId,
    confirmed: Option<&str>,
) -> Result<(DnsFound, RecordMade), Stop> {
    let (row, provider) = rows(services, id).await?;
    let refuse = |code: Code, message: &str| Err(Stop::Failed(Failure::new(code, message)));
    if !matches!(row.state, DnsState::Failed | DnsState::Active) {
        return refuse(Code::JobCancelled, "The record was taken away meanwhile.");
    }
    let open = services.account(&provider)?;
    let dns = dns_of(&open)?;
    let found = dns.lookup(&target_of(&row).name).await?;
    let mut of_kind = found.into_iter().filter(|it| it.kind == row.kind.as_str());
    let Some(one) = of_kind.next() else {
        return refuse(Code::ProviderResourceGone, "Nothing of this type stands there any more: retry the record.");
    };
    if of_kind.next().is_some() {
        return refuse(
            Code::DnsNameConflict,
            "Several of this type stand there, and only a single one can be adopted.",
        );
    }
    if one.content.chars().count() >= CONTENT_MOST {
        return refuse(Code::DnsValidation, "What stands there is too long to be adopted.");
    }
    if confirmed.is_some_and(|seen| !is_seen(seen, &one)) {
        let stands = format!("{} {} {}", one.name, one.kind, one.content);
        let message = format!(
            "What stands there now is not what was confirmed, and was left alone: {stands}. Look again, and adopt it \
                if it is to be Hangar's."
        );
        let now = services.clock().now();
        let record = id.clone();
        services
            .store()
            .write::<(), Fault, _>(move |c| {
                let (id, stands) = (record.clone(), stands.clone());
                Box::pin(async move { dns_stands_in(c, &id, &stands, now).await })
            })
            .await?;
        return refuse(Code::DnsNameConflict, &message);
    }
    let marked = one.record_id.as_deref().filter(|other| *other != id.as_str());
    if let Some(other) = marked.and_then(|other| other.parse::<DnsRecordId>().ok()) {
        let known = services.store().read().await.map_err(Fault::from)?.dns_record_get(&other).await;
        if known.map_err(Fault::from)?.is_some_and(|it| it.state != DnsState::Deleted && it.state != DnsState::Failed) {
            return refuse(Code::DnsNameConflict, "What stands there is another record of Hangar's.");
        }
    }
    let made = dns.adopt_record(&one, id.as_str()).await?;
    Ok((one, made))
}

/// Whether this is what a person was shown: of its type, and with its content. Vendors write addresses
/// and names in their own ways.
fn is_seen(shown: &str, found: &DnsFound) -> bool {
    let mut words = shown.split([' ', ',', ';']).filter(|it| !it.is_empty());
    let is_of_type = words.clone().any(|it| it == found.kind);
    let bare = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
    is_of_type
        && match found.content.parse::<IpAddr>() {
            Ok(address) => words.any(|it| it.parse() == Ok(address)),
            Err(_) if found.kind == "CNAME" => words.any(|it| bare(it) == bare(&found.content)),
            Err(_) => is_text_seen(shown, &found.kind, found.content.trim_matches('"')),
        }
}

/// A text may hold anything, so that it counts only as a whole: behind its type, or another one.
fn is_text_seen(shown: &str, kind: &str, text: &str) -> bool {
    let behind = format!("{kind} ");
    shown.match_indices(text).any(|(at, _)| {
        let (before, after) = (&shown[..at], &shown[at + text.len()..]);
        let before = before.trim_end_matches('"');
        let begins = before.ends_with(&behind) || before.ends_with(", ");
        let after = after.trim_start_matches('"');
        begins && (after.is_empty() || after.starts_with([',', ';']))
    })
}

#[cfg(test)]
mod tests {
    use ::providers::DnsName;

    use super::*;

    #[test]
    fn what_is_taken_over_was_shown() {
        let found = |kind: &str, content: &str| DnsFound {
            vendor_id: None,
            name: DnsName { zone: "example.org".to_owned(), name: "a".to_owned() },
            kind: kind.to_owned(),
            content: content.to_owned(),
            ttl: None,
            proxied: false,
            ours: false,
            record_id: None,
        };
        for (shown, kind, content, is) in [
            ("a.example.org A 192.0.2.1", "A", "192.0.2.1", true),
            ("A 192.0.2.1, 192.0.2.2", "A", "192.0.2.2", true),
            ("a.example.org A 192.0.2.1, without our marker", "A", "192.0.2.1", true),
            ("a.example.org A 192.0.2.10", "A", "192.0.2.1", false),
            ("a.example.org AAAA 2001:db8::1; a.example.org A 192.0.2.1", "AAAA", "2001:DB8:0::1", true),
            ("a.example.org AAAA 2001:db8::1", "A", "192.0.2.1", false),
            ("a.example.org CNAME www.example.org", "CNAME", "www.example.org.", true),
            ("a.example.org CNAME www.example.org", "CNAME", "www2.example.org", false),
            ("a.example.org TXT some words", "TXT", "some words", true),
            ("TXT \"v=DKIM1; p=1\", \"some words\"", "TXT", "v=DKIM1; p=1", true),
            ("a.example.org TXT some words", "TXT", "some", false),
            ("a.example.org TXT some words", "TXT", "words", false),
            ("gone", "A", "192.0.2.1", false),
        ] {
            assert_eq!(is_seen(shown, &found(kind, content)), is, "{shown}: {kind} {content}");
        }
    }
}
