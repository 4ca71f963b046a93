//! The contract of DNS providers: every implementation passes the same tests. Whatever goes wrong,
//! in the end exactly our records are there, or none of them; and what is not ours stays as it was,
//! byte for byte.
//!
//! What may happen, and the test that meets it with its code:
//!
//! - crash: `a_run_that_stops_anywhere…`, `an_undo_at_once…`, `a_deletion_that_stops_anywhere…`, at
//!   every call of the journal; an adoption has no journal, and is repeated;
//! - answer lost: `every_request…`, `every_creation…`, `a_creation_that_was_tried_again…`,
//!   `an_adoption_may_go_wrong_in_every_way`;
//! - exists, foreign or ours: `what_is_foreign…`, `another_installation…`, `another_of_ours…`,
//!   `made_again…`, `a_half_made_name…`;
//! - changed or deleted by hand: `what_was_changed…`, `what_lost_its_marker…`, `what_was_deleted…`,
//!   `what_was_replaced…`, `what_changed_since_it_was_shown…`;
//! - zone gone: `a_zone_that_is_gone…`, `a_zone_that_never_was…`;
//! - quota: `a_full_zone…`. BIND has none: RFC 2136 has no word for it, and a server that limits its
//!   zones answers SERVFAIL, which is the vendor's own error here;
//! - 429: `every_trouble_has_its_code`. BIND has none either: DNS has no word for too many questions.
//!   Cloudflare's five minutes are in `dns_cloudflare.rs`, on a clock that is moved;
//! - refused: `every_trouble_has_its_code`, `every_creation…`, `an_adoption…`.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

#[expect(dead_code, reason = "no test uses everything")]
mod bind;
mod common;
mod dns_beds;

use std::sync::Arc;

use common::{INSTANCE, Lose, LosingJournal};
use dns_beds::{DnsBed, Foreign, Trouble};
use domain::code::Code;
use futures::future::join_all;
use providers::{
    Account, DnsFound, DnsName, DnsProvider, Journal, MemoryJournal, ProviderError, RecordContent, RecordDeleted,
    RecordMade, RecordTarget, RecordType, RecordWish,
};

const V4: &str = "192.0.2.10";
const V6: &str = "2001:db8::10";

/// A name with an A and an AAAA record; the ids are made from `n`.
fn wish_of(bed: &impl DnsBed, name: &str, n: u32) -> RecordWish {
    let one = |kind: RecordType, content: &str| RecordContent {
        record_id: format!("dns_018f0000-0000-7000-8000-{:012}{}", n, if kind == RecordType::A { "a" } else { "b" }),
        kind,
        content: content.to_owned(),
    };
    RecordWish {
        name: DnsName { zone: bed.zone(), name: name.to_owned() },
        contents: vec![one(RecordType::A, V4), one(RecordType::Aaaa, V6)],
        ttl: Some(300),
        proxied: None,
    }
}

fn wish(bed: &impl DnsBed) -> RecordWish {
    wish_of(bed, "alpha", 1)
}

/// What is to be found again of a wish; with the vendor's ids where they are known.
fn targets(wish: &RecordWish, made: &[RecordMade]) -> Vec<RecordTarget> {
    let vendor_id = |content: &RecordContent| {
        let made = made.iter().find(|it| it.record_id == content.record_id);
        made.and_then(|it| it.vendor_id.clone())
    };
    let one = |content: &RecordContent| RecordTarget {
        name: wish.name.clone(),
        content: content.clone(),
        vendor_id: vendor_id(content),
        proxied: false,
    };
    wish.contents.iter().map(one).collect()
}

fn foreign(bed: &impl DnsBed, name: &str, kind: RecordType, content: &str) -> Foreign {
    Foreign { fqdn: format!("{name}.{}", bed.zone()), kind, content: content.to_owned() }
}

/// Records of other people, near ours.
async fn neighbours(bed: &impl DnsBed) {
    bed.put(&[
        foreign(bed, "www", RecordType::A, "198.51.100.1"),
        foreign(bed, "alpha2", RecordType::A, V4),
        foreign(bed, "alph", RecordType::Aaaa, V6),
        foreign(bed, "sub.alpha", RecordType::Cname, &format!("www.{}", bed.zone())),
        foreign(bed, "note", RecordType::Txt, "hangar was here"),
    ])
    .await;
}

async fn create(
    account: &Arc<dyn Account>,
    wish: &RecordWish,
    journal: &mut dyn Journal,
) -> Result<Vec<RecordMade>, ProviderError> {
    account.dns().unwrap().create_record(wish, journal).await
}

/// As a job does it: waits as it is told, and tries again after what may pass.
async fn patience(error: ProviderError) {
    assert!(error.is_transient(), "{error:?}");
    let wait = error.retry_after.unwrap_or_default();
    assert!(wait.as_secs() <= 5, "{error:?}");
    tokio::time::sleep(wait).await;
}

async fn until_made(account: &Arc<dyn Account>, wish: &RecordWish, journal: &mut dyn Journal) -> Vec<RecordMade> {
    for _ in 0..6 {
        match create(account, wish, journal).await {
            Ok(made) => return made,
            Err(error) => patience(error).await,
        }
    }
    panic!("not made after six runs");
}

