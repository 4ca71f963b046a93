//! An answer before it becomes HTTP, and the vendor's error body. Rule: the message says what a
//! person needs; the code is what programs compare.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// An answer: status and JSON, or no body at all (204).
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Option<Value>,
}

impl Reply {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body) }
    }

    pub(super) fn created(body: Value) -> Self {
        Self { status: StatusCode::CREATED, body: Some(body) }
    }

    pub(super) fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None }
    }

    pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Self {
        Self::error_with(status, code, message, Value::Null)
    }

    pub(super) fn error_with(status: StatusCode, code: &str, message: &str, details: Value) -> Self {
        let body = json!({"error": {"code": code, "message": message, "details": details}});
        Self { status, body: Some(body) }
    }

    pub(super) fn not_found(what: &str, id: &str) -> Self {
        Self::error(StatusCode::NOT_FOUND, "not_found", &format!("{what} with ID '{id}' not found"))
    }

    /// 422 that names the field and what is wrong with it.
    pub(super) fn invalid(field: &str, message: &str) -> Self {
        Self::error_with(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_input",
            &format!("invalid input in field '{field}'"),
            json!({"fields": [{"name": field, "messages": [message]}]}),
        )
    }

    /// 409 that names the field which is taken.
    pub(super) fn taken(field: &str, message: &str) -> Self {
        Self::error_with(StatusCode::CONFLICT, "uniqueness_error", message, json!({"fields": [{"name": field}]}))
    }

    pub(super) fn locked(message: &str) -> Self {
        Self::error_with(StatusCode::LOCKED, "locked", message, json!({}))
    }

    pub(super) fn protected(message: &str) -> Self {
        Self::error(StatusCode::LOCKED, "protected", message)
    }

    pub(super) fn no_capacity() -> Self {
        Self::error(
            StatusCode::PRECONDITION_FAILED,
            "resource_unavailable",
            "error during placement: no capacity for this server type at this location",
        )
    }
}
