//! Opens a session: one handshake after the other until one succeeds, the BMC says no for good, or the deadline passes. A lost packet begins the
//! whole handshake again with new numbers (IP-03); a wrong password is told after a second look (IP-06) and never proven to the BMC.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::account::Account;
use super::attempt::{Attempted, Step, attempt};
use super::fault::Fault;
use super::handshake::{is_defined, is_role_refusal, is_suite_refusal, status_text};
use super::manner::{Ladder, Manner};
use super::met::Met;
use super::presence::{Presence, presence};
use super::rtt::Rtt;
use super::session::Session;
use super::socket::{Lan, Line};
use super::tally::Tally;

/// Roles in the order in which they are asked for. Operator does all that a run needs, so administrator is not asked for there.
pub(super) const OPERATOR_OR_LESS: &[u8] = &[3, 2];
/// For a login that only proves a password: every account that may log in at all may do so as user.
pub(super) const LEAST: &[u8] = &[2];
/// For what only an administrator may do: accounts, restarting the BMC, some consoles.
pub(super) const ADMINISTRATOR: &[u8] = &[4];
/// Silent attempts with the first suite before the second is tried in turn: some BMCs throw away what they do not know.
const SILENT_BEFORE_NEXT_SUITE: u32 = 2;
/// Silent attempts before it is asked whether there is an IPMI service at all.
const SILENT_BEFORE_PRESENCE: u32 = 3;
/// Handshakes whose proof does not fit, or whose session the BMC has lost: the second may go well (IP-06), a third tells nothing new.
const MOST_DOUBTS: u32 = 2;
/// After "no free slot": a session that ends gives one back at once, one that was left behind after a minute (§6.12.15).
const SLOT_PAUSE: Duration = Duration::from_millis(300);
const LONGEST_SLOT_PAUSE: Duration = Duration::from_secs(5);

/// Get Channel Authentication Capabilities, IPMI v2.0 data, this channel, operator (§22.13), in an IPMI 1.5 packet outside of any session (§13.6).
/// What its answer says is not needed. pyghmi's server (virtualbmc) keeps a closed session for a minute and takes all that comes from the same port
/// for that session's; only this makes it listen for a new one (`Session._handle_ipmi_packet`), and only what comes after its answer is heard.
const GREETING: [u8; 23] =
    [0x06, 0x00, 0xff, 0x07, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x20, 0x18, 0xc8, 0x81, 0x00, 0x38, 0x8e, 0x03, 0xb6];

/// What is known while the handshakes go on.
struct Login {
    started: Instant,
    silent: u32,
    heard: bool,
    doubts: u32,
    odd: u32,
    presence: Option<Presence>,
    tally: Tally,
}

