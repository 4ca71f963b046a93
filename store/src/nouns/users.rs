//! People and their identities at Forges. The rule: a person is known by (forge, subject), never by
//! a login or an address.

use std::{collections::HashMap, sync::LazyLock};

use domain::{
    access::{Role, UserStatus},
    id::UserId,
    list::{Filter, Page},
    time::Timestamp,
};

use crate::{
    Conn, StoreError,
    args::{Arg, args},
    list::{Letters, List, ListOf},
    record::Record,
    sql::{Statement, Table},
};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Their id.
    pub id: UserId,
    /// What people call them.
    pub display_name: String,
    /// What they are here.
    pub role: Role,
    /// Whether they may ask for services.
    pub status: UserStatus,
    /// How many services they may hold at once.
    pub max_active: u32,
    /// The subject of the identity that was linked first. Read only: it is not written with the row.
    pub forge_id: Option<String>,
    /// The login of that identity. Read only.
    pub forge_login: Option<String>,
    /// When they were here last.
    pub last_seen_at: Option<Timestamp>,
    /// When they came first.
    pub created_at: Timestamp,
    /// Counts every change.
    pub version: i64,
}

/// A way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRow {
    /// The Forge's address.
    pub forge: String,
    /// The Forge's id of the person.
    pub subject: String,
    /// The login there, as last seen.
    pub login: String,
    /// Whose it is.
    pub user_id: UserId,
    /// Since when.
    pub linked_at: Timestamp,
}

const STORED: &[&str] =
    &["id", "display_name", "search", "role", "status", "max_active", "last_seen_at", "created_at", "version"];
const SELECTED: &str = "id, display_name, role, status, max_active, last_seen_at, created_at, version, \
    (SELECT i.subject FROM identities i WHERE i.user_id = users.id ORDER BY i.linked_at, i.forge, i.subject LIMIT 1) \
    AS forge_id, \
    (SELECT i.login FROM identities i WHERE i.user_id = users.id ORDER BY i.linked_at, i.forge, i.subject LIMIT 1) \
    AS forge_login";

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new("users", STORED, SELECTED));
static BY_IDENTITY: LazyLock<Statement> = LazyLock::new(|| {
    let of =
        "SELECT {columns} FROM users WHERE id = (SELECT user_id FROM identities WHERE forge = $1 AND subject = $2)";
    Statement::new(of, SELECTED)
});
static LIST: LazyLock<ListOf> = LazyLock::new(|| ListOf {
    select: format!("SELECT {SELECTED} FROM users"),
    table: "users",
    id: "id",
    prefix: "usr_",
    search: "search",
    letters: Letters::Folded,
});

/// How many people are asked for at once: few sizes, so that each text is prepared once.
const NAMES_SIZES: [usize; 3] = [1, 10, 50];

const SEEN: &str = "UPDATE users SET last_seen_at = $2 WHERE id = $1";
const IDENTITY_INSERT: &str =
    "INSERT INTO identities (forge, subject, login, user_id, linked_at) VALUES ($1, $2, $3, $4, $5)";
const IDENTITY_LOGIN: &str = "UPDATE identities SET login = $3 WHERE forge = $1 AND subject = $2";
const IDENTITIES: &str = "SELECT forge, subject, login, user_id, linked_at FROM identities WHERE user_id = $1 \
    ORDER BY linked_at, forge, subject LIMIT 100";

fn values(user: &UserRow) -> Vec<Arg> {
    args![
        &user.id,
        &user.display_name,
        user.display_name.to_lowercase(),
        user.role,
        user.status,
        user.max_active,
        user.last_seen_at,
        user.created_at,
        user.version,
    ]
}

fn row(record: &Record) -> Result<UserRow, StoreError> {
    Ok(UserRow {
        id: record.parse("id")?,
        display_name: record.text("display_name")?,
        role: record.parse("role")?,
        status: record.parse("status")?,
        max_active: record.number("max_active")?,
        forge_id: record.opt_text("forge_id")?,
        forge_login: record.opt_text("forge_login")?,
        last_seen_at: record.opt_time("last_seen_at")?,
        created_at: record.time("created_at")?,
        version: record.int("version")?,
    })
}

