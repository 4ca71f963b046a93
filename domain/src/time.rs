//! Moments and spans. The rule: nothing here reads a clock; the present always comes in as a value.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment: milliseconds since the Unix epoch, UTC. RFC 3339 in every JSON answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = DateTime))]
pub struct Timestamp(i64);

/// A length of time in milliseconds.
pub type Millis = i64;

/// One second, one minute, one hour in milliseconds.
pub const SECOND: Millis = 1_000;
/// One minute in milliseconds.
pub const MINUTE: Millis = 60 * SECOND;
/// One hour in milliseconds.
pub const HOUR: Millis = 60 * MINUTE;

impl Timestamp {
    /// The moment `millis` after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The moment `span` later (earlier when negative); stays at the ends of the range.
    #[must_use]
    pub const fn plus(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// Milliseconds from `earlier` to here; negative if `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Millis {
        self.0.saturating_sub(earlier.0)
    }

    /// RFC 3339 with milliseconds, UTC: `2026-11-20T04:30:00.123Z`.
    pub fn rfc3339(self) -> String {
        let format =
            time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|t| t.format(&format).ok())
            .unwrap_or_else(|| "0000-00-00T00:00:00.000Z".to_owned())
    }

    /// Reads RFC 3339. `None` if the text is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }

    /// How long ago this was at `now`, for people, rounded: `just now`, `5 min ago`, `in 3 h`.
    pub fn relative(self, now: Self) -> String {
        let span = now.since(self);
        let (length, future) = (span.saturating_abs(), span < 0);
        let of = |unit: Millis| length.saturating_add(unit / 2) / unit;
        let words = match length {
            l if l < 10 * SECOND => return "just now".to_owned(),
            _ if of(SECOND) < 60 => format!("{} s", of(SECOND)),
            _ if of(MINUTE) < 60 => format!("{} min", of(MINUTE)),
            _ if of(HOUR) < 48 => format!("{} h", of(HOUR)),
            _ => format!("{} days", of(24 * HOUR)),
        };
        if future { format!("in {words}") } else { format!("{words} ago") }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("a time must be RFC 3339"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_both_ways() {
        let t = Timestamp::from_millis(1_763_613_000_123);
        assert_eq!(t.rfc3339(), "2025-11-20T04:30:00.123Z");
        assert_eq!(Timestamp::parse(&t.rfc3339()), Some(t));
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn relative_words() {
        let now = Timestamp::from_millis(10 * 24 * HOUR);
        assert_eq!(now.relative(now), "just now");
        assert_eq!(now.plus(-80 * SECOND).relative(now), "1 min ago");
        assert_eq!(now.plus(-100 * SECOND).relative(now), "2 min ago");
        assert_eq!(now.plus(3 * HOUR).relative(now), "in 3 h");
        assert_eq!(now.plus(24 * HOUR - 2 * SECOND).relative(now), "in 24 h");
        assert_eq!(now.plus(HOUR - SECOND).relative(now), "in 1 h");
        assert_eq!(now.plus(-72 * HOUR).relative(now), "3 days ago");
    }
}
