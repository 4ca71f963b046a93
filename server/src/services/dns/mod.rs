//! DNS records: `wanted` checks what is wanted of a new one, `show` tells what there is, `act` carries
//! actions out, `write` holds what happens within a transaction, `names` what is special about those
//! that are made with a node, `observe` compares with what stands in the zones, `orphans` tells what stands
//! there and nobody answers for. The rule: a record is written down before a vendor hears of it, and its
//! row answers for it until the vendor has confirmed that it is gone, or a person gives it up.

mod act;
mod names;
mod observe;
mod orphans;
mod show;
mod wanted;
mod write;

pub(in crate::services) use act::dns_again_in;
pub(crate) use names::{NameAs, names_begun_in, names_dropped_in, names_given_up_in, names_of_node_in};
pub(in crate::services) use names::{names_again_in, names_insert_in};
pub(in crate::services) use observe::ZonesLooked;
pub(crate) use orphans::{Marked, SweptRecord, dns_orphan_judged_in};
pub(in crate::services) use show::facts_in as dns_facts_in;
pub(crate) use show::{content_of, target_of};
pub(crate) use write::{
    dns_adopted_in, dns_begun_in, dns_failed_in, dns_gone_in, dns_left_in, dns_made_in, dns_pending_in, dns_stands_in,
};
