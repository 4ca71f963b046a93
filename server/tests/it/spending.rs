//! Money: what is spent, the cap that is never exceeded, and the switch that stops it all.

use std::{sync::Arc, time::Duration};

use domain::{
    access::Principal,
    code::Code,
    node::NodeCreate,
    time::{HOUR, MINUTE},
    valid::amount_micros,
};
use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, Match};

use crate::{
    allocations::{ask, release},
    app::{Reply, Setup, TestApp, on_each},
    nodes::{TOKEN, acquire, act, connect, gone, vendor},
    truth::by_hand,
    verbs::acted,
};

const RULES: &str = "/api/v1/settings/acquisition";

async fn rules(app: &TestApp, wish: Value) -> Value {
    let reply = app.admin().method("PUT", RULES, wish).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

fn wish(provider: &str, name: &str) -> Value {
    json!({"provider_id": provider, "name": name, "server_type": "cx23", "location": "fsn1", "image": "debian-12",
        "profile": "none"})
}

fn blocked(gates: &Value) -> Vec<&str> {
    let gates = gates.as_array().unwrap().iter();
    gates.filter(|it| it["result"] == "blocked").map(|it| it["name"].as_str().unwrap()).collect()
}

async fn try_acquire(app: &TestApp, wish: Value) -> Reply {
    app.admin().post("/api/v1/nodes", wish).await
}

#[tokio::test]
async fn the_rules_are_checked_shown_and_told() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let admin = app.admin();
        for (wrong, pointer) in [
            (json!({"cap_monthly": "10"}), "/currency"),
            (json!({"cap_monthly": "0", "currency": "EUR"}), "/cap_monthly"),
            (json!({"cap_monthly": "-1", "currency": "EUR"}), "/cap_monthly"),
            (json!({"cap_monthly": "ten", "currency": "EUR"}), "/cap_monthly"),
            (json!({"cap_monthly": "10", "currency": "euro"}), "/currency"),
            (json!({"note": "x".repeat(301)}), "/note"),
        ] {
            let problem = admin.method("PUT", RULES, wrong).await.is_problem(422, "validation");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem:#}");
        }
        let provider = connect(app, &vendor).await;
        let (node, _) = acquire(app, &provider, json!({"pool": "default"})).await;
        let node = app.node_is(&node, "ready").await;
        assert!(node["price_hourly"].is_string() && node["price_monthly"].is_string());
        let view =
            rules(app, json!({"paused": true, "note": "month end", "cap_monthly": "100", "currency": "EUR"})).await;
        assert_eq!((&view["spend"][0]["nodes"], &view["spend"][0]["monthly"]), (&json!(1), &json!("4.15")), "{view:#}");
        assert!(view["spend"][0]["hourly"].as_str().unwrap().starts_with("0.00"));
        assert_eq!((&view["hold"]["kind"], &view["unpriced"]), (&json!("paused"), &json!(0)));
        assert!(view["hold"]["reason"].as_str().unwrap().contains("month end"));
        assert_eq!(admin.get(RULES).await.json(), view);
        let pool = admin.get("/api/v1/pools/default").await.json();
        assert_eq!(pool["spend"], view["spend"]);
        let trail = admin.get("/api/v1/audit?kind=setting").await.json();
        let outcomes: Vec<_> = trail["items"].as_array().unwrap().iter().map(|it| &it["outcome"]).collect();
        assert_eq!((outcomes[0], outcomes.len()), (&json!("ok"), 7), "what was refused too: {trail:#}");
        // Every page that offers to acquire says why not.
        let account = admin.get(&format!("/api/v1/providers/{provider}")).await.json();
        let create =
            account["actions"].as_array().unwrap().iter().find(|it| it["identity"] == "create-server").unwrap();
        assert_eq!(create["enabled"], false);
        assert!(create["recovery"]["cause"].as_str().unwrap().contains("paused"), "{create:#}");
        vendor.shutdown().await;
    })
    .await;
}

