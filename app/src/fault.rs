//! The one error of every server function: a problem as the API answers it. The rule: whatever goes
//! wrong between page and server ends as a [`Fault`], so that a page shows one kind of error.

use std::{fmt, ops::Deref};

use domain::{
    code::Code,
    list::{FieldError, Problem},
};
use leptos::server_fn::{
    codec::JsonEncoding,
    error::{FromServerFnError, ServerFnErrorErr},
};
use serde::{Deserialize, Serialize};

/// A problem on its way to a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fault(Box<Problem>);

impl Fault {
    /// The fault of `code` with this detail.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem {
            kind: format!("/docs/errors#{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.http_status(),
            detail: detail.into(),
            code,
            request_id: String::new(),
            recovery: Some(code.recovery()),
            errors: Vec::new(),
            gates: Vec::new(),
        }))
    }

    /// There is nothing at this address.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "There is nothing of this id, or it is not yours to see.")
    }

    fn unreadable() -> Self {
        Self::new(Code::BadRequest, "The request did not arrive as Hangar expects it. Reload the page.")
    }

    /// Fields that cannot be used.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let mut fault = Self::new(Code::Validation, "Correct the fields that are marked.");
        fault.0.errors = errors;
        fault
    }

    /// The same fault under the request id that the log knows.
    #[must_use]
    pub fn with_request_id(mut self, id: &str) -> Self {
        if self.0.request_id.is_empty() {
            id.clone_into(&mut self.0.request_id);
        }
        self
    }

    /// The same fault with other pointers at its fields.
    #[must_use]
    pub fn pointing(mut self, elsewhere: impl Fn(&str) -> String) -> Self {
        for error in &mut self.0.errors {
            error.pointer = elsewhere(&error.pointer);
        }
        self
    }

    /// What is wrong with the field at this JSON pointer, such as `/name`.
    pub fn field(&self, pointer: &str) -> Option<&str> {
        self.errors_at(pointer).next()
    }

    /// Everything that is wrong with the field at this JSON pointer.
    pub fn errors_at(&self, pointer: &str) -> impl Iterator<Item = &str> {
        self.0.errors.iter().filter(move |error| error.pointer == pointer).map(|error| error.message.as_str())
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl Deref for Fault {
    type Target = Problem;

    fn deref(&self) -> &Problem {
        &self.0
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.title, self.0.detail)
    }
}

impl std::error::Error for Fault {}

impl FromServerFnError for Fault {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        use ServerFnErrorErr as E;
        let fault = match error {
            E::Request(_) => {
                let mut fault = Self::new(Code::Unavailable, "The request did not reach Hangar.");
                fault.0.title = "No connection to Hangar".to_owned();
                fault.0.recovery = None;
                fault
            }
            E::Args(_) | E::MissingArg(_) | E::UnsupportedRequestMethod(_) => Self::unreadable(),
            // On the server it is the request that could not be read, in the browser the answer.
            E::Deserialization(_) if cfg!(feature = "ssr") => Self::unreadable(),
            E::Deserialization(_) | E::Serialization(_) => Self::new(
                Code::Internal,
                "The answer could not be read. Hangar may have been updated meanwhile: reload the page.",
            ),
            _ => Self::new(Code::Internal, "The request could not be carried out."),
        };
        #[cfg(feature = "ssr")]
        if let Some(response) = leptos::prelude::use_context::<leptos_axum::ResponseOptions>() {
            crate::seam::answer_with(&response, &fault);
        }
        fault
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_problem_of_the_api_reads_back_as_a_fault() {
        let body = r#"{"type":"t","title":"No","status":422,"detail":"d","code":"validation",
            "request_id":"r1","errors":[{"pointer":"/name","message":"a name is needed"}]}"#;
        let fault: Fault = serde_json::from_str(body).unwrap();
        assert_eq!(fault.field("/name"), Some("a name is needed"));
        assert_eq!(fault.field("/other"), None);
        assert_eq!(fault.clone().with_request_id("r2").request_id, "r1");
    }

    #[test]
    fn no_text_of_the_transport_reaches_a_page() {
        let fault = Fault::from_server_fn_error(ServerFnErrorErr::ServerError("planted".to_owned()));
        assert!(!serde_json::to_string(&fault).unwrap().contains("planted"));
    }
}
