//! Failures, headers, health and the description of the API.

use reqwest::Method;
use serde_json::json;

use crate::app::{SECRET, Setup, TestApp, on_each};

#[tokio::test]
async fn every_failure_is_a_problem() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let admin = app.admin();
        let problem = admin.get("/api/v1/nodes/nod_0").await.is_problem(404, "not_found");
        for field in ["type", "title", "detail", "recovery"] {
            assert!(!problem[field].is_null(), "{field} is missing in {problem}");
        }
        admin.get("/api/v1/nodes/not-an-id").await.is_problem(404, "not_found");
        admin.get("/api/v1/nothing").await.is_problem(404, "not_found");
        app.anon().get("/api/v1/nothing").await.is_problem(404, "not_found");
        let wrong = admin.method("DELETE", "/api/v1/me", json!({})).await;
        wrong.is_problem(405, "bad_request");
        assert_eq!(wrong.header("allow"), "GET");
        let bad = admin.post("/api/v1/allocations", json!({"pool": "default", "colour": "blue"})).await;
        assert_eq!(bad.is_problem(400, "bad_request")["errors"][0]["pointer"], "/colour");
        let text = admin.send(Method::POST, "/api/v1/pools", |r| r.body("{")).await;
        text.is_problem(400, "bad_request");
        let bad = admin.get("/api/v1/jobs?limit=many").await;
        assert_eq!(bad.is_problem(400, "bad_request")["errors"][0]["pointer"], "/limit");
        let large = |most: usize| move |r: reqwest::RequestBuilder| r.body(vec![b' '; most]);
        let mib = 1024 * 1024;
        admin.send(Method::POST, "/api/v1/allocations", large(mib + 1)).await.is_problem(413, "payload_too_large");
        assert_eq!(admin.send(Method::POST, "/rpc/profiles/save", large(mib + 1)).await.status, 413);
        // What makes nodes may be longer: a blueprint's file, above all as a form writes it.
        for path in ["/api/v1/blueprints", "/rpc/blueprints/save"] {
            let taken = admin.send(Method::POST, path, large(2 * mib)).await;
            assert_ne!(taken.status, 413, "{path}: {}", taken.body);
            assert_eq!(admin.send(Method::POST, path, large(3 * mib + 1)).await.status, 413, "{path}");
        }
        assert_eq!(without_length(app, 40).await, "HTTP/1.1 413 Payload Too Large");
        admin.get("/api/v1/users?cursor=nonsense").await.is_problem(422, "validation");
    })
    .await;
}

/// `type` of a problem is an address that explains it, for everybody.
#[tokio::test]
async fn what_a_problem_points_at_is_there() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let problem = app.anon().get("/api/v1/nodes").await.is_problem(401, "unauthorized");
        let (path, _) = problem["type"].as_str().unwrap().split_once('#').unwrap();
        let page = app.anon().open(path).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{}", page.body);
        for code in domain::code::Code::ALL {
            assert!(page.body.contains(&format!("id=\"{}\"", code.as_str())), "{code:?} has no place on it");
        }
    })
    .await;
}

#[tokio::test]
async fn a_pools_actions_are_done_by_identity() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let admin = app.admin();
        assert_eq!(admin.post("/api/v1/pools", json!({"name": "spare"})).await.status, 201);
        let act =
            async |identity: &str, input| admin.post(&format!("/api/v1/pools/spare/actions/{identity}"), input).await;
        let changed = act("update-pool", json!({"max_size": 7})).await;
        assert_eq!((changed.status, &changed.json()["max_size"]), (200, &json!(7)), "{}", changed.body);
        assert_eq!(act("record-history", json!({})).await.status, 200);
        act("no-such-action", json!({})).await.is_problem(404, "not_found");
        assert_eq!(act("delete-pool", json!({})).await.status, 200);
        admin.get("/api/v1/pools/spare").await.is_problem(404, "not_found");
    })
    .await;
}

/// The pages' count is of all that fit, not of the page.
#[tokio::test]
async fn a_page_counts_all_that_fit() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let (_, _) = (app.user().await, app.other_user().await);
        let admin = domain::access::Principal::admin_secret();
        for name in ["a", "b"] {
            assert_eq!(app.admin().post("/api/v1/pools", json!({"name": name})).await.status, 201);
        }
        let one = || domain::list::Filter { limit: Some(1), ..domain::list::Filter::default() };
        let pool = "default".parse().unwrap();
        let services = &app.services;
        let users = services.users_page(&admin, one()).await.unwrap();
        let pools = services.pools_page(&admin, one()).await.unwrap();
        let vms = services.pool_vms(&admin, &pool, one()).await.unwrap();
        let audit = services.audit_page(&admin, one()).await.unwrap();
        assert_eq!((users.items.len(), users.count), (1, 3));
        assert_eq!((pools.items.len(), pools.count), (1, 3));
        assert_eq!((vms.items.len(), vms.count), (1, 3));
        assert_eq!(audit.items.len(), 1);
        assert!(audit.count > 3, "{}", audit.count);
    })
    .await;
}

