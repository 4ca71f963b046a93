//! SQL texts. The rule: one text for both engines; all that differs is the row lock, which SQLite
//! has no need of because it has one writer.

use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

/// A statement made once from a template: `{columns}` is the list of columns, `{lock}` a row lock
/// that lets foreign keys to the row be checked, `{skip_locked}` the same without waiting.
pub(crate) struct Statement {
    sqlite: String,
    postgres: String,
}

impl Statement {
    pub fn new(template: &str, columns: &str) -> Self {
        let filled = template.replace("{columns}", columns);
        Self {
            sqlite: filled.replace("{lock}", "").replace("{skip_locked}", ""),
            postgres: filled
                .replace("{lock}", " FOR NO KEY UPDATE")
                .replace("{skip_locked}", " FOR NO KEY UPDATE SKIP LOCKED"),
        }
    }
}

/// What a query can be given as.
pub(crate) enum Sql {
    /// The same for both engines.
    Plain(&'static str),
    /// From a template.
    Made(&'static Statement),
    /// Put together from constant pieces.
    Built(String),
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self::Plain(text)
    }
}
impl From<&'static Statement> for Sql {
    fn from(statement: &'static Statement) -> Self {
        Self::Made(statement)
    }
}
impl From<&'static LazyLock<Statement>> for Sql {
    fn from(statement: &'static LazyLock<Statement>) -> Self {
        Self::Made(statement)
    }
}
impl From<String> for Sql {
    fn from(text: String) -> Self {
        Self::Built(text)
    }
}

impl Sql {
    pub fn for_sqlite(self) -> SqlStr {
        match self {
            Self::Plain(text) => text.into_sql_str(),
            Self::Made(statement) => statement.sqlite.as_str().into_sql_str(),
            // Only constant pieces and numbers of placeholders are ever put together.
            Self::Built(text) => AssertSqlSafe(text).into_sql_str(),
        }
    }

    /// SQLite's text, to be looked at.
    #[cfg(test)]
    pub fn text(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Made(statement) => &statement.sqlite,
            Self::Built(text) => text,
        }
    }

    pub fn for_postgres(self) -> SqlStr {
        match self {
            Self::Made(statement) => statement.postgres.as_str().into_sql_str(),
            other => other.for_sqlite(),
        }
    }
}

/// The statements that every table with an id and a version has.
pub(crate) struct Table {
    /// Writes a whole row.
    pub insert: Statement,
    /// Reads one by its id.
    pub get: Statement,
    /// Reads one by its id and locks it.
    pub lock: Statement,
    /// Writes a whole row if its version is still the one that was read.
    pub save: Statement,
}

impl Table {
    /// `stored` are the columns in the order of the values: the id first, the version last.
    /// `selected` is what a read gives, if more than what is stored.
    pub fn new(name: &str, stored: &[&str], selected: &str) -> Self {
        let placeholders: Vec<String> = (1..=stored.len()).map(|n| format!("${n}")).collect();
        let changes: Vec<String> = stored
            .iter()
            .zip(&placeholders)
            .filter(|(column, _)| !matches!(**column, "id" | "version"))
            .map(|(column, placeholder)| format!("{column} = {placeholder}"))
            .collect();
        let insert = format!("INSERT INTO {name} ({}) VALUES ({})", stored.join(", "), placeholders.join(", "));
        let save = format!(
            "UPDATE {name} SET {}, version = version + 1 WHERE id = $1 AND version = ${}",
            changes.join(", "),
            stored.len()
        );
        Self {
            insert: Statement::new(&insert, ""),
            get: Statement::new(&format!("SELECT {{columns}} FROM {name} WHERE id = $1"), selected),
            lock: Statement::new(&format!("SELECT {{columns}} FROM {name} WHERE id = $1{{lock}}"), selected),
            save: Statement::new(&save, ""),
        }
    }
}
