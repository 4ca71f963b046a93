//! Backups.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use domain::{blueprint::BackupView, id::BackupId, list::Page};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::page;
use crate::http::{
    extract::{Ask, Id, ListQuery, Narrow, Who},
    problem::Answer,
    state::AppState,
    tar,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, delete)).routes(routes!(download))
}

/// The backups; `subject` is the node's id.
#[utoipa::path(get, path = "/api/v1/backups", tag = "backups", params(ListQuery),
    responses((status = 200, body = Page<BackupView>)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    who: Who,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<BackupView>>> {
    Ok(page(state.services.backups_page(&who, filter).await?))
}

/// One backup.
#[utoipa::path(get, path = "/api/v1/backups/{id}", tag = "backups", params(("id" = String, Path)),
    responses((status = 200, body = BackupView)))]
pub(crate) async fn show(State(state): State<AppState>, who: Who, Id(id): Id<BackupId>) -> Answer<Json<BackupView>> {
    Ok(Json(state.services.backup_show(&who, &id).await?))
}

/// A backup: its file, or a tar archive where there are several. The secrets that were generated for the
/// stack are one of them, `secrets.env`.
#[utoipa::path(get, path = "/api/v1/backups/{id}/download", tag = "backups", params(("id" = String, Path)),
    responses((status = 200, description = "The file, or a tar archive", content_type = "application/octet-stream")))]
pub(crate) async fn download(State(state): State<AppState>, who: Who, Id(id): Id<BackupId>) -> Answer<Response> {
    let backup = state.services.backup_open(&who, &id).await?;
    // Every part of the name was checked to be plain letters, digits, dots, hyphens and underscores.
    let (name, body, bytes) = match backup.files.as_slice() {
        [only] => (format!("{}-{}", backup.name, only.name), Body::from_stream(tar::one(only.clone())), only.bytes),
        files => (
            format!("{}.tar", backup.name),
            Body::from_stream(tar::all(files.to_vec(), backup.created_at)),
            tar::size(files),
        ),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// What is said of a backup that is deleted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BackupDelete {
    /// Whether it is deleted also where its files are not on this machine; they stay where they are.
    #[serde(default)]
    missing: bool,
}

/// Deletes a backup.
#[utoipa::path(delete, path = "/api/v1/backups/{id}", tag = "backups", params(("id" = String, Path), BackupDelete),
    responses((status = 204)))]
pub(crate) async fn delete(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<BackupId>,
    Ask(BackupDelete { missing }): Ask<BackupDelete>,
) -> Answer<StatusCode> {
    state.services.backup_delete(&who, &id, missing).await?;
    Ok(StatusCode::NO_CONTENT)
}
