//! Signing in by the admin secret.

use domain::time::{HOUR, MINUTE, SECOND};
use reqwest::{Method, header};
use serde_json::json;

use crate::app::{Client, SECRET, Setup, TestApp, on_each};

fn with_secret(app: &TestApp, secret: &str) -> Client {
    app.anon().with_header(header::HeaderName::from_static("x-admin-secret"), secret)
}

#[tokio::test]
async fn both_headers_sign_machines_in() {
    on_each(Setup::usual(), async |app: &TestApp| {
        for client in [app.admin(), with_secret(app, SECRET)] {
            let me = client.get("/api/v1/me").await;
            assert_eq!((me.status, me.json()["id"].as_str()), (200, Some("usr_admin")), "{}", me.body);
            assert_eq!(me.headers.get("set-cookie"), None, "machines get no session");
        }
        for wrong in ["", "x", "the-admin-secret-of-the-test"] {
            with_secret(app, wrong).get("/api/v1/me").await.is_problem(401, "unauthorized");
        }
        // A wrong header is not made good by a session.
        let browser = app.admin_in_browser().await.with_header(header::AUTHORIZATION, "Bearer wrong");
        browser.get("/api/v1/me").await.is_problem(401, "unauthorized");
    })
    .await;
}

#[tokio::test]
async fn the_form_signs_browsers_in() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let browser = app.anon();
        let reply = browser.form("/auth/secret", &[("secret", SECRET), ("next", "/nodes?status=ready")]).await;
        assert_eq!((reply.status, reply.location()), (303, "/nodes?status=ready"));
        let cookie = reply.header("set-cookie");
        for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!cookie.contains("Secure"), "the public address is http: {cookie}");
        assert_eq!(browser.get("/api/v1/me").await.json()["role"], "admin");

        let stranger = app.anon();
        let reply = stranger.form("/auth/secret", &[("secret", "wrong"), ("next", "/nodes")]).await;
        assert_eq!((reply.status, reply.location()), (303, "/login?error=unauthorized&next=%2Fnodes"));
        assert_eq!(stranger.session(), None);
        let reply = stranger.post("/auth/secret", json!({"secret": "wrong"})).await;
        reply.is_problem(401, "unauthorized");
        let audit = app.admin().get("/api/v1/audit").await.body;
        assert!(audit.contains("sign-in.secret") && audit.contains("refused"), "{audit}");
    })
    .await;
}

#[tokio::test]
async fn next_never_leads_away() {
    on_each(Setup::usual(), async |app: &TestApp| {
        for next in ["//evil.example", "https://evil.example", "/\\evil.example", "/\r\nx: y", "javascript:alert(1)"] {
            let reply = app.anon().form("/auth/secret", &[("secret", SECRET), ("next", next)]).await;
            assert_eq!((reply.status, reply.location()), (303, "/"), "{next:?}");
        }
    })
    .await;
}

/// Failed tries of one address, each answered 401; the simulated minutes between them let them in.
async fn fail(app: &TestApp, tries: u32) {
    for _ in 0..tries {
        with_secret(app, "wrong").get("/api/v1/me").await.is_problem(401, "unauthorized");
    }
}

#[tokio::test]
async fn failures_slow_down_but_one_try_a_minute_is_taken() {
    on_each(Setup::usual(), async |app: &TestApp| {
        // Known before the failures, so that it is recognised without being verified.
        assert_eq!(app.admin().get("/api/v1/me").await.status, 200);
        for _ in 0..2 {
            fail(app, 5).await;
            let locked = with_secret(app, "wrong").get("/api/v1/me").await;
            locked.is_problem(429, "rate_limited");
            assert_eq!(locked.header("retry-after"), "60");
            let form = app.anon().form("/auth/secret", &[("secret", "wrong")]).await;
            assert_eq!(form.location(), "/login?error=rate_limited&next=%2F");
            assert_eq!(app.admin().get("/api/v1/me").await.status, 200, "the administrator at work is not held up");
            app.clock.advance(MINUTE + SECOND);
        }
        // After ten within a quarter of an hour it is one a minute.
        fail(app, 1).await;
        with_secret(app, "wrong").get("/api/v1/me").await.is_problem(429, "rate_limited");
        app.clock.advance(16 * MINUTE);
        fail(app, 5).await;
        // Only what was tried is in the trail, not what was refused unread.
        let audit = app.admin().get("/api/v1/audit?limit=200").await.json();
        let lines = audit["items"].as_array().unwrap();
        assert!(lines.iter().all(|line| line["code"] != "rate_limited"), "{audit}");
    })
    .await;
}

