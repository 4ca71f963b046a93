//! Bringing the schema up to date. The rule: the migrations are part of the program, and two
//! processes that start at once do not step on each other.

use std::{path::PathBuf, sync::Arc};

use sqlx::{
    ConnectOptions as _, Connection as _,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};

use crate::StoreError;

static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");

fn failed(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) => error.into(),
        other => StoreError::Migrate(Arc::new(other)),
    }
}

/// The library takes no lock on SQLite, so a file beside the database is locked meanwhile.
pub(crate) async fn sqlite(options: &SqliteConnectOptions) -> Result<(), StoreError> {
    let mut path = options.get_filename().as_os_str().to_owned();
    path.push(".migrate-lock");
    let lock =
        tokio::task::spawn_blocking(move || locked(PathBuf::from(path))).await.map_err(|_| StoreError::Panicked)??;
    let mut conn = options.connect().await?;
    let done = SQLITE.run(&mut conn).await.map_err(failed);
    conn.close().await?;
    drop(lock);
    done
}

fn locked(path: PathBuf) -> Result<std::fs::File, StoreError> {
    let file = |source: std::io::Error| StoreError::File {
        what: "the lock file of the migrations cannot be used",
        source: Arc::new(source),
    };
    let lock = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(file)?;
    lock.lock().map_err(file)?;
    Ok(lock)
}

/// The library takes an advisory lock on PostgreSQL.
pub(crate) async fn postgres(options: &PgConnectOptions) -> Result<(), StoreError> {
    let mut conn = options.connect().await?;
    let done = POSTGRES.run(&mut conn).await.map_err(failed);
    conn.close().await?;
    done
}
