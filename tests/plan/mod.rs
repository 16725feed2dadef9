//! Tests of the thought rooms: planner, rollout, the fold, and the journal that keeps it.

mod cabling;
mod cache;
mod decide;
mod fold;
mod install;
mod journal;
mod line;
mod medium;
pub mod written;
