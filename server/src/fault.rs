//! What can go wrong in a service, as a caller sees it. The rule: every fault has a code of the
//! registry; vendor text, secrets and stacks never get in here.

use domain::{
    access::Denied,
    action::{Action, Gate, Recovery},
    code::Code,
    list::FieldError,
};
use store::StoreError;

/// A refusal or failure with its stable code.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Fault {
    /// The stable code; it fixes the HTTP status.
    pub code: Code,
    /// What happened this time, in one sentence.
    pub detail: String,
    /// The fields that are not acceptable.
    pub errors: Vec<FieldError>,
    /// The gates of a blocked action.
    pub gates: Vec<Gate>,
    /// What to do; the code's own guidance when absent.
    pub recovery: Option<Box<Recovery>>,
    /// Seconds after which another try makes sense.
    pub retry_after_s: Option<u64>,
}

impl Fault {
    /// A fault of `code`, explained by `detail`.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), gates: Vec::new(), recovery: None, retry_after_s: None }
    }

    /// There is no such thing, or it is not the caller's to see.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("There is no such {what}."))
    }

    /// One field is not acceptable; `pointer` is a JSON pointer such as `/name`.
    pub fn field(pointer: &str, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { pointer: pointer.to_owned(), message: message.into() }])
    }

    /// Several fields are not acceptable.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = errors.iter().map(|e| format!("{}: {}", e.pointer, e.message)).collect::<Vec<_>>().join("; ");
        Self { errors, ..Self::new(Code::Validation, detail) }
    }

    /// An action's gates hold it back.
    pub fn blocked(action: &Action) -> Self {
        let code = action.gates.iter().find(|g| g.result == domain::action::GateResult::Blocked).map_or(
            Code::ActionBlocked,
            |g| match g.name.as_str() {
                "permission" => Code::Forbidden,
                "provider-connected" => Code::ProviderNotConnected,
                _ => Code::ActionBlocked,
            },
        );
        Self {
            gates: action.gates.clone(),
            recovery: action.recovery.clone().map(Box::new),
            ..Self::new(code, format!("{} is blocked: {}", action.identity, action.blocked_reasons()))
        }
    }

    /// `what` does not have the shape it must have. serde's own message is told without the values
    /// it quotes: a caller's value may be a secret in the wrong field.
    pub fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let text = text.split('"').enumerate().map(|(i, part)| if i % 2 == 0 { part } else { "…" });
        Self::new(Code::BadRequest, format!("{what} cannot be read: {}.", text.collect::<String>()))
    }

    /// The error that is for the log only becomes an answer without its inside.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            source = inner.source();
        }
        tracing::error!(error = %text, "internal error");
        Self::new(
            Code::Internal,
            "Hangar met an error that it did not expect; the log knows more under this request id.",
        )
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::BadCursor => Self::field("/cursor", "send the next_cursor of the page before"),
            // What became of it is not known to this caller; for a job the fence tells.
            e if e.is_retryable()
                || matches!(e, StoreError::OutcomeUnknown(_) | StoreError::Closed | StoreError::Aborted) =>
            {
                tracing::warn!(error = %e, "the database does not answer");
                Self {
                    retry_after_s: Some(1),
                    ..Self::new(Code::Unavailable, "The database is busy or cannot be reached.")
                }
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<Denied> for Fault {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Anonymous => Self::new(Code::Unauthorized, "Sign in first."),
            Denied::Suspended => Self::new(Code::Forbidden, "This account is suspended."),
            Denied::NotAdmin => Self::new(Code::Forbidden, "Only administrators may do this."),
        }
    }
}
