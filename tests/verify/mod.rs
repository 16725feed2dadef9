//! Tests of `verify`.

mod cabling;
mod captures;
mod faults;
mod fuzz;
mod partial;
mod pci_script;
mod silence;
mod simulated;
pub mod world;
