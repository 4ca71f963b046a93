//! What handlers take: the caller, ids from the path, filters from the query, JSON from the body.
//! The rule: what cannot be read is answered as a problem that names the field, never with a value
//! that was sent.

use std::{
    net::IpAddr,
    sync::{Arc, Once},
};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, request::Parts},
};
use domain::{
    access::Principal,
    code::Code,
    list::{FieldError, Filter},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    fault::Fault,
    http::{problem::Failure, state::AppState},
};

/// Who makes the request; the access layer has let them through.
#[derive(Debug, Clone)]
pub struct Who(pub Arc<Principal>);

impl std::ops::Deref for Who {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Who>().cloned().ok_or_else(|| Failure::new(Code::Unauthorized, "Sign in first."))
    }
}

/// The caller's address: the peer, or what a trusted proxy says.
#[derive(Debug, Clone, Copy)]
pub struct Client(pub IpAddr);

impl FromRequestParts<AppState> for Client {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Self::Rejection> {
        Ok(Self(client_address(parts, &state.config.http.trusted_proxies)))
    }
}

fn client_address(parts: &Parts, trusted: &[IpAddr]) -> IpAddr {
    let peer = parts
        .extensions
        .get::<axum::extract::ConnectInfo<std::net::SocketAddr>>()
        .map_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), |info| info.0.ip().to_canonical());
    if !trusted.contains(&peer) {
        static TOLD: Once = Once::new();
        if parts.headers.contains_key("x-forwarded-for") {
            // Through a proxy that is not believed, everybody shares its address and its limits.
            TOLD.call_once(|| {
                tracing::warn!(
                    %peer,
                    "X-Forwarded-For comes from an address that is not in HANGAR_TRUSTED_PROXIES and is not believed; \
                     if this is your proxy, name it there, or failed sign-ins are counted for all people together"
                );
            });
        }
        return peer;
    }
    // The last address that is not one of ours: what stands before it, anybody can write.
    let forwarded = parts.headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
    let hops: Vec<IpAddr> = forwarded.flat_map(|v| v.split(',')).filter_map(|v| v.trim().parse().ok()).collect();
    hops.into_iter().rev().find(|hop| !trusted.contains(hop)).unwrap_or(peer)
}

/// An id or name of the path. What is no id of this kind does not exist.
#[derive(Debug)]
pub struct Id<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(_) => Err(Fault::not_found("thing").into()),
        }
    }
}

/// What a list may be narrowed by.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many items; 50 when absent, at most 200.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only this status or state.
    pub status: Option<String>,
    /// Only what begins with this name or id.
    pub q: Option<String>,
    /// Only of this pool.
    pub pool: Option<String>,
    /// Only of this account.
    pub provider: Option<String>,
    /// Only of this person.
    pub user: Option<String>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only of this node.
    pub node: Option<String>,
    /// Only about this subject id.
    pub subject: Option<String>,
}

impl From<ListQuery> for Filter {
    fn from(q: ListQuery) -> Self {
        let given = |text: Option<String>| text.filter(|t| !t.is_empty());
        Self {
            status: given(q.status),
            q: given(q.q),
            pool: given(q.pool),
            provider: given(q.provider),
            user: given(q.user),
            kind: given(q.kind),
            node: given(q.node),
            subject: given(q.subject),
            cursor: given(q.cursor),
            limit: q.limit,
        }
    }
}

/// The filter of a list, from the query.
#[derive(Debug)]
pub struct Narrow(pub Filter);

impl<S: Send + Sync> FromRequestParts<S> for Narrow {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        Ok(Self(Ask::<ListQuery>::from_request_parts(parts, state).await?.0.into()))
    }
}

/// Any other query.
#[derive(Debug)]
pub struct Ask<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Ask<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                // `Failed to deserialize query string: limit: invalid digit found in string`
                let field = text.split(": ").nth(1).filter(|f| f.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
                Err(unreadable(field.map(|f| format!("/{f}")).unwrap_or_default(), "is not of the documented form"))
            }
        }
    }
}

/// The body as it came, at most as large as the limit.
#[derive(Debug)]
pub struct Raw(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Failure::new(Code::PayloadTooLarge, "The request is larger than this address takes."))
            }
            Err(_) => Err(Failure::new(Code::BadRequest, "The request ended before it was complete.")),
        }
    }
}

