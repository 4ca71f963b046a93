//! One connection of either engine. The rule: here and in `db` the two engines are told apart, and
//! nowhere else; every query is a method in `nouns/`.

use sqlx::{Executor as _, Postgres, Sqlite, pool::PoolConnection, query_with};

use crate::{
    PoolRow, StoreError,
    args::{Arg, for_postgres, for_sqlite},
    nouns::pending::Pending,
    record::Record,
    sql::Sql,
};

/// A connection: from [`Store::read`](crate::Store::read) for reading, or inside
/// [`Store::write`](crate::Store::write), where changes are allowed too.
pub struct Conn {
    link: Link,
    access: Access,
    /// What the operation under way has done so far.
    pub(crate) progress: Progress,
    /// Lines of the trail and live events, written together just before the commit.
    pub(crate) pending: Pending,
    /// The pools that this transaction has locked, as they are: nobody else can change them now.
    pub(crate) pools_locked: Vec<PoolRow>,
    /// Every text that was run, for the test that reads the plans.
    #[cfg(test)]
    pub(crate) texts: Vec<String>,
}

enum Link {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// What an operation has done so far.
#[derive(Default)]
pub(crate) struct Progress {
    /// Whether rows were changed.
    pub changed: bool,
    /// The first statement that failed.
    pub failed: Option<StoreError>,
}

const READ_ONLY: StoreError = StoreError::Invalid("a connection for reading cannot change anything");

impl Conn {
    pub(crate) fn for_reading_sqlite(link: PoolConnection<Sqlite>) -> Self {
        Self::new(Link::Sqlite(link), Access::Read)
    }

    pub(crate) fn for_reading_postgres(link: PoolConnection<Postgres>) -> Self {
        Self::new(Link::Postgres(link), Access::Read)
    }

    pub(crate) fn for_writing_sqlite(link: PoolConnection<Sqlite>) -> Self {
        Self::new(Link::Sqlite(link), Access::Write)
    }

    pub(crate) fn for_writing_postgres(link: PoolConnection<Postgres>) -> Self {
        Self::new(Link::Postgres(link), Access::Write)
    }

    fn new(link: Link, access: Access) -> Self {
        Self {
            link,
            access,
            progress: Progress::default(),
            pending: Pending::default(),
            pools_locked: Vec::new(),
            #[cfg(test)]
            texts: Vec::new(),
        }
    }

    /// Whether this is SQLite.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.link, Link::Sqlite(_))
    }

    /// The rows that a query gives.
    pub(crate) async fn rows(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<Vec<Record>, StoreError> {
        let answer = self.fetch(sql.into(), args).await;
        self.noted(answer)
    }

    /// The first row that a query gives.
    pub(crate) async fn row(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<Option<Record>, StoreError> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    /// The one number that a query gives as `n`; 0 without a row.
    pub(crate) async fn count(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<u32, StoreError> {
        match self.row(sql, args).await? {
            Some(record) => record.number("n"),
            None => Ok(0),
        }
    }

    /// Changes rows; answers how many.
    pub(crate) async fn change(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<u64, StoreError> {
        self.may_change()?;
        let answer = self.execute(sql.into(), args).await;
        let rows = self.noted(answer)?;
        self.progress.changed |= rows > 0;
        Ok(rows)
    }

    /// Changes at most one row; answers whether there was one.
    pub(crate) async fn change_one(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<bool, StoreError> {
        Ok(self.change(sql, args).await? > 0)
    }

    /// Changes rows and gives them as they are afterwards.
    pub(crate) async fn change_rows(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<Vec<Record>, StoreError> {
        self.may_change()?;
        let answer = self.fetch(sql.into(), args).await;
        let rows = self.noted(answer)?;
        self.progress.changed |= !rows.is_empty();
        Ok(rows)
    }

    pub(crate) fn may_change(&self) -> Result<(), StoreError> {
        if self.access == Access::Write { Ok(()) } else { Err(READ_ONLY) }
    }

    async fn fetch(&mut self, sql: Sql, args: Vec<Arg>) -> Result<Vec<Record>, StoreError> {
        #[cfg(test)]
        self.texts.push(sql.text().to_owned());
        Ok(match &mut self.link {
            Link::Sqlite(link) => query_with::<Sqlite, _>(sql.for_sqlite(), for_sqlite(args)?)
                .fetch_all(&mut **link)
                .await?
                .into_iter()
                .map(Record::Sqlite)
                .collect(),
            Link::Postgres(link) => query_with::<Postgres, _>(sql.for_postgres(), for_postgres(args)?)
                .fetch_all(&mut **link)
                .await?
                .into_iter()
                .map(Record::Postgres)
                .collect(),
        })
    }

    async fn execute(&mut self, sql: Sql, args: Vec<Arg>) -> Result<u64, StoreError> {
        #[cfg(test)]
        self.texts.push(sql.text().to_owned());
        Ok(match &mut self.link {
            Link::Sqlite(link) => {
                query_with::<Sqlite, _>(sql.for_sqlite(), for_sqlite(args)?).execute(&mut **link).await?.rows_affected()
            }
            Link::Postgres(link) => query_with::<Postgres, _>(sql.for_postgres(), for_postgres(args)?)
                .execute(&mut **link)
                .await?
                .rows_affected(),
        })
    }

    fn noted<T>(&mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &answer {
            self.progress.failed.get_or_insert_with(|| error.clone());
        }
        answer
    }

    /// Begins a transaction. On SQLite it takes the write lock at once: a transaction that read
    /// first and then wrote could not be carried on if another process wrote in between.
    pub(crate) async fn begin(&mut self) -> Result<(), StoreError> {
        self.pending = Pending::default();
        self.progress = Progress::default();
        self.pools_locked.clear();
        match &mut self.link {
            Link::Sqlite(link) => (&mut **link).execute("BEGIN IMMEDIATE").await.map(drop)?,
            Link::Postgres(link) => (&mut **link).execute("BEGIN").await.map(drop)?,
        }
        Ok(())
    }

    /// Commits. An error means that nothing was kept, apart from
    /// [`StoreError::OutcomeUnknown`], which says that nobody knows.
    pub(crate) async fn commit(&mut self) -> Result<(), StoreError> {
        self.pools_locked.clear();
        match &mut self.link {
            Link::Sqlite(link) => (&mut **link).execute("COMMIT").await.map(drop)?,
            Link::Postgres(link) => match (&mut **link).execute("COMMIT").await {
                Ok(_) => {}
                Err(error @ sqlx::Error::Database(_)) => return Err(error.into()),
                Err(error) => return Err(StoreError::OutcomeUnknown(error.into())),
            },
        }
        Ok(())
    }

    /// Rolls back; answers whether the connection can be used on.
    pub(crate) async fn rollback(&mut self) -> bool {
        self.pending = Pending::default();
        self.pools_locked.clear();
        match &mut self.link {
            Link::Sqlite(link) => (&mut **link).execute("ROLLBACK").await.is_ok(),
            Link::Postgres(link) => (&mut **link).execute("ROLLBACK").await.is_ok(),
        }
    }

    /// Drops the connection instead of giving it back.
    pub(crate) fn discard(self) {
        match self.link {
            Link::Sqlite(link) => drop(link.detach()),
            Link::Postgres(link) => drop(link.detach()),
        }
    }
}
