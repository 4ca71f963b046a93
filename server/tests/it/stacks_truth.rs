//! What the engine says of stacks, and what the server makes of it: what is broken is not handed out,
//! and what cannot be done is refused before it is begun.

use std::time::Duration;

use domain::{
    code::Code,
    id::UserId,
    time::{MINUTE, Timestamp},
};
use providers::Trouble;
use serde_json::{Value, json};
use store::{BlueprintRow, StoreError};

use crate::{
    allocations::{all, ask, release},
    app::{TestApp, on_each},
    engine::KIND,
    stacks::{acquire, connect, definition, pointers, ready, save, setup, wish},
    verbs::{act_with, acted},
};

async fn node(app: &TestApp, id: &str) -> Value {
    app.admin().get(&format!("/api/v1/nodes/{id}")).await.json()
}

fn broken(app: &TestApp, troubles: &[(&str, Trouble)]) {
    let troubles = troubles.iter().map(|(part, trouble)| ((*part).to_owned(), *trouble)).collect();
    app.engine.with(|world| world.stacks.values_mut().for_each(|stack| stack.troubles = Clone::clone(&troubles)));
}

/// What stopped, went away or does not get well stays so until somebody does something: nobody is given
/// such a stack meanwhile, and its page says what it lacks.
#[tokio::test]
async fn a_stack_whose_services_do_not_serve_is_held_back() {
    on_each(setup(), async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let provider = connect(app).await;
        let (id, _) = acquire(app, &provider, json!({"pool": "default"})).await;
        app.node_is(&id, "ready").await;
        let vm = async || all(&app.admin(), "/api/v1/pools/default/vms").await.remove(0);
        let user = app.user().await;
        assert_eq!(vm().await["status"], "available");
        for (part, trouble, word) in [
            ("worker", Trouble::Stopped, "worker stopped"),
            ("db", Trouble::Stopped, "db stopped"),
            ("web", Trouble::Missing, "web missing"),
            ("web", Trouble::Unhealthy, "web unhealthy"),
            ("web", Trouble::Restarting, "web restarting"),
            ("web", Trouble::Starting, "web starting"),
        ] {
            broken(app, &[(part, trouble)]);
            app.observed().await;
            let found = node(app, &id).await;
            let drift = &found["drift"][0];
            assert_eq!((&drift["field"], &drift["observed"]), (&json!("services"), &json!(word)), "{found:#}");
            assert_eq!(found["health"]["ready"], false, "{word}: {found:#}");
            let held = vm().await;
            assert_eq!(held["status"], "maintenance", "{word}: {held:#}");
            assert!(held["note"].as_str().unwrap().contains(word), "{held:#}");
            let waits = ask(&user, "default").await;
            assert_eq!(waits.status, 202, "{word}: nobody is given it: {}", waits.body);
            assert_eq!(release(&user, &waits.json()["id"]).await.status, 200);
            // What ends again and again runs in between: one look is not enough.
            broken(app, &[]);
            app.observed().await;
            assert_eq!(vm().await["status"], "maintenance", "{word}");
            assert_eq!(node(app, &id).await["drift"][0]["observed"], "running again", "{word}");
            app.observed().await;
            let well = node(app, &id).await;
            assert_eq!((&well["drift"], &well["health"]["ready"]), (&json!([]), &json!(true)), "{word}: {well:#}");
            assert_eq!(vm().await["status"], "available", "{word}");
        }
        let mine = ask(&user, "default").await;
        assert_eq!(mine.status, 201, "{}", mine.body);
    })
    .await;
}