/// The body, read as JSON; nothing at all counts as `{}`.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        json(&Raw::from_request(request, state).await?.0).map(Self)
    }
}

/// Reads `bytes` as JSON.
///
/// # Errors
/// `bad_request` that names the field.
pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let bytes = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}".as_slice() } else { bytes };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let mut pointer = String::new();
        for segment in error.path().iter() {
            use serde_path_to_error::Segment as S;
            match segment {
                S::Seq { index } => pointer.push_str(&format!("/{index}")),
                S::Map { key } => pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
                S::Enum { .. } | S::Unknown => {}
            }
        }
        let inner = error.into_inner();
        if inner.is_syntax() || inner.is_eof() {
            return unreadable(
                String::new(),
                &format!("is not JSON at line {}, column {}", inner.line(), inner.column()),
            );
        }
        let text = without_values(&inner.to_string());
        if let Some(name) = text.strip_prefix("missing field `").and_then(|t| t.split('`').next()) {
            pointer.push_str(&format!("/{name}"));
        }
        unreadable(pointer, &text)
    })?;
    match reader.end() {
        Ok(()) => Ok(value),
        Err(_) => Err(unreadable(String::new(), "holds more than one JSON value")),
    }
}

fn unreadable(pointer: String, message: &str) -> Failure {
    let place = if pointer.is_empty() { "The request" } else { pointer.as_str() };
    let detail = format!("{place}: {message}");
    Fault { errors: vec![FieldError { pointer, message: message.to_owned() }], ..Fault::new(Code::BadRequest, detail) }
        .into()
}

/// serde's message without the values it quotes and without the place in the text.
fn without_values(message: &str) -> String {
    let mut text = String::new();
    for (index, part) in message.split('"').enumerate() {
        text.push_str(if index % 2 == 0 { part } else { "…" });
    }
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {

    use domain::{allocation::AllocationCreate, node::NodeCreate};

    use super::*;

    fn refused<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> (String, String) {
        let failure = json::<T>(text.as_bytes()).unwrap_err();
        assert_eq!(failure.status(), StatusCode::BAD_REQUEST);
        let error = failure.fault().errors[0].clone();
        (error.pointer, error.message)
    }

    #[test]
    fn the_field_is_named() {
        assert_eq!(refused::<AllocationCreate>("{}"), ("/pool".into(), "missing field `pool`".into()));
        assert_eq!(refused::<AllocationCreate>("").0, "/pool");
        let (pointer, message) = refused::<AllocationCreate>(r#"{"pool":"default","colour":1}"#);
        assert_eq!(pointer, "/colour");
        assert!(message.starts_with("unknown field `colour`"), "{message}");
        let (pointer, _) =
            refused::<NodeCreate>(r#"{"provider_id":"prv_1","name":"a","fallbacks":[{"server_type":1}]}"#);
        assert_eq!(pointer, "/fallbacks/0/server_type");
        assert_eq!(refused::<AllocationCreate>("{"), (String::new(), "is not JSON at line 1, column 1".into()));
        assert_eq!(refused::<AllocationCreate>(r#"{"pool":"default"} x"#).1, "holds more than one JSON value");
    }

    #[test]
    fn what_was_sent_is_not_repeated() {
        let (pointer, message) = refused::<AllocationCreate>(r#"{"pool":"default","duration_hours":"pl4nted"}"#);
        assert_eq!(pointer, "/duration_hours");
        assert!(!message.contains("pl4nted"), "{message}");
    }

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        let parts = |peer: &str, forwarded: &str| {
            let peer: std::net::SocketAddr = format!("{peer}:1").parse().unwrap();
            let mut request = Request::new(());
            request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
            request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
            request.into_parts().0
        };
        let trusted: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap()];
        assert_eq!(client_address(&parts("192.0.2.1", "198.51.100.7"), &trusted).to_string(), "192.0.2.1");
        assert_eq!(client_address(&parts("10.0.0.1", "6.6.6.6, 198.51.100.7"), &trusted).to_string(), "198.51.100.7");
    }
}
