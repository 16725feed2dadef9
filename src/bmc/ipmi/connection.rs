//! An open session on the wire: one question at a time. A read is asked again under a fresh session sequence number and the same request number
//! (IP-11), or a new one when the BMC calls it a duplicate (IP-02); a write is sent once, and `resend` repeats the very same bytes, which a BMC's replay window executes at most once.

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
use super::manner::Manner;
use super::message::Answer;
use super::met::Met;
use super::rtt::Rtt;
use super::session::{Opened, Session};
use super::socket::{Lan, Line};
use super::tally::Tally;

/// "The BMC took it for a duplicate": the answer to an earlier asking is still to come (IP-02).
const DUPLICATE: u8 = 0xcf;
/// A session starts as user (§22.18).
const USER: u8 = 2;
/// What power and boot commands need (appendix G).
const OPERATOR: u8 = 3;
/// Askings that a BMC may take for duplicates before the question gets a new number: the first is perhaps still being worked on.
const DUPLICATES: u32 = 2;
/// Askings of Set Session Privilege Level: some BMCs never answer it (IP-08).
const RAISES: u32 = 6;
/// How often Close Session is sent at most, and how long its answers are waited for in all.
const FAREWELLS: u32 = 3;
const FAREWELL: Duration = Duration::from_secs(1);
/// After a busy answer, before asking again.
const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// Askings without an answer after which the session is given up for lost (BMC restarted, slot taken away).
const SILENT_SESSION: u32 = 6;
/// And not before: BMCs have been seen to take 5 s for one answer (openbmc issue 2519), and the answer to any of the askings is as good.
const SILENCE: Duration = Duration::from_secs(5);

