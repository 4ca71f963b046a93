//! The binary `hangar`: nothing but its command line.

fn main() {}
