//! What does not change from one machine to the next: the managed key's id and the firewalls' ids.
//! Rule: asked for once for everybody, kept for some minutes, and forgotten as soon as the vendor
//! refuses an order that was made with it.

use std::{collections::BTreeMap, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use crate::error::ProviderError;

/// For how long it is believed.
const FRESH: Duration = Duration::from_secs(300);

/// Something by which name, and since when.
type Kept = Mutex<BTreeMap<String, (String, Instant)>>;

#[derive(Debug, Default)]
pub(super) struct Known {
    /// Keys by fingerprint.
    keys: Kept,
    /// Firewalls by name.
    firewalls: Kept,
}

impl Known {
    /// The id of the key with this fingerprint, asked for by `ask` unless it is known.
    pub(super) async fn key(
        &self,
        fingerprint: &str,
        ask: impl Future<Output = Result<String, ProviderError>>,
    ) -> Result<String, ProviderError> {
        kept(&self.keys, fingerprint, ask).await
    }

    /// Likewise of the firewall with this name.
    pub(super) async fn firewall(
        &self,
        name: &str,
        ask: impl Future<Output = Result<String, ProviderError>>,
    ) -> Result<String, ProviderError> {
        kept(&self.firewalls, name, ask).await
    }

    /// Forgets everything that was learnt before `moment`; whether there was anything.
    pub(super) async fn forget(&self, moment: Instant) -> bool {
        let mut forgotten = false;
        for kept in [&self.keys, &self.firewalls] {
            let mut kept = kept.lock().await;
            let before = kept.len();
            kept.retain(|_, (_, since)| *since >= moment);
            forgotten |= kept.len() != before;
        }
        forgotten
    }
}

/// The lock makes whoever wants it wait for the one who asks.
async fn kept(
    kept: &Kept,
    name: &str,
    ask: impl Future<Output = Result<String, ProviderError>>,
) -> Result<String, ProviderError> {
    let mut kept = kept.lock().await;
    if let Some((id, since)) = kept.get(name)
        && since.elapsed() < FRESH
    {
        return Ok(id.clone());
    }
    let id = ask.await?;
    kept.insert(name.to_owned(), (id.clone(), Instant::now()));
    Ok(id)
}