/// An open session. Dropping it sends Close Session, so that no slot stays taken, however the caller ended; [`Connection::close`] makes sure.
pub(super) struct Connection {
    to: SocketAddr,
    session: Session,
    line: Line,
    rtt: Rtt,
    next_request: u8,
    privilege: u8,
    used: Instant,
    manner: Manner,
    met: Met,
    closed: bool,
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
        known: Option<Manner>,
        roles: &[u8],
        deadline: Instant,
    ) -> Result<Self, Fault> {
        let mut rtt = lan.rtt();
        let (session, line, manner, met) = login(lan, to, account, known, roles, &mut rtt, deadline).await?;
        let used = Instant::now();
        Ok(Self { to, session, line, rtt, next_request: 0, privilege: USER, used, manner, met, closed: false })
    }

    /// Session id of the BMC's side.
    pub(super) fn id(&self) -> u32 {
        self.session.bmc_id()
    }

    /// Session id of our side.
    pub(super) fn our_id(&self) -> u32 {
        self.line.session()
    }

    /// True when it was opened as administrator.
    pub(super) fn is_administrator(&self) -> bool {
        ADMINISTRATOR.contains(&self.manner.role)
    }

    /// How it was logged in to.
    pub(super) fn manner(&self) -> Manner {
        self.manner
    }

    /// What it met on its way so far.
    pub(super) fn met(&self) -> Met {
        self.met
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
        self.repeat_at_most(message, SILENT_SESSION, SILENCE, deadline).await
    }

    /// Gives up after so many askings without an answer, when they have lasted so long.
    async fn repeat_at_most(
        &mut self,
        message: &Message,
        askings: u32,
        silence: Duration,
        deadline: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let mut tally = Tally::default();
        let answer = self.repeat_counting(message, askings, silence, deadline, &mut tally).await;
        self.met.tally.add(tally);
        answer
    }

    async fn repeat_counting(
        &mut self,
        message: &Message,
        askings: u32,
        silence: Duration,
        deadline: Instant,
        tally: &mut Tally,
    ) -> Result<Vec<u8>, Fault> {
        let began = Instant::now();
        let (mut silent, mut duplicates, mut asked_once) = (0, 0, false);
        let mut since = began;
        let mut request = self.request_number();
        // What came before this question was not meant for it.
        let _before = self.line.astray();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || (silent >= askings && since.elapsed() >= silence) {
                tally.astray = tally.astray.saturating_add(self.line.astray());
                let took = began.elapsed();
                if !asked_once {
                    return Err(Fault::NoTime);
                }
                return Err(if tally.suspicious() { Fault::NotGenuine(took, *tally) } else { Fault::NoAnswer(took) });
            }
            let bytes = self.session.seal(message, request);
            asked_once = true;
            let asked = Instant::now();
            let patience = self.rtt.patience().min(left);
            let before = tally.duplicates;
            match self.exchange(&bytes, message, request, patience, tally).await? {
                // It was heard, and is being worked on or was answered: no reason to speak more slowly.
                None if tally.duplicates > before => {
                    silent += 1;
                    duplicates += 1;
                    if duplicates >= DUPLICATES {
                        // The answer is lost for good: to the BMC, a new number is a new question (IP-02).
                        duplicates = 0;
                        request = self.request_number();
                    }
                }
                None => {
                    self.rtt.missed();
                    self.met.unanswered = self.met.unanswered.saturating_add(1);
                    silent += 1;
                }
                Some(answer) => {
                    if silent == 0 {
                        self.rtt.heard(asked.elapsed());
                    } else {
                        self.rtt.heard_late();
                    }
                    (silent, since) = (0, Instant::now());
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
        let patience = patience.max(self.rtt.patience());
        self.exchange(&sent.bytes, &sent.message, sent.request, patience, &mut Tally::default()).await
    }

    async fn exchange(
        &mut self,
        bytes: &[u8],
        message: &Message,
        request: u8,
        patience: Duration,
        tally: &mut Tally,
    ) -> Result<Option<Answer>, Fault> {
        let Self { session, line, .. } = self;
        let dropped = line.lan().dropped();
        let answer = line
            .ask(
                bytes,
                || patience,
                |packet| match session.open(packet) {
                    Ok(answer) if answer.answers(message, request) && answer.code != DUPLICATE => Some(answer),
                    Ok(answer) => {
                        let mine = answer.answers(message, request);
                        let counter = if mine { &mut tally.duplicates } else { &mut tally.late };
                        *counter = counter.saturating_add(1);
                        dropped.late.fetch_add(1, Ordering::Relaxed);
                        None
                    }
                    Err(why) => {
                        tally.count(why);
                        dropped.refused.fetch_add(1, Ordering::Relaxed);
                        None
                    }
                },
            )
            .await
            .map_err(|e| Fault::Send(self.to, e))?;
        if answer.is_some() {
            self.used = Instant::now();
        }
        Ok(answer)
    }

    /// Raises the session to operator, or to administrator where it was opened as one, once. A refusal, or no answer, is passed over (IP-08,
    /// Cisco): the command itself then says whether the privilege suffices.
    pub(super) async fn raise(&mut self, deadline: Instant) -> Result<(), Fault> {
        let wanted = self.manner.role.max(OPERATOR);
        if self.privilege >= wanted {
            return Ok(());
        }
        match self.repeat_at_most(&command::set_privilege(wanted), RAISES, Duration::ZERO, deadline).await {
            Ok(_) | Err(Fault::Code(_)) => {}
            Err(fault) if fault.is_silence() && Instant::now() < deadline => {}
            Err(fault) => return Err(fault),
        }
        self.privilege = wanted;
        Ok(())
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

    /// Lets the session go without a word: the BMC that had it has restarted.
    pub(super) fn forget(mut self) {
        self.closed = true;
    }

    /// Says something that nobody waits for, if the socket takes it at once.
    pub(super) fn farewell(&mut self, message: &Message) {
        let request = self.request_number();
        let bytes = self.session.seal(message, request);
        self.line.send_if_ready(&bytes);
    }

    /// Ends the session and hears that it is ended, so that no slot stays taken because one packet was lost.
    pub(super) async fn close(mut self) {
        self.end().await;
    }

    /// As [`Self::close`], where it cannot be given away.
    pub(super) async fn end(&mut self) {
        self.closed = true;
        let end = Instant::now() + FAREWELL;
        let message = command::close_session(self.session.bmc_id());
        for _ in 0..FAREWELLS {
            let request = self.request_number();
            let bytes = self.session.seal(&message, request);
            let patience = self.rtt.patience().min(end.saturating_duration_since(Instant::now()));
            match self.exchange(&bytes, &message, request, patience, &mut Tally::default()).await {
                // Whatever it says, it has heard it: "no such session" is what was wanted, too.
                Ok(Some(_)) | Err(_) => return,
                // Perhaps it is the answer that was lost: a BMC says nothing to a session that it has ended.
                Ok(None) => self.rtt.missed(),
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let close = command::close_session(self.session.bmc_id());
        self.farewell(&close);
    }
}
