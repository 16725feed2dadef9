//! The simulated rack: the far end of every wire, on real loopback sockets. Each machine is a pure automaton ([`machine`]) in virtual time
//! ([`clock`]) with seeded faults ([`fault`]); Redfish, RMCP+, the boot ROM and SSH are servers and clients around its [`handle`].
//!
//! It has its own codecs and names `model` only, so that a mistake in the product cannot cancel out against the same mistake here. It never runs
//! a command of the real machine, it listens on loopback only, and its boot ROMs fetch from the boot server that they are given.

pub mod accelerator;
pub mod accounts;
pub mod bios;
pub mod bootrom;
pub mod clock;
pub mod console;
pub mod deeds;
pub mod disk;
pub mod farm;
pub mod fault;
pub mod firmware;
pub mod handle;
pub mod history;
pub mod identity;
pub mod image;
pub mod machine;
pub mod media;
pub mod profile;
pub mod pushing;
pub mod redfish;
pub mod report;
pub mod rmcp;
pub mod seed;
pub mod ssh;
pub mod system;
pub mod tls;

pub use clock::{Clock, SimTime};
pub use deeds::Deeds;
pub use farm::{Farm, FarmError, FarmSpec, NodeSpec};
pub use fault::{BmcFault, Fault, FaultError, Placed};
pub use handle::{MachineHandle, Mood};
pub use identity::{Fitted, Identity};
pub use image::Image;
pub use machine::{Durations, Machine, Stage};
pub use seed::Seed;
