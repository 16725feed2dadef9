//! The serial port of a simulated machine: what its firmware and its system print as it boots, and the login that listens there. Text and rules only:
//! who reads it over which wire is not its matter, and nothing is kept when nobody does.

mod getty;
mod screen;

pub use getty::{Getty, PASSWORD};
pub use screen::Screen;
