//! Databases to measure on: each fresh, with everything in a folder or database of its own, gone at
//! the end. The rule: they are opened through the store, with the settings that the server uses.

use anyhow::{Context as _, Result};
use store::{ScratchDatabase, Store};
use tempfile::TempDir;

use crate::Bench;

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The embedded one.
    Sqlite,
    /// The other one.
    Postgres,
}

impl Engine {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// A fresh database and a data folder.
pub struct Database {
    /// Its kind.
    pub engine: Engine,
    /// The data folder of a server on it.
    pub folder: TempDir,
    scratch: Option<ScratchDatabase>,
}

impl Database {
    /// Makes one, with today's schema.
    pub async fn create(bench: &Bench, engine: Engine) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hangar-bench-").tempdir()?;
        let scratch = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                let server = bench.postgres.as_deref().context("there is no PostgreSQL")?;
                Some(ScratchDatabase::create(server).await?)
            }
        };
        let database = Self { engine, folder, scratch };
        let store = database.store().await?;
        store.migrate().await?;
        store.close().await;
        Ok(database)
    }

    /// Its address.
    pub fn url(&self) -> String {
        match &self.scratch {
            Some(scratch) => scratch.url(),
            None => format!("sqlite:{}", self.folder.path().join("hangar.db").display()),
        }
    }

    /// A store on it, in this process.
    pub async fn store(&self) -> Result<Store> {
        Ok(Store::open(&self.url()).await?)
    }

    /// Lets the database do what it would do by itself after a while.
    pub async fn settle(&self) -> Result<()> {
        if let Some(scratch) = &self.scratch {
            scratch.settle().await?;
        }
        Ok(())
    }

    /// Removes it.
    pub async fn remove(self) -> Result<()> {
        if let Some(scratch) = self.scratch {
            scratch.drop().await?;
        }
        Ok(())
    }
}
