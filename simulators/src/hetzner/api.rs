//! What every call passes: the log, the token, the bucket, the faults, the headers. Rule: an
//! effect happens before its answer is spoiled, and a fault tells that it fired only after both.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use super::{
    clock::{ActionError, Course},
    config::TokenAccess,
    fault::{FaultEffect, Firing},
    limit::put,
    query::Query,
    reply::Reply,
    route::{self, Call},
    shared::Shared,
};
use crate::{net::Cut, random};

/// The largest request body that is read: user data and its JSON escapes fit well.
const BODY_MAX: usize = 1 << 20;

/// Answers everything below `/v1`.
pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().strip_prefix("/v1").unwrap_or_default();
    let path: Vec<String> = path.split('/').filter(|it| !it.is_empty()).map(decoded).collect();
    let kind = route::kind(&parts.method, &path);
    let seq = shared.log_request(parts.method.as_str(), &parts.uri.to_string(), kind);

    let body = to_bytes(body, BODY_MAX).await.unwrap_or_default();
    let call = Call {
        method: parts.method,
        path,
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        body: object_of(&body),
        now: Instant::now(),
        course: Course::default(),
    };
    let admitted = admit(&shared, &parts.headers, &call).map(|()| shared.with(|state| state.faults.meet(kind)));
    match admitted {
        Err(refusal) => shared.finish(seq, refusal),
        Ok(None) => shared.finish(seq, carry_out(&shared, call)),
        Ok(Some(firing)) => spoil(&shared, seq, cut, call, firing).await,
    }
}

/// A segment of a path without its percent escapes.
fn decoded(segment: &str) -> String {
    // What means something in a form and nothing in a path is escaped first.
    let form = segment.replace('+', "%2B").replace('=', "%3D").replace('&', "%26");
    url::form_urlencoded::parse(form.as_bytes()).next().map(|(text, _)| text.into_owned()).unwrap_or_default()
}

fn object_of(body: &Bytes) -> Result<serde_json::Map<String, serde_json::Value>, ()> {
    if body.is_empty() {
        return Ok(serde_json::Map::new());
    }
    serde_json::from_slice(body).map_err(|_| ())
}

/// Token first, then the bucket: whoever is not known takes nothing from the project's bucket.
fn admit(shared: &Shared, headers: &HeaderMap, call: &Call) -> Result<(), Reply> {
    let access = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .and_then(|token| shared.token_access(token));
    let Some(access) = access else {
        return Err(Reply::error(StatusCode::UNAUTHORIZED, "unauthorized", "unable to authenticate"));
    };
    if !shared.with(|state| state.bucket.take(Instant::now())) {
        return Err(rate_limited());
    }
    if access == TokenAccess::ReadOnly && call.method != axum::http::Method::GET {
        return Err(Reply::error(
            StatusCode::UNAUTHORIZED,
            "token_readonly",
            "the token is only allowed to perform GET requests",
        ));
    }
    Ok(())
}

fn rate_limited() -> Reply {
    Reply::error(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "limit of requests per hour reached")
}

fn carry_out(shared: &Shared, mut call: Call) -> Reply {
    call.now = Instant::now();
    shared.with(|state| route::dispatch(&mut state.world, &call))
}

