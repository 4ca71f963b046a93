//! Who may do what. The rule: default deny; every page, server function and REST route stands in
//! [`ACCESS`], and a test holds the table against the running server.

use serde::{Deserialize, Serialize};

use crate::{id::UserId, state::words};

words! {
    /// What a person is to this installation.
    Role {
        /// Asks for services and holds them.
        User = "user",
        /// Manages providers, nodes, pools and allocations.
        Admin = "admin",
    }
}

words! {
    /// Whether a person may ask for services.
    UserStatus {
        /// Signed in once, not yet approved.
        Pending = "pending",
        /// Approved.
        Active = "active",
        /// Shut out.
        Suspended = "suspended",
    }
}

words! {
    /// How a caller proved who it is.
    Via {
        /// A browser session.
        Session = "session",
        /// The admin secret in a header.
        AdminSecret = "admin_secret",
        /// An API token.
        Token = "token",
        /// Hangar itself, for what the clock starts.
        System = "system",
    }
}

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The user.
    pub user_id: UserId,
    /// What people call the user.
    pub display_name: String,
    /// The role.
    pub role: Role,
    /// The standing.
    pub status: UserStatus,
    /// How it was proven.
    pub via: Via,
}

impl Principal {
    /// The principal of the admin secret.
    pub fn admin_secret() -> Self {
        Self {
            user_id: UserId::admin(),
            display_name: "Administrator".to_owned(),
            role: Role::Admin,
            status: UserStatus::Active,
            via: Via::AdminSecret,
        }
    }

    /// Hangar itself.
    pub fn system() -> Self {
        Self { display_name: "Hangar".to_owned(), via: Via::System, ..Self::admin_secret() }
    }

    /// Whether this is an administrator in good standing.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin && self.status == UserStatus::Active
    }
}

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Public,
    /// Any signed-in person who is not suspended; what they see is narrowed to what is theirs.
    SignedIn,
    /// An administrator.
    Admin,
}

/// The kind of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// A page; nobody is sent to the sign-in.
    Page,
    /// A server function of the pages.
    Rpc,
    /// A REST route or another plain HTTP route.
    Rest,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessRule {
    /// The kind of route.
    pub surface: Surface,
    /// The HTTP method.
    pub method: &'static str,
    /// The path; `{name}` stands for one segment.
    pub path: &'static str,
    /// What it asks of its caller.
    pub need: Need,
}

const fn rule(surface: Surface, method: &'static str, path: &'static str, need: Need) -> AccessRule {
    AccessRule { surface, method, path, need }
}
const fn page(path: &'static str, need: Need) -> AccessRule {
    rule(Surface::Page, "GET", path, need)
}
const fn rpc(path: &'static str, need: Need) -> AccessRule {
    rule(Surface::Rpc, "POST", path, need)
}
const fn get(path: &'static str, need: Need) -> AccessRule {
    rule(Surface::Rest, "GET", path, need)
}
const fn post(path: &'static str, need: Need) -> AccessRule {
    rule(Surface::Rest, "POST", path, need)
}
const fn put(path: &'static str, need: Need) -> AccessRule {
    rule(Surface::Rest, "PUT", path, need)
}
const fn patch(path: &'static str, need: Need) -> AccessRule {
    rule(Surface::Rest, "PATCH", path, need)
}
const fn delete(path: &'static str, need: Need) -> AccessRule {
    rule(Surface::Rest, "DELETE", path, need)
}

