//! IPMI 2.0 over LAN (Intel IPMI v2.0 rev 1.1): one shared UDP socket, RMCP+ sessions, the commands that the trait needs. It never trusts a packet
//! whose HMAC it has not checked, and never sends a power command twice on a guess.
//!
//! ```text
//! client    the `Bmc` trait          power · boot · identity: what to ask and how to prove it
//! turn      one caller at a time on the one session of a BMC, opened when first needed
//! connection  questions on an open session      login  handshakes until one succeeds (manner: in which way; attempt: one of them)
//! socket    one UDP socket for all BMCs         rtt    how long to wait      tally  what was thrown away      met  what was got over
//! sensing/  sensors, event log, units, watts    fru  reading a unit's memory    keeping  accounts, restart    chassis  lamp, mains, raw commands
//! sol/      the serial console      hpm/  firmware upgrades, when asked for by name      examine  what `bmc doctor` looks at
//! presence  is there an IPMI service at all     roll_call  who is there in a whole range
//! session rakp handshake packet message rmcp suite command/   bytes: no I/O, no clock
//! ```

mod account;
mod attempt;
mod boot;
pub mod chassis;
mod client;
pub mod command;
mod connection;
mod examine;
pub mod fault;
mod fru;
pub mod handshake;
pub mod hpm;
mod identity;
mod keeping;
mod login;
mod manner;
pub mod message;
mod met;
pub mod packet;
mod power;
pub mod presence;
pub mod rakp;
pub mod rmcp;
mod roll_call;
mod rtt;
mod sensing;
pub mod session;
mod socket;
pub mod sol;
pub mod suite;
pub mod tally;
mod turn;

pub use account::{Account, AccountError};
pub use client::IpmiBmc;
pub use roll_call::{Present, roll_call};
pub use socket::{Dropped, Lan};