async fn until_gone(account: &Arc<dyn Account>, targets: &[RecordTarget], journal: &mut dyn Journal) {
    for target in targets {
        let mut gone = false;
        for _ in 0..6 {
            match account.dns().unwrap().delete_record(target, journal).await {
                Ok(RecordDeleted::Changed { observed }) => panic!("changed: {observed}"),
                Ok(_) => gone = true,
                Err(error) => patience(error).await,
            }
            if gone {
                break;
            }
        }
        assert!(gone, "not gone after six runs: {target:?}");
    }
}

async fn delete(account: &Arc<dyn Account>, target: &RecordTarget) -> RecordDeleted {
    account.dns().unwrap().delete_record(target, &mut MemoryJournal::default()).await.unwrap()
}

async fn at(dns: &dyn DnsProvider, name: &DnsName) -> Vec<DnsFound> {
    let mut found = dns.lookup(name).await.unwrap();
    found.retain(|it| matches!(it.kind.as_str(), "A" | "AAAA" | "CNAME"));
    found.sort_by(|a, b| a.kind.cmp(&b.kind));
    found
}

/// Both records of the wish are there, once, and ours.
async fn assert_stands(account: &Arc<dyn Account>, wish: &RecordWish, context: &str) {
    let found = at(account.dns().unwrap(), &wish.name).await;
    let seen: Vec<_> = found.iter().map(|it| (it.kind.as_str(), it.content.as_str(), it.ours)).collect();
    assert_eq!(seen, [("A", V4, true), ("AAAA", V6, true)], "{context}");
}

async fn made_found_and_taken_away_without_a_trace<B: DnsBed>() {
    let bed = B::start().await;
    neighbours(&bed).await;
    let before = bed.records().await;
    let account = bed.account(INSTANCE);
    let dns = account.dns().unwrap();
    account.check(None).await.unwrap();
    assert!(dns.zones().await.unwrap().iter().any(|zone| zone.name == bed.zone()));
    let wish = wish(&bed);
    assert_eq!(dns.lookup(&wish.name).await.unwrap(), []);
    let lost = &targets(&wish, &[])[0];
    if bed.has_name_server() {
        assert!(!dns.is_visible(lost).await.unwrap(), "not there yet");
    }

    let mut journal = MemoryJournal::default();
    let made = create(&account, &wish, &mut journal).await.unwrap();
    assert_eq!(journal.steps(), ["create_record"]);
    let ids: Vec<_> = made.iter().map(|it| it.record_id.as_str()).collect();
    let wished: Vec<_> = wish.contents.iter().map(|it| it.record_id.as_str()).collect();
    assert_eq!(ids, wished);
    assert_stands(&account, &wish, "made").await;
    let found = at(dns, &wish.name).await;
    assert!(found.iter().all(|it| it.name == wish.name && !it.proxied), "{found:?}");
    assert_eq!(found.iter().map(|it| it.ttl).collect::<Vec<_>>(), [Some(300), Some(300)]);
    let mut owned = dns.owned(&bed.zone()).await.unwrap();
    owned.retain(|it| it.kind != "TXT");
    assert_eq!(owned.len(), 2, "{owned:?}");
    let targets = targets(&wish, &made);
    for target in &targets {
        if bed.has_name_server() {
            assert!(dns.is_visible(target).await.unwrap(), "{target:?}");
        }
    }

    let mut journal = MemoryJournal::default();
    for target in &targets {
        assert_eq!(dns.delete_record(target, &mut journal).await.unwrap(), RecordDeleted::Deleted);
    }
    assert_eq!(journal.steps(), ["delete_record", "delete_record"]);
    assert_eq!(bed.records().await, before);
    for target in &targets {
        assert_eq!(delete(&account, target).await, RecordDeleted::Gone, "gone already is done");
    }
    assert_eq!(dns.owned(&bed.zone()).await.unwrap(), []);
}

async fn made_again_is_the_same<B: DnsBed>() {
    let bed = B::start().await;
    neighbours(&bed).await;
    let account = bed.account(INSTANCE);
    let wish = wish(&bed);
    let mut journal = MemoryJournal::default();
    let made = create(&account, &wish, &mut journal).await.unwrap();
    let after = bed.records().await;
    assert_eq!(create(&account, &wish, &mut journal).await.unwrap(), made, "with the same journal");
    assert_eq!(create(&account, &wish, &mut MemoryJournal::default()).await.unwrap(), made, "with none");
    assert_eq!(bed.records().await, after);
}

/// One of two is there already and ours: the other one is added.
async fn a_half_made_name_is_completed<B: DnsBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let wish = wish(&bed);
    let mut journal = MemoryJournal::default();
    create(&account, &wish, &mut journal).await.unwrap();
    bed.remove(&wish.name.fqdn(), RecordType::Aaaa).await;
    let made = create(&account, &wish, &mut journal).await.unwrap();
    assert_stands(&account, &wish, "completed").await;
    until_gone(&account, &targets(&wish, &made), &mut journal).await;
    assert_eq!(bed.records().await, Vec::<String>::new());
}

