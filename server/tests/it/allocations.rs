//! Asking, waiting, extending, giving back and running out: what a person may count on.

use std::collections::{BTreeMap, BTreeSet};

use domain::time::{HOUR, MINUTE};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{Client, Reply, Setup, TestApp, on_each};

/// Everything of a list, over all its pages.
pub async fn all(client: &Client, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let joint = if path.contains('?') { '&' } else { '?' };
        let reply = client.get(&format!("{path}{joint}limit=200{cursor}")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let page = reply.json();
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// A pool of listed machines `{name}-0…`, cleaned as said.
pub async fn pool(app: &TestApp, name: &str, cleaning: &str, machines: usize) {
    let admin = app.admin();
    let made = admin.post("/api/v1/pools", json!({"name": name, "cleaning": cleaning})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let list: Vec<_> = (0..machines)
        .map(|n| {
            json!({"id": format!("{name}-{n}"), "pool": name, "host": format!("192.0.2.{n}"),
            "cockpit_url": format!("https://{name}-{n}.example.org/")})
        })
        .collect();
    let reply = admin.post("/admin/pool-refresh", json!(list)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.json()["pool_size"], machines);
}

pub async fn crowd(app: &TestApp, size: usize) -> Vec<Client> {
    let mut people = Vec::new();
    for n in 0..size {
        people.push(app.signed_in(&format!("p{n}")).await);
    }
    people
}

pub async fn ask(client: &Client, pool: &str) -> Reply {
    client.post("/api/v1/allocations", json!({"pool": pool})).await
}

pub async fn release(client: &Client, id: &Value) -> Reply {
    client.post(&format!("/api/v1/allocations/{}/release", id.as_str().unwrap()), json!({})).await
}

fn key(allocation: &Value) -> (String, String) {
    (allocation["created_at"].as_str().unwrap().to_owned(), allocation["id"].as_str().unwrap().to_owned())
}

/// The waiting list, first to last; the positions are 1, 2, 3 … in it.
async fn waiting(app: &TestApp, pool: &str) -> Vec<Value> {
    let mut list = all(&app.admin(), &format!("/api/v1/allocations?status=waiting&pool={pool}")).await;
    list.sort_by_key(key);
    let positions: Vec<_> = list.iter().map(|a| a["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=list.len() as u64).collect::<Vec<_>>());
    list
}

async fn active(app: &TestApp, pool: &str) -> Vec<Value> {
    let list = all(&app.admin(), &format!("/api/v1/allocations?status=active&pool={pool}")).await;
    let machines: BTreeSet<_> = list.iter().map(|a| a["pool_vm_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(machines.len(), list.len(), "no machine twice: {list:#?}");
    list
}

/// Fifty people have asked at the same moment; who got what.
async fn fifty_asked(app: &TestApp) -> Vec<Client> {
    pool(app, "crowd", "none", 10).await;
    let people = crowd(app, 50).await;
    let replies = join_all(people.iter().map(|p| ask(p, "crowd"))).await;
    let with = |status| replies.iter().filter(|r| r.status == status).count();
    assert_eq!((with(201), with(202)), (10, 40), "{replies:#?}");
    let list = waiting(app, "crowd").await;
    assert_eq!((active(app, "crowd").await.len(), list.len()), (10, 40));
    for reply in replies.iter().filter(|r| r.status == 202).map(Reply::json) {
        let now = list.iter().find(|a| a["id"] == reply["id"]).unwrap();
        assert_eq!(now["position"], reply["position"], "the place that was told is the place that is kept");
        assert!(reply["reason"].is_string());
        assert_eq!((&reply["pool_vm_id"], &reply["cockpit_url"]), (&Value::Null, &Value::Null));
    }
    people
}

async fn all_available(app: &TestApp) {
    let pool = app.admin().get("/api/v1/pools/crowd").await.json();
    assert_eq!(pool["counts"]["available"], 10, "{pool:#}");
    for other in ["allocated", "cleaning", "maintenance", "draining", "waiting"] {
        assert_eq!(pool["counts"][other], 0, "{pool:#}");
    }
    let ended = all(&app.admin(), "/api/v1/allocations?status=released").await;
    assert_eq!(ended.len(), 50);
    assert!(ended.iter().all(|a| a["allocated_at"].is_string()), "everybody had their turn");
}

#[tokio::test]
async fn fifty_ask_for_ten_and_the_next_in_order_gets_each() {
    on_each(Setup::usual().with("VM_POOL_JSON", ""), async |app: &TestApp| {
        fifty_asked(app).await;
        let admin = app.admin();
        let mut open = active(app, "crowd").await;
        while let Some(one) = open.pop() {
            let list = waiting(app, "crowd").await;
            let reply = release(&admin, &one["id"]).await;
            assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("released")), "{}", reply.body);
            if let Some(next) = list.first() {
                let got = admin.get(&format!("/api/v1/allocations/{}", next["id"].as_str().unwrap())).await.json();
                assert_eq!(got["status"], "active");
                assert_eq!(got["pool_vm_id"], one["pool_vm_id"], "the machine went to who had waited longest");
                assert_eq!(got["position"], Value::Null);
                assert!(got["cockpit_url"].is_string() && got["expires_at"].is_string(), "{got:#}");
                assert_eq!(waiting(app, "crowd").await.len(), list.len() - 1);
                open.push(got);
            }
        }
        all_available(app).await;
    })
    .await;
}

#[tokio::test]
async fn fifty_ask_for_ten_and_many_release_at_once() {
    on_each(Setup::usual().with("VM_POOL_JSON", ""), async |app: &TestApp| {
        let people = fifty_asked(app).await;
        let owners: BTreeMap<String, &Client> = join_all(
            people.iter().map(async |p| (p.get("/api/v1/me").await.json()["id"].as_str().unwrap().to_owned(), p)),
        )
        .await
        .into_iter()
        .collect();
        for round in 0..5 {
            let list = waiting(app, "crowd").await;
            let open = active(app, "crowd").await;
            assert_eq!((open.len(), list.len()), (10, 40 - round * 10));
            let replies =
                join_all(open.iter().map(|a| release(owners[a["user_id"].as_str().unwrap()], &a["id"]))).await;
            assert!(replies.iter().all(|r| r.status == 200 && r.json()["reason"] == "user"), "{replies:#?}");
            let next: BTreeSet<_> = list.iter().take(10).map(|a| a["id"].to_string()).collect();
            let got: BTreeSet<_> = active(app, "crowd").await.iter().map(|a| a["id"].to_string()).collect();
            assert_eq!(got, next, "those who had waited longest");
        }
        all_available(app).await;
    })
    .await;
}

/// A small generator of random numbers, so that a history can be told by its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap()
    }
}

const POOLS: [&str; 2] = ["clean", "dirty"];

/// One thing that one caller does.
enum Deed {
    Ask(usize, &'static str),
    Release(Option<usize>, String),
    Extend(usize, String),
    Expire,
    Refresh(Value, bool),
    Mark(&'static str, String, &'static str),
}

async fn perform(deed: &Deed, people: &[Client], admin: &Client) -> Reply {
    match deed {
        Deed::Ask(who, pool) => {
            people[*who].post("/api/v1/allocations", json!({"pool": pool, "duration_hours": 1})).await
        }
        Deed::Release(who, id) => {
            let client = who.map_or(admin, |who| &people[who]);
            client.post(&format!("/api/v1/allocations/{id}/release"), json!({})).await
        }
        Deed::Extend(who, id) => {
            people[*who].post(&format!("/api/v1/allocations/{id}/extend"), json!({"hours": 1})).await
        }
        Deed::Expire => admin.post("/admin/auto-release-now", json!({})).await,
        Deed::Refresh(list, dry) => {
            admin.post(if *dry { "/admin/pool-refresh?dry_run=1" } else { "/admin/pool-refresh" }, list.clone()).await
        }
        Deed::Mark(pool, vm, status) => {
            admin.method("PATCH", &format!("/api/v1/pools/{pool}/vms/{vm}"), json!({"status": status})).await
        }
    }
}

fn deed(dice: &mut Dice, known: &[(usize, Value)]) -> Deed {
    let mut list = Vec::new();
    match dice.below(10) {
        0..=3 => Deed::Ask(dice.below(6), POOLS[dice.below(2)]),
        4 | 5 if !known.is_empty() => {
            let (who, id) = &known[dice.below(known.len())];
            Deed::Release((dice.below(3) > 0).then_some(*who), id.as_str().unwrap().to_owned())
        }
        6 if !known.is_empty() => {
            let (who, id) = &known[dice.below(known.len())];
            Deed::Extend(*who, id.as_str().unwrap().to_owned())
        }
        7 => Deed::Expire,
        8 => {
            for pool in POOLS {
                for n in 0..4 {
                    match dice.below(5) {
                        0 => {}
                        1 => list.push(json!({"id": format!("{pool}-{n}"), "pool": pool, "status": "maintenance"})),
                        2 => list.push(json!({"id": format!("{pool}-{n}"), "pool": pool, "status": "available"})),
                        _ => list.push(json!({"id": format!("{pool}-{n}"), "pool": pool})),
                    }
                }
            }
            Deed::Refresh(json!(list), dice.below(4) == 0)
        }
        _ => {
            let pool = POOLS[dice.below(2)];
            let status = ["available", "maintenance", "draining"][dice.below(3)];
            Deed::Mark(pool, format!("{pool}-{}", dice.below(4)), status)
        }
    }
}

/// What holds after every step, whatever happened.
async fn invariants(app: &TestApp, accepted: &BTreeSet<String>, quota: &BTreeMap<String, usize>, story: &str) {
    let admin = app.admin();
    let allocations = all(&admin, "/api/v1/allocations").await;
    let ids: BTreeSet<_> = allocations.iter().map(|a| a["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(&ids, accepted, "no request is lost, none comes from nowhere: {story}");
    let mut per_user: BTreeMap<String, usize> = BTreeMap::new();
    for a in &allocations {
        if a["status"] == "waiting" || a["status"] == "active" {
            *per_user.entry(a["user_id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        assert_eq!(a["status"] == "released", a["released_at"].is_string(), "{story}: {a:#}");
    }
    for (user, open) in &per_user {
        assert!(*open <= quota[user], "{user} has {open}: {story}");
    }
    for pool in POOLS {
        let machines = all(&admin, &format!("/api/v1/pools/{pool}/vms")).await;
        let of_pool: Vec<_> = allocations.iter().filter(|a| a["pool"] == pool).collect();
        let mut holders: BTreeMap<&str, &str> = BTreeMap::new();
        for a in of_pool.iter().filter(|a| a["status"] == "active") {
            let twice = holders.insert(a["pool_vm_id"].as_str().unwrap(), a["id"].as_str().unwrap());
            assert_eq!(twice, None, "one holder a machine: {story}");
        }
        for vm in &machines {
            let held = vm["status"] == "allocated" || vm["status"] == "draining";
            let holder = holders.get(vm["id"].as_str().unwrap()).copied();
            assert_eq!(held, holder.is_some(), "{story}: {vm:#}");
            assert_eq!(vm["allocation_id"].as_str(), holder, "{story}: {vm:#}");
        }
        let mut line = waiting(app, pool).await;
        let counts = app.admin().get(&format!("/api/v1/pools/{pool}")).await.json()["counts"].clone();
        for status in ["available", "allocated", "cleaning", "maintenance", "draining"] {
            let n = machines.iter().filter(|vm| vm["status"] == status).count();
            assert_eq!(counts[status], n, "{status}: {story}");
        }
        assert_eq!(counts["waiting"], line.len(), "{story}");
        if let Some(first) = line.drain(..).next() {
            assert_eq!(counts["available"], 0, "nobody waits while a machine is free: {story}");
            for a in of_pool.iter().filter(|a| key(a) > key(&first)) {
                assert_eq!(a["allocated_at"], Value::Null, "nobody passes {}: {story}: {a:#}", first["id"]);
            }
        }
    }
}

#[tokio::test]
async fn random_histories_keep_the_promises() {
    on_each(Setup::usual().with("VM_POOL_JSON", ""), async |app: &TestApp| {
        let admin = app.admin();
        for pool in POOLS {
            let cleaning = if pool == "clean" { "none" } else { "replace" };
            assert_eq!(admin.post("/api/v1/pools", json!({"name": pool, "cleaning": cleaning})).await.status, 201);
        }
        let people = crowd(app, 6).await;
        let mut quota = BTreeMap::new();
        for (n, person) in people.iter().enumerate() {
            let id = person.get("/api/v1/me").await.json()["id"].as_str().unwrap().to_owned();
            let most = 1 + n % 3;
            let path = format!("/api/v1/users/{id}");
            assert_eq!(admin.method("PATCH", &path, json!({"max_active": most})).await.status, 200);
            quota.insert(id, most);
        }
        let mut accepted = BTreeSet::new();
        for seed in 1..=8_u64 {
            let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let mut known: Vec<(usize, Value)> = Vec::new();
            let mut story = String::new();
            for step in 0..14 {
                let deeds: Vec<_> = (0..=dice.below(5)).map(|_| deed(&mut dice, &known)).collect();
                let replies = join_all(deeds.iter().map(|d| perform(d, &people, &admin))).await;
                for (deed, reply) in deeds.iter().zip(replies) {
                    let status = reply.status;
                    let (word, fine): (_, &[u16]) = match deed {
                        Deed::Ask(who, pool) => {
                            if status < 300 {
                                known.push((*who, reply.json()["id"].clone()));
                                accepted.insert(reply.json()["id"].as_str().unwrap().to_owned());
                            }
                            (format!("p{who} asks {pool}"), &[201, 202, 403])
                        }
                        Deed::Release(_, id) => (format!("release {id}"), &[200]),
                        Deed::Extend(_, id) => (format!("extend {id}"), &[200, 409]),
                        Deed::Expire => ("expire".to_owned(), &[200]),
                        Deed::Refresh(list, dry) => (format!("refresh dry={dry} {list}"), &[200]),
                        Deed::Mark(pool, vm, status) => (format!("mark {pool}/{vm} {status}"), &[200, 404, 409]),
                    };
                    story.push_str(&format!("\n{seed}/{step} {word} -> {status}"));
                    assert!(fine.contains(&status), "{story}: {}", reply.body);
                }
                invariants(app, &accepted, &quota, &story).await;
                app.clock.advance([0, 1, 20 * MINUTE, 45 * MINUTE][dice.below(4)]);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_quota_is_decided_in_the_transaction() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let user = app.user().await;
        let replies = join_all((0..8).map(|_| ask(&user, "default"))).await;
        let got: Vec<_> = replies.iter().filter(|r| r.status == 201).collect();
        assert_eq!(got.len(), 1, "{replies:#?}");
        for refused in replies.iter().filter(|r| r.status != 201) {
            let problem = refused.is_problem(403, "quota_exceeded");
            for field in ["cause", "policy_context", "next_step", "safe_retry"] {
                assert!(problem["recovery"][field].is_string(), "{problem:#}");
            }
        }
        // A place in the waiting list counts as well.
        let admin = app.admin();
        for _ in 0..2 {
            assert_eq!(ask(&admin, "default").await.status, 201, "administrators are not held by quotas");
        }
        let other = app.other_user().await;
        assert_eq!(ask(&other, "default").await.status, 202);
        ask(&other, "default").await.is_problem(403, "quota_exceeded");
        assert_eq!(ask(&admin, "default").await.status, 202);
        // Whoever gives theirs back may ask again.
        assert_eq!(release(&user, &got[0].json()["id"]).await.status, 200);
        assert_eq!(ask(&user, "default").await.status, 202);
    })
    .await;
}

#[tokio::test]
async fn what_is_an_administrators_alone() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let (admin, user) = (app.admin(), app.user().await);
        let id = user.get("/api/v1/me").await.json()["id"].clone();
        for extra in [json!({"user_id": "usr_admin"}), json!({"user_id": id}), json!({"cost_cents": 5})] {
            let mut wish = json!({"pool": "default"});
            wish.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            user.post("/api/v1/allocations", wish).await.is_problem(403, "forbidden");
        }
        let given = admin
            .post(
                "/api/v1/allocations",
                json!({"pool": "default", "user_id": id, "cost_cents": 250, "duration_hours": 2}),
            )
            .await;
        assert_eq!(given.status, 201, "{}", given.body);
        let given = given.json();
        assert_eq!((&given["user_id"], &given["cost_cents"]), (&id, &json!(250)));
        assert!(given["forge_id"].is_string(), "{given:#}");
        // Theirs to see and to give back; the administrator's is not.
        let own = ask(&admin, "default").await.json();
        assert_eq!(own["user_id"], "usr_admin");
        assert_eq!(user.get(&format!("/api/v1/allocations/{}", given["id"].as_str().unwrap())).await.status, 200);
        let path = format!("/api/v1/allocations/{}", own["id"].as_str().unwrap());
        user.get(&path).await.is_problem(404, "not_found");
        user.get(&format!("{path}/history")).await.is_problem(404, "not_found");
        for verb in ["release", "extend"] {
            user.post(&format!("{path}/{verb}"), json!({})).await.is_problem(404, "not_found");
            user.post(&format!("{path}/actions/{verb}-allocation"), json!({})).await.is_problem(404, "not_found");
        }
        assert_eq!(admin.get(&path).await.json()["status"], "active", "nothing happened to it");
        assert_eq!(all(&user, "/api/v1/allocations").await.len(), 1);
        // By an administrator's hand it says so.
        assert_eq!(release(&admin, &given["id"]).await.json()["reason"], "admin");
        admin
            .post("/api/v1/allocations", json!({"pool": "default", "user_id": "usr_nobody"}))
            .await
            .is_problem(422, "validation");
        admin.post("/api/v1/allocations", json!({"pool": "nowhere"})).await.is_problem(422, "validation");
    })
    .await;
}

#[tokio::test]
async fn whoever_is_not_approved_waits_for_it() {
    on_each(Setup::usual().with("HANGAR_SIGNUP", "closed"), async |app: &TestApp| {
        let (admin, user) = (app.admin(), app.user().await);
        let problem = ask(&user, "default").await.is_problem(403, "approval_pending");
        assert!(problem["recovery"]["next_step"].is_string());
        let id = user.get("/api/v1/me").await.json()["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/users/{id}");
        assert_eq!(admin.method("PATCH", &path, json!({"status": "active"})).await.status, 200);
        assert_eq!(ask(&user, "default").await.status, 201);
    })
    .await;
}

#[tokio::test]
async fn released_twice_is_released_once() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let user = app.user().await;
        let id = ask(&user, "default").await.json()["id"].clone();
        let first = release(&user, &id).await;
        app.clock.advance(MINUTE);
        let second = release(&user, &id).await;
        assert_eq!((first.status, second.status), (200, 200));
        assert_eq!(first.body, second.body);
        assert_eq!(release(&app.admin(), &id).await.json()["reason"], "user");
        let many = ask(&user, "default").await.json()["id"].clone();
        let replies = join_all((0..6).map(|_| release(&user, &many))).await;
        assert!(replies.iter().all(|r| r.status == 200 && r.body == replies[0].body), "{replies:#?}");
    })
    .await;
}

#[tokio::test]
async fn for_how_long() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let (admin, user) = (app.admin(), app.user().await);
        let until = |a: &Value| {
            let at = |k: &str| domain::time::Timestamp::parse(a[k].as_str().unwrap()).unwrap();
            at("expires_at").since(at("allocated_at")) / HOUR
        };
        let first = ask(&user, "default").await.json();
        assert_eq!(until(&first), 24);
        for hours in [0, 721, 4_000_000] {
            let problem = admin
                .post("/api/v1/allocations", json!({"pool": "default", "duration_hours": hours}))
                .await
                .is_problem(422, "validation");
            assert_eq!(problem["errors"][0]["pointer"], "/duration_hours");
        }
        let longest = admin.post("/api/v1/allocations", json!({"pool": "default", "duration_hours": 720})).await.json();
        assert_eq!(until(&longest), 720);

        let extend = async |hours: Value| {
            let path = format!("/api/v1/allocations/{}/extend", first["id"].as_str().unwrap());
            user.post(&path, if hours.is_null() { json!({}) } else { json!({ "hours": hours }) }).await
        };
        assert_eq!(until(&extend(Value::Null).await.json()), 48);
        assert_eq!(until(&extend(json!(100)).await.json()), 148);
        extend(json!(0)).await.is_problem(422, "validation");
        assert_eq!(until(&extend(json!(600)).await.json()), 720, "up to the cap and no further");
        let problem = extend(json!(1)).await.is_problem(409, "action_blocked");
        let gate = problem["gates"].as_array().unwrap().iter().find(|g| g["name"] == "duration-cap").unwrap();
        assert_eq!(gate["result"], "blocked");
        for field in ["cause", "policy_context", "next_step", "safe_retry"] {
            assert!(problem["recovery"][field].is_string(), "{problem:#}");
        }
        // The page told the same before.
        let shown = user.get(&format!("/api/v1/allocations/{}", first["id"].as_str().unwrap())).await.json();
        let action =
            shown["actions"].as_array().unwrap().iter().find(|a| a["identity"] == "extend-allocation").unwrap();
        assert_eq!((&action["enabled"], &action["gates"]), (&json!(false), &problem["gates"]));
        // A pool has its own cap.
        assert_eq!(admin.method("PATCH", "/api/v1/pools/default", json!({"max_duration_hours": 10})).await.status, 200);
        assert_eq!(release(&user, &first["id"]).await.status, 200);
        let short = ask(&user, "default").await.json();
        assert_eq!(until(&short), 10, "the default is within the pool's cap");
    })
    .await;
}

#[tokio::test]
async fn the_end_is_strict() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let (admin, user, other) = (app.admin(), app.user().await, app.other_user().await);
        let mine = user.post("/api/v1/allocations", json!({"pool": "default", "duration_hours": 1})).await.json();
        let longer = other.post("/api/v1/allocations", json!({"pool": "default", "duration_hours": 2})).await.json();
        let sweep = async || admin.post("/admin/auto-release-now", json!({})).await;
        let none =
            json!({"rows_examined": 0, "rows_expired": 0, "rows_released": 0, "rows_already_released": 0, "errors": 0});
        app.clock.advance(HOUR - 1);
        assert_eq!(sweep().await.json(), none, "a millisecond before its end it still runs");
        app.clock.advance(1);
        // Over is over: nothing brings it back, even before the sweep has seen it.
        let path = format!("/api/v1/allocations/{}", mine["id"].as_str().unwrap());
        user.post(&format!("{path}/extend"), json!({})).await.is_problem(409, "action_blocked");
        let one =
            json!({"rows_examined": 1, "rows_expired": 1, "rows_released": 1, "rows_already_released": 0, "errors": 0});
        assert_eq!(sweep().await.json(), one);
        let over = user.get(&path).await.json();
        assert_eq!((&over["status"], &over["reason"]), (&json!("released"), &json!("expired")));
        assert_eq!(sweep().await.json(), none);
        let still = other.get(&format!("/api/v1/allocations/{}", longer["id"].as_str().unwrap())).await.json();
        assert_eq!(still["status"], "active");
        user.post("/admin/auto-release-now", json!({})).await.is_problem(403, "forbidden");
        app.anon().post("/admin/auto-release-now", json!({})).await.is_problem(401, "unauthorized");
        // The clock does it by itself too.
        app.clock.advance(HOUR);
        let path = format!("/api/v1/allocations/{}", longer["id"].as_str().unwrap());
        let over = app.watched(app.until(&path, "released", |a| a["status"] == "released")).await;
        assert_eq!((&over["status"], &over["reason"]), (&json!("released"), &json!("expired")));
    })
    .await;
}

/// Many run out at the same moment, and two sweeps meet: each is released once.
#[tokio::test]
async fn two_sweeps_count_each_release_once() {
    on_each(Setup::usual().with("VM_POOL_JSON", ""), async |app: &TestApp| {
        pool(app, "many", "none", 30).await;
        let admin = app.admin();
        for _ in 0..40 {
            assert!(ask(&admin, "many").await.status < 300);
        }
        app.clock.advance(24 * HOUR);
        let reports = join_all((0..3).map(|_| admin.post("/admin/auto-release-now", json!({})))).await;
        let released: u64 = reports.iter().map(|r| r.json()["rows_released"].as_u64().unwrap()).sum();
        assert_eq!(released, 30, "{reports:#?}");
        assert!(reports.iter().all(|r| r.json()["errors"] == 0));
        assert_eq!(active(app, "many").await.len(), 10, "those who waited got theirs");
    })
    .await;
}

#[tokio::test]
async fn a_key_asks_once() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let user = app.user().await;
        let ask = async |hours: u32| {
            let wish = json!({"pool": "default", "duration_hours": hours});
            user.send(Method::POST, "/api/v1/allocations", |r| r.header("idempotency-key", "mine").json(&wish)).await
        };
        let first = ask(3).await;
        let again = ask(3).await;
        assert_eq!((first.status, &first.body), (again.status, &again.body), "not refused by the quota");
        ask(4).await.is_problem(422, "idempotency_conflict");
    })
    .await;
}

#[tokio::test]
async fn a_waiting_request_can_be_taken_back() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let (admin, user) = (app.admin(), app.user().await);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(ask(&admin, "default").await.json());
        }
        let mine = ask(&user, "default").await.json();
        let behind = ask(&admin, "default").await.json();
        assert_eq!((&mine["position"], &behind["position"]), (&json!(1), &json!(2)));
        let path = format!("/api/v1/allocations/{}/extend", mine["id"].as_str().unwrap());
        user.post(&path, json!({})).await.is_problem(409, "action_blocked");
        assert_eq!(release(&user, &mine["id"]).await.json()["status"], "released");
        let behind = admin.get(&format!("/api/v1/allocations/{}", behind["id"].as_str().unwrap())).await.json();
        assert_eq!(behind["position"], 1);
        let history = user.get(&format!("/api/v1/allocations/{}/history", mine["id"].as_str().unwrap())).await.json();
        let actions: Vec<_> = history["items"].as_array().unwrap().iter().map(|e| e["action"].clone()).collect();
        assert!(
            actions.contains(&json!("allocation.create")) && actions.contains(&json!("release-allocation")),
            "{history:#}"
        );
    })
    .await;
}
