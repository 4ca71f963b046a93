//! Connecting, checking and disconnecting accounts.

use std::{collections::BTreeSet, time::Duration};

use ::providers::{CheckReport, ProviderAdapter, ProviderError};
use domain::{
    access::Principal,
    code::Code,
    dns::DnsState,
    id::ProviderId,
    job::Subject,
    list::{FieldError, Filter, Listing},
    node::Cleanup,
    orphan::OrphanSubject,
    provider::{
        Catalog, ProviderCreate, ProviderKindView, ProviderStatus, ProviderView, ProvidersPage, provider_actions,
    },
    time::{MINUTE, Timestamp},
    valid::AccountName,
};
use serde_json::{Value, json};
use store::{DnsRecordRow, FreshId, ProviderRow, StoreError};

use super::{
    Acted, Services,
    accounts::{provider_fault, provider_fields},
    audit::{Happened, audit_in, event},
    idempotency::{self, Idempotent},
    need_admin,
    spending::acquisition_in,
    views::{Depth, provider_facts},
};
use crate::fault::Fault;

/// A live check answers within this or counts as unreachable.
const CHECK_BOUND: Duration = Duration::from_secs(10);

impl Services {
    /// Every kind of account this version knows.
    pub fn kinds(&self) -> Vec<ProviderKindView> {
        self.registry.kinds()
    }

    /// Connects an account: stores it, then checks it live. A failed check leaves it `degraded`.
    ///
    /// # Errors
    /// `validation` names the field that is not acceptable; `conflict` if the name is taken.
    pub async fn provider_connect(
        &self,
        who: &Principal,
        request: ProviderCreate,
        idempotent: Option<Idempotent>,
    ) -> Result<ProviderView, Fault> {
        let outcome = self.connect(who, request, idempotent).await;
        if let Err(fault) = &outcome {
            // There is no id yet, and what was sent may hold the secret in a wrong field.
            self.audit_refused(Some(who), "provider.connect", Subject::new("provider", "new"), fault).await;
        }
        outcome
    }

    async fn connect(
        &self,
        who: &Principal,
        request: ProviderCreate,
        idempotent: Option<Idempotent>,
    ) -> Result<ProviderView, Fault> {
        need_admin(who)?;
        let adapter = self.adapter(&request.kind)?;
        let name: AccountName = request.name.parse().map_err(|e| Fault::field("/name", format!("{e}")))?;
        adapter.validate(&request.settings, Some(&request.secret)).map_err(provider_fields)?;
        let now = self.clock.now();
        let id = ProviderId::fresh();
        let row = ProviderRow {
            secret_sealed: Some(self.seal_secret(&id, &request.secret)?),
            id: id.clone(),
            kind: adapter.kind().to_owned(),
            name: name.to_string(),
            settings: request.settings,
            status: ProviderStatus::Disconnected,
            last_code: None,
            last_message: None,
            connected_at: None,
            last_checked_at: None,
            next_check_at: now.plus(MINUTE),
            failures: 0,
            failure_code: None,
            paused_until: None,
            observed_at: None,
            observe_failed: None,
            owned: None,
            expires_at: None,
            created_at: now,
            version: 1,
        };
        let who_owned = who.clone();
        let request_key = idempotent.clone();
        self.write::<(), Fault, _>(move |c| {
            let (row, who, request_key) = (row.clone(), who_owned.clone(), request_key.clone());
            Box::pin(async move {
                match c.provider_insert(&row).await {
                    Err(StoreError::Conflict { .. }) => {
                        return Err(Fault {
                            errors: vec![FieldError {
                                pointer: "/name".to_owned(),
                                message: "choose a name that no other account has".to_owned(),
                            }],
                            ..Fault::new(Code::ConflictState, "Another account has this name.")
                        });
                    }
                    other => other?,
                }
                let subject = Subject::new("provider", &row.id);
                idempotency::store_in(c, request_key.as_ref(), 201, &idempotency::begun_with(&row.id), now).await?;
                audit_in(
                    c,
                    Happened::ok(&who, "provider.connect", subject, now).detail(format!("{} ({})", row.name, row.kind)),
                )
                .await?;
                Ok(c.event_insert(&[event("provider", &row.id, 1, None)]).await?)
            })
        })
        .await?;
        let view = self.provider_check(who, &id).await?;
        if let Some(request) = &idempotent {
            self.idempotency_complete(request, &view).await?;
        }
        Ok(view)
    }

