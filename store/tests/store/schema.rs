//! The two migration folders give the same schema, and giving it is safe at any time.

use std::collections::BTreeSet;

use domain::{access::Role, id::UserId};
use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};
use store::Store;

use crate::common::{both, postgres};

/// A column or an index as both engines can tell it.
type Facts = BTreeSet<String>;

fn kind(word: &str) -> &'static str {
    match word.to_ascii_uppercase().as_str() {
        "TEXT" => "text",
        "BIGINT" | "INTEGER" => "int",
        _ => "other",
    }
}

async fn sqlite_facts(url: &str) -> Facts {
    let mut c = SqliteConnection::connect(url).await.unwrap();
    let mut facts = Facts::new();
    let columns = "SELECT t.name AS tab, c.name AS col, c.type AS kind, c.\"notnull\" AS needed, c.pk AS pk \
        FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' \
        AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\'";
    for row in sqlx::query(columns).fetch_all(&mut c).await.unwrap() {
        let (table, column, word): (String, String, String) = (row.get("tab"), row.get("col"), row.get("kind"));
        let (needed, key): (i64, i64) = (row.get("needed"), row.get("pk"));
        facts.insert(format!("{table}.{column} {} needed={} key={}", kind(&word), needed != 0 || key != 0, key));
    }
    let indexes = "SELECT t.name AS tab, i.name AS idx, i.\"unique\" AS uniq, i.partial AS part, \
        (SELECT group_concat(name, ',') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno)) AS cols \
        FROM sqlite_master t JOIN pragma_index_list(t.name) i WHERE t.type = 'table' AND i.origin = 'c'";
    for row in sqlx::query(indexes).fetch_all(&mut c).await.unwrap() {
        let (table, index, columns): (String, String, String) = (row.get("tab"), row.get("idx"), row.get("cols"));
        let (unique, partial): (i64, i64) = (row.get("uniq"), row.get("part"));
        facts.insert(format!("{table} index {index} ({columns}) unique={} partial={}", unique != 0, partial != 0));
    }
    let keys = "SELECT t.name AS tab, f.\"table\" AS target, f.\"from\" AS col FROM sqlite_master t \
        JOIN pragma_foreign_key_list(t.name) f WHERE t.type = 'table'";
    for row in sqlx::query(keys).fetch_all(&mut c).await.unwrap() {
        let (table, column, target): (String, String, String) = (row.get("tab"), row.get("col"), row.get("target"));
        facts.insert(format!("{table}.{column} refers to {target}"));
    }
    facts
}

async fn postgres_facts(url: &str) -> Facts {
    let mut c = PgConnection::connect(url).await.unwrap();
    let mut facts = Facts::new();
    let columns = "SELECT c.table_name::text AS tab, c.column_name::text AS col, c.data_type::text AS kind, \
        c.is_nullable = 'NO' AS needed, COALESCE(k.ordinal_position, 0)::bigint AS pk \
        FROM information_schema.columns c LEFT JOIN information_schema.key_column_usage k \
        ON k.table_name = c.table_name AND k.column_name = c.column_name AND k.constraint_name = c.table_name || '_pkey' \
        WHERE c.table_schema = 'public' AND c.table_name NOT LIKE '\\_sqlx%'";
    for row in sqlx::query(columns).fetch_all(&mut c).await.unwrap() {
        let (table, column, word): (String, String, String) = (row.get("tab"), row.get("col"), row.get("kind"));
        let (needed, key): (bool, i64) = (row.get("needed"), row.get("pk"));
        facts.insert(format!("{table}.{column} {} needed={needed} key={key}", kind(&word)));
    }
    let indexes = "SELECT t.relname::text AS tab, i.relname::text AS idx, x.indisunique AS uniq, \
        x.indpred IS NOT NULL AS part, (SELECT string_agg(a.attname, ',' ORDER BY o.n) \
        FROM unnest(x.indkey::int[]) WITH ORDINALITY AS o(att, n) \
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = o.att) AS cols \
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid \
        JOIN pg_namespace s ON s.oid = t.relnamespace \
        WHERE s.nspname = 'public' AND NOT x.indisprimary AND t.relname NOT LIKE '\\_sqlx%'";
    for row in sqlx::query(indexes).fetch_all(&mut c).await.unwrap() {
        let (table, index, columns): (String, String, String) = (row.get("tab"), row.get("idx"), row.get("cols"));
        let (unique, partial): (bool, bool) = (row.get("uniq"), row.get("part"));
        facts.insert(format!("{table} index {index} ({columns}) unique={unique} partial={partial}"));
    }
    let keys = "SELECT t.relname::text AS tab, a.attname::text AS col, f.relname::text AS target \
        FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid \
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.conkey[1] WHERE k.contype = 'f'";
    for row in sqlx::query(keys).fetch_all(&mut c).await.unwrap() {
        let (table, column, target): (String, String, String) = (row.get("tab"), row.get("col"), row.get("target"));
        facts.insert(format!("{table}.{column} refers to {target}"));
    }
    facts
}

