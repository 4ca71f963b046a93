//! Stacks on a real Docker Engine, over REST: from the blueprint to the backup, and what must not go
//! wrong on the way. What is asked of the engine does not depend on the database, so one is enough
//! where a test is about the engine. Each test has a prefix of its own on the engine they share.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use domain::time::MINUTE;
use serde_json::{Value, json};

use crate::{
    allocations::{all, ask, crowd, release},
    app::{Setup, TestApp, on_each, on_sqlite},
    nodes::step,
    verbs::acted,
};

#[path = "../../../providers/tests/docker/mod.rs"]
#[expect(dead_code, reason = "what tests of the adapter alone need is there too")]
pub mod docker;

use docker::Docker;

/// The engine that they share, where one can run.
async fn engine() -> Option<&'static Docker> {
    if !docker::is_here() {
        return None;
    }
    Some(tokio::task::spawn_blocking(Docker::shared).await.unwrap())
}

fn setup() -> Setup {
    Setup::usual().with("VM_POOL_JSON", "").with_jobs()
}

async fn save(app: &TestApp, name: &str, blueprint: Value) {
    let saved = app.admin().method("PUT", &format!("/api/v1/blueprints/{name}"), blueprint).await;
    assert_eq!(saved.status, 200, "{}", saved.body);
}

async fn connect(app: &TestApp, engine: &Docker, prefix: &str) -> String {
    let settings = json!({"host": engine.host(), "project_prefix": prefix});
    let account = json!({"kind": "docker-compose", "name": "engine", "settings": settings});
    let account = app.admin().post("/api/v1/providers", account).await;
    assert_eq!((account.status, &account.json()["status"]), (201, &json!("connected")), "{}", account.body);
    account.json()["id"].as_str().unwrap().to_owned()
}

async fn acquire(app: &TestApp, wish: Value) -> (String, String) {
    let reply = app.admin().post("/api/v1/nodes", wish).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    let id = |key: &str| reply.json()[key].as_str().unwrap().to_owned();
    (id("node_id"), id("job_id"))
}

/// A stack of one service without anything to lose.
fn lone(lines: &str) -> Value {
    json!({
        "file": format!("services:\n  web:\n    image: hangar-test/app:${{HANGAR_TAG}}\n    ports: [\"8080\"]\n{lines}"),
        "services": [{"name": "web", "role": "application"}],
        "cockpit": {"service": "web", "port": docker::PORT},
        "tag": "plain",
    })
}

