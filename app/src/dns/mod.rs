//! DNS records that Hangar made and owns.

use domain::{dns::DnsRecordView, id::ProviderId, list::Listing};
use serde::{Deserialize, Serialize};

use crate::ui::Lists;

pub mod api;
mod create;
mod detail;
mod form;
mod list;

pub use detail::DnsDetailPage;
pub use form::RecordForm;
pub use list::DnsListPage;

/// What the page of the records shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DnsPage {
    /// One page of the records.
    pub records: Listing<DnsRecordView>,
    /// The accounts that hold zones, with their names.
    pub accounts: Vec<(ProviderId, String)>,
}

impl Lists for DnsPage {
    type Item = DnsRecordView;

    fn into_listing(self) -> Listing<DnsRecordView> {
        self.records
    }
}
