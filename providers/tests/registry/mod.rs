//! A registry of images in memory, as much of it as `docker push` and `docker pull` ask for (OCI
//! Distribution 1.1). Rule: gone when it is dropped.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Method, Response, StatusCode},
};
use sha2::{Digest as _, Sha256};

/// Blobs by digest, manifests by digest and by name, uploads by number: each with its type.
type Stored = Arc<Mutex<HashMap<String, (String, Vec<u8>)>>>;

pub struct Images {
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Images {
    pub async fn start() -> Self {
        // Engines take one on 127.0.0.0/8 without encryption.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(Stored::default());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, task }
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn digest_of(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

async fn answer(State(stored): State<Stored>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap().to_vec();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().replace("%3A", ":");
    let mut stored = stored.lock().unwrap();
    let empty = |status: StatusCode, headers: &[(&str, &str)]| {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Body::empty()).unwrap()
    };
    let uploads = path.contains("/blobs/uploads/");
    match parts.method {
        Method::POST => {
            let place = format!("{path}{}", stored.len());
            stored.insert(place.clone(), (String::new(), Vec::new()));
            empty(StatusCode::ACCEPTED, &[("location", &place), ("range", "0-0")])
        }
        Method::PATCH => {
            let upload = stored.get_mut(&path).unwrap();
            upload.1.extend(bytes);
            let range = format!("0-{}", upload.1.len() - 1);
            empty(StatusCode::ACCEPTED, &[("location", &path), ("range", &range)])
        }
        Method::PUT if uploads => {
            let (_, mut whole) = stored.remove(&path).unwrap();
            whole.extend(bytes);
            let digest = query.split('&').find_map(|it| it.strip_prefix("digest=")).unwrap().to_owned();
            assert_eq!(digest, digest_of(&whole));
            let place = format!("{}{digest}", path.split("uploads/").next().unwrap());
            stored.insert(place.clone(), ("application/octet-stream".to_owned(), whole));
            empty(StatusCode::CREATED, &[("location", &place), ("docker-content-digest", &digest)])
        }
        Method::PUT => {
            let kind = parts.headers["content-type"].to_str().unwrap().to_owned();
            let digest = digest_of(&bytes);
            let by_digest = format!("{}/{digest}", path.rsplit_once('/').unwrap().0);
            stored.insert(by_digest, (kind.clone(), bytes.clone()));
            stored.insert(path.clone(), (kind, bytes));
            empty(StatusCode::CREATED, &[("location", &path), ("docker-content-digest", &digest)])
        }
        _ if path == "/v2/" => empty(StatusCode::OK, &[]),
        method => {
            let Some((kind, bytes)) = stored.get(&path) else { return empty(StatusCode::NOT_FOUND, &[]) };
            let response = Response::builder()
                .header("content-type", kind)
                .header("content-length", bytes.len())
                .header("docker-content-digest", digest_of(bytes));
            let body = if method == Method::HEAD { Body::empty() } else { Body::from(bytes.clone()) };
            response.body(body).unwrap()
        }
    }
}
