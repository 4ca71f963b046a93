//! What is kept of stacks, and what goes back when it is no good: whatever fails on the way, nothing is
//! taken away that was to be kept first.

use std::time::{Duration, SystemTime};

use domain::code::Code;
use serde_json::json;

use crate::{
    allocations::{all, ask, release},
    app::{TestApp, on_each},
    nodes::step,
    stacks::{connect, definition, files_below, ready, save, setup, wish},
    verbs::acted,
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

/// Nobody asked for it in person, so nobody would ask again: it waits, and says for what.
#[tokio::test]
async fn a_pools_machine_waits_for_its_backup_as_long_as_it_takes() {
    on_each(setup(), async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let provider = connect(app).await;
        let admin = app.admin();
        app.engine.with(|world| world.files = vec![("db.tar".to_owned(), vec![1, 2, 3])]);
        let compose = json!({"blueprint": "shop", "variables": {"REGION": "n"}, "backup": true});
        let template = wish(&provider, json!({"name": "shop", "compose": compose}));
        let made = admin.post("/api/v1/pools", json!({"name": "shops", "template": template, "target_ready": 1})).await;
        assert_eq!(made.status, 201, "{}", made.body);
        app.watched(async {
            app.until("/api/v1/pools/shops", "full", |pool| pool["counts"]["available"] == 1).await;
            let mine = ask(&app.user().await, "shops").await.json();
            let node = mine["pool_vm_id"].as_str().unwrap().to_owned();
            app.engine.with(|world| world.backup_fails = Some(Code::ProviderUnreachable));
            assert_eq!(release(&admin, &mine["id"]).await.status, 200);
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