/// Two processes, many wishes at once: together the nodes never cost more than the cap.
#[tokio::test]
async fn the_cap_is_never_exceeded() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let another = app.another().await;
        let mut accepted = 0;
        for (cap, fits) in [("20.00", 4), ("30.00", 3), ("30.00", 0)] {
            rules(app, json!({"cap_monthly": cap, "currency": "EUR"})).await;
            let tries = (0..20).map(|n| {
                let services = if n % 2 == 0 { Arc::clone(&app.services) } else { Arc::clone(&another) };
                let wish: NodeCreate = serde_json::from_value(wish(&provider, &format!("n{n}"))).unwrap();
                tokio::spawn(async move { services.node_acquire(&Principal::admin_secret(), wish, None).await })
            });
            let mut now = 0;
            for outcome in futures::future::join_all(tries).await {
                match outcome.unwrap() {
                    Ok(_) => now += 1,
                    Err(fault) => assert_eq!(fault.code, Code::SpendingCapReached, "{fault}"),
                }
            }
            assert_eq!(now, fits, "cap {cap}");
            accepted += now;
            let view = app.admin().get(RULES).await.json();
            let spent = amount_micros(view["spend"][0]["monthly"].as_str().unwrap()).unwrap();
            assert!(spent <= amount_micros(cap).unwrap(), "{view:#}");
        }
        app.until("/api/v1/nodes?status=ready", "all ready", |it| it["items"].as_array().unwrap().len() == accepted)
            .await;
        // What is destroyed makes room; a node that is tried again needs it too.
        let first = app.admin().get("/api/v1/nodes").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(act(app, &first, "destroy-node").await.status, 202);
        app.node_is(&first, "destroyed").await;
        let effect = FaultEffect::ActionError { code: "action_failed".to_owned(), message: "no".to_owned() };
        vendor.fault(Fault::next(Match::ServerCreate, effect));
        let (failed, _) = acquire(app, &provider, json!({})).await;
        app.until(&format!("/api/v1/nodes/{failed}"), "undone", |n| n["cleanup"] == "done").await;
        let (fits, _) = acquire(app, &provider, json!({"name": "fits"})).await;
        app.node_is(&fits, "ready").await;
        let refused = async |code: &str| {
            let problem = act(app, &failed, "retry-node").await.is_problem(409, code);
            assert_eq!(blocked(&problem["gates"]), ["acquisition-open"], "{problem:#}");
            // The page says the same, and says it before.
            let shown = app.admin().get(&format!("/api/v1/nodes/{failed}")).await.json();
            let retry = shown["actions"].as_array().unwrap().iter().find(|it| it["identity"] == "retry-node").unwrap();
            assert_eq!((&retry["enabled"], blocked(&retry["gates"])), (&json!(false), vec!["acquisition-open"]));
        };
        refused("spending_cap_reached").await;
        rules(app, json!({"paused": true})).await;
        refused("acquisition_paused").await;
        rules(app, json!({})).await;
        assert_eq!(act(app, &failed, "retry-node").await.status, 202);
        app.node_is(&failed, "ready").await;
        another.store().close().await;
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_held_against_the_cap_is_refused() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let vendor = vendor().await;
        let body = json!({"kind": "hetzner", "name": "fresh", "settings": {"endpoint": vendor.endpoint()},
            "secret": {"api_token": TOKEN}});
        let made = app.admin().post("/api/v1/providers", body).await;
        let provider = made.json()["id"].as_str().unwrap().to_owned();
        // No catalogue is known, so no price is.
        vendor.fault(Fault { times: 1_000, ..Fault::next(Match::Catalog, FaultEffect::EmptyBody { status: 500 }) });
        rules(app, json!({"cap_monthly": "100", "currency": "EUR"})).await;
        try_acquire(app, wish(&provider, "a")).await.is_problem(409, "spending_cap_reached");
        // Accepted without a cap; the job learns the price when there is one, and asks for nothing.
        rules(app, json!({})).await;
        let (node, job) = acquire(app, &provider, json!({})).await;
        rules(app, json!({"cap_monthly": "1", "currency": "EUR"})).await;
        vendor.clear_faults();
        let worker = app.worker();
        app.advance(HOUR).await;
        let failed = app.job_is(&job, "failed").await;
        assert_eq!(failed["error"]["code"], "spending_cap_reached", "{failed:#}");
        assert_eq!(app.node_is(&node, "failed").await["cleanup"], "none");
        // Another currency is not added up.
        rules(app, json!({"cap_monthly": "1000", "currency": "USD"})).await;
        let problem = try_acquire(app, wish(&provider, "b")).await.is_problem(409, "spending_cap_reached");
        assert!(problem["detail"].as_str().unwrap().contains("EUR"), "{problem:#}");
        assert_eq!(vendor.servers(), []);
        app.begin_end();
        worker.await.unwrap();
        vendor.shutdown().await;
    })
    .await;
}

