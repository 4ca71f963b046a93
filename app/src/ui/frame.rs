//! The frame of every page: navigation, header, the line above everything, the help.

use leptos::{either::Either, prelude::*};
use leptos_router::hooks::use_location;
use wasm_bindgen::JsCast;

use super::{
    CloseDialog, Dialog, Icon, PageHead, Sign,
    behaviour::{self, HELP},
};
use crate::{
    context::{THEME_COOKIE, Theme, boot},
    live::{LiveState, live_state},
    routes,
    routes::testid,
};

struct Place {
    href: &'static str,
    word: &'static str,
    sign: Sign,
}

const fn place(href: &'static str, word: &'static str, sign: Sign) -> Place {
    Place { href, word, sign }
}

const OPERATING: [Place; 10] = [
    place(routes::HOME, "Overview", Sign::Overview),
    place(routes::NODES, "Nodes", Sign::Node),
    place(routes::POOLS, "Pools", Sign::Pool),
    place(routes::ALLOCATIONS, "Allocations", Sign::Allocation),
    place(routes::PROVIDERS, "Providers", Sign::Provider),
    place(routes::DNS, "DNS", Sign::Dns),
    place(routes::USERS, "Users", Sign::Users),
    place(routes::JOBS, "Jobs", Sign::Job),
    place(routes::AUDIT, "Audit", Sign::Audit),
    place(routes::SETTINGS, "Settings", Sign::Settings),
];

const OWN: [Place; 2] =
    [place(routes::DASHBOARD, "Dashboard", Sign::Services), place(routes::ACCOUNT, "Account", Sign::Account)];

/// The word for the place that this path is in.
fn place_word(path: &str) -> &'static str {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let of = |place: &&Place| place.href.trim_start_matches('/') == first;
    match first {
        "services" => "Dashboard",
        "profiles" | "orphans" | "blueprints" | "backups" => "Settings",
        _ => OPERATING.iter().chain(&OWN).find(of).map_or("Hangar", |place| place.word),
    }
}

/// The frame around every page.
#[component]
pub fn Frame(
    /// The page.
    children: Children,
) -> impl IntoView {
    behaviour::listen();
    behaviour::follow(use_location().pathname);
    let boot = boot();
    let admin = boot.is_admin();
    let theme = RwSignal::new(boot.theme);
    let (nav, head) = boot
        .frame
        .me
        .clone()
        .map(|me| {
            let nav = view! {
            <nav class="nav" aria-label="Main"><div class="nav-inner">
                <a class="nav-brand" href=routes::HOME aria-label="Hangar">
                    <Icon of=Sign::Hangar />
                    <span>"Hangar"</span>
                </a>
                {admin.then(|| places("Operate", &OPERATING))}
                {places("Yours", &OWN)}
                <p class="nav-version muted small">"Hangar "{boot.frame.version.clone()}</p>
            </div></nav>
            };
            (nav, header(me.display_name, me.role.as_str(), theme))
        })
        .unzip();
    let class = if nav.is_some() { "frame" } else { "frame frame-plain" };
    view! {
        <a class="skip" href="#main" rel="external">
            "Skip to content"
        </a>
        {banner(boot.frame.demo)}
        <div class=class>
            {nav}
            <div class="frame-body">
                {head}
                <main class="main" id="main" tabindex="-1">
                    {children()}
                </main>
            </div>
        </div>
        {help(admin)}
    }
}

fn places(title: &'static str, places: &'static [Place]) -> impl IntoView {
    let path = use_location().pathname;
    let entries = places
        .iter()
        .map(|place| {
            view! {
                <li>
                    <a
                        class="nav-link"
                        href=place.href
                        aria-current=move || (place_word(&path.get()) == place.word).then_some("page")
                    >
                        <Icon of=place.sign />
                        <span>{place.word}</span>
                    </a>
                </li>
            }
        })
        .collect_view();
    view! {
        <p class="nav-title" aria-hidden="true">
            {title}
        </p>
        <ul class="nav-list">{entries}</ul>
    }
}

fn header(name: String, role: &'static str, theme: RwSignal<Theme>) -> impl IntoView {
    let path = use_location().pathname;
    let label = format!("Signed in as {name}");
    view! {
        <header class="bar">
            <p class="bar-place">{move || place_word(&path.get())}</p>
            <div class="bar-end">
                {live_dot()}
                {theme_switch(theme)}
                <button class="button button-bare bar-who" r#type="button" popovertarget="who" aria-label=label data-testid=testid::WHO>
                    <Icon of=Sign::Account />
                    <span class="bar-name">{name.clone()}</span>
                    <Icon of=Sign::Down />
                </button>
                <div class="who" id="who" popover="auto">
                    <p class="who-name">{name}</p>
                    <p class="muted small">{role}</p>
                    <a class="link" href=routes::ACCOUNT>
                        "Account"
                    </a>
                    <form method="post" action=routes::LOGOUT>
                        <button class="button button-small" r#type="submit" data-testid=testid::LOGOUT>
                            "Sign out"
                        </button>
                    </form>
                </div>
            </div>
        </header>
    }
}

