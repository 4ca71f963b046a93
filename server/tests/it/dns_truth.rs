//! What is known of the zones: every difference is seen and told, whatever else cannot be read now; and
//! what a person changed or gave up is never swept.

use domain::{id::DnsRecordId, id::NodeId, time::MINUTE};
use reqwest::Method;
use serde_json::{Value, json};
use simulators::{CloudflareCall, CloudflareEffect, CloudflareFault, RecordChange, RecordSeed};
use store::FreshId as _;

use crate::{
    app::{TestApp, on_each},
    dns::{ZONE, act_on, begin, cloudflare, create, foreign, fqdn, quick, record_is, records, standing, wish, zones},
    dns_beds::{Call, DnsBed, Trouble, bind::BindBed, hetzner::HetznerBed},
    dns_matrix::{connected, ended, setup},
    nodes::{acquire, act, connect, vendor},
};

const UNKNOWN: &str = "dns_0190a5b4000070008000000000000001";
const OTHER_ZONE: &str = "a.test";

async fn orphans(app: &TestApp) -> Value {
    app.admin().get("/api/v1/orphans").await.json()
}

fn items(report: &Value) -> &[Value] {
    report["items"].as_array().unwrap()
}

async fn record(app: &TestApp, id: &str) -> Value {
    app.admin().get(&format!("/api/v1/dns-records/{id}")).await.json()
}

/// Makes one in a zone of a bed.
async fn made(app: &TestApp, provider: &str, zone: &str, name: &str) -> String {
    let wish = json!({"provider_id": provider, "zone": zone, "name": name, "type": "A", "content": "192.0.2.7"});
    let (id, job) = create(app, wish).await;
    app.job_is(&job, "succeeded").await;
    id
}

/// Another zone at the same vendor.
async fn with_two_zones() -> HetznerBed {
    let bed = HetznerBed::start().await;
    bed.done(Method::POST, "/zones", json!({"name": OTHER_ZONE, "mode": "primary"})).await;
    bed
}

/// A set of records with this installation's labels, of no record here.
async fn leave(app: &TestApp, bed: &HetznerBed, zone: &str, name: &str) {
    let labels = json!({"managed-by": "hangar", "hangar-instance": app.services.instance(), "hangar-record": UNKNOWN});
    let order = json!({"name": name, "type": "A", "labels": labels, "records": [{"value": "192.0.2.99"}]});
    bed.done(Method::POST, &format!("/zones/{zone}/rrsets"), order).await;
}