/// With a cap nothing dearer than what was admitted is tried.
#[tokio::test]
async fn a_dearer_fallback_is_not_tried_under_a_cap() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        rules(app, json!({"cap_monthly": "5", "currency": "EUR"})).await;
        vendor.set_capacity("cx23", "fsn1", false);
        let fallbacks =
            json!([{"server_type": "cx33", "location": "nbg1"}, {"server_type": "cx23", "location": "nbg1"}]);
        let (node, _) = acquire(app, &provider, json!({"fallbacks": fallbacks})).await;
        let ready = app.node_is(&node, "ready").await;
        assert_eq!((&ready["server_type"], &ready["location"]), (&json!("cx23"), &json!("nbg1")));
        vendor.shutdown().await;
    })
    .await;
}

/// A cap counts from the moment in which it is set, also for a create that is under way.
#[tokio::test]
async fn a_cap_that_is_set_meanwhile_stops_a_dearer_fallback() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        vendor.set_capacity("cx23", "fsn1", false);
        let slow = vendor.fault(Fault::next(Match::ServerCreate, FaultEffect::Slow { ms: 1_000 }));
        let fallbacks = json!([{"server_type": "cx33", "location": "nbg1"}]);
        let (node, job) = acquire(app, &provider, json!({"fallbacks": fallbacks})).await;
        vendor.fault_hit(slow).await;
        rules(app, json!({"cap_monthly": "5", "currency": "EUR"})).await;
        let failed = app.job_is(&job, "failed").await;
        assert_eq!(failed["error"]["code"], "PROVIDER_CAPACITY", "{failed:#}");
        assert_eq!(vendor.servers(), []);
        // Without the cap it is tried.
        rules(app, json!({})).await;
        app.until(&format!("/api/v1/nodes/{node}"), "undone", |n| n["cleanup"] == "done").await;
        assert_eq!(act(app, &node, "retry-node").await.status, 202);
        assert_eq!(app.node_is(&node, "ready").await["server_type"], "cx33");
        vendor.shutdown().await;
    })
    .await;
}

/// A dearer server that was made before the cap was set costs what it costs.
#[tokio::test]
async fn what_is_taken_over_is_added_up_with_its_own_price() {
    on_each(Setup::usual().with_jobs().with_work(|work| work.back_off = vec![5 * MINUTE]), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        vendor.set_capacity("cx23", "fsn1", false);
        // The fallback is made, and nobody hears of it.
        vendor.fault(Fault { nth: 2, ..Fault::next(Match::ServerCreate, FaultEffect::Reset { after_effect: true }) });
        let unheard = FaultEffect::EmptyBody { status: 500 };
        vendor.fault(Fault { times: 1_000, ..Fault::next(Match::ServerList, unheard) });
        let fallbacks = json!([{"server_type": "cx33", "location": "nbg1"}]);
        let (node, job) = acquire(app, &provider, json!({"fallbacks": fallbacks})).await;
        let path = format!("/api/v1/jobs/{job}");
        app.until(&path, "waiting", |j| j["status"] == "queued" && j["error"]["code"].is_string()).await;
        assert_eq!(vendor.servers().len(), 1);
        rules(app, json!({"cap_monthly": "100", "currency": "EUR"})).await;
        vendor.clear_faults();
        app.advance(7 * MINUTE).await;
        let ready = app.node_is(&node, "ready").await;
        assert_eq!(ready["server_type"], "cx33");
        let catalog = app.admin().get(&format!("/api/v1/providers/{provider}/catalog")).await.json();
        let types = catalog["server_types"].as_array().unwrap();
        let of = types.iter().find(|it| it["name"] == "cx33").unwrap()["locations"].as_array().unwrap();
        let price = &of.iter().find(|it| it["location"] == "nbg1").unwrap()["price_monthly"];
        assert_eq!(&ready["price_monthly"], price, "{ready:#}");
        vendor.shutdown().await;
    })
    .await;
}

