//! Whether Hangar is well, and the description of its own API. The rule: the description is made
//! from the handlers; nothing of it is written twice.

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::code::Code;
use serde::Serialize;

use crate::http::{
    problem::{Answer, Failure},
    state::AppState,
};

/// How Hangar is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
    /// The version of Hangar.
    version: &'static str,
}

const WELL: Health = Health { status: "ok", version: env!("CARGO_PKG_VERSION") };

/// Whether the process answers.
#[utoipa::path(get, path = "/healthz", tag = "service", responses((status = 200, body = Health)))]
pub(crate) async fn healthz() -> axum::Json<Health> {
    axum::Json(WELL)
}

/// Whether requests can be served: the database answers. Hangar listens only once it is migrated.
#[utoipa::path(get, path = "/readyz", tag = "service",
    responses((status = 200, body = Health), (status = 503, description = "The database does not answer")))]
pub(crate) async fn readyz(State(state): State<AppState>) -> Answer<axum::Json<Health>> {
    if state.shutdown.is_cancelled() {
        return Err(Failure::new(Code::Unavailable, "Hangar is about to end."));
    }
    state.services.store().ping().await.map_err(|error| {
        tracing::warn!(%error, "the database does not answer");
        Failure::new(Code::Unavailable, "The database does not answer.")
    })?;
    Ok(axum::Json(WELL))
}

/// This API as OpenAPI 3.1.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "service",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(crate) async fn openapi(State(state): State<AppState>) -> Response {
    let bytes = state.openapi.get_or_init(|| super::openapi_json().into()).clone();
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
}

/// A page that lists the operations and lets one try them.
#[utoipa::path(get, path = "/docs/api", tag = "service",
    responses((status = 200, description = "A page", body = String, content_type = "text/html")))]
pub(crate) async fn docs() -> Answer<Response> {
    let mut nonce = [0_u8; 16];
    getrandom::fill(&mut nonce).map_err(|_| Failure::new(Code::Internal, "The system gives no randomness."))?;
    let nonce = STANDARD.encode(nonce);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let page = include_str!("docs.html").replace("{nonce}", &nonce);
    let mut response = page.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(value) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, value);
    }
    Ok(response)
}
