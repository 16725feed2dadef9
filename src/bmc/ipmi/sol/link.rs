//! The session that carries a console: activation, proof that it is ours, and the questions that keep it alive. It knows no character.

use std::time::Duration;

use ipmi_rs_core::connection::Message;
use tokio::time::Instant;

use super::holder::{self, Holder, holder};
use crate::bmc::ipmi::IpmiBmc;
use crate::bmc::ipmi::command::payload::{self, Activate, Activated, GetHolder, refusal};
use crate::bmc::ipmi::connection::Connection;
use crate::bmc::ipmi::fault::Fault;
use crate::bmc::ipmi::login::{ADMINISTRATOR, OPERATOR_OR_LESS};
use crate::bmc::ipmi::message::Answer;
use crate::bmc::ipmi::session::Opened;
use crate::bmc::{BmcError, BmcTrouble};
use ipmi_rs_core::connection::IpmiCommand as _;

/// What was tried, in errors.
const DOING: &str = "activate the console (SOL)";
/// The account's privilege does not suffice (table 5-2).
const PRIVILEGE: u8 = 0xd4;
/// Askings whether the BMC is there before it is taken for gone.
const ASKINGS: u32 = 4;
/// How long the answer to "deactivate" is waited for at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a console was not activated.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Another client has it.
    Held {
        /// Who.
        by: Holder,
    },
    /// Anything else.
    Error(BmcError),
}

impl Refusal {
    pub(super) fn into_error(self) -> BmcError {
        match self {
            Self::Held { by } => BmcError {
                doing: DOING.to_owned(),
                seen: format!("another client has it: {}", by.words),
                kind: BmcTrouble::Busy,
                source: None,
            },
            Self::Error(error) => error,
        }
    }
}

fn wrong(fault: Fault) -> Refusal {
    let what = match fault {
        Fault::Code(refusal::DISABLED) => "the BMC has the console switched off (SOL is disabled for this account or channel)",
        Fault::Code(refusal::LIMIT) => "the BMC has no more consoles to give",
        // Without encryption, passwords that are typed would be read on the wire.
        Fault::Code(refusal::NO_ENCRYPTION) => "the BMC gives the console only without encryption, which is not accepted",
        fault => return Refusal::Error(fault.into_error(DOING)),
    };
    let kind = if matches!(fault, Fault::Code(refusal::LIMIT)) { BmcTrouble::Busy } else { BmcTrouble::Refused };
    Refusal::Error(BmcError { doing: DOING.to_owned(), seen: what.to_owned(), kind, source: None })
}

/// What an opening is to do.
#[derive(Clone, Copy)]
struct Wants {
    take_over: bool,
    previous: Option<u32>,
    ask_again: Duration,
}

/// A session with the console activated on it.
pub(super) struct Link {
    connection: Connection,
    activated: Activated,
    /// Our session as the BMC names the console's holder; `None` when it does not say.
    own: Option<u32>,
    heard: Instant,
    /// Between two askings whether the BMC is there.
    ask_again: Duration,
    /// The question that is out, and how often it was asked.
    asked: Option<(u8, u32, Instant)>,
    /// As far as is known, the console is ours. "Deactivate" ends whoever's console it is (§24.2), so it is said for our own only.
    ours: bool,
}

impl Link {
    /// Logs in and activates the console. `previous` is the session on which we had it before: that one may be ended.
    pub(super) async fn open(
        home: &IpmiBmc,
        take_over: bool,
        previous: Option<u32>,
        ask_again: Duration,
        deadline: Instant,
    ) -> Result<Self, Refusal> {
        let wants = Wants { take_over, previous, ask_again };
        let fault = match Self::open_as(home, OPERATOR_OR_LESS, wants, deadline).await {
            Err(Refusal::Error(error)) if error.seen == Fault::Code(PRIVILEGE).to_string() => error,
            other => return other,
        };
        match Self::open_as(home, ADMINISTRATOR, wants, deadline).await {
            // The account is no administrator: what was said first is the matter.
            Err(Refusal::Error(error)) if error.kind == BmcTrouble::Refused => Err(Refusal::Error(fault)),
            other => other,
        }
    }

