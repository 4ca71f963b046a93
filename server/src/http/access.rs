//! Who gets through. The rule: default deny; what does not stand in `domain::access::ACCESS` does
//! not exist, whatever the router knows.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use axum::{
    extract::{FromRequestParts as _, MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse as _, Redirect, Response},
};
use domain::{
    access::{ACCESS, AccessRule, Denied, Need, Principal, Surface, UserStatus, Via, authorise},
    code::Code,
    id::UserId,
};
use tower_sessions::Session;

use crate::{
    fault::Fault,
    http::{
        auth::Refused,
        extract::{Client, Who},
        problem::Failure,
        session,
        state::AppState,
    },
};

/// The rules by path, with their place in [`ACCESS`].
static BY_PATH: LazyLock<HashMap<&'static str, Vec<usize>>> = LazyLock::new(|| {
    let mut by_path: HashMap<&'static str, Vec<usize>> = HashMap::new();
    for (index, rule) in ACCESS.iter().enumerate() {
        by_path.entry(rule.path).or_default().push(index);
    }
    by_path
});

/// The place of the rule for this method and path template; HEAD is answered as GET is.
pub(crate) fn rule_index(method: &Method, path: &str) -> Option<usize> {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    BY_PATH.get(path)?.iter().copied().find(|index| ACCESS[*index].method == method)
}

/// Lets a request through, or refuses it as its surface does.
pub(crate) async fn enforce(
    State(state): State<AppState>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    // Without a route there is nothing to guard: the fallback serves files or answers 404.
    let Some(matched) = matched else { return next.run(request).await };
    let Some(index) = rule_index(request.method(), matched.as_str()) else {
        return unknown(matched.as_str());
    };
    let rule = &ACCESS[index];
    let (mut parts, body) = request.into_parts();
    let principal = match principal(&state, rule, &mut parts).await {
        Ok(principal) => principal,
        Err(failure) => return failure.into_response(),
    };
    if let Err(denied) = authorise(rule.need, principal.as_deref()) {
        return match denied {
            Denied::Anonymous => to_sign_in(rule, &parts.headers, &parts.uri)
                .unwrap_or_else(|| Failure::from(Fault::from(denied)).into_response()),
            Denied::Suspended | Denied::NotAdmin => Failure::from(Fault::from(denied)).into_response(),
        };
    }
    if let Some(principal) = principal {
        parts.extensions.insert(Who(principal));
    }
    next.run(Request::from_parts(parts, body)).await
}

