//! An open session on the wire: one question at a time. A read is asked again under a fresh session sequence number and the same request number
//! (IP-02, IP-11); a write is sent once, and `resend` repeats the very same bytes, which a BMC's replay window executes at most once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ipmi_rs_core::connection::Message;
use tokio::time::Instant;

use super::account::Account;
use super::command;
use super::fault::{Fault, is_busy};
use super::login::{ADMINISTRATOR, login};
use super::message::Answer;
use super::rtt::Rtt;
use super::session::{Opened, Session};
use super::socket::{Lan, Line};
use super::suite::Suite;

/// "The BMC took it for a duplicate": the answer to an earlier asking is still to come (IP-02).
const DUPLICATE: u8 = 0xcf;
/// A session starts as user (§22.18).
const USER: u8 = 2;
/// What power and boot commands need (appendix G).
const OPERATOR: u8 = 3;
/// After a busy answer, before asking again.
const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// Askings without an answer after which the session is given up for lost (BMC restarted, slot taken away).
const SILENT_SESSION: u32 = 8;

/// An open session. Dropping it sends Close Session, so that no slot stays taken, however the caller ended.
pub(super) struct Connection {
    to: SocketAddr,
    session: Session,
    line: Line,
    rtt: Rtt,
    next_request: u8,
    /// What the login granted at most.
    role: u8,
    privilege: u8,
    used: Instant,
}

/// A write that is out.
pub(super) struct Sent {
    message: Message,
    request: u8,
    bytes: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(
        lan: &Arc<Lan>,
        to: SocketAddr,
        account: &Account,
        first: Option<Suite>,
        roles: &[u8],
        deadline: Instant,
    ) -> Result<Self, Fault> {
        let mut rtt = Rtt::default();
        let (session, line, role) = login(lan, to, account, first, roles, &mut rtt, deadline).await?;
        Ok(Self { to, session, line, rtt, next_request: 0, role, privilege: USER, used: Instant::now() })
    }

    /// True when it was opened as administrator.
    pub(super) fn is_administrator(&self) -> bool {
        ADMINISTRATOR.contains(&self.role)
    }

    /// Session id of the BMC's side.
    pub(super) fn id(&self) -> u32 {
        self.session.bmc_id()
    }

    /// Session id of our side.
    pub(super) fn our_id(&self) -> u32 {
        self.line.session()
    }

    pub(super) fn suite(&self) -> Suite {
        self.session.suite()
    }

    /// How long nobody has used it. BMCs end a session after 60 s (§6.12.15).
    pub(super) fn idle(&self) -> Duration {
        self.used.elapsed()
    }

    fn request_number(&mut self) -> u8 {
        self.next_request = (self.next_request + 1) & 0x3f;
        self.next_request
    }

    /// Asks until there is an answer; gives what follows the completion code. Also for writes of a value, which repeating does not change.
    pub(super) async fn repeat(&mut self, message: &Message, deadline: Instant) -> Result<Vec<u8>, Fault> {
        let began = Instant::now();
        let mut silent = 0;
        let mut request = self.request_number();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || silent >= SILENT_SESSION {
                return Err(Fault::NoAnswer(began.elapsed()));
            }
            let bytes = self.session.seal(message, request);
            let asked = Instant::now();
            let patience = self.rtt.patience().min(left);
            match self.exchange(&bytes, message, request, patience).await? {
                None => {
                    self.rtt.missed();
                    silent += 1;
                }
                Some(answer) => {
                    if silent == 0 {
                        self.rtt.heard(asked.elapsed());
                    } else {
                        self.rtt.heard_late();
                    }
                    silent = 0;
                    match answer.code {
                        0 => return Ok(answer.data),
                        code if is_busy(code) && Instant::now() + BUSY_PAUSE < deadline => {
                            tokio::time::sleep(BUSY_PAUSE).await;
                            request = self.request_number();
                        }
                        code => return Err(Fault::Code(code)),
                    }
                }
            }
        }
    }

    /// Sends a write once. `Ok(None)` is a lost answer, not a failure.
    pub(super) async fn write(&mut self, message: Message, patience: Duration) -> Result<(Sent, Option<Answer>), Fault> {
        let request = self.request_number();
        let bytes = self.session.seal(&message, request);
        let sent = Sent { message, request, bytes };
        let answer = self.resend(&sent, patience).await?;
        Ok((sent, answer))
    }

    /// Sends the very same packet again: its sequence number makes a second execution impossible on a BMC that keeps the replay window (§6.12.13).
    pub(super) async fn resend(&mut self, sent: &Sent, patience: Duration) -> Result<Option<Answer>, Fault> {
        self.exchange(&sent.bytes, &sent.message, sent.request, patience.max(self.rtt.patience())).await
    }

    async fn exchange(
        &mut self,
        bytes: &[u8],
        message: &Message,
        request: u8,
        patience: Duration,
    ) -> Result<Option<Answer>, Fault> {
        let Self { session, line, .. } = self;
        let dropped = line.lan().dropped();
        let answer = line
            .ask(bytes, patience, |packet| match session.open(packet) {
                Ok(answer) if answer.answers(message, request) && answer.code != DUPLICATE => Some(answer),
                Ok(_) => {
                    dropped.late.fetch_add(1, Ordering::Relaxed);
                    None
                }
                Err(_) => {
                    dropped.refused.fetch_add(1, Ordering::Relaxed);
                    None
                }
            })
            .await
            .map_err(|e| Fault::Send(self.to, e))?;
        if answer.is_some() {
            self.used = Instant::now();
        }
        Ok(answer)
    }

    /// Raises the session to operator, or to administrator where it was opened as one, once. A refusal is passed over (IP-08, Cisco): the command
    /// itself then says whether the privilege suffices.
    pub(super) async fn raise(&mut self, deadline: Instant) -> Result<(), Fault> {
        let wanted = self.role.max(OPERATOR);
        if self.privilege >= wanted {
            return Ok(());
        }
        match self.repeat(&command::set_privilege(wanted), deadline).await {
            Ok(_) | Err(Fault::Code(_)) => {
                self.privilege = wanted;
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    /// Sends something for the console.
    pub(super) async fn send_console(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let bytes = self.session.seal_console(payload);
        self.line.send(&bytes).await.map_err(|e| Fault::Send(self.to, e))
    }

    /// Sends a question beside the console and does not wait: its answer comes by [`Self::hear`], under the number that this gives.
    pub(super) async fn ask_aside(&mut self, message: &Message) -> Result<u8, Fault> {
        let request = self.request_number();
        let bytes = self.session.seal(message, request);
        self.line.send(&bytes).await.map_err(|e| Fault::Send(self.to, e))?;
        Ok(request)
    }

    /// What comes in next, answers and console alike. Dropping the wait loses nothing.
    pub(super) async fn hear(&mut self) -> Opened {
        loop {
            let packet = self.line.receive().await;
            match self.session.open_any(&packet) {
                Ok(opened) => {
                    self.used = Instant::now();
                    return opened;
                }
                Err(_) => drop(self.line.lan().dropped().refused.fetch_add(1, Ordering::Relaxed)),
            }
        }
    }

    /// Says something that nobody waits for, if the socket takes it at once.
    pub(super) fn farewell(&mut self, message: &Message) {
        let request = self.request_number();
        let bytes = self.session.seal(message, request);
        self.line.send_if_ready(&bytes);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let close = command::close_session(self.session.bmc_id());
        self.farewell(&close);
    }
}
