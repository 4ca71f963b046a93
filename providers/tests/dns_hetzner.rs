//! DNS in Hetzner's API at the simulated vendor: what is particular to it. What every DNS provider
//! has to keep is in `dns_contract.rs`.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use common::{Asked, Double, INSTANCE, Told, account, account_with, refusal, target, timeouts, token, told, wish};
use domain::code::Code;
use providers::{
    DnsFound, DnsName, Journal as _, MachineTarget, MemoryJournal, RecordContent, RecordDeleted, RecordTarget,
    RecordType, RecordWish, Timeouts,
};
use reqwest::Method;
use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, Hetzner, HetznerConfig, RequestKind};

const ZONE: &str = "example.com";

async fn start() -> Hetzner {
    let config = HetznerConfig { action_time: Duration::from_millis(5), ..HetznerConfig::default() };
    let sim = Hetzner::start(config).await.unwrap();
    call(&sim, Method::POST, "/zones", json!({"name": ZONE, "mode": "primary"})).await;
    while call(&sim, Method::GET, &format!("/zones/{ZONE}"), Value::Null).await["zone"]["status"] != "ok" {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    sim
}

async fn call(sim: &Hetzner, method: Method, path: &str, body: Value) -> Value {
    let request = reqwest::Client::new().request(method, format!("{}{path}", sim.endpoint())).bearer_auth(token());
    request.json(&body).send().await.unwrap().json().await.unwrap()
}

fn a(ttl: Option<u32>) -> RecordWish {
    let content = RecordContent { record_id: "dns_1".to_owned(), kind: RecordType::A, content: "192.0.2.1".to_owned() };
    RecordWish {
        name: DnsName { zone: ZONE.to_owned(), name: "alpha".to_owned() },
        contents: vec![content],
        ttl,
        proxied: None,
    }
}

fn target_of(wish: &RecordWish) -> RecordTarget {
    RecordTarget { name: wish.name.clone(), content: wish.contents[0].clone(), vendor_id: None, proxied: false }
}

#[tokio::test]
async fn a_record_is_a_set_with_our_labels() {
    let sim = start().await;
    let account = account(&sim.endpoint());
    let dns = account.dns().unwrap();
    assert!(account.infra().is_some(), "one account serves both");
    dns.create_record(&a(None), &mut MemoryJournal::default()).await.unwrap();
    let set = call(&sim, Method::GET, &format!("/zones/{ZONE}/rrsets/alpha/A"), Value::Null).await;
    let labels = json!({"managed-by": "hangar", "hangar-instance": INSTANCE, "hangar-record": "dns_1"});
    assert_eq!(set["rrset"]["labels"], labels);
    assert_eq!(set["rrset"]["records"], json!([{"value": "192.0.2.1"}]));
    assert_eq!(set["rrset"]["ttl"], Value::Null);
}

/// A set is ours only as a whole.
#[tokio::test]
async fn a_set_to_which_somebody_added_is_left() {
    let sim = start().await;
    let account = account(&sim.endpoint());
    let dns = account.dns().unwrap();
    dns.create_record(&a(None), &mut MemoryJournal::default()).await.unwrap();
    let path = format!("/zones/{ZONE}/rrsets/alpha/A");
    let order = json!({"records": [{"value": "198.51.100.1"}]});
    call(&sim, Method::POST, &format!("{path}/actions/add_records"), order).await;
    while call(&sim, Method::GET, &path, Value::Null).await["rrset"]["records"].as_array().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let before = call(&sim, Method::GET, &path, Value::Null).await;
    let deleted = dns.delete_record(&target_of(&a(None)), &mut MemoryJournal::default()).await.unwrap();
    assert_eq!(deleted, RecordDeleted::Changed { observed: "A 192.0.2.1, 198.51.100.1".to_owned() });
    let error = dns.create_record(&a(None), &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!(error.code, Code::DnsNameConflict);
    assert_eq!(call(&sim, Method::GET, &path, Value::Null).await, before);
}

/// A set by hand; what it starts is over.
async fn put(sim: &Hetzner, name: &str, labels: Value, values: &[&str]) {
    let records: Vec<_> = values.iter().map(|value| json!({"value": value})).collect();
    let order = json!({"name": name, "type": "A", "labels": labels, "records": records});
    done(sim, &format!("/zones/{ZONE}/rrsets"), order).await;
}

async fn done(sim: &Hetzner, path: &str, order: Value) {
    let id = call(sim, Method::POST, path, order).await["action"]["id"].clone();
    while call(sim, Method::GET, &format!("/actions/{id}"), Value::Null).await["action"]["status"] == "running" {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn an_adopted_set_keeps_its_labels_and_one_of_several_records_is_left() {
    let sim = start().await;
    let account = account(&sim.endpoint());
    let dns = account.dns().unwrap();
    put(&sim, "alpha", json!({"team": "x"}), &["192.0.2.1"]).await;
    put(&sim, "beta", json!({"team": "y"}), &["192.0.2.1", "192.0.2.2"]).await;
    let found = dns.lookup(&a(None).name).await.unwrap();
    dns.adopt_record(&found[0], "dns_1").await.unwrap();
    let set = call(&sim, Method::GET, &format!("/zones/{ZONE}/rrsets/alpha/A"), Value::Null).await["rrset"].clone();
    let labels = json!({"team": "x", "managed-by": "hangar", "hangar-instance": INSTANCE, "hangar-record": "dns_1"});
    assert_eq!((&set["labels"], &set["records"]), (&labels, &json!([{"value": "192.0.2.1"}])));

    let path = format!("/zones/{ZONE}/rrsets/beta/A");
    let before = call(&sim, Method::GET, &path, Value::Null).await;
    for found in dns.lookup(&DnsName { name: "beta".to_owned(), ..a(None).name }).await.unwrap() {
        assert_eq!(dns.adopt_record(&found, "dns_2").await.unwrap_err().code, Code::DnsNameConflict);
    }
    assert_eq!(call(&sim, Method::GET, &path, Value::Null).await, before);
    let other = DnsFound { kind: "MX".to_owned(), ..found[0].clone() };
    assert_eq!(dns.adopt_record(&other, "dns_3").await.unwrap_err().code, Code::ProviderInvalidRequest);
}

/// The vendor has no condition for labels: somebody writes between our look and our labels.
#[tokio::test]
async fn a_set_that_changes_while_it_is_labelled_gets_its_labels_back() {
    let sim = start().await;
    let account = account(&sim.endpoint());
    let dns = account.dns().unwrap();
    put(&sim, "alpha", json!({"team": "x"}), &["192.0.2.1"]).await;
    let found = dns.lookup(&a(None).name).await.unwrap().remove(0);
    sim.fault(Fault::next(RequestKind::RrsetUpdate, FaultEffect::Slow { ms: 1_000 }));
    let path = format!("/zones/{ZONE}/rrsets/alpha/A");
    let by_hand = async {
        while !sim.requests().iter().any(|it| it.kind == RequestKind::RrsetUpdate) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        done(&sim, &format!("{path}/actions/set_records"), json!({"records": [{"value": "192.0.2.9"}]})).await;
    };
    let (adopted, ()) = tokio::join!(dns.adopt_record(&found, "dns_1"), by_hand);
    assert_eq!(adopted.unwrap_err().code, Code::DnsNameConflict);
    let set = call(&sim, Method::GET, &path, Value::Null).await["rrset"].clone();
    assert_eq!((&set["labels"], &set["records"]), (&json!({"team": "x"}), &json!([{"value": "192.0.2.9"}])));
}

#[tokio::test]
async fn an_action_that_fails_is_told_and_can_be_undone() {
    let sim = start().await;
    let account = account(&sim.endpoint());
    let dns = account.dns().unwrap();
    let fails = || FaultEffect::ActionError { code: "server_error".to_owned(), message: "no".to_owned() };
    sim.fault(Fault::next(RequestKind::RrsetCreate, fails()));
    let mut journal = MemoryJournal::default();
    let error = dns.create_record(&a(None), &mut journal).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderAcquisitionFailed);
    assert_eq!(dns.lookup(&a(None).name).await.unwrap(), []);
    dns.create_record(&a(None), &mut journal).await.unwrap();

    sim.fault(Fault::next(RequestKind::RrsetAction, fails()));
    let error = dns.delete_record(&target_of(&a(None)), &mut journal).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(dns.delete_record(&target_of(&a(None)), &mut journal).await.unwrap(), RecordDeleted::Deleted);
    assert_eq!(dns.lookup(&a(None).name).await.unwrap(), []);
}

/// Somebody adds a record to our set between our look and our deletion: theirs stays.
#[tokio::test]
async fn what_is_added_to_a_set_while_it_is_deleted_stays() {
    let sim = start().await;
    let account = account(&sim.endpoint());
    let dns = account.dns().unwrap();
    dns.create_record(&a(None), &mut MemoryJournal::default()).await.unwrap();
    let ours = [RequestKind::RrsetDelete, RequestKind::RrsetAction];
    for on in ours {
        sim.fault(Fault::next(on, FaultEffect::Slow { ms: 1_000 }));
    }
    let before = sim.requests().len();
    let path = format!("/zones/{ZONE}/rrsets/alpha/A");
    let by_hand = async {
        while !sim.requests()[before..].iter().any(|it| ours.contains(&it.kind)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        done(&sim, &format!("{path}/actions/add_records"), json!({"records": [{"value": "198.51.100.1"}]})).await;
    };
    let (wanted, mut journal) = (target_of(&a(None)), MemoryJournal::default());
    let (deleted, ()) = tokio::join!(dns.delete_record(&wanted, &mut journal), by_hand);
    assert_eq!(deleted.unwrap(), RecordDeleted::Changed { observed: "A 198.51.100.1".to_owned() });
    let set = call(&sim, Method::GET, &path, Value::Null).await["rrset"].clone();
    assert_eq!(set["records"], json!([{"value": "198.51.100.1"}]));
}

/// The set as the vendor shows it while it stands, ours and as it was written.
fn our_set() -> Value {
    json!({
        "id": "alpha/A", "name": "alpha", "type": "A", "ttl": null, "records": [{"value": "192.0.2.1"}],
        "labels": {"managed-by": "hangar", "hangar-instance": INSTANCE, "hangar-record": "dns_1"},
    })
}

fn not_found() -> Told {
    refusal(404, "not_found")
}

/// The vendor's reads lag behind its writes.
#[tokio::test]
async fn a_set_that_is_shown_but_not_known_is_asked_for_with_pauses_and_not_for_ever() {
    let double = Double::start(|asked: &Asked| match asked.method.as_str() {
        "GET" => told(200, json!({"rrset": our_set()})),
        _ => not_found(),
    })
    .await;
    let short = Timeouts { action: Duration::from_millis(300), ..timeouts() };
    let account = account_with(&double.endpoint(), &token(), short);
    let (wanted, mut journal) = (target_of(&a(None)), MemoryJournal::default());
    let deleting = account.dns().unwrap().delete_record(&wanted, &mut journal);
    let error = tokio::time::timeout(Duration::from_secs(10), deleting).await.expect("it ends").unwrap_err();
    assert_eq!(error.code, Code::ProviderAcquisitionTimeout);
    assert!(double.asked().len() < 150, "{} calls in 0.3 s", double.asked().len());
}

/// Neither set nor zone is seen for a moment, and then both are.
#[tokio::test]
async fn a_zone_that_is_not_seen_for_a_moment_is_not_gone() {
    let (looks, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let action = || json!({"id": 7, "command": "x", "status": "success", "progress": 100, "error": null});
    let double = Double::start(move |asked: &Asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/v1/zones/example.com/rrsets/alpha/A") => {
            let hidden = looks.load(Ordering::SeqCst) <= 3 || gone.load(Ordering::SeqCst) > 0;
            if hidden { not_found() } else { told(200, json!({"rrset": our_set()})) }
        }
        ("GET", "/v1/zones/example.com") if looks.fetch_add(1, Ordering::SeqCst) < 3 => not_found(),
        ("GET", "/v1/zones/example.com") => told(200, json!({"zone": {"id": 1, "name": "example.com"}})),
        ("GET", _) => told(200, json!({"action": action(), "actions": [action()]})),
        _ => {
            gone.store(1, Ordering::SeqCst);
            told(201, json!({"action": action()}))
        }
    })
    .await;
    let account = account(&double.endpoint());
    let deleted = account.dns().unwrap().delete_record(&target_of(&a(None)), &mut MemoryJournal::default()).await;
    assert_eq!(deleted.unwrap(), RecordDeleted::Deleted, "{:?}", double.lines());
}

/// Another project's token sees neither; for as long as that lasts it is asked, and not called gone
/// at the first look.
#[tokio::test]
async fn a_zone_that_is_never_seen_is_gone_after_a_while() {
    let double = Double::start(|_| not_found()).await;
    let short = Timeouts { late_create: Duration::from_millis(200), ..timeouts() };
    let account = account_with(&double.endpoint(), &token(), short);
    let deleted = account.dns().unwrap().delete_record(&target_of(&a(None)), &mut MemoryJournal::default()).await;
    assert_eq!(deleted.unwrap(), RecordDeleted::Gone);
    let looks = double.lines().iter().filter(|it| *it == "GET /v1/zones/example.com").count();
    assert!(looks >= 3, "{looks} looks");
    // What was known a moment ago need not be waited for again.
    let before = double.asked().len();
    let deleted = account.dns().unwrap().delete_record(&target_of(&a(None)), &mut MemoryJournal::default()).await;
    assert_eq!(deleted.unwrap(), RecordDeleted::Gone);
    assert!(double.asked().len() <= before + 2);
}

#[tokio::test]
async fn a_set_that_cannot_be_read_is_not_passed_over() {
    let set = json!({"name": "alpha", "type": "A", "labels": {}, "records": [{"address": "198.51.100.1"}]});
    let double = Double::start(move |_| told(200, json!({"rrsets": [set], "rrset": set}))).await;
    let account = account(&double.endpoint());
    let dns = account.dns().unwrap();
    assert_eq!(dns.lookup(&a(None).name).await.unwrap_err().code, Code::ProviderApiError);
    let made = dns.create_record(&a(None), &mut MemoryJournal::default()).await;
    assert_eq!(made.unwrap_err().code, Code::ProviderApiError);
    let deleted = dns.delete_record(&target_of(&a(None)), &mut MemoryJournal::default()).await;
    assert_eq!(deleted.unwrap_err().code, Code::ProviderApiError);
    assert!(double.asked().iter().all(|it| it.method == "GET"));
}

/// Whoever waits asks each second; a zone's name servers hardly ever change.
#[tokio::test]
async fn a_zones_name_servers_are_asked_for_once_and_not_with_every_question() {
    let sim = start().await;
    let account = account(&sim.endpoint());
    let before = sim.requests().len();
    for _ in 0..5 {
        // They have no address anywhere.
        let error = account.dns().unwrap().is_visible(&target_of(&a(None))).await.unwrap_err();
        assert_eq!(error.code, Code::ProviderUnreachable);
    }
    assert_eq!(sim.requests().len() - before, 1);
}

#[tokio::test]
async fn a_long_text_is_shown_whole() {
    let sim = start().await;
    let account = account(&sim.endpoint());
    let dns = account.dns().unwrap();
    let mut wished = a(None);
    wished.contents[0].kind = RecordType::Txt;
    wished.contents[0].content = format!("v=DKIM1; p={}", "k".repeat(600));
    dns.create_record(&wished, &mut MemoryJournal::default()).await.unwrap();
    let found = dns.lookup(&wished.name).await.unwrap().remove(0);
    assert_eq!(found.content, wished.contents[0].content);
    dns.adopt_record(&found, "dns_1").await.unwrap();
    let deleted = dns.delete_record(&target_of(&wished), &mut MemoryJournal::default()).await.unwrap();
    assert_eq!(deleted, RecordDeleted::Deleted);
}

/// A vendor whose pages never end.
#[tokio::test]
async fn a_list_without_an_end_is_an_error() {
    let double = Double::start(|asked: &Asked| {
        let page: u64 = asked.query.split('&').find_map(|it| it.strip_prefix("page=")).unwrap().parse().unwrap();
        let pages = json!({"pagination": {"page": page, "next_page": page + 1}});
        told(200, json!({"rrsets": [our_set()], "meta": pages}))
    })
    .await;
    let account = account(&double.endpoint());
    let looking = account.dns().unwrap();
    let error = tokio::time::timeout(Duration::from_secs(30), looking.lookup(&a(None).name)).await.expect("it ends");
    assert_eq!(error.unwrap_err().code, Code::ProviderApiError);
}

/// Cancelled in the middle of a creation: what the vendor accepted is waited for before it is called gone.
#[tokio::test]
async fn a_creation_that_was_accepted_ends_before_it_is_undone() {
    let (asked_for, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let action = |status: &str| json!({"id": 7, "command": "x", "status": status, "progress": 0, "error": null});
    let double = Double::start(move |asked: &Asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/v1/zones/example.com/rrsets/alpha/A") => {
            let stands = asked_for.load(Ordering::SeqCst) >= 3 && gone.load(Ordering::SeqCst) == 0;
            if stands { told(200, json!({"rrset": our_set()})) } else { not_found() }
        }
        ("GET", "/v1/zones/example.com") => told(200, json!({"zone": {"id": 1, "name": "example.com"}})),
        ("GET", _) => {
            let status = if asked_for.fetch_add(1, Ordering::SeqCst) < 2 { "running" } else { "success" };
            told(200, json!({"action": action(status), "actions": [action(status)]}))
        }
        _ => {
            gone.store(1, Ordering::SeqCst);
            told(201, json!({"action": action("success")}))
        }
    })
    .await;
    let account = account(&double.endpoint());
    let mut journal = MemoryJournal::default();
    journal.put("dns_action:dns_1", json!("7")).await.unwrap();
    let undone = account.dns().unwrap().delete_record(&target_of(&a(None)), &mut journal).await.unwrap();
    assert_eq!(undone, RecordDeleted::Deleted, "{:?}", double.lines());
}

#[tokio::test]
async fn a_time_to_live_that_the_vendor_does_not_take_is_refused_before_anything_is_asked() {
    let sim = start().await;
    let account = account(&sim.endpoint());
    let before = sim.requests().len();
    let made = account.dns().unwrap().create_record(&a(Some(59)), &mut MemoryJournal::default()).await;
    assert_eq!(made.unwrap_err().code, Code::DnsValidation);
    assert_eq!(sim.requests().len(), before);
}

#[tokio::test]
async fn a_reverse_name_is_set_and_cleared_for_our_servers_alone() {
    let sim = start().await;
    let account = account(&sim.endpoint());
    let infra = account.infra().unwrap();
    let machine = infra.provision(&wish(), &mut MemoryJournal::default()).await.unwrap();
    let ours = target(Some(&machine.infra_id));
    let path = format!("/servers/{}", machine.infra_id);
    let pointers = async || {
        let net = call(&sim, Method::GET, &path, Value::Null).await["server"]["public_net"].clone();
        (net["ipv4"]["dns_ptr"].clone(), net["ipv6"]["dns_ptr"].clone())
    };
    let original = pointers().await;
    let (v4, v6) = (machine.ipv4.unwrap(), machine.ipv6.unwrap());
    for ip in [&v4, &v6] {
        infra.reverse_dns_set(&ours, ip, Some("alpha.example.com")).await.unwrap();
        infra.reverse_dns_set(&ours, ip, Some("alpha.example.com")).await.unwrap();
    }
    let (ptr4, ptr6) = pointers().await;
    assert_eq!(ptr4, "alpha.example.com");
    assert_eq!(ptr6, json!([{"ip": v6, "dns_ptr": "alpha.example.com"}]));

    let foreign = MachineTarget { node_id: "nod_other".to_owned(), ..ours.clone() };
    let error = infra.reverse_dns_set(&foreign, &v4, Some("stolen.example.com")).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderNameConflict);
    assert_eq!(pointers().await.0, "alpha.example.com");
    let error = infra.reverse_dns_set(&ours, "203.0.113.9", Some("alpha.example.com")).await.unwrap_err();
    assert!(!error.is_transient(), "{error:?}");

    for ip in [&v4, &v6] {
        infra.reverse_dns_set(&ours, ip, None).await.unwrap();
    }
    assert_eq!(pointers().await, original);
    infra.destroy(&ours, &mut MemoryJournal::default()).await.unwrap();
    infra.reverse_dns_set(&ours, &v4, None).await.unwrap();
    let error = infra.reverse_dns_set(&ours, &v4, Some("alpha.example.com")).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderResourceGone);
}
