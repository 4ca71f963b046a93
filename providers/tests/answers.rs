//! Answers of the past and of the future: every call decodes them.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{Asked, Double, NODE, Told, account, managed_key, refusal, target, told, wish};
use domain::code::Code;
use providers::{Effect, Journal as _, MachinePower, MemoryJournal};
use serde_json::{Value, json};

/// As in 2024: a datacenter, images that say `deprecated`, prices alone tell the locations.
fn past_server(status: &str) -> Value {
    json!({
        "id": 42, "name": "alpha-0001", "status": status, "created": "2024-01-01T00:00:00+00:00",
        "public_net": {
            "ipv4": {"ip": "192.0.2.7", "blocked": false, "dns_ptr": "x"},
            "ipv6": {"ip": "2001:db8:1:2::/64", "blocked": false, "dns_ptr": []},
            "floating_ips": [],
        },
        "server_type": {"id": 1, "name": "cx11", "deprecated": true},
        "datacenter": {"id": 4, "name": "fsn1-dc14", "location": {"id": 1, "name": "fsn1"}},
        "image": {"id": 1, "name": "debian-13", "type": "system", "deprecated": null},
        "labels": {"managed-by": "hangar", "hangar-instance": "inst-1", "hangar-node": NODE},
        "locked": false, "rescue_enabled": false,
    })
}

/// As it may become: no datacenter, words nobody knows, ids beyond 32 bits, fields missing or new.
fn future_server(status: &str) -> Value {
    json!({
        "id": 9_007_199_254_740_993_u64, "name": "alpha-0001", "status": status,
        "public_net": {"ipv4": null, "ipv6": {"ip": "2001:db8:1:2::/64"}, "ipv8": {"ip": "x"}},
        "server_type": {"name": "qx99", "category": "quantum", "cpu_type": "qubits"},
        "location": {"name": "moon1", "network_zone": "moon-central"},
        "image": null,
        "labels": {"managed-by": "hangar", "hangar-instance": "inst-1", "hangar-node": NODE},
        "entangled_with": [1, 2, 3],
    })
}

fn common_calls(asked: &Asked) -> Told {
    match asked.line().as_str() {
        "GET /v1/servers" => told(200, json!({"servers": []})),
        "GET /v1/ssh_keys" => told(200, json!({"ssh_keys": []})),
        "POST /v1/ssh_keys" => told(201, json!({"ssh_key": {"id": 1, "shape": "round"}})),
        _ => refusal(404, "not_found"),
    }
}

#[tokio::test]
async fn a_create_of_the_past_decodes() {
    let double = Double::start(|asked| match asked.line().as_str() {
        "POST /v1/servers" => told(
            201,
            json!({
                "server": past_server("initializing"),
                "action": {"id": 1, "command": "create_server", "status": "running", "progress": 0, "error": null},
                "next_actions": [{"id": 2, "command": "start_server", "status": "running", "progress": 0}],
                "root_password": null,
            }),
        ),
        "GET /v1/actions/1" => told(200, json!({"action": {"id": 1, "status": "success", "progress": 100}})),
        "GET /v1/actions/2" => told(200, json!({"action": {"id": 2, "status": "success", "progress": 100}})),
        "GET /v1/servers/42" => told(200, json!({"server": past_server("running")})),
        _ => common_calls(asked),
    })
    .await;
    let account = account(&double.endpoint());
    let mut journal = MemoryJournal::default();
    let machine = account.infra().unwrap().provision(&wish(), &mut journal).await.unwrap();
    assert_eq!(machine.infra_id, "42");
    assert_eq!(machine.action_id.as_deref(), Some("1"));
    assert_eq!((machine.host.as_str(), machine.ipv4.as_deref()), ("192.0.2.7", Some("192.0.2.7")));
    assert_eq!(machine.ipv6.as_deref(), Some("2001:db8:1:2::1"), "the host of the network");
    assert_eq!((machine.server_type.as_str(), machine.location.as_str()), ("cx11", "fsn1"));
    assert_eq!(journal.steps(), ["ensure_ssh_key", "create_server", "start_server", "fetch_server"]);
}

