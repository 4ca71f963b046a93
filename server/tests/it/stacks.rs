//! Stacks over REST, made from blueprints by a kind of account that is all in memory: what the server
//! decides about them, whatever the engine.

use std::{os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use domain::{code::Code, id::BackupId, time::MINUTE};
use serde_json::{Value, json};
use store::{BackupRow, FreshId as _, StoreError};

use crate::{
    allocations::{all, ask, crowd, release},
    app::{Setup, TestApp, on_each},
    engine::KIND,
    nodes::{act, connect as connect_hetzner, step, vendor},
    verbs::{act_with, acted},
};

pub fn setup() -> Setup {
    Setup::usual().with("VM_POOL_JSON", "").with_jobs().with_stacks()
}

pub const FILE: &str = "services:
  web: {image: 'web:${HANGAR_TAG}', ports: ['80'], environment: {TITLE: '${TITLE}', REGION: '${REGION}'}}
  db: {image: 'db:1', environment: {PASSWORD: '${PASSWORD}'}}
";

pub fn definition() -> Value {
    json!({
        "file": FILE,
        "services": [{"name": "web", "role": "application", "memory_mib": 64}, {"name": "db", "role": "data"}],
        "variables": [
            {"name": "TITLE", "default": "Hello"},
            {"name": "REGION"},
            {"name": "PASSWORD", "generate": true},
        ],
        "cockpit": {"service": "web", "port": 80},
        "tag": "1",
    })
}

pub async fn save(app: &TestApp, name: &str, definition: Value) -> Value {
    let saved = app.admin().method("PUT", &format!("/api/v1/blueprints/{name}"), definition).await;
    assert_eq!(saved.status, 200, "{}", saved.body);
    saved.json()
}

pub async fn connect(app: &TestApp) -> String {
    let made = app.admin().post("/api/v1/providers", json!({"kind": KIND, "name": "stacks"})).await;
    assert_eq!((made.status, &made.json()["status"]), (201, &json!("connected")), "{}", made.body);
    made.json()["id"].as_str().unwrap().to_owned()
}

pub fn wish(provider: &str, more: Value) -> Value {
    let mut wish = json!({"provider_id": provider, "name": "alpha",
        "compose": {"blueprint": "shop", "variables": {"REGION": "north"}}});
    wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    wish
}

pub async fn acquire(app: &TestApp, provider: &str, more: Value) -> (String, String) {
    let reply = app.admin().post("/api/v1/nodes", wish(provider, more)).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    let id = |key: &str| reply.json()[key].as_str().unwrap().to_owned();
    (id("node_id"), id("job_id"))
}

/// A ready stack of the blueprint `shop`.
pub async fn ready(app: &TestApp) -> (String, String) {
    save(app, "shop", definition()).await;
    let provider = connect(app).await;
    let (node, _) = acquire(app, &provider, json!({})).await;
    app.node_is(&node, "ready").await;
    (provider, node)
}

pub fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|it| it["pointer"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn blueprints_are_versioned_and_retired() {
    on_each(setup(), async |app: &TestApp| {
        let admin = app.admin();
        let made = admin.post("/api/v1/blueprints", json!({"name": "shop", "definition": definition()})).await;
        assert_eq!((made.status, &made.json()["version"]), (201, &json!(1)), "{}", made.body);
        let mut second = definition();
        second["tag"] = json!("2");
        let saved = save(app, "shop", second).await;
        assert_eq!((&saved["version"], &saved["definition"]["tag"]), (&json!(2), &json!("2")));
        let first = admin.get("/api/v1/blueprints/shop?version=1").await.json();
        assert_eq!(first["definition"]["tag"], "1", "what is stored never changes");
        assert_eq!(first["versions"].as_array().unwrap().len(), 2);
        admin.get("/api/v1/blueprints/shop?version=3").await.is_problem(404, "not_found");
        assert_eq!(admin.get("/api/v1/blueprints").await.json().as_array().unwrap().len(), 1);

        assert_eq!(admin.method("DELETE", "/api/v1/blueprints/shop", json!({})).await.status, 204);
        admin.method("DELETE", "/api/v1/blueprints/shop", json!({})).await.is_problem(404, "not_found");
        admin.get("/api/v1/blueprints/shop").await.is_problem(404, "not_found");
        assert_eq!(admin.get("/api/v1/blueprints").await.json(), json!([]));
        assert_eq!(admin.get("/api/v1/blueprints/shop?version=2").await.status, 200, "the record remains");
        assert_eq!(save(app, "shop", definition()).await["version"], 3, "and is gone on with");
        let audit = admin.get("/api/v1/audit?kind=blueprint").await.json();
        let actions: Vec<_> = audit["items"].as_array().unwrap().iter().map(|it| it["action"].clone()).collect();
        let (saved, gone) = (json!("save-blueprint"), json!("delete-blueprint"));
        assert_eq!(actions, [saved.clone(), gone.clone(), gone, saved.clone(), saved]);
    })
    .await;
}

#[tokio::test]
async fn a_blueprint_is_refused_by_field() {
    on_each(setup(), async |app: &TestApp| {
        let admin = app.admin();
        let refused = async |pointer: &str, value: Value, named: &str| {
            let mut bad = definition();
            *bad.pointer_mut(pointer).unwrap() = value;
            let reply = admin.method("PUT", "/api/v1/blueprints/shop", bad).await;
            assert!(matches!(reply.status, 400 | 422), "{pointer}: {} {}", reply.status, reply.body);
            // Each kind that makes stacks has its say, and what one said is not said again.
            assert_eq!(pointers(&reply.json()), [named], "{}", reply.body);
        };
        refused("/file", json!(""), "/file").await;
        refused("/file", json!("x".repeat(1024 * 1024)), "/file").await;
        refused("/file", json!(FILE.replace("ports: ['80']", "ports: ['80'], privileged: true")), "/file").await;
        for bad in ["$(id)", "../web", "a b", "a\nb", "Web", "", "-web", &"x".repeat(1024 * 1024)] {
            refused("/services/1/name", json!(bad), "/services/1/name").await;
        }
        for bad in ["lower", "A-B", "A\nB", "$(id)", "HANGAR_TAG", "PATH=1", "", &"X".repeat(65)] {
            refused("/variables/0/name", json!(bad), "/variables/0/name").await;
        }
        refused("/variables/0/default", json!("a\nb"), "/variables/0/default").await;
        refused("/services/0/role", json!("root"), "/services/0/role").await;
        refused("/cockpit/service", json!("nowhere"), "/cockpit/service").await;
        refused("/cockpit/port", json!(70_000), "/cockpit/port").await;
        for bad in ["; rm -rf /", "../x", "a b", "a\nb", "", &"x".repeat(129)] {
            refused("/tag", json!(bad), "/tag").await;
        }
        let mut unknown = definition();
        unknown["privileged"] = json!(true);
        admin.method("PUT", "/api/v1/blueprints/shop", unknown).await.is_problem(400, "bad_request");
        for bad in ["..%2Fshop", "a%0Ab", "SHOP", "a%3Bb"] {
            let reply = admin.method("PUT", &format!("/api/v1/blueprints/{bad}"), definition()).await;
            assert!(matches!(reply.status, 400 | 404 | 422), "{bad}: {} {}", reply.status, reply.body);
        }
        assert_eq!(admin.get("/api/v1/blueprints").await.json(), json!([]), "nothing was stored");
    })
    .await;
}

#[tokio::test]
async fn what_is_asked_for_is_refused_by_field() {
    on_each(setup(), async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let (admin, provider) = (app.admin(), connect(app).await);
        let refused = async |more: Value, named: &[&str]| {
            let reply = admin.post("/api/v1/nodes", wish(&provider, more)).await;
            assert!(matches!(reply.status, 400 | 422), "{} {}", reply.status, reply.body);
            assert_eq!(pointers(&reply.json()), named, "{}", reply.body);
        };
        refused(json!({"compose": null}), &["/compose"]).await;
        refused(json!({"server_type": "cx23", "location": "fsn1", "image": "debian-12", "user_data": "x"}),
            &["/server_type", "/location", "/image", "/user_data"]).await;
        refused(json!({"profile": "base", "firewalls": ["a"], "ipv4": true}), &["/profile", "/ipv4", "/firewalls"]).await;
        refused(json!({"compose": {"blueprint": "nowhere"}}), &["/compose/blueprint"]).await;
        refused(json!({"compose": {"blueprint": "../shop"}}), &["/compose/blueprint"]).await;
        refused(json!({"compose": {"blueprint": "shop"}}), &["/compose/variables/REGION"]).await;
        let of = |name: &str, value: &str| {
            json!({"compose": {"blueprint": "shop", "variables": {"REGION": "n", name: value}}})
        };
        refused(of("PASSWORD", "mine"), &["/compose/variables/PASSWORD"]).await;
        refused(of("OTHER", "x"), &["/compose/variables/OTHER"]).await;
        refused(of("$(id)/..", "x"), &["/compose/variables/$(id)~1.."]).await;
        for bad in ["a\nb", "a\0b", &"x".repeat(1024 * 1024)] {
            refused(of("TITLE", bad), &["/compose/variables/TITLE"]).await;
        }
        for bad in ["$(id)", "../1", "1\n2", "", &"x".repeat(1024 * 1024)] {
            let compose = json!({"blueprint": "shop", "variables": {"REGION": "n"}, "tag": bad});
            refused(json!({ "compose": compose }), &["/compose/tag"]).await;
        }
        refused(json!({"name": "../alpha"}), &["/name"]).await;
        // A template of a pool is held to the same.
        let template = wish(&provider, json!({"server_type": "cx23"}));
        let problem = admin.post("/api/v1/pools", json!({"name": "shops", "template": template})).await;
        assert_eq!(pointers(&problem.is_problem(422, "validation")), ["/template/server_type"]);
        // A kind of servers takes no blueprint, and a node of it no tag and no service.
        let hetzner = vendor().await;
        let servers = connect_hetzner(app, &hetzner).await;
        let problem = admin.post("/api/v1/nodes", wish(&servers, json!({}))).await.is_problem(422, "validation");
        assert_eq!(pointers(&problem), ["/compose"]);
        let port = json!({"provider_id": servers, "name": "alpha", "cockpit_url": "http://{ipv4}:{port}/"});
        let problem = admin.post("/api/v1/nodes", port).await.is_problem(422, "validation");
        assert_eq!(pointers(&problem), ["/cockpit_url"]);
        let (server, _) = crate::nodes::acquire(app, &servers, json!({})).await;
        app.node_is(&server, "ready").await;
        let tagged = act_with(app, &server, "upgrade-node", json!({"tag": "2"})).await.is_problem(422, "validation");
        assert_eq!(pointers(&tagged), ["/tag"]);
        let kept = act_with(app, &server, "destroy-node", json!({"backup": true})).await.is_problem(422, "validation");
        assert_eq!(pointers(&kept), ["/backup"]);
        hetzner.shutdown().await;
        assert!(app.engine.with(|world| world.stacks.is_empty()), "nothing was made");
        let kinds = admin.get("/api/v1/provider-kinds").await.json();
        let having: Vec<_> = kinds.as_array().unwrap().iter().filter(|it| it["has_blueprints"] == true).collect();
        assert!(having.iter().any(|it| it["kind"] == KIND) && having.len() < kinds.as_array().unwrap().len());
    })
    .await;
}

#[tokio::test]
async fn a_stack_is_acquired_and_its_secrets_stay_its_own() {
    on_each(setup(), async |app: &TestApp| {
        let (provider, node) = ready(app).await;
        let admin = app.admin();
        let shown = admin.get(&format!("/api/v1/nodes/{node}")).await.json();
        assert_eq!(shown["stack"]["blueprint"], "shop", "{shown:#}");
        assert_eq!((&shown["stack"]["blueprint_version"], &shown["stack"]["tag"]), (&json!(1), &json!("1")));
        assert_eq!(shown["stack"]["variables"], json!({"REGION": "north", "TITLE": "Hello"}));
        assert_eq!(shown["stack"]["services"][1]["role"], "data");
        let stack = app.engine.only();
        assert_eq!(shown["cockpit_url"], format!("http://stacks.example.org:{}/", stack.port));
        assert_eq!(stack.variables["TITLE"], "Hello");
        let secret = stack.secrets["PASSWORD"].clone();
        assert!(secret.len() >= 32 && secret.bytes().all(|b| b.is_ascii_alphanumeric()), "{secret}");

        // A newer version changes nothing of the node, and the next one gets it with other secrets.
        let mut second = definition();
        second["tag"] = json!("2");
        save(app, "shop", second).await;
        let (other, _) =
            acquire(app, &provider, json!({"name": "beta", "cockpit_url": "http://{name}.x:{port}/p"})).await;
        let beta = app.node_is(&other, "ready").await;
        assert_eq!((&beta["stack"]["blueprint_version"], &beta["stack"]["tag"]), (&json!(2), &json!("2")));
        let of_beta = app.engine.with(|world| world.stacks.values().find(|s| s.node_id == other).cloned().unwrap());
        assert_eq!(beta["cockpit_url"], format!("http://beta.x:{}/p", of_beta.port));
        assert_ne!(of_beta.secrets["PASSWORD"], secret);
        assert_eq!(admin.get(&format!("/api/v1/nodes/{node}")).await.json()["stack"]["tag"], "1");

        // A stack costs nothing at a vendor: only a pause of everything holds it up.
        let cap = json!({"paused": false, "cap_monthly": "0.01", "currency": "EUR"});
        assert_eq!(admin.method("PUT", "/api/v1/settings/acquisition", cap).await.status, 200);
        let (third, _) = acquire(app, &provider, json!({"name": "gamma"})).await;
        app.node_is(&third, "ready").await;
        let rules = admin.get("/api/v1/settings/acquisition").await.json();
        assert_eq!((&rules["unpriced"], &rules["spend"]), (&json!(0), &json!([])), "{rules:#}");
        assert_eq!(admin.method("PUT", "/api/v1/settings/acquisition", json!({"paused": true})).await.status, 200);
        admin
            .post("/api/v1/nodes", wish(&provider, json!({"name": "delta"})))
            .await
            .is_problem(409, "acquisition_paused");

        // Whatever is asked, nobody is told a secret, also not by what a command prints.
        let job = acted(app, &node, "exec-command", json!({"argv": ["env"]}), "succeeded").await;
        assert!(job["output"]["stdout"].as_str().unwrap().starts_with("ran env; the secret is "), "{job:#}");
        for path in [
            format!("/api/v1/nodes/{node}"),
            format!("/api/v1/nodes/{node}/history"),
            "/api/v1/jobs".to_owned(),
            format!("/api/v1/jobs/{}", job["id"].as_str().unwrap()),
            "/api/v1/audit".to_owned(),
            "/api/v1/blueprints/shop".to_owned(),
        ] {
            assert!(!admin.get(&path).await.body.contains(&secret), "{path} tells the secret");
        }
        // The blueprint stays while something lives of it.
        admin.method("DELETE", "/api/v1/blueprints/shop", json!({})).await.is_problem(409, "conflict");
        assert_eq!(admin.get("/api/v1/blueprints/shop").await.json()["nodes"], 3);
    })
    .await;
}

#[tokio::test]
async fn suspended_resumed_and_a_command_in_a_service() {
    on_each(setup(), async |app: &TestApp| {
        let (_, node) = ready(app).await;
        let before = app.engine.only().port;
        acted(app, &node, "suspend-node", json!({}), "succeeded").await;
        app.node_is(&node, "suspended").await;
        assert!(!app.engine.only().runs);
        act_with(app, &node, "exec-command", json!({"argv": ["true"]})).await.is_problem(409, "action_blocked");
        assert!(!app.engine.only().runs);
        acted(app, &node, "resume-node", json!({}), "succeeded").await;
        let stack = app.engine.only();
        assert_ne!(stack.port, before);
        let shown = app.node_is(&node, "ready").await;
        assert_eq!(shown["cockpit_url"], format!("http://stacks.example.org:{}/", stack.port), "the link moved along");

        let ran = acted(app, &node, "exec-command", json!({"argv": ["echo", "$(id)", "a b"]}), "succeeded").await;
        assert_eq!(ran["output"]["exit_code"], 0);
        acted(app, &node, "exec-command", json!({"argv": ["false"], "service": "db"}), "succeeded").await;
        // Where nothing on the machine ends it, it is not said to have been killed.
        for (word, status, field, told) in [
            ("sleep", "failed", "/error/message", "The command was not done within 7 s and was killed."),
            ("forever", "failed", "/error/message", "The command was not done within 7 s; it may still run."),
            ("forgotten", "succeeded", "/steps/0/detail", "How it ended is not known; it may still run."),
        ] {
            let job = acted(app, &node, "exec-command", json!({"argv": [word], "timeout_seconds": 7}), status).await;
            assert_eq!(job.pointer(field), Some(&json!(told)), "{job:#}");
            app.engine.with(|world| world.ran.pop());
        }
        let argv = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected =
            [(Some("web".to_owned()), argv(&["echo", "$(id)", "a b"])), (Some("db".to_owned()), argv(&["false"]))];
        assert_eq!(app.engine.with(|world| world.ran.clone()), expected);
        for bad in ["nowhere", "../web", "web;id", ""] {
            let input = json!({"argv": ["true"], "service": bad});
            let problem = act_with(app, &node, "exec-command", input).await.is_problem(422, "validation");
            assert_eq!(pointers(&problem), ["/service"]);
        }
        let actions = app.admin().get(&format!("/api/v1/nodes/{node}")).await.json()["actions"].clone();
        let exec = actions.as_array().unwrap().iter().find(|it| it["identity"] == "exec-command").unwrap();
        assert_eq!(exec["description"], "Runs one command in one of its services.");
        let gates: Vec<_> = exec["gates"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
        assert_eq!(gates, ["permission", "provider-capability", "node-state", "login", "no-running-job"]);
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_that_is_no_good_is_rolled_back_and_said_so() {
    let setup = setup().with_work(|work| work.verify_deadline = Duration::from_secs(2));
    on_each(setup, async |app: &TestApp| {
        let (_, node) = ready(app).await;
        let done = acted(app, &node, "upgrade-node", json!({"tag": "2"}), "succeeded").await;
        assert_eq!(step(&done, "verify")["status"], "succeeded", "{done:#}");
        let shown = app.node_is(&node, "ready").await;
        assert_eq!((&shown["stack"]["tag"], app.engine.only().tag.as_str()), (&json!("2"), "2"));

        app.engine.with(|world| world.unhealthy.insert("3".to_owned()));
        let failed = acted(app, &node, "upgrade-node", json!({"tag": "3"}), "failed").await;
        assert_eq!(failed["error"]["code"], "PROVISION_NOT_READY", "{failed:#}");
        assert!(failed["error"]["message"].as_str().unwrap().contains("back at 2"), "{failed:#}");
        let back = step(&failed, "roll_back");
        assert_eq!((&back["status"], &back["label"]), (&json!("succeeded"), &json!("Go back to the tag 2")));
        assert_eq!(back["detail"], "The stack runs the tag 2 again.");
        let shown = app.node_is(&node, "ready").await;
        assert_eq!((&shown["stack"]["tag"], &shown["health"]["ready"]), (&json!("2"), &json!(true)), "{shown:#}");
        let history = app.admin().get(&format!("/api/v1/nodes/{node}/history")).await.json();
        let told = history["items"].as_array().unwrap().iter().find(|it| it["action"] == "node.rolled-back").unwrap();
        assert_eq!(told["detail"], "The tag 3 was given up; it runs 2 again.");

        for (input, named) in [
            (json!({"tag": "2"}), "/tag"),
            (json!({"tag": "$(id)"}), "/tag"),
            (json!({"tag": "a\nb"}), "/tag"),
            (json!({"tag": "../3"}), "/tag"),
            (json!({"server_type": "cx23"}), "/server_type"),
            (json!({"image": "debian-13"}), "/image"),
            (json!({"image": "debian-13", "tag": "4"}), "/tag"),
        ] {
            let problem = act_with(app, &node, "upgrade-node", input).await.is_problem(422, "validation");
            assert_eq!(pointers(&problem), [named]);
        }
        // The old version is no good any more either: nobody is told that all is well.
        app.engine.with(|world| world.unhealthy.insert("2".to_owned()));
        let failed = acted(app, &node, "upgrade-node", json!({"tag": "3"}), "failed").await;
        assert_eq!(failed["error"]["code"], "PROVISION_NOT_READY", "{failed:#}");
        assert_eq!(app.node_is(&node, "failed").await["failed_stage"], "upgrading");
        app.engine.with(|world| world.unhealthy.clear());
        acted(app, &node, "retry-node", json!({}), "succeeded").await;
        assert_eq!(app.node_is(&node, "ready").await["stack"]["tag"], "2");
        assert_eq!(app.engine.only().tag, "2");
    })
    .await;
}

#[tokio::test]
async fn what_never_gets_healthy_fails_is_kept_and_tried_again() {
    let setup = setup().with_work(|work| work.verify_deadline = Duration::from_secs(2));
    on_each(setup, async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let provider = connect(app).await;
        app.engine.with(|world| world.unhealthy.insert("1".to_owned()));
        let (node, job) = acquire(app, &provider, json!({})).await;
        let waiting = |job: &Value| {
            job["steps"].as_array().unwrap().iter().any(|it| {
                it["name"] == "verify" && it["detail"].as_str().is_some_and(|text| text.contains("node_not_ready"))
            })
        };
        app.until(&format!("/api/v1/jobs/{job}"), "waiting for its health", waiting).await;
        let failed = app.job_is(&job, "failed").await;
        assert_eq!(failed["error"]["code"], "PROVISION_NOT_READY", "{failed:#}");
        let kept = app.node_is(&node, "failed").await;
        assert_eq!((&kept["failed_stage"], &kept["cleanup"]), (&json!("verifying"), &json!("none")));
        assert_eq!(app.engine.only().node_id, node, "it is kept, to be looked at");
        app.engine.with(|world| world.unhealthy.clear());
        acted(app, &node, "retry-node", json!({}), "succeeded").await;
        app.node_is(&node, "ready").await;
    })
    .await;
}

#[tokio::test]
async fn a_failed_acquisition_is_undone_without_a_backup_and_a_foreign_stack_left_alone() {
    on_each(setup(), async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let provider = connect(app).await;
        app.engine.with(|world| {
            world.provision_fails = Some(Code::ProviderAcquisitionFailed);
            world.backup_fails = Some(Code::ProviderBackupFailed);
        });
        let (node, job) = acquire(app, &provider, json!({})).await;
        let failed = app.job_is(&job, "failed").await;
        assert_eq!(failed["error"]["code"], "PROVIDER_ACQUISITION_FAILED", "{failed:#}");
        let left = app.node_is(&node, "failed").await;
        assert_eq!((&left["failed_stage"], &left["cleanup"]), (&json!("starting"), &json!("done")), "{left:#}");
        assert!(app.engine.with(|world| world.stacks.is_empty()));

        // The same name, somebody else's.
        app.engine.with(|world| world.provision_fails = Some(Code::ProviderNameConflict));
        let (_, job) = acquire(app, &provider, json!({"name": "beta"})).await;
        let failed = app.job_is(&job, "failed").await;
        assert_eq!(failed["error"]["code"], "PROVIDER_NAME_CONFLICT", "{failed:#}");
        app.engine.with(|world| world.provision_fails = None);
        acted(app, &node, "retry-node", json!({}), "succeeded").await;
        app.node_is(&node, "ready").await;
    })
    .await;
}

pub fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_backup_is_made_first_listed_downloaded_and_deleted() {
    on_each(setup(), async |app: &TestApp| {
        let (provider, node) = ready(app).await;
        let admin = app.admin();
        app.engine.with(|world| world.files = vec![("db.tar".to_owned(), b"what must not be lost".to_vec())]);
        // Nothing is said of a backup: what has data is kept.
        let job = acted(app, &node, "destroy-node", json!({}), "succeeded").await;
        let names: Vec<_> = job["steps"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
        assert_eq!(names, ["backup", "delete_server"]);
        app.node_is(&node, "destroyed").await;
        assert!(app.engine.with(|world| world.stacks.is_empty()));
        let listed = all(&admin, "/api/v1/backups").await;
        let backup = &listed[0];
        assert_eq!((&backup["node_id"], &backup["bytes"]), (&json!(node), &json!(21)), "{backup:#}");
        assert_eq!((&backup["files"], &backup["tag"]), (&json!(["db.tar"]), &json!("1")));
        let folder = app.dir.path().join("backups");
        let [file] = files_below(&folder).try_into().unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(file.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(file.parent().unwrap().parent().unwrap(), folder.join(&node));

        let path = format!("/api/v1/backups/{}", backup["id"].as_str().unwrap());
        let got = admin.get(&format!("{path}/download")).await;
        let told = got.header("content-disposition");
        assert!(told.starts_with("attachment; filename=\"alpha-") && told.ends_with(".tar\""), "{told}");
        assert_eq!(unpacked(app, &got.body, "db.tar"), "what must not be lost");
        // Without its secrets what was kept may be of no use; they lie on no disk.
        let secrets = unpacked(app, &got.body, "secrets.env");
        let secret = secrets.strip_prefix("PASSWORD=").unwrap().trim_end();
        assert!(secret.len() >= 32 && secret.bytes().all(|it| it.is_ascii_alphanumeric()), "{secrets}");
        app.user().await.get(&format!("{path}/download")).await.is_problem(403, "forbidden");
        app.anon().get(&format!("{path}/download")).await.is_problem(401, "unauthorized");
        for bad in ["bak_0/download", "..%2F..%2Fkeyring/download", "bak_0%2F..%2Fx"] {
            let reply = admin.get(&format!("/api/v1/backups/{bad}")).await;
            assert!(matches!(reply.status, 400 | 404), "{bad}: {} {}", reply.status, reply.body);
        }
        assert_eq!(admin.method("DELETE", &path, json!({})).await.status, 204);
        admin.get(&path).await.is_problem(404, "not_found");
        assert_eq!(files_below(&folder), Vec::<std::path::PathBuf>::new());
        assert!(!folder.join(&node).exists());
        let row =
            { app.services.store().read().await.unwrap().node_get(&node.parse().unwrap()).await.unwrap().unwrap() };
        assert_eq!(row.secrets_sealed, None, "nobody needs them any more");

        // Several files come as one archive.
        app.engine.with(|world| {
            world.files = vec![("a.txt".to_owned(), vec![b'a'; 1000]), ("b.txt".to_owned(), Vec::new())];
        });
        let (second, _) = acquire(app, &provider, json!({"name": "beta"})).await;
        app.node_is(&second, "ready").await;
        acted(app, &second, "destroy-node", json!({"backup": true}), "succeeded").await;
        let id = all(&admin, "/api/v1/backups").await[0]["id"].as_str().unwrap().to_owned();
        let got = admin.get(&format!("/api/v1/backups/{id}/download")).await;
        let archive = app.dir.path().join("got.tar");
        std::fs::write(&archive, &got.body).unwrap();
        let listed = std::process::Command::new("tar").arg("-tvf").arg(&archive).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains("1000") && listed.contains("a.txt") && listed.contains("b.txt"), "{listed}");
        assert_eq!(unpacked(app, &got.body, "a.txt"), "a".repeat(1000));

        // Whatever stands in the database, only plain names lead to the disk.
        let at = store_node(app, &second).await;
        for (folder, file) in
            [("../..", "keyring"), ("x", "../../../keyring"), ("x/../../..", "keyring"), ("x", "gone")]
        {
            let row = BackupRow {
                id: BackupId::fresh(),
                folder: folder.to_owned(),
                files: vec![file.to_owned()],
                ..at.clone()
            };
            let id = row.id.clone();
            inserted(app, row).await;
            let reply = admin.get(&format!("/api/v1/backups/{id}/download")).await;
            assert!(matches!(reply.status, 404 | 409), "{folder} {file}: {} {}", reply.status, reply.body);
        }
        assert!(app.dir.path().join("keyring").exists());
    })
    .await;
}

/// One file of an archive, as the system's own command reads it.
fn unpacked(app: &TestApp, archive: &str, file: &str) -> String {
    let path = app.dir.path().join("unpacked.tar");
    std::fs::write(&path, archive).unwrap();
    let out = std::process::Command::new("tar").arg("-xOf").arg(&path).arg(file).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

async fn inserted(app: &TestApp, row: BackupRow) {
    app.services
        .store()
        .write::<(), StoreError, _>(move |c| {
            let row = row.clone();
            Box::pin(async move { c.backup_insert(&row).await })
        })
        .await
        .unwrap();
}

async fn store_node(app: &TestApp, node: &str) -> BackupRow {
    let mut c = app.services.store().read().await.unwrap();
    let row = c.node_get(&node.parse().unwrap()).await.unwrap().unwrap();
    BackupRow {
        id: BackupId::fresh(),
        node_id: row.id,
        node_name: row.name.to_string(),
        provider_id: row.provider_id,
        blueprint: None,
        blueprint_version: None,
        tag: None,
        folder: "x".to_owned(),
        files: Vec::new(),
        bytes: 0,
        created_at: row.created_at,
    }
}

#[tokio::test]
async fn a_backup_that_fails_stops_the_destruction_until_somebody_decides() {
    on_each(setup(), async |app: &TestApp| {
        let (_, node) = ready(app).await;
        let stays = async |named: &str| {
            let kept = app.node_is(&node, "failed").await;
            let told = (&kept["code"], &kept["failed_stage"], &kept["cleanup"]);
            assert_eq!(told, (&json!("PROVIDER_BACKUP_FAILED"), &json!("destroying"), &json!("none")), "{named}");
            assert!(app.engine.only().runs, "{named}: nothing was taken away");
            assert_eq!(files_below(&app.dir.path().join("backups")).len(), 0, "{named}: nothing half is left");
            assert_eq!(all(&app.admin(), "/api/v1/backups").await.len(), 0, "{named}");
        };
        app.engine.with(|world| world.backup_fails = Some(Code::ProviderBackupFailed));
        let failed = acted(app, &node, "destroy-node", json!({}), "failed").await;
        assert_eq!(failed["error"]["code"], "PROVIDER_BACKUP_FAILED", "{failed:#}");
        assert_eq!(step(&failed, "backup")["status"], "failed");
        stays("refused").await;
        // The time for which failed ones are kept is no reason to lose it.
        app.advance(48 * domain::time::HOUR).await;
        assert_eq!(app.services.nodes_keep_sweep().await.unwrap(), 0);
        stays("kept").await;
        // An engine that does not answer is no reason either, however often it is asked.
        app.engine.with(|world| world.backup_fails = Some(Code::ProviderUnreachable));
        let failed = acted(app, &node, "retry-node", json!({}), "failed").await;
        assert_eq!((&failed["error"]["code"], &failed["attempt"]), (&json!("PROVIDER_BACKUP_FAILED"), &json!(3)));
        stays("unreachable").await;
        // Nor is a file that is not one of the backup's.
        app.engine.with(|world| {
            world.backup_fails = None;
            world.files = vec![(".hidden".to_owned(), vec![1])];
        });
        acted(app, &node, "destroy-node", json!({"backup": true}), "failed").await;
        stays("an odd name").await;
        let done = acted(app, &node, "destroy-node", json!({"backup": false}), "succeeded").await;
        assert!(done["steps"].as_array().unwrap().iter().all(|it| it["name"] != "backup"), "{done:#}");
        app.node_is(&node, "destroyed").await;
        assert!(app.engine.with(|world| world.stacks.is_empty()));
    })
    .await;
}

#[tokio::test]
async fn a_cockpit_that_moved_is_followed_also_by_whoever_holds_it() {
    on_each(setup(), async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let provider = connect(app).await;
        let (node, _) = acquire(app, &provider, json!({"pool": "default"})).await;
        app.node_is(&node, "ready").await;
        let user = app.user().await;
        let mine = ask(&user, "default").await.json();
        assert_eq!(mine["cockpit_url"], format!("http://stacks.example.org:{}/", app.engine.only().port), "{mine:#}");
        app.engine.with(|world| world.stacks.values_mut().for_each(|stack| stack.port = 31_000));
        app.observed().await;
        let url = json!("http://stacks.example.org:31000/");
        assert_eq!(app.admin().get(&format!("/api/v1/nodes/{node}")).await.json()["cockpit_url"], url);
        let path = format!("/api/v1/allocations/{}", mine["id"].as_str().unwrap());
        assert_eq!(user.get(&path).await.json()["cockpit_url"], url);
        assert_eq!(all(&app.admin(), "/api/v1/pools/default/vms").await[0]["cockpit_url"], url);
        // Stopped behind Hangar's back, it is held back, and started by resume.
        assert_eq!(release(&user, &mine["id"]).await.status, 200);
        app.node_is(&node, "destroyed").await;
        let fresh =
            app.until("/api/v1/nodes?status=ready", "another one", |n| !n["items"].as_array().unwrap().is_empty());
        let fresh = fresh.await["items"][0]["id"].as_str().unwrap().to_owned();
        app.engine.with(|world| world.stacks.values_mut().for_each(|stack| stack.runs = false));
        app.advance(MINUTE).await;
        app.observed().await;
        let off = app.admin().get(&format!("/api/v1/nodes/{fresh}")).await.json();
        assert_eq!(off["drift"][0]["observed"], "off", "{off:#}");
        acted(app, &fresh, "resume-node", json!({}), "succeeded").await;
        assert!(app.engine.only().runs);
    })
    .await;
}

/// The pool is kept full at 5 while 20 people take and give back; nobody gets what another one had.
#[tokio::test]
async fn a_pool_of_stacks_is_kept_full_while_people_come_and_go() {
    on_each(setup(), async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let provider = connect(app).await;
        let admin = app.admin();
        let template = wish(&provider, json!({"name": "shop"}));
        let pool = json!({"name": "shops", "template": template, "target_ready": 5, "max_size": 40});
        let made = admin.post("/api/v1/pools", pool).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let full = |pool: &Value| pool["counts"]["available"] == 5 && pool["counts"]["coming"] == 0;
        app.watched(async {
            app.until("/api/v1/pools/shops", "full", full).await;
            let people = crowd(app, 20).await;
            let visits = people.iter().map(async |person| {
                let mut seen = Vec::new();
                for _ in 0..2 {
                    let asked = ask(person, "shops").await;
                    assert!(matches!(asked.status, 201 | 202), "{}", asked.body);
                    let id = asked.json()["id"].clone();
                    let path = format!("/api/v1/allocations/{}", id.as_str().unwrap());
                    let got = app.until(&path, "active", |it| it["status"] == "active").await;
                    assert!(got["cockpit_url"].as_str().unwrap().starts_with("http://stacks.example.org:"), "{got:#}");
                    seen.push(got["pool_vm_id"].as_str().unwrap().to_owned());
                    assert_eq!(release(person, &id).await.status, 200);
                }
                seen
            });
            let mut seen: Vec<String> = futures::future::join_all(visits).await.into_iter().flatten().collect();
            assert_eq!(seen.len(), 40);
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 40, "what was given back is never handed on as it is");
            app.until("/api/v1/pools/shops", "full again", |pool| {
                full(pool) && pool["counts"]["cleaning"] == 0 && pool["counts"]["allocated"] == 0
            })
            .await;
        })
        .await;
        app.until("/api/v1/jobs?status=running", "nothing", |jobs| jobs["items"] == json!([])).await;
        assert_eq!(app.engine.with(|world| world.stacks.len()), 5, "nothing is orphaned");
        assert_eq!(all(&admin, "/api/v1/backups").await.len(), 0);
        // The template holds the blueprint, and a pool that wants it keeps what it takes away.
        admin.method("DELETE", "/api/v1/blueprints/shop", json!({})).await.is_problem(409, "conflict");
    })
    .await;
}

#[tokio::test]
async fn a_pool_keeps_a_backup_of_what_it_takes_away_where_its_template_says_so() {
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
            let full = |pool: &Value| pool["counts"]["available"] == 1;
            app.until("/api/v1/pools/shops", "full", full).await;
            let mine = ask(&app.user().await, "shops").await.json();
            let node = mine["pool_vm_id"].as_str().unwrap().to_owned();
            assert_eq!(release(&admin, &mine["id"]).await.status, 200);
            app.node_is(&node, "destroyed").await;
            let kept = all(&admin, "/api/v1/backups").await;
            assert_eq!((kept.len(), &kept[0]["node_id"]), (1, &json!(node)));
            app.until("/api/v1/pools/shops", "full again", full).await;
        })
        .await;
        let node = all(&admin, "/api/v1/nodes?status=ready").await[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(act(app, &node, "check-health").await.status, 202);
    })
    .await;
}