    /// The same from the browser's form, where a second try with the same name mends the account
    /// that the first one left degraded.
    ///
    /// # Errors
    /// As [`Services::provider_connect`].
    pub async fn provider_connect_or_mend(
        &self,
        who: &Principal,
        request: ProviderCreate,
    ) -> Result<ProviderView, Fault> {
        need_admin(who)?;
        let known = self.store.read().await?.provider_list().await?;
        // Only an account that never worked is mended here; the secret of one that did is replaced
        // by `replace-secret`, which tries the new one first.
        let Some(row) = known
            .into_iter()
            .find(|row| row.name == request.name && row.kind == request.kind && row.connected_at.is_none())
        else {
            return self.provider_connect(who, request, None).await;
        };
        let adapter = self.adapter(&request.kind)?;
        adapter.validate(&request.settings, Some(&request.secret)).map_err(provider_fields)?;
        let sealed = self.seal_secret(&row.id, &request.secret)?;
        let now = self.clock.now();
        let (id, settings) = (row.id.clone(), request.settings);
        let who_owned = who.clone();
        self.write::<(), Fault, _>(move |c| {
            let (id, settings, sealed, who) = (id.clone(), settings.clone(), sealed.clone(), who_owned.clone());
            Box::pin(async move {
                c.provider_settings_set(&id, &settings, &sealed, now).await?;
                audit_in(c, Happened::ok(&who, "provider.mend", Subject::new("provider", &id), now)).await
            })
        })
        .await?;
        self.account_forget(&row.id);
        self.provider_check(who, &row.id).await
    }

