//! Durable work. The job rows are the queue: a worker leases a due job under a fence number, shows
//! signs of life, and stores every step with compare-and-set on that fence. The rule: whoever has
//! lost the lease changes nothing any more; whatever reached the vendor is found again by name and
//! labels.
//!
//! `runner` leases and supervises, `journal` stores what an adapter does, the others carry out one
//! kind of job each (`node_prepare` is what making a node and laying it anew have in common); `watch`
//! starts what the clock starts, `listen` what vendors tell by themselves.

mod dns_adopt;
mod dns_record;
mod journal;
mod listen;
mod node_backup;
mod node_names;
mod node_prepare;
mod node_provision;
mod node_remove;
mod node_task;
mod node_verb;
mod orphan_sweep;
mod release_hook;
mod runner;
mod watch;

pub use runner::Runner;
pub use watch::{tidy_up, watch};
