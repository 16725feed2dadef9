//! (desired, observed) → one node's line: the steps that are needed, each with a why. Pure; it leaves no choice to execution.

pub mod cabling;
mod digest;
pub mod exchange;
mod forecast;
mod install;
mod line;
mod medium;
mod mixed;
mod settled;
mod stale;

pub use cabling::{Finding, Proof, What, Witness, prove};
pub use digest::{image_digest, install_digest};
pub use exchange::Place;
pub use forecast::{AtOnce, Boot, Bottleneck, Forecast, Wanted, forecast};
pub use line::{Ask, Line, line, suite};
pub use mixed::{Kind, Mixed};
pub use stale::stale;
