//! The error table: every row, as it is met by a read and by a create.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::{Double, Told, account, account_with, raw, refusal, target, timeouts, token, told, wish};
use domain::code::{Code, Retry};
use providers::{Effect, MemoryJournal, ProviderError};
use serde_json::json;

/// A read of one server that is answered like this.
async fn read(status: u16, code: &'static str) -> Result<bool, ProviderError> {
    let double = Double::start(move |_| refusal(status, code)).await;
    account(&double.endpoint()).infra().unwrap().status("7").await.map(|status| status.is_some())
}

/// A create whose POST is answered like this; nothing of the name is found afterwards.
async fn create(post: impl Fn() -> Told + Send + Sync + 'static) -> (ProviderError, Vec<String>) {
    let double = Double::start(move |asked| match asked.line().as_str() {
        "POST /v1/servers" => post(),
        "GET /v1/servers" => told(200, json!({"servers": []})),
        "GET /v1/ssh_keys" => told(200, json!({"ssh_keys": []})),
        "POST /v1/ssh_keys" => told(201, json!({"ssh_key": {"id": 1}})),
        _ => refusal(404, "not_found"),
    })
    .await;
    let account = account(&double.endpoint());
    let outcome = account.infra().unwrap().provision(&wish(), &mut MemoryJournal::default()).await;
    (outcome.unwrap_err(), double.lines())
}

const TABLE: &[(u16, &str, Code, Effect)] = &[
    (400, "json_error", Code::ProviderInvalidRequest, Effect::None),
    (401, "unauthorized", Code::ProviderCredentialRejected, Effect::None),
    (401, "token_readonly", Code::ProviderTokenReadonly, Effect::None),
    (403, "token_readonly", Code::ProviderTokenReadonly, Effect::None),
    (403, "forbidden", Code::ProviderCredentialRejected, Effect::None),
    (403, "maintenance", Code::ProviderApiError, Effect::None),
    (403, "resource_limit_exceeded", Code::ProviderQuotaExceeded, Effect::None),
    (405, "method_not_allowed", Code::ProviderInvalidRequest, Effect::None),
    (410, "deprecated_api_endpoint", Code::ProviderInvalidRequest, Effect::None),
    (412, "resource_unavailable", Code::ProviderCapacity, Effect::None),
    (422, "invalid_input", Code::ProviderInvalidRequest, Effect::None),
    (422, "service_error", Code::ProviderApiError, Effect::None),
    (422, "unsupported_error", Code::ProviderInvalidRequest, Effect::None),
    (422, "placement_error", Code::ProviderCapacity, Effect::None),
    (422, "server_not_stopped", Code::ProviderInvalidRequest, Effect::None),
    (422, "invalid_server_type", Code::ProviderInvalidRequest, Effect::None),
    (422, "a_code_of_the_future", Code::ProviderInvalidRequest, Effect::None),
    (423, "locked", Code::ProviderLocked, Effect::None),
    (423, "protected", Code::ProviderInvalidRequest, Effect::None),
    (403, "protected", Code::ProviderInvalidRequest, Effect::None),
    (429, "rate_limit_exceeded", Code::ProviderRateLimited, Effect::None),
    (409, "conflict", Code::ProviderLocked, Effect::Unknown),
    (500, "server_error", Code::ProviderApiError, Effect::Unknown),
    (502, "bad_gateway", Code::ProviderApiError, Effect::Unknown),
    (503, "unavailable", Code::ProviderApiError, Effect::Unknown),
    (504, "timeout", Code::ProviderApiError, Effect::Unknown),
];

#[tokio::test]
async fn every_row_is_met_by_reads_and_creates() {
    for &(status, vendor_code, code, effect) in TABLE {
        let error = read(status, vendor_code).await.unwrap_err();
        assert_eq!((error.code, error.effect), (code, Effect::None), "read: {status} {vendor_code}");
        let (error, lines) = create(move || {
            let mut told = refusal(status, vendor_code);
            // What is refused for want of calls is tried again, here without much of a wait.
            told.headers.push(("RateLimit-Limit", "36000000".to_owned()));
            told.headers.push(("RateLimit-Remaining", "0".to_owned()));
            told
        })
        .await;
        assert_eq!((error.code, error.effect), (code, effect), "create: {status} {vendor_code}");
        assert!(error.message.contains(vendor_code), "{error}");
        assert!(!format!("{error} {error:?}").contains("VENDOR TEXT"), "{error:?}");
        let looked_up = lines.contains(&"GET /v1/servers".to_owned());
        assert_eq!(looked_up, effect == Effect::Unknown, "{status} {vendor_code}: looked up exactly when not known");
        let creates = lines.iter().filter(|line| *line == "POST /v1/servers").count();
        assert_eq!(creates, if status == 429 { 6 } else { 1 }, "{status} {vendor_code}");
    }
}

#[tokio::test]
async fn not_found_is_gone_for_a_thing_and_a_wrong_request_for_a_list() {
    assert!(!read(404, "not_found").await.unwrap(), "a server that is gone is no error");
    let (error, _) = create(|| refusal(404, "not_found")).await;
    assert_eq!(error.code, Code::ProviderInvalidRequest);
}