/// The whole way in plain forms, as a browser without JavaScript sends them.
#[tokio::test]
async fn the_pages_of_stacks_work_as_plain_forms() {
    on_each(setup(), async |app: &TestApp| {
        let admin = app.admin_in_browser().await;
        let send = async |path: &str, fields: &[(&str, &str)]| {
            let reply = admin.form(path, fields).await;
            assert!(matches!(reply.status, 302 | 303), "{path}: {} {}", reply.status, reply.body);
            reply.location().to_owned()
        };
        let shows = async |path: &str, texts: &[&str]| {
            let page = admin.open(path).await;
            assert_eq!(page.status, 200, "{path}: {}", page.body);
            for text in texts {
                assert!(page.body.contains(text), "{text} is missing at {path}: {}", page.body);
            }
        };
        let blueprint = [
            ("form[name]", "shop"),
            ("form[file]", &FILE.replace('\n', "\r\n")),
            ("form[services][0][name]", ""),
            ("form[services][1][name]", "web"),
            ("form[services][1][role]", "application"),
            ("form[services][2][name]", "db"),
            ("form[services][2][role]", "data"),
            ("form[variables][0][name]", "TITLE"),
            ("form[variables][0][default]", "Hello"),
            ("form[variables][1][name]", "REGION"),
            ("form[variables][2][name]", "PASSWORD"),
            ("form[variables][2][generate]", "true"),
            ("form[cockpit_service]", "web"),
            ("form[cockpit_port]", "80"),
            ("form[tag]", "1"),
        ];
        assert_eq!(send("/rpc/blueprints/save", &blueprint).await, "/blueprints/shop");
        shows("/blueprints", &["/blueprints/shop", "web; data: db"]).await;
        shows("/blueprints/shop", &["web:${HANGAR_TAG}", "version 1", "form[services][1][name]"]).await;
        // The account has no secret to type.
        admin.form("/rpc/providers/connect", &[("kind", KIND), ("name", "stacks")]).await;
        let accounts = app.admin().get("/api/v1/providers").await.json();
        assert_eq!(accounts["items"][0]["status"], "connected", "{accounts:#}");
        let provider = accounts["items"][0]["id"].as_str().unwrap().to_owned();

        let path = format!("/nodes?acquire=new&account={provider}");
        shows(&path, &["form[blueprint]", "form[variables][REGION]", "form[tag]", "PASSWORD"]).await;
        assert!(!admin.open(&path).await.body.contains("form[server_type]"));
        let wish = [
            ("form[provider_id]", provider.as_str()),
            ("form[name]", "alpha"),
            ("form[blueprint]", "shop"),
            ("form[variables][REGION]", "north"),
        ];
        let node = send("/rpc/nodes/acquire", &wish).await;
        let id = node.strip_prefix("/nodes/").unwrap().to_owned();
        app.node_is(&id, "ready").await;
        shows(&node, &["data-testid=\"services\"", "/blueprints/shop?version=1", "name=\"backup\"", "form[service]"])
            .await;
        shows(&format!("{node}?do=upgrade"), &["data-testid=\"upgrade-tag\"", "It runs 1 now."]).await;
        let job = send("/rpc/nodes/upgrade", &[("id", &id), ("form[tag]", "2")]).await;
        app.job_is(job.strip_prefix("/jobs/").unwrap(), "succeeded").await;

        let made = app.admin().post("/api/v1/pools", json!({"name": "shops"})).await;
        assert_eq!(made.status, 201, "{}", made.body);
        shows("/pools/shops", &["Change template"]).await;
        let template = [&wish[..], &[("pool", "shops"), ("form[tag]", "2"), ("form[backup]", "true")]].concat();
        assert_eq!(send("/rpc/pools/template", &template).await, "/pools/shops");
        shows("/pools/shops", &["blueprint shop, tag 2, with backups"]).await;
        shows("/pools/shops?do=template", &["data-testid=\"pool-template\"", "value=\"north\"", "value=\"alpha\""])
            .await;
        let pool = app.admin().get("/api/v1/pools/shops").await.json();
        assert_eq!(pool["template"]["compose"]["variables"], json!({"REGION": "north"}), "{pool:#}");
        send("/rpc/pools/template", &[("pool", "shops")]).await;
        assert_eq!(app.admin().get("/api/v1/pools/shops").await.json()["template"], Value::Null);

        app.engine.with(|world| world.files = vec![("db.tar".to_owned(), vec![7; 1500])]);
        let act = [("id", id.as_str()), ("identity", "destroy-node"), ("backup", "true"), ("confirm", "alpha")];
        admin.form("/rpc/nodes/act", &act).await;
        app.node_is(&id, "destroyed").await;
        let backups = all(&app.admin(), "/api/v1/backups").await;
        let download = format!("/api/v1/backups/{}/download", backups[0]["id"].as_str().unwrap());
        shows("/backups", &["1.5 kB", &download, "db.tar"]).await;
        assert_eq!(unpacked(app, &admin.open(&download).await.body, "db.tar").len(), 1500);
        assert_eq!(send("/rpc/blueprints/retire", &[("name", "shop")]).await, "/blueprints");
        shows("/blueprints", &["No blueprints yet"]).await;
        shows("/settings", &["/blueprints", "/backups"]).await;
    })
    .await;
}

