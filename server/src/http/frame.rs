//! What stands around every request: its id, its log line, its time limit, its headers, and a
//! problem for everything that goes wrong below without making one. The rule: lean; a request that
//! succeeds is logged at debug only.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use domain::code::Code;
use futures::FutureExt as _;
use tower::Layer as _;
use tower_http::csrf::CsrfLayer;
use tracing::Instrument as _;

use crate::{
    fault::Fault,
    http::{
        access::{header_secret, rule_index, wants_html},
        error_page,
        problem::{self, Failure, IsProblem},
        request_id,
        state::AppState,
    },
};

/// A request that is not answered by then is given up; work that was begun in the database ends by
/// itself. Vendor calls within a request are bounded to 10 s.
const LIMIT: Duration = Duration::from_secs(30);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer.
pub(crate) async fn around(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = state.request_ids.next();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let html = wants_html(request.headers());
    if let Ok(value) = HeaderValue::from_str(&id) {
        request.headers_mut().insert(REQUEST_ID, value);
    }
    // Never the query: it may carry what a sign-in hands over.
    let span = tracing::info_span!("request", id = %id, %method, path = %path);
    let answered = request_id::scope(id.clone(), async {
        let answer = AssertUnwindSafe(tokio::time::timeout(LIMIT, next.run(request))).catch_unwind().await;
        match answer {
            Ok(Ok(response)) => as_problem(response, html && !is_machine(&path)),
            Ok(Err(_)) => {
                tracing::error!("the request took too long");
                Failure::from(Fault {
                    retry_after_s: Some(5),
                    ..Fault::new(Code::Unavailable, "The answer took too long; what was begun may still be done.")
                })
                .into_response()
            }
            Err(panic) => {
                tracing::error!(panic = panic_text(panic.as_ref()), "a handler panicked");
                Failure::new(Code::Internal, "Hangar met an error that it did not expect.").into_response()
            }
        }
    });
    let mut response = answered.instrument(span.clone()).await;
    headers(&state, &path, matched.is_some(), &mut response);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let took = began.elapsed();
    if let Some(index) = matched.and_then(|m| rule_index(&method, m.as_str())) {
        state.metrics.request(index, response.status(), took);
    }
    span.in_scope(|| log(&response, took));
    response
}

/// Machines read problems, even when they say that they would take a page.
pub(crate) fn is_machine(path: &str) -> bool {
    path.starts_with("/api/") || path.starts_with("/rpc/") || path.starts_with("/admin/")
}

/// An error that something below made without a problem gets one; a browser that asked for a page
/// gets one.
fn as_problem(response: Response, html: bool) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let response = if response.extensions().get::<IsProblem>().is_some() {
        response
    } else {
        let content = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        // Pages and server functions bring their own body.
        if content.contains("json") || content.starts_with("text/html") {
            return response;
        }
        let mut fresh = problem::for_status(status).into_response();
        for name in [header::ALLOW, header::RETRY_AFTER, header::SET_COOKIE] {
            for value in response.headers().get_all(&name) {
                fresh.headers_mut().append(&name, value.clone());
            }
        }
        fresh
    };
    match response.extensions().get::<IsProblem>().cloned() {
        Some(IsProblem(fault)) if html => error_page::render(response, &fault),
        _ => response,
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

fn log(response: &Response, took: Duration) {
    let status = response.status();
    let code = response.extensions().get::<IsProblem>().map(|p| p.0.code.as_str());
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::error!(status = status.as_u16(), code, millis, "answered");
    } else if status.is_client_error() || status.is_server_error() {
        tracing::info!(status = status.as_u16(), code, millis, "answered");
    } else {
        tracing::debug!(status = status.as_u16(), millis, "answered");
    }
}

/// The policy for everything that is not a page with scripts; pages bring their own, with a nonce.
const STRICT: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";

fn headers(state: &AppState, path: &str, routed: bool, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(STRICT));
    }
    if state.config.http.is_https() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    if (routed || path.starts_with("/api/")) && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Refuses changes that another site's page makes a browser send. A secret in a header needs no
/// such guard, because a browser never adds it by itself.
pub(crate) async fn guard_origin(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if request.method().is_safe() || header_secret(request.headers()).is_some() {
        return next.run(request).await;
    }
    let origin = state.config.http.public_url.origin().ascii_serialization();
    let layer = match CsrfLayer::new().add_trusted_origin(&origin) {
        Ok(layer) => layer,
        Err(_) => CsrfLayer::new(),
    };
    let layer = layer.with_rejection_response(|_| {
        Failure::new(Code::Forbidden, "The request comes from another site's page.").into_response()
    });
    match tower::ServiceExt::oneshot(layer.layer(next), request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
