//! Seals every stored secret anew under the first key of the keyring.

use domain::list::Filter;
use store::Store;

use super::{blueprints::secrets_row, nodes::host_key_row};
use crate::{fault::Fault, seal::Keyring};

/// Opens and seals every secret; answers how many. Run while no server works on the database.
///
/// # Errors
/// [`Fault`] if a secret does not open: then the keyring lacks its key, and nothing more is changed.
pub async fn seal_anew(store: &Store, keyring: &Keyring) -> Result<u32, Fault> {
    let again = |row: &str, sealed: &str| -> Result<String, Fault> {
        let clear = keyring.open(row, sealed).map_err(|e| Fault::internal(&e))?;
        keyring.seal(row, &clear).map_err(|e| Fault::internal(&e))
    };
    let mut count = 0;
    let accounts = store.read().await?.provider_list().await?;
    for row in accounts {
        let Some(sealed) = &row.secret_sealed else { continue };
        let fresh = again(row.id.as_str(), sealed)?;
        let next = row.next_check_at;
        store
            .write::<(), Fault, _>(move |c| {
                let (id, fresh) = (row.id.clone(), fresh.clone());
                Box::pin(async move { Ok(c.provider_secret_set(&id, &fresh, next).await.map(|_| ())?) })
            })
            .await?;
        count += 1;
    }
    let managed = store.read().await?.setting_get("managed_key").await?;
    if let Some(sealed) = managed {
        let fresh = again("managed_key", &sealed)?;
        store
            .write::<(), Fault, _>(move |c| {
                let fresh = fresh.clone();
                Box::pin(async move { Ok(c.setting_put("managed_key", &fresh).await?) })
            })
            .await?;
        count += 1;
    }
    let mut filter = Filter { limit: Some(200), ..Filter::default() };
    loop {
        let page = store.read().await?.nodes_page(&filter).await?;
        for mut node in page.items {
            if node.host_key_sealed.is_none() && node.secrets_sealed.is_none() {
                continue;
            }
            for (slot, row) in
                [(&mut node.host_key_sealed, host_key_row(&node.id)), (&mut node.secrets_sealed, secrets_row(&node.id))]
            {
                if let Some(sealed) = slot {
                    *slot = Some(again(&row, sealed)?);
                    count += 1;
                }
            }
            store
                .write::<(), Fault, _>(move |c| {
                    let node = node.clone();
                    Box::pin(async move { Ok(c.node_save(&node).await.map(|_| ())?) })
                })
                .await?;
        }
        match page.next_cursor {
            Some(next) => filter.cursor = Some(next),
            None => return Ok(count),
        }
    }
}
