//! DNS records over REST, against a simulated vendor: made with a node or by hand, taken away with it
//! or by hand, and nothing that is not ours is ever touched.

use domain::time::{HOUR, MINUTE};
use serde_json::{Value, json};
use simulators::{
    CallLimit, Cloudflare, CloudflareCall, CloudflareConfig, CloudflareEffect, CloudflareFault, CloudflareToken,
    RecordChange, RecordSeed,
};

use crate::{
    allocations::all,
    app::{Reply, Setup, TestApp, on_each},
    nodes::{acquire, act, connect, step, vendor},
};

pub const ZONE: &str = "hangar.test";

pub async fn cloudflare() -> Cloudflare {
    cloudflare_with(CloudflareConfig::default()).await
}

pub async fn cloudflare_with(config: CloudflareConfig) -> Cloudflare {
    let limit = CallLimit { calls: 1_000_000, ..CallLimit::default() };
    let zones = vec![ZONE.to_owned(), "other.test".to_owned()];
    Cloudflare::start(CloudflareConfig { zones, limit, ..config }).await.unwrap()
}

/// Connects the account that holds the zones.
pub async fn zones(app: &TestApp, sim: &Cloudflare) -> String {
    let settings = json!({"endpoint": sim.endpoint(), "dns_servers": sim.dns_address().to_string()});
    let secret = json!({"api_token": "c".repeat(40)});
    let body = json!({"kind": "cloudflare", "name": "names", "settings": settings, "secret": secret});
    let made = app.admin().post("/api/v1/providers", body).await;
    assert_eq!((made.status, &made.json()["status"]), (201, &json!("connected")), "{}", made.body);
    made.json()["id"].as_str().unwrap().to_owned()
}

/// With a worker; names are not waited for long.
pub fn quick() -> Setup {
    Setup::usual().with("VM_POOL_JSON", "").with_jobs().with_work(|work| {
        work.name_deadline = std::time::Duration::from_millis(1_500);
    })
}

pub fn wish(provider: &str, name: &str) -> Value {
    json!({"provider_id": provider, "zone": ZONE, "name": name, "type": "A", "content": "192.0.2.7"})
}

/// Asks for a record; its id and its job's.
pub async fn create(app: &TestApp, wish: Value) -> (String, String) {
    let reply = app.admin().post("/api/v1/dns-records", wish).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    let id = |key: &str| reply.json()[key].as_str().unwrap().to_owned();
    (id("dns_record_id"), id("job_id"))
}

pub async fn record_is(app: &TestApp, id: &str, state: &str) -> Value {
    app.until(&format!("/api/v1/dns-records/{id}"), state, |r| r["state"] == state && is_at_rest(r)).await
}

fn is_at_rest(record: &Value) -> bool {
    let status = &record["job"]["status"];
    record["job"].is_null() || (status != "queued" && status != "running")
}

pub async fn act_on(app: &TestApp, id: &str, identity: &str) -> Reply {
    app.admin().post(&format!("/api/v1/dns-records/{id}/actions/{identity}"), json!({})).await
}

/// Begins an action that is a job; the job's id.
pub async fn begin(app: &TestApp, id: &str, identity: &str) -> String {
    let reply = act_on(app, id, identity).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    reply.json()["job_id"].as_str().unwrap().to_owned()
}

/// What stands in the zone: name, type, content.
pub fn standing(sim: &Cloudflare) -> Vec<(String, String, String)> {
    let text = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
    let mut all: Vec<_> =
        sim.records(ZONE).iter().map(|it| (text(it, "name"), text(it, "type"), text(it, "content"))).collect();
    all.sort();
    all
}

pub fn fqdn(name: &str) -> String {
    format!("{name}.{ZONE}")
}

fn is(name: &str, kind: &str, content: &str) -> (String, String, String) {
    (fqdn(name), kind.to_owned(), content.to_owned())
}

pub fn foreign(sim: &Cloudflare, name: &str, kind: &str, content: &str) {
    assert!(sim.put_records(&[RecordSeed::new(&fqdn(name), kind, content)]));
}

