//! Tests of `cli`.

mod gate;
mod power;
