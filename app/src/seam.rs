//! How a server function reaches the server. The rule: [`seam`] is the first line of every server
//! function and reads the context before anything is awaited.

use domain::{access::Principal, code::Code, list::Problem};
use http::{Method, StatusCode, header::ACCEPT, request::Parts};
use leptos::prelude::use_context;
use leptos_axum::ResponseOptions;

use crate::{Fault, ports::Ports};

/// Who makes the request; the server provides it as context. `None` is nobody.
#[derive(Debug, Clone)]
pub struct Caller(pub Option<Principal>);

/// The ports and the caller of one request.
pub(crate) struct Seam<Who = Principal> {
    /// What the server implements.
    pub ports: Ports,
    /// Who asks.
    pub who: Who,
    response: Option<ResponseOptions>,
    request_id: String,
}

/// The seam for a signed-in person.
///
/// # Errors
/// `unauthorized` for nobody, `internal` where the server provides no ports.
pub(crate) fn seam() -> Result<Seam, Fault> {
    let Seam { ports, who, response, request_id } = open_seam()?;
    match who {
        Some(who) => Ok(Seam { ports, who, response, request_id }),
        None => Err(refuse(response.as_ref(), Fault::new(Code::Unauthorized, "Nobody is signed in."), &request_id)),
    }
}

/// The seam for anybody.
///
/// # Errors
/// `internal` where the server provides no ports.
pub(crate) fn open_seam() -> Result<Seam<Option<Principal>>, Fault> {
    let response = use_context::<ResponseOptions>();
    let request_id = use_context::<Parts>()
        .and_then(|parts| parts.headers.get("x-request-id")?.to_str().ok().map(ToOwned::to_owned))
        .unwrap_or_default();
    let who = use_context::<Caller>().and_then(|caller| caller.0);
    match use_context::<Ports>() {
        Some(ports) => Ok(Seam { ports, who, response, request_id }),
        None => Err(refuse(response.as_ref(), Fault::new(Code::Internal, "The server is not ready."), &request_id)),
    }
}

impl<Who> Seam<Who> {
    /// Where a plain form goes on to. With JavaScript the page stays where it is.
    pub fn plain_form_goes_to(&self, path: &str) {
        if is_plain_form() {
            leptos_axum::redirect(path);
        }
    }

    /// The last line of a server function: a failure gets its HTTP status and request id.
    ///
    /// # Errors
    /// The failure that came in.
    pub fn answer<T, E: Into<Fault>>(&self, result: Result<T, E>) -> Result<T, Fault> {
        result.map_err(|error| refuse(self.response.as_ref(), error.into(), &self.request_id))
    }
}

/// A failed server function answers with the failure's status, and so does a page that is about
/// what failed.
fn refuse(response: Option<&ResponseOptions>, fault: Fault, request_id: &str) -> Fault {
    if let Some(response) = response {
        answer_with(response, &fault);
    }
    fault.with_request_id(request_id)
}

/// Gives the present answer the failure's status. A plain form that failed is sent back to its page
/// instead, which then shows the failure.
pub(crate) fn answer_with(response: &ResponseOptions, fault: &Fault) {
    if let (false, Ok(status)) = (is_plain_form(), StatusCode::from_u16(fault.status)) {
        response.set_status(status);
    }
}

/// Whether this is a form that the browser sent by itself.
fn is_plain_form() -> bool {
    use_context::<Parts>().is_some_and(|parts| {
        let accepts = parts.headers.get(ACCEPT).and_then(|accepts| accepts.to_str().ok()).unwrap_or_default();
        parts.method == Method::POST && accepts.contains("text/html")
    })
}

impl From<Box<Problem>> for Fault {
    fn from(problem: Box<Problem>) -> Self {
        Self::from(*problem)
    }
}
