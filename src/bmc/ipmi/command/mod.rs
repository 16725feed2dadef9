//! The commands that the `Bmc` trait needs, as `ipmi-rs-core` messages: its own type where it has one (Get Device ID), ours in the same trait where it
//! has none. Encoding and bounded decoding only.

pub mod boot;
pub mod chassis;
pub mod dcmi;
pub mod fru;
pub mod guid;
pub mod lan;
pub mod payload;
pub mod sdr;
pub mod sel;
pub mod sensor;
pub mod user;

use ipmi_rs_core::connection::{Message, NetFn};

/// Raises or lowers the session's privilege (§22.18); 3 is operator.
#[must_use]
pub fn set_privilege(level: u8) -> Message {
    Message::new_request(NetFn::App, 0x3b, vec![level & 0x0f])
}

/// Ends the session with this id of the BMC's side (§22.19).
#[must_use]
pub fn close_session(bmc_session: u32) -> Message {
    Message::new_request(NetFn::App, 0x3c, bmc_session.to_le_bytes().to_vec())
}