/// Every route and what it asks of its caller. What is not here is refused.
pub const ACCESS: &[AccessRule] = &[
    page("/", Need::SignedIn),
    page("/login", Need::Public),
    page("/dashboard", Need::SignedIn),
    page("/services/{id}", Need::SignedIn),
    page("/account", Need::SignedIn),
    page("/providers", Need::Admin),
    page("/providers/{id}", Need::Admin),
    page("/nodes", Need::Admin),
    page("/nodes/{id}", Need::Admin),
    page("/pools", Need::Admin),
    page("/pools/{name}", Need::Admin),
    page("/allocations", Need::Admin),
    page("/dns", Need::Admin),
    page("/dns/{id}", Need::Admin),
    page("/users", Need::Admin),
    page("/jobs", Need::Admin),
    page("/jobs/{id}", Need::Admin),
    page("/audit", Need::Admin),
    page("/profiles", Need::Admin),
    page("/profiles/{name}", Need::Admin),
    page("/blueprints", Need::Admin),
    page("/blueprints/{name}", Need::Admin),
    page("/backups", Need::Admin),
    page("/orphans", Need::Admin),
    page("/settings", Need::Admin),
    rpc("/rpc/session/me", Need::Public),
    rpc("/rpc/account/show", Need::SignedIn),
    rpc("/rpc/overview/show", Need::Admin),
    rpc("/rpc/dashboard/show", Need::SignedIn),
    rpc("/rpc/services/show", Need::SignedIn),
    rpc("/rpc/services/request", Need::SignedIn),
    rpc("/rpc/services/release", Need::SignedIn),
    rpc("/rpc/services/extend", Need::SignedIn),
    rpc("/rpc/providers/list", Need::Admin),
    rpc("/rpc/providers/show", Need::Admin),
    rpc("/rpc/providers/connect", Need::Admin),
    rpc("/rpc/providers/replace_secret", Need::Admin),
    rpc("/rpc/providers/act", Need::Admin),
    rpc("/rpc/nodes/list", Need::Admin),
    rpc("/rpc/nodes/show", Need::Admin),
    rpc("/rpc/nodes/acquire_options", Need::Admin),
    rpc("/rpc/nodes/acquire", Need::Admin),
    rpc("/rpc/nodes/act", Need::Admin),
    rpc("/rpc/nodes/upgrade", Need::Admin),
    rpc("/rpc/nodes/exec", Need::Admin),
    rpc("/rpc/profiles/list", Need::Admin),
    rpc("/rpc/profiles/show", Need::Admin),
    rpc("/rpc/profiles/save", Need::Admin),
    rpc("/rpc/blueprints/list", Need::Admin),
    rpc("/rpc/blueprints/show", Need::Admin),
    rpc("/rpc/blueprints/save", Need::Admin),
    rpc("/rpc/blueprints/retire", Need::Admin),
    rpc("/rpc/backups/list", Need::Admin),
    rpc("/rpc/backups/delete", Need::Admin),
    rpc("/rpc/orphans/report", Need::Admin),
    rpc("/rpc/orphans/sweep_dry", Need::Admin),
    rpc("/rpc/orphans/sweep", Need::Admin),
    rpc("/rpc/settings/acquisition", Need::Admin),
    rpc("/rpc/settings/acquisition_set", Need::Admin),
    rpc("/rpc/pools/list", Need::Admin),
    rpc("/rpc/pools/show", Need::Admin),
    rpc("/rpc/pools/create", Need::Admin),
    rpc("/rpc/pools/update", Need::Admin),
    rpc("/rpc/pools/template", Need::Admin),
    rpc("/rpc/pools/act", Need::Admin),
    rpc("/rpc/pools/vm_status", Need::Admin),
    rpc("/rpc/allocations/list", Need::Admin),
    rpc("/rpc/allocations/act", Need::Admin),
    rpc("/rpc/dns/list", Need::Admin),
    rpc("/rpc/dns/show", Need::Admin),
    rpc("/rpc/dns/create", Need::Admin),
    rpc("/rpc/dns/act", Need::Admin),
    rpc("/rpc/dns/zones", Need::Admin),
    rpc("/rpc/users/list", Need::Admin),
    rpc("/rpc/users/update", Need::Admin),
    rpc("/rpc/jobs/list", Need::Admin),
    rpc("/rpc/jobs/show", Need::Admin),
    rpc("/rpc/jobs/act", Need::Admin),
    rpc("/rpc/audit/list", Need::Admin),
    get("/auth/forge/start", Need::Public),
    get("/auth/forge/callback", Need::Public),
    post("/auth/secret", Need::Public),
    post("/auth/logout", Need::Public),
    get("/healthz", Need::Public),
    get("/readyz", Need::Public),
    get("/metrics", Need::Admin),
    get("/api/v1/openapi.json", Need::SignedIn),
    get("/docs/api", Need::SignedIn),
    get("/docs/errors", Need::Public),
    get("/api/v1/events", Need::SignedIn),
    get("/api/v1/me", Need::SignedIn),
    get("/api/v1/users", Need::Admin),
    patch("/api/v1/users/{id}", Need::Admin),
    get("/api/v1/audit", Need::Admin),
    get("/api/v1/provider-kinds", Need::Admin),
    get("/api/v1/providers", Need::Admin),
    post("/api/v1/providers", Need::Admin),
    get("/api/v1/providers/{id}", Need::Admin),
    delete("/api/v1/providers/{id}", Need::Admin),
    put("/api/v1/providers/{id}/secret", Need::Admin),
    post("/api/v1/providers/{id}/check", Need::Admin),
    get("/api/v1/providers/{id}/catalog", Need::Admin),
    get("/api/v1/providers/{id}/zones", Need::Admin),
    get("/api/v1/providers/{id}/history", Need::Admin),
    post("/api/v1/providers/{id}/actions/{identity}", Need::Admin),
    get("/api/v1/nodes", Need::Admin),
    post("/api/v1/nodes", Need::Admin),
    get("/api/v1/nodes/{id}", Need::Admin),
    get("/api/v1/nodes/{id}/history", Need::Admin),
    post("/api/v1/nodes/{id}/actions/{identity}", Need::Admin),
    get("/api/v1/dns-records", Need::Admin),
    post("/api/v1/dns-records", Need::Admin),
    get("/api/v1/dns-records/{id}", Need::Admin),
    delete("/api/v1/dns-records/{id}", Need::Admin),
    get("/api/v1/dns-records/{id}/history", Need::Admin),
    post("/api/v1/dns-records/{id}/actions/{identity}", Need::Admin),
    post("/api/v1/infra/{operation}", Need::Admin),
    get("/api/v1/profiles", Need::Admin),
    get("/api/v1/profiles/{name}", Need::Admin),
    put("/api/v1/profiles/{name}", Need::Admin),
    get("/api/v1/blueprints", Need::Admin),
    post("/api/v1/blueprints", Need::Admin),
    get("/api/v1/blueprints/{name}", Need::Admin),
    put("/api/v1/blueprints/{name}", Need::Admin),
    delete("/api/v1/blueprints/{name}", Need::Admin),
    get("/api/v1/backups", Need::Admin),
    get("/api/v1/backups/{id}", Need::Admin),
    delete("/api/v1/backups/{id}", Need::Admin),
    get("/api/v1/backups/{id}/download", Need::Admin),
    get("/api/v1/orphans", Need::Admin),
    post("/api/v1/orphans/sweep", Need::Admin),
    get("/api/v1/settings/acquisition", Need::Admin),
    put("/api/v1/settings/acquisition", Need::Admin),
    get("/api/v1/jobs", Need::Admin),
    get("/api/v1/jobs/{id}", Need::Admin),
    get("/api/v1/jobs/{id}/history", Need::Admin),
    post("/api/v1/jobs/{id}/cancel", Need::Admin),
    post("/api/v1/jobs/{id}/retry", Need::Admin),
    post("/api/v1/jobs/{id}/actions/{identity}", Need::Admin),
    get("/api/v1/pools", Need::Admin),
    post("/api/v1/pools", Need::Admin),
    get("/api/v1/pools/{name}", Need::Admin),
    patch("/api/v1/pools/{name}", Need::Admin),
    delete("/api/v1/pools/{name}", Need::Admin),
    get("/api/v1/pools/{name}/history", Need::Admin),
    post("/api/v1/pools/{name}/actions/{identity}", Need::Admin),
    get("/api/v1/pools/{name}/vms", Need::Admin),
    patch("/api/v1/pools/{name}/vms/{vm}", Need::Admin),
    get("/api/v1/allocations", Need::SignedIn),
    post("/api/v1/allocations", Need::SignedIn),
    get("/api/v1/allocations/{id}", Need::SignedIn),
    get("/api/v1/allocations/{id}/history", Need::SignedIn),
    post("/api/v1/allocations/{id}/release", Need::SignedIn),
    post("/api/v1/allocations/{id}/extend", Need::SignedIn),
    post("/api/v1/allocations/{id}/actions/{identity}", Need::SignedIn),
    post("/admin/pool-refresh", Need::Admin),
    post("/admin/auto-release-now", Need::Admin),
];

