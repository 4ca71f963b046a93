//! Dynamic updates at a real BIND 9, read back by `dig`: what is particular to this protocol. What
//! every DNS provider has to keep is in `dns_contract.rs`.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod bind;
mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bind::{Bind, HANGAR, Key, LONGER, READER, WRITER};
use common::{INSTANCE, timeouts};
use domain::code::Code;
use futures::future::join_all;
use providers::{
    Account, AccountAccess, AccountSecret, DnsFound, DnsName, Effect, MemoryJournal, ProviderError, RecordContent,
    RecordDeleted, RecordMade, RecordTarget, RecordType, RecordWish, Registry, Timeouts,
};
use serde_json::json;

const ZONE: &str = "example.test";

fn start() -> Option<Bind> {
    Bind::start(&[ZONE.to_owned()])
}

fn open(server: &str, zone: &str, key: Key, instance: &str, timeouts: Timeouts) -> Arc<dyn Account> {
    let access = AccountAccess {
        work_dir: std::env::temp_dir(),
        settings: json!({"server": server, "zone": zone, "key_name": key.name, "algorithm": key.algorithm}),
        secret: AccountSecret::new(json!({"key": key.secret})),
        instance: instance.to_owned(),
        timeouts,
    };
    Registry::standard().get("rfc2136").unwrap().open(access).unwrap()
}

fn account_of(bind: &Bind, instance: &str) -> Arc<dyn Account> {
    open(&bind.server(), ZONE, HANGAR, instance, timeouts())
}

fn account(bind: &Bind) -> Arc<dyn Account> {
    account_of(bind, INSTANCE)
}

fn target(name: &str, kind: RecordType, content: &str, id: &str) -> RecordTarget {
    RecordTarget {
        name: DnsName { zone: ZONE.to_owned(), name: name.to_owned() },
        content: RecordContent { record_id: id.to_owned(), kind, content: content.to_owned() },
        vendor_id: None,
        proxied: false,
    }
}

fn a(name: &str, id: &str) -> RecordTarget {
    target(name, RecordType::A, "192.0.2.10", id)
}

fn wish(target: &RecordTarget) -> RecordWish {
    RecordWish { name: target.name.clone(), contents: vec![target.content.clone()], ttl: None, proxied: None }
}

async fn create(account: &Arc<dyn Account>, target: &RecordTarget) -> Result<Vec<RecordMade>, ProviderError> {
    account.dns().unwrap().create_record(&wish(target), &mut MemoryJournal::default()).await
}

async fn delete(account: &Arc<dyn Account>, target: &RecordTarget) -> Result<RecordDeleted, ProviderError> {
    account.dns().unwrap().delete_record(target, &mut MemoryJournal::default()).await
}

async fn lookup(account: &Arc<dyn Account>, name: &str) -> Vec<DnsFound> {
    let name = DnsName { zone: ZONE.to_owned(), name: name.to_owned() };
    account.dns().unwrap().lookup(&name).await.unwrap()
}

