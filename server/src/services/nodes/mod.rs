//! Nodes: `acquire` checks what is wanted of a new one and `wanted` what is wanted of one that is
//! there, `show` tells what there is, `act` carries actions out, `write` and `verb` hold what happens
//! within a transaction. Everything that reaches the vendor becomes a job, except the bounded read of
//! `act`.

mod acquire;
mod act;
mod show;
mod verb;
mod wanted;
mod write;

pub(in crate::services) use acquire::CATALOG_BOUND;
pub(crate) use acquire::Wanted;
pub(in crate::services) use acquire::host_key_row;
pub(in crate::services) use verb::{Begin, node_verb_in, unfit_note, vm_fitness_in, vm_waits_for_cleaning_in};
pub(crate) use verb::{
    node_health_in, node_place_lock_in, node_price_kept_in, node_rebuilt_in, node_stopped_in, node_type_in,
    node_upgraded_in,
};
pub(crate) use wanted::masked;
pub(in crate::services) use write::{
    Growth, Replace, backup_of_pool_in, is_kept_whole, job_row, node_destroy_in, node_insert_in, node_retry_in, seconds,
};
