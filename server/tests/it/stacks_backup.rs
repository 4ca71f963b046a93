//! What is kept of stacks, and what goes back when it is no good: whatever fails on the way, nothing is
//! taken away that was to be kept first.

use std::time::{Duration, SystemTime};

use domain::code::Code;
use serde_json::json;

use crate::{
    allocations::{all, ask, release},
    app::{TestApp, on_each},
    nodes::step,
    stacks::{acquire, connect, definition, files_below, ready, save, setup, wish},
    verbs::{act_with, acted},
};

/// Whatever ends the work, it ends with the stack and its data where they were.
#[tokio::test]
async fn nothing_is_taken_away_whose_backup_was_wanted() {
    on_each(setup(), async |app: &TestApp| {
        let (_, node) = ready(app).await;
        app.engine.with(|world| world.files = vec![("db.tar".to_owned(), b"data".to_vec())]);
        let stays = async |named: &str| {
            let kept = app.node_is(&node, "failed").await;
            let told = (&kept["code"], &kept["failed_stage"], &kept["cleanup"]);
            assert_eq!(told, (&json!("PROVIDER_BACKUP_FAILED"), &json!("destroying"), &json!("none")), "{named}");
            assert!(app.engine.only().runs, "{named}: it is still there");
            assert_eq!(files_below(&app.dir.path().join("backups")).len(), 0, "{named}: nothing half is left");
            let open = app.admin().get("/api/v1/jobs?kind=node_cleanup").await.json();
            assert_eq!(open["items"], json!([]), "{named}: nobody comes after it");
        };
        // The adapter breaks down at every attempt.
        app.engine.with(|world| world.backup_panics = true);
        acted(app, &node, "destroy-node", json!({"backup": true}), "failed").await;
        stays("a panic").await;
        // One answer that it is gone, of a stack that stands.
        app.engine.with(|world| (world.backup_panics, world.backup_fails) = (false, Some(Code::ProviderResourceGone)));
        acted(app, &node, "retry-node", json!({}), "failed").await;
        stays("said to be gone").await;
        // One that is gone indeed has nothing to keep.
        app.engine.with(|world| world.stacks.clear());
        acted(app, &node, "retry-node", json!({}), "succeeded").await;
        app.node_is(&node, "destroyed").await;
        assert_eq!(all(&app.admin(), "/api/v1/backups").await.len(), 0);
    })
    .await;
}

/// A stack of a pool with backups whose holder gave it back while the engine does not answer.
async fn given_back_unreachable(app: &TestApp, provider: &str) -> String {
    let admin = app.admin();
    let compose = json!({"blueprint": "shop", "variables": {"REGION": "n"}, "backup": true});
    let template = wish(provider, json!({"name": "shop", "compose": compose}));
    let made = admin.post("/api/v1/pools", json!({"name": "shops", "template": template, "target_ready": 1})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    app.until("/api/v1/pools/shops", "full", |pool| pool["counts"]["available"] == 1).await;
    let mine = ask(&app.user().await, "shops").await.json();
    app.engine.with(|world| world.backup_fails = Some(Code::ProviderUnreachable));
    assert_eq!(release(&admin, &mine["id"]).await.status, 200);
    mine["pool_vm_id"].as_str().unwrap().to_owned()
}

/// Nobody asked for it in person, so nobody would ask again: it waits, and says for what.
#[tokio::test]
async fn a_pools_machine_waits_for_its_backup_as_long_as_it_takes() {
    on_each(setup(), async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let provider = connect(app).await;
        let admin = app.admin();
        app.engine.with(|world| world.files = vec![("db.tar".to_owned(), vec![1, 2, 3])]);
        app.watched(async {
            let node = given_back_unreachable(app, &provider).await;
            let path = "/api/v1/pools/shops/vms";
            let waits = |vms: &serde_json::Value| {
                let mut vms = vms["items"].as_array().unwrap().iter();
                vms.any(|vm| vm["note"].as_str().is_some_and(|note| note.starts_with("it waits for its backup: ")))
            };
            app.until(path, "waiting", waits).await;
            assert_eq!(admin.get(&format!("/api/v1/nodes/{node}")).await.json()["state"], "destroying");
            app.engine.with(|world| world.backup_fails = None);
            app.node_is(&node, "destroyed").await;
            assert_eq!(all(&admin, "/api/v1/backups").await[0]["node_id"], node);
        })
        .await;
    })
    .await;
}