/// What `dig` says at a name, its lines sorted.
async fn dig(bind: &Bind, name: &str, kind: &str) -> Vec<String> {
    let text = bind.dig(&[&format!("{name}.{ZONE}"), kind, "+short"]).await;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn a_record_and_its_marker_come_and_go_in_one_update_each() {
    let Some(bind) = start() else { return };
    let account = account(&bind);
    let serial = || async { bind.serial(ZONE).await.parse::<u32>().unwrap() };
    let before = serial().await;
    let alpha = a("alpha", "dns_1");
    create(&account, &alpha).await.unwrap();
    assert_eq!(dig(&bind, "alpha", "A").await, ["192.0.2.10"]);
    let marker = dig(&bind, "_hangar.alpha", "TXT").await;
    let begins = format!("\"heritage=hangar\" \"instance={INSTANCE}\" \"A=dns_1/");
    assert!(marker.len() == 1 && marker[0].starts_with(&begins), "{marker:?}");
    assert_eq!(serial().await, before + 1, "one change of the zone");
    assert_eq!(delete(&account, &alpha).await.unwrap(), RecordDeleted::Deleted);
    assert_eq!(serial().await, before + 2, "one change of the zone");
    assert!(bind.dig(&[&alpha.name.fqdn(), "A"]).await.contains("NXDOMAIN"));
    assert!(bind.dig(&[&format!("_hangar.alpha.{ZONE}"), "TXT"]).await.contains("NXDOMAIN"));
}

#[tokio::test]
async fn a_check_proves_that_the_key_may_write_and_leaves_nothing() {
    let Some(bind) = start() else { return };
    let before = (bind.records(ZONE).await, bind.serial(ZONE).await);
    for key in [HANGAR, LONGER] {
        let report = open(&bind.server(), ZONE, key, INSTANCE, timeouts()).check(None).await.unwrap();
        assert!(!report.message.contains("may not"), "{}", report.message);
    }
    let report = open(&bind.server(), ZONE, WRITER, INSTANCE, timeouts()).check(None).await.unwrap();
    assert!(report.message.contains("may not transfer"), "{}", report.message);
    assert_eq!((bind.records(ZONE).await, bind.serial(ZONE).await), before);
}

#[tokio::test]
async fn each_trouble_with_the_key_has_its_own_sentence() {
    let Some(bind) = start() else { return };
    let before = bind.records(ZONE).await;
    let cases = [
        ("an unknown key", Key { name: "nobody", ..HANGAR }, "BADKEY"),
        ("another algorithm", Key { algorithm: "hmac-sha512", ..HANGAR }, "BADKEY"),
        ("another secret", Key { secret: WRITER.secret, ..HANGAR }, "BADSIG"),
        ("a key that may not write", READER, "REFUSED"),
    ];
    for (what, key, word) in cases {
        let account = open(&bind.server(), ZONE, key, INSTANCE, timeouts());
        for error in [account.check(None).await.unwrap_err(), create(&account, &a("alpha", "dns_1")).await.unwrap_err()]
        {
            assert_eq!(error.code, Code::ProviderCredentialRejected, "{what}: {error:?}");
            assert!(error.message.contains(word), "{what}: {}", error.message);
            assert_eq!(error.effect, Effect::None, "{what}");
            assert!(!format!("{error:?}").contains(key.secret), "{what}");
        }
    }
    assert_eq!(bind.records(ZONE).await, before);
}

#[tokio::test]
async fn a_key_that_may_not_transfer_the_zone_does_everything_but_finding_what_nobody_knows() {
    let Some(bind) = start() else { return };
    let account = open(&bind.server(), ZONE, WRITER, INSTANCE, timeouts());
    create(&account, &a("alpha", "dns_1")).await.unwrap();
    let found = lookup(&account, "alpha").await;
    assert!(found.len() == 1 && found[0].ours && found[0].record_id.as_deref() == Some("dns_1"), "{found:?}");
    let error = account.dns().unwrap().owned(ZONE).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderInvalidRequest);
    assert!(error.message.contains("allow-transfer"), "{}", error.message);
    assert_eq!(delete(&account, &a("alpha", "dns_1")).await.unwrap(), RecordDeleted::Deleted);
}