pub fn pointers(problem: &Value) -> Vec<&str> {
    let mut all: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|it| it["pointer"].as_str().unwrap()).collect();
    all.sort_unstable();
    all
}

pub async fn records(app: &TestApp) -> Vec<Value> {
    all(&app.admin(), "/api/v1/dns-records").await
}

#[tokio::test]
async fn a_record_is_made_shown_and_deleted_by_hand() {
    on_each(quick(), async |app: &TestApp| {
        let sim = cloudflare().await;
        let provider = zones(app, &sim).await;
        let held = app.admin().get(&format!("/api/v1/providers/{provider}/zones")).await.json();
        let held: Vec<_> = held.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(held, [ZONE, "other.test"]);

        let (id, job) = create(app, wish(&provider, "alpha")).await;
        let done = app.job_is(&job, "succeeded").await;
        assert_eq!(step(&done, "create_record")["status"], "succeeded");
        assert_eq!(step(&done, "name_visible")["detail"], "They do.");
        let record = record_is(app, &id, "active").await;
        assert_eq!((&record["fqdn"], &record["type"]), (&json!(fqdn("alpha")), &json!("A")));
        assert!(record["vendor_id"].is_string() && record["marker"].as_str().unwrap().ends_with(&id), "{record:#}");
        assert_eq!(sim.records(ZONE)[0]["comment"], record["marker"], "what is shown is what stands there");
        assert_eq!(standing(&sim), [is("alpha", "A", "192.0.2.7")]);
        let listed = app.admin().get("/api/v1/dns-records?status=active&q=alpha").await.json();
        assert_eq!(listed["items"][0]["id"], json!(id));

        let taken = app.admin().post("/api/v1/dns-records", wish(&provider, "alpha")).await;
        let problem = taken.is_problem(422, "validation");
        assert_eq!(pointers(&problem), ["/name"], "{problem:#}");
        let blocked = app.admin().method("DELETE", &format!("/api/v1/providers/{provider}"), json!({})).await;
        blocked.is_problem(409, "action_blocked");

        let checked = act_on(app, &id, "check-dns-record").await;
        assert_eq!((checked.status, &checked.json()["drift"]), (200, &json!([])), "{}", checked.body);
        let reply = app.admin().method("DELETE", &format!("/api/v1/dns-records/{id}"), json!({})).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        app.job_is(reply.json()["job_id"].as_str().unwrap(), "succeeded").await;
        record_is(app, &id, "deleted").await;
        assert_eq!(standing(&sim), []);
        act_on(app, &id, "delete-dns-record").await.is_problem(409, "action_blocked");

        let history = app.admin().get(&format!("/api/v1/dns-records/{id}/history")).await.json();
        let told: Vec<_> =
            history["items"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap()).collect();
        let refused = "delete-dns-record";
        assert_eq!(told, [refused, "dns.deleted", "delete-dns-record", "dns.created", "create-dns-record"]);
        // The name is free again.
        let (again, job) = create(app, wish(&provider, "alpha")).await;
        app.job_is(&job, "succeeded").await;
        let job = app.admin().post("/api/v1/infra/delete-dns-record", json!({"dns_record_id": again})).await;
        app.job_is(job.json()["job_id"].as_str().unwrap(), "succeeded").await;
        assert_eq!(standing(&sim), []);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_with_its_field() {
    on_each(quick(), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        let with = |more: Value| {
            let mut wish = wish(&provider, "alpha");
            wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            wish
        };
        for (more, expected) in [
            (json!({"content": "2001:db8::1"}), "/content"),
            (json!({"type": "AAAA"}), "/content"),
            (json!({"type": "CNAME", "content": "nowhere"}), "/content"),
            (json!({"type": "TXT", "content": ""}), "/content"),
            (json!({"type": "TXT", "content": "words", "proxied": true}), "/proxied"),
            (json!({"ttl": 30}), "/ttl"),
            (json!({"zone": "example.org"}), "/zone"),
            (json!({"provider_id": "prv_0190a5b4000070008000000000000001"}), "/provider_id"),
            (json!({"node_id": "nod_0190a5b4000070008000000000000001"}), "/node_id"),
        ] {
            let refused = app.admin().post("/api/v1/dns-records", with(more.clone())).await;
            assert_eq!(pointers(&refused.is_problem(422, "validation")), [expected], "{more}");
        }
        let node = |dns: Value| json!({"provider_id": servers, "name": "alpha", "profile": "none", "dns": dns});
        let dns = |more: Value| {
            let mut dns = json!({"provider_id": provider, "zone": ZONE, "name": "alpha"});
            dns.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            node(dns)
        };
        for (more, expected) in [
            (json!({"name": "*.lab"}), "/dns/name"),
            (json!({"name": "not a name"}), "/dns/name"),
            (json!({"zone": "example.org"}), "/dns/zone"),
            (json!({"zone": "x"}), "/dns/zone"),
            (json!({"ttl": 90_000}), "/dns/ttl"),
        ] {
            let refused = app.admin().post("/api/v1/nodes", dns(more.clone())).await;
            assert_eq!(pointers(&refused.is_problem(422, "validation")), [expected], "{more}");
        }
        assert_eq!((records(app).await.len(), standing(&sim), hosts.servers()), (0, vec![], vec![]));
    })
    .await;
}

#[tokio::test]
async fn one_call_makes_server_and_record_and_one_destroys_both() {
    on_each(quick(), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        foreign(&sim, "www", "A", "198.51.100.1");
        let before = sim.records(ZONE);
        let dns = json!({"provider_id": provider, "zone": ZONE, "name": "alpha", "ttl": 300});
        let more = json!({"dns": dns, "cockpit_url": "https://{fqdn}:8443/", "pool": "default"});
        let (node, job) = acquire(app, &servers, more).await;
        let done = app.job_is(&job, "succeeded").await;
        for name in ["create_record", "name_visible", "reverse_dns"] {
            assert_eq!(step(&done, name)["status"], "succeeded", "{done:#}");
        }
        let shown = app.node_is(&node, "ready").await;
        assert_eq!(shown["fqdn"], json!(fqdn("alpha")));
        assert_eq!(shown["cockpit_url"], format!("https://{}:8443/", fqdn("alpha")));
        let (ipv4, ipv6) = (shown["ipv4"].as_str().unwrap(), shown["ipv6"].as_str().unwrap());
        let www = is("www", "A", "198.51.100.1");
        assert_eq!(standing(&sim), [is("alpha", "A", ipv4), is("alpha", "AAAA", ipv6), www.clone()]);
        let own = records(app).await;
        assert_eq!(own.len(), 2);
        for record in &own {
            assert_eq!((&record["state"], &record["node_name"]), (&json!("active"), &json!("alpha")), "{record:#}");
            // The name of a node goes with the node.
            let id = record["id"].as_str().unwrap();
            let problem = act_on(app, id, "delete-dns-record").await.is_problem(409, "action_blocked");
            assert!(problem["recovery"]["next_step"].as_str().unwrap().contains(&node), "{problem:#}");
        }
        // A second node of this name is refused before anything is asked of a vendor.
        let taken = json!({"provider_id": servers, "name": "beta", "server_type": "cx23", "location": "fsn1",
            "image": "debian-12", "profile": "none", "dns": {"provider_id": provider, "zone": ZONE, "name": "alpha"}});
        let problem = app.admin().post("/api/v1/nodes", taken).await.is_problem(422, "validation");
        assert_eq!(pointers(&problem), ["/dns/name"], "{problem:#}");

        // What is laid anew keeps its name, since its address stays.
        let rebuilt = act(app, &node, "rebuild-node").await;
        app.job_is(rebuilt.json()["job_id"].as_str().unwrap(), "succeeded").await;
        assert_eq!(app.node_is(&node, "ready").await["fqdn"], json!(fqdn("alpha")));
        assert_eq!(standing(&sim).len(), 3);

        let destroyed = act(app, &node, "destroy-node").await;
        let done = app.job_is(destroyed.json()["job_id"].as_str().unwrap(), "succeeded").await;
        let names: Vec<_> = done["steps"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
        assert_eq!(names[0], "delete_record", "names first, then the server: {names:?}");
        app.node_is(&node, "destroyed").await;
        assert_eq!((hosts.servers(), standing(&sim)), (vec![], vec![www]));
        assert_eq!(sim.records(ZONE), before, "byte for byte");
        assert!(records(app).await.iter().all(|it| it["state"] == "deleted"));
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_taken_leaves_no_server_and_says_what_stands_there() {
    on_each(quick(), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        foreign(&sim, "alpha", "A", "198.51.100.1");
        let before = sim.records(ZONE);
        let dns = json!({"provider_id": provider, "zone": ZONE, "name": "alpha"});
        let (node, job) = acquire(app, &servers, json!({"dns": dns})).await;
        app.job_is(&job, "failed").await;
        let failed = app.node_is(&node, "failed").await;
        assert_eq!((&failed["code"], &failed["failed_stage"]), (&json!("DNS_NAME_CONFLICT"), &json!("naming")));
        assert_eq!((&failed["cleanup"], hosts.servers()), (&json!("done"), vec![]), "{failed:#}");
        assert_eq!(sim.records(ZONE), before, "byte for byte");
        let own = records(app).await;
        assert_eq!(own.len(), 2);
        for record in &own {
            assert_eq!((&record["state"], &record["code"]), (&json!("failed"), &json!("DNS_NAME_CONFLICT")));
            assert!(record["message"].as_str().unwrap().contains(&fqdn("alpha")), "{record:#}");
            assert_eq!(record["cleanup"], "done");
            let drift = &record["drift"][0];
            assert!(drift["observed"].as_str().unwrap().contains("198.51.100.1"), "what stands there: {record:#}");
            assert!(drift["guidance"].as_str().unwrap().contains("retry"), "{record:#}");
        }
        // Its node is not in use, so the name is not written alone.
        let a = own.iter().find(|it| it["type"] == "A").unwrap()["id"].as_str().unwrap();
        act_on(app, a, "retry-dns-record").await.is_problem(409, "action_blocked");

        // Once the name is free, the same node is tried again under it.
        assert_eq!(sim.remove_records(&fqdn("alpha"), "A"), 1);
        let retried = act(app, &node, "retry-node").await;
        app.job_is(retried.json()["job_id"].as_str().unwrap(), "succeeded").await;
        assert_eq!(app.node_is(&node, "ready").await["fqdn"], json!(fqdn("alpha")));
        assert_eq!(standing(&sim).len(), 2);
        let destroyed = act(app, &node, "destroy-node").await;
        app.job_is(destroyed.json()["job_id"].as_str().unwrap(), "succeeded").await;
        assert_eq!((standing(&sim), hosts.servers()), (vec![], vec![]));
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_acquisition_leaves_neither_name_nor_server() {
    on_each(quick(), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        let hang = CloudflareEffect::Hang { after_effect: true };
        let fault = sim.fault(CloudflareFault { nth: 2, ..CloudflareFault::next(CloudflareCall::RecordCreate, hang) });
        let dns = json!({"provider_id": provider, "zone": ZONE, "name": "alpha"});
        let (node, job) = acquire(app, &servers, json!({"dns": dns})).await;
        sim.fault_hit(fault).await;
        assert_eq!((standing(&sim).len(), hosts.servers().len()), (2, 1));
        let cancelled = app.admin().post(&format!("/api/v1/jobs/{job}/cancel"), json!({})).await;
        assert_eq!(cancelled.status, 200, "{}", cancelled.body);
        app.job_is(&job, "cancelled").await;
        let failed = app.node_is(&node, "failed").await;
        assert_eq!((&failed["code"], &failed["cleanup"]), (&json!("JOB_CANCELLED"), &json!("done")));
        assert_eq!((standing(&sim), hosts.servers()), (vec![], vec![]));
        assert!(records(app).await.iter().all(|it| it["state"] == "deleted"));
    })
    .await;
}

#[tokio::test]
async fn a_name_that_cannot_be_undone_is_pending_and_looked_for_again() {
    on_each(quick(), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        let dns = json!({"provider_id": provider, "zone": ZONE, "name": "alpha"});
        let (node, job) = acquire(app, &servers, json!({"dns": dns})).await;
        app.job_is(&job, "succeeded").await;
        let refused = CloudflareEffect::Status { status: 403, code: 10_000, message: "no".to_owned(), body: None };
        sim.fault(CloudflareFault { times: 10_000, ..CloudflareFault::next(CloudflareCall::Any, refused) });
        // The server does not go on billing because the names cannot be taken away.
        let destroyed = act(app, &node, "destroy-node").await;
        app.job_is(destroyed.json()["job_id"].as_str().unwrap(), "succeeded").await;
        app.node_is(&node, "destroyed").await;
        assert_eq!((hosts.servers(), standing(&sim).len()), (vec![], 2));
        let own = records(app).await;
        for record in &own {
            assert_eq!((&record["state"], &record["cleanup"]), (&json!("failed"), &json!("pending")), "{record:#}");
        }
        let overview = app.services.overview(&domain::access::Principal::admin_secret()).await.unwrap();
        assert!(overview.attention.iter().any(|it| it.href.starts_with("/dns/")), "{:#?}", overview.attention);
        sim.clear_faults();
        for record in &own {
            let path = format!("/api/v1/dns-records/{}", record["id"].as_str().unwrap());
            app.advance(15 * MINUTE).await;
            app.until(&path, "gone", |it| it["state"] == "deleted" && it["cleanup"] == "done").await;
        }
        assert_eq!(standing(&sim), []);
    })
    .await;
}

#[tokio::test]
async fn what_somebody_changed_is_left_alone_until_a_person_adopts_or_gives_it_up() {
    on_each(quick(), async |app: &TestApp| {
        let sim = cloudflare().await;
        let provider = zones(app, &sim).await;
        let mut ids = Vec::new();
        for name in ["alpha", "beta", "gamma"] {
            let (id, job) = create(app, wish(&provider, name)).await;
            app.job_is(&job, "succeeded").await;
            ids.push(id);
        }
        let changed = RecordChange { content: Some("203.0.113.9".to_owned()), ..RecordChange::default() };
        for name in ["alpha", "beta"] {
            assert_eq!(sim.change_records(&fqdn(name), None, &changed), 1);
        }
        assert_eq!(sim.remove_records(&fqdn("gamma"), "A"), 1);
        let before = sim.records(ZONE);
        for id in &ids[..2] {
            let job = begin(app, id, "delete-dns-record").await;
            let failed = app.job_is(&job, "failed").await;
            assert_eq!(failed["error"]["code"], "DNS_NAME_CONFLICT");
            assert!(failed["error"]["message"].as_str().unwrap().contains("203.0.113.9"), "{failed:#}");
            let record = record_is(app, id, "active").await;
            assert_eq!(record["code"], "DNS_NAME_CONFLICT", "{record:#}");
            assert!(record["drift"][0]["observed"].as_str().unwrap().contains("203.0.113.9"), "{record:#}");
        }
        assert_eq!(sim.records(ZONE), before, "byte for byte");

        // Adopted, it is Hangar's own, and may be deleted.
        let adopted = begin(app, &ids[0], "adopt-dns-record").await;
        app.job_is(&adopted, "succeeded").await;
        let record = record_is(app, &ids[0], "active").await;
        assert_eq!((&record["content"], &record["adopted"]), (&json!("203.0.113.9"), &json!(true)), "{record:#}");
        assert_eq!((&record["drift"], &record["code"]), (&json!([]), &json!(null)));
        let deleted = begin(app, &ids[0], "delete-dns-record").await;
        app.job_is(&deleted, "succeeded").await;

        // Given up, it stays in the zone and is nobody's here.
        let given = act_on(app, &ids[1], "give-up-dns-record").await;
        assert_eq!(given.status, 200, "{}", given.body);
        let record = record_is(app, &ids[1], "deleted").await;
        assert!(record["drift"][0]["observed"].as_str().unwrap().contains("203.0.113.9"), "kept: {record:#}");
        assert_eq!(standing(&sim), [is("beta", "A", "203.0.113.9")]);

        // What somebody took away is told, and written again on request.
        let checked = act_on(app, &ids[2], "check-dns-record").await.json();
        assert_eq!(checked["drift"][0]["observed"], "gone", "{checked:#}");
        let again = begin(app, &ids[2], "retry-dns-record").await;
        app.job_is(&again, "succeeded").await;
        assert_eq!(record_is(app, &ids[2], "active").await["drift"], json!([]));
        assert_eq!(standing(&sim).len(), 2);
        let deleted = begin(app, &ids[2], "delete-dns-record").await;
        app.job_is(&deleted, "succeeded").await;
        assert_eq!(standing(&sim).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_foreign_record_is_adopted_by_an_explicit_action_alone() {
    on_each(quick(), async |app: &TestApp| {
        let sim = cloudflare().await;
        let provider = zones(app, &sim).await;
        foreign(&sim, "alpha", "A", "198.51.100.1");
        let before = sim.records(ZONE);
        let (id, job) = create(app, wish(&provider, "alpha")).await;
        let failed = app.job_is(&job, "failed").await;
        assert_eq!(failed["error"]["code"], "DNS_NAME_CONFLICT");
        let record = record_is(app, &id, "failed").await;
        assert_eq!((&record["cleanup"], sim.records(ZONE)), (&json!("done"), before.clone()), "{record:#}");
        let retried = begin(app, &id, "retry-dns-record").await;
        app.job_is(&retried, "failed").await;
        record_is(app, &id, "failed").await;
        assert_eq!(sim.records(ZONE), before, "byte for byte");

        let adopted = begin(app, &id, "adopt-dns-record").await;
        app.job_is(&adopted, "succeeded").await;
        let record = record_is(app, &id, "active").await;
        assert_eq!((&record["content"], &record["adopted"]), (&json!("198.51.100.1"), &json!(true)));
        let stands = &sim.records(ZONE)[0];
        assert_eq!((&stands["id"], &stands["comment"]), (&before[0]["id"], &record["marker"]), "the very same record");
        let history = app.admin().get(&format!("/api/v1/dns-records/{id}/history")).await.json();
        let told: Vec<_> =
            history["items"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap()).collect();
        assert_eq!(told[..2], ["dns.adopted", "adopt-dns-record"], "{told:?}");
        act_on(app, &id, "adopt-dns-record").await.is_problem(409, "action_blocked");
        let deleted = begin(app, &id, "delete-dns-record").await;
        app.job_is(&deleted, "succeeded").await;
        assert_eq!(standing(&sim), []);
    })
    .await;
}

#[tokio::test]
async fn the_zones_are_compared_and_what_nobody_answers_for_is_swept() {
    on_each(quick(), async |app: &TestApp| {
        let sim = cloudflare().await;
        let provider = zones(app, &sim).await;
        let (same, job) = create(app, wish(&provider, "same")).await;
        app.job_is(&job, "succeeded").await;
        let mut drifted = Vec::new();
        for name in ["gone", "changed", "foreign"] {
            let (id, job) = create(app, wish(&provider, name)).await;
            app.job_is(&job, "succeeded").await;
            drifted.push(id);
        }
        sim.remove_records(&fqdn("gone"), "A");
        let changed = RecordChange { content: Some("203.0.113.9".to_owned()), ..RecordChange::default() };
        sim.change_records(&fqdn("changed"), None, &changed);
        let unmarked = RecordChange { comment: Some(String::new()), ..RecordChange::default() };
        sim.change_records(&fqdn("foreign"), None, &unmarked);
        // Ours by its marker, and of no record here; and one of another installation.
        let marker = |instance: &str| Some(format!("hangar {instance} dns_0190a5b4000070008000000000000001"));
        let left = |name: &str, instance: &str| RecordSeed {
            comment: marker(instance),
            ..RecordSeed::new(&fqdn(name), "A", "192.0.2.99")
        };
        assert!(sim.put_records(&[left("left", app.services.instance()), left("theirs", "another")]));
        app.observed().await;
        let path = |id: &str| format!("/api/v1/dns-records/{id}");
        for (id, observed) in drifted.iter().zip(["gone", "203.0.113.9", "without our marker"]) {
            let record = app.admin().get(&path(id)).await.json();
            assert!(record["drift"][0]["observed"].as_str().unwrap().contains(observed), "{record:#}");
            assert!(record["drift"][0]["guidance"].as_str().unwrap().ends_with('.'));
        }
        let record = app.admin().get(&path(&same)).await.json();
        assert_eq!((&record["drift"], &record["freshness"]["stale"]), (&json!([]), &json!(false)));

        let report = app.admin().get("/api/v1/orphans").await.json();
        let items = report["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{report:#}");
        assert_eq!((&items[0]["subject"], &items[0]["kind"]), (&json!("dns_record"), &json!("unknown")));
        assert!(items[0]["name"].as_str().unwrap().starts_with(&fqdn("left")));
        for _ in 0..30 {
            app.observed().await;
        }
        let stands = standing(&sim);
        let swept = app.admin().post("/api/v1/orphans/sweep", json!({})).await.json();
        assert_eq!(swept["swept"].as_array().unwrap().len(), 1, "{swept:#}");
        app.job_is(swept["jobs"][0].as_str().unwrap(), "succeeded").await;
        let without: Vec<_> = stands.into_iter().filter(|it| it.0 != fqdn("left")).collect();
        assert_eq!(standing(&sim), without, "that one alone is gone");
        app.observed().await;
        assert_eq!(app.admin().get("/api/v1/orphans").await.json()["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn the_machines_of_a_pool_get_names_of_their_own() {
    on_each(quick(), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        let dns = json!({"provider_id": provider, "zone": ZONE, "name": "web"});
        let template = json!({"provider_id": servers, "name": "web", "server_type": "cx23", "location": "fsn1",
            "image": "debian-12", "profile": "none", "dns": dns});
        let pool = json!({"name": "webs", "target_ready": 2, "template": template});
        let made = app.admin().post("/api/v1/pools", pool).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let path = "/api/v1/pools/webs";
        app.watched(app.until(path, "full", |pool| pool["counts"]["available"] == 2)).await;
        let nodes = all(&app.admin(), "/api/v1/nodes").await;
        let mut fqdns: Vec<_> = nodes.iter().map(|it| it["fqdn"].as_str().unwrap().to_owned()).collect();
        fqdns.sort();
        fqdns.dedup();
        assert_eq!(fqdns.len(), 2);
        for node in &nodes {
            let id = node["id"].as_str().unwrap();
            let own = fqdn(&format!("web-{}", &id[id.len() - 8..]));
            assert_eq!(node["fqdn"], json!(own));
        }
        assert_eq!(standing(&sim).len(), 4);
        let emptied = app.admin().method("PATCH", path, json!({"target_ready": 0})).await;
        assert_eq!(emptied.status, 200, "{}", emptied.body);
        let none_left =
            app.until("/api/v1/nodes?status=destroyed", "both", |page| page["items"].as_array().unwrap().len() == 2);
        app.watched(none_left).await;
        assert_eq!((standing(&sim), hosts.servers()), (vec![], vec![]));
    })
    .await;
}

#[tokio::test]
async fn of_a_crowded_zone_exactly_ours_are_taken_away() {
    on_each(quick(), async |app: &TestApp| {
        let sim = cloudflare_with(CloudflareConfig { record_quota: 6_000, ..CloudflareConfig::default() }).await;
        let provider = zones(app, &sim).await;
        let theirs: Vec<_> =
            (0..5_000).map(|n| RecordSeed::new(&fqdn(&format!("f{n}")), "A", "198.51.100.1")).collect();
        assert!(sim.put_records(&theirs));
        let before = sim.records(ZONE);
        let mut ids = Vec::new();
        for n in 0..100 {
            ids.push(create(app, wish(&provider, &format!("own{n}"))).await);
        }
        for (_, job) in &ids {
            app.job_is(job, "succeeded").await;
        }
        assert_eq!(sim.records(ZONE).len(), 5_100);
        let mut jobs = Vec::new();
        for (id, _) in &ids {
            jobs.push(begin(app, id, "delete-dns-record").await);
        }
        for job in &jobs {
            app.job_is(job, "succeeded").await;
        }
        assert_eq!(sim.records(ZONE), before, "byte for byte");
    })
    .await;
}

#[tokio::test]
async fn an_account_of_names_is_none_for_machines() {
    on_each(quick(), async |app: &TestApp| {
        let sim = cloudflare().await;
        let names = zones(app, &sim).await;
        let admin = domain::access::Principal::admin_secret();
        let asked = sim.requests().len();
        app.services.catalogs_refresh().await.unwrap();
        assert_eq!(app.admin().get(&format!("/api/v1/providers/{names}/catalog")).await.status, 422);
        assert_eq!(sim.requests().len(), asked, "it has no catalogue that could be asked for");
        let options = app.services.acquire_options(&admin, None).await.unwrap();
        assert_eq!((options.providers.len(), options.selected.as_ref(), options.dns.len()), (0, None, 1));
        assert!(!app.services.overview(&admin).await.unwrap().first_steps.account, "nodes need another one");
        let wish = json!({"provider_id": names, "name": "alpha", "profile": "none"});
        let refused = app.admin().post("/api/v1/nodes", wish).await;
        assert_eq!(pointers(&refused.is_problem(422, "validation")), ["/provider_id"]);

        let servers = connect(app, &vendor().await).await;
        let options = app.services.acquire_options(&admin, None).await.unwrap();
        let offered: Vec<_> = options.providers.iter().map(|it| it.id.to_string()).collect();
        assert_eq!((offered, options.dns.len()), (vec![servers], 2), "and who sells servers may hold zones too");
        assert!(app.services.overview(&admin).await.unwrap().first_steps.account);
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_credential_is_told_in_time() {
    on_each(quick(), async |app: &TestApp| {
        let token = CloudflareToken {
            expires_on: Some("2026-12-20T00:00:00Z".to_owned()),
            ..CloudflareToken::new("c".repeat(40))
        };
        let sim = cloudflare_with(CloudflareConfig { tokens: vec![token], ..CloudflareConfig::default() }).await;
        let provider = zones(app, &sim).await;
        let admin = domain::access::Principal::admin_secret();
        let told = async || {
            let overview = app.services.overview(&admin).await.unwrap();
            overview.attention.iter().filter(|it| it.text.contains("credential of names")).count()
        };
        let shown = app.admin().get(&format!("/api/v1/providers/{provider}")).await.json();
        assert!(shown["expires_at"].as_str().unwrap().starts_with("2026-12-20"), "{shown:#}");
        assert!(shown["guidance"][0].as_str().unwrap().contains("2026-12-20"), "{shown:#}");
        assert_eq!(told().await, 0, "a month before");
        app.advance(16 * 24 * HOUR).await;
        assert_eq!(told().await, 1, "two weeks before");
        let shown = app.admin().get(&format!("/api/v1/providers/{provider}")).await.json();
        assert!(shown["guidance"][0].as_str().unwrap().contains("Replace secret"), "{shown:#}");
    })
    .await;
}