/// Whoever wants backups of a pool means the machines that are in it, however they came there.
#[tokio::test]
async fn a_pools_wish_for_backups_holds_for_the_machines_that_it_has() {
    on_each(setup(), async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let provider = connect(app).await;
        let (admin, user) = (app.admin(), app.user().await);
        app.engine.with(|world| world.files = vec![("db.tar".to_owned(), vec![1, 2, 3])]);
        let template = |more| wish(&provider, json!({"name": "shop", "compose": more}));
        let plain = json!({"blueprint": "shop", "variables": {"REGION": "n"}});
        let pool = json!({"name": "shops", "template": template(plain.clone())});
        assert_eq!(admin.post("/api/v1/pools", pool).await.status, 201);
        app.watched(async {
            let (byhand, _) = acquire(app, &provider, json!({"pool": "shops", "name": "byhand"})).await;
            app.node_is(&byhand, "ready").await;
            let mut kept = plain.clone();
            kept["backup"] = json!(true);
            let patched = admin.method("PATCH", "/api/v1/pools/shops", json!({"template": template(kept)})).await;
            assert_eq!(patched.status, 200, "{}", patched.body);
            let mine = ask(&user, "shops").await.json();
            assert_eq!(mine["pool_vm_id"], byhand, "{mine:#}");
            assert_eq!(release(&admin, &mine["id"]).await.status, 200);
            app.node_is(&byhand, "destroyed").await;
            assert_eq!(all(&admin, "/api/v1/backups").await[0]["node_id"], byhand);
        })
        .await;
    })
    .await;
}

/// A destruction that did not happen is no dead end: what still has its data is taken into use again.
#[tokio::test]
async fn what_was_to_be_destroyed_and_was_not_can_be_kept() {
    on_each(setup(), async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let provider = connect(app).await;
        let (node, _) = acquire(app, &provider, json!({"pool": "default"})).await;
        app.node_is(&node, "ready").await;
        app.engine.with(|world| world.files = vec![("db.tar".to_owned(), b"data".to_vec())]);
        // The adapter made one, and what was written is not what it says.
        app.engine.with(|world| world.backup_lies = true);
        acted(app, &node, "destroy-node", json!({"backup": true}), "failed").await;
        assert!(app.engine.only().runs, "what was stopped for it runs again");
        // Whatever happens to it meanwhile is told.
        app.engine.with(|world| world.stacks.values_mut().for_each(|stack| stack.runs = false));
        app.observed().await;
        let failed = app.node_is(&node, "failed").await;
        assert_eq!((&failed["drift"][0]["field"], &failed["drift"][0]["observed"]), (&json!("status"), &json!("off")));
        let blocked = act_with(app, &node, "upgrade-node", json!({"tag": "2"})).await.is_problem(409, "action_blocked");
        assert!(blocked.to_string().contains("Resume it to keep it"), "{blocked:#}");

        acted(app, &node, "resume-node", json!({}), "succeeded").await;
        let kept = app.node_is(&node, "ready").await;
        assert!(app.engine.only().runs);
        let told = (&kept["code"], &kept["failed_stage"], &kept["health"]["ready"]);
        assert_eq!(told, (&json!(null), &json!(null), &json!(true)), "{kept:#}");
        // Nobody is given what somebody else left on it.
        let vm = all(&app.admin(), "/api/v1/pools/default/vms").await.remove(0);
        assert_eq!((&vm["id"], &vm["status"]), (&json!(node), &json!("maintenance")), "{vm:#}");
        assert_eq!(ask(&app.user().await, "default").await.json()["status"], "waiting");

        app.engine.with(|world| world.backup_lies = false);
        acted(app, &node, "destroy-node", json!({"backup": true}), "succeeded").await;
        assert_eq!(all(&app.admin(), "/api/v1/backups").await.len(), 1);
        acted_not(app, &node, "resume-node").await;
    })
    .await;
}

async fn acted_not(app: &TestApp, node: &str, identity: &str) {
    act_with(app, node, identity, json!({})).await.is_problem(409, "action_blocked");
}

/// What waits for an engine that never comes back is not waited for against a person's will.
#[tokio::test]
async fn the_wait_for_a_backup_can_be_ended() {
    on_each(setup(), async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let provider = connect(app).await;
        let admin = app.admin();
        app.watched(async {
            let node = given_back_unreachable(app, &provider).await;
            let jobs = format!("/api/v1/jobs?subject={node}&kind=node_destroy");
            let waits = |jobs: &serde_json::Value| {
                let job = &jobs["items"][0];
                job["status"] == "queued" && job["error"]["code"] == "PROVIDER_UNREACHABLE"
            };
            let job = app.until(&jobs, "waiting", waits).await["items"][0]["id"].as_str().unwrap().to_owned();
            let ended = admin.post(&format!("/api/v1/jobs/{job}/cancel"), json!({})).await;
            assert!(matches!(ended.status, 200 | 202), "{}", ended.body);
            app.job_is(&job, "cancelled").await;
            let kept = app.node_is(&node, "failed").await;
            let told = (&kept["code"], &kept["failed_stage"], &kept["cleanup"]);
            assert_eq!(told, (&json!("PROVIDER_BACKUP_FAILED"), &json!("destroying"), &json!("none")), "{kept:#}");
            assert!(app.engine.with(|world| world.stacks.values().any(|stack| stack.node_id == node)), "it is there");
            acted(app, &node, "destroy-node", json!({"backup": false}), "succeeded").await;
            assert_eq!(all(&admin, "/api/v1/backups").await.len(), 0);
        })
        .await;
    })
    .await;
}