#[tokio::test]
async fn what_is_no_name_server_is_unreachable_in_time() {
    let Some(bind) = start() else { return };
    let account = open(&bind.server(), "other.test", HANGAR, INSTANCE, timeouts());
    assert_eq!(account.check(None).await.unwrap_err().code, Code::DnsZoneNotFound);
    assert_eq!(account.dns().unwrap().zones().await.unwrap(), []);
    // A name within a zone is no zone.
    let account = open(&bind.server(), "sub.example.test", HANGAR, INSTANCE, timeouts());
    assert_eq!(account.check(None).await.unwrap_err().code, Code::DnsZoneNotFound);

    let short = Timeouts { connect: Duration::from_millis(300), read: Duration::from_millis(300), ..timeouts() };
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for server in [silent.local_addr().unwrap(), gone] {
        let started = Instant::now();
        let account = open(&server.to_string(), ZONE, HANGAR, INSTANCE, short);
        let error = account.check(None).await.unwrap_err();
        assert_eq!((error.code, error.effect), (Code::ProviderUnreachable, Effect::None));
        assert!(error.is_transient());
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

/// Two installations reach for one name at the same time: neither sees the other when it looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_want_one_name_exactly_one_gets_it() {
    let Some(bind) = start() else { return };
    let (one, other) = (account_of(&bind, "inst-1"), account_of(&bind, "inst-2"));
    for n in 0..25 {
        let wanted = a(&format!("alpha{n}"), "dns_1");
        let (first, second) = tokio::join!(create(&one, &wanted), create(&other, &wanted));
        let lost = match (first, second) {
            (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
            both => panic!("{both:?}"),
        };
        assert_eq!(lost.code, Code::DnsNameConflict);
        assert_eq!(dig(&bind, &format!("_hangar.alpha{n}"), "TXT").await.len(), 1);
    }
    let count = |found: Vec<DnsFound>| found.len();
    let (ones, others) = (one.dns().unwrap().owned(ZONE).await, other.dns().unwrap().owned(ZONE).await);
    assert_eq!(count(ones.unwrap()) + count(others.unwrap()), 25);
}

/// A record and its marker are read one after the other, and change in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_and_goes_while_it_is_read_is_never_taken_for_somebody_elses() {
    let Some(bind) = start() else { return };
    let account = account(&bind);
    let alpha = a("alpha", "dns_1");
    let toggling = async {
        for _ in 0..60 {
            create(&account, &alpha).await.unwrap();
            assert_eq!(delete(&account, &alpha).await.unwrap(), RecordDeleted::Deleted);
        }
    };
    let mut seen = 0;
    let looking = async {
        loop {
            for found in lookup(&account, "alpha").await {
                assert!(found.ours, "{found:?}");
                seen += 1;
            }
        }
    };
    tokio::select! {
        () = toggling => {}
        () = looking => {}
    }
    assert!(seen > 0, "it was never seen");
}

/// The server dies in the middle of many creations, and comes back: each is made once, and undone
/// without a trace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_the_middle_loses_and_doubles_nothing() {
    let Some(mut bind) = start() else { return };
    let before = bind.records(ZONE).await;
    let account = account(&bind);
    let mut work: Vec<_> =
        (0..60).map(|n| (a(&format!("n{n}"), &format!("dns_{n}")), MemoryJournal::default())).collect();
    let made = std::sync::atomic::AtomicUsize::new(0);
    let run = async |(target, journal): &mut (RecordTarget, MemoryJournal)| {
        let result = account.dns().unwrap().create_record(&wish(target), journal).await;
        made.fetch_add(usize::from(result.is_ok()), std::sync::atomic::Ordering::Relaxed);
        result
    };
    let killer = async {
        while made.load(std::sync::atomic::Ordering::Relaxed) < 5 {
            tokio::task::yield_now().await;
        }
        bind.kill();
    };
    let (first, ()) = tokio::join!(join_all(work.iter_mut().map(run)), killer);
    let failed: Vec<_> = first.into_iter().filter_map(Result::err).collect();
    assert!(!failed.is_empty(), "it was killed too late");
    assert!(failed.iter().all(|error| error.code == Code::ProviderUnreachable && error.is_transient()), "{failed:?}");
    bind.restart();
    // All at once: whatever was asked for and not answered is waited for, for as long as it may still come.
    let again = join_all(work.iter_mut().map(run)).await;
    assert!(again.iter().all(Result::is_ok), "{again:?}");
    for (target, _) in &work {
        assert_eq!(dig(&bind, &target.name.name, "A").await, ["192.0.2.10"]);
    }
    assert_eq!(account.dns().unwrap().owned(ZONE).await.unwrap().len(), 60);
    let delete = async |(target, journal): &mut (RecordTarget, MemoryJournal)| {
        account.dns().unwrap().delete_record(target, journal).await
    };
    let gone = join_all(work.iter_mut().map(delete)).await;
    assert!(gone.iter().all(Result::is_ok), "{gone:?}");
    assert_eq!(bind.records(ZONE).await, before);
}

