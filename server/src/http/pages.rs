//! The pages and their server functions. The rule: everything a page may reach comes in as context
//! here, per request.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{delete, get, patch, post, put},
};
use leptos::prelude::provide_context;
use leptos_axum::{generate_route_list, handle_server_fns_with_context, render_app_async_with_context};
use tower_sessions::Session;

use crate::http::{access, extract::Who, problem::Failure, state::AppState};

/// The routes of the pages and of the server functions.
pub(crate) fn routes() -> Router<AppState> {
    let mut router = Router::new();
    for path in page_paths() {
        router = router.route(path, get(page));
    }
    for (path, method) in leptos::server_fn::axum::server_fn_paths() {
        let handler = match method.as_str() {
            "GET" => get(function),
            "PUT" => put(function),
            "PATCH" => patch(function),
            "DELETE" => delete(function),
            _ => post(function),
        };
        router = router.route(path, handler);
    }
    router
}

/// The path templates of the pages. They are found once in a process: while leptos looks for them,
/// no resource of the whole process loads, and a page that is drawn in that moment never ends. So it
/// happens before the first router, and with that the first page, exists.
pub fn page_paths() -> impl Iterator<Item = &'static str> {
    static PATHS: LazyLock<Vec<String>> =
        LazyLock::new(|| generate_route_list(app::App).iter().map(|listing| listing.path().to_owned()).collect());
    PATHS.iter().map(String::as_str)
}

/// Method and path of every server function.
pub fn function_paths() -> Vec<(String, String)> {
    leptos::server_fn::axum::server_fn_paths().map(|(path, method)| (method.to_string(), path.to_owned())).collect()
}

async fn page(State(state): State<AppState>, request: Request) -> Response {
    let caller = caller(&request);
    let frame = match state.ports.session.frame(caller.0.as_ref()).await {
        Ok(frame) => frame,
        Err(problem) => return Failure::new(problem.code, problem.detail).into_response(),
    };
    let page = app::PageContext { frame, now: state.services.clock().now() };
    let (ports, assets) = (state.ports.clone(), state.site.versions());
    let context = move || {
        provide_context(ports.clone());
        provide_context(caller.clone());
        provide_context(page.clone());
        provide_context(assets.clone());
    };
    render_app_async_with_context(context, app::shell)(request).await
}

/// The page that says that there is no such page, in the frame of whoever asks.
pub(crate) async fn not_found(state: AppState, mut request: Request) -> Response {
    if let Some(session) = request.extensions().get::<Session>().cloned() {
        match access::of_session(&state, &session).await {
            Ok(Some(who)) if access::may_enter(&who) => {
                request.extensions_mut().insert(Who(who));
            }
            Ok(_) => {}
            Err(failure) => return failure.into_response(),
        }
    }
    let mut response = page(State(state), request).await;
    if response.status().is_success() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn function(State(state): State<AppState>, request: Request) -> Response {
    let caller = caller(&request);
    let ports = state.ports.clone();
    let context = move || {
        provide_context(ports.clone());
        provide_context(caller.clone());
    };
    handle_server_fns_with_context(context, request).await.into_response()
}

fn caller(request: &Request) -> app::Caller {
    app::Caller(request.extensions().get::<Who>().map(|who| (*who.0).clone()))
}
