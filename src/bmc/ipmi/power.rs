//! Chassis power: look, send once, look until it shows. A lost answer is settled by looking; only when the status shows that nothing happened are the
//! same bytes sent again, which the BMC's replay window executes at most once, and at last once more in another session.

use std::time::Duration;

use tokio::time::Instant;

use super::command::chassis::{Control, GetChassisStatus};
use super::connection::Sent;
use super::fault::Fault;
use super::turn::{Need, Turn};
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::PowerVerb;

/// For the answer to a control command; BMCs answer it after they have acted on it.
const WRITE_PATIENCE: Duration = Duration::from_secs(1);
/// The same packet is sent at most this often, with a look between each. It stays in the BMC's replay window of 16 (§6.12.13); a BMC that takes no
/// packet out of its order (pyghmi's server) drops all but the first.
const SENDS: u32 = 3;
/// Sessions in which a command is sent at most: with one packet in ten lost, five lost in a row are one case in 100,000.
const SESSIONS: u32 = 5;
const FIRST_POLL: Duration = Duration::from_millis(100);
const SLOWEST_POLL: Duration = Duration::from_secs(2);
/// "It ran out of time while working on it": whether it took effect is not known.
const PROCESSING_TIMEOUT: u8 = 0xc3;

fn word(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// Does what the verb says and proves it by the chassis status.
pub(super) async fn set(turn: &mut Turn<'_>, verb: PowerVerb) -> Written {
    match verb {
        PowerVerb::On => drive(turn, Control::Up, true).await,
        PowerVerb::Off => drive(turn, Control::Down, false).await,
        PowerVerb::Graceful => drive(turn, Control::SoftShutdown, false).await,
        // Chassis Control's own reset shows nowhere in the status; darkness between does.
        PowerVerb::Cycle | PowerVerb::Reset => cycle(turn, Control::Down).await,
        PowerVerb::Restart => cycle(turn, Control::SoftShutdown).await,
        PowerVerb::Nmi => Written::NotApplied(BmcError {
            doing: "chassis control diagnostic interrupt".to_owned(),
            seen: "over IPMI nothing would prove it, so that it is not sent; use Redfish, or ipmitool".to_owned(),
            kind: BmcTrouble::Unsupported,
            source: None,
        }),
    }
}

/// Down, seen off, up, seen on: the only cycle that can be proven over IPMI. A node that is off is powered up.
async fn cycle(turn: &mut Turn<'_>, down: Control) -> Written {
    let down = match drive(turn, down, false).await {
        Written::Applied(seen) => seen,
        other => return other,
    };
    match drive(turn, Control::Up, true).await {
        Written::Applied(up) => Written::Applied(format!("{down}; {up}")),
        // Half of it took effect, so that "no effect" would be a lie.
        Written::NotApplied(error) => Written::Ambiguous(format!("{down}; then power up was not done: {error}")),
        Written::Ambiguous(seen) => Written::Ambiguous(format!("{down}; {seen}")),
    }
}

async fn status(turn: &mut Turn<'_>) -> Result<bool, Fault> {
    turn.read(Need::User, || GetChassisStatus).await.map(|status| status.on)
}

async fn drive(turn: &mut Turn<'_>, control: Control, want_on: bool) -> Written {
    let want = word(want_on);
    let not_applied = |fault: Fault, doing: &str| Written::NotApplied(fault.into_error(doing));
    match status(turn).await {
        Ok(on) if on == want_on => return Written::Applied(format!("chassis status {want} already, nothing was sent")),
        Ok(_) => {}
        Err(fault) => return not_applied(fault, "get chassis status"),
    }
    let doing = format!("chassis control {}", control.name());
    let connection = match turn.prepare_write().await {
        Ok(connection) => connection,
        Err(fault) => return not_applied(fault, "set session privilege level"),
    };
    let (sent, answer) = match connection.write(control.message(), WRITE_PATIENCE).await {
        Ok(sent) => sent,
        Err(fault) => return not_applied(fault, &doing),
    };
    let accepted = match answer.map(|a| a.code) {
        Some(0) => true,
        None | Some(PROCESSING_TIMEOUT) => false,
        Some(code) => return not_applied(Fault::Code(code), &doing),
    };
    let mut wait = Settling { control, want_on, accepted, lost: answer_lost(accepted), sent, sends: 1, sessions: 1 };
    wait.run(turn).await
}

fn answer_lost(accepted: bool) -> Option<&'static str> {
    (!accepted).then_some("no answer to the command")
}

