//! Signing in and out: `/auth/*`. The rule: `next` leads only to a local path, every failure ends
//! at the sign-in page with a stable word, and every one is in the audit trail.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header, uri::Authority},
    response::{IntoResponse as _, Redirect, Response},
};
use domain::{code::Code, id::UserId, job::Subject};
use serde::Deserialize;
use tower_sessions::Session;
use zeroize::Zeroizing;

use crate::{
    fault::Fault,
    http::{
        access::{may_enter, refused_as, session_fault, wants_html},
        auth::ForgeFailure,
        extract::{Ask, Client, Raw},
        problem::{Answer, Failure},
        session,
        state::AppState,
    },
};

/// Longest `next` that is remembered.
const LONGEST_NEXT: usize = 1_024;

/// `next`, if it is a path of this server and of nothing else; `/` otherwise.
pub(crate) fn local_path(next: Option<&str>) -> String {
    let fits = |next: &&str| {
        next.starts_with('/')
            && !next.starts_with("//")
            && next.len() <= LONGEST_NEXT
            // Browsers read `\` as `/` and drop tabs and line ends.
            && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
            // The way back must not be a way out again.
            && !next.starts_with("/auth/")
            && url::Url::parse("http://hangar.invalid")
                .and_then(|base| base.join(next))
                .is_ok_and(|url| url.host_str() == Some("hangar.invalid") && url.scheme() == "http")
    };
    next.filter(fits).unwrap_or("/").to_owned()
}

/// Back to the sign-in page with a stable word for what went wrong.
fn failed(word: &str, next: &str) -> Response {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("error", word)
        .append_pair("next", next)
        .finish();
    Redirect::to(&format!("/login?{query}")).into_response()
}

/// The form of the sign-in by secret.
#[derive(Deserialize, utoipa::ToSchema)]
pub(crate) struct SecretForm {
    /// The admin secret.
    secret: String,
    /// Where to go afterwards: a local path.
    #[serde(default)]
    next: Option<String>,
}

/// Signs in by the admin secret. A form or JSON; browsers are sent on, others get JSON.
#[utoipa::path(post, path = "/auth/secret", tag = "sign-in",
    request_body(content = SecretForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "To `next`, with a session; or back to /login with `error`"),
        (status = 401, description = "Not the secret"), (status = 429, description = "Too many failures")))]
pub(crate) async fn by_secret(
    State(state): State<AppState>,
    Client(client): Client,
    session: Session,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Answer<Response> {
    let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/json"));
    let form: SecretForm = if is_json {
        crate::http::extract::json(&body)?
    } else {
        form_of(&body).ok_or_else(|| Failure::new(Code::BadRequest, "A form with the field secret is wanted."))?
    };
    let (secret, next) = (Zeroizing::new(form.secret), local_path(form.next.as_deref()));
    match state.admin.verify(&state.services, client, &secret).await {
        Ok(()) => {
            let now = state.services.clock().now();
            session::begin(&session, &UserId::admin(), Some(state.admin.fingerprint()), now)
                .await
                .map_err(session_fault)?;
            state.services.secret_sign_in().await?;
            Ok(if wants_json(&headers) {
                StatusCode::NO_CONTENT.into_response()
            } else {
                Redirect::to(&next).into_response()
            })
        }
        Err(refused) => {
            let failure = refused_as(refused);
            let fault = failure.fault();
            // The failures that lead to a lock are in the trail; what is refused unread during it is
            // not, or anybody could fill the table.
            if fault.code == Code::Unauthorized {
                state
                    .services
                    .audit_refused(None, "sign-in.secret", Subject::new("user", UserId::admin()), fault)
                    .await;
            }
            let word = fault.code.as_str();
            Ok(if wants_html(&headers) { failed(word, &next) } else { failure.into_response() })
        }
    }
}

fn wants_json(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|a| a.contains("application/json"))
        && !wants_html(headers)
}

fn form_of(body: &[u8]) -> Option<SecretForm> {
    let mut form = SecretForm { secret: String::new(), next: None };
    let mut found = false;
    for (name, value) in url::form_urlencoded::parse(body) {
        match name.as_ref() {
            "secret" => (form.secret, found) = (value.into_owned(), true),
            "next" => form.next = Some(value.into_owned()),
            _ => {}
        }
    }
    found.then_some(form)
}

/// Ends the session, on the server too.
#[utoipa::path(post, path = "/auth/logout", tag = "sign-in",
    responses((status = 303, description = "To the sign-in page; the session is over")))]
pub(crate) async fn logout(session: Session) -> Answer<Response> {
    session::end(&session).await.map_err(session_fault)?;
    Ok(Redirect::to("/login").into_response())
}

/// Where a sign-in by Forge should lead.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Start {
    /// Where to go afterwards: a local path.
    next: Option<String>,
    /// Set once the browser was sent to the public address.
    #[serde(default)]
    #[param(ignore)]
    moved: Option<String>,
}