    /// The accounts, newest first.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn providers_page(&self, who: &Principal, filter: Filter) -> Result<Listing<ProviderView>, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let page = c.provider_page(&filter).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for row in &page.items {
            let (nodes, records) = c.provider_live_counts(&row.id).await?;
            items.push(self.provider_view(row, (nodes, records), None, Depth::List));
        }
        let count = c.provider_count(&filter, Listing::<()>::COUNT_CAP).await?;
        Ok(Listing { items, next_cursor: page.next_cursor, count })
    }

    /// What the page of the accounts shows.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn providers_show_page(&self, who: &Principal) -> Result<ProvidersPage, Fault> {
        let accounts = self.providers_page(who, Filter { limit: Some(200), ..Filter::default() }).await?.items;
        Ok(ProvidersPage {
            accounts,
            kinds: self.kinds(),
            preselected_kind: self.settings.preselected_kind.clone(),
            demo_hints: self.settings.demo.as_ref().map(|d| d.hints.clone()).unwrap_or_default(),
        })
    }

    /// One account.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn provider_show(&self, who: &Principal, id: &ProviderId) -> Result<ProviderView, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let row = c.provider_get(id).await?.ok_or_else(|| Fault::not_found("account"))?;
        let live = c.provider_live_counts(id).await?;
        let hold = acquisition_in(&mut c).await?.hold;
        Ok(self.provider_view(&row, live, hold, Depth::Detail(who)))
    }

    /// Tries a new secret at the vendor and keeps it only if the vendor accepts it.
    ///
    /// # Errors
    /// `credential_refused` leaves the old secret in place.
    pub async fn provider_secret_replace(
        &self,
        who: &Principal,
        id: &ProviderId,
        secret: Value,
    ) -> Result<ProviderView, Fault> {
        need_admin(who)?;
        let row = self.provider_row(id).await?;
        let kind = (self.capabilities(&row.kind), self.has_secret(&row.kind));
        let facts = provider_facts(&row, kind, (0, 0), None, self.clock.now());
        if let Some(action) =
            provider_actions(&facts, who).into_iter().find(|a| a.identity == "replace-secret" && !a.enabled)
        {
            let fault = Fault::blocked(&action);
            self.audit_refused(Some(who), "replace-secret", Subject::new("provider", id), &fault).await;
            return Err(fault);
        }
        if let Err(errors) = self.adapter(&row.kind)?.validate(&row.settings, Some(&secret)) {
            let fault = provider_fields(errors);
            self.audit_refused(Some(who), "replace-secret", Subject::new("provider", id), &fault).await;
            return Err(fault);
        }
        let account = self.account_open(&row, &secret)?;
        let key = self.managed_key().await?;
        let now = self.clock.now();
        let checked = bounded(account.check(Some(key))).await;
        let expires_at = checked.as_ref().ok().and_then(expiry_of);
        if let Err(error) = checked {
            let code = error.code;
            let fault = match code {
                Code::ProviderCredentialRejected | Code::ProviderTokenReadonly => Fault {
                    recovery: Some(Box::new(code.recovery())),
                    ..Fault::new(Code::CredentialRefused, format!("{} The old secret is still in use.", error.message))
                },
                _ => provider_fault(error),
            };
            self.audit_refused(Some(who), "replace-secret", Subject::new("provider", id), &fault).await;
            return Err(fault);
        }
        if let Some(fault) = self.another_project(&row, account.as_ref()).await? {
            self.audit_refused(Some(who), "replace-secret", Subject::new("provider", id), &fault).await;
            return Err(fault);
        }
        let sealed = self.seal_secret(id, &secret)?;
        let next = now.plus(self.settings.work.check_every);
        let (id_owned, who_owned) = (id.clone(), who.clone());
        self.write::<(), Fault, _>(move |c| {
            let (id, sealed, who) = (id_owned.clone(), sealed.clone(), who_owned.clone());
            Box::pin(async move {
                if !c.provider_secret_set(&id, &sealed, now).await? {
                    return Err(Fault::not_found("account"));
                }
                let version = c
                    .provider_check_set(
                        &id,
                        ProviderStatus::Connected,
                        None,
                        Some("The vendor accepted the new secret."),
                        now,
                        next,
                        expires_at,
                    )
                    .await?;
                audit_in(c, Happened::ok(&who, "replace-secret", Subject::new("provider", &id), now)).await?;
                Ok(c.event_insert(&[event("provider", &id, version.unwrap_or(0), None)]).await?)
            })
        })
        .await?;
        self.account_forget(id);
        self.provider_show(who, id).await
    }

    /// Refuses a secret that works but does not see any of the servers that are known to bill, or none of
    /// the zones in which records stand: it belongs to another project, and with it every node and
    /// every record would look gone.
    async fn another_project(
        &self,
        row: &ProviderRow,
        account: &dyn ::providers::Account,
    ) -> Result<Option<Fault>, Fault> {
        let filter = Filter {
            provider: Some(row.id.to_string()),
            status: Some("live".to_owned()),
            limit: Some(200),
            ..Filter::default()
        };
        let nodes = self.store.read().await?.nodes_page(&filter).await?.items;
        let known: Vec<String> =
            nodes.into_iter().filter(|n| n.cleanup != Cleanup::Done).filter_map(|n| n.infra_id).collect();
        if let Some(infra) = account.infra()
            && !known.is_empty()
        {
            let owned = bounded(infra.owned()).await.map_err(provider_fault)?;
            if !owned.iter().any(|machine| known.contains(&machine.infra_id)) {
                return Ok(Some(Fault::new(
                    Code::CredentialRefused,
                    format!(
                        "The new secret works, but sees none of the {} servers of this account: it belongs to another project. The old secret is still in use.",
                        known.len()
                    ),
                )));
            }
        }
        let records = self.store.read().await?.dns_records_page(&filter).await?.items;
        let left = |it: &DnsRecordRow| it.state != DnsState::Failed || it.cleanup == Cleanup::Pending;
        let zones: BTreeSet<String> = records.iter().filter(|it| left(it)).map(|it| it.zone.to_string()).collect();
        if let Some(dns) = account.dns()
            && !zones.is_empty()
        {
            let seen = bounded(dns.zones()).await.map_err(provider_fault)?;
            if !seen.iter().any(|zone| zones.contains(&zone.name)) {
                let zones = zones.into_iter().take(5).collect::<Vec<_>>().join(", ");
                return Ok(Some(Fault::new(
                    Code::CredentialRefused,
                    format!(
                        "The new secret works, but sees none of the zones that hold records of this account ({zones}). The old secret is still in use."
                    ),
                )));
            }
        }
        Ok(None)
    }

    /// Checks an account live and stores what came out.
    ///
    /// # Errors
    /// `not_found`; a failed check is not an error but the account's new status.
    pub async fn provider_check(&self, who: &Principal, id: &ProviderId) -> Result<ProviderView, Fault> {
        need_admin(who)?;
        let row = self.provider_row(id).await?;
        let mut expires_at = None;
        let found = match self.account(&row) {
            Ok(open) => match bounded(open.account.check(Some(self.managed_key().await?))).await {
                Ok(report) => {
                    expires_at = expiry_of(&report);
                    (ProviderStatus::Connected, None, report.message)
                }
                Err(error) => (ProviderStatus::Degraded, Some(error.code), error.message),
            },
            Err(fault) => (ProviderStatus::Degraded, Some(fault.code), fault.detail),
        };
        let now = self.clock.now();
        let next = now.plus(self.settings.work.check_every);
        let who_owned = who.clone();
        let changed = row.status != found.0 || row.last_code != found.1;
        let (id_owned, checked) = (id.clone(), row);
        self.write::<(), Fault, _>(move |c| {
            let (id, found, who, checked) = (id_owned.clone(), found.clone(), who_owned.clone(), checked.clone());
            Box::pin(async move {
                let (status, code, message) = found;
                let current = c.provider_lock(&id).await?.ok_or_else(|| Fault::not_found("account"))?;
                if (&current.secret_sealed, &current.settings) != (&checked.secret_sealed, &checked.settings) {
                    // The credential was replaced while this one was tried: what came out says nothing
                    // about the new one.
                    return Ok(());
                }
                let set = c.provider_check_set(&id, status, code, Some(&message), now, next, expires_at);
                let Some(version) = set.await? else { return Err(Fault::not_found("account")) };
                if changed {
                    let mut line = Happened::ok(&who, "check-connection", Subject::new("provider", &id), now)
                        .detail(format!("The account is {status}: {message}"));
                    if let Some(code) = code {
                        line = line.failed(code);
                    }
                    audit_in(c, line).await?;
                }
                Ok(c.event_insert(&[event("provider", &id, version, None)]).await?)
            })
        })
        .await?;
        self.provider_show(who, id).await
    }

    /// Checks the accounts whose turn it is. Errors stay with the account.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub async fn providers_check_due(&self) -> Result<usize, Fault> {
        let due = self.store.read().await?.provider_due(self.clock.now(), 20).await?;
        let system = Principal::system();
        // Side by side: one vendor who does not answer does not hold up the others.
        let checks = due.iter().map(|row| self.provider_check(&system, &row.id));
        for outcome in futures::future::join_all(checks).await {
            if let Err(fault) = outcome {
                tracing::warn!(code = %fault.code, "an account could not be checked");
            }
        }
        Ok(due.len())
    }

    /// What can be had from an account.
    ///
    /// # Errors
    /// What the vendor answers.
    pub async fn provider_catalog(&self, who: &Principal, id: &ProviderId) -> Result<Catalog, Fault> {
        need_admin(who)?;
        let row = self.provider_row(id).await?;
        Ok((*self.catalog_of(&row).await?).clone())
    }

    /// Removes an account through which nothing lives.
    ///
    /// # Errors
    /// `action_blocked` while nodes or records of it live.
    pub async fn provider_disconnect(&self, who: &Principal, id: &ProviderId) -> Result<(), Fault> {
        need_admin(who)?;
        let now = self.clock.now();
        let (id_owned, who_owned) = (id.clone(), who.clone());
        let kinds: std::collections::HashMap<String, _> =
            self.kinds().into_iter().map(|k| (k.kind, k.capabilities)).collect();
        let outcome = self
            .write::<(), Fault, _>(move |c| {
                let (id, who, kinds) = (id_owned.clone(), who_owned.clone(), kinds.clone());
                Box::pin(async move {
                    let row = c.provider_lock(&id).await?.ok_or_else(|| Fault::not_found("account"))?;
                    let live = c.provider_live_counts(&id).await?;
                    let capabilities = kinds.get(&row.kind).cloned().unwrap_or_default();
                    let facts = provider_facts(&row, (capabilities, true), live, None, now);
                    if let Some(action) =
                        provider_actions(&facts, &who).into_iter().find(|a| a.identity == "disconnect" && !a.enabled)
                    {
                        return Err(Fault::blocked(&action));
                    }
                    c.provider_delete(&id, now).await?;
                    for subject in [OrphanSubject::Server, OrphanSubject::DnsRecord] {
                        c.orphans_unseen_delete(&id, subject, now.plus(1)).await?;
                    }
                    audit_in(c, Happened::ok(&who, "disconnect", Subject::new("provider", &id), now).detail(row.name))
                        .await?;
                    Ok(c.event_insert(&[event("provider", &id, row.version + 1, None)]).await?)
                })
            })
            .await;
        if let Err(fault) = &outcome {
            self.audit_refused(Some(who), "disconnect", Subject::new("provider", id), fault).await;
        }
        self.account_forget(id);
        outcome
    }

    /// Carries out an action of an account by its identity.
    ///
    /// # Errors
    /// `not_found` for an identity that is none.
    pub async fn provider_act(
        &self,
        who: &Principal,
        id: &ProviderId,
        identity: &str,
        input: Value,
    ) -> Result<Acted, Fault> {
        match identity {
            "check-connection" => done(&self.provider_check(who, id).await?),
            "replace-secret" => {
                let secret = input.get("secret").cloned().unwrap_or(input);
                done(&self.provider_secret_replace(who, id, secret).await?)
            }
            "reset-breaker" => {
                need_admin(who)?;
                if let Err(fault) = self.breaker_reset(who, id).await {
                    self.audit_refused(Some(who), "reset-breaker", Subject::new("provider", id), &fault).await;
                    return Err(fault);
                }
                done(&self.provider_show(who, id).await?)
            }
            "disconnect" => {
                self.provider_disconnect(who, id).await?;
                Ok(Acted::Done(json!({ "disconnected": id })))
            }
            "create-server" => {
                let mut request = input;
                if let Some(map) = request.as_object_mut() {
                    map.entry("provider_id").or_insert_with(|| json!(id));
                }
                self.infra_operation(who, "create-server", request).await
            }
            "create-dns-record" => {
                let mut request = input;
                if let Some(map) = request.as_object_mut() {
                    map.entry("provider_id").or_insert_with(|| json!(id));
                }
                self.dns_operation(who, "create-dns-record", request).await
            }
            "record-history" => {
                let page = self.history(who, &Subject::new("provider", id), Filter::default()).await?;
                done(&page)
            }
            _ => Err(Fault::not_found("action")),
        }
    }

    pub(super) async fn provider_row(&self, id: &ProviderId) -> Result<ProviderRow, Fault> {
        self.store.read().await?.provider_get(id).await?.ok_or_else(|| Fault::not_found("account"))
    }

    fn adapter(&self, kind: &str) -> Result<&dyn ProviderAdapter, Fault> {
        self.registry.get(kind).ok_or_else(|| {
            let known: Vec<_> = self.kinds().into_iter().map(|k| k.kind).collect();
            Fault::field("/kind", format!("use one of {}", known.join(", ")))
        })
    }

    fn seal_secret(&self, id: &ProviderId, secret: &Value) -> Result<String, Fault> {
        self.keyring.seal(id.as_str(), secret.to_string().as_bytes()).map_err(|e| Fault::internal(&e))
    }
}

/// When the credential ends, where the vendor says so in a way that can be read.
fn expiry_of(report: &CheckReport) -> Option<Timestamp> {
    report.expires_at.as_deref().and_then(Timestamp::parse)
}

/// A check that takes longer than its bound counts as unreachable.
async fn bounded<T>(check: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ProviderError> {
    tokio::time::timeout(CHECK_BOUND, check).await.unwrap_or_else(|_| {
        Err(ProviderError::new(Code::ProviderUnreachable, "The vendor did not answer within 10 seconds."))
    })
}

/// A finished action with `value` to say.
pub(super) fn done(value: &impl serde::Serialize) -> Result<Acted, Fault> {
    serde_json::to_value(value).map(Acted::Done).map_err(|e| Fault::internal(&e))
}
