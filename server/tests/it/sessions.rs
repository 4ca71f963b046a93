//! Sessions: made new at sign-in, over when they are over.

use domain::time::{HOUR, MINUTE};
use serde_json::json;
use server::http::Sessions;
use tower_sessions::{SessionStore as _, session::Id};

use crate::app::{SECRET, Setup, TestApp, on_each};

#[tokio::test]
async fn an_id_from_before_the_sign_in_is_worth_nothing() {
    on_each(Setup::usual(), async |app: &TestApp| {
        // The attacker gets an id and plants it in the victim's browser.
        let attacker = app.anon();
        assert_eq!(attacker.get("/auth/forge/start").await.status, 303);
        let planted = attacker.session().unwrap();
        let victim = app.anon().with_session(Some(planted.clone()));
        assert_eq!(victim.form("/auth/secret", &[("secret", SECRET)]).await.status, 303);
        assert_ne!(victim.session(), Some(planted.clone()), "the id is a new one");
        assert_eq!(victim.get("/api/v1/me").await.status, 200);
        app.anon().with_session(Some(planted)).get("/api/v1/me").await.is_problem(401, "unauthorized");
        // Nor is an id that was never given out taken over.
        let invented = Id::default().to_string();
        let victim = app.anon().with_session(Some(invented.clone()));
        assert_eq!(victim.form("/auth/secret", &[("secret", SECRET)]).await.status, 303);
        assert_ne!(victim.session(), Some(invented));
    })
    .await;
}

#[tokio::test]
async fn signing_out_ends_it_on_the_server() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let browser = app.admin_in_browser().await;
        let kept = browser.session();
        let reply = browser.form("/auth/logout", &[]).await;
        assert_eq!((reply.status, reply.location()), (303, "/login"));
        assert_eq!(browser.session(), None, "the cookie is taken away");
        let thief = app.anon().with_session(kept);
        thief.get("/api/v1/me").await.is_problem(401, "unauthorized");
        assert_eq!(app.anon().form("/auth/logout", &[]).await.status, 303, "nobody may sign out too");
    })
    .await;
}

/// A request that was under way while its session ended must not save it back.
#[tokio::test]
async fn a_late_save_does_not_bring_it_back() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let browser = app.admin_in_browser().await;
        let id: Id = browser.session().unwrap().parse().unwrap();
        let sessions = Sessions::new(app.services.clone());
        let record = sessions.load(&id).await.unwrap().unwrap();
        assert_eq!(browser.form("/auth/logout", &[]).await.status, 303);
        sessions.save(&record).await.unwrap();
        assert_eq!(sessions.load(&id).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn it_ends_by_itself() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let idle = app.admin_in_browser().await;
        app.clock.advance(12 * HOUR + MINUTE);
        idle.get("/api/v1/me").await.is_problem(401, "unauthorized");

        let busy = app.admin_in_browser().await;
        for _ in 0..16 {
            app.clock.advance(10 * HOUR);
            assert_eq!(busy.get("/api/v1/me").await.status, 200, "each visit moves the end");
        }
        app.clock.advance(9 * HOUR);
        busy.get("/api/v1/me").await.is_problem(401, "unauthorized");
    })
    .await;
}

/// Who has the database has no session.
#[tokio::test]
async fn the_database_knows_only_hashes() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let browser = app.admin_in_browser().await;
        let session = browser.session().unwrap();
        assert_eq!(browser.post("/api/v1/pools", json!({"name": "p"})).await.status, 201);
        for entry in std::fs::read_dir(app.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                assert!(!contains(&bytes, session.as_bytes()), "{}", path.display());
            }
        }
    })
    .await;
}

pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}
