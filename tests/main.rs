//! The one test binary; each module tests one room or one promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod bmc;
mod boot;
mod cli;
mod conformance;
mod crash;
mod floors;
mod image;
mod peers;
mod plan;
mod pool;
mod shell;
mod sim;
mod spec;
mod support;
mod verify;