fn identity(record: &Record) -> Result<IdentityRow, StoreError> {
    Ok(IdentityRow {
        forge: record.text("forge")?,
        subject: record.text("subject")?,
        login: record.text("login")?,
        user_id: record.parse("user_id")?,
        linked_at: record.time("linked_at")?,
    })
}

fn list(filter: &Filter) -> List<'static> {
    List::new(&LIST).only("status", filter.status.as_deref()).only("role", filter.kind.as_deref()).search(filter)
}

impl Conn {
    /// Adds a person.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the id is taken.
    pub async fn user_insert(&mut self, user: &UserRow) -> Result<(), StoreError> {
        self.change(&TABLE.insert, values(user)).await.map(drop)
    }

    /// A person.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn user_get(&mut self, id: &UserId) -> Result<Option<UserRow>, StoreError> {
        self.row(&TABLE.get, args![id]).await?.as_ref().map(row).transpose()
    }

    /// What people call each of `ids`; who does not exist is left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn users_names<'a>(
        &mut self,
        ids: impl IntoIterator<Item = &'a UserId>,
    ) -> Result<HashMap<UserId, String>, StoreError> {
        let mut wanted: Vec<&UserId> = ids.into_iter().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut names = HashMap::with_capacity(wanted.len());
        for some in wanted.chunks(NAMES_SIZES[NAMES_SIZES.len() - 1]) {
            let size = NAMES_SIZES.into_iter().find(|size| *size >= some.len()).unwrap_or(some.len());
            let places: Vec<String> = (1..=size).map(|n| format!("${n}")).collect();
            let sql = format!("SELECT id, display_name FROM users WHERE id IN ({})", places.join(", "));
            // Places without an id of their own repeat the last one.
            let args = (0..size).filter_map(|n| some.get(n).or(some.last())).map(|id| Arg::from(*id)).collect();
            for record in self.rows(sql, args).await? {
                names.insert(record.parse("id")?, record.text("display_name")?);
            }
        }
        Ok(names)
    }

    /// A person, held until the transaction ends.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn user_lock(&mut self, id: &UserId) -> Result<Option<UserRow>, StoreError> {
        self.row(&TABLE.lock, args![id]).await?.as_ref().map(row).transpose()
    }

    /// Writes a person if nobody did since it was read, and counts the version up; answers whether
    /// it was written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn user_save(&mut self, user: &UserRow) -> Result<bool, StoreError> {
        self.change_one(&TABLE.save, values(user)).await
    }

    /// Notes that somebody was here. Not a change that others need to hear of: the version stays.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn user_seen(&mut self, id: &UserId, now: Timestamp) -> Result<bool, StoreError> {
        self.change_one(SEEN, args![id, now]).await
    }

    /// A page of people, newest first: `status`, `kind` is the role; `q` begins a name or an id.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`].
    pub async fn users_page(&mut self, filter: &Filter) -> Result<Page<UserRow>, StoreError> {
        list(filter).page(self, filter, row).await
    }

    /// How many people fit `filter`, counted up to `cap`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn users_count(&mut self, filter: &Filter, cap: u32) -> Result<u32, StoreError> {
        list(filter).count(self, cap).await
    }

    /// The person whom `forge` knows as `subject`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn user_by_identity(&mut self, forge: &str, subject: &str) -> Result<Option<UserRow>, StoreError> {
        self.row(&BY_IDENTITY, args![forge, subject]).await?.as_ref().map(row).transpose()
    }

    /// Links an identity.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] of [`constraint::IDENTITY`](crate::constraint::IDENTITY) if it is linked.
    pub async fn identity_insert(&mut self, identity: &IdentityRow) -> Result<(), StoreError> {
        let args = args![&identity.forge, &identity.subject, &identity.login, &identity.user_id, identity.linked_at];
        self.change(IDENTITY_INSERT, args).await.map(drop)
    }

    /// Notes the login that `forge` now gives `subject`; answers whether the identity is linked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn identity_login_set(&mut self, forge: &str, subject: &str, login: &str) -> Result<bool, StoreError> {
        self.change_one(IDENTITY_LOGIN, args![forge, subject, login]).await
    }

    /// A person's identities, the first linked first; at most 100.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn identities_of(&mut self, user: &UserId) -> Result<Vec<IdentityRow>, StoreError> {
        self.rows(IDENTITIES, args![user]).await?.iter().map(identity).collect()
    }
}
