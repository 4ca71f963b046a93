//! The html document and the application in it. The rule: no inline handler and no inline style
//! anywhere; the one inline script carries the nonce of its answer, so that the content security
//! policy can forbid every other.

use leptos::prelude::*;
use leptos_meta::{Title, provide_meta_context};
use leptos_router::{
    SsrMode,
    components::{FlatRoutes, Route, Router},
    path,
};

#[cfg(feature = "ssr")]
use crate::context::Theme;
use crate::{
    account::AccountPage,
    allocations::AllocationsPage,
    audit::AuditPage,
    backups::BackupsPage,
    blueprints::{BlueprintDetailPage, BlueprintsListPage},
    context::provide_boot,
    dashboard::DashboardPage,
    dns::{DnsDetailPage, DnsListPage},
    jobs::{JobDetailPage, JobsListPage},
    live::provide_live,
    login::LoginPage,
    nodes::{NodeDetailPage, NodesListPage},
    orphans::OrphansPage,
    overview::HomePage,
    pools::{PoolDetailPage, PoolsListPage},
    profiles::{ProfileDetailPage, ProfilesListPage},
    providers::{ProviderDetailPage, ProvidersListPage},
    services::ServicePage,
    settings::SettingsPage,
    ui::{Frame, NotFound},
    users::UsersPage,
};

/// The versions of the three files of the browser part, provided by the server as context; part
/// of their addresses, so that browsers may keep them for ever.
#[cfg(feature = "ssr")]
#[derive(Debug, Clone, Default)]
pub struct Assets {
    /// Of `/pkg/hangar.js`.
    pub js: String,
    /// Of `/pkg/hangar_bg.wasm`.
    pub wasm: String,
    /// Of `/pkg/hangar.css`.
    pub css: String,
}

/// The html document. Sets the content security policy of its answer.
#[cfg(feature = "ssr")]
pub fn shell() -> impl IntoView {
    use leptos::nonce::use_nonce;
    use leptos_meta::MetaTags;

    let Assets { js, wasm, css } = use_context::<Assets>().unwrap_or_default();
    let theme = use_context::<http::request::Parts>()
        .and_then(|parts| Some(Theme::from_cookies(parts.headers.get("cookie")?.to_str().ok()?)))
        .unwrap_or_default();
    policy();
    let js = format!("/pkg/hangar.js?v={js}");
    let wasm = format!("/pkg/hangar_bg.wasm?v={wasm}");
    let css = format!("/pkg/hangar.css?v={css}");
    // Made of the server's own constants only: nothing of a request gets in here.
    let start =
        format!("import init, {{ hydrate }} from {js:?};\nawait init({{ module_or_path: {wasm:?} }});\nhydrate();\n");
    view! {
        <!DOCTYPE html>
        <html lang="en" data-theme=theme.as_str()>
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <meta name="color-scheme" content="light dark" />
                <link rel="stylesheet" href=css />
                <link rel="icon" href="/icon.svg" type="image/svg+xml" />
                <link rel="modulepreload" href=js />
                <link rel="preload" href=wasm r#as="fetch" r#type="application/wasm" crossorigin="anonymous" />
                <MetaTags />
                <script type="module" nonce=use_nonce()>
                    {start}
                </script>
            </head>
            <body>
                <App />
            </body>
        </html>
    }
}

/// Puts the content security policy on the answer.
#[cfg(feature = "ssr")]
fn policy() {
    use http::{HeaderValue, header::CONTENT_SECURITY_POLICY};

    let (Some(nonce), Some(response)) = (leptos::nonce::use_nonce(), use_context::<leptos_axum::ResponseOptions>())
    else {
        return;
    };
    let policy = format!(
        "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; style-src 'self'; \
         img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    if let Ok(value) = HeaderValue::from_str(&policy) {
        response.insert_header(CONTENT_SECURITY_POLICY, value);
    }
}

/// The application: the frame and the page for the address.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    let boot = provide_boot();
    provide_live(boot.frame.me.is_some());
    view! {
        <Title formatter=|title: String| if title.is_empty() { "Hangar".to_owned() } else { format!("{title} · Hangar") } />
        <Router>
            <Frame>
                <FlatRoutes fallback=NotFound>
                    <Route path=path!("/") view=HomePage ssr=SsrMode::Async />
                    <Route path=path!("/login") view=LoginPage ssr=SsrMode::Async />
                    <Route path=path!("/dashboard") view=DashboardPage ssr=SsrMode::Async />
                    <Route path=path!("/services/:id") view=ServicePage ssr=SsrMode::Async />
                    <Route path=path!("/account") view=AccountPage ssr=SsrMode::Async />
                    <Route path=path!("/providers") view=ProvidersListPage ssr=SsrMode::Async />
                    <Route path=path!("/providers/:id") view=ProviderDetailPage ssr=SsrMode::Async />
                    <Route path=path!("/nodes") view=NodesListPage ssr=SsrMode::Async />
                    <Route path=path!("/nodes/:id") view=NodeDetailPage ssr=SsrMode::Async />
                    <Route path=path!("/dns") view=DnsListPage ssr=SsrMode::Async />
                    <Route path=path!("/dns/:id") view=DnsDetailPage ssr=SsrMode::Async />
                    <Route path=path!("/pools") view=PoolsListPage ssr=SsrMode::Async />
                    <Route path=path!("/pools/:name") view=PoolDetailPage ssr=SsrMode::Async />
                    <Route path=path!("/allocations") view=AllocationsPage ssr=SsrMode::Async />
                    <Route path=path!("/users") view=UsersPage ssr=SsrMode::Async />
                    <Route path=path!("/jobs") view=JobsListPage ssr=SsrMode::Async />
                    <Route path=path!("/jobs/:id") view=JobDetailPage ssr=SsrMode::Async />
                    <Route path=path!("/profiles") view=ProfilesListPage ssr=SsrMode::Async />
                    <Route path=path!("/profiles/:name") view=ProfileDetailPage ssr=SsrMode::Async />
                    <Route path=path!("/blueprints") view=BlueprintsListPage ssr=SsrMode::Async />
                    <Route path=path!("/blueprints/:name") view=BlueprintDetailPage ssr=SsrMode::Async />
                    <Route path=path!("/backups") view=BackupsPage ssr=SsrMode::Async />
                    <Route path=path!("/orphans") view=OrphansPage ssr=SsrMode::Async />
                    <Route path=path!("/settings") view=SettingsPage ssr=SsrMode::Async />
                    <Route path=path!("/audit") view=AuditPage ssr=SsrMode::Async />
                </FlatRoutes>
            </Frame>
        </Router>
    }
}
