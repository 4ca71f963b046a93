//! The same key, the same answer.

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{Client, Reply, Setup, TestApp, on_each};

async fn create(client: &Client, path: &str, key: &str, body: Value) -> Reply {
    client.send(Method::POST, path, |r| r.header("idempotency-key", key).json(&body)).await
}

#[tokio::test]
async fn a_repeat_creates_nothing() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let admin = app.admin();
        let wish = json!({"pool": "default"});
        let first = create(&admin, "/api/v1/allocations", "k1", wish.clone()).await;
        let again = create(&admin, "/api/v1/allocations", "k1", wish.clone()).await;
        assert_eq!(first.status, 201, "{}", first.body);
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
        let other = create(&admin, "/api/v1/allocations", "k2", wish.clone()).await;
        assert_ne!(other.json()["id"], first.json()["id"]);
        create(&admin, "/api/v1/allocations", "k1", json!({"pool": "default", "duration_hours": 1}))
            .await
            .is_problem(422, "idempotency_conflict");
        // Another person's key is another key, and so is the same one on another route.
        let user = app.user().await;
        assert_ne!(create(&user, "/api/v1/allocations", "k1", wish).await.json()["id"], first.json()["id"]);
        assert_eq!(create(&admin, "/api/v1/pools", "k1", json!({"name": "p"})).await.status, 201);
        assert_eq!(create(&admin, "/api/v1/pools", "k1", json!({"name": "p"})).await.status, 201);
        assert_eq!(admin.get("/api/v1/allocations").await.json()["items"].as_array().unwrap().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn at_the_same_moment_one_is_created() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let admin = app.admin();
        let wish = || create(&admin, "/api/v1/allocations", "burst", json!({"pool": "default"}));
        let replies = futures::future::join_all((0..12).map(|_| wish())).await;
        for reply in &replies {
            assert_eq!((reply.status, &reply.body), (201, &replies[0].body));
        }
        assert_eq!(admin.get("/api/v1/allocations").await.json()["items"].as_array().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let admin = app.admin();
        let wish = json!({"name": "later", "max_size": 3});
        create(&admin, "/api/v1/allocations", "k", json!({"pool": "later"})).await.is_problem(422, "validation");
        assert_eq!(admin.post("/api/v1/pools", wish).await.status, 201);
        let now = create(&admin, "/api/v1/allocations", "k", json!({"pool": "later"})).await;
        assert_eq!(now.status, 202, "{}", now.body);
        assert_eq!(now.json()["position"], 1);
        assert!(now.json()["reason"].is_string(), "{}", now.body);
    })
    .await;
}

#[tokio::test]
async fn a_key_has_a_form() {
    on_each(Setup::usual(), async |app: &TestApp| {
        for key in ["", &"k".repeat(256)] {
            create(&app.admin(), "/api/v1/pools", key, json!({"name": "p"})).await.is_problem(400, "bad_request");
        }
    })
    .await;
}
