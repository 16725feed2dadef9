//! Tests of `spec`.

mod playbook;
mod schema;