/// What each stack of a blueprint has for itself alone is there once: whoever asks for more is told,
/// and no machine fails for it again and again.
#[tokio::test]
async fn a_blueprint_with_a_port_of_the_host_stands_once_at_an_account() {
    on_each(setup(), async |app: &TestApp| {
        let mut fixed = definition();
        fixed["file"] = json!(FILE.replace("ports: ['80']", "ports: ['80', '8443:443']"));
        fixed["allow_host_ports"] = json!(true);
        save(app, "shop", fixed).await;
        let (admin, provider) = (app.admin(), connect(app).await);
        for most in [json!(null), json!(5)] {
            let pool =
                json!({"name": "shops", "template": wish(&provider, json!({})), "target_ready": 1, "max_size": most});
            let refused = admin.post("/api/v1/pools", pool).await.is_problem(422, "validation");
            assert_eq!(pointers(&refused), ["/max_size"], "{refused:#}");
            assert!(refused["detail"].as_str().unwrap().contains("port 8443/tcp"), "{refused:#}");
        }
        let pool = json!({"name": "shops", "template": wish(&provider, json!({})), "target_ready": 1, "max_size": 1});
        let made = admin.post("/api/v1/pools", pool).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let many = admin.method("PATCH", "/api/v1/pools/shops", json!({"max_size": 2})).await;
        assert_eq!(pointers(&many.is_problem(422, "validation")), ["/max_size"]);
        let (first, _) = acquire(app, &provider, json!({})).await;
        app.node_is(&first, "ready").await;
        let again = admin.post("/api/v1/nodes", wish(&provider, json!({"name": "beta"}))).await;
        let refused = again.is_problem(422, "validation");
        assert_eq!(pointers(&refused), ["/compose/blueprint"]);
        assert!(refused["detail"].as_str().unwrap().contains("The node alpha has port 8443/tcp"), "{refused:#}");
        // The pool waits and says why, and nothing is made in vain.
        assert_eq!(app.services.pools_fill().await.unwrap().acquired, 0);
        let plan = admin.get("/api/v1/pools/shops").await.json()["plan"].as_str().unwrap().to_owned();
        assert!(plan.contains("The node alpha has port 8443/tcp of the engine's machine"), "{plan}");
        assert_eq!(all(&admin, "/api/v1/nodes").await.len(), 1);
        acted(app, &first, "destroy-node", json!({"backup": false}), "succeeded").await;
        assert_eq!(app.services.pools_fill().await.unwrap().acquired, 1);
        let full = |pool: &Value| pool["counts"]["available"] == 1;
        app.until("/api/v1/pools/shops", "full", full).await;
        // Another account is another machine.
        let other = json!({"kind": KIND, "name": "others"});
        let other = admin.post("/api/v1/providers", other).await.json()["id"].as_str().unwrap().to_owned();
        let (second, _) = acquire(app, &other, json!({"name": "gamma"})).await;
        app.node_is(&second, "ready").await;
    })
    .await;
}