#[tokio::test]
async fn from_a_blueprint_to_a_backup_on_a_real_engine() {
    let Some(engine) = engine().await else { return };
    on_each(setup(), async |app: &TestApp| {
        let (admin, prefix) = (app.admin(), docker::prefix());
        save(app, "page", json!(docker::blueprint())).await;
        let provider = connect(app, engine, &prefix).await;
        let compose = json!({"blueprint": "page", "variables": {"TITLE": "$(id) 'a' \"b\""}});
        let wish =
            json!({"provider_id": provider, "name": "alpha", "pool": "default", "compose": compose, "verify_cockpit": true});
        let (node, _) = acquire(app, wish).await;
        let says = async |words: &str| {
            let ready = app.node_is(&node, "ready").await;
            let page = app.anon().get_url(ready["cockpit_url"].as_str().unwrap()).await;
            assert_eq!((page.status, page.body.as_str()), (200, words), "{ready:#}");
        };
        says("this is app:good1\n").await;
        acted(app, &node, "check-health", json!({}), "succeeded").await;
        let checked = app.node_is(&node, "ready").await["health"].clone();
        let web = checked["usage"].as_array().unwrap().iter().find(|part| part["name"] == "web").unwrap().clone();
        assert_eq!((&web["state"], &web["memory_most_bytes"]), (&json!("healthy"), &json!(64 << 20)), "{checked:#}");
        assert!(web["memory_bytes"].as_u64().unwrap() > 0 && web["cpu_millis"].is_u64(), "{checked:#}");
        let page = app.admin_in_browser().await.open(&format!("/nodes/{node}")).await.body;
        assert!(page.contains("of 64 MiB") && page.contains("of 0.5 cores"), "its page shows it");
        acted(app, &node, "suspend-node", json!({}), "succeeded").await;
        let suspended = app.node_is(&node, "suspended").await["health"].clone();
        assert!(suspended.get("usage").is_none(), "what it took is over: {suspended:#}");
        acted(app, &node, "upgrade-node", json!({"tag": "good2"}), "succeeded").await;
        assert_eq!(app.node_is(&node, "suspended").await["stack"]["tag"], "good2", "it is not started by an upgrade");
        acted(app, &node, "resume-node", json!({}), "succeeded").await;
        says("this is app:good2\n").await;
        acted(app, &node, "upgrade-node", json!({"tag": "good1"}), "succeeded").await;
        says("this is app:good1\n").await;
        let ran = acted(app, &node, "exec-command", json!({"argv": ["sh", "-c", "echo \"$TITLE\""]}), "succeeded").await;
        assert_eq!(ran["output"]["stdout"], "$(id) 'a' \"b\"\n", "{:#}", ran["output"]);
        let ran = acted(app, &node, "exec-command", json!({"argv": ["cat", "/data/file"], "service": "db"}), "succeeded");
        let ran = ran.await["output"]["stdout"].as_str().unwrap().to_owned();
        assert_eq!(ran.trim(), "***", "its secret is masked");
        acted(app, &node, "upgrade-node", json!({"tag": "good2"}), "succeeded").await;
        says("this is app:good2\n").await;
        let failed = acted(app, &node, "upgrade-node", json!({"tag": "unhealthy"}), "failed").await;
        assert_eq!(step(&failed, "roll_back")["status"], "succeeded", "{failed:#}");
        says("this is app:good2\n").await;
        let mine = ask(&app.user().await, "default").await.json();
        assert_eq!(mine["pool_vm_id"], node, "{mine:#}");
        // Given back, it is replaced by the same again.
        assert_eq!(release(&admin, &mine["id"]).await.status, 200);
        app.node_is(&node, "destroyed").await;
        let next = app.until("/api/v1/nodes?status=ready", "another", |n| n["items"].as_array().unwrap().len() == 1).await;
        let next = next["items"][0]["id"].as_str().unwrap().to_owned();
        acted(app, &next, "destroy-node", json!({"backup": true}), "succeeded").await;
        let kept = all(&admin, "/api/v1/backups").await;
        assert!(kept.len() == 1 && kept[0]["bytes"].as_u64().unwrap() > 0, "{kept:#?}");
        let path = format!("/api/v1/backups/{}/download", kept[0]["id"].as_str().unwrap());
        assert_eq!(admin.get(&path).await.status, 200);
        assert_eq!(engine.things(&prefix), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn what_never_gets_healthy_fails_in_time_and_is_kept_for_as_long_as_was_asked() {
    let Some(engine) = engine().await else { return };
    let setup = setup().with_work(|work| work.verify_deadline = Duration::from_secs(3));
    on_sqlite(setup, async |app: &TestApp| {
        let prefix = docker::prefix();
        save(app, "page", lone("")).await;
        // Here Compose itself waits for a health that never comes.
        let chain = json!({
            "file": "services:\n  web:\n    image: hangar-test/app:plain\n    depends_on: {db: {condition: service_healthy}}\n  \
                db:\n    image: hangar-test/app:${HANGAR_TAG}\n    volumes: ['data:/data']\nvolumes: {data: }\n",
            "services": [{"name": "db", "role": "data"}, {"name": "web", "role": "application"}],
            "tag": "unhealthy",
        });
        save(app, "chain", chain).await;
        let provider = connect(app, engine, &prefix).await;
        let wish = |name: &str, compose: Value, kept: u32| {
            json!({"provider_id": provider, "name": name, "compose": compose, "keep_failed_for": kept})
        };
        let begun = std::time::Instant::now();
        let never = json!({"blueprint": "page", "tag": "never"});
        let (node, job) = acquire(app, wish("alpha", never, 120)).await;
        let (chained, chained_job) = acquire(app, wish("beta", json!({"blueprint": "chain"}), 120)).await;

        let failed = app.job_is(&job, "failed").await;
        assert_eq!(failed["error"]["code"], "PROVISION_NOT_READY", "{failed:#}");
        assert_eq!(step(&failed, "verify")["status"], "failed", "{failed:#}");
        let kept = app.node_is(&node, "failed").await;
        assert_eq!((&kept["failed_stage"], &kept["cleanup"]), (&json!("verifying"), &json!("none")), "{kept:#}");
        let own = format!("{prefix}-alpha");
        assert!(!engine.things(&own).is_empty(), "it is kept, to be looked at");

        // Before the hand-over nothing is kept.
        let failed = app.job_is(&chained_job, "failed").await;
        assert_eq!(failed["error"]["code"], "PROVIDER_ACQUISITION_FAILED", "{failed:#}");
        let gone = app.node_is(&chained, "failed").await;
        assert_eq!((&gone["failed_stage"], &gone["cleanup"]), (&json!("starting"), &json!("done")), "{gone:#}");
        assert_eq!(engine.things(&format!("{prefix}-beta")), Vec::<String>::new());
        assert!(begun.elapsed() < Duration::from_secs(60), "it ends in bounded time");

        app.advance(MINUTE).await;
        assert_eq!(app.services.nodes_keep_sweep().await.unwrap(), 0, "its time is not up");
        app.advance(2 * MINUTE).await;
        assert_eq!(app.services.nodes_keep_sweep().await.unwrap(), 1);
        app.node_is(&node, "destroyed").await;
        assert_eq!(engine.things(&prefix), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn what_has_the_name_and_is_not_ours_is_left_alone_byte_for_byte() {
    let Some(engine) = engine().await else { return };
    on_sqlite(setup().idle(), async |app: &TestApp| {
        let prefix = docker::prefix();
        save(app, "page", json!(docker::blueprint())).await;
        let provider = connect(app, engine, &prefix).await;
        let wish = json!({"provider_id": provider, "name": "alpha", "compose": {"blueprint": "page"}});
        let (node, job) = acquire(app, wish).await;
        let server = {
            let mut c = app.services.store().read().await.unwrap();
            c.node_get(&node.parse().unwrap()).await.unwrap().unwrap().server_name
        };
        let project = format!("{prefix}-{server}");
        let label = format!("com.docker.compose.project={project}");
        let (web, data, other) = (format!("{project}-web-1"), format!("{project}_data"), format!("{project}_default"));
        engine.docker(&["volume", "create", "--label", &label, &data]);
        engine.docker(&["network", "create", "--label", &label, &other]);
        let mount = format!("{data}:/data");
        let run =
            ["run", "-d", "--name", &web, "--label", &label, "--network", &other, "-v", &mount, "hangar-test/db:1"];
        engine.docker(&run);
        let looks = || {
            let all = [&["inspect", web.as_str()][..], &["volume", "inspect", &data], &["network", "inspect", &other]];
            all.map(|words| engine.docker(words))
        };
        let (before, things) = (looks(), engine.things(&prefix));
        assert_eq!(things.len(), 3, "{things:?}");

        let _worker = app.worker();
        let failed = app.job_is(&job, "failed").await;
        assert_eq!(failed["error"]["code"], "PROVIDER_NAME_CONFLICT", "{failed:#}");
        assert_eq!(failed["attempt"], 1, "another try would find the same: {failed:#}");
        let left = app.node_is(&node, "failed").await;
        assert_eq!((&left["code"], &left["cleanup"]), (&json!("PROVIDER_NAME_CONFLICT"), &json!("done")), "{left:#}");
        acted(app, &node, "destroy-node", json!({}), "succeeded").await;
        assert_eq!(looks(), before, "nothing of it was touched");
        assert_eq!(engine.things(&prefix), things);
        engine.docker(&["rm", "--force", &web]);
        engine.docker(&["network", "rm", &other]);
        engine.docker(&["volume", "rm", &data]);
    })
    .await;
}

/// A disk that is soon full.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: &Path, size: &str) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let size = format!("size={size},mode=0700");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "hangar-test"]).arg(path).status().unwrap();
        assert!(done.success(), "{}", path.display());
        Self(path.to_owned())
    }

    fn grow(&self, size: &str) {
        let size = format!("remount,size={size}");
        assert!(Command::new("mount").args(["-o", &size]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[tokio::test]
async fn a_full_disk_of_backups_stops_the_destruction_and_room_lets_it_go_on() {
    let Some(engine) = engine().await else { return };
    on_sqlite(setup(), async |app: &TestApp| {
        let (admin, prefix) = (app.admin(), docker::prefix());
        let mut page = json!(docker::blueprint());
        page["tag"] = json!("plain");
        save(app, "page", page).await;
        let provider = connect(app, engine, &prefix).await;
        let wish = json!({"provider_id": provider, "name": "alpha", "compose": {"blueprint": "page"}});
        let (node, _) = acquire(app, wish).await;
        app.node_is(&node, "ready").await;
        let fill = ["dd", "if=/dev/zero", "of=/data/big", "bs=1M", "count=3"];
        acted(app, &node, "exec-command", json!({"argv": fill, "service": "db"}), "succeeded").await;
        let backups = app.dir.path().join("backups");
        let disk = Disk::mount(&backups, "1m");
        let stands = || {
            let own = format!("name={prefix}");
            engine.docker(&["ps", "--all", "--no-trunc", "--filter", &own, "--format", "{{.ID}} {{.Names}} {{.State}}"])
        };
        let (before, things) = (stands(), engine.things(&prefix));
        assert_eq!(before.lines().filter(|line| line.ends_with(" running")).count(), 3, "{before}");

        let failed = acted(app, &node, "destroy-node", json!({"backup": true}), "failed").await;
        assert_eq!(failed["error"]["code"], "PROVIDER_BACKUP_FAILED", "{failed:#}");
        assert_eq!(failed["error"]["message"], "The disk of the backups has no room for all of it.", "{failed:#}");
        assert!(failed["steps"].as_array().unwrap().iter().all(|it| it["name"] != "delete_server"), "{failed:#}");
        let kept = app.node_is(&node, "failed").await;
        let told = (&kept["code"], &kept["failed_stage"], &kept["cleanup"]);
        assert_eq!(told, (&json!("PROVIDER_BACKUP_FAILED"), &json!("destroying"), &json!("none")), "{kept:#}");
        let browser = app.admin_in_browser().await;
        let page = browser.open(&format!("/nodes/{node}")).await.body;
        assert!(page.contains("Make room or mend the machine and retry; or choose Resume to keep it in use"), "{page}");
        assert_eq!((stands(), engine.things(&prefix)), (before, things), "everything still stands and runs");
        assert_eq!(files_below(&backups), Vec::<PathBuf>::new(), "nothing half is left");
        assert_eq!(all(&admin, "/api/v1/backups").await.len(), 0);

        disk.grow("64m");
        acted(app, &node, "retry-node", json!({}), "succeeded").await;
        app.node_is(&node, "destroyed").await;
        let listed = all(&admin, "/api/v1/backups").await;
        assert_eq!((listed.len(), &listed[0]["files"]), (1, &json!(["db-data.tar"])), "{listed:#?}");
        assert!(listed[0]["bytes"].as_u64().unwrap() > 3 << 20, "{listed:#?}");
        assert_eq!(files_below(&backups).len(), 1);
        assert_eq!(engine.things(&prefix), Vec::<String>::new());
        drop(disk);
    })
    .await;
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The pool is kept full at 5 while 20 people take and give back; nobody gets what another one had,
/// and no machine has two holders.
#[tokio::test]
async fn a_pool_on_a_real_engine_is_kept_full_while_people_come_and_go() {
    let Some(engine) = engine().await else { return };
    on_sqlite(setup(), async |app: &TestApp| {
        let (admin, prefix) = (app.admin(), docker::prefix());
        save(app, "page", lone("")).await;
        let provider = connect(app, engine, &prefix).await;
        let template = json!({"provider_id": provider, "name": "shop", "compose": {"blueprint": "page"}});
        let pool = json!({"name": "shops", "template": template, "target_ready": 5, "max_size": 40});
        let made = admin.post("/api/v1/pools", pool).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let patient = async |path: &str, what: &str, fits: &(dyn Fn(&Value) -> bool + Sync)| {
            app.until_within(Duration::from_secs(240), path, what, fits).await
        };
        let full = |pool: &Value| pool["counts"]["available"] == 5 && pool["counts"]["coming"] == 0;
        app.watched(async {
            patient("/api/v1/pools/shops", "full", &full).await;
            let people = crowd(app, 20).await;
            let visits = people.iter().map(async |person| {
                let asked = ask(person, "shops").await;
                assert!(matches!(asked.status, 201 | 202), "{}", asked.body);
                let id = asked.json()["id"].clone();
                let path = format!("/api/v1/allocations/{}", id.as_str().unwrap());
                let got = patient(&path, "active", &|it| it["status"] == "active").await;
                let page = app.anon().get_url(got["cockpit_url"].as_str().unwrap()).await;
                assert_eq!(page.body, "this is app:plain\n", "{got:#}");
                let held = all(&admin, "/api/v1/allocations?status=active").await;
                let mut machines: Vec<_> = held.iter().map(|it| it["pool_vm_id"].to_string()).collect();
                let holders = machines.len();
                machines.sort();
                machines.dedup();
                assert_eq!(machines.len(), holders, "a machine has two holders: {held:#?}");
                assert_eq!(release(person, &id).await.status, 200);
                got["pool_vm_id"].as_str().unwrap().to_owned()
            });
            let mut seen: Vec<String> = futures::future::join_all(visits).await;
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 20, "what was given back is never handed on as it is");
            let again =
                |pool: &Value| full(pool) && pool["counts"]["cleaning"] == 0 && pool["counts"]["allocated"] == 0;
            patient("/api/v1/pools/shops", "full again", &again).await;
        })
        .await;
        patient("/api/v1/jobs?status=running", "nothing", &|jobs| jobs["items"] == json!([])).await;
        let stacks = engine.things(&prefix);
        assert_eq!(
            stacks.iter().filter(|it| it.starts_with("container")).count(),
            5,
            "nothing is orphaned: {stacks:?}"
        );
        // No more are wanted: the machines go, and nothing is left.
        let none = admin.method("PATCH", "/api/v1/pools/shops", json!({"target_ready": 0})).await;
        assert_eq!(none.status, 200, "{}", none.body);
        app.watched(patient("/api/v1/pools/shops", "empty", &|pool| pool["counts"]["available"] == 0)).await;
        patient("/api/v1/nodes?status=live", "none", &|nodes| nodes["items"] == json!([])).await;
        assert_eq!(engine.things(&prefix), Vec::<String>::new());
    })
    .await;
}

/// The engine chooses the ports of stacks by itself, and gives up when those in a row are somebody
/// else's: it is asked again.
#[tokio::test]
async fn ports_that_somebody_else_has_are_no_failure_where_any_will_do() {
    let Some(engine) = engine().await else { return };
    on_sqlite(setup(), async |app: &TestApp| {
        let prefix = docker::prefix();
        save(app, "page", lone("")).await;
        let provider = connect(app, engine, &prefix).await;
        let wish = |name: &str| json!({"provider_id": provider, "name": name, "compose": {"blueprint": "page"}});
        let (first, _) = acquire(app, wish("alpha")).await;
        let made = app.node_is(&first, "ready").await;
        let port = made["stack"]["cockpit_port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap();
        let taken: Vec<_> = (1..=14).map(|more| std::net::TcpListener::bind(("0.0.0.0", port + more))).collect();
        let (second, job) = acquire(app, wish("beta")).await;
        app.job_is(&job, "succeeded").await;
        let moved = app.node_is(&second, "ready").await;
        acted(app, &first, "suspend-node", json!({}), "succeeded").await;
        let last = moved["stack"]["cockpit_port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap();
        let more: Vec<_> = (1..=14).map(|more| std::net::TcpListener::bind(("0.0.0.0", last + more))).collect();
        acted(app, &first, "resume-node", json!({}), "succeeded").await;
        drop((taken, more));
        for node in [first, second] {
            acted(app, &node, "destroy-node", json!({"backup": false}), "succeeded").await;
        }
        assert_eq!(engine.things(&prefix), Vec::<String>::new());
    })
    .await;
}
