//! The one error table of this vendor: status and code to Hangar's. Rule: the vendor's words never
//! get into a message; its code and the names of fields and limits may, when they are plain words.
//!
//! Codes as documented at <https://docs.hetzner.cloud/reference/cloud#errors>.

use std::time::Duration;

use domain::code::Code;
use serde_json::Value;

use super::wire::Action;
use crate::error::{Effect, ProviderError};

/// What a path names: what is not found there is gone, or the request is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// One thing, by id.
    Resource,
    /// A list, or the making of something.
    Collection,
}

/// Whether a call can change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    Write,
}

/// An answer that is no success, read.
#[derive(Debug)]
pub(super) struct Refusal<'a> {
    pub(super) status: u16,
    /// The body, where it is JSON.
    pub(super) body: Option<&'a Value>,
    pub(super) scope: Scope,
    pub(super) intent: Intent,
    pub(super) correlation_id: Option<String>,
    /// How long to wait before the next call, when there are too many.
    pub(super) retry_after: Option<Duration>,
}

impl Refusal<'_> {
    pub(super) fn into_error(self) -> ProviderError {
        let vendor_code = self.body.and_then(vendor_code);
        let code = code_of(self.status, vendor_code, self.scope);
        let mut named: Vec<&str> = vendor_code.into_iter().collect();
        if let Some(body) = self.body {
            named.extend(names_in(&body["error"]["details"]));
        }
        let status = format!("HTTP {}", self.status);
        let reason = if named.is_empty() { status } else { named.join(": ") };
        let mut error = ProviderError::new(code, format!("{} ({reason}).", sentence(code, vendor_code)));
        error.correlation_id = self.correlation_id;
        if code == Code::ProviderRateLimited {
            error.retry_after = self.retry_after;
        }
        error.with_effect(effect_of(self.status, vendor_code, self.intent))
    }
}

/// The vendor's code for an error, where it is a plain word.
pub(super) fn vendor_code(body: &Value) -> Option<&str> {
    body["error"]["code"].as_str().and_then(word)
}

/// The table. The vendor's code says more than the status, so it is asked first; a status without
/// a code that is known says only what that status can.
fn code_of(status: u16, vendor_code: Option<&str>, scope: Scope) -> Code {
    match (status, vendor_code) {
        (_, Some("token_readonly")) => Code::ProviderTokenReadonly,
        (_, Some("unauthorized")) | (401, _) => Code::ProviderCredentialRejected,
        (_, Some("resource_limit_exceeded")) => Code::ProviderQuotaExceeded,
        (_, Some("rate_limit_exceeded")) | (429, _) => Code::ProviderRateLimited,
        (_, Some("resource_unavailable" | "placement_error")) => Code::ProviderCapacity,
        (_, Some("maintenance" | "service_error" | "server_error" | "bad_gateway" | "unavailable" | "timeout")) => {
            Code::ProviderApiError
        }
        (500.., _) => Code::ProviderApiError,
        (_, Some("protected")) => Code::ProviderInvalidRequest,
        (403, Some(_)) => Code::ProviderCredentialRejected,
        (_, Some("uniqueness_error")) => Code::ProviderNameConflict,
        (_, Some("conflict" | "locked")) => Code::ProviderLocked,
        (404, Some("not_found")) if scope == Scope::Resource => Code::ProviderResourceGone,
        (409 | 423, Some(_)) => Code::ProviderLocked,
        (412, Some(_)) => Code::ProviderCapacity,
        (400..=499, Some(_)) => Code::ProviderInvalidRequest,
        // A proxy's page or no body at all: nothing that the vendor said.
        _ => Code::ProviderApiError,
    }
}

