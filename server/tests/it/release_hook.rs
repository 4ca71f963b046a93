//! What happens between one holder and the next: the deployer is told, the machine is cleaned, and
//! nobody gets it before.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use domain::time::SECOND;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    allocations::{all, ask, release},
    app::{Setup, TestApp, on_each},
    log,
};

/// A deployer that answers when, and as, it is told.
struct Deployer {
    url: String,
    answers: mpsc::UnboundedSender<u16>,
    heard: Arc<Mutex<Vec<Value>>>,
    server: tokio::task::JoinHandle<()>,
}

type Told = (Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<u16>>>, Arc<Mutex<Vec<Value>>>);

impl Deployer {
    async fn start() -> Self {
        let (answers, told) = mpsc::unbounded_channel();
        let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
        let state: Told = (Arc::new(tokio::sync::Mutex::new(told)), heard.clone());
        let answer = async |State((told, heard)): State<Told>, Json(body): Json<Value>| {
            heard.lock().unwrap().push(body);
            let status = told.lock().await.recv().await.unwrap_or(500);
            StatusCode::from_u16(status).unwrap()
        };
        let app = Router::new().route("/hook/admin/release-vm", post(answer)).with_state(state);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, answers, heard, server }
    }

    fn answer(&self, statuses: &[u16]) {
        for status in statuses {
            self.answers.send(*status).unwrap();
        }
    }

    fn heard(&self) -> Vec<Value> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

impl Drop for Deployer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn setup(list: &str) -> Setup {
    Setup::usual().with("VM_POOL_JSON", list)
}

async fn machine(app: &TestApp, id: &str) -> Value {
    let vms = all(&app.admin(), "/api/v1/pools/default/vms").await;
    vms.into_iter().find(|vm| vm["id"] == id).unwrap()
}

async fn hook_job(app: &TestApp, allocation: &Value) -> String {
    let jobs = app.admin().get("/api/v1/jobs?kind=allocation_release").await.json();
    let jobs = jobs["items"].as_array().unwrap();
    let job = jobs.iter().find(|job| job["subject"]["id"] == *allocation).unwrap_or_else(|| panic!("{jobs:#?}"));
    job["id"].as_str().unwrap().to_owned()
}

async fn mark(app: &TestApp, id: &str, status: &str) -> crate::app::Reply {
    app.admin().method("PATCH", &format!("/api/v1/pools/default/vms/{id}"), json!({ "status": status })).await
}

fn path(allocation: &Value) -> String {
    format!("/api/v1/allocations/{}", allocation["id"].as_str().unwrap())
}

#[tokio::test]
async fn without_a_hook_the_log_says_so_and_the_machine_waits_for_a_person() {
    on_each(setup(r#"[{"id":"stub-vm"}]"#), async |app: &TestApp| {
        let line = "deployer-release stub: would release pool_vm_id=stub-vm here";
        let before = log::lines_with(line).len();
        let (user, admin) = (app.user().await, app.admin());
        let mine = ask(&user, "default").await.json();
        let next = ask(&admin, "default").await.json();
        assert_eq!(release(&user, &mine["id"]).await.json()["status"], "released");
        assert_eq!(release(&user, &mine["id"]).await.status, 200);
        assert_eq!(log::lines_with(line).len(), before + 1, "once for each release");
        let vm = machine(app, "stub-vm").await;
        assert_eq!(vm["status"], "maintenance");
        assert!(vm["note"].as_str().is_some_and(|note| note.contains("mark it available")), "{vm:#}");
        assert_eq!(admin.get(&path(&next)).await.json()["status"], "waiting", "not before it is clean");
        assert_eq!(mark(app, "stub-vm", "available").await.json()["status"], "allocated", "to who waited");
        assert_eq!(admin.get(&path(&next)).await.json()["pool_vm_id"], "stub-vm");
        // A pool that says that nothing is cleaned hands it on at once.
        assert_eq!(admin.method("PATCH", "/api/v1/pools/default", json!({"cleaning": "none"})).await.status, 200);
        let third = ask(&user, "default").await.json();
        assert_eq!(release(&admin, &next["id"]).await.status, 200);
        assert_eq!(user.get(&path(&third)).await.json()["pool_vm_id"], "stub-vm");
    })
    .await;
}

