//! Tests of `spec`.

mod diff;
mod examples;
mod init;
mod playbook;
mod schema;
