//! What every page knows at once: who is signed in, what the present is, which theme is wanted. The
//! server works it out before the page is drawn and the browser takes it over as it is, so that
//! both draw the same first page.

use domain::{
    access::Role,
    time::{SECOND, Timestamp},
    user::Frame,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

/// The theme that a person chose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// As the device says.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// The cookie in which the theme is kept; it is no secret and the browser sets it itself.
pub(crate) const THEME_COOKIE: &str = "hangar_theme";

impl Theme {
    /// The word for it; also the value of `data-theme` and of the cookie.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The theme after one press of the switch.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::System => Self::Light,
            Self::Light => Self::Dark,
            Self::Dark => Self::System,
        }
    }

    /// The theme that a cookie header asks for.
    pub fn from_cookies(header: &str) -> Self {
        let value = header.split(';').find_map(|pair| pair.trim().strip_prefix(THEME_COOKIE)?.strip_prefix('='));
        match value {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::System,
        }
    }
}

/// What the server provides as context of every page.
#[cfg(feature = "ssr")]
#[derive(Debug, Clone)]
pub struct PageContext {
    /// What the frame shows.
    pub frame: Frame,
    /// The present.
    pub now: Timestamp,
}

/// What both sides begin with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Boot {
    /// What the frame shows.
    pub frame: Frame,
    /// The present, as the server knew it when it drew the page.
    pub now: Timestamp,
    /// The theme.
    pub theme: Theme,
}

impl Default for Boot {
    fn default() -> Self {
        Self {
            frame: Frame { me: None, demo: false, forge: false, secret_login: false, version: String::new() },
            now: Timestamp::from_millis(0),
            theme: Theme::System,
        }
    }
}

impl Boot {
    /// Whether an administrator is signed in.
    pub fn is_admin(&self) -> bool {
        self.frame.me.as_ref().is_some_and(|me| me.role == Role::Admin)
    }

    #[cfg(feature = "ssr")]
    fn of_request() -> Self {
        let theme = use_context::<http::request::Parts>()
            .and_then(|parts| Some(Theme::from_cookies(parts.headers.get("cookie")?.to_str().ok()?)))
            .unwrap_or_default();
        use_context::<PageContext>().map(|page| Self { frame: page.frame, now: page.now, theme }).unwrap_or_default()
    }

    #[cfg(not(feature = "ssr"))]
    fn of_request() -> Self {
        Self::default()
    }
}

/// The present of this page; moves on in the browser.
#[derive(Clone, Copy)]
struct Now(ReadSignal<Timestamp>);

/// Takes the server's facts over and provides them to every component below.
pub(crate) fn provide_boot() -> Boot {
    let boot = SharedValue::new(Boot::of_request).into_inner();
    let (now, set_now) = signal(boot.now);
    provide_context(Now(now));
    provide_context(boot.clone());
    let start = boot.now;
    // Only in the browser: effects do not run on the server. The server's clock is kept, so that a
    // wrong clock on the desk shows no wrong ages.
    Effect::new(move |_| {
        let began = web_sys::js_sys::Date::now();
        let tick = move || {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "milliseconds since the page was drawn are far below 2^53"
            )]
            let passed = (web_sys::js_sys::Date::now() - began) as i64;
            set_now.set(start.plus(passed));
        };
        if let Ok(handle) = set_interval_with_handle(tick, std::time::Duration::from_millis(5 * SECOND as u64)) {
            on_cleanup(move || handle.clear());
        }
    });
    boot
}

/// What both sides began with.
pub(crate) fn boot() -> Boot {
    use_context::<Boot>().unwrap_or_default()
}

/// The present. It is the page's own signal, not one made from it for whoever asks: that one would end
/// with the part of the page that asked, and the clock may tick right then.
pub(crate) fn now() -> ReadSignal<Timestamp> {
    match use_context::<Now>() {
        Some(now) => now.0,
        None => signal(Timestamp::from_millis(0)).0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_theme_comes_from_its_cookie_only() {
        assert_eq!(Theme::from_cookies("a=b; hangar_theme=dark; c=d"), Theme::Dark);
        assert_eq!(Theme::from_cookies("hangar_theme=light"), Theme::Light);
        assert_eq!(Theme::from_cookies("not_hangar_theme=dark"), Theme::System);
        assert_eq!(Theme::from_cookies("hangar_theme=\"><script>"), Theme::System);
    }
}
