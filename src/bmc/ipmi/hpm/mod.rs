//! Firmware upgrades by PICMG HPM.1 R1.0 over IPMI (IP-14), for BMCs that are driven by IPMI alone. Never begun unless somebody asked for HPM.1 by
//! name: the last step restarts the controller.
//!
//! | file | one idea |
//! |---|---|
//! | `image` | the file: its checks, and what is in it for which component |
//! | `command` | the ten commands, as bytes |
//! | `agent` | asking and telling over one session after the other; waiting for what takes long |
//! | `target` | the controller and its components as they are now |
//! | `upload` | one component's firmware, block after block |
//! | `activate` | the one step that cannot be taken back, and what became of it |
//! | `walk` | all of it in order, and what is said in the end |
//!
//! HPM.1 has no lock: that two programs do not upgrade one controller at once is for those who start them.

mod activate;
mod agent;
mod command;
mod image;
mod target;
mod upload;
mod walk;

pub use image::{Image, ImageError, Revision, Upload};