/// The tidying keeps failures for as long as the longest limit looks back.
#[tokio::test]
async fn a_long_limit_outlives_the_tidying() {
    on_each(Setup::usual(), async |app: &TestApp| {
        for _ in 0..5 {
            fail(app, 5).await;
            app.clock.advance(16 * MINUTE);
        }
        app.clock.advance(2 * HOUR);
        server::jobs::tidy_up(&app.services).await.unwrap();
        fail(app, 1).await;
        with_secret(app, "wrong").get("/api/v1/me").await.is_problem(429, "rate_limited");
    })
    .await;
}

#[tokio::test]
async fn nobodys_failures_lock_the_administrator_out() {
    on_each(Setup::usual().with("HANGAR_TRUSTED_PROXIES", "127.0.0.1"), async |app: &TestApp| {
        let from = async |address: String, secret: &str| {
            let client = with_secret(app, secret);
            client.send(Method::GET, "/api/v1/me", |r| r.header("x-forwarded-for", address)).await
        };
        for host in 1..=13 {
            for _ in 0..5 {
                from(format!("198.51.100.{host}"), "wrong").await.is_problem(401, "unauthorized");
            }
            from(format!("198.51.100.{host}"), "wrong").await.is_problem(429, "rate_limited");
        }
        assert_eq!(from("192.0.2.7".to_owned(), SECRET).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn who_is_signed_in_goes_on_to_where_they_were_sent() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let browser = app.admin_in_browser().await;
        for (next, to) in [
            ("/nodes?status=ready", "/nodes?status=ready"),
            ("//evil.example", "/"),
            ("/ä", "/"),
            ("https://evil.example", "/"),
        ] {
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            let reply = browser.open(&format!("/login?next={next}")).await;
            assert_eq!((reply.status, reply.location()), (302, to), "{next}");
        }
    })
    .await;
}

/// During a lock-out even the right secret is not verified, or guessing would go on.
#[tokio::test]
async fn a_lock_out_holds_for_the_right_secret_too() {
    on_each(Setup::usual(), async |app: &TestApp| {
        for _ in 0..5 {
            with_secret(app, "wrong").get("/api/v1/me").await.is_problem(401, "unauthorized");
        }
        app.admin().get("/api/v1/me").await.is_problem(429, "rate_limited");
        app.clock.advance(2 * MINUTE);
        assert_eq!(app.admin().get("/api/v1/me").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn without_a_secret_nobody_is_the_administrator() {
    on_each(Setup::usual().with("HANGAR_ADMIN_SECRET", ""), async |app: &TestApp| {
        for secret in ["", SECRET, "none"] {
            with_secret(app, secret).get("/api/v1/me").await.is_problem(401, "unauthorized");
        }
        let reply = app.anon().form("/auth/secret", &[("secret", SECRET)]).await;
        assert!(reply.location().starts_with("/login?error=unauthorized"), "{}", reply.location());
    })
    .await;
}

#[tokio::test]
async fn behind_tls_the_cookie_says_so() {
    let setup = Setup::usual().with("HANGAR_PUBLIC_URL", "https://hangar.example.org");
    on_each(setup, async |app: &TestApp| {
        let reply = app.anon().form("/auth/secret", &[("secret", SECRET)]).await;
        assert!(reply.header("set-cookie").contains("Secure"), "{}", reply.header("set-cookie"));
        assert!(reply.header("strict-transport-security").contains("max-age"));
    })
    .await;
}

#[tokio::test]
async fn another_sites_page_changes_nothing() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let browser = app.admin_in_browser().await;
        let ask = async |name: &'static str, value: &str| {
            let value = value.to_owned();
            browser
                .send(Method::POST, "/api/v1/pools", |r| r.header(name, value).json(&json!({"name": "from-afar"})))
                .await
        };
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
        ] {
            ask(name, value).await.is_problem(403, "forbidden");
        }
        browser.get("/api/v1/pools/from-afar").await.is_problem(404, "not_found");
        // Neither can it sign a victim in or out.
        for path in ["/auth/secret", "/auth/logout"] {
            let form = [("secret", SECRET)];
            let reply =
                browser.send(Method::POST, path, |r| r.header("sec-fetch-site", "cross-site").form(&form)).await;
            reply.is_problem(403, "forbidden");
        }
        let own = ask("sec-fetch-site", "same-origin").await;
        assert_eq!(own.status, 201, "{}", own.body);
        // A header proves that no foreign page made the request.
        let machine = app.admin();
        let reply = machine
            .send(Method::POST, "/api/v1/pools", |r| {
                r.header("sec-fetch-site", "cross-site").json(&json!({"name": "by-machine"}))
            })
            .await;
        assert_eq!(reply.status, 201, "{}", reply.body);
    })
    .await;
}
