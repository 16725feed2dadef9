//! Tests of `cli`.

mod gate;