/// A type that was changed at the vendor while no catalogue can be read: the price is not forgotten.
#[tokio::test]
async fn a_price_that_is_not_known_takes_nothing_out_of_the_sum() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let (node, _) = acquire(app, &provider, json!({})).await;
        let before = app.node_is(&node, "ready").await;
        acted(app, &node, "suspend-node", json!({}), "succeeded").await;
        let change = json!({"server_type": "cx33", "upgrade_disk": false});
        by_hand(&vendor, &format!("/servers/{}/actions/change_type", vendor.servers()[0].id), change).await;
        while vendor.servers()[0].locked {
            tokio::task::yield_now().await;
        }
        let path = format!("/api/v1/providers/{provider}/secret");
        assert_eq!(app.admin().method("PUT", &path, json!({"api_token": TOKEN})).await.status, 200);
        vendor.fault(Fault { times: 1_000, ..Fault::next(Match::Catalog, FaultEffect::EmptyBody { status: 500 }) });
        acted(app, &node, "resume-node", json!({}), "succeeded").await;
        let after = app.admin().get(&format!("/api/v1/nodes/{node}")).await.json();
        assert_eq!((&after["server_type"], &after["price_monthly"]), (&json!("cx33"), &before["price_monthly"]));
        let view = app.admin().get(RULES).await.json();
        assert_eq!((&view["unpriced"], &view["spend"][0]["nodes"]), (&json!(0), &json!(1)), "{view:#}");
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn the_switch_stops_all_at_once_and_loses_nothing() {
    on_each(Setup::usual().with("VM_POOL_JSON", ""), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let (node, job) = acquire(app, &provider, json!({"pool": "default"})).await;
        rules(app, json!({"paused": true, "note": "budget"})).await;
        let problem = try_acquire(app, wish(&provider, "b")).await.is_problem(409, "acquisition_paused");
        assert!(problem["gates"].as_array().unwrap().iter().any(|it| it["name"] == "acquisition-open"), "{problem:#}");
        // What is queued waits, without using up attempts or time.
        let worker = app.worker();
        let path = format!("/api/v1/jobs/{job}");
        let held = |j: &Value| j["status"] == "queued" && j["error"]["code"] == "acquisition_paused";
        let waits = app.until(&path, "held", held).await;
        assert_eq!((&waits["attempt"], &waits["started_at"]), (&json!(0), &Value::Null), "{waits:#}");
        assert!(waits.to_string().contains("budget"), "the timeline says why: {waits:#}");
        app.advance(3 * HOUR).await;
        app.until(&path, "held again", |j| held(j) && j["version"] != waits["version"]).await;
        assert_eq!(vendor.servers(), []);
        rules(app, json!({})).await;
        let ready = app.node_is(&node, "ready").await;
        assert_eq!(ready["code"], Value::Null);
        assert_eq!(app.job_is(&job, "succeeded").await["attempt"], 1);

        // A machine that is given back is replaced when acquisition goes on again.
        let mine = ask(&app.admin(), "default").await.json();
        rules(app, json!({"paused": true})).await;
        assert_eq!(release(&app.admin(), &mine["id"]).await.status, 200);
        app.node_is(&node, "destroyed").await;
        let pool = app.until("/api/v1/pools/default", "coming", |p| p["counts"]["coming"] == 1).await;
        assert_eq!(pool["counts"]["available"], 0);
        app.until("/api/v1/jobs?status=queued", "held", |it| it["items"][0]["error"]["code"] == "acquisition_paused")
            .await;
        assert_eq!(vendor.servers(), []);
        // It also waits for room under the cap.
        rules(app, json!({"cap_monthly": "1", "currency": "EUR"})).await;
        app.until("/api/v1/jobs?status=queued", "held by the cap", |it| {
            it["items"][0]["error"]["code"] == "spending_cap_reached"
        })
        .await;
        assert_eq!(vendor.servers(), []);
        rules(app, json!({"cap_monthly": "5", "currency": "EUR"})).await;
        app.until("/api/v1/pools/default", "full again", |p| p["counts"]["available"] == 1).await;
        assert_eq!(vendor.servers().len(), 1);
        app.begin_end();
        worker.await.unwrap();
        vendor.shutdown().await;
    })
    .await;
}

