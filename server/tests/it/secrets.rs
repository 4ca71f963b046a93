//! No secret reaches a log line, an answer or the database in clear.

use serde_json::json;

use crate::{
    app::{CLIENT_SECRET, SECRET, Setup, TestApp, on_each},
    log,
    sessions::contains,
};

const TOKEN: &str = "pl4nted-api-token-that-nobody-must-see";
const GUESS: &str = "pl4nted-wrong-guess";

#[tokio::test]
async fn planted_secrets_are_found_nowhere() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let admin = app.admin();
        let browser = app.admin_in_browser().await;
        let user = app.user().await;
        // Nothing listens there; the account is kept all the same.
        let made = admin
            .post(
                "/api/v1/providers",
                json!({"kind": "hetzner", "name": "planted", "settings": {"endpoint": "http://127.0.0.1:9/v1"},
                    "secret": {"api_token": TOKEN}}),
            )
            .await;
        assert_eq!(made.status, 201, "{}", made.body);
        let account = made.json();
        assert_eq!((&account["status"], &account["secret_configured"]), (&json!("degraded"), &json!(true)));
        let id = account["id"].as_str().unwrap();
        let replaced =
            admin.method("PUT", &format!("/api/v1/providers/{id}/secret"), json!({"api_token": TOKEN})).await;
        let refused = app.anon().form("/auth/secret", &[("secret", GUESS)]).await;
        let wrong_type = admin.post("/api/v1/providers", json!({"kind": [TOKEN], "name": "x", "secret": {}})).await;
        let mut answers = vec![made.body, replaced.body, refused.body, wrong_type.body];
        for path in [
            "/api/v1/providers".to_owned(),
            format!("/api/v1/providers/{id}"),
            format!("/api/v1/providers/{id}/history"),
            "/api/v1/audit".to_owned(),
            "/api/v1/users".to_owned(),
            "/metrics".to_owned(),
            "/login".to_owned(),
            "/account".to_owned(),
            "/providers".to_owned(),
        ] {
            answers.push(browser.open(&path).await.body);
        }
        let sessions = [browser.session().unwrap(), user.session().unwrap()];
        let mut planted = vec![TOKEN, GUESS, SECRET, CLIENT_SECRET];
        planted.extend(sessions.iter().map(String::as_str));
        for secret in &planted {
            for answer in &answers {
                assert!(!answer.contains(secret), "{secret} is in {answer}");
            }
            assert_eq!(log::lines_with(secret), Vec::<String>::new());
        }
        for entry in std::fs::read_dir(app.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
            for secret in &planted {
                assert!(!contains(&bytes, secret.as_bytes()), "{secret} is in {}", path.display());
            }
        }
        assert!(!log::lines_with("answered").is_empty(), "the log is kept at all");
    })
    .await;
}
