//! Tests of `pool`.

mod capacity;
mod ledger;
