//! Stops an account from being asked the same again and again in vain. The rule: only failures that
//! do not pass by themselves count, a success forgets them, and while the account is paused nothing
//! is counted, so that many failures at once are one.

use domain::{
    access::Principal,
    code::Code,
    id::ProviderId,
    job::Subject,
    provider::provider_actions,
    time::{HOUR, MINUTE, Millis, Timestamp},
};
use store::{Conn, ProviderRow};

use super::{
    Services,
    audit::{Happened, audit_in, event},
};
use crate::fault::Fault;

/// Failures in a row that pause an account.
const FAILURES: u32 = 3;
/// The first pause; each failed try after it doubles the pause.
const FIRST_PAUSE: Millis = 5 * MINUTE;
/// The longest pause.
const LONGEST_PAUSE: Millis = HOUR;

/// Whether a failed acquisition would fail the same way again.
fn counts(code: Code) -> bool {
    matches!(
        code,
        Code::ProviderInvalidRequest
            | Code::ProviderQuotaExceeded
            | Code::ProviderCredentialRejected
            | Code::ProviderTokenReadonly
            | Code::ProviderNameConflict
            | Code::ProviderCapacity
            | Code::ProviderAcquisitionFailed
    )
}

/// Until when an account is paused, if it is.
pub(crate) fn paused_until(row: &ProviderRow, now: Timestamp) -> Option<Timestamp> {
    row.paused_until.filter(|until| *until > now)
}

/// The sentence for whoever is held up by it.
pub(crate) fn paused_words(row: &ProviderRow, now: Timestamp) -> String {
    let last = row.failure_code.map(|code| format!(", the last one with {code}")).unwrap_or_default();
    let minutes = row.paused_until.map_or(0, |until| (until.since(now) + MINUTE - 1) / MINUTE).max(1);
    format!(
        "{} acquisitions through the account {} failed in a row{last}; it is asked again in {minutes} min.",
        row.failures, row.name
    )
}

/// An acquisition was given up before the vendor's part was done.
pub(crate) async fn acquisition_failed_in(
    c: &mut Conn,
    id: &ProviderId,
    code: Code,
    now: Timestamp,
) -> Result<(), Fault> {
    if !counts(code) {
        return Ok(());
    }
    let Some(row) = c.provider_lock(id).await? else { return Ok(()) };
    if paused_until(&row, now).is_some() {
        return Ok(());
    }
    let failures = row.failures.saturating_add(1);
    let pause = (failures >= FAILURES)
        .then(|| FIRST_PAUSE.saturating_mul(1 << (failures - FAILURES).min(10)).min(LONGEST_PAUSE));
    c.provider_failures_set(id, failures, Some(code), pause.map(|pause| now.plus(pause))).await?;
    if let Some(pause) = pause {
        let system = Principal::system();
        let line = Happened::ok(&system, "account.paused", Subject::new("provider", id), now)
            .detail(format!("{failures} acquisitions in a row failed; none is begun for {} min.", pause / MINUTE));
        audit_in(c, line.failed(code)).await?;
    }
    Ok(c.event_insert(&[event("provider", id, row.version + 1, None)]).await?)
}

/// The vendor did its part: what failed before is forgotten.
pub(crate) async fn acquisition_succeeded_in(c: &mut Conn, id: &ProviderId, now: Timestamp) -> Result<(), Fault> {
    if c.provider_get(id).await?.is_none_or(|row| row.failures == 0) {
        return Ok(());
    }
    forget_in(c, id, now).await
}

async fn forget_in(c: &mut Conn, id: &ProviderId, now: Timestamp) -> Result<(), Fault> {
    let Some(row) = c.provider_lock(id).await? else { return Ok(()) };
    c.provider_failures_set(id, 0, None, None).await?;
    c.jobs_wake(Code::AccountPaused, now).await?;
    Ok(c.event_insert(&[event("provider", id, row.version + 1, None)]).await?)
}

impl Services {
    /// Lets an account be asked again, whatever failed before.
    ///
    /// # Errors
    /// `not_found`; `action_blocked` if nothing failed.
    pub(super) async fn breaker_reset(&self, who: &Principal, id: &ProviderId) -> Result<(), Fault> {
        let now = self.clock.now();
        let kinds: std::collections::HashMap<String, _> =
            self.kinds().into_iter().map(|kind| (kind.kind, kind.capabilities)).collect();
        let (id, who) = (id.clone(), who.clone());
        self.write::<(), Fault, _>(move |c| {
            let (id, who, kinds) = (id.clone(), who.clone(), kinds.clone());
            Box::pin(async move {
                let row = c.provider_lock(&id).await?.ok_or_else(|| Fault::not_found("account"))?;
                let facts = super::views::provider_facts(
                    &row,
                    (kinds.get(&row.kind).cloned().unwrap_or_default(), true),
                    (0, 0),
                    None,
                    now,
                );
                if let Some(action) =
                    provider_actions(&facts, &who).into_iter().find(|a| a.identity == "reset-breaker" && !a.enabled)
                {
                    return Err(Fault::blocked(&action));
                }
                let line = Happened::ok(&who, "reset-breaker", Subject::new("provider", &id), now)
                    .detail(format!("{} failures are forgotten.", row.failures));
                audit_in(c, line).await?;
                forget_in(c, &id, now).await
            })
        })
        .await
    }
}
