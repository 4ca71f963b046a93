//! DNS records while something else changes meanwhile: their node goes, their account goes, their name
//! is taken, what stands in the zone is another one's. What was decided counts only as long as it is true.

use domain::{id::ProviderId, time::HOUR};
use serde_json::{Value, json};
use simulators::{Cloudflare, CloudflareCall, CloudflareEffect, CloudflareFault, RecordChange};
use store::StoreError;

use crate::{
    app::{Setup, TestApp, on_each},
    dns::{
        act_on, begin, cloudflare, create, foreign, fqdn, pointers, quick, record_is, records, standing, wish, zones,
    },
    dns_beds::DnsBed,
    dns_matrix::{connected, setup},
    nodes::{acquire, act, connect, step, vendor},
};

/// A failed attempt is followed by the next one an hour later.
fn patient() -> Setup {
    quick().with_work(|work| work.back_off = vec![HOUR])
}

/// A node in service without a name.
async fn in_service(app: &TestApp, servers: &str) -> String {
    let (node, job) = acquire(app, servers, json!({})).await;
    app.job_is(&job, "succeeded").await;
    node
}

fn of_node(provider: &str, name: &str, node: &str) -> Value {
    let mut wish = wish(provider, name);
    wish["node_id"] = json!(node);
    wish
}

async fn destroyed(app: &TestApp, node: &str) {
    let reply = act(app, node, "destroy-node").await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    app.job_is(reply.json()["job_id"].as_str().unwrap(), "succeeded").await;
    app.node_is(node, "destroyed").await;
}

async fn ended(app: &TestApp, job: &str) -> Value {
    let over = |job: &Value| !matches!(job["status"].as_str().unwrap(), "queued" | "running");
    app.until(&format!("/api/v1/jobs/{job}"), "over", over).await
}

async fn record(app: &TestApp, id: &str) -> Value {
    app.admin().get(&format!("/api/v1/dns-records/{id}")).await.json()
}

/// A record that failed because something foreign stood there.
async fn refused(app: &TestApp, sim: &Cloudflare, wish: Value) -> (String, String) {
    foreign(sim, wish["name"].as_str().unwrap(), "A", "198.51.100.1");
    let (id, job) = create(app, wish).await;
    app.job_is(&job, "failed").await;
    assert_eq!(record_is(app, &id, "failed").await["cleanup"], "done");
    (id, job)
}

fn slow_zones(sim: &Cloudflare) -> simulators::CloudflareFaultId {
    sim.fault(CloudflareFault::next(CloudflareCall::ZoneList, CloudflareEffect::Slow { ms: 1_500 }))
}

/// The next looks at the records of a name fail.
fn no_look(sim: &Cloudflare, times: u32) {
    let down = CloudflareFault::next(CloudflareCall::RecordList, CloudflareEffect::HtmlBadGateway);
    sim.fault(CloudflareFault { times, ..down });
}

