//! An answer before it becomes HTTP: the vendor's envelope, and its errors in one place. Rule: every
//! answer has `success`, `errors`, `messages` and `result`.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// An answer: status and JSON.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Value,
    /// Seconds after which to try again, when there were too many calls.
    pub(super) retry_after: Option<u64>,
}

impl Reply {
    pub(super) fn ok(result: Value) -> Self {
        let body = json!({"result": result, "success": true, "errors": [], "messages": []});
        Self { status: StatusCode::OK, body, retry_after: None }
    }

    pub(super) fn told(result: Value, code: u32, message: &str) -> Self {
        let mut reply = Self::ok(result);
        reply.body["messages"] = json!([{"code": code, "message": message, "type": null}]);
        reply
    }

    pub(super) fn page(result: Vec<Value>, page: usize, per_page: usize, total: usize) -> Self {
        let count = result.len();
        let mut reply = Self::ok(Value::Array(result));
        reply.body["result_info"] = json!({
            "page": page,
            "per_page": per_page,
            "count": count,
            "total_count": total,
            "total_pages": total.div_ceil(per_page),
        });
        reply
    }

    pub(super) fn errors(status: u16, errors: Value) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({"result": null, "success": false, "errors": errors, "messages": []});
        Self { status, body, retry_after: None }
    }

    pub(super) fn error(status: u16, code: u32, message: &str) -> Self {
        Self::errors(status, json!([{"code": code, "message": message}]))
    }

    /// 400 with 1004 and what is wrong beneath it.
    pub(super) fn invalid(code: u32, message: &str) -> Self {
        let chain = json!([{"code": code, "message": message}]);
        Self::errors(400, json!([{"code": 1004, "message": "DNS Validation Error", "error_chain": chain}]))
    }

    /// A path whose ids are none.
    pub(super) fn no_route(path: &str) -> Self {
        let message = format!("Could not route to /client/v4/{path}, perhaps your object identifier is invalid?");
        Self::errors(
            400,
            json!([{"code": 7003, "message": message}, {"code": 7000, "message": "No route for that URI"}]),
        )
    }

    pub(super) fn no_zone(id: &str) -> Self {
        let message = format!("Could not route to /client/v4/zones/{id}, perhaps your object identifier is invalid?");
        Self::error(404, 7003, &message)
    }

    pub(super) fn no_record() -> Self {
        Self::error(404, 81044, "Record does not exist.")
    }

    pub(super) fn not_allowed() -> Self {
        Self::error(403, 10000, "Authentication error")
    }

    pub(super) fn no_access() -> Self {
        Self::error(403, 9109, "Unauthorized to access requested resource")
    }

    pub(super) fn too_many(retry_after: u64) -> Self {
        let message = "More than 1200 requests per 300 seconds reached. \
                       Please wait and consider throttling your request speed";
        Self { retry_after: Some(retry_after), ..Self::error(429, 10013, message) }
    }
}