#[tokio::test]
async fn what_a_person_changed_or_gave_up_is_never_swept() {
    on_each(quick(), async |app: &TestApp| {
        let sim = cloudflare().await;
        let provider = zones(app, &sim).await;
        let content = |text: &str| RecordChange { content: Some(text.to_owned()), ..RecordChange::default() };
        let mut ids = Vec::new();
        for name in ["given", "restored", "late", "other"] {
            let (id, job) = create(app, wish(&provider, name)).await;
            app.job_is(&job, "succeeded").await;
            ids.push(id);
        }
        for (name, id) in ["given", "restored"].iter().zip(&ids) {
            assert_eq!(sim.change_records(&fqdn(name), None, &content("203.0.113.9")), 1);
            assert_eq!(act_on(app, id, "check-dns-record").await.status, 200);
            assert_eq!(act_on(app, id, "give-up-dns-record").await.status, 200);
        }
        // Whoever gave it up keeps it, also with what Hangar once wrote.
        assert_eq!(sim.change_records(&fqdn("restored"), None, &content("192.0.2.7")), 1);
        // Deleted, and there again: as Hangar wrote it, and as somebody else did.
        for (name, id, text) in [("late", &ids[2], "192.0.2.7"), ("other", &ids[3], "203.0.113.9")] {
            let job = begin(app, id, "delete-dns-record").await;
            app.job_is(&job, "succeeded").await;
            let marker = format!("hangar {} {id}", app.services.instance());
            assert!(
                sim.put_records(&[RecordSeed { comment: Some(marker), ..RecordSeed::new(&fqdn(name), "A", text) }])
            );
        }
        // Somebody else's, and marked by an adoption whose answer never came.
        foreign(&sim, "taken", "A", "192.0.2.7");
        let (id, job) = create(app, wish(&provider, "taken")).await;
        app.job_is(&job, "failed").await;
        let marker = RecordChange {
            comment: Some(format!("hangar {} {id}", app.services.instance())),
            ..RecordChange::default()
        };
        assert_eq!(sim.change_records(&fqdn("taken"), None, &marker), 1);
        for _ in 0..31 {
            app.observed().await;
        }
        let before = standing(&sim);
        let report = orphans(app).await;
        assert_eq!(items(&report).len(), 5, "all are told: {report:#}");
        for it in items(&report) {
            let is_late = it["name"].as_str().unwrap().starts_with("late");
            assert_eq!(it["sweepable_at"].is_string(), is_late, "{it:#}");
            assert!(it["guidance"].as_str().unwrap().ends_with('.'), "{it:#}");
        }
        let swept = app.admin().post("/api/v1/orphans/sweep", json!({})).await.json();
        assert_eq!((swept["swept"].as_array().unwrap().len(), swept["kept"].as_array().unwrap().len()), (1, 4));
        for it in swept["kept"].as_array().unwrap() {
            assert!(it["reason"].as_str().unwrap().contains("somebody"), "{it:#}");
        }
        app.job_is(swept["jobs"][0].as_str().unwrap(), "succeeded").await;
        let rest: Vec<_> = before.into_iter().filter(|it| it.0 != fqdn("late")).collect();
        assert_eq!(standing(&sim), rest, "that one alone is gone");
    })
    .await;
}

