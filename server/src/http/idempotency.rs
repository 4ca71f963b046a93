//! `Idempotency-Key` on requests that create. The rule: the services write the answer in the very
//! transaction that creates the thing, so a process that dies in between leaves both or neither,
//! and a repeat can never create twice. Here the key is read, a stored answer is given again, and
//! a second request with the same key waits for the first.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::{FromRequest, MatchedPath, Request},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::code::Code;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::{
    fault::Fault,
    http::{
        auth::hex,
        extract::{Raw, Who, json},
        problem::{Answer, Failure},
        state::AppState,
    },
    services::Idempotent,
};

/// How long a repeat waits for the first request.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request that creates: its body, and the key if it has one.
pub(crate) struct Creating {
    who: Who,
    body: Bytes,
    key: Option<Idempotent>,
}

impl FromRequest<AppState> for Creating {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Failure> {
        let who = request.extensions().get::<Who>().cloned();
        let who = who.ok_or_else(|| Failure::new(Code::Unauthorized, "Sign in first."))?;
        let key = request.headers().get("idempotency-key").cloned();
        // A template with a name in it stands for several routes.
        let templated = request.extensions().get::<MatchedPath>().is_some_and(|m| m.as_str().contains('{'));
        let path = match request.extensions().get::<MatchedPath>() {
            Some(matched) if !templated => matched.as_str().to_owned(),
            _ => request.uri().path().to_owned(),
        };
        let route = format!("{} {path}", request.method());
        let body = Raw::from_request(request, state).await?.0;
        let key = match key {
            None => None,
            Some(value) => Some(Idempotent {
                principal: who.user_id.to_string(),
                route,
                key: key_text(&value)?,
                body_hash: hex(&Sha256::digest(&body)),
            }),
        };
        Ok(Self { who, body, key })
    }
}

fn key_text(value: &HeaderValue) -> Result<String, Failure> {
    let text = value.to_str().unwrap_or_default();
    if (1..=255).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(Failure::new(Code::BadRequest, "Idempotency-Key: 1 to 255 printable ASCII characters are taken."))
    }
}

impl Creating {
    /// Who asks.
    pub fn who(&self) -> Who {
        self.who.clone()
    }

    /// The body as it came.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Creates with `run`, or answers as the same request was answered before. `status` tells the
    /// HTTP status of a fresh answer.
    pub async fn run<T, V, F, Fut, S>(self, state: &AppState, status: S, run: F) -> Answer<Response>
    where
        T: DeserializeOwned,
        V: Serialize,
        F: FnOnce(T, Option<Idempotent>) -> Fut,
        Fut: Future<Output = Result<V, Fault>>,
        S: FnOnce(&V) -> StatusCode,
    {
        let Some(key) = self.key else {
            let made = run(json(&self.body)?, None).await?;
            return Ok((status(&made), axum::Json(made)).into_response());
        };
        let turn = state.in_progress.turn(&key);
        let Ok(_turn) = tokio::time::timeout(PATIENCE, turn.lock()).await else {
            return Err(in_progress().into());
        };
        if let Some(answer) = stored(state, &key).await? {
            return Ok(answer);
        }
        match run(json(&self.body)?, Some(key.clone())).await {
            // The stored answer, if there is one: the first caller gets byte for byte what every
            // repeat gets.
            Ok(made) => match stored(state, &key).await? {
                Some(mut answer) => {
                    answer.headers_mut().remove(REPLAYED);
                    Ok(answer)
                }
                None => Ok((status(&made), axum::Json(made)).into_response()),
            },
            // Another process was faster.
            Err(fault) if fault.code == Code::ConflictState => match stored(state, &key).await? {
                Some(answer) => Ok(answer),
                None => Err(fault.into()),
            },
            Err(fault) => Err(fault.into()),
        }
    }
}

const REPLAYED: &str = "idempotency-replayed";

async fn stored(state: &AppState, key: &Idempotent) -> Answer<Option<Response>> {
    let Some(answer) = state.services.idempotency_find(key).await? else { return Ok(None) };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(Some(response))
}

fn in_progress() -> Fault {
    Fault {
        retry_after_s: Some(1),
        ..Fault::new(Code::ConflictState, "A request with the same Idempotency-Key is still being carried out.")
    }
}

/// The keys being worked on in this process.
#[derive(Debug, Default)]
pub(crate) struct InProgress {
    keys: Mutex<HashMap<[String; 3], Weak<tokio::sync::Mutex<()>>>>,
}

impl InProgress {
    fn turn(&self, key: &Idempotent) -> Arc<tokio::sync::Mutex<()>> {
        let name = [key.principal.clone(), key.route.clone(), key.key.clone()];
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() > 1_000 {
            keys.retain(|_, turn| turn.strong_count() > 0);
        }
        if let Some(turn) = keys.get(&name).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        keys.insert(name, Arc::downgrade(&turn));
        turn
    }
}
