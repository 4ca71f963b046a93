//! Every code of the vendor's table at every call of every verb: Hangar's code, whether it is
//! tried again, what may have happened, and that there is guidance.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::{account_with, timeouts, token, verbs::Verb};
use domain::code::{Code, Retry};
use futures::{FutureExt as _, StreamExt as _, stream};
use providers::{Effect, MemoryJournal, ProviderError, Timeouts};
use simulators::{Fault, FaultEffect, Hetzner, RequestKind};

/// Status, the vendor's code, Hangar's code, whether Hangar tries again by itself.
const TABLE: &[(u16, &str, Code, Retry)] = &[
    (400, "json_error", Code::ProviderInvalidRequest, Retry::No),
    (401, "unauthorized", Code::ProviderCredentialRejected, Retry::No),
    (401, "token_readonly", Code::ProviderTokenReadonly, Retry::No),
    (403, "forbidden", Code::ProviderCredentialRejected, Retry::No),
    (403, "maintenance", Code::ProviderApiError, Retry::Yes),
    (403, "resource_limit_exceeded", Code::ProviderQuotaExceeded, Retry::No),
    (404, "not_found", Code::ProviderResourceGone, Retry::No),
    (405, "method_not_allowed", Code::ProviderInvalidRequest, Retry::No),
    (409, "uniqueness_error", Code::ProviderNameConflict, Retry::No),
    (409, "conflict", Code::ProviderLocked, Retry::Yes),
    (410, "deprecated_api_endpoint", Code::ProviderInvalidRequest, Retry::No),
    (412, "resource_unavailable", Code::ProviderCapacity, Retry::NextFallback),
    (422, "invalid_input", Code::ProviderInvalidRequest, Retry::No),
    (422, "service_error", Code::ProviderApiError, Retry::Yes),
    (422, "unsupported_error", Code::ProviderInvalidRequest, Retry::No),
    (422, "placement_error", Code::ProviderCapacity, Retry::NextFallback),
    (422, "server_not_stopped", Code::ProviderInvalidRequest, Retry::No),
    (422, "invalid_server_type", Code::ProviderInvalidRequest, Retry::No),
    (422, "a_code_of_the_future", Code::ProviderInvalidRequest, Retry::No),
    (423, "locked", Code::ProviderLocked, Retry::Yes),
    (423, "protected", Code::ProviderInvalidRequest, Retry::No),
    (429, "rate_limit_exceeded", Code::ProviderRateLimited, Retry::Yes),
    (500, "server_error", Code::ProviderApiError, Retry::Yes),
    (502, "bad_gateway", Code::ProviderApiError, Retry::Yes),
    (503, "unavailable", Code::ProviderApiError, Retry::Yes),
    (504, "timeout", Code::ProviderApiError, Retry::Yes),
];

fn quick_timeouts() -> Timeouts {
    Timeouts { late_create: Duration::from_millis(10), ..timeouts() }
}

/// The first run of the verb with this answer at one of its calls, and whether it was met.
async fn run(verb: Verb, kind: RequestKind, nth: u32, status: u16, word: &str) -> (Result<(), ProviderError>, bool) {
    let sim = Hetzner::start(common::quick()).await.unwrap();
    let account = account_with(&sim.endpoint(), &token(), quick_timeouts());
    let stage = verb.stage(&sim, account.as_ref()).await;
    let effect = FaultEffect::Status { status, code: word.to_owned(), message: "VENDOR TEXT".to_owned(), body: None };
    let fault = sim.fault(Fault { nth, ..Fault::next(kind, effect) });
    let outcome = verb.run(account.as_ref(), &stage, &mut MemoryJournal::default()).await;
    let met = sim.fault_hit(fault).now_or_never().is_some();
    (outcome, met)
}