#[tokio::test]
async fn a_create_of_the_future_decodes() {
    let double = Double::start(|asked| match asked.line().as_str() {
        "POST /v1/servers" => told(
            201,
            // No next_actions, and an action that is done already.
            json!({"server": future_server("materialising"), "action": {"id": 77, "status": "success"}}),
        ),
        "GET /v1/servers/9007199254740993" => told(200, json!({"server": future_server("running")})),
        _ => common_calls(asked),
    })
    .await;
    let account = account(&double.endpoint());
    let machine = account.infra().unwrap().provision(&wish(), &mut MemoryJournal::default()).await.unwrap();
    assert_eq!(machine.infra_id, "9007199254740993");
    assert_eq!(machine.host, "2001:db8:1:2::1");
    assert_eq!((machine.ipv4, machine.image.as_str()), (None, "debian-13"));
    assert_eq!(machine.price_monthly, None, "the price of another pair is not this one's");
    assert!(!double.lines().iter().any(|line| line.contains("/actions")), "nothing is left to wait for");

    let status = account.infra().unwrap().status("9007199254740993").await.unwrap().unwrap();
    assert_eq!((status.status, status.location.as_deref()), (MachinePower::Running, Some("moon1")));
}

#[tokio::test]
async fn the_order_is_complete() {
    let double = Double::start(|asked| match asked.line().as_str() {
        "POST /v1/servers" => {
            told(201, json!({"server": past_server("running"), "action": {"id": 1, "status": "success"}}))
        }
        "GET /v1/servers/42" => told(200, json!({"server": past_server("running")})),
        "GET /v1/firewalls" => {
            told(200, json!({"firewalls": [{"id": 40, "name": "other"}, {"id": 39, "name": "web"}]}))
        }
        _ => common_calls(asked),
    })
    .await;
    let mut wish = wish();
    wish.user_data = Some("#cloud-config\n{}".to_owned());
    wish.firewalls = vec!["38".to_owned(), "web".to_owned()];
    account(&double.endpoint()).infra().unwrap().provision(&wish, &mut MemoryJournal::default()).await.unwrap();
    let asked = double.asked();
    assert!(asked.iter().all(|it| it.authorization == format!("Bearer {}", common::token())));
    let order = &asked.iter().find(|it| it.line() == "POST /v1/servers").unwrap().body;
    assert_eq!(
        *order,
        json!({
            "name": "alpha-0001", "server_type": "cx33", "location": "fsn1", "image": "debian-13",
            "ssh_keys": [1], "start_after_create": true, "user_data": "#cloud-config\n{}",
            "public_net": {"enable_ipv4": true, "enable_ipv6": true},
            "firewalls": [{"firewall": 38}, {"firewall": 39}],
            "labels": {
                "managed-by": "hangar", "hangar-instance": "inst-1", "hangar-node": NODE, "hangar-job": "job_1",
                "team": "red",
            },
        })
    );
}

#[tokio::test]
async fn an_unknown_firewall_is_refused_before_anything_is_made() {
    let double = Double::start(|asked| match asked.path.as_str() {
        "/v1/firewalls" => told(200, json!({"firewalls": []})),
        _ => common_calls(asked),
    })
    .await;
    let wish = providers::ProvisionWish { firewalls: vec!["web".to_owned()], ..wish() };
    let account = account(&double.endpoint());
    let error = account.infra().unwrap().provision(&wish, &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderInvalidRequest);
    assert!(!double.lines().contains(&"POST /v1/servers".to_owned()));
}

/// 201 with half a body: the id is lost, so it is looked up by name and taken over.
#[tokio::test]
async fn a_create_that_cannot_be_read_is_looked_up_and_adopted() {
    let double = Double::start(|asked| match asked.line().as_str() {
        "POST /v1/servers" => common::raw(201, "application/json", "{\"server\": {\"id\": 4"),
        "GET /v1/servers" => told(200, json!({"servers": [past_server("initializing")]})),
        "GET /v1/servers/42" => told(200, json!({"server": past_server("running")})),
        _ => common_calls(asked),
    })
    .await;
    let mut journal = MemoryJournal::default();
    let account = account(&double.endpoint());
    let machine = account.infra().unwrap().provision(&wish(), &mut journal).await.unwrap();
    assert_eq!(machine.infra_id, "42");
    assert_eq!(journal.get("server").unwrap()["id"], "42");
    let lookup = double.asked().into_iter().find(|it| it.line() == "GET /v1/servers").unwrap();
    assert_eq!(lookup.query, "name=alpha-0001");
}

