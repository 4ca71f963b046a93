//! DNS records.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use domain::{
    audit::AuditEntry,
    dns::{DnsRecordAccepted, DnsRecordCreate, DnsRecordView, DnsZoneView},
    id::{DnsRecordId, ProviderId},
    list::Page,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Accepted, acted, page};
use crate::http::{
    extract::{Id, ListQuery, Narrow, Who},
    idempotency::Creating,
    problem::Answer,
    state::AppState,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, remove))
        .routes(routes!(history))
        .routes(routes!(act))
        .routes(routes!(zones))
}

/// The DNS records.
#[utoipa::path(get, path = "/api/v1/dns-records", tag = "dns", params(ListQuery),
    responses((status = 200, body = Page<DnsRecordView>)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    who: Who,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<DnsRecordView>>> {
    Ok(page(state.services.dns_records(&who, filter).await?))
}

/// Makes a record.
#[utoipa::path(post, path = "/api/v1/dns-records", tag = "dns", request_body = DnsRecordCreate,
    params(("Idempotency-Key" = Option<String>, Header)), responses((status = 202, body = DnsRecordAccepted)))]
pub(crate) async fn create(State(state): State<AppState>, creating: Creating) -> Answer<Response> {
    made(state, creating).await
}

/// The same under its plain name.
pub(super) async fn made(state: AppState, creating: Creating) -> Answer<Response> {
    let (services, who) = (state.services.clone(), creating.who());
    creating
        .run(
            &state,
            |_: &DnsRecordAccepted| StatusCode::ACCEPTED,
            |wish: DnsRecordCreate, key| async move { services.dns_record_create(&who, wish, key).await },
        )
        .await
}

/// One record.
#[utoipa::path(get, path = "/api/v1/dns-records/{id}", tag = "dns", params(("id" = String, Path)),
    responses((status = 200, body = DnsRecordView)))]
pub(crate) async fn show(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<DnsRecordId>,
) -> Answer<Json<DnsRecordView>> {
    Ok(Json(state.services.dns_record_show(&who, &id).await?))
}

/// Deletes a record, if it is still as Hangar wrote it.
#[utoipa::path(delete, path = "/api/v1/dns-records/{id}", tag = "dns", params(("id" = String, Path)),
    responses((status = 202, body = Accepted), (status = 409, description = "Blocked, with gates and recovery")))]
pub(crate) async fn remove(State(state): State<AppState>, who: Who, Id(id): Id<DnsRecordId>) -> Answer<Response> {
    Ok(acted(state.services.dns_record_act(&who, &id, "delete-dns-record").await?))
}

/// Everything that happened to it.
#[utoipa::path(get, path = "/api/v1/dns-records/{id}/history", tag = "dns",
    params(("id" = String, Path), ListQuery), responses((status = 200, body = Page<AuditEntry>)))]
pub(crate) async fn history(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<DnsRecordId>,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<AuditEntry>>> {
    super::history(&state, &who, "dns_record", id.as_str(), filter).await
}

/// Carries out one of its actions.
#[utoipa::path(post, path = "/api/v1/dns-records/{id}/actions/{identity}", tag = "dns",
    params(("id" = String, Path), ("identity" = String, Path)),
    responses((status = 200, description = "Done", body = Object), (status = 202, body = Accepted),
        (status = 409, description = "Blocked, with gates and recovery")))]
pub(crate) async fn act(
    State(state): State<AppState>,
    who: Who,
    Id((id, identity)): Id<(DnsRecordId, String)>,
) -> Answer<Response> {
    Ok(acted(state.services.dns_record_act(&who, &id, &identity).await?))
}

/// The zones of an account.
#[utoipa::path(get, path = "/api/v1/providers/{id}/zones", tag = "dns", params(("id" = String, Path)),
    responses((status = 200, body = Vec<DnsZoneView>)))]
pub(crate) async fn zones(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<ProviderId>,
) -> Answer<Json<Vec<DnsZoneView>>> {
    Ok(Json(state.services.dns_zones(&who, &id).await?))
}
