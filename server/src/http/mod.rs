//! Everything that speaks HTTP: sign-in, access, REST, pages, files. The rule: nothing here decides
//! about the business; a handler reads the request, calls one service and writes the answer.
//!
//! | module | what |
//! |---|---|
//! | `frame` | request id, log line, time limit, headers, problems for everything that goes wrong |
//! | `access` | who gets through: `domain::access::ACCESS`, default deny |
//! | `auth`, `session`, `sign_in` | the admin secret, the Forge, browser sessions |
//! | `rest` | the REST handlers, one file a noun |
//! | `idempotency` | `Idempotency-Key` |
//! | `pages` | leptos: pages and server functions |
//! | `events`, `metrics`, `meta`, `assets` | live updates, figures, health and OpenAPI, files |
//! | `problem`, `error_page`, `error_docs` | failures as problems and as pages, and what each code means |

mod access;
mod assets;
pub mod auth;
mod error_docs;
mod error_page;
mod events;
mod extract;
mod frame;
mod idempotency;
mod meta;
mod metrics;
mod pages;
mod problem;
pub mod request_id;
mod rest;
mod session;
mod sign_in;
mod state;
mod tar;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request},
    http::{StatusCode, header::CONTENT_LENGTH},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;
use tower::{Layer as _, Service as _, ServiceBuilder};
use tower_http::{compression::CompressionLayer, limit::RequestBodyLimitLayer};

pub use problem::problem_of;
pub use session::{COOKIE as SESSION_COOKIE, Sessions};
pub use state::{AppState, Shared, StateError};

/// The largest request body.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// The largest one of what makes nodes: a form sends a blueprint's file with each of its bytes as three,
/// and a value that is far too large is refused by its field's name.
pub const NODES_LIMIT: usize = 3 * 1024 * 1024;

/// The whole HTTP side. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, because
/// failed sign-ins are counted by address.
pub fn router(state: AppState) -> Router {
    let (rest, _) = rest::routes().split_for_parts();
    let sessions = session::layer(state.sessions.clone(), state.config.http.is_https());
    Router::new()
        .merge(rest)
        .merge(pages::routes())
        .fallback(assets::fallback)
        // The last layer is the outermost; within a builder the first is.
        .layer(
            ServiceBuilder::new()
                .layer(from_fn(within))
                .layer(sessions)
                .layer(from_fn_with_state(state.clone(), frame::guard_origin))
                .layer(from_fn_with_state(state.clone(), access::enforce)),
        )
        .layer(RequestBodyLimitLayer::new(NODES_LIMIT))
        .layer(from_fn_with_state(state.clone(), frame::around))
        .layer(CompressionLayer::new().quality(tower_http::CompressionLevel::Fastest))
        .with_state(state)
}

/// What makes nodes, and only administrators may ask for.
const NODES: [&str; 3] = ["blueprints", "nodes", "pools"];

fn most(path: &str) -> usize {
    let rest = path.strip_prefix("/api/v1/").or_else(|| path.strip_prefix("/rpc/")).unwrap_or_default();
    let noun = rest.split('/').next().unwrap_or_default();
    if NODES.contains(&noun) { NODES_LIMIT } else { BODY_LIMIT }
}

/// Keeps every request to the largest body of its path, whether or not it says how long it is.
async fn within(request: Request, next: Next) -> Response {
    let most = most(request.uri().path());
    let told = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|length| length > most as u64) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let request = match told.is_none() && request.uri().path().starts_with("/rpc/") {
        true => counted(request, most),
        // The extractors of the API count for themselves, and say so when it is too much.
        false => request,
    };
    let Ok(response) = DefaultBodyLimit::max(most).layer(next).call(request).await;
    response
}

fn counted(request: Request, most: usize) -> Request {
    let mut left = most;
    request.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |chunk| {
            let chunk = chunk.map_err(std::io::Error::other)?;
            left = left.checked_sub(chunk.len()).ok_or_else(|| std::io::Error::other("the body is too large"))?;
            Ok::<_, std::io::Error>(chunk)
        }))
    })
}

/// Method and path template of every route there is, for the comparison with the ACCESS table.
pub fn route_list() -> Vec<(String, String)> {
    let (_, api) = rest::routes().split_for_parts();
    let mut list = Vec::new();
    for (path, item) in &api.paths.paths {
        let methods = [
            ("GET", &item.get),
            ("POST", &item.post),
            ("PUT", &item.put),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
            ("HEAD", &item.head),
            ("OPTIONS", &item.options),
        ];
        list.extend(methods.iter().filter(|(_, op)| op.is_some()).map(|(m, _)| ((*m).to_owned(), path.clone())));
    }
    list.extend(pages::page_paths().map(|path| ("GET".to_owned(), path.to_owned())));
    list.extend(pages::function_paths());
    list
}

/// The description of the REST API, OpenAPI 3.1.
pub fn openapi_json() -> String {
    let (_, mut api) = rest::routes().split_for_parts();
    api.info.title = "Hangar".to_owned();
    api.info.contact = None;
    api.info.version = env!("CARGO_PKG_VERSION").to_owned();
    api.info.description = Some(
        "Programs sign in with `Authorization: Bearer <admin secret>` or `X-Admin-Secret`. Every failure is a \
         `application/problem+json` with a stable `code`."
            .to_owned(),
    );
    api.to_pretty_json().unwrap_or_default()
}
