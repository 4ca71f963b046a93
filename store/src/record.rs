//! Values on their way out of a row. The rule: a column that does not parse is an error with the
//! column's name, never a guess.

use std::str::FromStr;

use domain::{code::Code, time::Timestamp};
use serde::de::DeserializeOwned;
use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};

use crate::StoreError;

/// A row of either engine.
pub(crate) enum Record {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

fn corrupt(column: &str) -> StoreError {
    StoreError::Corrupt { what: column.to_owned() }
}

impl Record {
    pub fn opt_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub fn text(&self, column: &str) -> Result<String, StoreError> {
        self.opt_text(column)?.ok_or_else(|| corrupt(column))
    }

    pub fn opt_int(&self, column: &str) -> Result<Option<i64>, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub fn int(&self, column: &str) -> Result<i64, StoreError> {
        self.opt_int(column)?.ok_or_else(|| corrupt(column))
    }

    /// A smaller integer.
    pub fn number<N: TryFrom<i64>>(&self, column: &str) -> Result<N, StoreError> {
        self.int(column)?.try_into().map_err(|_| corrupt(column))
    }

    pub fn opt_number<N: TryFrom<i64>>(&self, column: &str) -> Result<Option<N>, StoreError> {
        self.opt_int(column)?.map(|n| n.try_into().map_err(|_| corrupt(column))).transpose()
    }

    pub fn flag(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    pub fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        self.int(column).map(Timestamp::from_millis)
    }

    pub fn opt_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.opt_int(column)?.map(Timestamp::from_millis))
    }

    /// An id, a checked name or a word.
    pub fn parse<T: FromStr>(&self, column: &str) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|_| corrupt(column))
    }

    pub fn opt_parse<T: FromStr>(&self, column: &str) -> Result<Option<T>, StoreError> {
        self.opt_text(column)?.map(|t| t.parse().map_err(|_| corrupt(column))).transpose()
    }

    pub fn opt_code(&self, column: &str) -> Result<Option<Code>, StoreError> {
        self.opt_text(column)?.map(|t| Code::parse(&t).ok_or_else(|| corrupt(column))).transpose()
    }

    pub fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|_| corrupt(column))
    }

    pub fn opt_json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, StoreError> {
        self.opt_text(column)?.map(|t| serde_json::from_str(&t).map_err(|_| corrupt(column))).transpose()
    }
}
