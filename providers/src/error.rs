//! What goes wrong at a vendor, in Hangar's own words. Rule: `message` is one sentence of ours: no
//! vendor's text, no secret; the vendor's error code may be named.

use std::{error::Error, time::Duration};

use domain::{
    code::{Code, Retry},
    list::FieldError,
};

use crate::journal::JournalLost;

/// Whether a failed call may have changed something at the vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It changed nothing.
    None,
    /// It may have changed something: look before trying again.
    Unknown,
    /// It changed something.
    Happened,
}

/// A failure at a vendor.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// The stable code.
    pub code: Code,
    /// One sentence of ours.
    pub message: String,
    /// The vendor's id of the call, for its support.
    pub correlation_id: Option<String>,
    /// How long to wait before the next call, where the vendor limits calls.
    pub retry_after: Option<Duration>,
    /// Whether something may have changed.
    pub effect: Effect,
    /// Whether the journal was lost: the lease went to another worker, or the job was cancelled.
    /// Then nothing may be recorded any more.
    pub lost: bool,
    /// What lies beneath, for the log.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl ProviderError {
    /// A failure that changed nothing.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            correlation_id: None,
            retry_after: None,
            effect: Effect::None,
            lost: false,
            source: None,
        }
    }

    /// The same failure with this effect.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// The same failure with what lies beneath.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether the same call may succeed a little later.
    pub fn is_transient(&self) -> bool {
        !self.lost && self.code.retry() == Retry::Yes
    }
}

impl From<JournalLost> for ProviderError {
    fn from(lost: JournalLost) -> Self {
        let mut error = Self::new(Code::JobCancelled, "The job was cancelled or went to another worker.");
        error.lost = true;
        error.with_effect(Effect::Unknown).with_source(lost)
    }
}

/// A field that cannot be used: `pointer` is a JSON pointer such as `/settings/endpoint`.
pub(crate) fn field_error(pointer: impl Into<String>, message: impl Into<String>) -> FieldError {
    FieldError { pointer: pointer.into(), message: message.into() }
}