/// While an account does not answer it is seldom looked at; once it is found to, it is looked at anew.
#[tokio::test]
async fn an_engine_that_is_back_is_looked_at_at_once() {
    on_each(setup(), async |app: &TestApp| {
        let (provider, node) = ready(app).await;
        app.observed().await;
        app.engine.with(|world| world.is_down = true);
        let path = format!("/api/v1/providers/{provider}");
        let check = format!("{path}/check");
        assert_eq!(app.admin().post(&check, json!({})).await.json()["status"], "degraded");
        app.observed().await;
        app.engine.with(|world| {
            world.is_down = false;
            world.stacks.values_mut().for_each(|stack| stack.port = 31_000);
        });
        assert_eq!(app.admin().post(&check, json!({})).await.json()["status"], "connected");
        app.services.accounts_observe_due().await.unwrap();
        let shown = app.admin().get(&format!("/api/v1/nodes/{node}")).await.json();
        assert_eq!(shown["cockpit_url"], "http://stacks.example.org:31000/", "{shown:#}");
    })
    .await;
}

#[tokio::test]
async fn where_there_is_no_secret_none_is_replaced() {
    on_each(setup(), async |app: &TestApp| {
        let (admin, provider) = (app.admin(), connect(app).await);
        let path = format!("/api/v1/providers/{provider}");
        let action = |account: Value| {
            let actions = account["actions"].as_array().unwrap().clone();
            actions.into_iter().find(|it| it["identity"] == "replace-secret").unwrap()
        };
        let blocked = action(admin.get(&path).await.json());
        assert_eq!(blocked["enabled"], false, "{blocked:#}");
        let gate = blocked["gates"].as_array().unwrap().iter().find(|it| it["name"] == "account-secret").unwrap();
        assert_eq!(
            (&gate["result"], &gate["reason"]),
            (&json!("blocked"), &json!("Accounts of its kind have no secret."))
        );
        for secret in [json!({}), json!({"token": "x"}), json!(null)] {
            let refused = admin.method("PUT", &format!("{path}/secret"), json!({"secret": secret})).await;
            refused.is_problem(409, "action_blocked");
        }
        let page = app.admin_in_browser().await.open(&format!("/providers/{provider}")).await;
        assert!(page.status == 200 && !page.body.contains("data-testid=\"replace-secret\""), "{}", page.body);
        let vendor = vendor().await;
        let servers = connect_hetzner(app, &vendor).await;
        assert_eq!(action(admin.get(&format!("/api/v1/providers/{servers}")).await.json())["enabled"], true);
        vendor.shutdown().await;
    })
    .await;
}

