//! The serial console over LAN, SOL (IPMI v2.0 §15): shown, typed into, and taken up again after the BMC has lost it. What was missed is always told.
//!
//! ```text
//! console     the thin task: carries characters, activates the console again when it was lost
//! ear, paper  a console that is only listened to: the last of what was printed
//! link        the session that carries it: activation, proof that it is ours, staying alive
//! holder      who has the console, when it is not us
//! exchange    the rules of sequence, acknowledgement and resending, as an automaton: bytes and time in, bytes out
//! packet      four bytes of header and the characters
//! mark        what is told beside the characters
//! ```

mod console;
mod ear;
mod exchange;
mod holder;
mod link;
mod mark;
pub mod packet;
mod paper;

pub use console::{Console, ConsoleOptions, Heard};
pub use ear::SolEar;
pub use exchange::{Event, Exchange, Gap};
pub use mark::Mark;
