//! Opening a database. The rule: reads and writes never share a connection; what is for reading is
//! told so to the engine itself.

use std::{path::Path, str::FromStr as _, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use sqlx::{
    ConnectOptions as _, Connection as _, PgPool, Postgres, Sqlite, SqlitePool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::watch;

use crate::{
    Conn, StoreError, migrate,
    write::{self, CHANNEL, Queue},
};

/// For how long a caller waits for a connection, and SQLite for another process.
const WAIT: Duration = Duration::from_secs(5);
/// After this time unused a connection is tried out before it is handed out.
const STALE: Duration = Duration::from_secs(10);
/// Connections for reading. Each costs memory; a read takes well under a millisecond.
const READERS: u32 = 6;

/// The database. Cheap to clone; all clones share one writer.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    queue: Queue,
    wakeups: Arc<watch::Sender<u64>>,
    listener: Option<tokio::task::AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

/// The pools of either engine.
#[derive(Clone)]
pub(crate) enum Db {
    Sqlite { readers: SqlitePool, writer: SqlitePool, options: SqliteConnectOptions },
    Postgres { readers: PgPool, writer: PgPool, options: PgConnectOptions },
}

impl Db {
    /// A connection for reading.
    async fn read(&self) -> Result<Conn, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Conn::for_reading_sqlite(readers.acquire().await?),
            Self::Postgres { readers, .. } => Conn::for_reading_postgres(readers.acquire().await?),
        })
    }

    /// The connection for writing.
    pub(crate) async fn writer(&self) -> Result<Conn, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Conn::for_writing_sqlite(writer.acquire().await?),
            Self::Postgres { writer, .. } => Conn::for_writing_postgres(writer.acquire().await?),
        })
    }

    /// Closes every connection.
    async fn close(&self) {
        match self {
            Self::Sqlite { readers, writer, .. } => {
                readers.close().await;
                // Last, so that it leaves no write-ahead log behind.
                writer.close().await;
            }
            Self::Postgres { readers, writer, .. } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }
}