#[tokio::test]
async fn what_is_found_by_name_is_adopted_only_by_all_labels() {
    for wrong in ["managed-by", "hangar-instance", "hangar-node"] {
        let double = Double::start(move |asked| match asked.line().as_str() {
            "POST /v1/servers" => refusal(409, "uniqueness_error"),
            "GET /v1/servers" => {
                let mut server = past_server("running");
                server["labels"][wrong] = json!("other");
                told(200, json!({"servers": [server]}))
            }
            _ => common_calls(asked),
        })
        .await;
        let account = account(&double.endpoint());
        let mut journal = MemoryJournal::default();
        let error = account.infra().unwrap().provision(&wish(), &mut journal).await.unwrap_err();
        assert_eq!((error.code, error.effect), (Code::ProviderNameConflict, Effect::None), "{wrong}");
        let gone = account.infra().unwrap().destroy(&target(None), &mut journal).await.unwrap();
        assert!(!gone.found);
        assert!(!double.lines().iter().any(|line| line.starts_with("DELETE")), "{wrong}: left alone");
    }
}

/// A filter that the vendor ignores: whatever else is listed is not mistaken for ours.
#[tokio::test]
async fn filters_are_not_trusted() {
    let double = Double::start(|asked| match asked.line().as_str() {
        "GET /v1/servers" => {
            let mut other = past_server("running");
            other["id"] = json!(1);
            other["name"] = json!("beta");
            other["labels"]["hangar-instance"] = json!("inst-2");
            told(200, json!({"servers": [other, past_server("running")]}))
        }
        "GET /v1/ssh_keys" => {
            let other = managed_key();
            told(200, json!({"ssh_keys": [{"id": 5, "name": "x", "public_key": other.public_openssh}]}))
        }
        _ => common_calls(asked),
    })
    .await;
    let account = account(&double.endpoint());
    let owned = account.infra().unwrap().owned().await.unwrap();
    assert_eq!(owned.len(), 1);
    assert_eq!((owned[0].infra_id.as_str(), owned[0].node_id.as_deref()), ("42", Some(NODE)));
    account.check(Some(&managed_key())).await.unwrap();
    assert!(double.lines().contains(&"POST /v1/ssh_keys".to_owned()), "the other key is not ours");
}

#[tokio::test]
async fn every_page_is_read_and_none_is_fine() {
    let double = Double::start(|asked| {
        let page: u64 = asked.query.split('&').find_map(|it| it.strip_prefix("page=")).unwrap().parse().unwrap();
        let mut server = past_server("running");
        server["id"] = json!(page);
        let next = (page < 3).then_some(page + 1);
        told(200, json!({"servers": [server], "meta": {"pagination": {"page": page, "next_page": next}}}))
    })
    .await;
    let owned = account(&double.endpoint()).infra().unwrap().owned().await.unwrap();
    let ids: Vec<_> = owned.into_iter().map(|it| it.infra_id).collect();
    assert_eq!(ids, ["1", "2", "3"]);
}

fn catalog_double(types: Value, images: Value, pricing: bool) -> impl Fn(&Asked) -> Told {
    move |asked| match asked.path.as_str() {
        "/v1/server_types" => told(200, json!({"server_types": types})),
        "/v1/locations" => {
            told(200, json!({"locations": [{"id": 1, "name": "fsn1", "city": "F", "country": "DE"}, {"id": 2}]}))
        }
        "/v1/images" => told(200, json!({"images": images})),
        "/v1/pricing" if pricing => told(200, json!({"pricing": {"currency": "USD"}})),
        _ => refusal(404, "not_found"),
    }
}

fn prices() -> Value {
    json!([
        {"location": "fsn1", "price_hourly": {"net": "0.01", "gross": "0.0119"}, "price_monthly": {"net": "4", "gross": "4.76"}},
        {"location": "hel1", "price_hourly": {"net": 0.01}, "price_monthly": {"net": 4.5}},
    ])
}

