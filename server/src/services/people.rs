//! People: who they are after signing in, what they may, and how an administrator changes that.

use domain::{
    access::{Principal, Role, UserStatus, Via},
    code::Code,
    id::UserId,
    job::Subject,
    list::{Filter, Listing},
    user::{AccountPage, Identity, UserPatch, UserView},
};
use store::{FreshId, IdentityRow, UserRow};

use super::{
    Services, Signup,
    audit::{Happened, audit_in, event},
    need_admin,
    views::user_view,
};
use crate::fault::Fault;

/// A person as the Forge knows them. Nothing in here is a key but forge and subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgePerson {
    /// The Forge's address.
    pub forge: String,
    /// The Forge's unchangeable id of the person.
    pub subject: String,
    /// The login, which may change.
    pub login: String,
    /// What people call them.
    pub display_name: String,
}

impl Services {
    /// Finds or makes the user of a person whom the Forge has just vouched for.
    ///
    /// # Errors
    /// `forbidden` if the user is suspended.
    pub async fn forge_sign_in(&self, person: ForgePerson) -> Result<Principal, Fault> {
        let now = self.clock.now();
        let is_admin = self.settings.admin_forge_users.iter().any(|login| login.eq_ignore_ascii_case(&person.login));
        let first_status = match self.settings.signup {
            _ if is_admin => UserStatus::Active,
            Signup::Open => UserStatus::Active,
            Signup::Closed => UserStatus::Pending,
        };
        let row = self
            .write::<UserRow, Fault, _>(move |c| {
                let person = person.clone();
                Box::pin(async move {
                    let mut row = match c.user_by_identity(&person.forge, &person.subject).await? {
                        Some(row) => row,
                        None => {
                            let row = UserRow {
                                id: UserId::fresh(),
                                display_name: person.display_name.clone(),
                                role: if is_admin { Role::Admin } else { Role::User },
                                status: first_status,
                                max_active: 1,
                                forge_id: Some(person.subject.clone()),
                                forge_login: Some(person.login.clone()),
                                last_seen_at: Some(now),
                                created_at: now,
                                version: 1,
                            };
                            c.user_insert(&row).await?;
                            c.identity_insert(&IdentityRow {
                                forge: person.forge.clone(),
                                subject: person.subject.clone(),
                                login: person.login.clone(),
                                user_id: row.id.clone(),
                                linked_at: now,
                            })
                            .await?;
                            row
                        }
                    };
                    if row.status == UserStatus::Suspended {
                        return Err(Fault::new(Code::Forbidden, "This account is suspended."));
                    }
                    if row.forge_login.as_deref() != Some(&person.login) {
                        c.identity_login_set(&person.forge, &person.subject, &person.login).await?;
                    }
                    // The allow-list makes administrators; taking a login off it is done on the
                    // page of the people, so that nobody locks themselves out by a typing error.
                    if is_admin && (row.role != Role::Admin || row.status != UserStatus::Active) {
                        row.role = Role::Admin;
                        row.status = UserStatus::Active;
                        c.user_save(&row).await?;
                        row.version += 1;
                    }
                    c.user_seen(&row.id, now).await?;
                    let who = principal(&row, Via::Session);
                    audit_in(
                        c,
                        Happened::ok(&who, "sign-in.forge", Subject::new("user", &row.id), now).detail(person.login),
                    )
                    .await?;
                    c.event_insert(&[event("user", &row.id, row.version, None)]).await?;
                    Ok(row)
                })
            })
            .await?;
        Ok(principal(&row, Via::Session))
    }

