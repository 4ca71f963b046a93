//! Databases that live as long as a test. Only with the feature `scratch`, which nothing but tests
//! and benchmarks turn on.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::StoreError;

/// A PostgreSQL database of its own, made on the server of an administrative URL.
#[derive(Debug)]
pub struct ScratchDatabase {
    admin_url: String,
    name: String,
}

impl ScratchDatabase {
    /// Makes a database with a random name on the server that `admin_url` reaches.
    ///
    /// # Errors
    /// [`StoreError`] if the server cannot be reached or refuses.
    pub async fn create(admin_url: &str) -> Result<Self, StoreError> {
        let name = format!("hangar_test_{}", uuid::Uuid::now_v7().simple());
        let mut c = PgConnection::connect(admin_url).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut c).await?;
        c.close().await?;
        Ok(Self { admin_url: admin_url.to_owned(), name })
    }

    /// The URL of the database.
    pub fn url(&self) -> String {
        let (server, _) = self.admin_url.rsplit_once('/').unwrap_or((&self.admin_url, ""));
        format!("{server}/{}", self.name)
    }

    /// Cleans up and gathers statistics, as the server does by itself some time after a table has
    /// grown; so that what is measured does not depend on when that is.
    ///
    /// # Errors
    /// [`StoreError`] if the server cannot be reached or refuses.
    pub async fn settle(&self) -> Result<(), StoreError> {
        let mut c = PgConnection::connect(&self.url()).await?;
        sqlx::query("VACUUM (ANALYZE)").execute(&mut c).await?;
        c.close().await?;
        Ok(())
    }

    /// Removes the database, whoever is still connected.
    ///
    /// # Errors
    /// [`StoreError`] if the server cannot be reached or refuses.
    pub async fn drop(self) -> Result<(), StoreError> {
        let mut c = PgConnection::connect(&self.admin_url).await?;
        sqlx::query(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)))
            .execute(&mut c)
            .await?;
        c.close().await?;
        Ok(())
    }
}
