//! Faults: "fail call N of kind K this way". Rule: a fault counts only calls that were let in
//! (known token, not blocked), from the moment it was set.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::kind::CloudflareCall;

/// Names a fault that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CloudflareFaultId(pub u64);

/// One thing that shall go wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudflareFault {
    /// The kind of call.
    pub on: CloudflareCall,
    /// Which one of them: 1 is the next.
    #[serde(default = "one")]
    pub nth: u32,
    /// How many in a row, from that one on.
    #[serde(default = "one")]
    pub times: u32,
    /// What happens then.
    pub effect: CloudflareEffect,
}

fn one() -> u32 {
    1
}

impl CloudflareFault {
    /// `effect` at the next call of kind `on`, once.
    pub fn next(on: CloudflareCall, effect: CloudflareEffect) -> Self {
        Self { on, nth: 1, times: 1, effect }
    }
}

/// What goes wrong. As JSON it is tagged with `kind`: `{"kind": "slow", "ms": 50}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CloudflareEffect {
    /// This status and error, without doing anything.
    Status {
        /// HTTP status.
        status: u16,
        /// The vendor's error code.
        code: u32,
        /// The vendor's message.
        message: String,
        /// A whole body instead of the vendor's envelope.
        #[serde(default)]
        body: Option<Value>,
    },
    /// 502 with an HTML page, without doing anything.
    HtmlBadGateway,
    /// This status with no body, without doing anything.
    EmptyBody {
        /// HTTP status.
        status: u16,
    },
    /// The connection is reset, without an answer.
    Reset {
        /// Whether the call was carried out before.
        #[serde(default)]
        after_effect: bool,
    },
    /// The call is carried out, the answer is a 504 without a body.
    LostAnswer,
    /// The call is carried out, the answer has its right status and half of its body.
    UnreadableBody,
    /// No answer ever comes.
    Hang {
        /// Whether the call was carried out before.
        #[serde(default)]
        after_effect: bool,
    },
    /// The call is carried out and answered, this much later.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// 504 at once, and the call is carried out this much later: the late create.
    Late {
        /// Milliseconds.
        ms: u64,
    },
    /// 429 with this `retry-after`, without doing anything.
    RateLimited {
        /// Seconds.
        retry_after: u64,
    },
}

/// A fault that was set, and how often it was met.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FaultView {
    id: CloudflareFaultId,
    #[serde(flatten)]
    fault: CloudflareFault,
    /// Calls that matched since.
    seen: u32,
    /// How many of them it spoiled.
    hits: u32,
}

#[derive(Debug)]
struct Slot {
    id: CloudflareFaultId,
    fault: CloudflareFault,
    seen: u32,
    hits: watch::Sender<u32>,
}

/// All faults that are set.
#[derive(Debug, Default)]
pub(super) struct Faults {
    last_id: u64,
    slots: Vec<Slot>,
}

/// A fault that fires for a call; `fired` is to be called when it has.
#[derive(Clone, Debug)]
pub(super) struct Firing {
    pub(super) effect: CloudflareEffect,
    hits: watch::Sender<u32>,
}

impl Firing {
    pub(super) fn fired(&self) {
        self.hits.send_modify(|hits| *hits += 1);
    }
}

impl Faults {
    pub(super) fn add(&mut self, fault: CloudflareFault) -> CloudflareFaultId {
        self.last_id += 1;
        let id = CloudflareFaultId(self.last_id);
        self.slots.push(Slot { id, fault, seen: 0, hits: watch::Sender::new(0) });
        id
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }

    /// Counts a call; the oldest fault that is due for it fires.
    pub(super) fn meet(&mut self, kind: CloudflareCall) -> Option<Firing> {
        let mut firing = None;
        for slot in self.slots.iter_mut().filter(|slot| slot.fault.on.covers(kind)) {
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
    pub(super) fn watch(&self, id: CloudflareFaultId) -> Option<watch::Receiver<u32>> {
        self.slots.iter().find(|slot| slot.id == id).map(|slot| slot.hits.subscribe())
    }

    pub(super) fn views(&self) -> Vec<FaultView> {
        let view = |slot: &Slot| FaultView {
            id: slot.id,
            fault: slot.fault.clone(),
            seen: slot.seen,
            hits: *slot.hits.borrow(),
        };
        self.slots.iter().map(view).collect()
    }
}
