//! Profiles: stored in versions, run once per node and version, and checked by the very list that
//! they install.

use std::time::Duration;

use serde_json::{Value, json};
use simulators::{Hosts, Ssh};

use crate::{
    app::{Setup, TestApp, on_each},
    nodes::{acquire, act, connect, connect_with, step, vendor, vendor_with},
    verbs::acted,
};

#[tokio::test]
async fn versions_are_stored_and_never_changed() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let (admin, user) = (app.admin(), app.user().await);
        assert_eq!(user.get("/api/v1/profiles").await.status, 403);
        let listed = admin.get("/api/v1/profiles").await.json();
        let names: Vec<_> = listed.as_array().unwrap().iter().map(|p| p["name"].clone()).collect();
        assert_eq!(names, ["base", "none"]);
        assert_eq!((&listed[0]["version"], &listed[1]["definition"]), (&json!(0), &Value::Null));
        admin.method("PUT", "/api/v1/profiles/none", json!({})).await.is_problem(422, "validation");
        let wrong = json!({"requires": [{"command": "a b"}], "timeout_seconds": 5});
        let problem = admin.method("PUT", "/api/v1/profiles/web", wrong).await.is_problem(422, "validation");
        let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].clone()).collect();
        assert_eq!(pointers, ["/requires/0/command", "/timeout_seconds"]);
        admin.get("/api/v1/profiles/web").await.is_problem(404, "not_found");
        for (version, script) in [(1, "echo one"), (2, "echo two")] {
            let saved = admin.method("PUT", "/api/v1/profiles/web", json!({"script": script})).await;
            assert_eq!((saved.status, &saved.json()["version"]), (200, &json!(version)), "{}", saved.body);
        }
        let first = admin.get("/api/v1/profiles/web?version=1").await.json();
        assert_eq!((&first["version"], &first["definition"]["script"]), (&json!(1), &json!("echo one")));
        let versions: Vec<_> = first["versions"].as_array().unwrap().iter().map(|v| v["version"].clone()).collect();
        assert_eq!(versions, [2, 1]);
        admin.get("/api/v1/profiles/web?version=3").await.is_problem(404, "not_found");
        // What is shipped stays to be seen after an administrator changed it.
        let saved = admin.method("PUT", "/api/v1/profiles/base", json!({"script": "true"})).await.json();
        assert_eq!(saved["versions"].as_array().unwrap().len(), 2);
        let shipped = admin.get("/api/v1/profiles/base?version=0").await.json();
        assert_eq!(shipped["definition"]["requires"][0]["command"], "curl");
        let audit = admin.get("/api/v1/audit?kind=profile").await.json();
        assert_eq!(audit["items"].as_array().unwrap().len(), 3, "{audit:#}");

        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let wish = json!({"provider_id": provider, "name": "alpha", "server_type": "cx23", "location": "fsn1",
            "image": "debian-12", "profile": "nowhere"});
        let problem = admin.post("/api/v1/nodes", wish).await.is_problem(422, "validation");
        assert_eq!(problem["errors"][0]["pointer"], "/profile");
        assert!(problem["errors"][0]["message"].as_str().unwrap().contains("base, none, web"), "{problem:#}");
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_profile_runs_is_kept_with_its_output_and_decides_readiness() {
    let setup = Setup::usual().with("VM_POOL_JSON", "").with_jobs().with_work(|work| {
        work.verify_deadline = Duration::from_secs(20);
    });
    on_each(setup, async |app: &TestApp| {
        let vendor = vendor_with(Hosts::Loopback { cockpit_port: 0, ssh: Ssh::Auto { port: 0 } }).await;
        let (Some(port), Some(user)) = (vendor.ssh_port(), vendor.ssh_user()) else {
            assert!(vendor.ssh_unavailable_reason().is_some());
            return vendor.shutdown().await;
        };
        let admin = app.admin();
        let settings = json!({"endpoint": vendor.endpoint(), "ssh_port": port, "ssh_user": user});
        let provider = connect_with(app, settings).await;
        let save = async |body: Value| {
            let saved = admin.method("PUT", "/api/v1/profiles/web", body).await;
            assert_eq!(saved.status, 200, "{}", saved.body);
        };
        save(json!({"script": "echo begun >>/root/runs; echo token=abcdef123456; echo it broke >&2; exit 7"})).await;
        let (node, job) = acquire(app, &provider, json!({"profile": "web", "pool": "default"})).await;
        let failed = app.job_is(&job, "failed").await;
        assert_eq!(failed["error"]["code"], "PROVISION_SCRIPT_FAILED", "{failed:#}");
        assert!(failed["error"]["message"].as_str().unwrap().contains('7'), "{failed:#}");
        let output = failed["output"]["stdout"].as_str().unwrap();
        assert!(output.contains("it broke") && !output.contains("abcdef123456"), "{output}");
        let kept = app.node_is(&node, "failed").await;
        assert_eq!((&kept["failed_stage"], &kept["profile_version"]), (&json!("provisioning"), &json!(1)));

        // Mended, the node is tried again from where it failed, with the newest version.
        let long = "for n in 1 2 3; do echo line $n; done; echo mended >>/root/runs";
        save(json!({"script": long, "requires": [{"command": "nothing-like-it"}]})).await;
        let failed = acted(app, &node, "retry-node", json!({}), "failed").await;
        assert_eq!(failed["error"]["code"], "PROVISION_NOT_READY", "{failed:#}");
        assert_eq!(failed["output"]["stdout"], "line 1\nline 2\nline 3\n", "{failed:#}");
        let kept = app.node_is(&node, "failed").await;
        assert_eq!(kept["health"]["reason_codes"], json!(["node_not_ready", "runtime_missing"]), "{kept:#}");
        assert_eq!((&kept["failed_stage"], &kept["profile_version"]), (&json!("verifying"), &json!(2)));

        save(json!({"script": "echo last >>/root/runs"})).await;
        let done = acted(app, &node, "retry-node", json!({}), "succeeded").await;
        assert_eq!(step(&done, "run_profile")["detail"], "web version 3", "{done:#}");
        let ready = app.node_is(&node, "ready").await;
        assert_eq!((&ready["profile"], &ready["profile_version"]), (&json!("web"), &json!(3)));
        let runs = acted(app, &node, "exec-command", json!({"argv": ["cat", "/root/runs"]}), "succeeded").await;
        assert_eq!(runs["output"]["stdout"], "begun\nmended\nlast\n", "each ran once: {runs:#}");
        assert_eq!(admin.get("/api/v1/profiles/web").await.json()["nodes"], 1);
        vendor.shutdown().await;
    })
    .await;
}

