//! Provider accounts.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use domain::{
    audit::AuditEntry,
    id::ProviderId,
    list::Page,
    provider::{Catalog, ProviderCreate, ProviderKindView, ProviderView},
};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Accepted, acted, page};
use crate::http::{
    extract::{Body, Id, ListQuery, Narrow, Who},
    idempotency::Creating,
    problem::Answer,
    state::AppState,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(kinds))
        .routes(routes!(list, create))
        .routes(routes!(show, remove))
        .routes(routes!(secret))
        .routes(routes!(check))
        .routes(routes!(catalog))
        .routes(routes!(history))
        .routes(routes!(act))
}

/// The kinds of account, with the adapter contract as JSON Schema.
#[utoipa::path(get, path = "/api/v1/provider-kinds", tag = "providers",
    responses((status = 200, body = Vec<ProviderKindView>)))]
pub(crate) async fn kinds(State(state): State<AppState>) -> Json<Vec<ProviderKindView>> {
    Json(state.services.kinds())
}

/// The accounts.
#[utoipa::path(get, path = "/api/v1/providers", tag = "providers", params(ListQuery),
    responses((status = 200, body = Page<ProviderView>)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    who: Who,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<ProviderView>>> {
    Ok(page(state.services.providers_page(&who, filter).await?))
}

/// Connects an account; 201 also when its live check fails (`status: degraded`).
#[utoipa::path(post, path = "/api/v1/providers", tag = "providers", request_body = ProviderCreate,
    params(("Idempotency-Key" = Option<String>, Header)), responses((status = 201, body = ProviderView)))]
pub(crate) async fn create(State(state): State<AppState>, creating: Creating) -> Answer<Response> {
    let (services, who) = (state.services.clone(), creating.who());
    creating
        .run(
            &state,
            |_: &ProviderView| StatusCode::CREATED,
            |wish: ProviderCreate, key| async move { services.provider_connect(&who, wish, key).await },
        )
        .await
}

/// One account.
#[utoipa::path(get, path = "/api/v1/providers/{id}", tag = "providers", params(("id" = String, Path)),
    responses((status = 200, body = ProviderView)))]
pub(crate) async fn show(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<ProviderId>,
) -> Answer<Json<ProviderView>> {
    Ok(Json(state.services.provider_show(&who, &id).await?))
}

/// Removes an account through which nothing lives.
#[utoipa::path(delete, path = "/api/v1/providers/{id}", tag = "providers", params(("id" = String, Path)),
    responses((status = 204), (status = 409, description = "Nodes or records live through it")))]
pub(crate) async fn remove(State(state): State<AppState>, who: Who, Id(id): Id<ProviderId>) -> Answer<StatusCode> {
    state.services.provider_disconnect(&who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replaces the secret, unless the vendor refuses the new one. The body is the secret's object,
/// bare or under `secret`.
#[utoipa::path(put, path = "/api/v1/providers/{id}/secret", tag = "providers", params(("id" = String, Path)),
    request_body = Object, responses((status = 200, body = ProviderView), (status = 422, description = "Refused")))]
pub(crate) async fn secret(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<ProviderId>,
    Body(mut body): Body<Value>,
) -> Answer<Json<ProviderView>> {
    let wrapped = body.as_object().is_some_and(|o| o.len() == 1 && o.get("secret").is_some_and(Value::is_object));
    let secret = if wrapped { body.get_mut("secret").map(Value::take).unwrap_or_default() } else { body };
    Ok(Json(state.services.provider_secret_replace(&who, &id, secret).await?))
}

/// Asks the vendor now whether the credential works.
#[utoipa::path(post, path = "/api/v1/providers/{id}/check", tag = "providers", params(("id" = String, Path)),
    responses((status = 200, body = ProviderView)))]
pub(crate) async fn check(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<ProviderId>,
) -> Answer<Json<ProviderView>> {
    Ok(Json(state.services.provider_check(&who, &id).await?))
}

/// What can be had through the account, with prices.
#[utoipa::path(get, path = "/api/v1/providers/{id}/catalog", tag = "providers", params(("id" = String, Path)),
    responses((status = 200, body = Catalog)))]
pub(crate) async fn catalog(State(state): State<AppState>, who: Who, Id(id): Id<ProviderId>) -> Answer<Json<Catalog>> {
    Ok(Json(state.services.provider_catalog(&who, &id).await?))
}

/// Everything that happened to it.
#[utoipa::path(get, path = "/api/v1/providers/{id}/history", tag = "providers",
    params(("id" = String, Path), ListQuery), responses((status = 200, body = Page<AuditEntry>)))]
pub(crate) async fn history(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<ProviderId>,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<AuditEntry>>> {
    super::history(&state, &who, "provider", id.as_str(), filter).await
}

/// Carries out one of its actions.
#[utoipa::path(post, path = "/api/v1/providers/{id}/actions/{identity}", tag = "providers",
    params(("id" = String, Path), ("identity" = String, Path)), request_body = Object,
    responses((status = 200, description = "Done", body = Object), (status = 202, body = Accepted)))]
pub(crate) async fn act(
    State(state): State<AppState>,
    who: Who,
    Id((id, identity)): Id<(ProviderId, String)>,
    Body(input): Body<Value>,
) -> Answer<Response> {
    Ok(acted(state.services.provider_act(&who, &id, &identity, input).await?))
}