fn unknown(path: &str) -> Response {
    let methods: Vec<&str> = BY_PATH.get(path).into_iter().flatten().map(|index| ACCESS[*index].method).collect();
    if methods.is_empty() {
        return Failure::no_route().into_response();
    }
    let mut response = Failure::method_not_allowed().into_response();
    if let Ok(value) = HeaderValue::from_str(&methods.join(", ")) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

/// The secret of the headers: `Authorization: Bearer …` or `X-Admin-Secret: …`.
pub(crate) fn header_secret(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get("x-admin-secret") {
        // What is no text is no secret; it must not count as nothing.
        return Some(value.to_str().unwrap_or_default());
    }
    let value = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
}

static ADMIN_BY_SECRET: LazyLock<Arc<Principal>> = LazyLock::new(|| Arc::new(Principal::admin_secret()));

async fn principal(
    state: &AppState,
    rule: &AccessRule,
    parts: &mut axum::http::request::Parts,
) -> Result<Option<Arc<Principal>>, Failure> {
    if rule.need == Need::Public && rule.surface == Surface::Rest {
        return Ok(None);
    }
    if let Some(secret) = header_secret(&parts.headers) {
        if state.admin.knows(secret) {
            return Ok(Some(ADMIN_BY_SECRET.clone()));
        }
        let secret = zeroize::Zeroizing::new(secret.to_owned());
        let Ok(Client(client)) = Client::from_request_parts(parts, state).await;
        return match state.admin.verify(&state.services, client, &secret).await {
            Ok(()) => Ok(Some(ADMIN_BY_SECRET.clone())),
            Err(refused) => Err(refused_as(refused)),
        };
    }
    let Some(session) = parts.extensions.get::<Session>().cloned() else { return Ok(None) };
    of_session(state, &session).await
}

/// Who the session says it is, as they stand now.
pub(crate) async fn of_session(state: &AppState, session: &Session) -> Result<Option<Arc<Principal>>, Failure> {
    let now = state.services.clock().now();
    let Some(signed_in) = session::current(session, now).await.map_err(session_fault)? else { return Ok(None) };
    let by_secret = signed_in.secret.is_some();
    if signed_in.secret.is_some_and(|made_by| made_by != state.admin.fingerprint() || !state.admin.is_configured()) {
        return Ok(None);
    }
    // The admin user has no other way in than the secret.
    if signed_in.user_id == UserId::admin() && !by_secret {
        return Ok(None);
    }
    Ok(state.services.user_principal(&signed_in.user_id, Via::Session).await?.map(Arc::new))
}

/// A session that cannot be read is not "nobody": the database does not answer.
pub(crate) fn session_fault(error: tower_sessions::session::Error) -> Failure {
    tracing::warn!(%error, "the session cannot be read or written");
    Fault { retry_after_s: Some(1), ..Fault::new(Code::Unavailable, "The database is busy or cannot be reached.") }
        .into()
}

/// The failure for a secret that was not accepted.
pub(crate) fn refused_as(refused: Refused) -> Failure {
    match refused {
        Refused::Wrong => Failure::new(Code::Unauthorized, "The secret or token is not valid."),
        Refused::Locked(locked) => Fault {
            retry_after_s: Some(locked.retry_after_s),
            ..Fault::new(Code::RateLimited, "Too many failed sign-ins; no further try is taken for a while.")
        }
        .into(),
        Refused::Fault(fault) => fault.into(),
    }
}

/// Whether the caller reads pages rather than JSON.
pub(crate) fn wants_html(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

/// Where nobody is sent: pages to the sign-in and back here afterwards; a form of a page that works
/// without JavaScript back to the page it was on.
fn to_sign_in(rule: &AccessRule, headers: &HeaderMap, uri: &axum::http::Uri) -> Option<Response> {
    let next = match rule.surface {
        Surface::Page => uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
        Surface::Rpc if wants_html(headers) => headers
            .get(header::REFERER)
            .and_then(|v| v.to_str().ok())
            .and_then(|referer| url::Url::parse(referer).ok())
            .map_or_else(|| "/".to_owned(), |url| url.path().to_owned()),
        Surface::Rpc | Surface::Rest => return None,
    };
    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    Some(Redirect::to(&format!("/login?next={next}")).into_response())
}

/// Whether this person may sign in at all.
pub(crate) fn may_enter(principal: &Principal) -> bool {
    principal.status != UserStatus::Suspended
}

#[cfg(test)]
mod tests {

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (header::HeaderName::from_static(k), v.parse().unwrap())).collect()
    }

    #[test]
    fn both_headers_carry_the_secret() {
        assert_eq!(header_secret(&headers(&[("authorization", "Bearer s3cret")])), Some("s3cret"));
        assert_eq!(header_secret(&headers(&[("authorization", "bearer s3cret")])), Some("s3cret"));
        assert_eq!(header_secret(&headers(&[("x-admin-secret", "s3cret")])), Some("s3cret"));
        assert_eq!(header_secret(&headers(&[("authorization", "Basic dTpw")])), None);
        assert_eq!(header_secret(&headers(&[("authorization", "Bearer")])), Some(""));
        assert_eq!(header_secret(&headers(&[])), None);
    }

    #[test]
    fn head_is_get_and_the_rest_is_unknown() {
        assert!(rule_index(&Method::HEAD, "/healthz").is_some());
        assert_eq!(rule_index(&Method::HEAD, "/healthz"), rule_index(&Method::GET, "/healthz"));
        assert!(rule_index(&Method::POST, "/healthz").is_none());
        assert!(rule_index(&Method::GET, "/api/v1/secrets").is_none());
    }
}