/// What lies on another machine, or on a disk that is not mounted, is not forgotten by the way.
#[tokio::test]
async fn a_backup_whose_files_are_not_here_is_forgotten_only_when_that_is_said() {
    on_each(setup(), async |app: &TestApp| {
        let (_, node) = ready(app).await;
        app.engine.with(|world| world.files = vec![("db.tar".to_owned(), b"data".to_vec())]);
        acted(app, &node, "destroy-node", json!({"backup": true}), "succeeded").await;
        let admin = app.admin();
        let backup = all(&admin, "/api/v1/backups").await.remove(0);
        let (home, away) = (app.dir.path().join("backups"), app.dir.path().join("away"));
        std::fs::rename(&home, &away).unwrap();
        let path = format!("/api/v1/backups/{}", backup["id"].as_str().unwrap());
        let refused = admin.method("DELETE", &path, json!({})).await.is_problem(409, "conflict");
        assert!(refused["detail"].as_str().unwrap().contains("missing=true"), "{refused:#}");
        assert_eq!(admin.get(&path).await.json()["missing"], true);
        // It is back, with its secrets.
        std::fs::rename(&away, &home).unwrap();
        assert_eq!(admin.open(&format!("{path}/download")).await.status, 200);
        std::fs::rename(&home, &away).unwrap();
        assert_eq!(admin.method("DELETE", &format!("{path}?missing=true"), json!({})).await.status, 204);
        assert_eq!(all(&admin, "/api/v1/backups").await.len(), 0);
        assert_eq!(files_below(&away).len(), 1, "the files stay where they are");
    })
    .await;
}

/// The engine takes two seconds of running for healthy; whether it serves is Hangar's own check.
#[tokio::test]
async fn what_only_hangars_own_check_refuses_goes_back_too() {
    let setup = setup().with_work(|work| work.verify_deadline = Duration::from_secs(2));
    on_each(setup, async |app: &TestApp| {
        let (_, node) = ready(app).await;
        app.engine.with(|world| world.ill = ["2".to_owned()].into());
        let failed = acted(app, &node, "upgrade-node", json!({"tag": "2"}), "failed").await;
        assert_eq!(failed["error"]["code"], "PROVISION_NOT_READY", "{failed:#}");
        assert_eq!(step(&failed, "roll_back")["status"], "succeeded", "{failed:#}");
        let back = app.node_is(&node, "ready").await;
        assert_eq!((&back["stack"]["tag"], &back["health"]["ready"]), (&json!("1"), &json!(true)), "{back:#}");
        assert_eq!(app.engine.with(|world| world.upgrades.clone()), ["2", "1"]);
        assert_eq!(app.engine.only().tag, "1");
        // The next one that is good comes.
        acted(app, &node, "upgrade-node", json!({"tag": "3"}), "succeeded").await;
        assert_eq!(app.node_is(&node, "ready").await["stack"]["tag"], "3");
    })
    .await;
}

/// What nobody finishes any more goes; what is whole may be all that there is.
#[tokio::test]
async fn unfinished_backups_do_not_stay() {
    on_each(setup(), async |app: &TestApp| {
        let (_, node) = ready(app).await;
        let backups = app.dir.path().join("backups");
        let made = |node: &str, name: &str, age: Duration| {
            let folder = backups.join(node).join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("db.tar"), "data").unwrap();
            std::fs::File::open(&folder).unwrap().set_modified(SystemTime::now() - age).unwrap();
            folder
        };
        let (hour, moment) = (Duration::from_secs(3_700), Duration::from_secs(60));
        let old = made(&node, "2026-01-01T00-00-00-000Z-1.part", hour);
        let young = made(&node, "2026-01-01T00-00-00-000Z-2.part", moment);
        let whole = made(&node, "2026-01-01T00-00-00-000Z-3", hour);
        let nobodys = made("nod_01980000000070008000000000000001", "x-1.part", hour);
        let foreign = made("lost+found", "x-1.part", hour);
        assert_eq!(app.services.backups_sweep().await.unwrap(), 2);
        for (folder, stays) in [(&old, false), (&young, true), (&whole, true), (&nobodys, false), (&foreign, true)] {
            assert_eq!(folder.exists(), stays, "{}", folder.display());
        }
        assert!(!nobodys.parent().unwrap().exists());
    })
    .await;
}