/// A script that hangs is killed, its last words are kept, and the next attempt is another run.
#[tokio::test]
async fn a_profile_that_hangs_is_killed_and_run_again() {
    let setup = Setup::usual().with("VM_POOL_JSON", "").with_jobs().with_work(|work| {
        work.verify_deadline = Duration::from_secs(20);
        work.max_attempts = 2;
    });
    on_each(setup, async |app: &TestApp| {
        let vendor = vendor_with(Hosts::Loopback { cockpit_port: 0, ssh: Ssh::Auto { port: 0 } }).await;
        let (Some(port), Some(user)) = (vendor.ssh_port(), vendor.ssh_user()) else {
            assert!(vendor.ssh_unavailable_reason().is_some());
            return vendor.shutdown().await;
        };
        let settings = json!({"endpoint": vendor.endpoint(), "ssh_port": port, "ssh_user": user});
        let provider = connect_with(app, settings).await;
        let script = "echo x >>/root/runs; [ \"$(wc -l </root/runs)\" -gt 1 ] || { echo stuck; sleep 600; }";
        let body = json!({"script": script, "timeout_seconds": 10});
        assert_eq!(app.admin().method("PUT", "/api/v1/profiles/slow", body).await.status, 200);
        let (node, job) = acquire(app, &provider, json!({"profile": "slow"})).await;
        let path = format!("/api/v1/jobs/{job}");
        // While it runs, what it says is seen.
        app.until(&path, "speaking", |j| j["output"]["stdout"] == "stuck\n").await;
        let done = app.job_is(&job, "succeeded").await;
        assert_eq!(done["attempt"], 2, "{done:#}");
        app.node_is(&node, "ready").await;
        vendor.shutdown().await;
    })
    .await;
}

