//! IPMI 2.0 over LAN (Intel IPMI v2.0 rev 1.1): one shared UDP socket, RMCP+ sessions, the commands that the trait needs. It never trusts a packet
//! whose HMAC it has not checked, and never sends a power command twice on a guess.
//!
//! ```text
//! client    the `Bmc` trait          power · boot · identity: what to ask and how to prove it
//! turn      one caller at a time on the one session of a BMC, opened when first needed
//! connection  questions on an open session      login  handshakes until one succeeds (manner: in which way; attempt: one of them)
//! socket    one UDP socket for all BMCs         rtt    how long to wait      tally  what was thrown away
//! presence  who is there at all, without a session      knock  is there an IPMI service behind this one address
//! session rakp handshake packet message rmcp suite command/   bytes: no I/O, no clock
//! ```

mod account;
mod attempt;
mod boot;
mod client;
pub mod command;
mod connection;
pub mod fault;
pub mod handshake;
mod identity;
pub mod knock;
mod login;
mod manner;
pub mod message;
pub mod packet;
mod power;
mod presence;
pub mod rakp;
pub mod rmcp;
mod rtt;
pub mod session;
mod socket;
pub mod sol;
pub mod suite;
pub mod tally;
mod turn;

pub use account::{Account, AccountError};
pub use client::IpmiBmc;
pub use presence::{Presence, sweep};
pub use socket::{Dropped, Lan};