/// A pool with a target is filled as far as the cap allows, and its page says why no further.
#[tokio::test]
async fn a_pool_says_what_holds_it_up() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        rules(app, json!({"paused": true})).await;
        let pool = json!({"name": "kept", "target_ready": 5, "template": wish(&provider, "kept")});
        let made = app.admin().post("/api/v1/pools", pool).await;
        assert_eq!(made.status, 201, "{}", made.body);
        assert_eq!(app.services.pools_fill().await.unwrap().acquired, 0);
        let plan = app.admin().get("/api/v1/pools/kept").await.json()["plan"].clone();
        assert!(plan.as_str().unwrap().contains("paused"), "{plan}");
        rules(app, json!({"cap_monthly": "10", "currency": "EUR"})).await;
        assert_eq!(app.services.pools_fill().await.unwrap().acquired, 2);
        assert_eq!(app.services.pools_fill().await.unwrap().acquired, 0);
        let pool = app.until("/api/v1/pools/kept", "two ready", |p| p["counts"]["available"] == 2).await;
        assert!(pool["plan"].as_str().unwrap().contains("spending cap"), "{pool:#}");
        rules(app, json!({})).await;
        assert_eq!(app.services.pools_fill().await.unwrap().acquired, 3);
        app.until("/api/v1/pools/kept", "full", |p| p["counts"]["available"] == 5).await;
        vendor.shutdown().await;
    })
    .await;
}

/// The process ends while a create is under way, and acquisition is paused or a cap set meanwhile: the
/// server bills already, so its job goes on with it, at the price that it has.
#[tokio::test]
async fn what_was_asked_for_before_the_switch_is_not_left_alone() {
    on_each(Setup::usual(), async |app: &TestApp| {
        for rule in [json!({"paused": true}), json!({"cap_monthly": "5", "currency": "EUR"})] {
            let vendor = vendor().await;
            let provider = connect(app, &vendor).await;
            vendor.set_capacity("cx23", "fsn1", false);
            let hang = Fault { nth: 2, ..Fault::next(Match::ServerCreate, FaultEffect::Hang { after_effect: true }) };
            let hang = vendor.fault(hang);
            let worker = app.worker();
            let fallbacks = json!([{"server_type": "cx33", "location": "nbg1"}]);
            let (node, _) = acquire(app, &provider, json!({"fallbacks": fallbacks})).await;
            tokio::time::timeout(Duration::from_secs(30), vendor.fault_hit(hang)).await.unwrap();
            worker.abort();
            assert!(worker.await.unwrap_err().is_cancelled());
            rules(app, rule.clone()).await;
            app.advance(HOUR / 4).await;
            let worker = app.worker();
            let ready = app.node_is(&node, "ready").await;
            let had = [&ready["server_type"], &ready["location"]];
            assert_eq!(had, ["cx33", "nbg1"], "{ready:#}");
            assert!(ready["price_monthly"].as_str().unwrap().starts_with("6.53"), "of what was had: {ready:#}");
            assert_eq!(vendor.servers().len(), 1, "{rule}");
            gone(app, &vendor, &node).await;
            worker.abort();
            assert!(worker.await.unwrap_err().is_cancelled());
            rules(app, json!({})).await;
            let path = format!("/api/v1/providers/{provider}");
            let left = app.admin().method("DELETE", &path, json!({})).await;
            assert_eq!(left.status, 204, "{}", left.body);
            vendor.shutdown().await;
        }
    })
    .await;
}