/// Cancelled while its script ran, a node is tried again: the old run is ended before the new one
/// begins.
#[tokio::test]
async fn a_run_that_was_given_up_is_ended_before_the_next() {
    let setup = Setup::usual().with("VM_POOL_JSON", "").with_jobs().with_work(|work| {
        work.verify_deadline = Duration::from_secs(20);
    });
    on_each(setup, async |app: &TestApp| {
        let vendor = vendor_with(Hosts::Loopback { cockpit_port: 0, ssh: Ssh::Auto { port: 0 } }).await;
        let (Some(port), Some(user)) = (vendor.ssh_port(), vendor.ssh_user()) else {
            assert!(vendor.ssh_unavailable_reason().is_some());
            return vendor.shutdown().await;
        };
        let settings = json!({"endpoint": vendor.endpoint(), "ssh_port": port, "ssh_user": user});
        let provider = connect_with(app, settings).await;
        let admin = app.admin();
        let save = async |script: &str| {
            let saved = admin.method("PUT", "/api/v1/profiles/long", json!({"script": script})).await;
            assert_eq!(saved.status, 200, "{}", saved.body);
        };
        save("echo $$ >/root/pid; echo at work; sleep 600").await;
        let (node, job) = acquire(app, &provider, json!({"profile": "long"})).await;
        let path = format!("/api/v1/jobs/{job}");
        app.until(&path, "at work", |j| j["output"]["stdout"] == "at work\n").await;
        assert_eq!(admin.post(&format!("{path}/cancel"), json!({})).await.status, 200);
        app.job_is(&job, "cancelled").await;
        assert_eq!(app.node_is(&node, "failed").await["failed_stage"], "provisioning");
        save("kill -0 \"$(cat /root/pid)\" && exit 9; true").await;
        acted(app, &node, "retry-node", json!({}), "succeeded").await;
        assert_eq!(app.node_is(&node, "ready").await["profile_version"], 2);
        vendor.shutdown().await;
    })
    .await;
}

/// Whichever job began the run that was given up, and however often ending it fails: no other begins
/// before it is ended.
#[tokio::test]
async fn a_run_that_was_given_up_is_known_until_it_is_ended() {
    let setup = Setup::usual().with("VM_POOL_JSON", "").with_jobs().with_work(|work| {
        work.verify_deadline = Duration::from_secs(20);
    });
    on_each(setup, async |app: &TestApp| {
        let vendor = vendor_with(Hosts::Loopback { cockpit_port: 0, ssh: Ssh::Auto { port: 0 } }).await;
        let (Some(port), Some(user)) = (vendor.ssh_port(), vendor.ssh_user()) else {
            assert!(vendor.ssh_unavailable_reason().is_some());
            return vendor.shutdown().await;
        };
        let settings = json!({"endpoint": vendor.endpoint(), "ssh_port": port, "ssh_user": user});
        let provider = connect_with(app, settings).await;
        let admin = app.admin();
        let save = async |script: &str| {
            let saved = admin.method("PUT", "/api/v1/profiles/odd", json!({"script": script})).await;
            assert_eq!(saved.status, 200, "{}", saved.body);
        };
        save("true").await;
        let (node, _) = acquire(app, &provider, json!({"profile": "odd"})).await;
        app.node_is(&node, "ready").await;
        // A rebuild fails in its profile, and its retry is cancelled.
        save("exit 7").await;
        acted(app, &node, "rebuild-node", json!({}), "failed").await;
        let wrap = r#"for it in /var/lib/hangar/tasks/profile-*; do mv "$it/tool" "$it/tool.real"
            echo '[ "$1" != forget ] || [ -e /root/once ] || { touch /root/once; exit 1; }' >"$it/tool"
            echo 'exec /bin/sh "${0%/*}/tool.real" "$@"' >>"$it/tool"; done"#;
        save(&format!(
            "rm -rf /var/lib/hangar/tasks/profile-v2-*; {wrap}; echo $$ >/root/pid; echo at work; sleep 600"
        ))
        .await;
        let retried = act(app, &node, "retry-node").await;
        assert_eq!(retried.status, 202, "{}", retried.body);
        let job = retried.json()["job_id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/jobs/{job}");
        app.until(&path, "at work", |j| j["output"]["stdout"] == "at work\n").await;
        assert_eq!(admin.post(&format!("{path}/cancel"), json!({})).await.status, 200);
        app.job_is(&job, "cancelled").await;
        // The first time it cannot be ended.
        save("kill -0 \"$(cat /root/pid)\" && exit 9; true").await;
        let failed = acted(app, &node, "retry-node", json!({}), "failed").await;
        assert!(failed["error"]["message"].as_str().unwrap().contains("cannot be removed"), "{failed:#}");
        acted(app, &node, "retry-node", json!({}), "succeeded").await;
        app.node_is(&node, "ready").await;
        vendor.shutdown().await;
    })
    .await;
}
