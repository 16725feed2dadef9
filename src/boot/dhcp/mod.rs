//! DHCP: gives each node of the inventory its address and what to boot, or, beside a site's own DHCP, only the latter.
//!
//! | file | what it is for |
//! |---|---|
//! | `packet` | reads a question, of any bytes |
//! | `firmware` | option 93: kinds of firmware and their loaders |
//! | `registry` | who may be answered: the inventory |
//! | `answer` | the rules: a packet in, at most one packet out |
//! | `reply` | makes the bytes of an answer |
//! | `sight`, `book` | what was seen, counted and bounded |
//! | `socket`, `server` | sockets of one interface, and the loop |
//! | `advert` | router advertisements, so that iPXE does not wait for IPv6 |
//!
//! It keeps no leases: the address of a node is what the inventory says. It never answers a machine that the inventory does not know.

mod advert;
mod answer;
mod book;
mod firmware;
mod packet;
mod registry;
mod reply;
mod server;
mod sight;
mod socket;

pub use answer::{Answer, Door, Identity, Mode, Reply, To, answer};
pub use packet::Malformed;
pub use registry::Registry;
pub use server::{DhcpLog, DhcpOptions, DhcpServer, Ports};
pub use sight::{Discovery, Sent, Sight};
pub use socket::DhcpError;
