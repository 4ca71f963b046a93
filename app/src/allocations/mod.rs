//! Allocations of everybody.

pub mod api;