/// The public address, if this request came to another host: the Forge sends people back to the
/// public one, and the cookie of the way there would stay behind. A proxy may hide the host that
/// people see, so that nobody is moved twice.
fn elsewhere(state: &AppState, start: &Start, headers: &HeaderMap, uri: &Uri) -> Option<String> {
    if start.moved.is_some() {
        return None;
    }
    let asked = headers.get(header::HOST).and_then(|v| v.to_str().ok()).or(uri.authority().map(|a| a.as_str()))?;
    let asked: Authority = asked.parse().ok()?;
    let public = &state.config.http;
    if public.public_url.host_str().is_none_or(|host| host.eq_ignore_ascii_case(asked.host())) {
        return None;
    }
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("next", &local_path(start.next.as_deref()))
        .append_pair("moved", "1")
        .finish();
    Some(format!("{}/auth/forge/start?{query}", public.public_base()))
}

/// Sends the browser to the Forge.
#[utoipa::path(get, path = "/auth/forge/start", tag = "sign-in", params(Start),
    responses((status = 303, description = "To the Forge"), (status = 503, description = "No Forge is configured")))]
pub(crate) async fn forge_start(
    State(state): State<AppState>,
    session: Session,
    headers: HeaderMap,
    uri: Uri,
    Ask(start): Ask<Start>,
) -> Answer<Response> {
    let forge = state.forge.as_ref().ok_or_else(not_configured)?;
    if let Some(public) = elsewhere(&state, &start, &headers, &uri) {
        return Ok(Redirect::to(&public).into_response());
    }
    let (url, pending) = forge.begin(local_path(start.next.as_deref()), state.services.clock().now());
    session::pending_put(&session, &pending).await.map_err(session_fault)?;
    Ok(Redirect::to(url.as_str()).into_response())
}

fn not_configured() -> Failure {
    Failure::new(Code::ForgeNotConfigured, "No Forge is configured here.")
}

/// What the Forge sends the browser back with.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Back {
    /// The code to trade for a token.
    code: Option<String>,
    /// What was sent along.
    state: Option<String>,
    /// Why not, if so.
    error: Option<String>,
}

/// Takes the browser back from the Forge.
#[utoipa::path(get, path = "/auth/forge/callback", tag = "sign-in", params(Back),
    responses((status = 303, description = "To where it was meant, signed in; or back to /login with `error`"),
        (status = 503, description = "No Forge is configured")))]
pub(crate) async fn forge_callback(
    State(state): State<AppState>,
    session: Session,
    Ask(back): Ask<Back>,
) -> Answer<Response> {
    if state.forge.is_none() {
        return Err(not_configured());
    }
    let pending = session::pending_take(&session).await.map_err(session_fault)?;
    let next = pending.as_ref().map_or_else(|| "/".to_owned(), |p| p.next.clone());
    let begun = pending.is_some();
    match forge_person(&state, pending, back).await {
        Ok(user_id) => {
            let now = state.services.clock().now();
            session::begin(&session, &user_id, None, now).await.map_err(session_fault)?;
            Ok(Redirect::to(&next).into_response())
        }
        Err(failure) => {
            let code = match failure {
                ForgeFailure::Suspended => Code::Forbidden,
                ForgeFailure::Internal => Code::Internal,
                _ => Code::Unauthorized,
            };
            // A call that answers nothing of ours is no sign-in; anybody can make any number of them.
            if begun {
                let fault = Fault::new(code, format!("The sign-in by Forge failed: {}.", failure.word()));
                state.services.audit_refused(None, "sign-in.forge", Subject::new("user", "unknown"), &fault).await;
            }
            Ok(failed(failure.word(), &next))
        }
    }
}

async fn forge_person(
    state: &AppState,
    pending: Option<crate::http::auth::Pending>,
    back: Back,
) -> Result<UserId, ForgeFailure> {
    let (Some(forge), Some(pending), Some(returned)) = (&state.forge, pending, back.state) else {
        return Err(ForgeFailure::State);
    };
    let code = match (back.code, back.error) {
        (Some(code), None) => code,
        // Even a refusal has to come from where this browser was sent.
        _ => return Err(ForgeFailure::Denied),
    };
    let person = forge.finish(&pending, &returned, code, state.services.clock().now()).await?;
    let principal = state.services.forge_sign_in(person).await.map_err(|fault| match fault.code {
        Code::Forbidden => ForgeFailure::Suspended,
        _ => ForgeFailure::Internal,
    })?;
    if may_enter(&principal) { Ok(principal.user_id) } else { Err(ForgeFailure::Suspended) }
}

#[cfg(test)]
mod tests {
    use super::local_path;

    #[test]
    fn only_local_paths() {
        for good in ["/", "/dashboard", "/nodes/nod_1?tab=history#top", "/nodes?q=a%2Fb"] {
            assert_eq!(local_path(Some(good)), good);
        }
        let long = format!("/{}", "a".repeat(2_000));
        for bad in [
            "",
            "dashboard",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/a\r\nset-cookie: x=y",
            "/ä",
            "/auth/forge/start",
            &long,
        ] {
            assert_eq!(local_path(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(local_path(None), "/");
    }
}
