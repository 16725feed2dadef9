//! Waves: who may go next, and when to hold. Caution lives in one pure function, [`decide`].

mod compose;
mod decide;

pub use compose::{Composition, compose, name};
pub use decide::{Decision, decide};