/// The rule for a route, by the router's own path template.
pub fn rule_for(method: &str, path: &str) -> Option<&'static AccessRule> {
    ACCESS.iter().find(|r| r.method == method && r.path == path)
}

/// What keeps `principal` from a route that asks for `need`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody is signed in.
    #[error("sign in first")]
    Anonymous,
    /// The account is shut out.
    #[error("the account is suspended")]
    Suspended,
    /// Only administrators may.
    #[error("only administrators may do this")]
    NotAdmin,
}

/// Decides whether `principal` may use a route that asks for `need`.
///
/// # Errors
/// [`Denied`] with the cause.
pub fn authorise(need: Need, principal: Option<&Principal>) -> Result<(), Denied> {
    match (need, principal) {
        (Need::Public, _) => Ok(()),
        (_, None) => Err(Denied::Anonymous),
        (_, Some(p)) if p.status == UserStatus::Suspended => Err(Denied::Suspended),
        (Need::SignedIn, Some(_)) => Ok(()),
        (Need::Admin, Some(p)) if p.is_admin() => Ok(()),
        (Need::Admin, Some(_)) => Err(Denied::NotAdmin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_stands_twice() {
        for (i, a) in ACCESS.iter().enumerate() {
            assert!(
                !ACCESS.iter().skip(i + 1).any(|b| a.method == b.method && a.path == b.path),
                "{} {} stands twice",
                a.method,
                a.path
            );
        }
    }

    #[test]
    fn default_deny() {
        let mut user = Principal { role: Role::User, ..Principal::admin_secret() };
        assert_eq!(authorise(Need::SignedIn, None), Err(Denied::Anonymous));
        assert_eq!(authorise(Need::Admin, Some(&user)), Err(Denied::NotAdmin));
        assert_eq!(authorise(Need::SignedIn, Some(&user)), Ok(()));
        user.status = UserStatus::Suspended;
        assert_eq!(authorise(Need::SignedIn, Some(&user)), Err(Denied::Suspended));
        assert_eq!(authorise(Need::Admin, Some(&Principal::admin_secret())), Ok(()));
        assert!(rule_for("GET", "/api/v1/secrets").is_none());
    }
}