    async fn open_as(home: &IpmiBmc, roles: &[u8], wants: Wants, deadline: Instant) -> Result<Self, Refusal> {
        let Wants { take_over, previous, ask_again } = wants;
        let opening = |fault: Fault| Refusal::Error(fault.into_error(format!("open an IPMI session to {DOING}")));
        let mut connection = home.connect(roles, deadline).await.map_err(opening)?;
        connection.raise(deadline).await.map_err(opening)?;
        let ours = |session: u32, connection: &Connection| session == connection.id() || session == connection.our_id();
        let mut cleared = false;
        let activated = loop {
            match connection.repeat(&Activate.into(), deadline).await {
                Ok(data) => {
                    break Activate::parse_success_response(&data).unwrap_or(Activated { inbound: 0, outbound: 0, port: 0 });
                }
                Err(Fault::Code(refusal::ACTIVE_ELSEWHERE)) => {
                    let by = holder(&mut connection, deadline).await;
                    // The answer to our own first asking was lost.
                    if by.session.is_some_and(|session| ours(session, &connection)) {
                        break Activated { inbound: 0, outbound: 0, port: 0 };
                    }
                    let may = take_over || (by.session.is_some() && by.session == previous);
                    if !may || cleared {
                        return Err(Refusal::Held { by });
                    }
                    cleared = true;
                    connection.repeat(&payload::deactivate(), deadline).await.map_err(wrong)?;
                }
                Err(fault) => return Err(wrong(fault)),
            }
        };
        // We have it by now: whatever the BMC calls its holder is us.
        let own = holder::session(&mut connection, deadline).await.ok().flatten();
        Ok(Self { connection, activated, own, heard: Instant::now(), ask_again, asked: None, ours: true })
    }

    /// Our session as the BMC names the console's holder.
    pub(super) fn own(&self) -> Option<u32> {
        self.own
    }

    /// Bytes of one payload, as the BMC said.
    pub(super) fn payload(&self) -> u16 {
        self.activated.inbound
    }

    pub(super) async fn send(&mut self, payload: &[u8]) -> Result<(), Fault> {
        self.connection.send_console(payload).await
    }

    /// What comes in. Dropping the wait loses nothing.
    pub(super) async fn hear(&mut self) -> Opened {
        let opened = self.connection.hear().await;
        self.heard = Instant::now();
        if matches!(opened, Opened::Console(_)) {
            // The console itself speaks: no proof is needed. An answer that is still to come is looked at all the same.
            self.asked = self.asked.map(|(number, _, at)| (number, 0, at));
        }
        opened
    }

    /// Asks at the next opportunity, whatever was heard.
    pub(super) fn doubt(&mut self) {
        self.asked.get_or_insert((u8::MAX, 0, Instant::now() - self.ask_again));
    }

    fn question(&self) -> Message {
        if self.own.is_some() { GetHolder.into() } else { ipmi_rs_core::app::GetDeviceId.into() }
    }

    /// Asks whether the BMC and the console are there, when that is due; says why they are not when it has not answered.
    pub(super) async fn keep_alive(&mut self, every: Duration) -> Result<Option<String>, Fault> {
        let (times, due) = match self.asked {
            Some((_, times, at)) => (times, at + self.ask_again),
            None => (0, self.heard + every),
        };
        if Instant::now() < due {
            return Ok(None);
        }
        if times >= ASKINGS {
            return Ok(Some(format!("the BMC has said nothing for {:.0?}", self.heard.elapsed())));
        }
        let number = self.connection.ask_aside(&self.question()).await?;
        self.asked = Some((number, times + 1, Instant::now()));
        Ok(None)
    }

    /// Takes an answer; says why the console is gone when it tells so.
    pub(super) fn answered(&mut self, answer: &Answer) -> Option<String> {
        let (number, ..) = self.asked?;
        if !answer.answers(&self.question(), number) {
            return None;
        }
        self.asked = None;
        let own = self.own.filter(|_| answer.code == 0)?;
        match GetHolder::parse_success_response(&answer.data) {
            Ok(None) => Some("the BMC says that nobody has it".to_owned()),
            Ok(Some(other)) if other != own => Some(format!("the session {other:#010x} has it now")),
            _ => None,
        }
    }

    /// When [`Self::keep_alive`] is next to be called.
    pub(super) fn wake(&self, every: Duration) -> Instant {
        match self.asked {
            Some((_, _, at)) => at + self.ask_again,
            None => self.heard + every,
        }
    }

    /// Deactivates the console and waits for the answer, so that the next client finds it free; not when another client has taken it meanwhile.
    pub(super) async fn give_back(mut self) {
        let deadline = Instant::now() + FAREWELL;
        if let Some(own) = self.own
            && let Ok(has) = holder::session(&mut self.connection, deadline).await
        {
            self.ours = has == Some(own);
        }
        if std::mem::take(&mut self.ours) {
            // A BMC that does not answer frees it when the session ends.
            drop(self.connection.repeat(&payload::deactivate(), deadline).await);
        }
        self.connection.end().await;
    }

    /// Leaves a console that was lost: it is nobody's, or another client's. The session ends without a wait, the BMC may be gone.
    pub(super) fn leave(mut self) {
        self.ours = false;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.ours {
            self.connection.farewell(&payload::deactivate());
        }
    }
}
