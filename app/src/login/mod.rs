//! The sign-in page. The rule: both ways in are plain links and forms of the server; nothing that
//! is typed here passes through a server function.

use domain::code::Code;
use leptos::{either::Either, prelude::*};
use leptos_router::{components::Redirect, hooks::use_query_map};

use crate::{
    context::boot,
    routes,
    routes::testid,
    ui::{Icon, Notice, PageHead, Sign, Submit, TextField, Tone},
};

/// Where to go afterwards: a path of this installation, or nowhere.
fn local(next: Option<String>) -> Option<String> {
    next.filter(|next| {
        next.starts_with('/')
            && !next.starts_with("//")
            // The way back must not be a way out again.
            && !next.starts_with("/auth/")
            // It becomes a header, which takes nothing else.
            && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
            && next.len() <= 2_000
    })
}

/// The error of the last try, in words.
fn words(error: &str) -> (&'static str, &'static str) {
    match error {
        "forge_state" => {
            return (
                "The sign-in took too long or began elsewhere",
                "Begin it again here, and finish it in the same browser within ten minutes.",
            );
        }
        "forge_denied" => {
            return (
                "The Forge did not let you in",
                "Allow Hangar to read your account there, or sign in as somebody else.",
            );
        }
        "forge_unreachable" => {
            return ("The Forge does not answer", "Try again in a while. If it stays so, tell whoever runs Hangar.");
        }
        _ => {}
    }
    match Code::parse(error) {
        Some(Code::Unauthorized) => {
            ("That secret is not right", "Check it and try again. Failed sign-ins are limited.")
        }
        Some(Code::RateLimited) => ("Too many attempts", "Wait a little and try again."),
        Some(Code::ForgeNotConfigured) => ("Sign-in by Forge is not set up", "Ask whoever runs Hangar."),
        Some(Code::Forbidden) => ("This account is shut out", "Ask an administrator."),
        _ => ("The sign-in did not succeed", "Try again. If it stays so, ask whoever runs Hangar."),
    }
}

/// The sign-in page.
#[component]
pub fn LoginPage() -> impl IntoView {
    let frame = boot().frame;
    let query = use_query_map();
    let next = local(query.get_untracked().get("next"));
    if frame.me.is_some() {
        return Either::Left(view! { <Redirect path=next.unwrap_or_else(|| routes::HOME.to_owned()) /> });
    }
    let error = query.get_untracked().get("error").map(|error| words(&error));
    let forge = frame.forge.then(|| {
        let href = match &next {
            Some(next) => format!("{}?next={}", routes::FORGE_START, encode(next)),
            None => routes::FORGE_START.to_owned(),
        };
        view! {
            <a class="button button-primary button-wide" href=href rel="external" data-testid=testid::LOGIN_FORGE>
                "Sign in with your Forge"
            </a>
        }
    });
    let both =
        (frame.forge && frame.secret_login).then(|| view! { <p class="login-or muted">"or, as administrator"</p> });
    let forge_first = frame.forge;
    let secret = frame.secret_login.then(|| {
        view! {
            <form class="form" method="post" action=routes::SECRET_LOGIN data-testid=testid::LOGIN_SECRET>
                {next.map(|next| view! { <input type="hidden" name="next" value=next /> })}
                <TextField
                    name="secret"
                    label="Admin secret"
                    kind="password"
                    required=true
                    autocomplete="current-password"
                />
                <Submit quiet=forge_first>"Sign in"</Submit>
            </form>
        }
    });
    let none = (!frame.forge && !frame.secret_login).then(|| {
        view! {
            <Notice tone=Tone::Warn title="No way in is set up">
                <p>"Set HANGAR_ADMIN_SECRET_HASH or the three HANGAR_FORGE variables and start Hangar again."</p>
            </Notice>
        }
    });
    Either::Right(view! {
        <div class="login">
            <p class="login-brand">
                <Icon of=Sign::Hangar />
                "Hangar"
            </p>
            <PageHead title="Sign in" />
            {error
                .map(|(title, text)| {
                    view! {
                        <Notice tone=Tone::Bad title=title testid=testid::FAULT>
                            <p>{text}</p>
                        </Notice>
                    }
                })}
            {forge}
            {both}
            {secret}
            {none}
        </div>
    })
}

/// A path as a value of a query.
fn encode(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_never_leaves_this_installation() {
        assert_eq!(local(Some("/nodes?q=a".to_owned())), Some("/nodes?q=a".to_owned()));
        for bad in
            ["https://example.org", "//example.org", "/\\example.org", "nodes", "/a\r\nb: c", "/ä", "/auth/logout"]
        {
            assert_eq!(local(Some(bad.to_owned())), None, "{bad}");
        }
    }

    #[test]
    fn every_failure_of_the_forge_has_its_words() {
        for word in ["forge_state", "forge_denied", "forge_unreachable", "unauthorized", "rate_limited", "forbidden"] {
            assert_ne!(words(word), words("anything else"), "{word}");
        }
    }

    #[test]
    fn a_path_survives_the_query() {
        assert_eq!(encode("/nodes?q=a b&c"), "/nodes%3Fq%3Da%20b%26c");
    }
}