fn live_dot() -> impl IntoView {
    let state = live_state();
    let word = move || match state.get() {
        LiveState::Idle => "idle",
        LiveState::Connected => "connected",
        LiveState::Reconnecting => "reconnecting",
    };
    let text = move || match state.get() {
        LiveState::Idle => "Not live",
        LiveState::Connected => "Live",
        LiveState::Reconnecting => "Reconnecting",
    };
    view! {
        <span class="live" data-testid=testid::LIVE data-state=word role="status">
            <span class="status-dot" aria-hidden="true"></span>
            {text}
        </span>
    }
}

fn theme_switch(theme: RwSignal<Theme>) -> impl IntoView {
    let label = move || format!("Theme: {}", theme.get().as_str());
    let press = move |_| {
        let next = theme.get_untracked().next();
        theme.set(next);
        if let Some(root) = document().document_element() {
            // The root takes any attribute.
            let _ = root.set_attribute("data-theme", next.as_str());
        }
        if let Ok(document) = document().dyn_into::<web_sys::HtmlDocument>() {
            let _ = document
                .set_cookie(&format!("{THEME_COOKIE}={}; path=/; max-age=31536000; samesite=lax", next.as_str()));
        }
    };
    view! {
        <button class="button button-bare" r#type="button" title=label aria-label=label data-testid=testid::THEME on:click=press>
            {move || {
                let sign = match theme.get() {
                    Theme::System => Sign::System,
                    Theme::Light => Sign::Light,
                    Theme::Dark => Sign::Dark,
                };
                view! { <Icon of=sign /> }
            }}
        </button>
    }
}

/// One line above everything: a lost connection, or the demo.
fn banner(demo: bool) -> impl IntoView {
    let state = live_state();
    move || {
        if state.get() == LiveState::Reconnecting {
            Some(Either::Left(view! {
                <aside class="banner banner-warn" aria-label="Connection" data-testid=testid::BANNER>
                    <p role="status">
                        "The connection to Hangar is lost. What you see may be old; it is being restored."
                    </p>
                </aside>
            }))
        } else if demo {
            Some(Either::Right(view! {
                <aside class="banner" aria-label="Demo" data-testid=testid::BANNER>
                    <p>"Demo: the vendors and the Forge are simulated on this machine. Nothing here costs money."</p>
                </aside>
            }))
        } else {
            None
        }
    }
}

fn help(admin: bool) -> impl IntoView {
    view! {
        <Dialog id=HELP title="Keyboard">
            <dl class="keys">
                <dt>
                    <kbd>"/"</kbd>
                </dt>
                <dd>"Go to the filter of a list"</dd>
                <dt>
                    <kbd>"?"</kbd>
                </dt>
                <dd>"Show this help"</dd>
                <dt>
                    <kbd>"Esc"</kbd>
                </dt>
                <dd>"Close what is on top, leave the filter"</dd>
            </dl>
            {admin.then(|| view! { <p><a class="link" href="/docs/api" rel="external">"The API, to try out"</a></p> })}
            <div class="dialog-buttons">
                <CloseDialog dialog=HELP>"Close"</CloseDialog>
            </div>
        </Dialog>
    }
}

/// The page for an address that is none.
#[component]
pub fn NotFound() -> impl IntoView {
    #[cfg(feature = "ssr")]
    if let Some(response) = use_context::<leptos_axum::ResponseOptions>() {
        response.set_status(http::StatusCode::NOT_FOUND);
    }
    view! {
        <PageHead title="Not found" />
        <div class="empty">
            <p class="empty-title">"There is nothing at this address"</p>
            <p class="muted">"It may have been removed, or it is not yours to see."</p>
            <p class="empty-next">
                <a class="button button-primary" href=routes::HOME>
                    "To the start"
                </a>
            </p>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::place_word;

    #[test]
    fn every_path_has_its_place() {
        assert_eq!(place_word("/"), "Overview");
        assert_eq!(place_word("/nodes/nod_1"), "Nodes");
        assert_eq!(place_word("/services/alc_1"), "Dashboard");
        assert_eq!(place_word("/login"), "Hangar");
        assert_eq!(place_word("/profiles/base"), "Settings");
    }
}