async fn spoil(shared: &Arc<Shared>, seq: u64, cut: Cut, mut call: Call, firing: Firing) -> Response {
    let after = |firing: &Firing| {
        matches!(
            firing.effect,
            FaultEffect::LostAnswer
                | FaultEffect::UnreadableBody
                | FaultEffect::Reset { after_effect: true }
                | FaultEffect::Hang { after_effect: true }
        )
    };
    let done = after(&firing).then(|| carry_out(shared, call.clone()));
    let gateway_timeout = StatusCode::GATEWAY_TIMEOUT;
    let response = match firing.effect.clone() {
        FaultEffect::Status { status, code, message, body } => {
            let mut reply = Reply::error(status_of(status), &code, &message);
            reply.body = body.or(reply.body);
            shared.finish(seq, reply)
        }
        FaultEffect::HtmlBadGateway => {
            let page = "<html><head><title>502 Bad Gateway</title></head>\
                        <body><h1>502 Bad Gateway</h1></body></html>";
            shared.finish_raw(seq, StatusCode::BAD_GATEWAY, "text/html", page.to_owned())
        }
        FaultEffect::EmptyBody { status } => shared.finish_raw(seq, status_of(status), "", String::new()),
        FaultEffect::Reset { .. } => {
            cut.cut();
            // Never seen: the connection goes with its first byte.
            Response::new(Body::empty())
        }
        FaultEffect::LostAnswer => shared.finish_raw(seq, gateway_timeout, "", String::new()),
        FaultEffect::UnreadableBody => {
            let reply = done.unwrap_or_else(Reply::no_content);
            let text = reply.body.map(|body| body.to_string()).unwrap_or_default();
            let half = text.chars().take(text.chars().count() / 2).collect();
            shared.finish_raw(seq, reply.status, "application/json", half)
        }
        FaultEffect::Hang { .. } => {
            firing.fired();
            shared.ended.cancelled().await;
            cut.cut();
            return Response::new(Body::empty());
        }
        FaultEffect::Slow { ms } => {
            firing.fired();
            // A task of its own: a client that goes away does not stop the vendor's work.
            let work = tokio::spawn(later(shared.clone(), call, ms)).await;
            return shared.finish(seq, work.unwrap_or_else(|_| Reply::no_content()));
        }
        FaultEffect::NoCapacity => shared.finish(seq, Reply::no_capacity()),
        FaultEffect::Locked => shared.finish(seq, Reply::locked("resource is locked")),
        FaultEffect::ActionError { code, message } => {
            call.course.error = Some(ActionError { code, message });
            shared.finish(seq, carry_out(shared, call))
        }
        FaultEffect::Ignored => {
            call.course.ignored = true;
            shared.finish(seq, carry_out(shared, call))
        }
        FaultEffect::SlowAction { ms } => {
            call.course.time = Some(Duration::from_millis(ms));
            shared.finish(seq, carry_out(shared, call))
        }
        FaultEffect::RateLimited => {
            let mut response = shared.finish(seq, rate_limited());
            put(response.headers_mut(), "ratelimit-remaining", "0".to_owned());
            response
        }
        FaultEffect::Late { ms } => {
            shared.late.send_modify(|late| *late += 1);
            let shared_late = shared.clone();
            tokio::spawn(async move {
                later(shared_late.clone(), call, ms).await;
                shared_late.late.send_modify(|late| *late -= 1);
            });
            shared.finish_raw(seq, gateway_timeout, "", String::new())
        }
    };
    firing.fired();
    response
}

async fn later(shared: Arc<Shared>, call: Call, ms: u64) -> Reply {
    tokio::select! {
        () = sleep(Duration::from_millis(ms)) => carry_out(&shared, call),
        () = shared.ended.cancelled() => Reply::no_content(),
    }
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl Shared {
    /// Turns an answer into HTTP and notes its status in the log.
    pub(super) fn finish(&self, seq: u64, reply: Reply) -> Response {
        let (kind, text) = match reply.body {
            Some(body) => ("application/json", body.to_string()),
            None => ("", String::new()),
        };
        self.finish_raw(seq, reply.status, kind, text)
    }

    fn finish_raw(&self, seq: u64, status: StatusCode, kind: &str, text: String) -> Response {
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if !kind.is_empty() {
            put(headers, "content-type", kind.to_owned());
        }
        put(headers, "x-correlation-id", random::hex::<8>());
        self.with(|state| {
            state.bucket.headers(OffsetDateTime::now_utc(), headers);
            state.log_status(seq, status.as_u16());
        });
        response
    }
}