    /// Notes a sign-in by the admin secret.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub async fn secret_sign_in(&self) -> Result<Principal, Fault> {
        let now = self.clock.now();
        self.write::<(), Fault, _>(move |c| {
            Box::pin(async move {
                let who = Principal { via: Via::Session, ..Principal::admin_secret() };
                c.user_seen(&who.user_id, now).await?;
                audit_in(c, Happened::ok(&who, "sign-in.secret", Subject::new("user", &who.user_id), now)).await
            })
        })
        .await?;
        Ok(Principal { via: Via::Session, ..Principal::admin_secret() })
    }

    /// Who a session's user is at present; `None` if there is no such user.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub async fn user_principal(&self, id: &UserId, via: Via) -> Result<Option<Principal>, Fault> {
        Ok(self.store.read().await?.user_get(id).await?.map(|row| principal(&row, via)))
    }

    /// The caller.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub async fn me(&self, who: &Principal) -> Result<UserView, Fault> {
        let row = self.store.read().await?.user_get(&who.user_id).await?;
        row.as_ref().map(user_view).ok_or_else(|| Fault::not_found("user"))
    }

    /// The people, newest first.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn users_page(&self, who: &Principal, filter: Filter) -> Result<Listing<UserView>, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let page = c.users_page(&filter).await?;
        let count = c.users_count(&filter, Listing::<()>::COUNT_CAP).await?;
        let items = page.items.iter().map(user_view).collect();
        Ok(Listing { items, next_cursor: page.next_cursor, count })
    }

    /// Approves or suspends a person, changes role or quota. Whoever is suspended is signed out
    /// everywhere.
    ///
    /// # Errors
    /// `not_found`; `conflict` for a change that would shut the caller out.
    pub async fn user_patch(&self, who: &Principal, id: &UserId, patch: UserPatch) -> Result<UserView, Fault> {
        let outcome = self.patch_user(who, id, patch).await;
        if let Err(fault) = &outcome {
            self.audit_refused(Some(who), "user.update", Subject::new("user", id), fault).await;
        }
        outcome
    }

    async fn patch_user(&self, who: &Principal, id: &UserId, patch: UserPatch) -> Result<UserView, Fault> {
        need_admin(who)?;
        let harms_self = patch.role == Some(Role::User) || patch.status.is_some_and(|s| s != UserStatus::Active);
        if (*id == who.user_id || *id == UserId::admin()) && harms_self {
            return Err(Fault::new(Code::ConflictState, "This would shut you, or the administrator's account, out."));
        }
        if patch.max_active.is_some_and(|n| n > 1_000) {
            return Err(Fault::field("/max_active", "use 0 to 1000"));
        }
        let now = self.clock.now();
        let admins = self.settings.admin_forge_users.clone();
        let (who, id) = (who.clone(), id.clone());
        let row = self
            .write::<UserRow, Fault, _>(move |c| {
                let (who, id, patch, admins) = (who.clone(), id.clone(), patch.clone(), admins.clone());
                Box::pin(async move {
                    let mut row = c.user_lock(&id).await?.ok_or_else(|| Fault::not_found("user"))?;
                    let listed = row.forge_login.as_ref().is_some_and(|l| admins.iter().any(|a| a.eq_ignore_ascii_case(l)));
                    if listed && harms_self {
                        return Err(Fault::new(
                            Code::ConflictState,
                            "This person is in HANGAR_ADMIN_FORGE_USERS and would be an administrator again at the next sign-in. Take the login off that list first.",
                        ));
                    }
                    row.role = patch.role.unwrap_or(row.role);
                    row.status = patch.status.unwrap_or(row.status);
                    row.max_active = patch.max_active.unwrap_or(row.max_active);
                    c.user_save(&row).await?;
                    row.version += 1;
                    if row.status == UserStatus::Suspended {
                        c.sessions_delete_of(&id).await?;
                    }
                    let line = Happened::ok(&who, "user.update", Subject::new("user", &id), now)
                        .detail(format!("{} {}, quota {}", row.role, row.status, row.max_active));
                    audit_in(c, line).await?;
                    c.event_insert(&[event("user", &id, row.version, Some(&id))]).await?;
                    Ok(row)
                })
            })
            .await?;
        Ok(user_view(&row))
    }

    /// What the account page shows.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub async fn account_page(&self, who: &Principal) -> Result<AccountPage, Fault> {
        let user = self.me(who).await?;
        let rows = self.store.read().await?.identities_of(&who.user_id).await?;
        let identities = rows
            .into_iter()
            .map(|row| Identity { forge: row.forge, login: row.login, linked_at: row.linked_at })
            .collect();
        Ok(AccountPage { user, identities })
    }
}

fn principal(row: &UserRow, via: Via) -> Principal {
    Principal {
        user_id: row.id.clone(),
        display_name: row.display_name.clone(),
        role: row.role,
        status: row.status,
        via,
    }
}
