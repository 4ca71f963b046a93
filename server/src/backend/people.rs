//! Who one is, one's account, the people, the audit trail.

use app::ports::{AccountPort, Answer, AuditPort, OverviewPort, SessionPort, UsersPort};
use async_trait::async_trait;
use domain::{
    access::Principal,
    audit::AuditEntry,
    id::UserId,
    list::{Filter, Listing},
    overview::Overview,
    user::{AccountPage, Frame, FrameUser, UserPatch, UserView},
};

use super::{Backend, answer};

#[async_trait]
impl SessionPort for Backend {
    async fn frame(&self, caller: Option<&Principal>) -> Answer<Frame> {
        let settings = self.services.settings();
        Ok(Frame {
            me: caller.map(|who| FrameUser {
                id: who.user_id.clone(),
                display_name: who.display_name.clone(),
                role: who.role,
                status: who.status,
            }),
            demo: settings.demo.is_some(),
            forge: settings.forge_configured,
            secret_login: settings.secret_login,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }
}

#[async_trait]
impl AccountPort for Backend {
    async fn show(&self, who: &Principal) -> Answer<AccountPage> {
        answer(self.services.account_page(who).await)
    }
}

#[async_trait]
impl OverviewPort for Backend {
    async fn show(&self, who: &Principal) -> Answer<Overview> {
        answer(self.services.overview(who).await)
    }
}

#[async_trait]
impl UsersPort for Backend {
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<UserView>> {
        answer(self.services.users_page(who, filter).await)
    }

    async fn update(&self, who: &Principal, id: UserId, wish: UserPatch) -> Answer<UserView> {
        answer(self.services.user_patch(who, &id, wish).await)
    }
}

#[async_trait]
impl AuditPort for Backend {
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<AuditEntry>> {
        answer(self.services.audit_page(who, filter).await)
    }
}
