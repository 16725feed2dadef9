//! Tests of `spec`.

mod playbook;
