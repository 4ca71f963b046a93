//! Open connections to vendors' accounts. The rule: one open account per provider and version, so
//! that its limits and caches are shared by everything that works through it.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::providers::{Account, AccountAccess, AccountSecret, ManagedKey, ProviderError, Timeouts};
use domain::{
    code::Code,
    id::ProviderId,
    list::FieldError,
    provider::{Capability, Catalog, ProviderStatus},
    time::{MINUTE, Millis, SECOND, Timestamp},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use store::ProviderRow;

use super::{Services, nodes::CATALOG_BOUND};
use crate::{fault::Fault, seal::write_private};

/// How long a catalogue is taken as current.
const CATALOG_FRESH: Millis = 5 * MINUTE;
/// Before that it is read again in the background.
const CATALOG_REFRESH: Millis = 4 * MINUTE;
/// After a failure the vendor is not asked again for so long: the last good one has to do.
const CATALOG_SPARE: Millis = 30 * SECOND;

/// The catalogue of an account.
type CatalogCache = Arc<CatalogCell>;

/// What is kept of a catalogue, and the lock of whoever asks for it: who finds nothing kept waits
/// for them, who finds something takes that.
#[derive(Default)]
struct CatalogCell {
    asking: tokio::sync::Mutex<()>,
    kept: Mutex<CatalogKept>,
}

impl CatalogCell {
    fn kept(&self) -> std::sync::MutexGuard<'_, CatalogKept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last good catalogue, and the failure since, if there was one.
#[derive(Default)]
struct CatalogKept {
    good: Option<(Timestamp, Arc<Catalog>)>,
    failed: Option<(Timestamp, Fault)>,
}

impl CatalogKept {
    /// What need not be asked for: a fresh one, or the last good one shortly after a failure.
    fn usable(&self, now: Timestamp, fresh: Millis) -> Option<Arc<Catalog>> {
        let is_fresh = self.good.as_ref().is_some_and(|(at, _)| now.since(*at) < fresh);
        let spared = self.failed.as_ref().is_some_and(|(at, _)| now.since(*at) < CATALOG_SPARE);
        if is_fresh || spared { self.last_good() } else { None }
    }

    /// The last good one with the reason why it is not newer.
    fn last_good(&self) -> Option<Arc<Catalog>> {
        let (_, good) = self.good.as_ref()?;
        let Some((_, fault)) = &self.failed else { return Some(good.clone()) };
        Some(Arc::new(Catalog { stale: Some(fault.detail.clone()), ..(**good).clone() }))
    }
}

struct Open {
    version: i64,
    account: Arc<dyn Account>,
    catalog: CatalogCache,
}

/// The open accounts of this process.
#[derive(Default)]
pub(super) struct Accounts {
    open: Mutex<HashMap<ProviderId, Open>>,
    managed: tokio::sync::OnceCell<ManagedKey>,
}

/// An account ready to be worked through.
pub(crate) struct OpenAccount {
    pub account: Arc<dyn Account>,
    catalog: CatalogCache,
}

impl Services {
    /// The account of `row`, opened with its stored secret.
    ///
    /// # Errors
    /// `PROVIDER_ACQUISITION_UNAVAILABLE` if it has no secret that opens.
    pub(crate) fn account(&self, row: &ProviderRow) -> Result<OpenAccount, Fault> {
        let mut open = self.accounts.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.get(&row.id)
            && known.version == secret_version(row)
        {
            return Ok(OpenAccount { account: known.account.clone(), catalog: known.catalog.clone() });
        }
        let account = self.account_open(row, &self.secret_of(row)?)?;
        let fresh = Open { version: secret_version(row), account: account.clone(), catalog: Arc::default() };
        let catalog = fresh.catalog.clone();
        open.insert(row.id.clone(), fresh);
        Ok(OpenAccount { account, catalog })
    }

    /// Opens an account with `secret`, whether or not it is the stored one.
    pub(super) fn account_open(&self, row: &ProviderRow, secret: &Value) -> Result<Arc<dyn Account>, Fault> {
        let adapter = self.registry.get(&row.kind).ok_or_else(|| {
            Fault::new(
                Code::ProviderAcquisitionUnavailable,
                format!("This version knows no accounts of kind {}.", row.kind),
            )
        })?;
        adapter
            .open(AccountAccess {
                settings: row.settings.clone(),
                secret: AccountSecret::new(secret.clone()),
                instance: self.instance.clone(),
                work_dir: self.settings.work_dir.join(row.id.as_str()),
                timeouts: Timeouts {
                    late_create: Duration::from_millis(self.settings.work.late_create_grace.unsigned_abs()),
                    ..Timeouts::default()
                },
            })
            .map_err(provider_fault)
    }

    pub(super) fn secret_of(&self, row: &ProviderRow) -> Result<Value, Fault> {
        let unavailable = |why: &str| Fault::new(Code::ProviderAcquisitionUnavailable, why.to_owned());
        let sealed = row.secret_sealed.as_deref().ok_or_else(|| unavailable("The account has no secret."))?;
        let text = self.keyring.open(row.id.as_str(), sealed).map_err(|error| {
            tracing::error!(provider = %row.id, %error, "the secret of an account does not open");
            unavailable("The account's secret does not open with this keyring.")
        })?;
        serde_json::from_slice(&text).map_err(|_| unavailable("The account's secret is not readable."))
    }

    /// Forgets an open account, so that the next use reads its row again.
    pub(super) fn account_forget(&self, id: &ProviderId) {
        self.accounts.open.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// The catalogue of an account, at most five minutes old; asked for once however many want it.
    /// While the vendor fails it is the last good one, which says why it is not newer.
    ///
    /// # Errors
    /// What the vendor answers, if it never answered well.
    pub(crate) async fn catalog_of(&self, row: &ProviderRow) -> Result<Arc<Catalog>, Fault> {
        self.catalog_within(row, CATALOG_FRESH).await
    }

    async fn catalog_within(&self, row: &ProviderRow, fresh: Millis) -> Result<Arc<Catalog>, Fault> {
        let open = self.account(row)?;
        let now = self.clock.now();
        let usable = open.catalog.kept().usable(now, fresh);
        if let Some(catalog) = usable {
            return Ok(catalog);
        }
        let _asking = match open.catalog.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) => {
                let last = open.catalog.kept().last_good();
                if let Some(last) = last {
                    return Ok(last);
                }
                open.catalog.asking.lock().await
            }
        };
        let usable = open.catalog.kept().usable(now, fresh);
        if let Some(catalog) = usable {
            return Ok(catalog);
        }
        // A little less than whoever waits for it gives it, so that they get the last good one.
        let read = tokio::time::timeout(CATALOG_BOUND.mul_f32(0.9), open.account.catalog()).await;
        let read = read.unwrap_or_else(|_| {
            Err(ProviderError::new(Code::ProviderUnreachable, "The vendor did not answer within 10 seconds."))
        });
        match read {
            Ok(catalog) => {
                let catalog = Arc::new(Catalog { read_at: Some(now), ..catalog });
                *open.catalog.kept() = CatalogKept { good: Some((now, catalog.clone())), failed: None };
                Ok(catalog)
            }
            Err(error) => {
                let fault = provider_fault(error);
                let mut kept = open.catalog.kept();
                kept.failed = Some((now, fault.clone()));
                kept.last_good().ok_or(fault)
            }
        }
    }

    /// The catalogue of an account as far as this process knows it; no vendor is asked.
    pub(crate) fn catalog_known(&self, row: &ProviderRow) -> Option<Arc<Catalog>> {
        let open = self.account(row).ok()?;
        let kept = open.catalog.kept();
        kept.last_good()
    }

    /// Reads the catalogues of the connected accounts again before they are old, so that nobody waits
    /// for one; accounts with few calls left are spared.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer; what a vendor fails with stays with its catalogue.
    pub async fn catalogs_refresh(&self) -> Result<(), Fault> {
        let rows = self.store.read().await?.provider_list().await?;
        let wanted = rows.iter().filter(|row| {
            row.status == ProviderStatus::Connected && self.capabilities(&row.kind).contains(&Capability::Provision)
        });
        let reads = wanted.map(|row| async move {
            let budget = self.account(row).ok().and_then(|open| open.account.budget());
            if budget.is_none_or(|it| u64::from(it.remaining) * 4 >= u64::from(it.limit))
                && let Err(fault) = self.catalog_within(row, CATALOG_REFRESH).await
            {
                tracing::info!(provider = %row.id, code = %fault.code, "a catalogue could not be read");
            }
        });
        futures::future::join_all(reads).await;
        Ok(())
    }

    /// The SSH key by which Hangar logs in to its nodes. It is made once per installation, sealed
    /// in the database (so that every replica has it), and laid out as a private file for `ssh`.
    ///
    /// # Errors
    /// [`Fault`] if the store or the keyring cannot be used.
    pub(crate) async fn managed_key(&self) -> Result<&ManagedKey, Fault> {
        self.accounts
            .managed
            .get_or_try_init(|| async {
                let name = format!("hangar-{}", self.instance);
                let (_, fresh) = ManagedKey::generate(&name).map_err(|e| Fault::internal(&e))?;
                let sealed = self
                    .keyring
                    .seal("managed_key", fresh.expose_secret().as_bytes())
                    .map_err(|e| Fault::internal(&e))?;
                let stands = self
                    .write::<String, Fault, _>(move |c| {
                        let sealed = sealed.clone();
                        Box::pin(async move { Ok(c.setting_put_new("managed_key", &sealed).await?) })
                    })
                    .await?;
                let text = self.keyring.open("managed_key", &stands).map_err(|e| Fault::internal(&e))?;
                let text = std::str::from_utf8(&text).map_err(|e| Fault::internal(&e))?;
                write_private(&self.managed_key_path(), text.as_bytes()).map_err(|e| Fault::internal(&e))?;
                ManagedKey::from_private_openssh(&SecretString::from(text), &name).map_err(|e| Fault::internal(&e))
            })
            .await
    }

    /// Where the private half of the managed key lies for `ssh`.
    pub(crate) fn managed_key_path(&self) -> PathBuf {
        self.settings.data_dir.join("managed_key")
    }
}

/// What of a row decides how its account is opened.
pub(super) fn secret_version(row: &ProviderRow) -> i64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    row.secret_sealed.hash(&mut hasher);
    row.settings.to_string().hash(&mut hasher);
    hasher.finish().cast_signed()
}

/// Fields that an adapter does not accept, as an answer to a caller.
pub(crate) fn provider_fields(errors: Vec<::providers::FieldError>) -> Fault {
    Fault::fields(errors.into_iter().map(|e| FieldError { pointer: e.pointer, message: e.message }).collect())
}

/// A vendor's failure as an answer to a caller.
pub(crate) fn provider_fault(error: ProviderError) -> Fault {
    if let Some(correlation) = &error.correlation_id {
        tracing::warn!(code = %error.code, correlation, "the vendor answered with a failure");
    }
    Fault { retry_after_s: error.retry_after.map(|d| d.as_secs().max(1)), ..Fault::new(error.code, error.message) }
}