#[tokio::test]
async fn records_of_one_name_share_a_marker_that_goes_with_the_last() {
    let Some(bind) = start() else { return };
    let before = bind.records(ZONE).await;
    let account = account(&bind);
    let (v4, v6) = (a("alpha", "dns_1"), target("alpha", RecordType::Aaaa, "2001:db8::1", "dns_2"));
    create(&account, &v4).await.unwrap();
    create(&account, &v6).await.unwrap();
    let marker = dig(&bind, "_hangar.alpha", "TXT").await;
    assert!(marker.len() == 1 && marker[0].contains("A=dns_1/") && marker[0].contains("AAAA=dns_2/"), "{marker:?}");
    assert_eq!(delete(&account, &v4).await.unwrap(), RecordDeleted::Deleted);
    let marker = dig(&bind, "_hangar.alpha", "TXT").await;
    assert!(marker.len() == 1 && !marker[0].contains("dns_1") && marker[0].contains("AAAA=dns_2/"), "{marker:?}");
    assert_eq!(dig(&bind, "alpha", "AAAA").await, ["2001:db8::1"]);
    assert_eq!(delete(&account, &v6).await.unwrap(), RecordDeleted::Deleted);
    assert_eq!(bind.records(ZONE).await, before);
}

#[tokio::test]
async fn what_somebody_put_beside_ours_stays() {
    let Some(bind) = start() else { return };
    let account = account(&bind);
    let alpha = a("alpha", "dns_1");
    create(&account, &alpha).await.unwrap();
    let beside = ["A 198.51.100.1", "TXT \"a note\"", "MX 10 mail.example.net."];
    let mut lines: Vec<String> = beside.iter().map(|it| format!("update add alpha.{ZONE}. 300 {it}")).collect();
    lines.push(format!("update add _hangar.alpha.{ZONE}. 300 TXT \"somebody's\""));
    bind.update(ZONE, &lines).await;
    let found = lookup(&account, "alpha").await;
    let ours: Vec<_> = found.iter().filter(|it| it.ours).map(|it| it.content.as_str()).collect();
    assert_eq!((found.len(), ours), (4, vec!["192.0.2.10"]), "{found:?}");
    assert_eq!(account.dns().unwrap().owned(ZONE).await.unwrap().len(), 1);
    assert_eq!(delete(&account, &alpha).await.unwrap(), RecordDeleted::Deleted);
    assert_eq!(dig(&bind, "alpha", "A").await, ["198.51.100.1"]);
    assert_eq!(dig(&bind, "alpha", "MX").await, ["10 mail.example.net."]);
    assert_eq!(dig(&bind, "alpha", "TXT").await, ["\"a note\""]);
    assert_eq!(dig(&bind, "_hangar.alpha", "TXT").await, ["\"somebody's\""]);
}