#[tokio::test]
async fn a_name_that_waits_to_be_made_is_not_made_after_its_node_was_destroyed() {
    on_each(patient(), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        let node = in_service(app, &servers).await;
        no_look(&sim, 1);
        let (id, job) = create(app, of_node(&provider, "alpha", &node)).await;
        let waits = |job: &Value| job["status"] == "queued" && !job["error"].is_null();
        app.until(&format!("/api/v1/jobs/{job}"), "waiting", waits).await;
        destroyed(app, &node).await;
        app.advance(2 * HOUR).await;
        assert_eq!(ended(app, &job).await["status"], "cancelled");
        assert_ne!(record_is(app, &id, "deleted").await["cleanup"], "pending");
        assert_eq!((standing(&sim), hosts.servers()), (vec![], vec![]));
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_being_made_goes_with_its_node() {
    on_each(patient().with_work(|work| work.late_create_grace = 2_000), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        let node = in_service(app, &servers).await;
        // It comes true only after the name was looked for in vain.
        let slow = sim.fault(CloudflareFault::next(CloudflareCall::RecordCreate, CloudflareEffect::Slow { ms: 1_000 }));
        let (id, job) = create(app, of_node(&provider, "alpha", &node)).await;
        sim.fault_hit(slow).await;
        destroyed(app, &node).await;
        ended(app, &job).await;
        app.until(&format!("/api/v1/dns-records/{id}"), "at rest", |it| {
            matches!(it["state"].as_str().unwrap(), "deleted" | "failed") && it["cleanup"] != "pending"
        })
        .await;
        assert_eq!((standing(&sim), hosts.servers()), (vec![], vec![]));
    })
    .await;
}

#[tokio::test]
async fn a_failed_record_ends_also_when_its_account_is_gone() {
    on_each(quick(), async |app: &TestApp| {
        let sim = cloudflare().await;
        let provider = zones(app, &sim).await;
        let (id, _) = refused(app, &sim, wish(&provider, "alpha")).await;
        let before = sim.records(crate::dns::ZONE);
        let gone = app.admin().method("DELETE", &format!("/api/v1/providers/{provider}"), json!({})).await;
        assert!((200..300).contains(&gone.status), "{}", gone.body);
        let job = begin(app, &id, "delete-dns-record").await;
        assert_eq!(ended(app, &job).await["status"], "succeeded");
        record_is(app, &id, "deleted").await;
        assert_eq!(sim.records(crate::dns::ZONE), before, "byte for byte");

        // One that stands is told to be given up: nobody can look for it any more.
        let provider = zones(app, &sim).await;
        let (id, job) = create(app, wish(&provider, "beta")).await;
        app.job_is(&job, "succeeded").await;
        let (account, now) = (provider.parse::<ProviderId>().unwrap(), app.clock.now());
        app.services
            .store()
            .write::<(), StoreError, _>(move |c| {
                let account = account.clone();
                Box::pin(async move { c.provider_delete(&account, now).await.map(drop) })
            })
            .await
            .unwrap();
        let job = begin(app, &id, "delete-dns-record").await;
        let over = ended(app, &job).await;
        assert_eq!(over["status"], "succeeded", "{over:#}");
        assert!(step(&over, "delete_record")["detail"].as_str().unwrap().contains("account"), "{over:#}");
        record_is(app, &id, "deleted").await;
    })
    .await;
}

#[tokio::test]
async fn no_record_is_written_down_for_what_goes_while_its_zone_is_looked_for() {
    on_each(quick(), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        let node = in_service(app, &servers).await;
        let admin = app.admin();

        let slow = slow_zones(&sim);
        let asked = admin.post("/api/v1/dns-records", of_node(&provider, "alpha", &node));
        let (reply, ()) = tokio::join!(asked, async {
            sim.fault_hit(slow).await;
            destroyed(app, &node).await;
        });
        assert_eq!(pointers(&reply.is_problem(422, "validation")), ["/node_id"]);

        let slow = slow_zones(&sim);
        let asked = admin.post("/api/v1/dns-records", wish(&provider, "alpha"));
        let (reply, ()) = tokio::join!(asked, async {
            sim.fault_hit(slow).await;
            let gone = app.admin().method("DELETE", &format!("/api/v1/providers/{provider}"), json!({})).await;
            assert!((200..300).contains(&gone.status), "{}", gone.body);
        });
        assert_eq!(pointers(&reply.is_problem(422, "validation")), ["/provider_id"]);
        assert_eq!((records(app).await.len(), standing(&sim)), (0, vec![]));
    })
    .await;
}

/// Of a node's two addresses, one that somebody took away is written again beside the other.
async fn one_of_two_addresses_is_written_again<B: DnsBed>() {
    on_each(setup::<B>(), async |app: &TestApp| {
        let (bed, hosts) = (B::start().await, vendor().await);
        let before = bed.records().await;
        let (provider, servers) = (connected(app, &bed, "names").await, connect(app, &hosts).await);
        let dns = json!({"dns": {"provider_id": provider, "zone": bed.zone(), "name": "alpha"}});
        let (node, job) = acquire(app, &servers, dns).await;
        app.job_is(&job, "succeeded").await;
        for kind in ["A", "AAAA"] {
            let own = records(app).await.into_iter().find(|it| it["type"] == kind).unwrap();
            let (id, stood) = (own["id"].as_str().unwrap(), bed.contents("alpha", kind).await);
            assert_eq!(stood.len(), 1);
            bed.remove("alpha", kind).await;
            assert_eq!(act_on(app, id, "check-dns-record").await.json()["drift"][0]["observed"], "gone");
            let again = begin(app, id, "retry-dns-record").await;
            let over = ended(app, &again).await;
            assert_eq!(over["status"], "succeeded", "{kind}: {over:#}");
            assert_eq!(record_is(app, id, "active").await["drift"], json!([]));
            assert_eq!(bed.contents("alpha", kind).await, stood);
        }
        destroyed(app, &node).await;
        assert_eq!((bed.records().await, hosts.servers()), (before, vec![]), "nothing is left");
    })
    .await;
}