async fn what_is_foreign_is_a_conflict_and_stays<B: DnsBed>() {
    for (kind, content) in [
        (RecordType::A, "198.51.100.7"),
        (RecordType::A, V4),
        (RecordType::Aaaa, V6),
        (RecordType::Cname, "example.org"),
    ] {
        let bed = B::start().await;
        neighbours(&bed).await;
        bed.put(&[foreign(&bed, "alpha", kind, content)]).await;
        let before = bed.records().await;
        let account = bed.account(INSTANCE);
        let (wish, mut journal) = (wish(&bed), MemoryJournal::default());
        let error = create(&account, &wish, &mut journal).await.unwrap_err();
        assert_eq!(error.code, Code::DnsNameConflict, "{kind:?} {content}");
        assert_eq!(bed.records().await, before, "{kind:?} {content}");
        // The undo of what never was, and a deletion without a journal.
        for target in targets(&wish, &[]) {
            let dns = account.dns().unwrap();
            let undone = dns.delete_record(&target, &mut journal).await.unwrap();
            assert_ne!(undone, RecordDeleted::Deleted, "{kind:?} {content}");
            assert_ne!(delete(&account, &target).await, RecordDeleted::Deleted, "{kind:?} {content}");
        }
        assert_eq!(bed.records().await, before, "{kind:?} {content}");
        let found = at(account.dns().unwrap(), &wish.name).await;
        assert!(found.len() == 1 && !found[0].ours, "{found:?}");
    }
}

async fn another_installation_is_foreign<B: DnsBed>() {
    let bed = B::start().await;
    let other = bed.account("inst-2");
    let ours = bed.account(INSTANCE);
    let wish = wish(&bed);
    let made = create(&other, &wish, &mut MemoryJournal::default()).await.unwrap();
    let before = bed.records().await;
    let error = create(&ours, &wish, &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!(error.code, Code::DnsNameConflict);
    assert_eq!(ours.dns().unwrap().owned(&bed.zone()).await.unwrap(), []);
    for target in targets(&wish, &made) {
        assert_ne!(delete(&ours, &target).await, RecordDeleted::Deleted);
    }
    assert_eq!(bed.records().await, before);
    until_gone(&other, &targets(&wish, &made), &mut MemoryJournal::default()).await;
    assert_eq!(bed.records().await, Vec::<String>::new());
}

/// A name that another of our nodes has.
async fn another_of_ours_is_a_conflict<B: DnsBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    create(&account, &wish_of(&bed, "alpha", 1), &mut MemoryJournal::default()).await.unwrap();
    let before = bed.records().await;
    let mut second = wish_of(&bed, "alpha", 2);
    second.contents[0].content = "192.0.2.20".to_owned();
    second.contents[1].content = "2001:db8::20".to_owned();
    let mut journal = MemoryJournal::default();
    let error = create(&account, &second, &mut journal).await.unwrap_err();
    assert_eq!(error.code, Code::DnsNameConflict);
    for target in targets(&second, &[]) {
        let undone = account.dns().unwrap().delete_record(&target, &mut journal).await.unwrap();
        assert_ne!(undone, RecordDeleted::Deleted);
    }
    assert_eq!(bed.records().await, before);
}