#[tokio::test]
async fn a_catalogue_of_the_past_decodes() {
    let types = json!([
        {"id": 1, "name": "cx11", "description": "CX11", "cores": 1, "memory": 2.0, "disk": 20, "deprecated": true, "prices": prices()},
        {"id": 2, "name": "cx22", "description": "CX22", "cores": 2, "memory": 4.0, "disk": 40, "deprecated": false, "prices": prices(), "architecture": "x86"},
    ]);
    let images = json!([
        {"id": 1, "name": "debian-9", "type": "system", "status": "available", "deprecated": "2022-07-01T00:00:00Z"},
        {"id": 2, "name": "debian-12", "type": "system", "status": "available", "deprecated": null, "deprecation": null},
        {"id": 3, "name": null, "type": "snapshot", "status": "available", "description": "mine"},
        {"id": 4, "name": "lamp", "type": "app", "status": "available"},
    ]);
    let double = Double::start(catalog_double(types, images, false)).await;
    let catalog = account(&double.endpoint()).catalog().await.unwrap();
    assert_eq!(catalog.currency, "EUR");
    assert_eq!(catalog.images.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["debian-12"]);
    assert_eq!(catalog.locations.len(), 1);
    let [old, new] = &catalog.server_types[..] else { panic!("two types") };
    assert!(old.locations.iter().all(|at| at.deprecated) && new.locations.iter().all(|at| !at.deprecated));
    assert_eq!((new.memory_gb.as_str(), new.cores, new.disk_gb), ("4", 2, 40));
    let prices: Vec<_> =
        new.locations.iter().map(|at| (at.location.as_str(), at.price_monthly.as_str(), at.available)).collect();
    assert_eq!(prices, [("fsn1", "4.76", true), ("hel1", "4.5", true)]);
}

#[tokio::test]
async fn a_catalogue_of_the_future_decodes() {
    let types = json!([
        {
            "name": "qx1", "cores": 3, "memory": 1.5, "architecture": "riscv", "category": "quantum", "prices": prices(),
            "locations": [
                {"id": 1, "name": "fsn1", "available": false, "recommended": false, "deprecation": null},
                {"id": 3, "name": "hel1", "available": true, "deprecation": {"announced": "2026-09-01T00:00:00Z"}},
            ],
        },
        {"nameless": true},
    ]);
    let images = json!([{"name": "debian-14", "architecture": "riscv"}]);
    let double = Double::start(catalog_double(types, images, true)).await;
    let catalog = account(&double.endpoint()).catalog().await.unwrap();
    assert_eq!(catalog.currency, "USD");
    let [only] = &catalog.server_types[..] else { panic!("one type") };
    let places: Vec<_> = only.locations.iter().map(|at| (at.location.as_str(), at.available, at.deprecated)).collect();
    assert_eq!(places, [("fsn1", false, false), ("hel1", true, true)]);
    assert_eq!((only.memory_gb.as_str(), catalog.images[0].architecture.as_str()), ("1.5", "riscv"));
}

/// DELETE answers an action, or nothing at all.
#[tokio::test]
async fn a_delete_without_a_body_is_one() {
    let deleted = AtomicBool::new(false);
    let double = Double::start(move |asked| match asked.line().as_str() {
        "DELETE /v1/servers/42" => {
            deleted.store(true, Ordering::SeqCst);
            common::raw(204, "text/plain", "")
        }
        "GET /v1/servers/42" if !deleted.load(Ordering::SeqCst) => told(200, json!({"server": past_server("off")})),
        _ => common_calls(asked),
    })
    .await;
    let account = account(&double.endpoint());
    let gone = account.infra().unwrap().destroy(&target(Some("42")), &mut MemoryJournal::default()).await.unwrap();
    assert!(gone.found);
}

/// An id out of a database is no path.
#[tokio::test]
async fn an_id_that_is_none_is_never_asked_for() {
    let double = Double::start(common_calls).await;
    let account = account(&double.endpoint());
    assert_eq!(account.infra().unwrap().status("../ssh_keys/1").await.unwrap(), None);
    assert!(double.lines().is_empty());
}
