//! Browser sessions: opaque, on the server, renewed at sign-in, ended everywhere on request. The
//! rule: an id is a secret; the database knows only its hash, and nothing that is over comes back.

mod store;

use std::time::Duration;

use domain::{
    id::UserId,
    time::{HOUR, MINUTE, Millis, Timestamp},
};
use tower_sessions::{Expiry, Session, SessionManagerLayer, cookie::SameSite, session::Error};

pub use store::Sessions;
pub(in crate::http) use store::id_hash as session_hash;

/// The cookie.
pub const COOKIE: &str = "hangar_session";
/// A session ends after so long without a request.
const IDLE: Duration = Duration::from_secs(12 * 3_600);
/// And after so long in any case.
const ABSOLUTE: Millis = 7 * 24 * HOUR;
/// A request later than this after the last noted one is noted.
const NOTE_AFTER: Millis = 5 * MINUTE;

const USER: &str = "user";
const SEEN: &str = "seen";
const SECRET: &str = "secret";
const UNTIL: &str = "until";
const FORGE: &str = "forge";

/// The layer that gives every request its session; nothing is read before somebody asks.
pub fn layer(sessions: Sessions, secure: bool) -> SessionManagerLayer<Sessions> {
    SessionManagerLayer::new(sessions)
        .with_name(COOKIE)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_secure(secure)
        .with_path("/")
        .with_expiry(Expiry::OnInactivity(IDLE.try_into().unwrap_or(time::Duration::HOUR)))
}

/// Who a session says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The person.
    pub user_id: UserId,
    /// The fingerprint of the admin secret, when it was made by that.
    pub secret: Option<String>,
}

/// Signs `user` in: everything before is forgotten and the id is a new one, so that an id somebody
/// planted beforehand is worth nothing.
///
/// # Errors
/// When the database does not answer.
pub async fn begin(session: &Session, user: &UserId, secret: Option<&str>, now: Timestamp) -> Result<(), Error> {
    session.clear().await;
    if session.id().is_some() {
        session.cycle_id().await?;
    }
    session.insert(USER, user).await?;
    session.insert(SEEN, now.millis()).await?;
    session.insert(UNTIL, now.plus(ABSOLUTE).millis()).await?;
    if let Some(secret) = secret {
        session.insert(SECRET, secret).await?;
    }
    Ok(())
}

/// Who is signed in, if anybody; notes the visit now and then, which also moves the end.
///
/// # Errors
/// When the database does not answer.
pub async fn current(session: &Session, now: Timestamp) -> Result<Option<SignedIn>, Error> {
    if session.id().is_none() {
        return Ok(None);
    }
    let Some(user_id) = session.get::<UserId>(USER).await? else { return Ok(None) };
    let seen = session.get::<i64>(SEEN).await?.unwrap_or_default();
    if now.since(Timestamp::from_millis(seen)) > NOTE_AFTER {
        session.insert(SEEN, now.millis()).await?;
    }
    Ok(Some(SignedIn { user_id, secret: session.get(SECRET).await? }))
}

/// Ends the session for good.
///
/// # Errors
/// When the database does not answer.
pub async fn end(session: &Session) -> Result<(), Error> {
    if session.id().is_some() {
        session.flush().await?;
    }
    Ok(())
}

/// Remembers a sign-in by Forge that has begun.
///
/// # Errors
/// When the database does not answer.
pub async fn pending_put(session: &Session, pending: &super::auth::Pending) -> Result<(), Error> {
    session.insert(FORGE, pending).await
}

/// Takes the sign-in that has begun; it serves once.
///
/// # Errors
/// When the database does not answer.
pub async fn pending_take(session: &Session) -> Result<Option<super::auth::Pending>, Error> {
    if session.id().is_none() {
        return Ok(None);
    }
    session.remove(FORGE).await
}
