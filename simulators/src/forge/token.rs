//! A code becomes an access token. Rule: the code is gone with the first try, whatever comes of it.

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{
    config::ForgeFault,
    runtime::{Shared, Sim, TOKEN_LIFE, Token},
};
use crate::random;

/// The body of a token request, a form or JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ask {
    grant_type: String,
    code: String,
    redirect_uri: String,
    client_id: String,
    client_secret: String,
    code_verifier: String,
}

/// `POST /login/oauth/access_token`.
pub(super) async fn exchange(State(shared): Sim, headers: HeaderMap, body: Bytes) -> Response {
    shared.slow().await;
    if shared.lock().fault_take(|it| *it == ForgeFault::TokenError).is_some() {
        return (StatusCode::INTERNAL_SERVER_ERROR, "internal server error").into_response();
    }
    match issue(&shared, &headers, &body) {
        Ok(response) => response,
        Err((status, error, description)) => {
            let body = json!({"error": error, "error_description": description});
            (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
        }
    }
}

type Refusal = (StatusCode, &'static str, &'static str);

fn ask_of(headers: &HeaderMap, body: &[u8]) -> Option<Ask> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    if kind.is_some_and(|it| it.starts_with("application/json")) {
        return serde_json::from_slice(body).ok();
    }
    let mut ask = Ask::default();
    for (name, value) in url::form_urlencoded::parse(body) {
        let field = match name.as_ref() {
            "grant_type" => &mut ask.grant_type,
            "code" => &mut ask.code,
            "redirect_uri" => &mut ask.redirect_uri,
            "client_id" => &mut ask.client_id,
            "client_secret" => &mut ask.client_secret,
            "code_verifier" => &mut ask.code_verifier,
            _ => continue,
        };
        *field = value.into_owned();
    }
    Some(ask)
}

/// Client id and secret out of a basic authorization; both are form-encoded in it (RFC 6749, 2.3.1).
fn basic_of(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    let plain = |text: &str| {
        let pair = format!("v={text}");
        let value = url::form_urlencoded::parse(pair.as_bytes()).next();
        value.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    Some((plain(id), plain(secret)))
}

fn issue(shared: &Shared, headers: &HeaderMap, body: &[u8]) -> Result<Response, Refusal> {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    let ask = ask_of(headers, body).ok_or((BAD, "invalid_request", "the body is not readable"))?;
    let (id, secret) = basic_of(headers).unwrap_or_else(|| (ask.client_id.clone(), ask.client_secret.clone()));
    if id != shared.client_id || secret != shared.client_secret {
        return Err((StatusCode::UNAUTHORIZED, "invalid_client", "client id or secret is wrong"));
    }
    if ask.grant_type != "authorization_code" {
        return Err((BAD, "unsupported_grant_type", "only authorization_code is supported"));
    }
    let invalid = |description| (BAD, "invalid_grant", description);
    let mut inner = shared.lock();
    let now = Instant::now();
    let grant = inner.grants.remove(&ask.code);
    let grant = grant.filter(|grant| grant.until > now).ok_or(invalid("the code is unknown, used or expired"))?;
    if grant.redirect_uri != ask.redirect_uri {
        return Err(invalid("the redirect URI is not the one of the code"));
    }
    let proof = URL_SAFE_NO_PAD.encode(Sha256::digest(ask.code_verifier.as_bytes()));
    if grant.challenge.is_some_and(|challenge| challenge != proof) {
        return Err(invalid("the code verifier is wrong"));
    }
    let access_token = format!("gta_{}", random::hex::<32>());
    let token = Token { person: grant.person, scope: grant.scope, until: now + TOKEN_LIFE };
    inner.tokens.retain(|_, token| token.until > now);
    inner.tokens.insert(access_token.clone(), token);
    let body = json!({
        "access_token": access_token,
        "token_type": "bearer",
        "expires_in": TOKEN_LIFE.as_secs(),
        "refresh_token": format!("gtr_{}", random::hex::<32>()),
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}