/// Two addresses of one name that are made one after the other stand beside each other; each is made
/// again, and goes, alone.
async fn an_address_of_ours_of_the_other_type_is_no_conflict<B: DnsBed>() {
    let bed = B::start().await;
    neighbours(&bed).await;
    let before = bed.records().await;
    let account = bed.account(INSTANCE);
    let both = wish(&bed);
    let alone = |n: usize| RecordWish { contents: vec![both.contents[n].clone()], ..both.clone() };
    let mut stands = Vec::new();
    for n in [0, 1, 0] {
        let mut journal = MemoryJournal::default();
        stands = create(&account, &alone(n), &mut journal).await.unwrap();
    }
    let made = create(&account, &both, &mut MemoryJournal::default()).await.unwrap();
    assert!(made.contains(&stands[0]), "it is the same all along");
    // So does a text, whichever came first.
    let mut text = alone(0);
    text.contents[0].kind = RecordType::Txt;
    text.contents[0].content = "beside an address".to_owned();
    text.contents[0].record_id = wish_of(&bed, "alpha", 4).contents[0].record_id.clone();
    let told = create(&account, &text, &mut MemoryJournal::default()).await.unwrap();
    let gone = account.dns().unwrap().delete_record(&targets(&text, &told)[0], &mut MemoryJournal::default()).await;
    assert_eq!(gone.unwrap(), RecordDeleted::Deleted);
    // A name that leads elsewhere as a whole does not stand beside an address.
    let mut alias = alone(1);
    alias.contents[0].kind = RecordType::Cname;
    alias.contents[0].content = "www.example.org".to_owned();
    alias.contents[0].record_id = wish_of(&bed, "alpha", 3).contents[0].record_id.clone();
    let error = create(&account, &alias, &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!(error.code, Code::DnsNameConflict);
    for target in targets(&both, &made) {
        let gone = account.dns().unwrap().delete_record(&target, &mut MemoryJournal::default()).await.unwrap();
        assert_eq!(gone, RecordDeleted::Deleted);
    }
    assert_eq!(bed.records().await, before);
}

async fn what_was_changed_by_hand_is_left_and_told<B: DnsBed>() {
    let bed = B::start().await;
    neighbours(&bed).await;
    let account = bed.account(INSTANCE);
    let wish = wish(&bed);
    let made = create(&account, &wish, &mut MemoryJournal::default()).await.unwrap();
    bed.change(&wish.name.fqdn(), RecordType::A, "203.0.113.9").await;
    let changed = bed.records().await;
    let error = create(&account, &wish, &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!(error.code, Code::DnsNameConflict, "our marker with another content");
    let targets = targets(&wish, &made);
    match delete(&account, &targets[0]).await {
        RecordDeleted::Changed { observed } => assert!(observed.contains("203.0.113.9"), "{observed}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bed.records().await, changed);
    if bed.has_name_server() {
        assert!(!account.dns().unwrap().is_visible(&targets[0]).await.unwrap(), "another content is not ours");
    }
}

async fn what_lost_its_marker_is_left_and_told<B: DnsBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let wish = wish(&bed);
    let made = create(&account, &wish, &mut MemoryJournal::default()).await.unwrap();
    bed.unmark(&wish.name.fqdn()).await;
    let changed = bed.records().await;
    for target in targets(&wish, &made) {
        assert!(matches!(delete(&account, &target).await, RecordDeleted::Changed { .. }));
    }
    let error = create(&account, &wish, &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!(error.code, Code::DnsNameConflict);
    assert_eq!(bed.records().await, changed);
    assert_eq!(account.dns().unwrap().owned(&bed.zone()).await.unwrap(), []);
}

async fn what_was_deleted_by_hand_is_gone<B: DnsBed>() {
    let bed = B::start().await;
    neighbours(&bed).await;
    let before = bed.records().await;
    let account = bed.account(INSTANCE);
    let wish = wish(&bed);
    let made = create(&account, &wish, &mut MemoryJournal::default()).await.unwrap();
    bed.remove(&wish.name.fqdn(), RecordType::A).await;
    let targets = targets(&wish, &made);
    assert_eq!(delete(&account, &targets[0]).await, RecordDeleted::Gone);
    assert_eq!(delete(&account, &targets[1]).await, RecordDeleted::Deleted);
    assert_eq!(bed.records().await, before);
}

/// Deleted by hand, and then somebody made the same anew: it is theirs.
async fn what_was_replaced_by_hand_stays<B: DnsBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let wish = wish(&bed);
    let made = create(&account, &wish, &mut MemoryJournal::default()).await.unwrap();
    bed.unmark(&wish.name.fqdn()).await;
    for kind in [RecordType::A, RecordType::Aaaa] {
        bed.remove(&wish.name.fqdn(), kind).await;
    }
    bed.put(&[foreign(&bed, "alpha", RecordType::A, V4)]).await;
    let before = bed.records().await;
    for target in targets(&wish, &made) {
        assert_ne!(delete(&account, &target).await, RecordDeleted::Deleted);
    }
    assert_eq!(bed.records().await, before);
}

async fn a_zone_that_is_gone_takes_its_records_along<B: DnsBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let wish = wish(&bed);
    let made = create(&account, &wish, &mut MemoryJournal::default()).await.unwrap();
    bed.remove_zone().await;
    // Also for an account that has not seen the zone before.
    for account in [account, bed.account(INSTANCE)] {
        let dns = account.dns().unwrap();
        let mut journal = MemoryJournal::default();
        let error = create(&account, &wish, &mut journal).await.unwrap_err();
        assert_eq!(error.code, Code::DnsZoneNotFound);
        assert_eq!(dns.lookup(&wish.name).await.unwrap_err().code, Code::DnsZoneNotFound);
        assert_eq!(dns.owned(&bed.zone()).await.unwrap_err().code, Code::DnsZoneNotFound);
        for target in targets(&wish, &[]) {
            let undone = dns.delete_record(&target, &mut journal).await.unwrap();
            assert_eq!(undone, RecordDeleted::Gone, "the undo of what never was");
        }
        for target in targets(&wish, &made) {
            assert_eq!(delete(&account, &target).await, RecordDeleted::Gone);
        }
    }
}

async fn a_zone_that_never_was_is_not_found<B: DnsBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let mut wish = wish(&bed);
    wish.name.zone = "example.org".to_owned();
    let error = create(&account, &wish, &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!(error.code, Code::DnsZoneNotFound);
    assert!(!error.is_transient());
}

async fn a_full_zone_makes_none_of_both<B: DnsBed>() {
    for room in [0, 1] {
        let bed = B::start().await;
        neighbours(&bed).await;
        let before = bed.records().await;
        if !bed.room(room).await {
            return;
        }
        let account = bed.account(INSTANCE);
        let (wish, mut journal) = (wish(&bed), MemoryJournal::default());
        let error = create(&account, &wish, &mut journal).await.unwrap_err();
        assert_eq!(error.code, Code::DnsQuotaExceeded, "room for {room}");
        until_gone(&account, &targets(&wish, &[]), &mut journal).await;
        assert_eq!(bed.records().await, before, "room for {room}");
    }
}

async fn a_name_or_a_content_that_cannot_be_is_refused<B: DnsBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let mut cases = [wish(&bed), wish(&bed), wish(&bed)];
    cases[0].contents[0].content = "not an address".to_owned();
    cases[1].name.name = format!("{}.{}", "a".repeat(64), "b");
    cases[2].contents[1].content = V4.to_owned();
    for wish in cases {
        let mut journal = MemoryJournal::default();
        let error = create(&account, &wish, &mut journal).await.unwrap_err();
        assert_eq!(error.code, Code::DnsValidation, "{wish:?}");
        until_gone(&account, &targets(&wish, &[]), &mut journal).await;
        assert_eq!(bed.records().await, Vec::<String>::new(), "{wish:?}");
    }
}

/// The N-th request meets a trouble that passes, for every N and every trouble.
async fn every_request_may_go_wrong_in_every_way<B: DnsBed>() {
    let case = |nth: u32, trouble: Trouble| async move {
        let context = format!("request {nth} met {trouble:?}");
        let bed = B::start().await;
        neighbours(&bed).await;
        let before = bed.records().await;
        let account = bed.account(INSTANCE);
        let wish = wish(&bed);
        if !bed.trouble(nth, trouble).await {
            return;
        }
        let made = until_made(&account, &wish, &mut MemoryJournal::default()).await;
        bed.calm().await;
        // Whoever deletes has another journal, and comes later.
        bed.settled().await;
        assert_stands(&account, &wish, &context).await;
        assert_eq!(bed.records().await.iter().filter(|it| before.contains(it)).count(), before.len(), "{context}");
        bed.trouble(nth, trouble).await;
        until_gone(&account, &targets(&wish, &made), &mut MemoryJournal::default()).await;
        bed.calm().await;
        assert_eq!(bed.records().await, before, "{context}");
    };
    join_all((1..=8).flat_map(|nth| Trouble::PASSING.into_iter().map(move |trouble| case(nth, trouble)))).await;
}

/// The same for a creation that is not tried again but undone, with what it knows: its journal.
async fn every_creation_can_be_undone<B: DnsBed>() {
    let case = |nth: u32, trouble: Trouble| async move {
        let context = format!("request {nth} met {trouble:?}");
        let bed = B::start().await;
        neighbours(&bed).await;
        let before = bed.records().await;
        let account = bed.account(INSTANCE);
        let (wish, mut journal) = (wish(&bed), MemoryJournal::default());
        if !bed.trouble(nth, trouble).await {
            return;
        }
        let created = create(&account, &wish, &mut journal).await;
        bed.calm().await;
        if let (Err(error), Trouble::RateLimited) = (&created, trouble) {
            assert_eq!(error.code, Code::ProviderRateLimited, "{context}");
            assert!(error.retry_after.is_some(), "{context}");
        }
        if let (Err(error), Trouble::Refused) = (&created, trouble) {
            assert_eq!(error.code, Code::ProviderCredentialRejected, "{context}");
            assert!(!error.is_transient(), "{context}");
        }
        until_gone(&account, &targets(&wish, &[]), &mut journal).await;
        bed.settled().await;
        assert_eq!(bed.records().await, before, "{context}");
    };
    let troubles = || Trouble::PASSING.into_iter().chain([Trouble::Refused]);
    join_all((1..=8).flat_map(|nth| troubles().map(move |trouble| case(nth, trouble)))).await;
}

/// The same for a creation that was tried again until it was there, and is undone at once: what went
/// out first may still be on its way.
async fn a_creation_that_was_tried_again_can_be_undone_at_once<B: DnsBed>() {
    let case = |nth: u32, trouble: Trouble| async move {
        let context = format!("request {nth} met {trouble:?}");
        let bed = B::start().await;
        let account = bed.account(INSTANCE);
        let (wish, mut journal) = (wish(&bed), MemoryJournal::default());
        if !bed.trouble(nth, trouble).await {
            return;
        }
        let made = until_made(&account, &wish, &mut journal).await;
        bed.calm().await;
        until_gone(&account, &targets(&wish, &made), &mut journal).await;
        bed.settled().await;
        assert_eq!(bed.records().await, Vec::<String>::new(), "{context}");
    };
    join_all((1..=5).flat_map(|nth| Trouble::PASSING.into_iter().map(move |trouble| case(nth, trouble)))).await;
}

/// The lease is lost, or the process dies, at every single call of the journal.
async fn a_run_that_stops_anywhere_is_taken_up_or_undone<B: DnsBed>() {
    for lose in [Lose::Before, Lose::After] {
        for k in 1.. {
            let bed = B::start().await;
            neighbours(&bed).await;
            let before = bed.records().await;
            let account = bed.account(INSTANCE);
            let wish = wish(&bed);
            let mut first = LosingJournal::at(k, lose, MemoryJournal::default());
            let outcome = create(&account, &wish, &mut first).await;
            if !first.lost {
                outcome.unwrap();
                assert!(k > 2, "the journal was called {k} times");
                break;
            }
            assert!(outcome.unwrap_err().lost, "{lose:?} {k}");
            if k % 2 == 0 {
                until_made(&account, &wish, &mut first.inner).await;
                assert_stands(&account, &wish, &format!("{lose:?} {k}")).await;
            }
            until_gone(&account, &targets(&wish, &[]), &mut first.inner).await;
            assert_eq!(bed.records().await, before, "{lose:?} {k}");
        }
    }
}

async fn an_undo_at_once_leaves_nothing_wherever_the_run_stopped<B: DnsBed>() {
    for lose in [Lose::Before, Lose::After] {
        for k in 1.. {
            let bed = B::start().await;
            let account = bed.account(INSTANCE);
            let wish = wish(&bed);
            let mut first = LosingJournal::at(k, lose, MemoryJournal::default());
            let made = create(&account, &wish, &mut first).await;
            until_gone(&account, &targets(&wish, &[]), &mut first.inner).await;
            assert_eq!(bed.records().await, Vec::<String>::new(), "{lose:?} {k}");
            if made.is_ok() {
                break;
            }
        }
    }
}

async fn a_deletion_that_stops_anywhere_is_taken_up<B: DnsBed>() {
    for lose in [Lose::Before, Lose::After] {
        for k in 1.. {
            let bed = B::start().await;
            neighbours(&bed).await;
            let before = bed.records().await;
            let account = bed.account(INSTANCE);
            let wish = wish(&bed);
            let made = create(&account, &wish, &mut MemoryJournal::default()).await.unwrap();
            let targets = targets(&wish, &made);
            let mut first = LosingJournal::at(k, lose, MemoryJournal::default());
            let outcome = account.dns().unwrap().delete_record(&targets[0], &mut first).await;
            if !first.lost {
                assert_eq!(outcome.unwrap(), RecordDeleted::Deleted);
                break;
            }
            assert!(outcome.unwrap_err().lost, "{lose:?} {k}");
            until_gone(&account, &targets, &mut first.inner).await;
            assert_eq!(bed.records().await, before, "{lose:?} {k}");
        }
    }
}

/// Five thousand records of other people and a hundred of ours in one zone.
async fn destroying_all_ours_touches_exactly_ours<B: DnsBed>() {
    let bed = B::start().await;
    let mut others = Vec::new();
    for n in 0..1_250_u32 {
        others.push(foreign(&bed, &format!("n{n}"), RecordType::A, &format!("198.51.{}.{}", n / 250, n % 250 + 1)));
        others.push(foreign(&bed, &format!("n{n}"), RecordType::Aaaa, &format!("2001:db8:1::{n:x}")));
        others.push(foreign(&bed, &format!("c{n}"), RecordType::Cname, &format!("n{n}.{}", bed.zone())));
        others.push(foreign(&bed, &format!("t{n}"), RecordType::Txt, &format!("hangar {INSTANCE} of somebody {n}")));
    }
    bed.put(&others).await;
    bed.room(1_000).await;
    let before = bed.records().await;
    assert_eq!(before.len(), 5_000);
    let account = bed.account(INSTANCE);
    let dns = account.dns().unwrap();
    let mut all = Vec::new();
    for n in 0..50 {
        let wish = wish_of(&bed, &format!("node{n}"), n);
        let made = until_made(&account, &wish, &mut MemoryJournal::default()).await;
        all.extend(targets(&wish, &made));
    }
    let ours = |found: Vec<DnsFound>| found.into_iter().filter(|it| it.kind != "TXT").count();
    assert_eq!(ours(dns.owned(&bed.zone()).await.unwrap()), 100);
    for target in &all {
        assert_eq!(delete(&account, target).await, RecordDeleted::Deleted, "{target:?}");
    }
    assert_eq!(dns.owned(&bed.zone()).await.unwrap(), []);
    assert_eq!(bed.records().await, before);
}

const ADOPTED: &str = "dns_018f0000-0000-7000-8000-00000000000c";
const OTHERS: &str = "198.51.100.7";

async fn adopt(account: &Arc<dyn Account>, found: &DnsFound) -> Result<RecordMade, ProviderError> {
    account.dns().unwrap().adopt_record(found, ADOPTED).await
}

/// The A record of `alpha`, as it is shown to whoever decides.
async fn shown(bed: &impl DnsBed, account: &Arc<dyn Account>) -> DnsFound {
    let mut found = at(account.dns().unwrap(), &wish(bed).name).await;
    found.retain(|it| it.kind == "A");
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// What was adopted, to be found again.
fn adopted(found: &DnsFound, made: &RecordMade) -> RecordTarget {
    let content =
        RecordContent { record_id: made.record_id.clone(), kind: RecordType::A, content: found.content.clone() };
    let (name, vendor_id) = (found.name.clone(), made.vendor_id.clone());
    RecordTarget { name, content, vendor_id, proxied: found.proxied }
}

/// Whatever was there is there still, as it was.
async fn assert_untouched(bed: &impl DnsBed, before: &[String], context: &str) {
    let now = bed.records().await;
    let gone: Vec<_> = before.iter().filter(|line| !now.contains(line)).collect();
    assert!(gone.is_empty(), "{context}: {gone:#?} in {now:#?}");
}

async fn what_is_adopted_is_ours_and_nothing_else_of_it_changes<B: DnsBed>() {
    let bed = B::start().await;
    neighbours(&bed).await;
    bed.put(&[foreign(&bed, "alpha", RecordType::Aaaa, V6), foreign(&bed, "alpha", RecordType::Txt, "a note")]).await;
    let before = bed.records().await;
    bed.put(&[foreign(&bed, "alpha", RecordType::A, OTHERS)]).await;
    let account = bed.account(INSTANCE);
    let dns = account.dns().unwrap();
    let found = shown(&bed, &account).await;
    assert!(!found.ours && found.record_id.is_none() && found.content == OTHERS, "{found:?}");

    let made = adopt(&account, &found).await.unwrap();
    assert_eq!((made.record_id.as_str(), &made.vendor_id), (ADOPTED, &found.vendor_id));
    assert_untouched(&bed, &before, "adopted").await;
    let ours = DnsFound { ours: true, record_id: Some(ADOPTED.to_owned()), ..found.clone() };
    assert_eq!(shown(&bed, &account).await, ours);
    let after = bed.records().await;
    for again in [&found, &ours] {
        assert_eq!(adopt(&account, again).await.unwrap(), made, "adopted again");
    }
    assert_eq!(bed.records().await, after);
    let owned = dns.owned(&bed.zone()).await.unwrap();
    assert_eq!(owned.iter().filter(|it| it.kind != "TXT").collect::<Vec<_>>(), [&ours]);

    assert_eq!(delete(&account, &adopted(&found, &made)).await, RecordDeleted::Deleted);
    assert_eq!(bed.records().await, before);
    assert_eq!(delete(&account, &adopted(&found, &made)).await, RecordDeleted::Gone);
    assert_eq!(dns.owned(&bed.zone()).await.unwrap(), []);
}

async fn what_changed_since_it_was_shown_is_not_adopted<B: DnsBed>() {
    for what in ["changed", "deleted", "another type", "zone"] {
        let bed = B::start().await;
        neighbours(&bed).await;
        bed.put(&[foreign(&bed, "alpha", RecordType::A, OTHERS)]).await;
        let account = bed.account(INSTANCE);
        let (fqdn, found) = (wish(&bed).name.fqdn(), shown(&bed, &account).await);
        let code = match what {
            "changed" => {
                bed.change(&fqdn, RecordType::A, "203.0.113.9").await;
                Code::DnsNameConflict
            }
            "zone" => {
                bed.remove_zone().await;
                Code::DnsZoneNotFound
            }
            _ => {
                bed.remove(&fqdn, RecordType::A).await;
                if what != "deleted" {
                    bed.put(&[foreign(&bed, "alpha", RecordType::Aaaa, V6)]).await;
                }
                Code::ProviderResourceGone
            }
        };
        let before = if what == "zone" { Vec::new() } else { bed.records().await };
        let error = adopt(&account, &found).await.unwrap_err();
        assert_eq!(error.code, code, "{what}: {error:?}");
        assert!(!error.is_transient(), "{what}");
        if what != "zone" {
            assert_eq!(bed.records().await, before, "{what}");
            assert_eq!(account.dns().unwrap().owned(&bed.zone()).await.unwrap(), [], "{what}");
        }
    }
}

/// Changed by hand, and a person says that it is right so.
async fn ours_that_was_changed_by_hand_is_adopted_as_it_is<B: DnsBed>() {
    let bed = B::start().await;
    neighbours(&bed).await;
    let before = bed.records().await;
    let account = bed.account(INSTANCE);
    let wish = wish(&bed);
    let made = create(&account, &wish, &mut MemoryJournal::default()).await.unwrap();
    bed.change(&wish.name.fqdn(), RecordType::A, OTHERS).await;
    let found = shown(&bed, &account).await;
    let mut targets = targets(&wish, &made);
    let dns = account.dns().unwrap();
    let same = dns.adopt_record(&found, &wish.contents[0].record_id).await.unwrap();
    assert_eq!(same.record_id, wish.contents[0].record_id);
    targets[0] = adopted(&found, &same);
    let now = shown(&bed, &account).await;
    assert!(now.ours && now.content == OTHERS, "{now:?}");
    until_gone(&account, &targets, &mut MemoryJournal::default()).await;
    assert_eq!(bed.records().await, before);
}

/// From then on it is not theirs any more; what else they have is.
async fn what_another_installation_made_can_be_adopted<B: DnsBed>() {
    let bed = B::start().await;
    let (theirs, ours) = (bed.account("inst-2"), bed.account(INSTANCE));
    let wish = wish(&bed);
    let made = create(&theirs, &wish, &mut MemoryJournal::default()).await.unwrap();
    let found = shown(&bed, &ours).await;
    assert!(!found.ours, "{found:?}");
    let taken = adopt(&ours, &found).await.unwrap();
    assert!(shown(&bed, &ours).await.ours && !shown(&bed, &theirs).await.ours);
    let targets = targets(&wish, &made);
    assert_ne!(delete(&theirs, &targets[0]).await, RecordDeleted::Deleted);
    assert_eq!(delete(&theirs, &targets[1]).await, RecordDeleted::Deleted);
    assert!(shown(&bed, &ours).await.ours);
    assert_eq!(delete(&ours, &adopted(&found, &taken)).await, RecordDeleted::Deleted);
    assert_eq!(bed.records().await, Vec::<String>::new());
}

async fn an_adoption_may_go_wrong_in_every_way<B: DnsBed>() {
    let case = |nth: u32, trouble: Trouble| async move {
        let context = format!("request {nth} met {trouble:?}");
        let bed = B::start().await;
        neighbours(&bed).await;
        let before = bed.records().await;
        bed.put(&[foreign(&bed, "alpha", RecordType::A, OTHERS)]).await;
        let account = bed.account(INSTANCE);
        let found = shown(&bed, &account).await;
        if !bed.trouble(nth, trouble).await {
            return;
        }
        let mut made = None;
        for _ in 0..6 {
            match adopt(&account, &found).await {
                Ok(it) => {
                    made = Some(it);
                    break;
                }
                Err(error) if trouble == Trouble::Refused => {
                    assert_eq!(error.code, Code::ProviderCredentialRejected, "{context}");
                }
                Err(error) => patience(error).await,
            }
        }
        bed.calm().await;
        bed.settled().await;
        assert_untouched(&bed, &before, &context).await;
        assert!(shown(&bed, &account).await.ours, "{context}");
        let target = adopted(&found, &made.unwrap());
        until_gone(&account, &[target], &mut MemoryJournal::default()).await;
        assert_eq!(bed.records().await, before, "{context}");
    };
    let troubles = || Trouble::PASSING.into_iter().chain([Trouble::Refused]);
    join_all((1..=8).flat_map(|nth| troubles().map(move |trouble| case(nth, trouble)))).await;
}

/// Whatever is asked for and whatever is met, the code says what it was, and whether it may pass.
async fn every_trouble_has_its_code<B: DnsBed>() {
    let case = |verb: &'static str, nth: u32, trouble: Trouble| async move {
        let context = format!("{verb}: request {nth} met {trouble:?}");
        let bed = B::start().await;
        neighbours(&bed).await;
        let account = bed.account(INSTANCE);
        let dns = account.dns().unwrap();
        bed.put(&[foreign(&bed, "taken", RecordType::A, OTHERS)]).await;
        let (stands, wish) = (wish_of(&bed, "stands", 3), wish(&bed));
        let made = create(&account, &stands, &mut MemoryJournal::default()).await.unwrap();
        let target = &targets(&stands, &made)[0];
        let found = &dns.lookup(&DnsName { zone: bed.zone(), name: "taken".to_owned() }).await.unwrap()[0];
        let before = bed.records().await;
        if !bed.trouble(nth, trouble).await {
            return;
        }
        let error = match verb {
            "look-up" => dns.lookup(&stands.name).await.err(),
            "all" => dns.owned(&bed.zone()).await.err(),
            "create" => create(&account, &wish, &mut MemoryJournal::default()).await.err(),
            "delete" => dns.delete_record(target, &mut MemoryJournal::default()).await.err(),
            _ => adopt(&account, found).await.err(),
        };
        bed.calm().await;
        let Some(error) = error else {
            // Some are waited out at once, and some come later than the last request.
            assert!(nth > 1 || trouble != Trouble::Refused, "{context}");
            return;
        };
        let codes: &[Code] = match trouble {
            // No answer at all, or one of a proxy that waited no longer.
            Trouble::AnswerLost | Trouble::Late => &[Code::ProviderUnreachable, Code::ProviderApiError],
            Trouble::Unreadable | Trouble::ServerError => &[Code::ProviderApiError],
            Trouble::Broken => &[Code::ProviderUnreachable],
            Trouble::RateLimited => &[Code::ProviderRateLimited],
            Trouble::Refused => &[Code::ProviderCredentialRejected],
        };
        assert!(codes.contains(&error.code), "{context}: {error:?}");
        assert_eq!(error.is_transient(), trouble != Trouble::Refused, "{context}");
        assert_eq!(error.retry_after.is_some(), trouble == Trouble::RateLimited, "{context}: {error:?}");
        bed.settled().await;
        if nth == 1 {
            // Each begins with a look.
            assert_eq!(bed.records().await, before, "{context}");
        }
    };
    let troubles = || Trouble::PASSING.into_iter().chain([Trouble::Refused]);
    let verbs = ["look-up", "all", "create", "delete", "adopt"];
    let all = verbs.into_iter().flat_map(|verb| (1..=3).map(move |nth| (verb, nth)));
    join_all(all.flat_map(|(verb, nth)| troubles().map(move |trouble| case(verb, nth, trouble)))).await;
}

macro_rules! tests {
    ($bed:ty: $($test:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            if <$bed as super::DnsBed>::is_here() {
                super::$test::<$bed>().await;
            }
        }
    )*};
}