#[tokio::test]
async fn only_a_single_record_that_can_have_a_marker_is_adopted() {
    let Some(bind) = start() else { return };
    let lines = [
        "several.example.test. 300 A 198.51.100.1",
        "several.example.test. 300 A 198.51.100.2",
        "alias.example.test. 300 A 198.51.100.1",
        "_hangar.alias.example.test. 300 CNAME elsewhere.example.net.",
        "mail.example.test. 300 MX 10 mail.example.net.",
        "noted.example.test. 60 A 198.51.100.1",
        "_hangar.noted.example.test. 60 TXT \"somebody's\"",
        "*.wild.example.test. 300 A 198.51.100.1",
    ];
    bind.update(ZONE, &lines.map(|line| format!("update add {line}"))).await;
    let before = bind.records(ZONE).await;
    let account = account(&bind);
    let dns = account.dns().unwrap();
    for (name, code) in
        [("several", Code::DnsNameConflict), ("alias", Code::DnsNameConflict), ("mail", Code::ProviderInvalidRequest)]
    {
        for found in lookup(&account, name).await {
            assert_eq!(dns.adopt_record(&found, "dns_1").await.unwrap_err().code, code, "{name}");
        }
    }
    // What a wildcard answers is no record of that name.
    let mut seen = lookup(&account, "noted").await.remove(0);
    seen.name.name = "a.wild".to_owned();
    assert_eq!(dns.adopt_record(&seen, "dns_1").await.unwrap_err().code, Code::ProviderResourceGone);
    assert_eq!(bind.records(ZONE).await, before);

    // A text that is no marker is no hindrance, and stays.
    let found = lookup(&account, "noted").await.remove(0);
    dns.adopt_record(&found, "dns_1").await.unwrap();
    let texts = dig(&bind, "_hangar.noted", "TXT").await;
    assert!(texts.len() == 2 && texts.contains(&"\"somebody's\"".to_owned()), "{texts:?}");
    assert_eq!(
        delete(&account, &target("noted", RecordType::A, "198.51.100.1", "dns_1")).await.unwrap(),
        RecordDeleted::Deleted
    );
    let kept: Vec<_> = before.iter().filter(|line| !line.starts_with("noted.")).cloned().collect();
    assert_eq!(bind.records(ZONE).await, kept);
}

#[tokio::test]
async fn a_wildcard_is_neither_in_the_way_nor_ours() {
    let Some(bind) = start() else { return };
    let wildcard = ["A 198.51.100.1", "TXT \"for all\""].map(|it| format!("update add *.{ZONE}. 300 {it}"));
    bind.update(ZONE, &wildcard).await;
    let before = bind.records(ZONE).await;
    let account = account(&bind);
    assert_eq!(dig(&bind, "alpha", "A").await, ["198.51.100.1"]);
    assert_eq!(lookup(&account, "alpha").await, [], "nothing stands at the name itself");
    let alpha = a("alpha", "dns_1");
    create(&account, &alpha).await.unwrap();
    assert_eq!(dig(&bind, "alpha", "A").await, ["192.0.2.10"]);
    assert!(account.dns().unwrap().is_visible(&alpha).await.unwrap());
    assert_eq!(delete(&account, &alpha).await.unwrap(), RecordDeleted::Deleted);
    assert_eq!(bind.records(ZONE).await, before);
    assert_eq!(create(&account, &a("*", "dns_2")).await.unwrap_err().code, Code::DnsNameConflict);
}

#[tokio::test]
async fn the_zone_itself_gets_an_address_beside_what_it_must_have() {
    let Some(bind) = start() else { return };
    bind.update(ZONE, &[format!("update add {ZONE}. 300 MX 10 mail.example.net.")]).await;
    let before = bind.records(ZONE).await;
    let account = account(&bind);
    let apex = a("@", "dns_1");
    create(&account, &apex).await.unwrap();
    assert_eq!(bind.dig(&[ZONE, "A", "+short"]).await.trim(), "192.0.2.10");
    assert_eq!(dig(&bind, "_hangar", "TXT").await.len(), 1);
    assert_eq!(account.dns().unwrap().owned(ZONE).await.unwrap()[0].name.name, "@");
    assert_eq!(delete(&account, &apex).await.unwrap(), RecordDeleted::Deleted);
    assert_eq!(bind.records(ZONE).await, before);
    let alias = target("@", RecordType::Cname, "example.net", "dns_2");
    assert_eq!(create(&account, &alias).await.unwrap_err().code, Code::DnsValidation);
}

