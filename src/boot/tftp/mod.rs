//! The boot server's TFTP half: hands the iPXE loaders to ROMs that know nothing better, read only and out of memory.
//!
//! | file | idea |
//! |---|---|
//! | `packet` | bytes to packets and back (RFC 1350, RFC 2347) |
//! | `option` | what of the asked options is agreed to (RFC 2348, 2349, 7440) |
//! | `files` | the closed list of names, each with its bytes and SHA-256 |
//! | `transfer` | one transfer: packet in, packets out, next timeout; no socket, no clock |
//! | `desk` | all transfers of a server: who may begin one, how many, what is refused |
//! | `socket` | the one socket: answers from the address that was asked, whole windows in one call |
//! | `server` | the loop around them |
//! | `record` | what came of each transfer, written beside the grants |
//! | `told`, `brake` | what the operator hears of it, and how often at most |
//!
//! One socket serves all: answers come from the port that was asked (69), not from a new port for each transfer. RFC 1350 lets the server
//! choose its port freely, so clients must take what the first answer comes from, and some boot ROMs and every firewall without a TFTP
//! helper take nothing else (msoulier/tftpy #44, firehol/firehol #529; `tftp-single-port` of dnsmasq and smee's default do the same).
//! A transfer is known by the client's address and port.
//!
//! It never opens a file that a request names, never writes, and never sends more than one packet for a packet until the client has
//! acknowledged one, so that a forged sender gains nothing.

mod brake;
mod desk;
mod files;
mod option;
mod packet;
mod record;
mod server;
mod socket;
mod told;
mod transfer;
#[cfg(test)]
mod weather;

pub use desk::TftpLimits;
pub use files::{Files, FilesError, VirtualFile};
pub use record::note_down;
pub use server::{StartError, serve};
pub use socket::TftpSocket;
pub use told::{TftpEnd, TftpLog, TftpTold};
