//! (desired, observed) → one node's line: the steps that are needed, each with a why. Pure; it leaves no choice to execution.

mod digest;
mod install;
mod line;
mod settled;
mod stale;

pub use digest::image_digest;
pub use line::{Ask, Line, line, suite};
pub use stale::stale;
