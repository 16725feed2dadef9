//! Get LAN Configuration Parameters (IPMI v2.0 §23.2), parameter 5: the MAC of the channel that we speak over.

use ipmi_rs_core::connection::{IpmiCommand, Message, NetFn, NotEnoughData};

/// Channel Eh is the one that this request comes by (§6.3).
const THIS_CHANNEL: u8 = 0x0e;

/// Asks for the MAC.
pub struct GetMac;

impl From<GetMac> for Message {
    fn from(_: GetMac) -> Self {
        Self::new_request(NetFn::Transport, 0x02, vec![THIS_CHANNEL, 5, 0, 0])
    }
}

impl IpmiCommand for GetMac {
    type Output = [u8; 6];
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<[u8; 6], NotEnoughData> {
        // The first byte is the parameter's revision.
        data.get(1..).and_then(|rest| rest.first_chunk::<6>()).copied().ok_or(NotEnoughData)
    }
}
