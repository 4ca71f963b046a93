//! The ACCESS table against the running server.

use std::collections::BTreeSet;

use domain::access::{ACCESS, AccessRule, Need, Surface};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::app::{Client, Reply, Setup, TestApp, on_each};

/// The table and the router know the same routes; so does leptos of the server functions.
#[test]
fn every_route_stands_in_the_table_and_the_other_way_round() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let table: BTreeSet<(String, String)> = ACCESS.iter().map(|r| (r.method.to_owned(), r.path.to_owned())).collect();
    let routes: BTreeSet<(String, String)> = server::http::route_list().into_iter().collect();
    let missing: Vec<_> = table.difference(&routes).collect();
    let extra: Vec<_> = routes.difference(&table).collect();
    assert!(missing.is_empty() && extra.is_empty(), "in the table only: {missing:#?}\nin the router only: {extra:#?}");
}

/// Looking for the pages stops whatever draws one at that moment, for ever; so it happens once.
#[tokio::test]
async fn pages_are_drawn_while_another_router_is_made() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let done = CancellationToken::new();
        let _ends_with_this = done.clone().drop_guard();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let _entered = runtime.enter();
            while !done.is_cancelled() {
                server::http::route_list();
            }
        });
        let admin = app.admin();
        for _ in 0..200 {
            assert_eq!(admin.open("/audit").await.status, 200);
        }
    })
    .await;
}

/// A path of the template; what it names does not exist.
fn path_of(rule: &AccessRule) -> String {
    let id = match rule
        .path
        .split('/')
        .find(|s| ["backups", "providers", "nodes", "jobs", "allocations", "services", "users"].contains(s))
    {
        Some("backups") => "bak_0",
        Some("providers") => "prv_0",
        Some("nodes") => "nod_0",
        Some("jobs") => "job_0",
        Some("users") => "usr_0",
        _ => "alc_0",
    };
    rule.path
        .replace("{id}", id)
        .replace("{name}", "nowhere")
        .replace("{vm}", "vm-0")
        .replace("{identity}", "no-such-action")
        .replace("{operation}", "no-such-operation")
}

async fn call(client: &Client, rule: &AccessRule) -> Reply {
    let path = path_of(rule);
    if path == "/api/v1/events" {
        // It never ends by itself.
        let response = client.stream(reqwest::Method::GET, &path, |r| r).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = if status == 200 { String::new() } else { response.text().await.unwrap() };
        return Reply { status, headers, body };
    }
    match (rule.surface, rule.method) {
        (Surface::Page, _) => client.open(&path).await,
        (_, "GET") => client.get(&path).await,
        (_, method) => client.method(method, &path, json!({})).await,
    }
}

fn refused(rule: &AccessRule, reply: &Reply, who: &str) {
    let at = format!("{} {} as {who}: {} {}", rule.method, rule.path, reply.status, reply.body);
    match (rule.surface, who) {
        (Surface::Page, "nobody") => {
            assert_eq!(reply.status, 303, "{at}");
            assert!(reply.location().starts_with("/login?next="), "{at}");
        }
        (Surface::Page, _) => assert_eq!(reply.status, 403, "{at}"),
        (_, "nobody") => {
            reply.is_problem(401, "unauthorized");
        }
        _ => {
            reply.is_problem(403, "forbidden");
        }
    }
}

fn let_through(rule: &AccessRule, reply: &Reply, who: &str) {
    let at = format!("{} {} as {who}: {} {}", rule.method, rule.path, reply.status, reply.body);
    assert!(reply.status != 401 && reply.status != 403 && reply.status != 405, "{at}");
    assert!(reply.status < 500, "{at}");
    assert!(!reply.location().starts_with("/login?next="), "{at}");
    if rule.surface == Surface::Page && !rule.path.contains('{') && rule.path != "/" {
        assert!(reply.status == 200 || reply.status == 303 || reply.status == 302, "{at}");
    }
}

#[tokio::test]
async fn each_route_answers_each_caller_as_the_table_says() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let callers = [
            ("nobody", app.anon()),
            ("user", app.user().await),
            ("other user", app.other_user().await),
            ("admin", app.admin()),
            ("admin in the browser", app.admin_in_browser().await),
        ];
        for (who, client) in &callers {
            for rule in ACCESS {
                let own;
                // Signing out ends the session that the others still need.
                let client = if rule.path == "/auth/logout" {
                    own = app.anon();
                    &own
                } else {
                    client
                };
                let reply = call(client, rule).await;
                let admitted = match rule.need {
                    Need::Public => true,
                    Need::SignedIn => *who != "nobody",
                    Need::Admin => who.starts_with("admin"),
                };
                if admitted && rule.path == "/auth/secret" {
                    reply.is_problem(400, "bad_request");
                } else if admitted {
                    let_through(rule, &reply, who);
                } else {
                    refused(rule, &reply, who);
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_not_mine_does_not_exist() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let (mine, other) = (app.user().await, app.other_user().await);
        let made = mine.post("/api/v1/allocations", json!({"pool": "default"})).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let id = made.json()["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/allocations/{id}");
        assert_eq!(mine.get(&path).await.status, 200);
        assert_eq!(app.admin().get(&path).await.status, 200);
        other.get(&path).await.is_problem(404, "not_found");
        other.get(&format!("{path}/history")).await.is_problem(404, "not_found");
        other.post(&format!("{path}/release"), json!({})).await.is_problem(404, "not_found");
        other.post(&format!("{path}/extend"), json!({})).await.is_problem(404, "not_found");
        other.post(&format!("{path}/actions/release-allocation"), json!({})).await.is_problem(404, "not_found");
        assert_eq!(other.get("/api/v1/allocations").await.json()["items"], json!([]));
        assert_eq!(mine.get("/api/v1/allocations").await.json()["items"][0]["id"], id.as_str());
        // For others, and at what price, only administrators say.
        for wish in [json!({"pool": "default", "cost_cents": 1}), json!({"pool": "default", "user_id": "usr_admin"})] {
            other.post("/api/v1/allocations", wish).await.is_problem(403, "forbidden");
        }
    })
    .await;
}

#[tokio::test]
async fn a_suspended_person_is_out_at_once() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let user = app.user().await;
        let id = user.get("/api/v1/me").await.json()["id"].as_str().unwrap().to_owned();
        let patched = app.admin().method("PATCH", &format!("/api/v1/users/{id}"), json!({"status": "suspended"})).await;
        assert_eq!(patched.status, 200, "{}", patched.body);
        // Every session of theirs is over.
        user.get("/api/v1/me").await.is_problem(401, "unauthorized");
        let again = app.by_forge(&app.anon(), "ada", "/").await;
        assert!(again.location().starts_with("/login?error=forbidden"), "{}", again.location());
    })
    .await;
}
