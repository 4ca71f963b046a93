//! Live updates.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{Client, Setup, TestApp, on_each};

/// A stream being read.
struct Listening {
    response: reqwest::Response,
    text: String,
}

impl Listening {
    async fn start(client: &Client, after: Option<i64>) -> Self {
        let response = client
            .stream(Method::GET, "/api/v1/events", |r| match after {
                Some(id) => r.header("last-event-id", id.to_string()),
                None => r,
            })
            .await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event with its id; `None` when the stream ended.
    async fn next(&mut self) -> Option<(i64, Value)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| block.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
                let found = field("id:").and_then(|id| id.parse().ok()).zip(field("data:").map(str::to_owned));
                self.text = rest.to_owned();
                if let Some((id, data)) = found {
                    return Some((id, serde_json::from_str(&data).unwrap()));
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.response.chunk()).await.unwrap();
            match chunk.ok().flatten() {
                Some(bytes) => self.text.push_str(std::str::from_utf8(&bytes).unwrap()),
                None => return None,
            }
        }
    }

    /// The next event about this thing.
    async fn about(&mut self, id: &str) -> (i64, Value) {
        loop {
            let (seq, event) = self.next().await.unwrap();
            if event["id"] == id {
                return (seq, event);
            }
        }
    }
}

async fn allocate(client: &Client, wish: Value) -> String {
    let made = client.post("/api/v1/allocations", wish).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn administrators_hear_all_and_people_what_is_theirs() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let (mine, other, admin) = (app.user().await, app.other_user().await, app.admin());
        let mut i_hear = Listening::start(&mine, None).await;
        let mut admin_hears = Listening::start(&admin, None).await;
        let theirs = allocate(&other, json!({"pool": "default"})).await;
        let ours = allocate(&mine, json!({"pool": "default"})).await;
        let (_, event) = admin_hears.about(&theirs).await;
        assert_eq!(event["type"], "allocation");
        assert!(event["version"].is_i64(), "{event}");
        admin_hears.about(&ours).await;
        loop {
            let (_, event) = i_hear.next().await.unwrap();
            assert_ne!(event["id"], theirs.as_str(), "another's");
            if event["id"] == ours.as_str() {
                break;
            }
        }
    })
    .await;
}

/// Who waits hears that the line moves, though nothing of theirs changed.
#[tokio::test]
async fn everybody_hears_that_something_moved_in_a_pool() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let mut i_hear = Listening::start(&app.user().await, None).await;
        allocate(&app.other_user().await, json!({"pool": "default"})).await;
        let (_, event) = i_hear.about("default").await;
        assert_eq!(event["type"], "pool");
    })
    .await;
}

#[tokio::test]
async fn who_comes_back_hears_what_was_missed() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let admin = app.admin();
        let mut first = Listening::start(&admin, None).await;
        let known = allocate(&admin, json!({"pool": "default"})).await;
        let (seq, _) = first.about(&known).await;
        drop(first);
        let missed = allocate(&admin, json!({"pool": "default"})).await;
        let mut again = Listening::start(&admin, Some(seq)).await;
        let (next, event) = again.about(&missed).await;
        assert!(next > seq, "{event}");
        // And goes on with what is new, each thing once.
        let fresh = allocate(&admin, json!({"pool": "default"})).await;
        let mut last = next;
        loop {
            let (seq, event) = again.next().await.unwrap();
            assert!(seq > last, "{event} came twice");
            last = seq;
            if event["id"] == fresh.as_str() {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn it_ends_with_the_session_and_with_the_server() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let browser = app.user().await;
        let mut listening = Listening::start(&browser, None).await;
        assert_eq!(browser.form("/auth/logout", &[]).await.status, 303);
        while listening.next().await.is_some() {}

        let browser = app.other_user().await;
        let id = browser.get("/api/v1/me").await.json()["id"].as_str().unwrap().to_owned();
        let mut listening = Listening::start(&browser, None).await;
        let out = app.admin().method("PATCH", &format!("/api/v1/users/{id}"), json!({"status": "suspended"})).await;
        assert_eq!(out.status, 200, "{}", out.body);
        while listening.next().await.is_some() {}

        let mut listening = Listening::start(&app.admin(), None).await;
        app.begin_end();
        while listening.next().await.is_some() {}
    })
    .await;
}