fn sentence(code: Code, vendor_code: Option<&str>) -> &'static str {
    match vendor_code {
        Some("protected") => return "It is protected at the vendor; take the protection off in the vendor's console",
        Some("deprecated_api_endpoint") => return "The vendor has taken this part of its API away; update Hangar",
        Some("maintenance") => return "The vendor is doing maintenance",
        _ => {}
    }
    match code {
        Code::ProviderTokenReadonly => "The token may only read",
        Code::ProviderCredentialRejected => "The vendor refused the credential",
        Code::ProviderQuotaExceeded => "The project's limit is reached",
        Code::ProviderRateLimited => "The vendor asks for fewer calls",
        Code::ProviderCapacity => "There is no capacity for this type at this location",
        Code::ProviderNameConflict => "The name or the key is taken at the vendor",
        Code::ProviderLocked => "Another action runs on the resource",
        Code::ProviderResourceGone => "The vendor does not know the resource any more",
        Code::ProviderInvalidRequest => "The vendor refuses the request as such",
        _ => "The vendor's answer is an error or cannot be read",
    }
}

/// Words by which the vendor says that it did nothing, whatever the status.
const REFUSALS: &[&str] = &[
    "token_readonly",
    "unauthorized",
    "resource_limit_exceeded",
    "rate_limit_exceeded",
    "resource_unavailable",
    "placement_error",
    "locked",
    "protected",
    "maintenance",
];

fn effect_of(status: u16, vendor_code: Option<&str>, intent: Intent) -> Effect {
    let refused = vendor_code.is_some_and(|code| REFUSALS.contains(&code));
    match (intent, status) {
        (Intent::Read, _) => Effect::None,
        (Intent::Write, _) if refused => Effect::None,
        (Intent::Write, 408 | 409) => Effect::Unknown,
        (Intent::Write, 400..=499) if vendor_code != Some("timeout") => Effect::None,
        (Intent::Write, _) => Effect::Unknown,
    }
}

/// An action that ended in error, after the call that began it was accepted. Its id is what the
/// vendor's support finds it by.
pub(super) fn failed(action: &Action) -> ProviderError {
    let code = match action.error_code.as_deref() {
        Some("resource_unavailable" | "placement_error") => Code::ProviderCapacity,
        Some("resource_limit_exceeded") => Code::ProviderQuotaExceeded,
        _ => Code::ProviderAcquisitionFailed,
    };
    let reason = action.error_code.as_deref().map(|code| format!(" ({code})")).unwrap_or_default();
    let message = format!("The vendor's action {} ended in error{reason}.", action.command);
    let mut error = ProviderError::new(code, message).with_effect(Effect::Happened);
    error.correlation_id = Some(format!("action-{}", action.id));
    error
}

/// An answer of success that cannot be read.
pub(super) fn unreadable(intent: Intent, correlation_id: Option<String>) -> ProviderError {
    let mut error = ProviderError::new(Code::ProviderApiError, "The vendor's answer cannot be read.");
    error.correlation_id = correlation_id;
    let effect = if intent == Intent::Write { Effect::Unknown } else { Effect::None };
    error.with_effect(effect)
}

/// A call that was not made, because its turn in the budget comes only after so long.
pub(super) fn no_turn(wait: Duration) -> ProviderError {
    let message = "The account's budget of calls is used up for the moment.";
    let mut error = ProviderError::new(Code::ProviderRateLimited, message);
    error.retry_after = Some(wait);
    error
}

/// No answer came.
pub(super) fn no_answer(source: reqwest::Error, intent: Intent) -> ProviderError {
    let effect = if intent == Intent::Write { Effect::Unknown } else { Effect::None };
    let (message, effect) = if source.is_connect() {
        // The request was never sent.
        ("No connection to the vendor's API can be made.", Effect::None)
    } else if source.is_timeout() {
        ("The vendor's API did not answer in time.", effect)
    } else {
        ("The connection to the vendor's API broke off.", effect)
    };
    ProviderError::new(Code::ProviderUnreachable, message).with_effect(effect).with_source(source.without_url())
}

/// A plain word of the vendor's, such as an error code; anything else is not repeated.
pub(super) fn word(text: &str) -> Option<&str> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.');
    ((1..=48).contains(&text.len()) && text.bytes().all(plain)).then_some(text)
}

fn names_in(details: &Value) -> impl Iterator<Item = &str> {
    ["fields", "limits"]
        .into_iter()
        .filter_map(|list| details[list].as_array())
        .flatten()
        .filter_map(|entry| entry["name"].as_str().and_then(word))
        .take(5)
}