#[tokio::test]
async fn below_a_delegation_nothing_is_made() {
    let Some(bind) = start() else { return };
    bind.update(ZONE, &[format!("update add child.{ZONE}. 300 NS ns.example.net.")]).await;
    let before = bind.records(ZONE).await;
    let account = account(&bind);
    for name in ["child", "alpha.child"] {
        let error = create(&account, &a(name, "dns_1")).await.unwrap_err();
        assert_eq!(error.code, Code::DnsValidation, "{name}");
    }
    assert_eq!(bind.records(ZONE).await, before);
}

#[tokio::test]
async fn aliases_and_long_texts_are_made_and_taken_away() {
    let Some(bind) = start() else { return };
    let before = bind.records(ZONE).await;
    let account = account(&bind);
    let text = "t".repeat(700);
    for one in [
        target("alias", RecordType::Cname, "Other.Example.NET", "dns_1"),
        target("text", RecordType::Txt, &text, "dns_2"),
        target("quoted", RecordType::Txt, "say \"hi\"; \\ and ä", "dns_3"),
    ] {
        create(&account, &one).await.unwrap();
        create(&account, &one).await.unwrap();
        assert!(account.dns().unwrap().is_visible(&one).await.unwrap(), "{one:?}");
        let found = lookup(&account, &one.name.name).await;
        assert!(found.len() == 1 && found[0].ours, "{found:?}");
        if one.content.kind == RecordType::Txt {
            assert_eq!(found[0].content, one.content.content, "the whole text");
        }
        // Not beside an alias, and no second text by another record of ours.
        let second = RecordTarget {
            content: RecordContent { record_id: "dns_9".to_owned(), ..one.content.clone() },
            ..one.clone()
        };
        assert_eq!(create(&account, &second).await.unwrap_err().code, Code::DnsNameConflict);
        assert_eq!(delete(&account, &one).await.unwrap(), RecordDeleted::Deleted);
    }
    assert_eq!(bind.records(ZONE).await, before);
}

/// The name is deleted by hand and the marker forgotten: it keeps nobody from the name for ever.
#[tokio::test]
async fn a_marker_without_its_record_is_taken_up_again_or_cleared_away() {
    let Some(bind) = start() else { return };
    let before = bind.records(ZONE).await;
    let account = account(&bind);
    let alpha = a("alpha", "dns_1");
    create(&account, &alpha).await.unwrap();
    bind.update(ZONE, &[format!("update delete alpha.{ZONE}. A")]).await;
    create(&account, &alpha).await.unwrap();
    assert_eq!(dig(&bind, "alpha", "A").await, ["192.0.2.10"]);
    bind.update(ZONE, &[format!("update delete alpha.{ZONE}. A")]).await;
    assert_eq!(delete(&account, &alpha).await.unwrap(), RecordDeleted::Gone);
    assert_eq!(bind.records(ZONE).await, before);
}

/// Changed by hand and given up, and later deleted by hand: what is left is a marker that nobody
/// answers for. It is in nobody's way.
#[tokio::test]
async fn a_marker_that_was_left_behind_is_replaced_by_whoever_wants_the_name() {
    let Some(bind) = start() else { return };
    let before = bind.records(ZONE).await;
    let account = account(&bind);
    let leave_behind = async || {
        create(&account, &a("alpha", "dns_1")).await.unwrap();
        bind.update(ZONE, &[format!("update delete alpha.{ZONE}. A")]).await;
    };
    leave_behind().await;
    let second = a("alpha", "dns_2");
    create(&account, &second).await.unwrap();
    let found = lookup(&account, "alpha").await;
    assert!(found.len() == 1 && found[0].record_id.as_deref() == Some("dns_2"), "{found:?}");
    assert_eq!(
        delete(&account, &a("alpha", "dns_1")).await.unwrap(),
        RecordDeleted::Changed { observed: "A 192.0.2.10".to_owned() }
    );
    assert_eq!(delete(&account, &second).await.unwrap(), RecordDeleted::Deleted);
    assert_eq!(bind.records(ZONE).await, before);

    // One of another type goes along.
    leave_behind().await;
    let v6 = target("alpha", RecordType::Aaaa, "2001:db8::1", "dns_3");
    create(&account, &v6).await.unwrap();
    let marker = dig(&bind, "_hangar.alpha", "TXT").await;
    assert!(marker.len() == 1 && !marker[0].contains("dns_1") && marker[0].contains("AAAA=dns_3/"), "{marker:?}");
    leave_behind().await;
    assert_eq!(delete(&account, &v6).await.unwrap(), RecordDeleted::Deleted);
    assert_eq!(bind.records(ZONE).await, before);

    // While its record stands, changed or not, it is in the way.
    create(&account, &a("alpha", "dns_1")).await.unwrap();
    bind.update(
        ZONE,
        &[format!("update delete alpha.{ZONE}. A"), format!("update add alpha.{ZONE}. 300 A 203.0.113.9")],
    )
    .await;
    assert_eq!(create(&account, &a("alpha", "dns_2")).await.unwrap_err().code, Code::DnsNameConflict);
}