#[tokio::test]
async fn what_a_broken_stack_lacks_is_put_back() {
    on_each(setup(), async |app: &TestApp| {
        let (_, id) = ready(app).await;
        let can = async |identity: &str| {
            let found = node(app, &id).await;
            let actions = found["actions"].as_array().unwrap().clone();
            actions.into_iter().find(|it| it["identity"] == identity).unwrap()["enabled"] == true
        };
        assert!(!can("resume-node").await, "it runs");
        broken(app, &[("db", Trouble::Stopped)]);
        app.observed().await;
        assert!(can("resume-node").await);
        acted(app, &id, "resume-node", json!({}), "succeeded").await;
        let well = node(app, &id).await;
        assert_eq!((&well["state"], &well["drift"]), (&json!("ready"), &json!([])), "{well:#}");
        // Where a container is gone there is nothing to start: the services are made anew.
        let same = act_with(app, &id, "upgrade-node", json!({"tag": "1"})).await;
        assert_eq!(same.status, 422, "{}", same.body);
        broken(app, &[("web", Trouble::Missing)]);
        app.observed().await;
        assert!(!can("resume-node").await);
        acted(app, &id, "upgrade-node", json!({"tag": "1"}), "succeeded").await;
        // Also those that keep data, and where nobody has looked since it went away.
        broken(app, &[("db", Trouble::Missing)]);
        acted(app, &id, "upgrade-node", json!({"tag": "1"}), "succeeded").await;
        let well = node(app, &id).await;
        assert_eq!((&well["state"], &well["drift"]), (&json!("ready"), &json!([])), "{well:#}");
        assert!(app.engine.only().troubles.is_empty());
        // A tag that was changed on the engine is seen, and brought back.
        app.engine.with(|world| world.stacks.values_mut().for_each(|stack| stack.tag = "7".to_owned()));
        app.observed().await;
        let changed = node(app, &id).await;
        let drift = &changed["drift"][0];
        let told = (&drift["field"], &drift["recorded"], &drift["observed"]);
        assert_eq!(told, (&json!("tag"), &json!("1"), &json!("7")), "{changed:#}");
        acted(app, &id, "upgrade-node", json!({"tag": "1"}), "succeeded").await;
        assert_eq!(app.engine.only().tag, "1");
        app.observed().await;
        assert_eq!(node(app, &id).await["drift"], json!([]));
        // In one that is suspended the services are stopped, and that is as it should be.
        acted(app, &id, "suspend-node", json!({}), "succeeded").await;
        broken(app, &[("web", Trouble::Stopped)]);
        app.advance(MINUTE).await;
        app.observed().await;
        assert_eq!(node(app, &id).await["drift"], json!([]));
        broken(app, &[("db", Trouble::Missing)]);
        app.observed().await;
        let drift = &node(app, &id).await["drift"][0];
        assert_eq!(drift["observed"], "db missing");
        assert!(drift["guidance"].as_str().unwrap().contains("Upgrade"), "{drift:#}");
        acted(app, &id, "upgrade-node", json!({"tag": "1"}), "succeeded").await;
        app.observed().await;
        let mended = node(app, &id).await;
        assert_eq!((&mended["state"], &mended["drift"]), (&json!("suspended"), &json!([])), "{mended:#}");
    })
    .await;
}

/// What is stopped does not get healthy, and would only fail; nobody has looked since it stopped.
#[tokio::test]
async fn a_stack_that_was_stopped_is_resumed_before_it_is_upgraded() {
    on_each(setup(), async |app: &TestApp| {
        let (_, id) = ready(app).await;
        app.engine.with(|world| world.stacks.values_mut().for_each(|stack| stack.runs = false));
        let refused = act_with(app, &id, "upgrade-node", json!({"tag": "2"})).await;
        refused.is_problem(409, "action_blocked");
        assert!(refused.body.contains("Resume the node first."), "{}", refused.body);
        let stands = node(app, &id).await;
        assert_eq!((&stands["state"], &stands["drift"][0]["observed"]), (&json!("ready"), &json!("off")), "{stands:#}");
        assert!(stands["drift"][0]["guidance"].as_str().unwrap().contains("engine"), "{stands:#}");
        assert_eq!(app.engine.with(|world| world.upgrades.clone()), Vec::<String>::new());
        acted(app, &id, "resume-node", json!({}), "succeeded").await;
        acted(app, &id, "upgrade-node", json!({"tag": "2"}), "succeeded").await;
        assert_eq!(app.engine.only().tag, "2");
    })
    .await;
}

/// Behind a port that a stack had before may be another one by now.
#[tokio::test]
async fn what_was_seen_before_a_job_is_not_written_down_after_it() {
    on_each(setup(), async |app: &TestApp| {
        let (_, id) = ready(app).await;
        app.engine.with(|world| world.stacks.values_mut().for_each(|stack| stack.port = 31_000));
        let held = app.engine.looks.write().await;
        let (looked, ()) = tokio::join!(act_with(app, &id, "get-server-status", json!({})), async {
            app.engine.looked.notified().await;
            acted(app, &id, "suspend-node", json!({}), "succeeded").await;
            acted(app, &id, "resume-node", json!({}), "succeeded").await;
            drop(held);
        });
        assert_eq!(looked.status, 200, "{}", looked.body);
        let port = app.engine.only().port;
        assert_ne!(port, 31_000);
        assert_eq!(node(app, &id).await["cockpit_url"], format!("http://stacks.example.org:{port}/"));
        // One that nothing overtook is.
        app.engine.with(|world| world.stacks.values_mut().for_each(|stack| stack.port = 32_000));
        assert_eq!(act_with(app, &id, "get-server-status", json!({})).await.status, 200);
        assert_eq!(node(app, &id).await["cockpit_url"], "http://stacks.example.org:32000/");
    })
    .await;
}

