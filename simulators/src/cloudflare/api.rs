//! What every call passes: the log, the limit, the token, the faults, the headers. Rule: an effect
//! happens before its answer is spoiled, and a fault tells that it fired only after both.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::{
    config::{CloudflareToken, TokenStatus},
    fault::{CloudflareEffect as Effect, Firing},
    kind::CloudflareCall,
    limit::put,
    query::Query,
    reply::Reply,
    route::{self, Call},
    shared::Shared,
};
use crate::{net::Cut, random};

/// The path below which the API lies.
pub(super) const BASE: &str = "/client/v4";
/// The largest body of a call that is read.
const BODY_MAX: usize = 4 << 20;

/// Answers everything below [`BASE`].
pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().strip_prefix(BASE).unwrap_or_default();
    let path: Vec<String> = path.split('/').filter(|it| !it.is_empty()).map(str::to_owned).collect();
    let segments: Vec<&str> = path.iter().map(String::as_str).collect();
    let kind = CloudflareCall::of(&parts.method, &segments);
    let seq = shared.log_call(parts.method.as_str(), &parts.uri.to_string(), kind);

    let body = to_bytes(body, BODY_MAX).await.unwrap_or_default();
    let admitted = admit(&shared, &parts.headers, kind).map(|token| {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let call = Call { method: parts.method, path, query, body: object_of(&body), token };
        (call, shared.with(|state| state.faults.meet(kind)))
    });
    match admitted {
        Err(refusal) => shared.finish(seq, refusal),
        Ok((call, None)) => shared.finish(seq, carry_out(&shared, &call)),
        Ok((call, Some(firing))) => spoil(&shared, seq, cut, call, firing).await,
    }
}

fn object_of(body: &Bytes) -> Result<Map<String, Value>, ()> {
    if body.is_empty() { Ok(Map::new()) } else { serde_json::from_slice(body).map_err(|_| ()) }
}

/// The limit is about whoever calls, known or not.
fn admit(shared: &Shared, headers: &HeaderMap, kind: CloudflareCall) -> Result<CloudflareToken, Reply> {
    if let Err(wait) = shared.with(|state| state.calls.take(Instant::now())) {
        return Err(Reply::too_many(wait.as_secs_f64().ceil() as u64));
    }
    let told = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(told) = told else {
        return Err(Reply::errors(
            400,
            json!([
                {"code": 9106, "message": "Missing X-Auth-Key, X-Auth-Email or Authorization headers"},
            ]),
        ));
    };
    let Some(value) = told.strip_prefix("Bearer ").filter(|value| value.len() >= 20 && !value.contains(' ')) else {
        let chain = json!([{"code": 6111, "message": "Invalid format for Authorization header"}]);
        let error = json!([{"code": 6003, "message": "Invalid request headers", "error_chain": chain}]);
        return Err(Reply::errors(400, error));
    };
    let verifies = kind == CloudflareCall::TokenVerify;
    match shared.tokens.iter().find(|token| token.value == value) {
        Some(token) if verifies || token.status == TokenStatus::Active => Ok(token.clone()),
        _ if verifies => Err(Reply::error(401, 1000, "Invalid API Token")),
        _ => Err(Reply::error(403, 9109, "Invalid access token")),
    }
}

fn carry_out(shared: &Shared, call: &Call) -> Reply {
    shared.with(|state| route::dispatch(&mut state.world, call))
}

async fn spoil(shared: &Arc<Shared>, seq: u64, cut: Cut, call: Call, firing: Firing) -> Response {
    let before = matches!(
        firing.effect,
        Effect::LostAnswer
            | Effect::UnreadableBody
            | Effect::Reset { after_effect: true }
            | Effect::Hang { after_effect: true }
    );
    let done = before.then(|| carry_out(shared, &call));
    let lost = || shared.finish_raw(seq, StatusCode::GATEWAY_TIMEOUT, "", String::new(), None);
    let response = match firing.effect.clone() {
        Effect::Status { status, code, message, body } => {
            let mut reply = Reply::error(status, code, &message);
            reply.body = body.unwrap_or(reply.body);
            shared.finish(seq, reply)
        }
        Effect::HtmlBadGateway => {
            let page = "<html><head><title>502 Bad Gateway</title></head>\
                        <body><center><h1>502 Bad Gateway</h1></center><hr><center>cloudflare</center></body></html>";
            shared.finish_raw(seq, StatusCode::BAD_GATEWAY, "text/html", page.to_owned(), None)
        }
        Effect::EmptyBody { status } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            shared.finish_raw(seq, status, "", String::new(), None)
        }
        Effect::Reset { .. } => {
            cut.cut();
            // Never seen: the connection goes with its first byte.
            Response::new(Body::empty())
        }
        Effect::LostAnswer => lost(),
        Effect::UnreadableBody => {
            let reply = done.unwrap_or_else(|| Reply::ok(Value::Null));
            let text = reply.body.to_string();
            let half = text.chars().take(text.chars().count() / 2).collect();
            shared.finish_raw(seq, reply.status, "application/json", half, None)
        }
        Effect::Hang { .. } => {
            firing.fired();
            shared.ended.cancelled().await;
            cut.cut();
            return Response::new(Body::empty());
        }
        Effect::Slow { ms } => {
            firing.fired();
            // A task of its own: a client that goes away does not stop the vendor's work.
            let work = tokio::spawn(later(shared.clone(), call, ms)).await;
            return work.map_or_else(|_| lost(), |reply| shared.finish(seq, reply));
        }
        Effect::Late { ms } => {
            shared.late.send_modify(|late| *late += 1);
            let shared_too = shared.clone();
            tokio::spawn(async move {
                later(shared_too.clone(), call, ms).await;
                shared_too.late.send_modify(|late| *late -= 1);
            });
            lost()
        }
        Effect::RateLimited { retry_after } => shared.finish(seq, Reply::too_many(retry_after)),
    };
    firing.fired();
    response
}

async fn later(shared: Arc<Shared>, call: Call, ms: u64) -> Reply {
    tokio::select! {
        () = sleep(Duration::from_millis(ms)) => carry_out(&shared, &call),
        () = shared.ended.cancelled() => Reply::ok(Value::Null),
    }
}

impl Shared {
    /// Turns an answer into HTTP and notes its status in the log.
    fn finish(&self, seq: u64, reply: Reply) -> Response {
        self.finish_raw(seq, reply.status, "application/json", reply.body.to_string(), reply.retry_after)
    }

    fn finish_raw(&self, seq: u64, status: StatusCode, kind: &str, text: String, retry_after: Option<u64>) -> Response {
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if !kind.is_empty() {
            put(headers, "content-type", kind.to_owned());
        }
        if let Some(seconds) = retry_after {
            put(headers, "retry-after", seconds.to_string());
        }
        put(headers, "cf-ray", format!("{}-SIM", random::hex::<8>()));
        self.with(|state| {
            state.calls.headers(Instant::now(), headers);
            state.log_status(seq, status.as_u16());
        });
        response
    }
}
