//! Hangar's server: the composition root (`run`), everything HTTP (`http`), the ports of the pages
//! (`backend`), the decisions (`services`) and the durable work (`jobs`).

pub mod backend;
pub mod cli;
pub mod clock;
pub mod config;
mod demo;
pub mod fault;
pub mod http;
pub mod jobs;
pub mod request_scope;
pub mod run;
pub mod seal;
pub mod services;
mod work_folder;
