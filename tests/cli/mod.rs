//! Tests of `cli`.

mod power;
