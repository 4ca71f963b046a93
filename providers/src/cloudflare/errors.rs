//! The one error table of this vendor: status and codes to Hangar's. Rule: the vendor's words never
//! get into a message; its numbers may.
//!
//! The envelope is documented at <https://developers.cloudflare.com/api/>; the codes of DNS are in
//! no one place and were gathered from what the vendor and its clients write.

use std::time::Duration;

use domain::code::Code;
use serde_json::Value;

use crate::error::{Effect, ProviderError};

/// Whether a call can change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    Write,
}

/// How long to wait when the vendor does not say: it blocks for five minutes.
const BLOCK: Duration = Duration::from_secs(300);

/// An answer that is no success, read.
#[derive(Debug)]
pub(super) struct Refusal<'a> {
    pub(super) status: u16,
    /// The body, where it is JSON.
    pub(super) body: Option<&'a Value>,
    pub(super) intent: Intent,
    pub(super) correlation_id: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

impl Refusal<'_> {
    pub(super) fn into_error(self) -> ProviderError {
        let codes = self.body.map(codes_in).unwrap_or_default();
        let code = code_of(self.status, &codes);
        let mut reason = format!("HTTP {}", self.status);
        for vendor_code in codes.iter().take(5) {
            reason.push_str(&format!(", {vendor_code}"));
        }
        let mut error = ProviderError::new(code, format!("{} ({reason}).", sentence(code)));
        error.correlation_id = self.correlation_id;
        if code == Code::ProviderRateLimited {
            error.retry_after = Some(self.retry_after.unwrap_or(BLOCK));
        }
        error.with_effect(effect_of(self.status, self.intent))
    }
}

/// Every code of the errors and of what lies beneath them, outermost first.
fn codes_in(body: &Value) -> Vec<u64> {
    let mut codes = Vec::new();
    let errors = body["errors"].as_array().into_iter().flatten();
    for error in errors.take(20) {
        let beneath = error["error_chain"].as_array().into_iter().flatten().take(20);
        for one in std::iter::once(error).chain(beneath) {
            codes.extend(one["code"].as_u64());
        }
    }
    codes
}

/// The table. What is about the credential goes before what only follows from it.
fn code_of(status: u16, codes: &[u64]) -> Code {
    let has = |wanted: &[u64]| codes.iter().any(|code| wanted.contains(code));
    match status {
        429 => return Code::ProviderRateLimited,
        500.. => return Code::ProviderApiError,
        // A proxy's page or no body at all: nothing that the vendor's API said.
        _ if codes.is_empty() => return Code::ProviderApiError,
        _ => {}
    }
    if status == 401 || has(&[1000, 6003, 6111, 9103, 9106, 9107, 9109, 10000, 10001]) {
        Code::ProviderCredentialRejected
    } else if has(&[81044]) {
        Code::ProviderResourceGone
    } else if has(&[81045]) {
        Code::DnsQuotaExceeded
    } else if has(&[81053, 81054, 81056, 81057, 81058]) {
        Code::DnsNameConflict
    } else if has(&[7003]) {
        Code::DnsZoneNotFound
    } else if has(&[1004]) || codes.iter().any(|code| (9000..=9999).contains(code)) {
        Code::DnsValidation
    } else if status == 403 {
        Code::ProviderCredentialRejected
    } else {
        Code::ProviderInvalidRequest
    }
}

fn sentence(code: Code) -> &'static str {
    match code {
        Code::ProviderCredentialRejected => "The vendor refused the credential, or it is not allowed to do this",
        Code::ProviderRateLimited => "The vendor asks for fewer calls",
        Code::ProviderResourceGone => "The vendor does not know the record any more",
        Code::DnsQuotaExceeded => "The zone holds as many records as the vendor lets it",
        Code::DnsNameConflict => "A record that is not ours stands there",
        Code::DnsZoneNotFound => "The vendor does not know the zone",
        Code::DnsValidation => "The vendor refuses the record as such",
        Code::ProviderInvalidRequest => "The vendor refuses the request as such",
        _ => "The vendor's answer is an error or cannot be read",
    }
}

fn effect_of(status: u16, intent: Intent) -> Effect {
    match (intent, status) {
        (Intent::Read, _) | (Intent::Write, 400..=407 | 409..=499) => Effect::None,
        (Intent::Write, _) => Effect::Unknown,
    }
}

fn effect(intent: Intent) -> Effect {
    if intent == Intent::Write { Effect::Unknown } else { Effect::None }
}

/// An answer of success that cannot be read.
pub(super) fn unreadable(intent: Intent, correlation_id: Option<String>) -> ProviderError {
    let mut error = ProviderError::new(Code::ProviderApiError, "The vendor's answer cannot be read.");
    error.correlation_id = correlation_id;
    error.with_effect(effect(intent))
}

/// A call that was not made, because it would be refused for so long.
pub(super) fn held_back(wait: Duration) -> ProviderError {
    let message = "The vendor's limit of calls is used up; the call was not made.";
    let mut error = ProviderError::new(Code::ProviderRateLimited, message);
    error.retry_after = Some(wait);
    error
}

/// No answer came.
pub(super) fn no_answer(source: reqwest::Error, intent: Intent) -> ProviderError {
    let (message, effect) = if source.is_connect() {
        // The request was never sent.
        ("No connection to the vendor's API can be made.", Effect::None)
    } else if source.is_timeout() {
        ("The vendor's API did not answer in time.", effect(intent))
    } else {
        ("The connection to the vendor's API broke off.", effect(intent))
    };
    ProviderError::new(Code::ProviderUnreachable, message).with_effect(effect).with_source(source.without_url())
}
