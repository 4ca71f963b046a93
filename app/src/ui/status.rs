//! Status as dot and word. The rule: the word is the API's own; the tone only helps the eye, and a
//! dot moves only while something really moves.

use leptos::prelude::*;

/// How a status looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Ok,
    /// In use or at work.
    Busy,
    /// Wants a look.
    Warn,
    /// Wrong.
    Bad,
    /// Neither here nor there.
    Neutral,
}

impl Tone {
    /// The end of the class: `status-ok`, `notice-bad`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Busy => "busy",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Neutral => "neutral",
        }
    }
}

/// The tone of every status word that `domain` knows.
pub fn tone(word: &str) -> Tone {
    match word {
        "ready" | "connected" | "succeeded" | "active" | "available" | "ok" | "done" | "pass" => Tone::Ok,
        "allocated" => Tone::Busy,
        "degraded" | "waiting" | "maintenance" | "draining" | "pending" | "suspended" | "refused" => Tone::Warn,
        "failed" | "blocked" => Tone::Bad,
        word if is_moving(word) => Tone::Busy,
        _ => Tone::Neutral,
    }
}

/// Whether something moves while this is the status.
pub fn is_moving(word: &str) -> bool {
    matches!(
        word,
        "creating"
            | "starting"
            | "naming"
            | "provisioning"
            | "verifying"
            | "suspending"
            | "resuming"
            | "upgrading"
            | "rebuilding"
            | "destroying"
            | "running"
            | "releasing"
            | "cleaning"
            | "requested"
    )
}

/// A status as dot and word.
#[component]
pub fn Status(
    /// The API's word.
    #[prop(into)]
    word: String,
    /// Another tone than the word's own, where a word means different things.
    #[prop(optional, into)]
    tone_is: Option<Tone>,
) -> impl IntoView {
    let tone = tone_is.unwrap_or_else(|| tone(&word));
    let moving = if is_moving(&word) { " is-moving" } else { "" };
    view! {
        <span class=format!("status status-{}{moving}", tone.as_str()) data-status=word>
            <span class="status-dot" aria-hidden="true"></span>
            {word.clone()}
        </span>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        access::UserStatus, allocation::AllocationStatus, job::JobStatus, node::NodeState, pool::PoolVmStatus,
        provider::ProviderStatus,
    };

    #[test]
    fn what_is_good_and_what_is_bad_looks_so() {
        assert_eq!(tone(NodeState::Ready.as_str()), Tone::Ok);
        assert_eq!(tone(ProviderStatus::Connected.as_str()), Tone::Ok);
        assert_eq!(tone(AllocationStatus::Active.as_str()), Tone::Ok);
        assert_eq!(tone(PoolVmStatus::Available.as_str()), Tone::Ok);
        assert_eq!(tone(JobStatus::Failed.as_str()), Tone::Bad);
        assert_eq!(tone(NodeState::Failed.as_str()), Tone::Bad);
        assert_eq!(tone(UserStatus::Pending.as_str()), Tone::Warn);
    }

    /// A still dot is a promise that nothing goes on.
    #[test]
    fn a_dot_moves_exactly_in_the_states_that_pass_by_themselves() {
        let moving: Vec<_> = NodeState::ALL.iter().filter(|s| is_moving(s.as_str())).collect();
        let resting = [NodeState::Ready, NodeState::Suspended, NodeState::Destroyed, NodeState::Failed];
        assert_eq!(moving.len() + resting.len(), NodeState::ALL.len());
        assert!(!resting.iter().any(|s| is_moving(s.as_str())));
        assert!(!is_moving(JobStatus::Queued.as_str()));
        assert!(is_moving(JobStatus::Running.as_str()));
    }
}
