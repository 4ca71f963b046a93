//! The simulated Forge signs people in as a real one does, and is as strict.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use simulators::{Forge, ForgeConfig, ForgeFault, Person};
use url::Url;

const BACK: &str = "http://127.0.0.1:3000/auth/forge/callback";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-it-is";
const SCOPE: &str = "openid profile email groups read:user";

struct Browser {
    forge: Forge,
    client: Client,
}

impl Browser {
    async fn new() -> Self {
        let forge = Forge::start(ForgeConfig::default()).await.unwrap();
        let client = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Self { forge, client }
    }

    fn authorize(&self, change: &[(&str, &str)]) -> Url {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let mut pairs = vec![
            ("client_id", "hangar-demo"),
            ("redirect_uri", BACK),
            ("response_type", "code"),
            ("scope", SCOPE),
            ("state", "the state"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        pairs.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
        pairs.extend_from_slice(change);
        let url = format!("{}/login/oauth/authorize", self.forge.url());
        Url::parse_with_params(&url, pairs).unwrap()
    }

    async fn back(&self, change: &[(&str, &str)]) -> Url {
        let answer = self.client.get(self.authorize(change)).send().await.unwrap();
        came_back(&answer)
    }

    async fn code(&self, login: &str) -> String {
        pair(&self.back(&[("login", login)]).await, "code").unwrap()
    }

    async fn exchange(&self, change: &[(&str, &str)]) -> Response {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("redirect_uri", BACK),
            ("client_id", "hangar-demo"),
            ("client_secret", "demo-client-secret"),
            ("code_verifier", VERIFIER),
        ];
        form.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
        form.extend_from_slice(change);
        let url = format!("{}/login/oauth/access_token", self.forge.url());
        self.client.post(url).form(&form).send().await.unwrap()
    }

    async fn error(&self, change: &[(&str, &str)]) -> (u16, String) {
        let answer = self.exchange(change).await;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        (status, body["error"].as_str().unwrap().to_owned())
    }

    async fn get(&self, path: &str, authorization: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.forge.url()));
        request.header("authorization", authorization).send().await.unwrap()
    }
}

fn came_back(answer: &Response) -> Url {
    assert_eq!(answer.status(), StatusCode::FOUND);
    let url = Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    assert!(url.as_str().starts_with(BACK), "{url}");
    url
}

