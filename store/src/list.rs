//! Lists. The rule: every page is a walk along an index from where the last one ended, so that the
//! thousandth page costs what the first does.
//!
//! Without a search word a list is ordered by id, newest first. With one it is ordered by what is
//! searched; a word that begins like an id of the list narrows the ids instead. The cursor is the
//! id of the last item.

use domain::list::{Filter, Page};

use crate::{Conn, StoreError, args::Arg, record::Record};

/// Items on a page when nothing is said, and at most.
const LIMIT: u32 = 50;
const MOST: u32 = 200;

/// Whether what is searched is stored in lower case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Letters {
    Folded,
    AsTheyAre,
}

/// What a list is made of. All texts are constant pieces of SQL.
pub(crate) struct ListOf {
    /// `SELECT … FROM …`, without a condition.
    pub select: String,
    /// The table, for looking up cursors and counting.
    pub table: &'static str,
    /// The id's column.
    pub id: &'static str,
    /// What every id begins with; empty where ids are the operators' own.
    pub prefix: &'static str,
    /// The column that is searched.
    pub search: &'static str,
    /// How it is stored.
    pub letters: Letters,
}

/// A list being narrowed.
pub(crate) struct List<'a> {
    of: &'a ListOf,
    conditions: Vec<Condition>,
    args: Vec<Arg>,
    order: Order,
    nothing: bool,
}