/// Logs in before `deadline`. `known` is the way that worked last time; `roles` are asked for in order.
pub(super) async fn login(
    lan: &Arc<Lan>,
    to: SocketAddr,
    account: &Account,
    known: Option<Manner>,
    roles: &[u8],
    rtt: &mut Rtt,
    deadline: Instant,
) -> Result<(Session, Line, Manner, Met), Fault> {
    let mut ladder = Ladder::new(account.suite, known, roles);
    let mut at =
        Login { started: Instant::now(), silent: 0, heard: false, doubts: 0, odd: 0, presence: None, tally: Tally::default() };
    let mut slots: Option<(u8, Duration)> = None;
    let mut greets = known.is_some_and(|known| known.greets);
    while Instant::now() < deadline {
        let turn = if at.heard { 0 } else { at.silent / SILENT_BEFORE_NEXT_SUITE };
        let Some(manner) = ladder.manner(usize::try_from(turn).unwrap_or(0)) else { break };
        if greets || (at.silent > 0 && !at.heard) {
            let patience = rtt.patience().min(deadline.saturating_duration_since(Instant::now()));
            let answered = lan.line(to).greet(&GREETING, patience).await.map_err(|e| Fault::Send(to, e))?;
            greets |= answered;
        }
        let Attempted { step, heard, tally } = attempt(lan, to, account, manner, rtt, deadline).await;
        at.heard |= heard;
        at.tally.add(tally);
        match step {
            Step::Open(session, line) => {
                let met =
                    Met { lost: at.silent, doubts: at.doubts + at.odd, crowded: slots.is_some(), unanswered: 0, tally: at.tally };
                return Ok((*session, line, Manner { greets, ..manner }, met));
            }
            Step::Lost => at.lost(to, deadline).await?,
            Step::Odd(what) => {
                // Perhaps forged: nothing protects the packets of a handshake.
                at.odd += 1;
                if at.odd >= MOST_DOUBTS {
                    return Err(Fault::Malformed(what));
                }
                // Or a BMC that answers with the one suite that it knows, whatever it was asked for (pyghmi's server).
                ladder.doubt(manner.suite);
            }
            Step::Wrong(why) => {
                at.doubts += 1;
                if at.doubts >= MOST_DOUBTS {
                    return Err(Fault::Credentials(why));
                }
                ladder.doubt(manner.suite);
            }
            Step::Refused(_, status) if is_suite_refusal(status) => {
                ladder.without(manner.suite).map_err(|all| Fault::Suite(all, status_text(status)))?;
            }
            Step::Refused(stage, status) if is_role_refusal(status) => {
                if !ladder.lower(stage) {
                    return Err(Fault::Handshake(stage.name(), status));
                }
            }
            Step::Refused(_, status @ (0x01 | 0x0b)) => {
                let pause = slots.map_or(SLOT_PAUSE, |(_, last)| (last * 3 / 2).min(LONGEST_SLOT_PAUSE));
                slots = Some((status, pause));
                if Instant::now() + pause >= deadline {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
            Step::Refused(_, status @ (0x0c | 0x0d | 0x0f)) => return Err(Fault::Credentials(status_text(status))),
            // Our half-open session was dropped by a BMC that restarted or made room: a new handshake is the answer, but not for ever.
            // So is it to a status that no standard defines: nothing protects these packets, and it may be what a doubled one was answered
            // (seen of pyghmi's server: 1Dh).
            Step::Refused(stage, status) if matches!(status, 0x02 | 0x08) || !is_defined(status) => {
                at.doubts += 1;
                if at.doubts > MOST_DOUBTS {
                    return Err(Fault::Handshake(stage.name(), status));
                }
            }
            Step::Refused(stage, status) => return Err(Fault::Handshake(stage.name(), status)),
            Step::Failed(fault) => return Err(fault),
        }
    }
    Err(match slots {
        Some((status, _)) => Fault::Slots(status_text(status), at.started.elapsed()),
        None => at.verdict(to),
    })
}

impl Login {
    /// A packet was lost, or nobody is there: asks once whether there is an IPMI service.
    async fn lost(&mut self, to: SocketAddr, deadline: Instant) -> Result<(), Fault> {
        self.silent += 1;
        if self.heard || self.silent != SILENT_BEFORE_PRESENCE {
            return Ok(());
        }
        let seen = presence(to, deadline.saturating_duration_since(Instant::now())).await;
        self.presence = Some(seen);
        match seen {
            // The BMC itself says so: waiting changes nothing.
            Presence::NoIpmi => Err(Fault::Off(to)),
            _ => Ok(()),
        }
    }

    /// What the silence was.
    fn verdict(&self, to: SocketAddr) -> Fault {
        let took = self.started.elapsed();
        match self.presence {
            _ if self.tally.suspicious() => Fault::NotGenuine(took, self.tally),
            _ if self.heard => Fault::NoAnswer(took),
            Some(Presence::Closed) => Fault::Closed(to, took),
            Some(Presence::Ipmi) => Fault::Deaf(to, took),
            _ => Fault::Silent(to, took),
        }
    }
}