#[tokio::test]
async fn lists_are_items_and_a_cursor() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let admin = app.admin();
        for name in ["a", "b", "c"] {
            assert_eq!(admin.post("/api/v1/pools", json!({"name": name})).await.status, 201);
        }
        let mut seen = Vec::new();
        let mut path = "/api/v1/pools?limit=2".to_owned();
        loop {
            let page = admin.get(&path).await.json();
            let keys: Vec<_> = page.as_object().unwrap().keys().cloned().collect();
            assert_eq!(keys, ["items", "next_cursor"]);
            seen.extend(page["items"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("/api/v1/pools?limit=2&cursor={cursor}"),
                None => break,
            }
        }
        seen.sort();
        assert_eq!(seen, ["a", "b", "c", "default"]);
        assert_eq!(admin.method("DELETE", "/api/v1/pools/a", json!({})).await.status, 204);
    })
    .await;
}

#[tokio::test]
async fn headers_keep_browsers_safe() {
    on_each(Setup::usual(), async |app: &TestApp| {
        for path in ["/healthz", "/api/v1/me", "/login", "/nothing", "/docs/api"] {
            let reply = app.admin().open(path).await;
            assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(reply.header("referrer-policy"), "same-origin", "{path}");
            assert!(reply.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
            assert!(!reply.header("content-security-policy").contains("unsafe-inline"), "{path}");
            assert_eq!(reply.header("x-request-id").len(), 16, "{path}");
            assert_eq!(reply.header("cache-control"), "no-store", "{path}");
        }
        let page = app.anon().open("/login").await;
        let policy = page.header("content-security-policy");
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
        assert!(page.body.contains(&format!("nonce=\"{nonce}\"")), "the page's script carries the nonce");
        assert_ne!(app.anon().open("/login").await.header("content-security-policy"), policy, "and each page its own");
        let missing = app.anon().open("/nothing").await;
        assert_eq!((missing.status, missing.header("content-type")), (404, "text/html; charset=utf-8"));
        assert!(missing.body.contains("<html"), "{}", missing.body);
    })
    .await;
}

#[tokio::test]
async fn pages_send_nobody_to_the_sign_in_and_back() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let reply = app.anon().open("/nodes?status=ready").await;
        assert_eq!((reply.status, reply.location()), (303, "/login?next=%2Fnodes%3Fstatus%3Dready"));
        let login = app.anon().open("/login").await;
        assert_eq!(login.status, 200);
        assert!(login.body.contains("/auth/secret") && login.body.contains("/auth/forge/start"), "{}", login.body);
        let refused = app.user().await.open("/nodes").await;
        assert_eq!((refused.status, refused.header("content-type")), (403, "text/html; charset=utf-8"));
    })
    .await;
}

#[tokio::test]
async fn it_says_how_it_is() {
    on_each(Setup::usual(), async |app: &TestApp| {
        assert_eq!(app.anon().get("/healthz").await.json()["status"], "ok");
        assert_eq!(app.anon().get("/readyz").await.json()["status"], "ok");
        let figures = app.admin().get("/metrics").await;
        assert!(figures.header("content-type").starts_with("text/plain"));
        let line = r#"hangar_http_requests_total{method="GET",route="/healthz",status="2xx"} 1"#;
        assert!(figures.body.lines().any(|l| l == line), "{}", figures.body);
        assert!(figures.body.contains(r#"hangar_pool_vms{pool="default",status="available"} 3"#), "{}", figures.body);
        app.services.store().close().await;
        assert_eq!(app.anon().get("/healthz").await.status, 200);
        let down = app.anon().get("/readyz").await;
        down.is_problem(503, "unavailable");
    })
    .await;
}

#[tokio::test]
async fn the_description_holds_every_rest_route() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let api = app.admin().get("/api/v1/openapi.json").await.json();
        assert_eq!(api["openapi"], "3.1.0");
        for rule in domain::access::ACCESS.iter().filter(|r| r.surface == domain::access::Surface::Rest) {
            let operation = &api["paths"][rule.path][rule.method.to_lowercase()];
            assert!(operation["summary"].is_string(), "{} {}", rule.method, rule.path);
        }
        // Every reference leads somewhere.
        let text = api.to_string();
        for name in text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(api["components"]["schemas"].get(name).is_some(), "{name}");
        }
        let page = app.admin().open("/docs/api").await;
        assert_eq!(page.status, 200);
        assert!(!page.body.contains("http://") && !page.body.contains("https://"), "nothing comes from elsewhere");
    })
    .await;
}

/// The first line of the answer to a request that does not say how long it is: so many blocks of
/// 100,000 bytes.
async fn without_length(app: &TestApp, blocks: usize) -> String {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

    let address = app.base.strip_prefix("http://").unwrap();
    let (read, mut write) = tokio::net::TcpStream::connect(address).await.unwrap().into_split();
    let head = format!(
        "POST /admin/pool-refresh HTTP/1.1\r\nhost: {address}\r\nx-admin-secret: {SECRET}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    write.write_all(head.as_bytes()).await.unwrap();
    let writing = tokio::spawn(async move {
        for _ in 0..blocks {
            let block = format!("{:x}\r\n{}\r\n", 100_000, " ".repeat(100_000));
            // The server may hang up once it has seen enough.
            if write.write_all(block.as_bytes()).await.is_err() {
                return;
            }
        }
        let _ = write.write_all(b"0\r\n\r\n").await;
    });
    let mut line = String::new();
    BufReader::new(read).read_line(&mut line).await.unwrap();
    writing.abort();
    line.trim_end().to_owned()
}
