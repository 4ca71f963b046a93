//! Who a token speaks for. Rule: both endpoints tell the same person; claims beyond the subject
//! come only with the scope that asked for them.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    config::{ForgeFault, Person},
    runtime::{Shared, Sim},
};

async fn person_of(shared: &Shared, headers: &HeaderMap) -> Result<(Person, String), Response> {
    shared.slow().await;
    let mut inner = shared.lock();
    if inner.fault_take(|it| *it == ForgeFault::UserError).is_some() {
        let answer = (StatusCode::INTERNAL_SERVER_ERROR, "internal server error");
        return Err(answer.into_response());
    }
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token"))
        .and_then(|(_, token)| inner.tokens.get(token.trim()))
        .filter(|token| token.until > Instant::now());
    token
        .and_then(|token| {
            let person = inner.people.iter().find(|it| it.id == token.person)?;
            Some((person.clone(), token.scope.clone()))
        })
        .ok_or_else(|| {
            let body = Json(json!({"message": "token is required", "url": "/api/swagger"}));
            (StatusCode::UNAUTHORIZED, body).into_response()
        })
}

/// `GET /login/oauth/userinfo`: the OpenID Connect claims.
pub(super) async fn userinfo(State(shared): Sim, headers: HeaderMap) -> Result<Json<Value>, Response> {
    let (person, scope) = person_of(&shared, &headers).await?;
    let asked = |name: &str| scope.split_whitespace().any(|it| it == name);
    let mut claims = json!({"sub": person.id.to_string()});
    if asked("profile") {
        claims["name"] = person.full_name.into();
        claims["preferred_username"] = person.login.clone().into();
        claims["profile"] = format!("{}/{}", shared.url, person.login).into();
        claims["picture"] = format!("{}/avatars/{}", shared.url, person.id).into();
    }
    if asked("email") {
        claims["email"] = person.email.into();
        claims["email_verified"] = true.into();
    }
    if asked("groups") {
        claims["groups"] = person.groups.into();
    }
    Ok(Json(claims))
}

/// `GET /api/v1/user`: the account, as the Forge's own API tells it.
pub(super) async fn user(State(shared): Sim, headers: HeaderMap) -> Result<Json<Value>, Response> {
    let (person, _) = person_of(&shared, &headers).await?;
    let url = &shared.url;
    Ok(Json(json!({
        "id": person.id,
        "login": person.login,
        "login_name": "",
        "source_id": 0,
        "full_name": person.full_name,
        "email": person.email,
        "avatar_url": format!("{url}/avatars/{}", person.id),
        "html_url": format!("{url}/{}", person.login),
        "language": "en-US",
        "is_admin": person.admin,
        "last_login": "2026-01-01T00:00:00Z",
        "created": "2026-01-01T00:00:00Z",
        "restricted": false,
        "active": true,
        "prohibit_login": false,
        "location": "",
        "website": "",
        "description": "",
        "visibility": "public",
        "followers_count": 0,
        "following_count": 0,
        "starred_repos_count": 0,
        "username": person.login,
    })))
}
