//! What the chassis can do beside power and boot: be found by its lamp, say why it was last started, and what it does when the mains come back
//! (IPMI v2.0 §28). Each change is read back. And a command that somebody wrote byte by byte.

use std::time::Duration;

use ipmi_rs_core::connection::{IpmiCommand, Message, NetFn, NotEnoughData};

use super::client::IpmiBmc;
use super::fault::{Fault, code_text};
use super::turn::{Need, Turn};
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::Reading;

/// For the answer to a raw command.
const RAW_PATIENCE: Duration = Duration::from_secs(3);
/// The account's privilege does not suffice (table 5-2): the command was not executed.
const PRIVILEGE: u8 = 0xd4;

/// What the node does when the mains come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestorePolicy {
    /// Stays off.
    Off,
    /// Goes back to what it was.
    Previous,
    /// Powers up.
    On,
}

impl RestorePolicy {
    fn code(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Previous => 1,
            Self::On => 2,
        }
    }

    fn of(code: u8) -> Option<Self> {
        [Self::Off, Self::Previous, Self::On].into_iter().find(|policy| policy.code() == code)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Previous => "previous",
            Self::On => "on",
        }
    }
}

/// The lamp by which a node is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lamp {
    /// Dark.
    Off,
    /// Lit for so many seconds.
    For(u8),
    /// Lit until it is put out.
    On,
}

/// The chassis as it says it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ChassisView {
    /// What it does when the mains come back.
    pub policy: Reading<RestorePolicy>,
    /// `off`, `for a time` or `on`.
    pub lamp: Reading<String>,
    /// Why the system was last started (§28.11).
    pub restart_cause: Reading<String>,
    /// Faults and last power event, in words; empty when there is none.
    pub troubles: Vec<String>,
}

struct GetStatus;
struct Status {
    power: u8,
    last: u8,
    misc: u8,
}

impl From<GetStatus> for Message {
    fn from(_: GetStatus) -> Self {
        Self::new_request(NetFn::Chassis, 0x01, Vec::new())
    }
}

impl IpmiCommand for GetStatus {
    type Output = Status;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<Status, NotEnoughData> {
        match *data {
            [power, last, misc, ..] => Ok(Status { power, last, misc }),
            _ => Err(NotEnoughData),
        }
    }
}

impl Status {
    fn policy(&self) -> Reading<RestorePolicy> {
        RestorePolicy::of((self.power >> 5) & 3).map_or_else(|| Reading::unknown("the BMC does not know it"), Reading::Known)
    }

    /// `None`: the BMC does not tell.
    fn lamp(&self) -> Option<u8> {
        (self.misc & 0x40 != 0).then_some((self.misc >> 4) & 3)
    }

    fn troubles(&self) -> Vec<String> {
        let power = [(0x04, "interlock"), (0x08, "power fault"), (0x10, "power control fault"), (0x02, "power overload")];
        let last = [
            (0x01, "last off: mains failed"),
            (0x02, "last off: power overload"),
            (0x04, "last off: interlock"),
            (0x08, "last off: power fault"),
        ];
        let misc = [(0x01, "chassis open"), (0x02, "front panel locked"), (0x04, "drive fault"), (0x08, "cooling fault")];
        let of = |byte: u8, list: [(u8, &'static str); 4]| list.into_iter().filter(move |(bit, _)| byte & bit != 0);
        of(self.power, power).chain(of(self.last, last)).chain(of(self.misc, misc)).map(|(_, word)| word.to_owned()).collect()
    }
}

fn lamp_word(state: u8) -> &'static str {
    match state {
        0 => "off",
        1 => "for a time",
        2 => "on",
        _ => "reserved",
    }
}

/// Why a system was started (table 28-11).
fn cause(code: u8) -> &'static str {
    match code & 0x0f {
        0 => "unknown",
        1 => "chassis control command",
        2 => "reset by push-button",
        3 => "power-up by push-button",
        4 => "watchdog",
        5 => "vendor's own",
        6 => "mains restored: always on",
        7 => "mains restored: previous state",
        8 => "reset by event filter",
        9 => "power cycle by event filter",
        10 => "soft reset",
        11 => "power-up by clock",
        _ => "reserved",
    }
}

/// What became of a raw command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawEnd {
    /// The BMC answered.
    Answered {
        /// Completion code; 0 is success.
        code: u8,
        /// It in words.
        words: &'static str,
        /// What follows it.
        data: Vec<u8>,
    },
    /// It was sent once and no answer came: whether it was executed is not known.
    Lost,
}

impl IpmiBmc {
    /// The chassis as it says it is.
    ///
    /// # Errors
    /// The BMC is not heard, or has no chassis.
    pub async fn chassis(&self) -> Result<ChassisView, BmcError> {
        let mut turn = self.begin(self.patience(), "chassis status").await?;
        let status = status(&mut turn).await?;
        let asked = turn.repeat(Need::User, &Message::new_request(NetFn::Chassis, 0x07, Vec::new())).await;
        let restart_cause = match asked.as_deref() {
            Ok([code, ..]) => Reading::Known(cause(*code).to_owned()),
            Ok([]) => Reading::unknown("an answer that is cut short"),
            Err(Fault::Code(0xc1 | 0xc2)) => Reading::Absent,
            Err(fault) => Reading::unknown(fault.to_string()),
        };
        let lamp = status
            .lamp()
            .map_or_else(|| Reading::unknown("the BMC does not tell"), |state| Reading::Known(lamp_word(state).to_owned()));
        Ok(ChassisView { policy: status.policy(), lamp, restart_cause, troubles: status.troubles() })
    }

