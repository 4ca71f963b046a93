//! Live updates: one event stream per tab that is looked at; a browser has only six connections for
//! all its tabs. The rule: an event never carries data to show; it only says that something has a new
//! version, and whoever shows it asks for it again.

use std::{
    cell::RefCell,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use domain::audit::LiveEvent;
use leptos::prelude::*;
use wasm_bindgen::{JsCast, prelude::Closure};
use web_sys::{EventSource, MessageEvent};

/// Where events come from.
const STREAM: &str = "/api/v1/events";
/// What events may be named; unnamed ones are heard as well.
const NAMES: [&str; 11] =
    ["message", "node", "job", "allocation", "provider", "pool", "user", "dns_record", "profile", "orphan", "setting"];
/// Events that come together cause one refetch.
const DEBOUNCE: Duration = Duration::from_millis(150);
/// `EventSource.CLOSED`: the browser has given up and will not try again by itself.
const CLOSED: u16 = 2;

/// How the stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LiveState {
    /// None: on the server, before hydration, while nobody is signed in or the tab is hidden.
    Idle,
    /// Events arrive.
    Connected,
    /// The connection is lost and being made again.
    Reconnecting,
}

struct Watcher {
    id: u32,
    kinds: &'static [&'static str],
    only: Option<String>,
    version: RwSignal<u32>,
    due: bool,
}

/// The tab's event stream.
#[derive(Clone, Copy)]
pub(crate) struct Live {
    state: RwSignal<LiveState>,
    watchers: StoredValue<Vec<Watcher>>,
    failures: StoredValue<u32>,
}

/// An open stream with what listens to it; closed when dropped.
struct Stream {
    source: EventSource,
    _on_open: Closure<dyn Fn()>,
    _on_event: Closure<dyn Fn(MessageEvent)>,
    _on_error: Closure<dyn Fn()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.source.set_onopen(None);
        self.source.set_onerror(None);
        self.source.close();
    }
}

thread_local! {
    static STREAM_NOW: RefCell<Option<Stream>> = const { RefCell::new(None) };
}

/// Provides the stream to every component below, and opens it in the browser if `wanted`.
pub(crate) fn provide_live(wanted: bool) {
    let live = Live {
        state: RwSignal::new(LiveState::Idle),
        watchers: StoredValue::new(Vec::new()),
        failures: StoredValue::new(0),
    };
    provide_context(live);
    Effect::new(move |_| {
        if wanted {
            live.open();
            let shown = window_event_listener_untyped("visibilitychange", move |_| live.follow_the_tab());
            on_cleanup(move || shown.remove());
        }
    });
}

/// How the stream stands.
pub(crate) fn live_state() -> Signal<LiveState> {
    match use_context::<Live>() {
        Some(live) => live.state.into(),
        None => Signal::derive(|| LiveState::Idle),
    }
}

/// Counts up whenever something of one of these kinds changed: read it in a resource's source.
pub fn live(kinds: &'static [&'static str]) -> Signal<u32> {
    watch(kinds, None)
}

/// The same count, which stands still while the page holds on to what it shows: because what it shows is
/// about to be gone, or somebody types into it.
pub fn held(changed: Signal<u32>, holds: impl Fn() -> bool + Send + Sync + 'static) -> Memo<u32> {
    Memo::new(move |before: Option<&u32>| {
        let now = changed.get();
        before.copied().filter(|_| holds()).unwrap_or(now)
    })
}

/// Counts up whenever the thing with this id changed, or anything of the other `kinds` did.
pub fn live_one(kinds: &'static [&'static str], id: impl ToString) -> Signal<u32> {
    watch(kinds, Some(id.to_string()))
}

fn watch(kinds: &'static [&'static str], only: Option<String>) -> Signal<u32> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let version = RwSignal::new(0);
    if let Some(live) = use_context::<Live>() {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        live.watchers.update_value(|all| all.push(Watcher { id, kinds, only, version, due: false }));
        on_cleanup(move || {
            live.watchers.try_update_value(|all| all.retain(|watcher| watcher.id != id));
        });
    }
    version.into()
}

impl Live {
    fn follow_the_tab(self) {
        if document().hidden() {
            STREAM_NOW.take();
            self.state.set(LiveState::Idle);
        } else {
            self.open();
        }
    }

    /// Opens the stream, unless it is open or nobody looks.
    fn open(self) {
        if document().hidden() || STREAM_NOW.with_borrow(Option::is_some) {
            return;
        }
        let Ok(source) = EventSource::new(STREAM) else { return };
        let on_open = Closure::<dyn Fn()>::new(move || {
            // What happened between the making of what is shown and now was not heard.
            self.wake(|_| true);
            self.failures.set_value(0);
            self.state.set(LiveState::Connected);
        });
        let on_event = Closure::<dyn Fn(MessageEvent)>::new(move |message: MessageEvent| {
            let Some(text) = message.data().as_string() else { return };
            if let Ok(event) = serde_json::from_str::<LiveEvent>(&text) {
                self.wake(|watcher| watcher.hears(&event));
            }
        });
        let failing = source.clone();
        let on_error = Closure::<dyn Fn()>::new(move || {
            self.state.set(LiveState::Reconnecting);
            if failing.ready_state() == CLOSED {
                let failures = self.failures.get_value();
                self.failures.set_value(failures.saturating_add(1));
                let again = move || {
                    let over = |stream: &Option<Stream>| {
                        stream.as_ref().is_some_and(|stream| stream.source.ready_state() == CLOSED)
                    };
                    if STREAM_NOW.with_borrow(over) {
                        STREAM_NOW.take();
                        self.open();
                    }
                };
                set_timeout(again, Duration::from_secs(1 << failures.min(4)));
            }
        });
        source.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        source.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        for name in NAMES {
            // Registering a listener on a stream just made cannot fail.
            let _ = source.add_event_listener_with_callback(name, on_event.as_ref().unchecked_ref());
        }
        STREAM_NOW.set(Some(Stream { source, _on_open: on_open, _on_event: on_event, _on_error: on_error }));
    }

    /// Lets those watchers count up, a little later and all at once.
    fn wake(self, hears: impl Fn(&Watcher) -> bool) {
        self.watchers.update_value(|all| {
            for watcher in all.iter_mut().filter(|watcher| hears(watcher)) {
                if !std::mem::replace(&mut watcher.due, true) {
                    let id = watcher.id;
                    set_timeout(move || self.bump(id), DEBOUNCE);
                }
            }
        });
    }

    fn bump(self, id: u32) {
        let version = self
            .watchers
            .try_update_value(|all| {
                let watcher = all.iter_mut().find(|watcher| watcher.id == id)?;
                watcher.due = false;
                Some(watcher.version)
            })
            .flatten();
        if let Some(version) = version {
            version.try_update(|count| *count = count.wrapping_add(1));
        }
    }
}

impl Watcher {
    fn hears(&self, event: &LiveEvent) -> bool {
        self.only.as_deref() == Some(event.id.as_str()) || self.kinds.contains(&event.kind.as_str())
    }
}