#[tokio::test]
async fn the_hook_is_repeated_until_it_is_taken_and_only_then_the_next_gets_it() {
    let deployer = Deployer::start().await;
    let setup = setup(r#"[{"id":"vm"}]"#).with("HANGAR_DEPLOYER_URL", &deployer.url).with_jobs();
    on_each(setup, async |app: &TestApp| {
        let (user, other) = (app.user().await, app.other_user().await);
        let mine = ask(&user, "default").await.json();
        let next = ask(&other, "default").await.json();
        let released = release(&user, &mine["id"]).await;
        assert_eq!((released.status, &released.json()["status"]), (200, &json!("releasing")), "{}", released.body);
        assert_eq!(machine(app, "vm").await["status"], "cleaning");
        let job = hook_job(app, &mine["id"]).await;
        // Nobody can hand it on meanwhile, neither by hand nor by the list.
        mark(app, "vm", "available").await.is_problem(409, "conflict");
        let list = json!([{"id": "vm", "status": "available"}]);
        assert_eq!(app.admin().post("/admin/pool-refresh", list).await.status, 200);
        assert_eq!(machine(app, "vm").await["status"], "cleaning");
        deployer.answer(&[500, 404, 302]);
        app.until(&format!("/api/v1/jobs/{job}"), "at its fourth attempt", |j| j["attempt"] == 4).await;
        assert_eq!(other.get(&path(&next)).await.json()["status"], "waiting");
        assert_eq!(machine(app, "vm").await["status"], "cleaning");
        app.admin().post(&format!("/api/v1/jobs/{job}/cancel"), json!({})).await.is_problem(409, "action_blocked");
        deployer.answer(&[204]);
        let job = app.job_is(&job, "succeeded").await;
        assert_eq!((&job["attempt"], &job["steps"][0]["status"]), (&json!(4), &json!("succeeded")), "{job:#}");
        let told = deployer.heard();
        assert_eq!(told, vec![json!({"pool_vm_id": "vm", "allocation_id": mine["id"]}); 4]);
        assert_eq!(user.get(&path(&mine)).await.json()["status"], "released");
        assert_eq!(other.get(&path(&next)).await.json()["pool_vm_id"], "vm");
    })
    .await;
}

#[tokio::test]
async fn a_hook_that_never_works_ends_in_maintenance_with_a_note() {
    let deployer = Deployer::start().await;
    let setup = setup(r#"[{"id":"vm"}]"#).with("HANGAR_DEPLOYER_URL", &deployer.url).with_jobs();
    on_each(setup, async |app: &TestApp| {
        let (user, other) = (app.user().await, app.other_user().await);
        let mine = ask(&user, "default").await.json();
        let next = ask(&other, "default").await.json();
        deployer.answer(&[500; 8]);
        release(&user, &mine["id"]).await;
        let job = hook_job(app, &mine["id"]).await;
        let over = app.job_is(&job, "failed").await;
        assert_eq!((&over["attempt"], &over["max_attempts"]), (&json!(8), &json!(8)));
        let vm = machine(app, "vm").await;
        assert_eq!(vm["status"], "maintenance");
        assert!(vm["note"].as_str().is_some_and(|note| note.contains("hook")), "{vm:#}");
        assert_eq!(user.get(&path(&mine)).await.json()["status"], "released");
        assert_eq!(other.get(&path(&next)).await.json()["status"], "waiting");
        // Marked clean by a person, it goes to who waited.
        assert_eq!(mark(app, "vm", "available").await.json()["status"], "allocated");
        assert_eq!(other.get(&path(&next)).await.json()["pool_vm_id"], "vm");
        deployer.answer(&[500; 8]);
        release(&other, &next["id"]).await;
        let second = hook_job(app, &next["id"]).await;
        app.job_is(&second, "failed").await;
        assert_eq!(mark(app, "vm", "available").await.status, 200);
        let third = ask(&user, "default").await.json();
        // Its release is over: another hook would name a machine that is somebody else's by now.
        let refused = app.admin().post(&format!("/api/v1/jobs/{second}/retry"), json!({})).await;
        let problem = refused.is_problem(409, "action_blocked");
        assert!(problem["gates"].as_array().unwrap().iter().any(|g| g["name"] == "allocation-state"), "{problem:#}");
        assert_eq!(user.get(&path(&third)).await.json()["status"], "active");
        assert_eq!(machine(app, "vm").await["status"], "allocated");
        deployer.heard();
    })
    .await;
}

/// A machine that left the list while held, came back while the deployer was being told.
#[tokio::test]
async fn a_list_does_not_overtake_the_hook() {
    let deployer = Deployer::start().await;
    let setup = setup(r#"[{"id":"vm"}]"#).with("HANGAR_DEPLOYER_URL", &deployer.url).with_jobs();
    on_each(setup, async |app: &TestApp| {
        let (user, other) = (app.user().await, app.other_user().await);
        let mine = ask(&user, "default").await.json();
        let next = ask(&other, "default").await.json();
        let refresh = async |list: Value| {
            let reply = app.admin().post("/admin/pool-refresh", list).await;
            assert_eq!(reply.status, 200, "{}", reply.body);
        };
        refresh(json!([])).await;
        release(&user, &mine["id"]).await;
        assert_eq!(machine(app, "vm").await["status"], "retired");
        refresh(json!([{"id": "vm", "status": "available"}])).await;
        assert_eq!(other.get(&path(&next)).await.json()["status"], "waiting");
        deployer.answer(&[200]);
        app.job_is(&hook_job(app, &mine["id"]).await, "succeeded").await;
        assert_eq!(other.get(&path(&next)).await.json()["pool_vm_id"], "vm");
        deployer.heard();
    })
    .await;
}

#[tokio::test]
async fn the_waits_between_deliveries_are_those_configured() {
    let deployer = Deployer::start().await;
    let setup = setup(r#"[{"id":"vm"}]"#)
        .with("HANGAR_DEPLOYER_URL", &deployer.url)
        .with_work(|work| work.back_off = vec![5 * SECOND, 30 * SECOND, 120 * SECOND]);
    on_each(setup, async |app: &TestApp| {
        let user = app.user().await;
        let mine = ask(&user, "default").await.json();
        release(&user, &mine["id"]).await;
        let job = hook_job(app, &mine["id"]).await;
        let path = format!("/api/v1/jobs/{job}");
        for (attempt, least) in [(1, 5), (2, 30), (3, 120), (4, 120)] {
            deployer.answer(&[503]);
            let waits = app.until(&path, "waiting", |j| j["attempt"] == attempt && j["status"] == "queued").await;
            let at = domain::time::Timestamp::parse(waits["run_after"].as_str().unwrap()).unwrap();
            let wait = at.since(app.clock.now());
            assert!((least * SECOND..=least * SECOND * 5 / 4).contains(&wait), "attempt {attempt}: {wait} ms");
            assert_eq!(waits["error"]["message"], "The deployer answered 503.");
            app.advance(wait - 1).await;
            assert_eq!(app.admin().get(&path).await.json()["attempt"], attempt, "not before its time");
            app.advance(1).await;
        }
        deployer.answer(&[200]);
        app.job_is(&job, "succeeded").await;
        deployer.heard();
    })
    .await;
}
