//! A simulator with a client, for the tests of its API.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![expect(dead_code, reason = "each test file uses a part of it")]

use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use simulators::{Hetzner, HetznerConfig};

/// The key of many tests.
pub const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE9H0PjfRWWm2fWzGz2hJSQ3yYUQ0nFIBbHiYq3oWpHd test";
/// Another one.
pub const OTHER_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAnqXhHBcQH3QPPUnCWRlmVbxTJUQ7h2TLdU7JZlLMQy other";

/// A running simulator and how to talk to it.
pub struct Sim {
    pub hetzner: Hetzner,
    pub client: Client,
    pub token: String,
}

impl Sim {
    pub async fn start(config: HetznerConfig) -> Self {
        let token = config.tokens[0].0.clone();
        let hetzner = Hetzner::start(config).await.unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { hetzner, client, token }
    }

    pub async fn new() -> Self {
        Self::start(HetznerConfig::default()).await
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.hetzner.endpoint());
        self.client.request(method, url).bearer_auth(&self.token)
    }

    pub async fn raw(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::Result<Response> {
        let request = self.request(method, path);
        match body {
            Some(body) => request.json(&body).send().await,
            None => request.send().await,
        }
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let response = self.raw(method, path, body).await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// A refused request: its status and error code.
    pub async fn refused(&self, method: Method, path: &str, body: Option<Value>) -> (u16, String) {
        let (status, body) = self.call(method, path, body).await;
        (status.as_u16(), body["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    pub async fn key(&self, name: &str, key: &str) -> Value {
        let body = json!({"name": name, "public_key": key});
        let (status, body) = self.call(Method::POST, "/ssh_keys", Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["ssh_key"].clone()
    }

    pub async fn create(&self, name: &str) -> Value {
        let (status, body) = self.call(Method::POST, "/servers", Some(order(name))).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body
    }

    /// Creates a server and waits until it runs; its id.
    pub async fn running(&self, name: &str) -> u64 {
        let id = self.create(name).await["server"]["id"].as_u64().unwrap();
        self.status(id, "running").await;
        id
    }

    /// Waits for a server's status with no action running.
    pub async fn status(&self, id: u64, status: &str) {
        until(|| async {
            let server = self.get(&format!("/servers/{id}")).await;
            server["server"]["status"] == status && server["server"]["locked"] == false
        })
        .await;
    }

    /// Waits for the end of an action; the action.
    pub async fn action(&self, answer: &Value) -> Value {
        let id = &answer["action"]["id"];
        until(|| async { self.get(&format!("/actions/{id}")).await["action"]["status"] != "running" }).await;
        self.get(&format!("/actions/{id}")).await["action"].clone()
    }

    pub async fn control(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = self.hetzner.endpoint().replace("/v1", "/control");
        let request = self.client.request(method, format!("{url}{path}"));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }
}

/// The smallest request for a server.
pub fn order(name: &str) -> Value {
    json!({"name": name, "server_type": "cx23", "location": "fsn1", "image": "debian-13"})
}

/// Waits until a condition holds, half a minute at most.
pub async fn until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
}
