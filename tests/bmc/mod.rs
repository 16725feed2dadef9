//! Tests of `bmc`.