    /// Lights the lamp or puts it out, and reads it back where the BMC tells.
    pub async fn set_lamp(&self, lamp: Lamp) -> Written {
        let (data, want) = match lamp {
            Lamp::Off => (vec![0], 0),
            Lamp::For(seconds) => (vec![seconds], 1),
            // Bit 0 of the second byte: until it is told otherwise (§28.5).
            Lamp::On => (vec![0, 1], 2),
        };
        let mut turn = match self.begin(self.patience(), "chassis identify").await {
            Ok(turn) => turn,
            Err(error) => return Written::NotApplied(error),
        };
        // A value, not a push: said again, it changes nothing.
        if let Err(fault) = turn.repeat(Need::Operator, &Message::new_request(NetFn::Chassis, 0x04, data)).await {
            return failed(fault, "chassis identify");
        }
        match status(&mut turn).await.map(|status| status.lamp()) {
            Ok(Some(seen)) if seen == want => Written::Applied(format!("the lamp is {}", lamp_word(seen))),
            Ok(Some(seen)) => Written::Ambiguous(format!("accepted; the lamp reads back as {}", lamp_word(seen))),
            Ok(None) => Written::Ambiguous("accepted; the BMC does not tell how the lamp is".to_owned()),
            Err(error) => Written::Ambiguous(format!("accepted, not read back: {error}")),
        }
    }

    /// Sets what the node does when the mains come back, and reads it back.
    pub async fn set_restore_policy(&self, policy: RestorePolicy) -> Written {
        let mut turn = match self.begin(self.patience(), "power restore policy").await {
            Ok(turn) => turn,
            Err(error) => return Written::NotApplied(error),
        };
        match status(&mut turn).await {
            Ok(status) if status.policy() == Reading::Known(policy) => {
                return Written::Applied(format!("the policy is {} already, nothing was sent", policy.name()));
            }
            Ok(_) => {}
            Err(error) => return Written::NotApplied(error),
        }
        let set = Message::new_request(NetFn::Chassis, 0x06, vec![policy.code()]);
        if let Err(fault) = turn.repeat(Need::Operator, &set).await {
            return failed(fault, "set power restore policy");
        }
        match status(&mut turn).await.map(|status| status.policy()) {
            Ok(Reading::Known(seen)) if seen == policy => Written::Applied(format!("the policy is {}", seen.name())),
            Ok(Reading::Known(seen)) => Written::Ambiguous(format!("accepted; the policy reads back as {}", seen.name())),
            Ok(_) => Written::Ambiguous("accepted; the BMC does not tell the policy".to_owned()),
            Err(error) => Written::Ambiguous(format!("accepted, not read back: {error}")),
        }
    }

    /// Sends a command once, as operator, or as administrator where the BMC says that an operator may not: it was not executed then.
    ///
    /// # Errors
    /// It certainly was not sent, or not executed.
    pub async fn raw(&self, netfn: u8, command: u8, data: &[u8]) -> Result<RawEnd, BmcError> {
        let doing = "send a raw command";
        let mut turn = self.begin(self.patience(), doing).await?;
        for need in [Need::Operator, Need::Administrator] {
            let message = Message::new_request(NetFn::from(netfn & 0x3e), command, data.to_vec());
            let connection = turn.prepare_write_as(need).await.map_err(|fault| fault.into_error(doing))?;
            let (_, answer) = connection.write(message, RAW_PATIENCE).await.map_err(|fault| fault.into_error(doing))?;
            match answer {
                None => return Ok(RawEnd::Lost),
                Some(answer) if answer.code == PRIVILEGE && need == Need::Operator => {}
                Some(answer) => {
                    return Ok(RawEnd::Answered { code: answer.code, words: code_text(answer.code), data: answer.data });
                }
            }
        }
        Err(BmcError {
            doing: doing.to_owned(),
            seen: "the account's privilege does not suffice".to_owned(),
            kind: BmcTrouble::Refused,
            source: None,
        })
    }
}

async fn status(turn: &mut Turn<'_>) -> Result<Status, BmcError> {
    turn.read(Need::User, || GetStatus).await.map_err(|fault| fault.into_error("get chassis status"))
}

fn failed(fault: Fault, doing: &str) -> Written {
    match fault {
        Fault::Code(_) => Written::NotApplied(fault.into_error(doing)),
        // Asked several times; one of them may have been heard.
        fault => Written::Ambiguous(format!("sent, no answer: {}", fault.into_error(doing))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_status_in_words() {
        let status = GetStatus::parse_success_response(&[0x29, 0x01, 0x68]).unwrap_or_else(|_| panic!("long enough"));
        assert_eq!(status.policy(), Reading::Known(RestorePolicy::Previous));
        assert_eq!(status.lamp().map(lamp_word), Some("on"));
        assert_eq!(status.troubles(), ["power fault", "last off: mains failed", "cooling fault"]);
    }

    proptest! {
        #[test]
        fn anything_is_a_status_or_none(bytes in prop::collection::vec(any::<u8>(), 0..6)) {
            if let Ok(status) = GetStatus::parse_success_response(&bytes) {
                drop((status.policy(), status.lamp().map(lamp_word), status.troubles(), cause(status.misc)));
            }
        }
    }
}