/// A control command that is out, until the status shows what became of it.
struct Settling {
    control: Control,
    want_on: bool,
    accepted: bool,
    lost: Option<&'static str>,
    sent: Sent,
    sends: u32,
    sessions: u32,
}

impl Settling {
    async fn run(&mut self, turn: &mut Turn<'_>) -> Written {
        let began = Instant::now();
        let mut session = turn.session_id();
        let mut pause = FIRST_POLL;
        let mut last: Result<bool, BmcError>;
        loop {
            last = status(turn).await.map_err(|fault| fault.into_error("get chassis status"));
            if matches!(last, Ok(on) if on == self.want_on) {
                let lost = self.lost.map(|lost| format!(" ({lost})")).unwrap_or_default();
                return Written::Applied(format!("chassis status {} after {}{lost}", word(self.want_on), self.control.name()));
            }
            if last.is_ok() && !self.accepted && self.sends < SENDS && turn.session_id() == session {
                if let Err(refused) = self.again(turn).await {
                    return refused;
                }
                continue;
            }
            if last.is_ok() && !self.accepted && self.sessions < SESSIONS && self.control != Control::SoftShutdown {
                if let Some(ended) = self.anew(turn).await {
                    return ended;
                }
                session = turn.session_id();
                continue;
            }
            if Instant::now() + pause >= turn.deadline {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(SLOWEST_POLL);
        }
        let heard = if self.accepted { "accepted" } else { "sent, its answer was lost" };
        let seen = match last {
            Ok(on) => format!("chassis status still {}", word(on)),
            Err(error) => error.to_string(),
        };
        Written::Ambiguous(format!("{} {heard}; {seen} after {:.0?}", self.control.name(), began.elapsed()))
    }

    /// The command seems never to have come through. Its session is ended, so that it cannot come through any more; the status is looked at once
    /// more; then the command is sent in a new session. "On" and "off" are states: had the first one been done after all, the second would change
    /// nothing. (A soft shutdown is a push of a button, and is not pushed twice.)
    async fn anew(&mut self, turn: &mut Turn<'_>) -> Option<Written> {
        self.sessions += 1;
        let unclear = |fault: Fault| {
            let seen = fault.into_error("open another session");
            Some(Written::Ambiguous(format!("{} sent, its answer was lost; {seen}", self.control.name())))
        };
        if let Err(fault) = turn.renew().await {
            return unclear(fault);
        }
        match status(turn).await {
            Ok(on) if on != self.want_on => {}
            // As was wanted, or not to be seen: the next look tells.
            _ => return None,
        }
        let connection = match turn.prepare_write().await {
            Ok(connection) => connection,
            Err(fault) => return unclear(fault),
        };
        match connection.write(self.control.message(), WRITE_PATIENCE).await {
            Ok((sent, answer)) => {
                (self.sent, self.sends) = (sent, 1);
                match answer.map(|answer| answer.code) {
                    Some(0) => self.accepted = true,
                    None | Some(PROCESSING_TIMEOUT) => {}
                    Some(code) => return unclear(Fault::Code(code)),
                }
            }
            Err(fault) => return unclear(fault),
        }
        None
    }

    async fn again(&mut self, turn: &mut Turn<'_>) -> Result<(), Written> {
        self.sends += 1;
        // The session is there: the status has just come over it.
        let answered = match turn.connection().await {
            Ok(connection) => connection.resend(&self.sent, WRITE_PATIENCE).await,
            Err(fault) => Err(fault),
        };
        match answered.ok().flatten().map(|answer| answer.code) {
            Some(0) => self.accepted = true,
            None | Some(PROCESSING_TIMEOUT) => {}
            // The first asking may have been executed: "no effect" is not certain.
            Some(code) => {
                let seen = Fault::Code(code);
                return Err(Written::Ambiguous(format!("{} answered {seen} after an answer was lost", self.control.name())));
            }
        }
        Ok(())
    }
}
