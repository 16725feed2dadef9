//! Chassis power (IPMI v2.0 §28.2, §28.3).

use ipmi_rs_core::connection::{IpmiCommand, Message, NetFn, NotEnoughData};

/// Get Chassis Status.
pub struct GetChassisStatus;

/// What Get Chassis Status says of the power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChassisStatus {
    /// The host is powered.
    pub on: bool,
    /// A power fault was detected.
    pub fault: bool,
}

impl From<GetChassisStatus> for Message {
    fn from(_: GetChassisStatus) -> Self {
        Self::new_request(NetFn::Chassis, 0x01, Vec::new())
    }
}

impl IpmiCommand for GetChassisStatus {
    type Output = ChassisStatus;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<ChassisStatus, NotEnoughData> {
        match data {
            // Current power state, last power event, misc. state.
            [power, _, _, ..] => Ok(ChassisStatus { on: power & 1 != 0, fault: power & 0b1_1000 != 0 }),
            _ => Err(NotEnoughData),
        }
    }
}

/// What Chassis Control may be asked for. Its "power cycle" and "hard reset" are left out: neither can be proven by looking at the status, and
/// virtualbmc refuses the cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Cut the power.
    Down,
    /// Power up.
    Up,
    /// Ask the operating system to shut down, by emulating a fatal over-temperature.
    SoftShutdown,
}

impl Control {
    /// The request.
    #[must_use]
    pub fn message(self) -> Message {
        let code = match self {
            Self::Down => 0x00,
            Self::Up => 0x01,
            Self::SoftShutdown => 0x05,
        };
        Message::new_request(NetFn::Chassis, 0x02, vec![code])
    }

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Down => "power down",
            Self::Up => "power up",
            Self::SoftShutdown => "soft shutdown",
        }
    }
}
