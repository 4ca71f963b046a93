//! Reading forms. The rule: texts come in as typed; every field that cannot be used is marked at
//! once, in words that say what would be right.

use std::{fmt::Display, str::FromStr};

use domain::list::FieldError;

use crate::Fault;

/// Reads the fields of one form and collects what is wrong with them.
#[derive(Debug, Default)]
pub struct FormReader {
    errors: Vec<FieldError>,
}

impl FormReader {
    /// The text without the space around it; `None` when empty.
    pub fn text(text: &str) -> Option<String> {
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A field that must be filled; `missing` says what to do when it is not.
    pub fn required<T: FromStr<Err: Display>>(&mut self, pointer: &str, text: &str, missing: &str) -> Option<T> {
        if text.trim().is_empty() {
            self.mark(pointer, missing);
            return None;
        }
        self.optional(pointer, text)
    }

    /// A field that may be left empty.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, pointer: &str, text: &str) -> Option<T> {
        let text = Self::text(text)?;
        text.parse().map_err(|error: T::Err| self.mark(pointer, &error.to_string())).ok()
    }

    /// A whole number that may be left empty.
    pub fn number(&mut self, pointer: &str, text: &str) -> Option<u32> {
        let text = Self::text(text)?;
        text.parse().map_err(|_| self.mark(pointer, "a whole number such as 24")).ok()
    }

    /// Marks the field if its check failed.
    pub fn check<T, E: Display>(&mut self, pointer: &str, checked: Option<Result<T, E>>) {
        if let Some(Err(error)) = checked {
            self.mark(pointer, &error.to_string());
        }
    }

    /// What was read, if nothing is marked.
    ///
    /// # Errors
    /// Every field that cannot be used.
    pub fn finish<T>(self, read: impl FnOnce() -> Option<T>) -> Result<T, Fault> {
        match (self.errors.is_empty(), read()) {
            (true, Some(value)) => Ok(value),
            _ => Err(Fault::fields(self.errors)),
        }
    }

    fn mark(&mut self, pointer: &str, message: &str) {
        self.errors.push(FieldError { pointer: pointer.to_owned(), message: message.to_owned() });
    }
}