/// A condition of a list.
enum Condition {
    /// `column = $n`. Only the first one is offered to SQLite's planner, which without statistics
    /// cannot tell the choosier of two indexes: the lists name the choosiest first.
    Equals { column: &'static str, placeholder: String, offered: bool },
    /// Anything else.
    Text(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Newest,
    Search,
}

impl<'a> List<'a> {
    pub fn new(of: &'a ListOf) -> Self {
        Self { of, conditions: Vec::new(), args: Vec::new(), order: Order::Newest, nothing: false }
    }

    fn arg(&mut self, value: impl Into<Arg>) -> String {
        self.args.push(value.into());
        format!("${}", self.args.len())
    }

    /// A condition without a value.
    pub fn fixed(mut self, condition: &'static str) -> Self {
        self.conditions.push(Condition::Text(condition.to_owned()));
        self
    }

    /// Only rows whose `column` is `value`, if there is one. An index is chosen for the first such
    /// column that is asked for.
    pub fn only(self, column: &'static str, value: Option<&str>) -> Self {
        let offered = !self.conditions.iter().any(|c| matches!(c, Condition::Equals { .. }));
        self.equals(column, value, offered)
    }

    /// The same for a column that shares an index with the one before.
    pub fn and(self, column: &'static str, value: Option<&str>) -> Self {
        self.equals(column, value, true)
    }

    fn equals(mut self, column: &'static str, value: Option<&str>, offered: bool) -> Self {
        if let Some(value) = value.map(str::trim).filter(|v| !v.is_empty()) {
            // A NUL cannot stand in a PostgreSQL text, so no row has it.
            self.nothing |= value.contains('\0');
            let placeholder = self.arg(value.replace('\0', ""));
            self.conditions.push(Condition::Equals { column, placeholder, offered });
        }
        self
    }

    /// Ordered by what is searched even without a search word.
    pub fn by_name(mut self) -> Self {
        self.order = Order::Search;
        self
    }

    /// Only rows that begin with the search word.
    pub fn search(mut self, filter: &Filter) -> Self {
        let Some(word) = filter.q.as_deref().map(str::trim).filter(|q| !q.is_empty()) else { return self };
        self.nothing |= word.contains('\0');
        let word = word.replace('\0', "");
        let column = if self.of.id == self.of.search || (!self.of.prefix.is_empty() && word.starts_with(self.of.prefix))
        {
            self.of.id
        } else {
            self.order = Order::Search;
            self.of.search
        };
        let word = if column != self.of.id && self.of.letters == Letters::Folded { word.to_lowercase() } else { word };
        // Nothing that begins with the word comes after the word with the last character there is.
        let after = format!("{word}\u{10FFFF}");
        let (from, to) = (self.arg(word), self.arg(after));
        // The walk is along what is searched.
        for condition in &mut self.conditions {
            if let Condition::Equals { offered, .. } = condition {
                *offered = column == self.of.id && *offered;
            }
        }
        self.conditions.push(Condition::Text(format!("{column} >= {from}")));
        self.conditions.push(Condition::Text(format!("{column} < {to}")));
        self
    }

    fn wheres(&self, conn: &Conn) -> String {
        let texts: Vec<String> = self
            .conditions
            .iter()
            .map(|condition| match condition {
                // A plus sign hides a column from SQLite's planner and changes nothing else.
                Condition::Equals { column, placeholder, offered: false } if conn.is_sqlite() => {
                    format!("+{column} = {placeholder}")
                }
                Condition::Equals { column, placeholder, .. } => format!("{column} = {placeholder}"),
                Condition::Text(text) => text.clone(),
            })
            .collect();
        if texts.is_empty() { String::new() } else { format!(" WHERE {}", texts.join(" AND ")) }
    }

    /// The page that `filter` asks for.
    pub async fn page<T>(
        mut self,
        conn: &mut Conn,
        filter: &Filter,
        item: impl Fn(&Record) -> Result<T, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let limit = filter.limit.unwrap_or(LIMIT).clamp(1, MOST);
        let size = usize::try_from(limit).unwrap_or(usize::MAX);
        if let Some(cursor) = filter.cursor.as_deref() {
            self.after(conn, cursor).await?;
        }
        if self.nothing {
            return Ok(Page { items: Vec::new(), next_cursor: None });
        }
        let sql = self.page_sql(conn, limit);
        let records = conn.rows(sql, self.args).await?;
        let next_cursor = match records.get(size) {
            Some(_) => records.get(size - 1).map(|last| last.text(self.of.id)).transpose()?,
            None => None,
        };
        let items = records.iter().take(size).map(item).collect::<Result<_, _>>()?;
        Ok(Page { items, next_cursor })
    }

    /// The text of the page's query; one more row than asked for tells whether there is a next page.
    fn page_sql(&mut self, conn: &Conn, limit: u32) -> String {
        let (id, search) = (self.of.id, self.of.search);
        let order = match self.order {
            Order::Newest => format!("{id} DESC"),
            Order::Search => format!("{search}, {id}"),
        };
        let most = self.arg(i64::from(limit) + 1);
        format!("{}{} ORDER BY {order} LIMIT {most}", self.of.select, self.wheres(conn))
    }

    /// How many rows there are, counted up to `cap`.
    pub async fn count(mut self, conn: &mut Conn, cap: u32) -> Result<u32, StoreError> {
        if self.nothing {
            return Ok(0);
        }
        let most = self.arg(cap);
        let sql = format!(
            "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM (SELECT 1 AS one FROM {}{} LIMIT {most}) AS counted",
            self.of.table,
            self.wheres(conn)
        );
        conn.count(sql, self.args).await
    }

    /// Only what comes after the item with the id `cursor`.
    async fn after(&mut self, conn: &mut Conn, cursor: &str) -> Result<(), StoreError> {
        let tail = cursor.strip_prefix(self.of.prefix).ok_or(StoreError::BadCursor)?;
        let fits = (1..=128).contains(&tail.len())
            && tail.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'));
        if !fits {
            return Err(StoreError::BadCursor);
        }
        let (table, id, search) = (self.of.table, self.of.id, self.of.search);
        match self.order {
            Order::Newest => {
                let last = self.arg(cursor);
                self.conditions.push(Condition::Text(format!("{id} < {last}")));
            }
            Order::Search => {
                let sql = format!("SELECT {search} AS search FROM {table} WHERE {id} = $1");
                let Some(row) = conn.row(sql, vec![cursor.into()]).await? else { return Err(StoreError::BadCursor) };
                let word = row.opt_text("search")?.ok_or(StoreError::BadCursor)?;
                // The lower bound of the search is behind us; two lower bounds would make the engine
                // choose, and perhaps walk from the first page on.
                let lower = format!("{search} >= ");
                self.conditions.retain(|c| !matches!(c, Condition::Text(text) if text.starts_with(&lower)));
                let (word, last) = (self.arg(word), self.arg(cursor));
                self.conditions.push(Condition::Text(format!("({search}, {id}) > ({word}, {last})")));
            }
        }
        Ok(())
    }
}