/// Both addresses of a name by hand, one after the other; each goes alone.
async fn two_addresses_of_one_name_stand_beside_each_other<B: DnsBed>() {
    on_each(setup::<B>(), async |app: &TestApp| {
        let bed = B::start().await;
        let before = bed.records().await;
        let provider = connected(app, &bed, "names").await;
        let wish = |kind: &str, content: &str| json!({"provider_id": provider, "zone": bed.zone(), "name": "alpha", "type": kind, "content": content});
        let mut ids = Vec::new();
        for (kind, content) in [("A", "192.0.2.7"), ("AAAA", "2001:db8::7")] {
            let (id, job) = create(app, wish(kind, content)).await;
            let over = ended(app, &job).await;
            assert_eq!(over["status"], "succeeded", "{kind}: {over:#}");
            ids.push(id);
        }
        let third = app.admin().post("/api/v1/dns-records", wish("A", "192.0.2.8")).await;
        assert_eq!(pointers(&third.is_problem(422, "validation")), ["/name"]);
        let alias = app.admin().post("/api/v1/dns-records", wish("CNAME", "www.example.org")).await;
        assert_eq!(pointers(&alias.is_problem(422, "validation")), ["/name"]);
        let job = begin(app, &ids[0], "delete-dns-record").await;
        app.job_is(&job, "succeeded").await;
        assert_eq!((bed.contents("alpha", "A").await.len(), bed.contents("alpha", "AAAA").await.len()), (0, 1));
        let job = begin(app, &ids[1], "delete-dns-record").await;
        app.job_is(&job, "succeeded").await;
        assert_eq!(bed.records().await, before, "byte for byte");
    })
    .await;
}