#[tokio::test]
async fn a_taken_name_that_nobody_holds_is_tried_again_later() {
    let (error, _) = create(|| refusal(409, "uniqueness_error")).await;
    assert_eq!((error.code, error.effect), (Code::ProviderLocked, Effect::Unknown));
    assert_eq!(error.code.retry(), Retry::Yes);
}

#[tokio::test]
async fn pages_of_proxies_and_empty_bodies_are_api_errors() {
    for (status, kind, body) in [
        (502, "text/html", "<html>Bad Gateway</html>"),
        (504, "text/plain", ""),
        (404, "text/html", "<html>not here</html>"),
        (403, "text/html", "<html>blocked</html>"),
        (302, "text/html", ""),
        (200, "text/html", "<html>a login page</html>"),
        (200, "application/json", "{\"server\": {\"id\": 1, \"na"),
        (200, "application/json", "{}"),
    ] {
        let double = Double::start(move |_| raw(status, kind, body)).await;
        let error = account(&double.endpoint()).infra().unwrap().status("7").await.unwrap_err();
        assert_eq!(error.code, Code::ProviderApiError, "{status} {body}");
        assert!(!error.to_string().contains('<'), "{error}");
    }
    for status in [401, 429] {
        // These two say it by their number alone.
        let double = Double::start(move |_| raw(status, "text/plain", "")).await;
        let error = account(&double.endpoint()).infra().unwrap().status("7").await.unwrap_err();
        let expected = if status == 401 { Code::ProviderCredentialRejected } else { Code::ProviderRateLimited };
        assert_eq!(error.code, expected);
    }
}

#[tokio::test]
async fn without_an_answer_the_vendor_is_unreachable() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let account_closed = account(&format!("http://{closed}"));
    let error = account_closed.check(None).await.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderUnreachable, Effect::None));

    // Accepts and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let mut short = timeouts();
    short.read = Duration::from_millis(100);
    let account = account_with(&endpoint, &token(), short);
    assert_eq!(account.check(None).await.unwrap_err().code, Code::ProviderUnreachable);
    assert_eq!(account.catalog().await.unwrap_err().code, Code::ProviderUnreachable);
    assert_eq!(account.infra().unwrap().status("7").await.unwrap_err().code, Code::ProviderUnreachable);

    // TLS that is none.
    let double = Double::start(|_| told(200, json!({"servers": []}))).await;
    let account = common::account(&format!("https://{}", double.address));
    assert_eq!(account.check(None).await.unwrap_err().code, Code::ProviderUnreachable);
}

#[tokio::test]
async fn a_limit_says_when_the_next_call_works_and_not_when_the_bucket_is_full() {
    for (limit, expected) in
        [(Some("3600"), 1000), (Some("360"), 10_000), (Some("36000"), 100), (Some("nonsense"), 1000), (None, 1000)]
    {
        let double = Double::start(move |_| {
            let mut told = refusal(429, "rate_limit_exceeded");
            told.headers.extend(limit.map(|limit| ("RateLimit-Limit", limit.to_owned())));
            told.headers.push(("RateLimit-Remaining", "0".to_owned()));
            told.headers.push(("RateLimit-Reset", "99999999999".to_owned()));
            told
        })
        .await;
        let error = account(&double.endpoint()).infra().unwrap().status("7").await.unwrap_err();
        assert_eq!(error.retry_after, Some(Duration::from_millis(expected)), "{limit:?}");
    }
}

#[tokio::test]
async fn the_correlation_id_is_kept_and_the_names_of_fields_are_told() {
    let double = Double::start(|_| {
        let details = json!({"fields": [{"name": "server_type", "messages": ["VENDOR TEXT"]}, {"name": "<b>"}]});
        let error = json!({"error": {"code": "invalid_input", "message": "VENDOR TEXT", "details": details}});
        let mut told = told(422, error);
        told.headers.push(("X-Correlation-Id", "abc-123".to_owned()));
        told
    })
    .await;
    let error = account(&double.endpoint()).infra().unwrap().status("7").await.unwrap_err();
    assert_eq!(error.correlation_id.as_deref(), Some("abc-123"));
    assert_eq!(error.message, "The vendor refuses the request as such (invalid_input: server_type).");
}

#[tokio::test]
async fn reads_of_an_undo_wait_out_what_passes() {
    for (status, code) in [(423, "locked"), (503, "unavailable"), (502, "bad_gateway")] {
        let count = std::sync::atomic::AtomicUsize::new(0);
        let double = Double::start(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0..3 => refusal(status, code),
            _ => told(200, json!({"servers": []})),
        })
        .await;
        let account = account(&double.endpoint());
        let gone = account.infra().unwrap().destroy(&target(None), &mut MemoryJournal::default()).await.unwrap();
        assert!(!gone.found);
        assert_eq!(double.lines().len(), 4, "{code}");
    }
}
