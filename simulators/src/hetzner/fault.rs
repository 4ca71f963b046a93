//! Faults: "fail call N of kind K this way". Rule: a fault counts only requests that were let in
//! (known token, bucket not empty), from the moment it was set.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::kind::RequestKind;

/// Which requests a fault is about: their kind.
pub type Match = RequestKind;

/// Names a fault that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u64);

/// One thing that shall go wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The kind of request.
    pub on: Match,
    /// Which one of them: 1 is the next.
    #[serde(default = "one")]
    pub nth: u32,
    /// How many in a row, from that one on.
    #[serde(default = "one")]
    pub times: u32,
    /// What happens then.
    pub effect: FaultEffect,
}

fn one() -> u32 {
    1
}

impl Fault {
    /// `effect` at the next request of kind `on`, once.
    pub fn next(on: Match, effect: FaultEffect) -> Self {
        Self { on, nth: 1, times: 1, effect }
    }
}

/// What goes wrong. As JSON it is tagged with `kind`: `{"kind": "slow", "ms": 50}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultEffect {
    /// This status and error, without doing anything.
    Status {
        /// HTTP status.
        status: u16,
        /// The vendor's error code.
        code: String,
        /// The vendor's message.
        message: String,
        /// A whole body instead of the vendor's error shape.
        #[serde(default)]
        body: Option<Value>,
    },
    /// 502 with the HTML page of a proxy, without doing anything.
    HtmlBadGateway,
    /// This status with no body, without doing anything.
    EmptyBody {
        /// HTTP status.
        status: u16,
    },
    /// The connection is reset, without an answer.
    Reset {
        /// Whether the request was carried out before.
        #[serde(default)]
        after_effect: bool,
    },
    /// The request is carried out, the answer is a 504 without a body.
    LostAnswer,
    /// The request is carried out, the answer has its right status and half of its body.
    UnreadableBody,
    /// No answer ever comes.
    Hang {
        /// Whether the request was carried out before.
        #[serde(default)]
        after_effect: bool,
    },
    /// The request is carried out and answered, this much later.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// 412 `resource_unavailable`, without doing anything.
    NoCapacity,
    /// 423 `locked`, without doing anything.
    Locked,
    /// The request succeeds, but the actions it starts end in this error.
    ActionError {
        /// The action's error code.
        code: String,
        /// The action's error message.
        message: String,
    },
    /// The request and its actions succeed, and nothing comes of them: a server that ignores its
    /// shutdown, a create that stays `initializing`.
    Ignored,
    /// The request succeeds, and each of the actions it starts takes this long.
    SlowAction {
        /// Milliseconds.
        ms: u64,
    },
    /// 429 `rate_limit_exceeded` with an empty bucket in the headers, without doing anything.
    RateLimited,
    /// 504 at once, and the request is carried out this much later: the late create.
    Late {
        /// Milliseconds.
        ms: u64,
    },
}

/// A fault that was set, and how often it was met.
#[derive(Clone, Debug, Serialize)]
pub struct FaultView {
    /// Its id.
    pub id: FaultId,
    /// What was asked for.
    #[serde(flatten)]
    pub fault: Fault,
    /// Requests that matched since.
    pub seen: u32,
    /// How many of them it spoiled.
    pub hits: u32,
}

#[derive(Debug)]
struct Slot {
    id: FaultId,
    fault: Fault,
    seen: u32,
    hits: watch::Sender<u32>,
}

/// All faults that are set.
#[derive(Debug, Default)]
pub(super) struct Faults {
    last_id: u64,
    slots: Vec<Slot>,
}

/// A fault that fires for a request; `fired` is to be called when it has.
#[derive(Clone, Debug)]
pub(super) struct Firing {
    pub(super) effect: FaultEffect,
    hits: watch::Sender<u32>,
}

impl Firing {
    pub(super) fn fired(&self) {
        self.hits.send_modify(|hits| *hits += 1);
    }
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) -> FaultId {
        self.last_id += 1;
        let id = FaultId(self.last_id);
        self.slots.push(Slot { id, fault, seen: 0, hits: watch::Sender::new(0) });
        id
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }

    /// Counts a request; the oldest fault that is due for it fires.
    pub(super) fn meet(&mut self, kind: RequestKind) -> Option<Firing> {
        let mut firing = None;
        for slot in &mut self.slots {
            if !slot.fault.on.covers(kind) {
                continue;
            }
            slot.seen += 1;
            let first = slot.fault.nth.max(1);
            let due = slot.seen >= first && slot.seen - first < slot.fault.times;
            if due && firing.is_none() {
                firing = Some(Firing { effect: slot.fault.effect.clone(), hits: slot.hits.clone() });
            }
        }
        firing
    }

    /// Tells of the hits of one fault; `None` when it is not set (any more).
    pub(super) fn watch(&self, id: FaultId) -> Option<watch::Receiver<u32>> {
        self.slots.iter().find(|slot| slot.id == id).map(|slot| slot.hits.subscribe())
    }

    pub(super) fn views(&self) -> Vec<FaultView> {
        self.slots
            .iter()
            .map(|slot| FaultView {
                id: slot.id,
                fault: slot.fault.clone(),
                seen: slot.seen,
                hits: *slot.hits.borrow(),
            })
            .collect()
    }
}