impl Store {
    /// Opens the database at `url`: `sqlite:<path>` (the file is made when absent) or
    /// `postgres://…`. The schema is not touched; see [`Store::migrate`]. Must be called within a
    /// tokio runtime, on which the writer then runs.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for any other address, [`StoreError::Unavailable`] if it does not answer.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let wakeups = Arc::new(watch::channel(0).0);
        let db = if url.starts_with("sqlite:") {
            open_sqlite(url).await?
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            open_postgres(url).await?
        } else {
            return Err(StoreError::Invalid("the database's address begins with sqlite: or postgres:"));
        };
        let listener = match &db {
            Db::Sqlite { .. } => None,
            Db::Postgres { options, .. } => Some(listen(options.clone(), Arc::clone(&wakeups))),
        };
        let queue = write::start(db.clone(), Arc::clone(&wakeups));
        Ok(Self { inner: Arc::new(Inner { db, queue, wakeups, listener }) })
    }

    /// Brings the schema up to date. Any number of processes may call it at once.
    ///
    /// # Errors
    /// [`StoreError::Migrate`] if a migration fails or the database is newer than this program.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match &self.inner.db {
            Db::Sqlite { options, .. } => migrate::sqlite(options).await,
            Db::Postgres { options, .. } => migrate::postgres(options).await,
        }
    }

    /// Whether this is the embedded database.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.inner.db, Db::Sqlite { .. })
    }

    /// A connection for reading. Each of its queries sees what is committed at that moment. Give it
    /// back (drop it) before waiting for anything else.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if none comes free within 5 seconds.
    pub async fn read(&self) -> Result<Conn, StoreError> {
        self.inner.db.read().await
    }

    /// Runs `operation` in a transaction and answers once it is committed, on disk.
    ///
    /// Operations of many callers share one transaction and one commit, in the order in which they
    /// came. If one of them fails, all are rolled back and each is run again in a transaction of
    /// its own, so that none suffers from another: an operation may run several times and must have
    /// no effect but on the database. An operation that fails before it has changed anything
    /// disturbs nobody. An operation whose caller went away still runs. An operation must return
    /// the error of a failed statement; one that goes on is undone with [`StoreError::Aborted`].
    /// It holds up all other writers, so it must never wait for anything but the database.
    ///
    /// # Errors
    /// The operation's own, or [`StoreError`] converted.
    pub async fn write<T, E, F>(&self, operation: F) -> Result<T, E>
    where
        F: for<'a> Fn(&'a mut Conn) -> BoxFuture<'a, Result<T, E>> + Send + Sync + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.inner.queue.put(operation).await
    }

    /// Changes after every commit that changed something; on PostgreSQL also after those of other
    /// processes. The number says nothing.
    pub fn wakeups(&self) -> watch::Receiver<u64> {
        self.inner.wakeups.subscribe()
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError`] if it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read().await?.rows("SELECT 1 AS one", Vec::new()).await.map(drop)
    }

    /// Writes a consistent copy of the embedded database to the file `to`, which must not exist
    /// yet, while everything goes on.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] on PostgreSQL, which has tools of its own.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let Db::Sqlite { options, .. } = &self.inner.db else {
            return Err(StoreError::Unsupported("back up a PostgreSQL database with pg_dump"));
        };
        let Some(to) = to.to_str() else {
            return Err(StoreError::Invalid("the backup's path is not valid UTF-8"));
        };
        if Path::new(to).exists() {
            return Err(StoreError::Invalid("the backup's file exists already"));
        }
        let mut conn = options.connect().await?;
        sqlx::query::<Sqlite>("VACUUM INTO $1").bind(to).execute(&mut conn).await?;
        conn.close().await?;
        Ok(())
    }

    /// Finishes what is queued, refuses what comes later, and closes every connection.
    pub async fn close(&self) {
        if let Some(listener) = &self.inner.listener {
            listener.abort();
        }
        self.inner.queue.close().await;
        self.inner.db.close().await;
    }
}

async fn open_sqlite(url: &str) -> Result<Db, StoreError> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // An intent row that a power cut can lose is a leak.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(WAIT)
        .disable_statement_logging();
    // The writer first: it makes the file and turns the write-ahead log on.
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(WAIT)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .connect_with(options.clone())
        .await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(WAIT)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .connect_lazy_with(options.clone().pragma("query_only", "on").pragma("cache_size", "-1000"));
    Ok(Db::Sqlite { readers, writer, options })
}

async fn open_postgres(url: &str) -> Result<Db, StoreError> {
    let options = PgConnectOptions::from_str(url)?.application_name("hangar").disable_statement_logging();
    let pool = |most: u32, setup: &'static str| {
        PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(WAIT)
            .test_before_acquire(false)
            .before_acquire(|conn, meta| {
                Box::pin(async move {
                    if meta.idle_for > STALE {
                        conn.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |conn, _| {
                Box::pin(async move { sqlx::query::<Postgres>(setup).execute(conn).await.map(drop) })
            })
    };
    let readers = pool(READERS, "SET default_transaction_read_only = on");
    let writer = pool(1, "SET statement_timeout = '30s'").max_lifetime(None).idle_timeout(None);
    Ok(Db::Postgres {
        readers: readers.connect_lazy_with(options.clone()),
        writer: writer.connect_with(options.clone()).await?,
        options,
    })
}

/// Hears of the commits of other processes, for as long as the store lives.
fn listen(options: PgConnectOptions, wakeups: Arc<watch::Sender<u64>>) -> tokio::task::AbortHandle {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(WAIT)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy_with(options);
    tokio::spawn(async move {
        loop {
            let ended = hear(&pool, &wakeups).await;
            if let Err(error) = ended {
                tracing::warn!(%error, "notifications of the database are interrupted");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .abort_handle()
}

async fn hear(pool: &PgPool, wakeups: &watch::Sender<u64>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // Something may have been missed before the first answer and after a lost connection.
        wakeups.send_modify(|n| *n = n.wrapping_add(1));
        listener.try_recv().await?;
    }
}
