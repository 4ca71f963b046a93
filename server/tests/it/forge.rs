//! Signing in by the Forge.

use reqwest::Method;
use serde_json::json;
use simulators::{ForgeFault, Person};

use crate::app::{Setup, TestApp, on_each};

#[tokio::test]
async fn people_come_in_and_are_known_by_their_number() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let browser = app.anon();
        let reply = app.by_forge(&browser, "ada", "/dashboard").await;
        assert_eq!((reply.status, reply.location()), (303, "/dashboard"), "{}", reply.body);
        let me = browser.get("/api/v1/me").await.json();
        assert_eq!(me["forge_login"], "ada");
        assert_eq!((&me["role"], &me["status"]), (&json!("user"), &json!("active")));
        assert_eq!(me["display_name"], "Ada Lovelace");
        // Renamed at the Forge, and somebody else took the old name.
        app.forge.add_person(Person::new(1, "countess", "Ada Lovelace"));
        app.forge.add_person(Person::new(9, "ada", "Somebody Else"));
        assert_eq!(app.signed_in("countess").await.get("/api/v1/me").await.json()["id"], me["id"]);
        assert_ne!(app.signed_in("ada").await.get("/api/v1/me").await.json()["id"], me["id"]);
    })
    .await;
}

#[tokio::test]
async fn new_people_wait_unless_sign_up_is_open() {
    on_each(
        Setup::usual().with("HANGAR_SIGNUP", "closed").with("HANGAR_ADMIN_FORGE_USERS", "Grace"),
        async |app: &TestApp| {
            let user = app.user().await;
            assert_eq!(user.get("/api/v1/me").await.json()["status"], "pending");
            user.post("/api/v1/allocations", json!({"pool": "default"})).await.is_problem(403, "approval_pending");
            let admin = app.other_user().await;
            assert_eq!(admin.get("/api/v1/me").await.json()["role"], "admin");
            assert_eq!(admin.get("/api/v1/users").await.status, 200);
        },
    )
    .await;
}

#[tokio::test]
async fn only_the_browser_that_left_comes_back() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let failed = |reply: &crate::app::Reply| {
            assert_eq!(reply.status, 303);
            assert!(reply.location().starts_with("/login?error=forge_state"), "{}", reply.location());
        };
        // The attacker's own answer, handed to a victim.
        let attacker = app.anon();
        let start = attacker.get("/auth/forge/start").await;
        let back = app.at_forge(start.location(), "grace").await;
        let victim = app.anon();
        failed(&victim.get(&back).await);
        assert!(victim.get("/api/v1/me").await.status == 401);
        let victim = app.anon();
        assert_eq!(victim.get("/auth/forge/start").await.status, 303);
        failed(&victim.get(&back).await);
        // The attacker's own way is still open, once.
        assert_eq!(attacker.get(&back).await.location(), "/");
        failed(&attacker.get(&back).await);
        // The Forge or somebody between changes the state.
        app.forge.fault(ForgeFault::WrongState, 1);
        failed(&app.by_forge(&app.anon(), "ada", "/").await);
        // Too late.
        let late = app.anon();
        let start = late.get("/auth/forge/start").await;
        let back = app.at_forge(start.location(), "ada").await;
        app.clock.advance(11 * domain::time::MINUTE);
        failed(&late.get(&back).await);
    })
    .await;
}

#[tokio::test]
async fn nothing_the_browser_sees_is_the_verifier() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let start = app.anon().get("/auth/forge/start").await;
        let url = url::Url::parse(start.location()).unwrap();
        let asked: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["scope"], "openid profile email groups read:user");
        assert_eq!(asked["redirect_uri"], format!("{}/auth/forge/callback", app.base));
        assert!(!asked.contains_key("code_verifier") && !start.body.contains("verifier"));
        assert!(!start.header("set-cookie").contains(&asked["state"]));
    })
    .await;
}

#[tokio::test]
async fn every_failure_ends_at_the_sign_in_page() {
    on_each(Setup::usual(), async |app: &TestApp| {
        for (fault, word) in [
            (ForgeFault::Denied, "forge_denied"),
            (ForgeFault::TokenError, "forge_unreachable"),
            (ForgeFault::UserError, "forge_unreachable"),
        ] {
            app.forge.fault(fault, 1);
            let browser = app.anon();
            let reply = app.by_forge(&browser, "ada", "/dashboard").await;
            assert_eq!(
                (reply.status, reply.location()),
                (303, format!("/login?error={word}&next=%2Fdashboard").as_str())
            );
            browser.get("/api/v1/me").await.is_problem(401, "unauthorized");
        }
        let audit = app.admin().get("/api/v1/audit").await.json();
        let lines = audit["items"].as_array().unwrap().iter().filter(|l| l["action"] == "sign-in.forge").count();
        assert_eq!(lines, 3, "{audit}");
    })
    .await;
}

/// The Forge sends people back to the public address; the cookie has to be there too.
#[tokio::test]
async fn a_sign_in_begins_at_the_public_address() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let browser = app.anon();
        let port = app.base.rsplit(':').next().unwrap();
        let other = format!("localhost:{port}");
        let ask = async |path: &str| browser.send(Method::GET, path, |r| r.header("host", &other)).await;
        let reply = ask("/auth/forge/start?next=/nodes").await;
        let public = format!("{}/auth/forge/start?next=%2Fnodes&moved=1", app.base);
        assert_eq!((reply.status, reply.location()), (303, public.as_str()));
        assert_eq!(browser.session(), None, "nothing begins where it cannot end");
        // A proxy that hides the host makes no circle.
        let moved = ask("/auth/forge/start?next=%2Fnodes&moved=1").await;
        assert!(moved.location().starts_with(&app.forge.url()), "{}", moved.location());
        let back = app.at_forge(moved.location(), "ada").await;
        assert_eq!(browser.get(&back).await.location(), "/nodes");
    })
    .await;
}

/// What answers nothing that began here leaves no line, or anybody could fill the trail.
#[tokio::test]
async fn a_stray_call_back_is_not_in_the_trail() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let reply = app.anon().get("/auth/forge/callback?code=x&state=y").await;
        assert!(reply.location().starts_with("/login?error=forge_state"), "{}", reply.location());
        let audit = app.admin().get("/api/v1/audit").await.body;
        assert!(!audit.contains("sign-in.forge"), "{audit}");
    })
    .await;
}

#[tokio::test]
async fn without_a_forge_the_routes_say_so() {
    on_each(Setup::usual().with("HANGAR_FORGE_CLIENT_ID", ""), async |app: &TestApp| {
        for path in ["/auth/forge/start", "/auth/forge/callback?code=x&state=y"] {
            app.anon().get(path).await.is_problem(503, "forge_not_configured");
        }
    })
    .await;
}
