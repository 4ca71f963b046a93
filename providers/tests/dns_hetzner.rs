//! DNS in Hetzner's API at the simulated vendor: what is particular to it. What every DNS provider
//! has to keep is in `dns_contract.rs`.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::{INSTANCE, account, target, token, wish};
use domain::code::Code;
use providers::{
    DnsFound, DnsName, MachineTarget, MemoryJournal, RecordContent, RecordDeleted, RecordTarget, RecordType, RecordWish,
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

    sim.fault(Fault::next(RequestKind::RrsetDelete, fails()));
    let error = dns.delete_record(&target_of(&a(None)), &mut journal).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(dns.delete_record(&target_of(&a(None)), &mut journal).await.unwrap(), RecordDeleted::Deleted);
    assert_eq!(dns.lookup(&a(None).name).await.unwrap(), []);
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