macro_rules! at {
    ($name:ident: $bed:ty) => {
        mod $name {
            use crate::dns_beds::DnsBed;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn one_of_two_addresses_is_written_again() {
                if <$bed>::is_here() {
                    super::one_of_two_addresses_is_written_again::<$bed>().await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn two_addresses_of_one_name_stand_beside_each_other() {
                if <$bed>::is_here() {
                    super::two_addresses_of_one_name_stand_beside_each_other::<$bed>().await;
                }
            }
        }
    };
}

at!(cloudflare: crate::dns_beds::cloudflare::CloudflareBed);
at!(bind9: crate::dns_beds::bind::BindBed);
at!(hetzner: crate::dns_beds::hetzner::HetznerBed);

#[tokio::test]
async fn a_job_takes_up_only_what_its_record_lets() {
    on_each(quick(), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        let node = in_service(app, &servers).await;
        let (lost, job) = refused(app, &sim, of_node(&provider, "alpha", &node)).await;
        destroyed(app, &node).await;
        assert_eq!(sim.remove_records(&fqdn("alpha"), "A"), 1);
        act_on(app, &lost, "retry-dns-record").await.is_problem(409, "action_blocked");
        let shown = app.admin().get(&format!("/api/v1/jobs/{job}")).await.json();
        let retry = shown["actions"].as_array().unwrap().iter().find(|it| it["identity"] == "retry-job").unwrap();
        assert_eq!(retry["enabled"], json!(false), "{retry:#}");
        let path = format!("/api/v1/jobs/{job}/retry");
        app.admin().post(&path, json!({})).await.is_problem(409, "action_blocked");
        assert_eq!(standing(&sim), []);

        // What was to be taken over is taken over, and nothing is made in its place.
        let (id, _) = refused(app, &sim, wish(&provider, "beta")).await;
        let no = CloudflareEffect::Status { status: 403, code: 10_000, message: "no".to_owned(), body: None };
        sim.fault(CloudflareFault::next(CloudflareCall::RecordEdit, no));
        let adoption = begin(app, &id, "adopt-dns-record").await;
        app.job_is(&adoption, "failed").await;
        let again = app.admin().post(&format!("/api/v1/jobs/{adoption}/retry"), json!({})).await;
        assert_eq!(again.status, 200, "{}", again.body);
        app.job_is(again.json()["id"].as_str().unwrap(), "succeeded").await;
        let record = record_is(app, &id, "active").await;
        assert_eq!((&record["adopted"], &record["content"]), (&json!(true), &json!("198.51.100.1")), "{record:#}");
    })
    .await;
}

#[tokio::test]
async fn a_failed_record_whose_name_another_one_has_is_deleted_and_never_retried() {
    on_each(quick(), async |app: &TestApp| {
        let sim = cloudflare().await;
        let provider = zones(app, &sim).await;
        let (old, failed) = refused(app, &sim, wish(&provider, "alpha")).await;
        assert_eq!(sim.remove_records(&fqdn("alpha"), "A"), 1);
        let (new, job) = create(app, wish(&provider, "alpha")).await;
        app.job_is(&job, "succeeded").await;
        let stands = sim.records(crate::dns::ZONE);
        for identity in ["retry-dns-record", "adopt-dns-record"] {
            let problem = act_on(app, &old, identity).await.is_problem(409, "action_blocked");
            assert!(problem.to_string().contains(&new), "{problem:#}");
        }
        app.admin().post(&format!("/api/v1/jobs/{failed}/retry"), json!({})).await.is_problem(409, "action_blocked");
        let job = begin(app, &old, "delete-dns-record").await;
        app.job_is(&job, "succeeded").await;
        record_is(app, &old, "deleted").await;
        assert_eq!(
            (record(app, &new).await["state"].clone(), sim.records(crate::dns::ZONE)),
            (json!("active"), stands)
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_adopted_is_what_a_person_confirmed() {
    on_each(quick(), async |app: &TestApp| {
        let sim = cloudflare().await;
        let provider = zones(app, &sim).await;
        let (id, _) = refused(app, &sim, wish(&provider, "alpha")).await;
        let other = RecordChange { content: Some("198.51.100.10".to_owned()), ..RecordChange::default() };
        assert_eq!(sim.change_records(&fqdn("alpha"), None, &other), 1);
        let before = sim.records(crate::dns::ZONE);
        let adoption = begin(app, &id, "adopt-dns-record").await;
        let failed = app.job_is(&adoption, "failed").await;
        assert_eq!(failed["error"]["code"], "DNS_NAME_CONFLICT", "{failed:#}");
        assert_eq!(sim.records(crate::dns::ZONE), before, "byte for byte");
        let seen = record_is(app, &id, "failed").await;
        let told = seen["drift"][0]["observed"].as_str().unwrap();
        assert!(told.ends_with(" 198.51.100.10"), "what stands there now is told: {seen:#}");
        let adoption = begin(app, &id, "adopt-dns-record").await;
        app.job_is(&adoption, "succeeded").await;
        assert_eq!(record_is(app, &id, "active").await["content"], "198.51.100.10");

        // What is of another type is in the way, and is not to be had by adoption.
        foreign(&sim, "beta", "AAAA", "2001:db8::99");
        let (id, job) = create(app, wish(&provider, "beta")).await;
        app.job_is(&job, "failed").await;
        let failed = record_is(app, &id, "failed").await;
        assert!(failed["drift"][0]["observed"].as_str().unwrap().contains("2001:db8::99"), "{failed:#}");
        assert!(!failed["drift"][0]["guidance"].as_str().unwrap().contains("or adopt it"), "{failed:#}");
        act_on(app, &id, "adopt-dns-record").await.is_problem(409, "action_blocked");
    })
    .await;
}

#[tokio::test]
async fn only_what_was_made_with_a_node_goes_with_it_alone() {
    on_each(quick(), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        let dns = json!({"dns": {"provider_id": provider, "zone": crate::dns::ZONE, "name": "alpha"}});
        let (node, job) = acquire(app, &servers, dns).await;
        let done = app.job_is(&job, "succeeded").await;
        assert_eq!(step(&done, "create_record")["status"], "succeeded");
        let (by_hand, job) = create(app, of_node(&provider, "more", &node)).await;
        app.job_is(&job, "succeeded").await;
        let own = records(app).await.into_iter().find(|it| it["fqdn"] == json!(fqdn("alpha")) && it["type"] == "A");
        let own = own.unwrap()["id"].as_str().unwrap().to_owned();

        let changed = RecordChange { content: Some("203.0.113.9".to_owned()), ..RecordChange::default() };
        sim.change_records(&fqdn("alpha"), Some("A"), &changed);
        let checked = act_on(app, &own, "check-dns-record").await.json();
        let guidance = checked["drift"][0]["guidance"].as_str().unwrap();
        assert!(guidance.contains("hange it back"), "{guidance}");
        for identity in ["delete-dns-record", "give-up-dns-record"] {
            act_on(app, &own, identity).await.is_problem(409, "action_blocked");
        }
        let job = begin(app, &by_hand, "delete-dns-record").await;
        app.job_is(&job, "succeeded").await;
        assert!(standing(&sim).iter().all(|it| it.0 == fqdn("alpha")), "{:?}", standing(&sim));
    })
    .await;
}