#[tokio::test]
async fn both_engines_have_the_same_schema() {
    let seen = std::sync::Mutex::new(Vec::new());
    both(|db| {
        let seen = &seen;
        async move {
            let facts = if db.store.is_sqlite() { sqlite_facts(&db.url).await } else { postgres_facts(&db.url).await };
            assert!(facts.len() > 150, "{} facts are too few to be a schema", facts.len());
            seen.lock().unwrap().push(facts);
        }
    })
    .await;
    let seen = seen.into_inner().unwrap();
    if let [sqlite, postgres] = &seen[..] {
        let only = |a: &Facts, b: &Facts| a.difference(b).cloned().collect::<Vec<_>>();
        assert_eq!(only(sqlite, postgres), Vec::<String>::new(), "only on SQLite");
        assert_eq!(only(postgres, sqlite), Vec::<String>::new(), "only on PostgreSQL");
    } else {
        assert!(postgres().is_none());
    }
}

#[tokio::test]
async fn processes_may_migrate_at_once_and_again() {
    both(|db| async move {
        let stores = [Store::open(&db.url).await.unwrap(), Store::open(&db.url).await.unwrap()];
        let [a, b] = &stores;
        let (a, b, c) = tokio::join!(a.migrate(), b.migrate(), db.store.migrate());
        a.unwrap();
        b.unwrap();
        c.unwrap();
        for store in &stores {
            store.close().await;
        }
        let admin = db.read().await.user_get(&UserId::admin()).await.unwrap().unwrap();
        assert_eq!((admin.role, admin.display_name.as_str()), (Role::Admin, "Administrator"));
    })
    .await;
}

#[tokio::test]
async fn an_empty_database_may_be_migrated_by_several_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("hangar.db").display());
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(Store::open(&url).await.unwrap());
    }
    let ended = futures::future::join_all(stores.iter().map(Store::migrate)).await;
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    assert!(stores[0].read().await.unwrap().user_get(&UserId::admin()).await.unwrap().is_some());
}

#[tokio::test]
async fn other_addresses_are_refused() {
    assert!(Store::open("mysql://localhost/hangar").await.is_err());
    assert!(Store::open("hangar.db").await.is_err());
}

#[tokio::test]
async fn a_backup_is_a_whole_database() {
    both(|db| async move {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it's a copy.db");
        db.write(|c| Box::pin(async move { c.setting_put("colour", "green").await })).await.unwrap();
        let done = db.store.backup(&file).await;
        if db.store.is_sqlite() {
            done.unwrap();
            let copy = Store::open(&format!("sqlite:{}", file.display())).await.unwrap();
            assert_eq!(copy.read().await.unwrap().setting_get("colour").await.unwrap().as_deref(), Some("green"));
            copy.close().await;
            assert!(db.store.backup(&file).await.is_err(), "an old backup is not overwritten");
        } else {
            assert!(done.unwrap_err().to_string().contains("pg_dump"));
        }
        db.store.ping().await.unwrap();
    })
    .await;
}
