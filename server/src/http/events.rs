//! Live updates as server-sent events. The rule: a listener hears only of what it may see, and the
//! stream ends with its session, its account or the server.

use std::{
    collections::{BTreeSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::HeaderValue,
    response::{
        IntoResponse as _, Response,
        sse::{Event, Sse},
    },
};
use domain::{
    access::{Principal, UserStatus, Via},
    audit::LiveEvent,
    id::UserId,
};
use futures::stream;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Interval, MissedTickBehavior},
};
use tower_sessions::Session;

use crate::http::{extract::Who, problem::Answer, session::session_hash, state::AppState};

/// A comment goes out this often, and whoever listens is looked at again.
const BEAT: Duration = Duration::from_secs(15);

/// Everything that changed, as it changes.
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    params(("Last-Event-ID" = Option<i64>, Header, description = "The id heard last; what came after is sent first")),
    responses((status = 200, description = "Server-sent events; each carries {type, id, version}",
        body = LiveEvent, content_type = "text/event-stream")))]
pub(crate) async fn listen(State(state): State<AppState>, who: Who, request: Request) -> Answer<Response> {
    let heard: Option<i64> =
        request.headers().get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse().ok());
    // Subscribed before the past is read: nothing falls between the two.
    let news = state.services.live();
    let ended = state.sessions.ended();
    let session = match who.via {
        Via::Session => request.extensions().get::<Session>().and_then(Session::id).map(|id| session_hash(&id)),
        _ => None,
    };
    let mut listener = Listener {
        news,
        ended,
        beat: beat(),
        waiting: VecDeque::new(),
        past: BTreeSet::new(),
        last: heard.unwrap_or_default(),
        who: who.0,
        session,
        state,
    };
    if heard.is_some() {
        listener.catch_up().await?;
    } else {
        // The head of the answer goes out at once, so that the browser knows it is connected.
        listener.waiting.push_back(Event::default().comment("hello"));
    }
    let events = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    let mut response = Sse::new(events).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn beat() -> Interval {
    let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + BEAT, BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

struct Listener {
    news: broadcast::Receiver<store::EventRow>,
    ended: broadcast::Receiver<String>,
    beat: Interval,
    waiting: VecDeque<Event>,
    /// What was sent while catching up, so that it is not sent again.
    past: BTreeSet<i64>,
    last: i64,
    who: Arc<Principal>,
    session: Option<String>,
    state: AppState,
}

impl Listener {
    /// The next event; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            tokio::select! {
                () = self.state.shutdown.cancelled() => return None,
                gone = self.ended.recv() => match gone {
                    Ok(hash) if Some(&hash) == self.session.as_ref() => return None,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) if self.may_stay().await => {}
                    Err(_) => return None,
                },
                _ = self.beat.tick() => {
                    if !self.may_stay().await {
                        return None;
                    }
                    return Some(Event::default().comment("beat"));
                }
                row = self.news.recv() => match row {
                    Ok(row) => {
                        let about_me = row.event.kind == "user" && row.event.id == self.who.user_id.as_str();
                        if about_me && !self.may_stay().await {
                            return None;
                        }
                        self.take(row.seq, row.event, row.user_id.as_ref());
                    }
                    Err(RecvError::Lagged(_)) => self.catch_up().await.ok()?,
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }

    /// Reads what was missed from the database.
    async fn catch_up(&mut self) -> Answer<()> {
        loop {
            let rows = self.state.services.events_after(self.last).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                self.take(row.seq, row.event, row.user_id.as_ref());
                self.past.insert(row.seq);
            }
            while self.past.len() > 2_000 {
                self.past.pop_first();
            }
        }
    }

    fn take(&mut self, seq: i64, event: LiveEvent, whose: Option<&UserId>) {
        self.last = self.last.max(seq);
        let mine = whose == Some(&self.who.user_id);
        // That something moved in a pool is everybody's: it changes one's place in line, and says
        // nothing but the pool's name, which the dashboard shows.
        let common = event.kind == "pool";
        if self.past.contains(&seq) || !(self.who.is_admin() || mine || common) {
            return;
        }
        // An event holds nothing that JSON cannot say.
        if let Ok(event) = Event::default().id(seq.to_string()).json_data(&event) {
            self.waiting.push_back(event);
        }
    }

    /// Whether the listener is still who it was; also takes over a changed role.
    async fn may_stay(&mut self) -> bool {
        let Some(hash) = &self.session else { return true };
        if !matches!(self.state.sessions.stands(hash).await, Ok(true)) {
            return false;
        }
        match self.state.services.user_principal(&self.who.user_id, self.who.via).await {
            Ok(Some(now)) if now.status != UserStatus::Suspended => {
                self.who = Arc::new(now);
                true
            }
            _ => false,
        }
    }
}