/// Decided upon as Hangar's own, and given up before its turn comes.
#[tokio::test]
async fn what_is_given_up_before_its_turn_is_not_swept() {
    on_each(quick().idle(), async |app: &TestApp| {
        let sim = cloudflare().await;
        let provider = zones(app, &sim).await;
        let marker = format!("hangar {} {UNKNOWN}", app.services.instance());
        let seed = RecordSeed { comment: Some(marker), ..RecordSeed::new(&fqdn("left"), "A", "192.0.2.7") };
        let (known, _) = create(app, wish(&provider, "known")).await;
        assert!(sim.put_records(&[seed]));
        for _ in 0..31 {
            app.observed().await;
        }
        let begun = app.admin().post("/api/v1/orphans/sweep", json!({})).await.json();
        let job = begun["jobs"][0].as_str().unwrap();
        // It is known after all, from an earlier day, with another content.
        let (known, unknown): (DnsRecordId, DnsRecordId) = (known.parse().unwrap(), UNKNOWN.parse().unwrap());
        app.services
            .store()
            .write::<(), store::StoreError, _>(move |c| {
                let (known, unknown) = (known.clone(), unknown.clone());
                Box::pin(async move {
                    let mut row = c.dns_record_get(&known).await?.unwrap();
                    row.id = unknown;
                    row.name = "left".parse().unwrap();
                    row.content = "192.0.2.8".to_owned();
                    row.state = domain::dns::DnsState::Deleted;
                    c.dns_record_insert(&row).await
                })
            })
            .await
            .unwrap();
        let worker = app.worker();
        let done = app.job_is(job, "succeeded").await;
        assert_eq!(done["steps"][0]["status"], "skipped", "{done:#}");
        assert!(standing(&sim).iter().any(|it| it.0 == fqdn("left")));
        app.begin_end();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_node_with_many_records_takes_each_of_them_away() {
    on_each(quick(), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        let (first, job) = create(app, wish(&provider, "first")).await;
        app.job_is(&job, "succeeded").await;
        let deletion = begin(app, &first, "delete-dns-record").await;
        app.job_is(&deletion, "succeeded").await;
        let (node, job) = acquire(app, &servers, json!({})).await;
        app.job_is(&job, "succeeded").await;
        // What it had before.
        let (of, row): (NodeId, DnsRecordId) = (node.parse().unwrap(), first.parse().unwrap());
        app.services
            .store()
            .write::<(), store::StoreError, _>(move |c| {
                let (of, row) = (of.clone(), row.clone());
                Box::pin(async move {
                    let mut row = c.dns_record_get(&row).await?.unwrap();
                    row.node_id = Some(of);
                    for _ in 0..450 {
                        row.id = DnsRecordId::fresh();
                        c.dns_record_insert(&row).await?;
                    }
                    Ok(())
                })
            })
            .await
            .unwrap();
        let mut last = wish(&provider, "last");
        last["node_id"] = json!(node);
        let (last, job) = create(app, last).await;
        app.job_is(&job, "succeeded").await;
        let destroyed = act(app, &node, "destroy-node").await;
        app.job_is(destroyed.json()["job_id"].as_str().unwrap(), "succeeded").await;
        assert_eq!((standing(&sim), hosts.servers()), (vec![], vec![]));
        record_is(app, &last, "deleted").await;
    })
    .await;
}

#[tokio::test]
async fn an_account_of_names_that_is_blocked_holds_no_server_back() {
    on_each(quick(), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        let dns = json!({"provider_id": provider, "zone": ZONE, "name": "alpha"});
        let (node, job) = acquire(app, &servers, json!({"dns": dns})).await;
        app.job_is(&job, "succeeded").await;
        let limited = CloudflareEffect::RateLimited { retry_after: 1 };
        sim.fault(CloudflareFault { times: 1_000_000, ..CloudflareFault::next(CloudflareCall::Any, limited) });
        let destroying = act(app, &node, "destroy-node").await.json();
        let path = format!("/api/v1/jobs/{}", destroying["job_id"].as_str().unwrap());
        let mut minutes = 0;
        loop {
            let waits = |it: &Value| it["status"] == "queued" && !it["error"].is_null();
            let seen = app.until(&path, "over or waiting", |it| waits(it) || it["status"] == "succeeded").await;
            if seen["status"] == "succeeded" {
                break;
            }
            minutes += 1;
            assert!(minutes < 4, "it bills on: {seen:#}");
            app.advance(MINUTE).await;
            app.until(&path, "taken up again", |it| {
                it["run_after"] != seen["run_after"] || it["status"] != "queued" || it["version"] != seen["version"]
            })
            .await;
        }
        assert!(minutes >= 1, "the vendor is given a moment");
        app.node_is(&node, "destroyed").await;
        assert_eq!((hosts.servers(), standing(&sim).len()), (vec![], 2));
        let mut left = Vec::new();
        for it in records(app).await {
            let pending = record(app, it["id"].as_str().unwrap()).await;
            assert_eq!(pending["cleanup"], "pending", "{pending:#}");
            left.push(pending);
        }
        sim.clear_faults();
        app.advance(15 * MINUTE).await;
        for it in left {
            ended(app, it["job"]["id"].as_str().unwrap()).await;
            record_is(app, it["id"].as_str().unwrap(), "deleted").await;
        }
        assert_eq!(standing(&sim), []);
    })
    .await;
}

/// What cannot be read is told, and everything else is compared.
#[tokio::test]
async fn a_zone_that_cannot_be_read_hides_no_other_one() {
    on_each(setup::<HetznerBed>(), async |app: &TestApp| {
        let bed = with_two_zones().await;
        let provider = connected(app, &bed, "both").await;
        made(app, &provider, OTHER_ZONE, "one").await;
        let one = made(app, &provider, &bed.zone(), "one").await;
        leave(app, &bed, OTHER_ZONE, "left").await;
        app.observed().await;
        let report = orphans(app).await;
        assert_eq!((items(&report).len(), &report["unknown"]), (1, &json!([])), "{report:#}");
        bed.remove("one", "A").await;
        // The first question of a round is for the first zone.
        bed.trouble(Call::Any, 1, Trouble::ServerError);
        app.observed().await;
        bed.met().await;
        assert_eq!(record(app, &one).await["drift"][0]["observed"], "gone", "the other zone was compared");
        let partly = orphans(app).await;
        assert!(partly["unknown"][0].as_str().unwrap().contains(OTHER_ZONE), "{partly:#}");
        assert_eq!(items(&partly)[0]["first_seen_at"], items(&report)[0]["first_seen_at"], "it is known on");
        app.observed().await;
        let whole = orphans(app).await;
        assert_eq!((items(&whole).len(), &whole["unknown"]), (1, &json!([])), "{whole:#}");
    })
    .await;
}

/// However many zones there are, each has its turn.
#[tokio::test]
async fn every_zone_has_its_turn() {
    let zone = |n: usize| format!("z{n}.test");
    on_each(quick(), async |app: &TestApp| {
        let limit = simulators::CallLimit { calls: 1_000_000, ..simulators::CallLimit::default() };
        let zones_held = (0..60).map(zone).collect();
        let config = simulators::CloudflareConfig { zones: zones_held, limit, ..Default::default() };
        let sim = simulators::Cloudflare::start(config).await.unwrap();
        let provider = zones(app, &sim).await;
        let mut ids = Vec::new();
        for n in 0..60 {
            ids.push(made(app, &provider, &zone(n), "one").await);
            sim.remove_records(&format!("one.{}", zone(n)), "A");
        }
        for _ in 0..3 {
            app.observed().await;
        }
        for id in &ids {
            assert_eq!(record(app, id).await["drift"][0]["observed"], "gone");
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_transfer_the_records_are_asked_for_one_by_one() {
    if !BindBed::is_here() {
        return;
    }
    on_each(setup::<BindBed>(), async |app: &TestApp| {
        let bed = BindBed::start().await;
        let connected = app.admin().post("/api/v1/providers", bed.without_transfer()).await;
        assert_eq!((connected.status, &connected.json()["status"]), (201, &json!("connected")), "{}", connected.body);
        let provider = connected.json()["id"].as_str().unwrap().to_owned();
        let (same, gone) =
            (made(app, &provider, &bed.zone(), "same").await, made(app, &provider, &bed.zone(), "gone").await);
        bed.remove("gone", "A").await;
        for _ in 0..5 {
            app.observed().await;
        }
        assert_eq!(record(app, &gone).await["drift"][0]["observed"], "gone");
        let same = record(app, &same).await;
        assert_eq!((&same["drift"], &same["freshness"]["stale"]), (&json!([]), &json!(false)), "{same:#}");
        let report = orphans(app).await;
        assert!(report["unknown"][0].as_str().unwrap().contains("allow-transfer"), "{report:#}");
    })
    .await;
}

#[tokio::test]
async fn orphans_of_two_zones_are_told_apart() {
    on_each(setup::<HetznerBed>(), async |app: &TestApp| {
        let bed = with_two_zones().await;
        let provider = connected(app, &bed, "both").await;
        for zone in [OTHER_ZONE, &bed.zone()] {
            made(app, &provider, zone, "one").await;
        }
        leave(app, &bed, OTHER_ZONE, "left").await;
        app.observed().await;
        leave(app, &bed, &bed.zone(), "left").await;
        app.observed().await;
        let report = orphans(app).await;
        let seen: Vec<_> = items(&report).iter().map(|it| &it["first_seen_at"]).collect();
        assert_eq!(seen.len(), 2, "{report:#}");
        assert_ne!(seen[0], seen[1], "each since it was seen");
        for _ in 0..31 {
            app.observed().await;
        }
        let swept = app.admin().post("/api/v1/orphans/sweep", json!({})).await.json();
        assert_eq!(swept["swept"].as_array().unwrap().len(), 2, "{swept:#}");
        app.job_is(swept["jobs"][0].as_str().unwrap(), "succeeded").await;
        assert_eq!((bed.contents("left", "A").await, items(&orphans(app).await).len()), (vec![], 0));
    })
    .await;
}

#[tokio::test]
async fn a_second_value_beside_ours_is_told() {
    on_each(setup::<HetznerBed>(), async |app: &TestApp| {
        let bed = HetznerBed::start().await;
        let provider = connected(app, &bed, "names").await;
        let id = made(app, &provider, &bed.zone(), "one").await;
        let path = format!("/zones/{}/rrsets/one/A/actions/set_records", bed.zone());
        let both = json!({"records": [{"value": "192.0.2.7"}, {"value": "203.0.113.9"}]});
        bed.done(Method::POST, &path, both).await;
        let told = |drift: &Value| {
            let observed = drift[0]["observed"].as_str().unwrap_or_else(|| panic!("{drift:#}"));
            assert!(observed.contains("192.0.2.7") && observed.contains("203.0.113.9"), "{observed}");
        };
        app.observed().await;
        told(&record(app, &id).await["drift"]);
        told(&act_on(app, &id, "check-dns-record").await.json()["drift"]);
        bed.done(Method::POST, &path, json!({"records": [{"value": "192.0.2.7"}]})).await;
        app.observed().await;
        assert_eq!(record(app, &id).await["drift"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_change_among_the_orphans_is_announced_once() {
    on_each(quick(), async |app: &TestApp| {
        let sim = cloudflare().await;
        let provider = zones(app, &sim).await;
        let (_, job) = create(app, wish(&provider, "one")).await;
        app.job_is(&job, "succeeded").await;
        app.observed().await;
        let seq = app.services.store().read().await.unwrap().events_last_seq().await.unwrap();
        let announced = async || {
            let events = app.services.store().read().await.unwrap().events_after(seq, 1_000).await.unwrap();
            events.iter().filter(|it| it.event.kind == "orphan").count()
        };
        let marker = format!("hangar {} {UNKNOWN}", app.services.instance());
        let seed = RecordSeed { comment: Some(marker), ..RecordSeed::new(&fqdn("left"), "A", "192.0.2.99") };
        assert!(sim.put_records(&[seed]));
        app.observed().await;
        assert_eq!((announced().await, items(&orphans(app).await).len()), (1, 1));
        for _ in 0..3 {
            app.observed().await;
        }
        assert_eq!(announced().await, 1, "nothing changed");
        sim.remove_records(&fqdn("left"), "A");
        app.observed().await;
        assert_eq!((announced().await, items(&orphans(app).await).len()), (2, 0));
    })
    .await;
}

/// Also where no name came about, and those that were made by hand.
#[tokio::test]
async fn the_page_of_a_node_shows_every_record_that_goes_with_it() {
    on_each(quick(), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        let page = async |node: &str| app.admin().open(&format!("/nodes/{node}")).await.body;
        foreign(&sim, "alpha", "A", "198.51.100.1");
        let dns = json!({"provider_id": provider, "zone": ZONE, "name": "alpha"});
        let (unnamed, job) = acquire(app, &servers, json!({"dns": dns})).await;
        app.job_is(&job, "failed").await;
        let shown = page(&unnamed).await;
        for record in records(app).await {
            assert!(shown.contains(record["id"].as_str().unwrap()), "{record:#}");
        }
        let (node, job) = acquire(app, &servers, json!({"name": "beta"})).await;
        app.job_is(&job, "succeeded").await;
        let mut wish = wish(&provider, "by-hand");
        wish["node_id"] = json!(node);
        let (id, job) = create(app, wish).await;
        app.job_is(&job, "succeeded").await;
        let shown = page(&node).await;
        assert!(shown.contains(&id), "it goes with the node");
        assert!(shown.contains(&format!("A {} (192.0.2.7)", fqdn("by-hand"))), "and the question says so");
    })
    .await;
}
