//! What can go wrong on the way to an IPMI BMC, and how it is told to the rest of the house. Never holds a password or a key.

use std::net::SocketAddr;
use std::time::Duration;

use ipmi_rs_core::connection::CompletionErrorCode;

use super::handshake::status_text;
use super::tally::Tally;
use crate::bmc::{BmcError, BmcTrouble};

/// Why a login or a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Nothing came back at all.
    #[error("no answer from udp/{0} within {1:?}")]
    Silent(SocketAddr, Duration),
    /// The session was open, then an answer did not come.
    #[error("the answer did not come within {0:?}")]
    NoAnswer(Duration),
    /// The deadline had passed before the question was out.
    #[error("no time was left to ask")]
    NoTime,
    /// Something came, and nothing that this BMC's session can have meant.
    #[error("no genuine answer within {0:?}; thrown away: {1}")]
    NotGenuine(Duration, Tally),
    /// The BMC is there and does not speak IPMI (IP-15).
    #[error(
        "IPMI over LAN is off: {0} answers the presence ping and says that it has no IPMI; switch it on, or use `driver: redfish`"
    )]
    Off(SocketAddr),
    /// The machine is there and nobody listens (IP-15).
    #[error(
        "no answer from udp/{0} within {1:?}: the port is closed (ICMP), so IPMI over LAN is off or the BMC is starting; \
             switch it on, or use `driver: redfish`"
    )]
    Closed(SocketAddr, Duration),
    /// The BMC answers the presence ping and no handshake.
    #[error("udp/{0} answers the presence ping and no Open Session Request within {1:?}: no answer to cipher suites 17 and 3")]
    Deaf(SocketAddr, Duration),
    /// The system could not send.
    #[error("could not send to udp/{0}")]
    Send(SocketAddr, #[source] std::io::Error),
    /// User name, password or K_g is wrong.
    #[error("{0}")]
    Credentials(&'static str),
    /// No slot for a session, however often it was asked for.
    #[error(
        "the BMC answered: {0}, until {1:?} had passed; a session that a killed run left behind ends by the BMC's own timeout only \
             (60 s by the standard)"
    )]
    Slots(&'static str, Duration),
    /// None of the cipher suites is accepted.
    #[error("the BMC refuses cipher suite {0}: {1}")]
    Suite(String, &'static str),
    /// It refused for another reason.
    #[error("the BMC refused {0}: status {1:#04x}, {text}", text = status_text(*.1))]
    Handshake(&'static str, u8),
    /// It answered something that is not the protocol.
    #[error("the BMC answered {0}")]
    Malformed(&'static str),
    /// A completion code other than 0.
    #[error("completion code {0:#04x}: {text}", text = code_text(*.0))]
    Code(u8),
}

impl Fault {
    /// True when the session gave no answer, whatever else came.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::NoAnswer(_) | Self::NotGenuine(..))
    }

    /// The same silence after another one: what came in beside is told of both.
    #[must_use]
    pub fn after(self, first: Self) -> Self {
        let of = |fault: &Self| match fault {
            Self::NotGenuine(took, tally) => Some((*took, *tally)),
            Self::NoAnswer(took) => Some((*took, Tally::default())),
            _ => None,
        };
        match (of(&first), of(&self)) {
            (Some((before, mut tally)), Some((took, more))) => {
                tally.add(more);
                if tally.suspicious() { Self::NotGenuine(before + took, tally) } else { Self::NoAnswer(before + took) }
            }
            // The time ran out on the way to a second session: the first silence is the reason.
            (Some(_), None) if matches!(self, Self::NoTime) => first,
            _ => self,
        }
    }

    /// Tells it to the house: `doing` is a lower-case fragment of what was tried.
    #[must_use]
    pub fn into_error(self, doing: impl Into<String>) -> BmcError {
        let kind = match &self {
            Self::Silent(..) | Self::Closed(..) | Self::Deaf(..) | Self::Send(..) => BmcTrouble::Unreachable,
            Self::NoAnswer(_) | Self::NoTime => BmcTrouble::TimedOut,
            Self::Credentials(_) => BmcTrouble::Credentials,
            Self::Slots(..) => BmcTrouble::Busy,
            Self::Suite(..) | Self::Off(_) => BmcTrouble::Unsupported,
            Self::Handshake(..) => BmcTrouble::Refused,
            Self::Malformed(_) | Self::NotGenuine(..) => BmcTrouble::Malformed,
            Self::Code(code) => trouble_of(*code),
        };
        let seen = self.to_string();
        let source: Option<Box<dyn std::error::Error + Send + Sync>> = match self {
            Self::Send(_, cause) => Some(Box::new(cause)),
            _ => None,
        };
        BmcError { doing: doing.into(), seen, kind, source }
    }
}

fn trouble_of(code: u8) -> BmcTrouble {
    match code {
        0xc0 | 0xc3 | 0xce | 0xd0..=0xd2 => BmcTrouble::Busy,
        0xc1 | 0xc2 => BmcTrouble::Unsupported,
        _ => BmcTrouble::Refused,
    }
}

/// True when the same question may be asked again a little later (§5.2).
pub(super) fn is_busy(code: u8) -> bool {
    trouble_of(code) == BmcTrouble::Busy
}

/// A completion code in words (IPMI v2.0 §5.2, table 5-2).
#[must_use]
pub fn code_text(raw: u8) -> &'static str {
    use CompletionErrorCode as C;
    let Ok(code) = C::try_from(raw) else { return "success" };
    match code {
        C::NodeBusy => "the BMC is busy",
        C::InvalidCommand => "it does not know this command",
        C::InvalidCommandForLun => "it does not know this command at this unit",
        C::ProcessingTimeout => "it ran out of time while working on it",
        C::OutOfSpace => "it is out of space",
        C::ReservationCancelledOrInvalidId => "the reservation is cancelled or invalid",
        C::RequestDataTruncated => "the request is truncated",
        C::RequestDataLenInvalid => "the request has a length that it does not accept",
        C::RequestDataLengthLimitExceeded => "the request is too long",
        C::ParameterOutOfRange => "a parameter is out of range",
        C::CannotReturnNumOfRequestedBytes => "it cannot return so many bytes",
        C::RequestedDatapointNotPresent => "what was asked for is not present",
        C::InvalidDataFieldInRequest => "invalid data field in the request",
        C::CommandIllegalForSensorOrRecord => "the command does not fit this sensor or record",
        // Its reason has a type that the crate does not export.
        C::ResponseUnavailable { .. } => match raw {
            0xd0 => "no answer while the SDR repository is being updated",
            0xd1 => "no answer while firmware is being updated",
            0xd2 => "no answer while the BMC is starting",
            _ => "it could not give an answer",
        },
        C::CannotExecuteDuplicateRequest => "it took the request for a duplicate",
        C::DestinationUnavailable => "the destination is unavailable",
        C::InsufficientPrivilege => "the account's privilege does not suffice",
        C::CannotExecuteCommandInCurrentState => "it cannot do this in its present state",
        C::SubFunctionDisabled => "the function is disabled",
        C::Unspecified => "an error that it does not specify",
        C::Oem(_) => "an error that the vendor defines",
        C::CommandSpecific(_) => "an error that this command defines",
        C::Reserved(_) => "a completion code that the standard reserves",
    }
}
