//! Profiles: what administrators stored, and what Hangar ships. The rule: a version never changes;
//! a node remembers which one ran on it.

use domain::{
    access::Principal,
    code::Code,
    job::Subject,
    profile::{ProfileDefinition, ProfileVersion, ProfileView},
    valid::ProfileName,
};
use store::{Conn, NodeRow, ProfileRow, StoreError};

use super::{
    Services,
    audit::{Happened, audit_in, event},
    need_admin,
};
use crate::fault::Fault;

/// How many versions are shown.
const VERSIONS_SHOWN: u32 = 100;

impl Services {
    /// Every profile in its newest version.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn profiles(&self, who: &Principal) -> Result<Vec<ProfileView>, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let mut views = Vec::new();
        for name in names_in(&mut c).await? {
            views.extend(view_in(&mut c, &name, None, false).await?);
        }
        Ok(views)
    }

    /// One profile with its versions; in the newest version unless one is named.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn profile_show(
        &self,
        who: &Principal,
        name: &ProfileName,
        version: Option<u32>,
    ) -> Result<ProfileView, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        view_in(&mut c, name, version, true).await?.ok_or_else(|| Fault::not_found("profile"))
    }

    /// Stores a new version, or a new profile. Nodes that are there keep what ran on them until they
    /// are tried again or laid anew.
    ///
    /// # Errors
    /// `validation`; `conflict` when somebody else stored a version at the same moment.
    pub async fn profile_save(
        &self,
        who: &Principal,
        name: &ProfileName,
        wish: ProfileDefinition,
    ) -> Result<ProfileView, Fault> {
        need_admin(who)?;
        if !name.has_login() {
            return Err(Fault::field(
                "/name",
                "use another name: by the profile none Hangar does not log in, so there is nothing to store",
            ));
        }
        wish.check().map_err(Fault::fields)?;
        let now = self.clock.now();
        let (who_owned, owned) = (who.clone(), name.clone());
        self.write::<(), Fault, _>(move |c| {
            let (who, name, wish) = (who_owned.clone(), owned.clone(), wish.clone());
            Box::pin(async move {
                let newest = c.profile_versions(&name, 1).await?.into_iter().next();
                let version = newest.map_or(0, |row| row.version) + 1;
                let row = ProfileRow {
                    name: name.clone(),
                    version,
                    definition: wish,
                    created_by: who.user_id.clone(),
                    created_at: now,
                };
                match c.profile_insert(&row).await {
                    Err(StoreError::Conflict { .. }) => {
                        return Err(Fault::new(
                            Code::ConflictState,
                            "Somebody else stored a version of this profile at the same moment: read it and decide anew.",
                        ));
                    }
                    other => other?,
                }
                let line = Happened::ok(&who, "save-profile", Subject::new("profile", &name), now)
                    .detail(format!("version {version}"));
                audit_in(c, line).await?;
                Ok(c.event_insert(&[event("profile", &name, i64::from(version), None)]).await?)
            })
        })
        .await?;
        self.profile_show(who, name, None).await
    }

    /// The names of all profiles that a node may have.
    pub(super) async fn profile_names(&self) -> Result<Vec<ProfileName>, Fault> {
        names_in(&mut self.store.read().await?).await
    }

    /// The newest version of a profile by which Hangar logs in.
    ///
    /// # Errors
    /// `not_found` for a name that nobody stored.
    pub(crate) async fn profile_newest(&self, name: &ProfileName) -> Result<(u32, ProfileDefinition), Fault> {
        let mut c = self.store.read().await?;
        match c.profile_versions(name, 1).await?.into_iter().next() {
            Some(row) => Ok((row.version, row.definition)),
            None if *name == ProfileName::base() => Ok((0, ProfileDefinition::base())),
            None => Err(Fault::not_found("profile")),
        }
    }

    /// One version of a profile.
    ///
    /// # Errors
    /// `not_found` for one that nobody stored.
    pub(crate) async fn profile_at(&self, name: &ProfileName, version: u32) -> Result<ProfileDefinition, Fault> {
        if version == 0 && *name == ProfileName::base() {
            return Ok(ProfileDefinition::base());
        }
        let row = self.store.read().await?.profile_get(name, version).await?;
        row.map(|row| row.definition).ok_or_else(|| Fault::not_found("profile"))
    }

    /// What the node's profile asks for, in the version that ran on it; what asks for nothing where
    /// Hangar does not log in.
    pub(super) async fn profile_of(&self, row: &NodeRow) -> Result<ProfileDefinition, Fault> {
        if !row.profile.has_login() {
            return Ok(ProfileDefinition { requires: Vec::new(), script: String::new(), timeout_seconds: None });
        }
        match row.profile_version {
            Some(version) => self.profile_at(&row.profile, version).await,
            None => Ok(self.profile_newest(&row.profile).await?.1),
        }
    }
}

/// Shipped ones first, then the stored ones by name.
async fn names_in(c: &mut Conn) -> Result<Vec<ProfileName>, Fault> {
    let mut names = vec![ProfileName::base(), ProfileName::none()];
    for (name, _) in c.profiles_all().await? {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

async fn view_in(
    c: &mut Conn,
    name: &ProfileName,
    version: Option<u32>,
    with_versions: bool,
) -> Result<Option<ProfileView>, Fault> {
    let nodes = c.nodes_of_profile_count(name).await?;
    let shipped = ProfileVersion { version: 0, changed_at: None, changed_by: None };
    if !name.has_login() {
        let shown = version.is_none_or(|version| version == 0);
        return Ok(shown.then(|| ProfileView {
            name: name.clone(),
            version: 0,
            definition: None,
            nodes,
            changed_at: None,
            changed_by: None,
            versions: if with_versions { vec![shipped] } else { Vec::new() },
        }));
    }
    let rows = c.profile_versions(name, if with_versions { VERSIONS_SHOWN } else { 1 }).await?;
    let is_base = *name == ProfileName::base();
    let row = match version {
        None => rows.first().cloned(),
        Some(0) => None,
        Some(version) => c.profile_get(name, version).await?,
    };
    let (version, definition, changed) = match row {
        Some(row) => (row.version, row.definition, Some((row.created_at, row.created_by))),
        None if is_base && version.is_none_or(|version| version == 0) => (0, ProfileDefinition::base(), None),
        None => return Ok(None),
    };
    let mut versions: Vec<_> = rows
        .into_iter()
        .filter(|_| with_versions)
        .map(|row| ProfileVersion {
            version: row.version,
            changed_at: Some(row.created_at),
            changed_by: Some(row.created_by),
        })
        .collect();
    if with_versions && is_base {
        versions.push(shipped);
    }
    let (changed_at, changed_by) = changed.unzip();
    Ok(Some(ProfileView {
        name: name.clone(),
        version,
        definition: Some(definition),
        nodes,
        changed_at,
        changed_by,
        versions,
    }))
}
