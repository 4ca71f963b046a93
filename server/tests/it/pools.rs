//! Pools: who may be in one, and what an administrator may do with its machines.

use serde_json::json;

use crate::{
    allocations::{all, ask, release},
    app::{Setup, TestApp, on_each},
    nodes::{acquire, connect, vendor},
};

#[tokio::test]
async fn ids_are_unique_in_the_installation() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let (node, _) = acquire(app, &provider, json!({"pool": "default"})).await;
        app.node_is(&node, "ready").await;
        let before = all(&app.admin(), "/api/v1/pools/default/vms").await;
        let reply = app.admin().post("/admin/pool-refresh", json!([{"id": "fresh"}, {"id": node}])).await;
        assert!(reply.is_problem(400, "bad_request")["detail"].as_str().unwrap().contains(&node));
        assert_eq!(all(&app.admin(), "/api/v1/pools/default/vms").await, before, "all or nothing");
        // A list concerns the listed ones alone.
        assert_eq!(app.admin().post("/admin/pool-refresh", json!([])).await.json()["removed"], 3);
        let counts = app.admin().get("/api/v1/pools/default").await.json()["counts"].clone();
        assert_eq!(counts["available"], 1, "{counts}");
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn machines_are_held_back_drained_and_let_go() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let (admin, user) = (app.admin(), app.user().await);
        let mark = async |id: &str, status: &str| {
            admin.method("PATCH", &format!("/api/v1/pools/default/vms/{id}"), json!({ "status": status })).await
        };
        let mine = ask(&user, "default").await.json();
        assert_eq!(mine["pool_vm_id"], "vm-1");
        mark("vm-1", "maintenance").await.is_problem(409, "conflict");
        mark("vm-1", "available").await.is_problem(409, "conflict");
        for wrong in ["allocated", "cleaning", "retired"] {
            mark("vm-2", wrong).await.is_problem(422, "validation");
        }
        mark("vm-9", "available").await.is_problem(404, "not_found");
        assert_eq!(mark("vm-2", "maintenance").await.json()["status"], "maintenance");
        assert_eq!(mark("vm-2", "maintenance").await.status, 200, "twice is once");
        let drained = mark("vm-1", "draining").await.json();
        assert_eq!((&drained["status"], &drained["allocation_id"]), (&json!("draining"), &mine["id"]));
        assert_eq!(ask(&admin, "default").await.json()["pool_vm_id"], "vm-3");
        let waits = ask(&admin, "default").await.json();
        assert_eq!(waits["position"], 1);
        assert_eq!(release(&user, &mine["id"]).await.status, 200);
        let path = format!("/api/v1/allocations/{}", waits["id"].as_str().unwrap());
        assert_eq!(admin.get(&path).await.json()["status"], "waiting", "a drained one is not handed on");
        assert_eq!(mark("vm-2", "available").await.json()["status"], "allocated");
        assert_eq!(admin.get(&path).await.json()["pool_vm_id"], "vm-2");
        // A pool that is in use stays.
        admin.method("DELETE", "/api/v1/pools/default", json!({})).await.is_problem(409, "action_blocked");
    })
    .await;
}

/// What a caller put into the wrong field does not come back to whoever reads the answer or the log.
#[tokio::test]
async fn refusals_quote_no_values() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let (admin, planted) = (app.admin(), "pl4nted-in-the-wrong-field");
        let held = ask(&admin, "default").await.json();
        let extend = format!("/api/v1/allocations/{}/actions/extend-allocation", held["id"].as_str().unwrap());
        for (path, body) in [
            (extend.as_str(), json!({"hours": planted})),
            ("/api/v1/infra/create-server", json!({"provider_id": "prv_1", "name": "n", "keep_failed_for": planted})),
            ("/admin/pool-refresh", json!([{"id": "a", "ssh_port": planted}])),
        ] {
            let reply = admin.post(path, body).await;
            let problem = reply.is_problem(400, "bad_request");
            assert!(!problem.to_string().contains(planted), "{path}: {problem:#}");
        }
    })
    .await;
}

/// Every line of the trail names the request that caused it; here, as it lies in the database.
#[tokio::test]
async fn the_trail_names_the_request() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let asked = ask(&app.admin(), "default").await;
        let refused = app.admin().post("/api/v1/allocations", json!({"pool": "default", "duration_hours": 0})).await;
        assert_eq!((asked.status, refused.status), (201, 422));
        let files = || std::fs::read_dir(app.dir.path()).unwrap().map(|f| f.unwrap().path());
        let database: Vec<_> = files().filter(|p| p.to_string_lossy().contains(".db")).collect();
        for reply in [asked, refused] {
            let id = reply.header("x-request-id").to_owned();
            let there = database.iter().any(|p| crate::sessions::contains(&std::fs::read(p).unwrap(), id.as_bytes()));
            // On PostgreSQL the database lies elsewhere.
            assert!(there || database.is_empty(), "{id} is not in the trail");
        }
    })
    .await;
}
