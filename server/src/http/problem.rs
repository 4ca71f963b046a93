//! Failures as the API answers them (RFC 9457). The rule: every failure leaves through here, so
//! that each has its code, its guidance and the id under which the log knows it.

use std::sync::Arc;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{code::Code, list::Problem};

use crate::{fault::Fault, http::request_id};

/// What a handler fails with.
#[derive(Debug)]
pub struct Failure {
    fault: Box<Fault>,
    /// Where the code's own status does not say it, such as 405.
    status: Option<StatusCode>,
}

/// What a handler answers.
pub type Answer<T> = Result<T, Failure>;

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { fault: Box::new(fault), status: None }
    }
}

impl Failure {
    /// A failure of `code`, explained by `detail`.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Fault::new(code, detail).into()
    }

    /// There is no such address.
    pub fn no_route() -> Self {
        Self::new(Code::NotFound, "There is nothing at this address.")
    }

    /// The address is known, the method is not.
    pub fn method_not_allowed() -> Self {
        Self {
            status: Some(StatusCode::METHOD_NOT_ALLOWED),
            ..Self::new(Code::BadRequest, "This address does not know that method.")
        }
    }

    /// The fault inside.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
            .or_else(|| StatusCode::from_u16(self.fault.code.http_status()).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The shape of a fault, under the id of the present request.
pub fn problem_of(fault: Fault) -> Problem {
    let code = fault.code;
    Problem {
        kind: format!("/docs/errors#{}", code.as_str()),
        title: code.title().to_owned(),
        status: code.http_status(),
        detail: fault.detail,
        code,
        request_id: request_id::current_text(),
        recovery: Some(fault.recovery.map_or_else(|| code.recovery(), |r| *r)),
        errors: fault.errors,
        gates: fault.gates,
    }
}

/// Goes with an answer that is a problem, so that the frame can log its code and, for a browser,
/// show it as a page.
#[derive(Debug, Clone)]
pub(crate) struct IsProblem(pub Arc<Fault>);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status();
        let fault = Arc::new(*self.fault);
        let problem = Problem { status: status.as_u16(), ..problem_of(fault.as_ref().clone()) };
        // A problem holds nothing that JSON cannot say.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = fault.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(IsProblem(fault));
        response
    }
}

/// The problem for an error answer that something below made without one.
pub(crate) fn for_status(status: StatusCode) -> Failure {
    let (code, detail) = match status {
        StatusCode::NOT_FOUND => return Failure::no_route(),
        StatusCode::METHOD_NOT_ALLOWED => return Failure::method_not_allowed(),
        StatusCode::UNAUTHORIZED => (Code::Unauthorized, "Sign in first."),
        StatusCode::FORBIDDEN => (Code::Forbidden, "This is not allowed."),
        StatusCode::PAYLOAD_TOO_LARGE => (Code::PayloadTooLarge, "The request is larger than this address takes."),
        s if s.is_client_error() => (Code::BadRequest, "The request is not of the documented form."),
        _ => (Code::Internal, "Hangar met an error that it did not expect."),
    };
    Failure { status: Some(status), ..Failure::new(code, detail) }
}
