//! What happened, for people, CI and auditors, from a journal alone. It reads; it never asks hardware and never judges again.

mod account;
mod markdown;
mod outcome;

pub use account::{Account, IdleGroup, NodeAccount, account};
pub use markdown::markdown;
pub use outcome::{Outcome, outcome};
