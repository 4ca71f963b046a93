//! The journal that makes work at a vendor resumable: what was tried and found is written down
//! before anything else is done. Rule: every call is durable before it returns, and after a
//! [`JournalLost`] nothing more is done.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use crate::infra::{MachineFacts, Pair};

/// The lease is lost or the job was cancelled: whoever holds this journal must stop at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal is lost")]
pub struct JournalLost;

/// Where a piece of work writes down what it tried and found.
#[async_trait]
pub trait Journal: Send {
    /// What was put under this key, in this run or one before.
    fn get(&self, key: &str) -> Option<Value>;

    /// Writes a value; durable when it returns.
    async fn put(&mut self, key: &str, value: Value) -> Result<(), JournalLost>;

    /// Begins a step and ends the one before.
    async fn step(&mut self, step: &'static str, label: &str) -> Result<(), JournalLost>;

    /// Live progress of the running step, in percent where it is known.
    async fn detail(&mut self, text: &str, progress: Option<u8>) -> Result<(), JournalLost>;

    /// Whether this pair may be asked for now that there is no room for the ones before it. The first
    /// one is not asked about.
    async fn may_try(&mut self, _pair: &Pair) -> Result<bool, JournalLost> {
        Ok(true)
    }

    /// What is known of the machine so far; durable when it returns.
    async fn found(&mut self, facts: MachineFacts) -> Result<(), JournalLost>;
}

/// A journal in memory: for tests, and for programs that live as long as their work.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal {
    values: BTreeMap<String, Value>,
    steps: Vec<&'static str>,
    facts: MachineFacts,
}

impl MemoryJournal {
    /// The steps that were begun, in order, over all runs.
    pub fn steps(&self) -> &[&'static str] {
        &self.steps
    }

    /// What is known of the machine.
    pub fn facts(&self) -> &MachineFacts {
        &self.facts
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    fn get(&self, key: &str) -> Option<Value> {
        self.values.get(key).cloned()
    }

    async fn put(&mut self, key: &str, value: Value) -> Result<(), JournalLost> {
        self.values.insert(key.to_owned(), value);
        Ok(())
    }

    async fn step(&mut self, step: &'static str, _label: &str) -> Result<(), JournalLost> {
        self.steps.push(step);
        Ok(())
    }

    async fn detail(&mut self, _text: &str, _progress: Option<u8>) -> Result<(), JournalLost> {
        Ok(())
    }

    async fn found(&mut self, facts: MachineFacts) -> Result<(), JournalLost> {
        self.facts.merge(facts);
        Ok(())
    }
}
