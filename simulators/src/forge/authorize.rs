//! The page where a person says who they are, and the way back to the client. Rule: nobody is sent
//! to an address that is not the client's; such a request ends here, with an error page.

use axum::{
    Form,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use serde::Deserialize;
use tokio::time::Instant;
use url::{Host, Url};

use super::{
    config::{ForgeFault, Person},
    runtime::{CODE_LIFE, Grant, Shared, Sim},
};
use crate::{hosts::escaped, random};

const PAGE: &str = include_str!("authorize.html");

/// The parameters of an authorization request; `login` answers for the person.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ask {
    client_id: String,
    redirect_uri: String,
    response_type: String,
    scope: String,
    state: String,
    code_challenge: String,
    code_challenge_method: String,
    login: String,
}

/// `GET /login/oauth/authorize`.
pub(super) async fn page(State(shared): Sim, Query(ask): Query<Ask>) -> Response {
    let back = match back_of(&shared, &ask) {
        Ok(back) => back,
        Err(message) => return refusal(message),
    };
    if !ask.login.is_empty() {
        return answer(&shared, &ask, back);
    }
    let hidden = [
        ("client_id", &ask.client_id),
        ("redirect_uri", &ask.redirect_uri),
        ("response_type", &ask.response_type),
        ("scope", &ask.scope),
        ("state", &ask.state),
        ("code_challenge", &ask.code_challenge),
        ("code_challenge_method", &ask.code_challenge_method),
    ];
    let hidden: String = hidden
        .iter()
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">\n", escaped(value)))
        .collect();
    let people: String = shared.lock().people.iter().map(button).collect();
    let client = back.host_str().unwrap_or_default().to_owned()
        + &back.port().map(|port| format!(":{port}")).unwrap_or_default();
    let page = PAGE.replace("{client}", &escaped(&client)).replace("{hidden}", &hidden).replace("{people}", &people);
    ([(header::CACHE_CONTROL, "no-store")], Html(page)).into_response()
}

fn button(person: &Person) -> String {
    let (login, name, email) = (escaped(&person.login), escaped(&person.full_name), escaped(&person.email));
    let initial = escaped(&person.full_name.chars().take(1).collect::<String>());
    format!(
        "<button name=\"login\" value=\"{login}\"><span class=\"face\" aria-hidden=\"true\">\
         {initial}</span><span class=\"who\"><b>{name}</b><small>{login} · {email}</small></span>\
         </button>\n"
    )
}

/// `POST /login/oauth/authorize`, the form of the page.
pub(super) async fn pick(State(shared): Sim, Form(ask): Form<Ask>) -> Response {
    match back_of(&shared, &ask) {
        Ok(back) => answer(&shared, &ask, back),
        Err(message) => refusal(message),
    }
}

/// The client's address to go back to, if the request is one of the client's.
fn back_of(shared: &Shared, ask: &Ask) -> Result<Url, &'static str> {
    if ask.client_id != shared.client_id {
        return Err("The client is not registered here.");
    }
    let back = Url::parse(&ask.redirect_uri)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .filter(|url| shared.redirect_uris.contains(&ask.redirect_uri) || is_loopback(url));
    back.ok_or("The redirect address is not one of the client's.")
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn refusal(message: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Not possible</title>\
         <h1>Not possible</h1><p>{}</p></html>",
        escaped(message)
    );
    (StatusCode::BAD_REQUEST, Html(page)).into_response()
}

fn answer(shared: &Shared, ask: &Ask, mut back: Url) -> Response {
    let mut inner = shared.lock();
    let denied = inner.fault_take(|it| *it == ForgeFault::Denied).is_some();
    let wrong_state = inner.fault_take(|it| *it == ForgeFault::WrongState).is_some();
    let person = inner.people.iter().find(|it| it.login == ask.login).map(|it| it.id);
    let s256 = ask.code_challenge_method == "S256";
    let outcome = if ask.response_type != "code" {
        Err("unsupported_response_type")
    } else if !ask.code_challenge.is_empty() && !s256 {
        // The plain method proves nothing; leaving the method out means plain.
        Err("invalid_request")
    } else if denied {
        Err("access_denied")
    } else {
        person.ok_or("access_denied")
    };
    let state = if wrong_state { random::hex::<16>() } else { ask.state.clone() };
    match outcome {
        Ok(person) => {
            let code = random::hex::<32>();
            let grant = Grant {
                person,
                redirect_uri: ask.redirect_uri.clone(),
                scope: ask.scope.clone(),
                challenge: Some(ask.code_challenge.clone()).filter(|it| !it.is_empty()),
                until: Instant::now() + CODE_LIFE,
            };
            inner.grants.insert(code.clone(), grant);
            back.query_pairs_mut().append_pair("code", &code);
        }
        Err(error) => {
            back.query_pairs_mut().append_pair("error", error);
        }
    }
    if !state.is_empty() {
        back.query_pairs_mut().append_pair("state", &state);
    }
    let headers = [(header::LOCATION, back.to_string()), (header::CACHE_CONTROL, "no-store".to_owned())];
    (StatusCode::FOUND, headers).into_response()
}