/// A reload goes wrong and is mended a moment later: what stands in the zone is not gone.
#[tokio::test]
async fn a_zone_that_is_away_for_a_moment_is_not_gone() {
    let zones = [ZONE.to_owned(), "other.test".to_owned()];
    let Some(bind) = Bind::start(&zones) else { return };
    let account = account(&bind);
    let alpha = a("alpha", "dns_1");
    create(&account, &alpha).await.unwrap();
    bind.reload(&zones[1..]);
    while !bind.dig(&[ZONE, "SOA"]).await.contains("REFUSED") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut journal = MemoryJournal::default();
    let deleting = account.dns().unwrap().delete_record(&alpha, &mut journal);
    let mending = async {
        // Long enough for a first look, and for a second.
        tokio::time::sleep(Duration::from_millis(300)).await;
        bind.reload(&zones);
    };
    let (deleted, ()) = tokio::join!(deleting, mending);
    assert_eq!(deleted.unwrap(), RecordDeleted::Deleted);
    assert_eq!(dig(&bind, "alpha", "A").await, Vec::<String>::new());
}

#[test]
fn settings_and_secret_are_checked_without_asking_the_server() {
    let registry = Registry::standard();
    let adapter = registry.get("rfc2136").unwrap();
    let good =
        json!({"server": "ns1.example.org", "zone": "example.org", "key_name": "hangar", "algorithm": "hmac-sha256"});
    let secret = json!({"key": HANGAR.secret});
    assert_eq!(adapter.validate(&good, Some(&secret)), Ok(()));
    let pasted = json!({"key": format!(" \"{}\";\n", HANGAR.secret)});
    assert_eq!(adapter.validate(&good, Some(&pasted)), Ok(()));
    let bad = [
        ("server", json!("")),
        ("server", json!("http://ns1.example.org")),
        ("server", json!("ns1.example.org:0")),
        ("server", json!("-x")),
        ("zone", json!(".")),
        ("zone", json!("two words")),
        ("key_name", json!("")),
        ("algorithm", json!("hmac-md5")),
        ("zone", json!(5)),
        ("color", json!("red")),
    ];
    for (field, value) in bad {
        let mut settings = good.clone();
        settings[field] = value;
        let errors = adapter.validate(&settings, None).unwrap_err();
        assert_eq!(errors[0].pointer, format!("/settings/{field}"), "{settings}");
    }
    for key in ["", "not base64!", "===="] {
        let errors = adapter.validate(&good, Some(&json!({"key": key}))).unwrap_err();
        assert_eq!(errors[0].pointer, "/secret/key");
        assert!(!format!("{errors:?}").contains("not base64!"));
    }
    for server in ["192.0.2.53", "192.0.2.53:5353", "[2001:db8::53]:53", "2001:db8::53", "ns_1.example.org:53"] {
        let mut settings = good.clone();
        settings["server"] = json!(server);
        assert_eq!(adapter.validate(&settings, None), Ok(()), "{server}");
    }
}
