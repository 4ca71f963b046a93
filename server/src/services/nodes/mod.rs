//! Nodes: `acquire` checks what is wanted, `show` tells what there is, `act` carries actions out,
//! `write` holds what happens within a transaction. Everything that reaches the vendor becomes a job,
//! except the bounded reads of `act`.

mod acquire;
mod act;
mod show;
mod write;

pub(in crate::services) use acquire::CATALOG_BOUND;
pub(crate) use acquire::Wanted;
pub(in crate::services) use acquire::host_key_row;
pub(in crate::services) use act::vm_fitness_in;
pub(in crate::services) use write::{
    Growth, Replace, job_row, node_destroy_in, node_insert_in, node_retry_in, seconds,
};