/// A new version is no reason to start what is suspended.
#[tokio::test]
async fn a_suspended_stack_is_upgraded_and_stays_suspended() {
    on_each(setup(), async |app: &TestApp| {
        let (_, id) = ready(app).await;
        app.engine.with(|world| world.unhealthy = ["3".to_owned()].into());
        acted(app, &id, "suspend-node", json!({}), "succeeded").await;
        for (tag, status, has) in [("2", "succeeded", "2"), ("3", "failed", "2")] {
            let job = acted(app, &id, "upgrade-node", json!({"tag": tag}), status).await;
            let stands = node(app, &id).await;
            assert_eq!((&stands["state"], &stands["stack"]["tag"]), (&json!("suspended"), &json!(has)), "{job:#}");
            assert_eq!((app.engine.only().runs, app.engine.only().tag.as_str()), (false, has));
        }
        acted(app, &id, "resume-node", json!({}), "succeeded").await;
        let stands = app.node_is(&id, "ready").await;
        assert_eq!((&stands["stack"]["tag"], &stands["health"]["ready"]), (&json!("2"), &json!(true)), "{stands:#}");
    })
    .await;
}

/// A stack that is suspended and serves all the same is no secret.
#[tokio::test]
async fn a_suspended_stack_of_which_something_runs_is_told() {
    on_each(setup(), async |app: &TestApp| {
        let (_, id) = ready(app).await;
        acted(app, &id, "suspend-node", json!({}), "succeeded").await;
        app.observed().await;
        assert_eq!(node(app, &id).await["drift"], json!([]));
        app.engine.with(|world| world.stacks.values_mut().for_each(|stack| stack.half = true));
        app.observed().await;
        let seen = node(app, &id).await;
        assert_eq!(seen["drift"][0]["observed"], "partly running", "{seen:#}");
        app.engine.with(|world| world.stacks.values_mut().for_each(|stack| stack.half = false));
        app.observed().await;
        assert_eq!(node(app, &id).await["drift"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_pool_whose_template_does_not_fit_its_blueprint_any_more_says_so() {
    on_each(setup(), async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let provider = connect(app).await;
        let admin = app.admin();
        let pool = json!({"name": "shops", "template": wish(&provider, json!({})), "target_ready": 1});
        let made = admin.post("/api/v1/pools", pool).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let mut second = definition();
        second["variables"].as_array_mut().unwrap().push(json!({"name": "CITY"}));
        let saved = save(app, "shop", second).await;
        assert_eq!(saved["pools"][0]["pool"], "shops", "{saved:#}");
        assert!(saved["pools"][0]["misfit"].as_str().unwrap().contains("/compose/variables/CITY"), "{saved:#}");
        assert_eq!(app.services.pools_fill().await.unwrap().acquired, 0);
        let told = admin.get("/api/v1/pools/shops").await;
        assert!(told.body.contains("does not fit the blueprint shop"), "{}", told.body);
        assert!(told.body.contains("/compose/variables/CITY"), "{}", told.body);
        let browser = app.admin_in_browser().await;
        let page = browser.open("/blueprints/shop").await;
        assert!(page.body.contains("data-testid=\"misfits\""), "{}", page.body);

        // Less can be wanted of it, more cannot.
        let patch = async |change: Value| admin.method("PATCH", "/api/v1/pools/shops", change).await;
        for less in [json!({"max_duration_hours": 5}), json!({"max_size": 3}), json!({"target_ready": 0})] {
            let patched = patch(less).await;
            assert_eq!(patched.status, 200, "{}", patched.body);
        }
        for more in [json!({"target_ready": 1}), json!({"max_size": null}), json!({"cleaning": "none"})] {
            let refused = patch(more).await.is_problem(422, "validation");
            assert_eq!(pointers(&refused), ["/template/compose/variables/CITY"], "{refused:#}");
        }

        let compose = json!({"blueprint": "shop", "variables": {"REGION": "north", "CITY": "ulm"}});
        let template = wish(&provider, json!({"compose": compose}));
        assert_eq!(patch(json!({"template": template, "target_ready": 1})).await.status, 200);
        let patched = admin.method("PATCH", "/api/v1/pools/shops", json!({"template": template})).await;
        assert_eq!(patched.status, 200, "{}", patched.body);
        assert_eq!(app.services.pools_fill().await.unwrap().acquired, 1);
        let fits = admin.get("/api/v1/blueprints/shop").await.json();
        assert_eq!(fits["pools"], json!([{"pool": "shops", "misfit": null}]), "{fits:#}");
        assert!(!browser.open("/blueprints/shop").await.body.contains("data-testid=\"misfits\""));
    })
    .await;
}

/// Either the template names a blueprint that is there, or the blueprint is gone and no template names
/// it.
#[tokio::test]
async fn a_blueprint_is_not_retired_while_a_template_comes_to_name_it() {
    on_each(setup(), async |app: &TestApp| {
        let provider = connect(app).await;
        let admin = app.admin();
        for turn in 0..8 {
            let name = format!("shop{turn}");
            save(app, &name, definition()).await;
            let pool = format!("pool{turn}");
            assert_eq!(admin.post("/api/v1/pools", json!({"name": pool})).await.status, 201);
            let compose = json!({"blueprint": name, "variables": {"REGION": "north"}});
            let template = json!({"template": wish(&provider, json!({"compose": compose}))});
            let (put, gone) = (format!("/api/v1/pools/{pool}"), format!("/api/v1/blueprints/{name}"));
            let (put, gone) =
                tokio::join!(admin.method("PATCH", &put, template), admin.method("DELETE", &gone, json!({})));
            assert!(matches!((put.status, gone.status), (200, 409) | (422, 204)), "{} {}", put.body, gone.body);
        }
    })
    .await;
}

#[tokio::test]
async fn every_blueprint_is_listed_and_its_file_is_not() {
    on_each(setup(), async |app: &TestApp| {
        let filler = |n: u32, retired: bool| BlueprintRow {
            name: format!("{}{n:03}", if retired { "a" } else { "b" }).parse().unwrap(),
            version: 1,
            definition: serde_json::from_value(definition()).unwrap(),
            created_by: UserId::admin(),
            created_at: Timestamp::from_millis(1),
            retired_at: retired.then_some(Timestamp::from_millis(2)),
        };
        let rows: Vec<_> = (0..501).map(|n| filler(n, true)).chain((0..201).map(|n| filler(n, false))).collect();
        app.services
            .store()
            .write::<(), StoreError, _>(move |c| {
                let rows = rows.clone();
                Box::pin(async move {
                    for row in &rows {
                        c.blueprint_insert(row).await?;
                    }
                    Ok(())
                })
            })
            .await
            .unwrap();
        let listed = app.admin().get("/api/v1/blueprints").await.json();
        let listed = listed.as_array().unwrap();
        assert_eq!(listed.len(), 201);
        assert!(
            listed.iter().all(|it| it["definition"]["file"] == "" && it["name"].as_str().unwrap().starts_with('b'))
        );
        let one = app.admin().get("/api/v1/blueprints/b200").await.json();
        assert_eq!(one["definition"]["file"], definition()["file"]);
    })
    .await;
}

#[tokio::test]
async fn a_dns_name_that_could_lead_nowhere_is_refused_before_anything_is_made() {
    on_each(setup(), async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let admin = app.admin();
        let refused = async |host: &str| {
            let account = json!({"kind": KIND, "name": host, "settings": {"host": host}});
            let made = admin.post("/api/v1/providers", account).await;
            assert_eq!(made.status, 201, "{}", made.body);
            let provider = made.json()["id"].as_str().unwrap().to_owned();
            let dns = json!({"provider_id": provider, "zone": "example.com", "name": "alpha"});
            let reply = admin.post("/api/v1/nodes", wish(&provider, json!({"dns": dns}))).await;
            assert_eq!(reply.status, 422, "{}", reply.body);
            pointers(&reply.json()).contains(&"/dns")
        };
        assert!(refused("stacks.example.org").await, "a record does not lead to a name");
        assert!(refused("127.0.0.1").await, "nobody else's machine is meant");
        assert!(refused("::1").await);
        assert!(!refused("203.0.113.7").await, "an address is what a record leads to");
        assert!(app.engine.with(|world| world.stacks.is_empty()));
    })
    .await;
}

/// What cannot be masked is not asked for.
#[tokio::test]
async fn no_command_is_run_while_the_secrets_cannot_be_read() {
    on_each(setup(), async |app: &TestApp| {
        let (_, id) = ready(app).await;
        let node_id: domain::id::NodeId = id.parse().unwrap();
        app.services
            .store()
            .write::<(), StoreError, _>(move |c| {
                let id = node_id.clone();
                Box::pin(async move {
                    let mut row = c.node_lock(&id).await?.unwrap();
                    row.secrets_sealed = Some("v1:not:to:be:opened".to_owned());
                    c.node_save(&row).await.map(drop)
                })
            })
            .await
            .unwrap();
        let begun = act_with(app, &id, "exec-command", json!({"argv": ["env"]})).await;
        begun.is_problem(500, "internal");
        assert_eq!(app.engine.with(|world| world.ran.len()), 0);
    })
    .await;
}

#[tokio::test]
async fn a_stack_without_data_is_destroyed_without_a_backup_whatever_is_asked() {
    on_each(setup(), async |app: &TestApp| {
        let mut bare = definition();
        bare["services"] = json!([{"name": "web", "role": "application"}]);
        bare["file"] = json!("services:\n  web: {image: 'web:1', ports: ['80']}\n");
        bare["variables"] = json!([]);
        save(app, "shop", bare).await;
        let provider = connect(app).await;
        let compose = json!({"compose": {"blueprint": "shop"}});
        let (id, _) = acquire(app, &provider, compose).await;
        app.node_is(&id, "ready").await;
        let browser = app.admin_in_browser().await;
        let page = browser.open(&format!("/nodes/{id}")).await;
        assert!(!page.body.contains("name=\"backup\""), "there is nothing to choose: {}", page.body);
        app.engine.with(|world| world.backup_fails = Some(Code::ProviderBackupFailed));
        // What cannot be read is refused, and that stands in the trail.
        let unread = act_with(app, &id, "destroy-node", json!({"backup": "perhaps"})).await;
        assert!(matches!(unread.status, 400 | 422), "{}", unread.body);
        let audit = app.admin().get(&format!("/api/v1/audit?subject={id}")).await.json();
        assert!(audit["items"].as_array().unwrap().iter().any(|it| it["action"] == "destroy-node"), "{audit:#}");
        acted(app, &id, "destroy-node", json!({"backup": true}), "succeeded").await;
        app.node_is(&id, "destroyed").await;
        let page = browser.open(&format!("/nodes/{id}")).await;
        assert!(page.body.contains(&format!("/backups?subject={id}")), "{}", page.body);
    })
    .await;
}

/// What never served has no data that somebody misses: without a word nothing is kept, and the page
/// does not ask.
#[tokio::test]
async fn a_stack_that_never_served_is_not_asked_for_a_backup() {
    on_each(setup().with_work(|work| work.verify_deadline = Duration::from_secs(2)), async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let provider = connect(app).await;
        app.engine.with(|world| world.unhealthy.insert("1".to_owned()));
        let (id, _) = acquire(app, &provider, json!({})).await;
        app.node_is(&id, "failed").await;
        let browser = app.admin_in_browser().await;
        let page = browser.open(&format!("/nodes/{id}")).await;
        assert!(!page.body.contains("name=\"backup\""), "{}", page.body);
        app.engine.with(|world| world.backup_fails = Some(Code::ProviderBackupFailed));
        acted(app, &id, "destroy-node", json!({}), "succeeded").await;
    })
    .await;
}

/// Without JavaScript the address says whose variables are asked for.
#[tokio::test]
async fn every_blueprint_can_be_acquired_by_a_plain_form() {
    on_each(setup(), async |app: &TestApp| {
        let mut blog = definition();
        blog["variables"] =
            json!([{"name": "TITLE"}, {"name": "REGION", "default": "n"}, {"name": "PASSWORD", "generate": true}]);
        save(app, "blog", blog).await;
        save(app, "shop", definition()).await;
        let provider = connect(app).await;
        assert_eq!(app.admin().post("/api/v1/pools", json!({"name": "shops"})).await.status, 201);
        let browser = app.admin_in_browser().await;
        let can_be_typed = |page: &str, name: &str| {
            let at = page.find(&format!("data-blueprint=\"{name}\"")).unwrap();
            let tag = &page[page[..at].rfind("<fieldset").unwrap()..at];
            !tag.contains("disabled") && !tag.contains("hidden")
        };
        for (form, other) in [
            (format!("/nodes?acquire=new&account={provider}"), ""),
            (format!("/pools/shops?do=template&account={provider}"), "#template"),
        ] {
            let first = browser.open(&form).await.body;
            assert!(can_be_typed(&first, "blog") && !can_be_typed(&first, "shop"), "{first}");
            let link = format!("{form}&blueprint=shop{other}").replace('&', "&amp;");
            assert!(first.contains(&format!("href=\"{link}\"")), "{link}: {first}");
            let second = browser.open(&format!("{form}&blueprint=shop")).await.body;
            assert!(can_be_typed(&second, "shop") && !can_be_typed(&second, "blog"), "{second}");
        }
    })
    .await;
}