/// Where the verb knows better than the table what it means.
fn known_better(verb: Verb, kind: RequestKind, word: &str, code: Code) -> Option<Code> {
    match (kind, word) {
        // What is made, or listed, was never there.
        (RequestKind::ServerCreate | RequestKind::ServerList | RequestKind::SshKeyList, "not_found")
        | (RequestKind::SshKeyCreate | RequestKind::Firewall, "not_found") => Some(Code::ProviderInvalidRequest),
        // Nobody holds the name: it is still being freed.
        (RequestKind::ServerCreate, "uniqueness_error") => Some(Code::ProviderLocked),
        _ if verb == Verb::Destroy && code == Code::ProviderResourceGone => None,
        _ => Some(code),
    }
}

/// Whether the verb may end well although the call was refused for good: another way was open.
fn has_a_way_round(verb: Verb, kind: RequestKind, nth: u32, word: &str) -> bool {
    let gone = word == "not_found";
    match kind {
        // One that cannot be shut down is switched off, and so is one of which that is not known.
        RequestKind::ServerShutdown | RequestKind::ActionGet if matches!(verb, Verb::Suspend | Verb::Retype) => true,
        RequestKind::ServerGet if nth > 1 && matches!(verb, Verb::Suspend | Verb::Retype) => true,
        // An action that is not known any more: the server itself tells.
        RequestKind::ActionGet => gone,
        // A look at the server tells that it is there.
        RequestKind::ServerPoweron | RequestKind::ServerPoweroff | RequestKind::ServerChangeType => gone,
        // Another key has the name.
        RequestKind::SshKeyCreate => word == "uniqueness_error",
        _ => verb == Verb::Destroy && gone,
    }
}

async fn case(verb: Verb, kind: RequestKind, nth: u32, row: (u16, &'static str, Code, Retry)) -> bool {
    let (status, word, code, retry) = row;
    let (outcome, met) = run(verb, kind, nth, status, word).await;
    let case = format!("{verb:?}, call {nth} of {kind:?}, {status} {word}");
    if !met {
        outcome.unwrap_or_else(|error| panic!("{case}, not met: {error:?}"));
        return false;
    }
    let Err(error) = outcome else {
        assert!(retry == Retry::Yes || has_a_way_round(verb, kind, nth, word), "{case}: nothing was said");
        return true;
    };
    assert_eq!(Some(error.code), known_better(verb, kind, word, code), "{case}: {error:?}");
    if error.code == code {
        assert_eq!(error.code.retry(), retry, "{case}");
    }
    assert_eq!(error.is_transient(), error.code.retry() == Retry::Yes, "{case}");
    assert!(error.message.ends_with('.') && !format!("{error:?}").contains("VENDOR TEXT"), "{case}: {error:?}");
    let guidance = error.code.recovery();
    for text in [guidance.cause, guidance.policy_context, guidance.next_step, guidance.safe_retry] {
        assert!(!text.is_empty(), "{case}");
    }
    if error.code != Code::ProviderResourceGone || kind == RequestKind::ServerCreate {
        assert!(error.message.contains(word) || error.code != code, "{case}: {error}");
        assert!(error.correlation_id.is_some() || error.code != code, "{case}: {error:?}");
    }
    let refused = matches!(retry, Retry::No | Retry::NextFallback) && status != 409;
    if refused && error.code == code {
        assert_eq!(error.effect, Effect::None, "{case}");
    }
    true
}

async fn every_row(verb: Verb) {
    let calls = verb.calls().await;
    let cases = calls.iter().flat_map(|(kind, nth)| TABLE.iter().map(|row| (*kind, *nth, *row)));
    let met: Vec<bool> =
        stream::iter(cases).map(|(kind, nth, row)| case(verb, kind, nth, row)).buffer_unordered(8).collect().await;
    let count = met.iter().filter(|met| **met).count();
    assert!(count * 4 >= met.len() * 3, "{verb:?}: {count} of {} were met", met.len());
}

macro_rules! verbs {
    ($($name:ident $verb:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            every_row(Verb::$verb).await;
        }
    )*};
}

verbs! {
    every_row_at_every_call_of_a_provision Provision
    every_row_at_every_call_of_a_destroy Destroy
    every_row_at_every_call_of_a_suspend Suspend
    every_row_at_every_call_of_a_resume Resume
    every_row_at_every_call_of_a_change_of_type Retype
    every_row_at_every_call_of_a_rebuild Rebuild
}