fn pair(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn the_whole_flow_with_pkce() {
    let browser = Browser::new().await;
    let page = browser.client.get(browser.authorize(&[])).send().await.unwrap();
    let page = page.text().await.unwrap();
    for part in ["Sign in as", "Ada Lovelace", "grace@example.org", "value=\"alan\"", "the state"] {
        assert!(page.contains(part), "{part}");
    }
    // The form of the page, as a browser without JavaScript sends it.
    let url = browser.authorize(&[("login", "ada")]);
    let form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let action = format!("{}/login/oauth/authorize", browser.forge.url());
    let answer = browser.client.post(action).form(&form).send().await.unwrap();
    let back = came_back(&answer);
    assert_eq!(pair(&back, "state").unwrap(), "the state");
    let code = pair(&back, "code").unwrap();

    let token: Value = browser.exchange(&[("code", &code)]).await.json().await.unwrap();
    assert_eq!(token["token_type"], "bearer");
    assert_eq!(browser.forge.tokens_outstanding(), 1);
    let token = token["access_token"].as_str().unwrap();
    for authorization in [format!("Bearer {token}"), format!("token {token}")] {
        let user: Value = browser.get("/api/v1/user", &authorization).await.json().await.unwrap();
        assert_eq!((&user["id"], &user["login"]), (&1.into(), &"ada".into()));
        assert_eq!((&user["full_name"], &user["is_admin"]), (&"Ada Lovelace".into(), &false.into()));
    }
    let claims = browser.get("/login/oauth/userinfo", &format!("Bearer {token}")).await;
    let claims: Value = claims.json().await.unwrap();
    assert_eq!((&claims["sub"], &claims["preferred_username"]), (&"1".into(), &"ada".into()));
    assert_eq!(claims["email"], "ada@example.org");
    assert_eq!(browser.get("/api/v1/user", "Bearer nonsense").await.status().as_u16(), 401);
}

#[tokio::test]
async fn a_code_works_once_with_its_verifier_its_redirect_and_the_secret() {
    let browser = Browser::new().await;
    let grant = |error: &str| (400, error.to_owned());
    let code = browser.code("ada").await;
    assert_eq!(browser.exchange(&[("code", &code)]).await.status(), StatusCode::OK);
    assert_eq!(browser.error(&[("code", &code)]).await, grant("invalid_grant"));

    let code = browser.code("ada").await;
    let wrong = [("code", code.as_str()), ("code_verifier", "wrong")];
    assert_eq!(browser.error(&wrong).await, grant("invalid_grant"));
    let code = browser.code("ada").await;
    let wrong = [("code", code.as_str()), ("redirect_uri", "http://127.0.0.1:1/")];
    assert_eq!(browser.error(&wrong).await, grant("invalid_grant"));
    let code = browser.code("ada").await;
    let wrong = [("code", code.as_str()), ("client_secret", "wrong")];
    assert_eq!(browser.error(&wrong).await, (401, "invalid_client".to_owned()));
    let wrong = [("code", code.as_str()), ("grant_type", "password")];
    assert_eq!(browser.error(&wrong).await, grant("unsupported_grant_type"));
    assert_eq!(browser.forge.tokens_outstanding(), 1);
}

#[tokio::test]
async fn the_client_may_sign_in_by_basic_and_send_json() {
    let browser = Browser::new().await;
    let code = browser.code("grace").await;
    let body = serde_json::json!({"grant_type": "authorization_code", "code": code,
        "redirect_uri": BACK, "code_verifier": VERIFIER});
    let url = format!("{}/login/oauth/access_token", browser.forge.url());
    let request = browser.client.post(url).basic_auth("hangar-demo", Some("demo-client-secret"));
    assert_eq!(request.json(&body).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn nobody_is_sent_to_a_foreign_address() {
    let browser = Browser::new().await;
    let refused = [
        [("redirect_uri", "https://evil.example/")],
        [("redirect_uri", "http://127.0.0.1.evil.example/")],
        [("redirect_uri", "javascript:alert(1)")],
        [("client_id", "other")],
    ];
    for change in refused {
        let answer = browser.client.get(browser.authorize(&change)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 400, "{change:?}");
    }
    let plain = [("code_challenge_method", "plain"), ("login", "ada")];
    assert_eq!(pair(&browser.back(&plain).await, "error").unwrap(), "invalid_request");
    let nobody = [("login", "nobody")];
    assert_eq!(pair(&browser.back(&nobody).await, "error").unwrap(), "access_denied");
}

#[tokio::test]
async fn a_registered_address_is_compared_exactly() {
    let redirect_uris = vec!["https://hangar.example.org/auth/forge/callback".to_owned()];
    let config = ForgeConfig { redirect_uris, ..ForgeConfig::default() };
    let forge = Forge::start(config).await.unwrap();
    let client = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    for (back, status) in [("", 302), ("/more", 400)] {
        let back = format!("https://hangar.example.org/auth/forge/callback{back}");
        let url = format!("{}/login/oauth/authorize", forge.url());
        let pairs =
            [("client_id", "hangar-demo"), ("response_type", "code"), ("redirect_uri", &back), ("login", "ada")];
        let url = Url::parse_with_params(&url, pairs).unwrap();
        assert_eq!(client.get(url).send().await.unwrap().status().as_u16(), status);
    }
}

#[tokio::test]
async fn faults_and_new_people() {
    let browser = Browser::new().await;
    browser.forge.fault(ForgeFault::WrongState, 1);
    let back = browser.back(&[("login", "ada")]).await;
    assert_ne!(pair(&back, "state").unwrap(), "the state");
    browser.forge.fault(ForgeFault::Denied, 1);
    assert_eq!(pair(&browser.back(&[("login", "ada")]).await, "error").unwrap(), "access_denied");

    browser.forge.add_person(Person::new(9, "mary", "Mary Jackson"));
    let code = browser.code("mary").await;
    browser.forge.fault(ForgeFault::TokenError, 1);
    assert_eq!(browser.exchange(&[("code", &code)]).await.status().as_u16(), 500);
    let token: Value = browser.exchange(&[("code", &code)]).await.json().await.unwrap();
    let authorization = format!("Bearer {}", token["access_token"].as_str().unwrap());
    browser.forge.fault(ForgeFault::UserError, 1);
    assert_eq!(browser.get("/api/v1/user", &authorization).await.status().as_u16(), 500);
    // Renamed meanwhile: the number stays.
    browser.forge.add_person(Person::new(9, "mjackson", "Mary Jackson"));
    let user: Value = browser.get("/api/v1/user", &authorization).await.json().await.unwrap();
    assert_eq!((&user["id"], &user["login"]), (&9.into(), &"mjackson".into()));
}

#[tokio::test]
async fn discovery_names_the_endpoints() {
    let browser = Browser::new().await;
    let answer = browser.get("/.well-known/openid-configuration", "").await;
    let body: Value = answer.json().await.unwrap();
    let url = browser.forge.url();
    assert_eq!(body["issuer"], url);
    assert_eq!(body["token_endpoint"], format!("{url}/login/oauth/access_token"));
    browser.forge.shutdown().await;
}
