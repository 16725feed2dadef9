//! Tests of `cli`.

mod power;
mod gate;