/// Whatever is sent, it is accepted or refused with the field named, and changes nothing that was
/// there; it is never an error of Hangar's own.
#[tokio::test]
async fn hostile_texts_are_refused_with_the_field_named() {
    use std::fmt::Write as _;
    const HOSTILE: [&str; 16] = [
        "$(touch /tmp/pwned)",
        "`id`",
        "; rm -rf /",
        "a && b",
        "| cat",
        "../../etc/passwd",
        "..",
        "/",
        "a\nb",
        "a\r\nX-Header: b",
        "a\0b",
        "\u{202e}gpj",
        "${HOME}",
        "-rf",
        "'\"",
        "\u{1f4a3}",
    ];
    on_each(setup(), async |app: &TestApp| {
        let (admin, provider) = (app.admin(), connect(app).await);
        let mut laughs = "a0: &a0 lol\n".to_owned();
        for n in 1..=40 {
            let _ = writeln!(laughs, "a{n}: &a{n} [*a{0},*a{0},*a{0},*a{0}]", n - 1);
        }
        let one_mb = "x".repeat(1024 * 1024);
        for file in [
            format!("{laughs}services: {{web: {{image: '*a40'}}}}\n"),
            "services: &s {web: {image: 'web:1'}, db: {image: 'db:1'}}\nx: *s\n".to_owned(),
            "services: {web: {image: 'web:1', <<: {privileged: true}}, db: {image: 'db:1'}}\n".to_owned(),
            "services: {web: !!python/object 'web:1', db: {image: 'db:1'}}\n".to_owned(),
            "services: {web: {image: '../web'}, db: {image: 'db:1'}}\n".to_owned(),
            "services: {web: {image: 'web:1', volumes: ['../..:/x']}, db: {image: 'db:1'}}\n".to_owned(),
            "services: {web: {image: 'web:1', volumes: ['/:/x']}, db: {image: 'db:1'}}\n".to_owned(),
            "services: {web: {image: 'web:1', environment: {A: '${HOME}'}}, db: {image: 'db:1'}}\n".to_owned(),
            "services: {web: {build: .}, db: {image: 'db:1'}}\n".to_owned(),
            "a: 1\n---\nb: 2\n".to_owned(),
            format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)),
            one_mb.clone(),
            "\0".to_owned(),
        ] {
            let mut bad = definition();
            bad["file"] = json!(file);
            let reply = admin.method("PUT", "/api/v1/blueprints/shop", bad).await;
            let shown: String = file.chars().take(80).collect();
            assert!(matches!(reply.status, 400 | 422), "{shown}: {} {}", reply.status, reply.body);
            assert_eq!(pointers(&reply.json())[0], "/file", "{shown}: {}", reply.body);
            assert!(reply.body.len() < 20_000, "{shown}: the answer does not echo what was sent");
        }
        assert_eq!(admin.get("/api/v1/blueprints").await.json(), json!([]), "nothing was stored");
        save(app, "shop", definition()).await;
        let wished = async |name: &str, tag: &str, variables: Value, named: &[&str]| {
            let compose = json!({"blueprint": "shop", "variables": variables, "tag": tag});
            let reply = admin.post("/api/v1/nodes", wish(&provider, json!({"name": name, "compose": compose}))).await;
            assert!(matches!(reply.status, 400 | 422), "{name:?} {tag:?} {}: {}", reply.status, reply.body);
            assert_eq!(pointers(&reply.json()), named, "{name:?} {tag:?} {}", reply.body);
        };
        for text in HOSTILE.into_iter().chain([one_mb.as_str()]) {
            wished(text, "1", json!({"REGION": "n"}), &["/name"]).await;
            wished("alpha", text, json!({"REGION": "n"}), &["/compose/tag"]).await;
            if text.chars().any(char::is_control) || text.len() > 4096 {
                wished("alpha", "1", json!({"REGION": text}), &["/compose/variables/REGION"]).await;
            }
        }
        assert_eq!(all(&admin, "/api/v1/nodes").await.len(), 0, "nothing was changed");

        // Odd pieces put together by chance, always the same.
        let mut seed = 0x9e37_79b9_u64;
        let mut next = |most: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % most
        };
        let mut accepted = 0;
        for _ in 0..120 {
            let mut text =
                |most: usize| {
                    let pieces = next(most) + 1;
                    (0..pieces)
                        .map(|_| {
                            if next(3) == 0 {
                                HOSTILE[next(HOSTILE.len())]
                            } else {
                                ["a", "1.0", "-", "_", " "][next(5)]
                            }
                        })
                        .collect::<String>()
                };
            let (tag, title, region, other) = (text(2), text(4), text(4), text(2));
            let compose =
                json!({"blueprint": "shop", "variables": {"TITLE": title, "REGION": region, "X": other}, "tag": tag});
            let mut more = json!({ "compose": compose });
            if other.len() != 1 {
                more["compose"]["variables"].as_object_mut().unwrap().remove("X");
            }
            let what = more.to_string();
            let reply = admin.post("/api/v1/nodes", wish(&provider, more)).await;
            match reply.status {
                202 => {
                    let node = reply.json()["node_id"].as_str().unwrap().to_owned();
                    let shown = app.node_is(&node, "ready").await;
                    let kept = json!({"TITLE": title, "REGION": region});
                    assert_eq!((&shown["stack"]["variables"], &shown["stack"]["tag"]), (&kept, &json!(tag)), "{what}");
                    accepted += 1;
                }
                400 | 422 => {
                    let problem = reply.json();
                    let named = pointers(&problem);
                    assert!(
                        !named.is_empty() && named.iter().all(|it| it.starts_with("/compose/")),
                        "{what}: {problem:#}"
                    );
                }
                other => panic!("{what}: {other} {}", reply.body),
            }
        }
        assert!(accepted > 3, "some of it is harmless");
        assert_eq!(app.engine.with(|world| world.stacks.len()), accepted, "what was refused made nothing");
        assert!(!Path::new("/tmp/pwned").exists());
    })
    .await;
}