/// Every test of the contract for one implementation.
macro_rules! contract {
    ($name:ident: $bed:ty) => {
        mod $name {
            tests! { $bed:
                made_found_and_taken_away_without_a_trace
                made_again_is_the_same
                a_half_made_name_is_completed
                what_is_foreign_is_a_conflict_and_stays
                another_installation_is_foreign
                another_of_ours_is_a_conflict
                an_address_of_ours_of_the_other_type_is_no_conflict
                what_was_changed_by_hand_is_left_and_told
                what_lost_its_marker_is_left_and_told
                what_was_deleted_by_hand_is_gone
                what_was_replaced_by_hand_stays
                a_zone_that_is_gone_takes_its_records_along
                a_zone_that_never_was_is_not_found
                a_full_zone_makes_none_of_both
                a_name_or_a_content_that_cannot_be_is_refused
                every_request_may_go_wrong_in_every_way
                every_creation_can_be_undone
                a_creation_that_was_tried_again_can_be_undone_at_once
                a_run_that_stops_anywhere_is_taken_up_or_undone
                an_undo_at_once_leaves_nothing_wherever_the_run_stopped
                a_deletion_that_stops_anywhere_is_taken_up
                every_trouble_has_its_code
                what_is_adopted_is_ours_and_nothing_else_of_it_changes
                what_changed_since_it_was_shown_is_not_adopted
                ours_that_was_changed_by_hand_is_adopted_as_it_is
                what_another_installation_made_can_be_adopted
                an_adoption_may_go_wrong_in_every_way
                destroying_all_ours_touches_exactly_ours
            }
        }
    };
}

contract!(cloudflare: crate::dns_beds::cloudflare::CloudflareBed);
contract!(bind9: crate::dns_beds::bind::BindBed);
contract!(hetzner: crate::dns_beds::hetzner::HetznerBed);
