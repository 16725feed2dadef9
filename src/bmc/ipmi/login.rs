//! Opens a session: Open Session, RAKP 1 to 4. A lost packet starts the whole handshake again with new numbers (IP-03); a wrong password is tried once.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::account::Account;
use super::fault::Fault;
use super::handshake::{self, Attempt, Reply, is_role_refusal, is_suite_refusal, status_text};
use super::packet::{self, Payload};
use super::rakp::Facts;
use super::rtt::Rtt;
use super::session::Session;
use super::socket::{Lan, Line};
use super::suite::Suite;

/// Look the account up by its name alone (§13.20, role bit 4).
const NAME_ONLY: u8 = 0x10;
/// Roles in the order in which they are asked for. Operator does all that a run needs, so administrator is not asked for there.
pub(super) const OPERATOR_OR_LESS: &[u8] = &[3, 2];
/// For what only an administrator may do: accounts, restarting the BMC, some consoles.
pub(super) const ADMINISTRATOR: &[u8] = &[4];
/// Silent attempts with the first suite before the second is tried in turn: some BMCs throw away what they do not know.
const SILENT_BEFORE_NEXT_SUITE: u32 = 2;

/// Get Channel Authentication Capabilities, IPMI v2.0 data, this channel, operator (§22.13), in an IPMI 1.5 packet outside of any session (§13.6).
/// Its answer is not needed. pyghmi's server (virtualbmc) keeps a closed session for a minute and takes all that comes from the same port for
/// that session's; only this makes it listen for a new one (`Session._handle_ipmi_packet`).
const ANNOUNCE: [u8; 23] =
    [0x06, 0x00, 0xff, 0x07, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x20, 0x18, 0xc8, 0x81, 0x00, 0x38, 0x8e, 0x03, 0xb6];

/// What one attempt came to.
enum Step {
    Open(Box<Session>, Line),
    /// A packet was lost.
    Lost,
    Refused(&'static str, u8),
    Failed(Fault),
}

/// Logs in before `deadline`. `first` is the suite that worked last time; `roles` are tried in order. Gives the role that was granted, too.
pub(super) async fn login(
    lan: &std::sync::Arc<Lan>,
    to: SocketAddr,
    account: &Account,
    first: Option<Suite>,
    roles: &[u8],
    rtt: &mut Rtt,
    deadline: Instant,
) -> Result<(Session, Line, u8), Fault> {
    let started = Instant::now();
    let mut suites = match (account.suite, first) {
        (Some(only), _) => vec![only],
        (None, Some(Suite::Three)) => vec![Suite::Three, Suite::Seventeen],
        (None, _) => vec![Suite::Seventeen, Suite::Three],
    };
    let mut refused: Vec<Suite> = Vec::new();
    let mut roles = roles.iter().copied();
    let mut role = roles.next().unwrap_or(2);
    let mut silent = 0u32;
    let mut heard = false;
    while Instant::now() < deadline {
        let turn = if heard { 0 } else { usize::try_from(silent / SILENT_BEFORE_NEXT_SUITE).unwrap_or(0) };
        let Some(&suite) = suites.get(turn % suites.len().max(1)) else { break };
        let lost_before = silent;
        if silent > 0 {
            lan.line(to).send_if_ready(&ANNOUNCE);
        }
        let step = attempt(lan, to, account, suite, role, rtt, deadline, &mut heard).await;
        match step {
            Step::Open(session, line) => return Ok((*session, line, role)),
            Step::Lost => silent = lost_before + 1,
            Step::Refused(_, status) if is_suite_refusal(status) => {
                suites.retain(|s| *s != suite);
                refused.push(suite);
                if suites.is_empty() {
                    let names: Vec<String> = refused.iter().map(|s| s.id().to_string()).collect();
                    return Err(Fault::Suite(names.join(" and "), status_text(status)));
                }
            }
            Step::Refused(what, status) if is_role_refusal(status) => {
                role = roles.next().ok_or(Fault::Handshake(what, status))?;
            }
            Step::Refused(_, status @ (0x01 | 0x0b)) => return Err(Fault::Slots(status_text(status))),
            Step::Refused(_, status @ (0x0c | 0x0d | 0x0f)) => return Err(Fault::Credentials(status_text(status))),
            // Our half-open session was dropped by a BMC that restarted or made room: a new handshake is the answer.
            Step::Refused(_, 0x02 | 0x08) => silent = lost_before + 1,
            Step::Refused(what, status) => return Err(Fault::Handshake(what, status)),
            Step::Failed(fault) => return Err(fault),
        }
    }
    let took = started.elapsed();
    Err(if heard { Fault::NoAnswer(took) } else { Fault::Silent(to, took) })
}

#[allow(clippy::too_many_arguments, reason = "one caller; a struct for it would only rename the arguments")]
async fn attempt(
    lan: &std::sync::Arc<Lan>,
    to: SocketAddr,
    account: &Account,
    suite: Suite,
    role: u8,
    rtt: &mut Rtt,
    deadline: Instant,
    heard: &mut bool,
) -> Step {
    let mut line = lan.line(to);
    let numbers = Attempt { tag: line.tag(), our_session: line.session(), nonce: rand::random() };
    let user = account.user.as_bytes();
    let password = account.password.expose().as_bytes();

    let request = handshake::open_request(&numbers, suite, role);
    let bmc_session = match exchange(&line, to, Payload::OpenRequest, &request, rtt, deadline, |data| {
        handshake::open_response(data, &numbers, suite)
    })
    .await
    {
        Ok(Reply::Next(id)) => id,
        other => return stop("the session", other, heard),
    };
    *heard = true;

    let role_byte = role | NAME_ONLY;
    let request = handshake::rakp1(&numbers, bmc_session, role_byte, user);
    let mut wrong = false;
    let judged = exchange(&line, to, Payload::Rakp1, &request, rtt, deadline, |data| {
        let rakp2 = match handshake::rakp2(data, &numbers)? {
            Reply::Next(rakp2) => rakp2,
            Reply::Refused(status) => return Some(Reply::Refused(status)),
            Reply::Malformed(what) => return Some(Reply::Malformed(what)),
        };
        let facts = Facts {
            suite,
            our_session: numbers.our_session,
            bmc_session,
            our_nonce: &numbers.nonce,
            bmc_nonce: &rakp2.nonce,
            guid: &rakp2.guid,
            role: role_byte,
            user,
        };
        if !facts.rakp2(password).matches(suite.code_len(), rakp2.code) {
            // Perhaps forged: the genuine one may still come within the patience.
            wrong = true;
            return None;
        }
        let sik = facts.sik(account.kg.as_ref().map_or(password, |kg| kg.bytes()));
        Some(Reply::Next((facts.rakp3(password), facts.rakp4(&sik), facts.keys(&sik))))
    })
    .await;
    let (rakp3, rakp4, keys) = match judged {
        Ok(Reply::Next(codes)) => codes,
        Err(None) if wrong => {
            lan.dropped().refused.fetch_add(1, Ordering::Relaxed);
            return Step::Failed(Fault::Credentials("the BMC's proof does not fit: wrong password (RAKP message 2)"));
        }
        other => return stop("the account", other, heard),
    };

    let session = Session::new(suite, keys, numbers.our_session, bmc_session);
    let request = handshake::rakp3(&numbers, bmc_session, rakp3.bytes());
    let mut wrong = false;
    let judged = exchange(&line, to, Payload::Rakp3, &request, rtt, deadline, |data| {
        let reply = handshake::rakp4(data, &numbers)?.map(|claimed| rakp4.matches(suite.check_len(), claimed));
        if reply == Reply::Next(false) {
            // Perhaps forged, as above.
            wrong = true;
            return None;
        }
        Some(reply.map(drop))
    })
    .await;
    match judged {
        Ok(Reply::Next(())) => {
            line.established();
            Step::Open(Box::new(session), line)
        }
        // RAKP 2 proved the password, so only the key of the BMC is left.
        Err(None) if wrong => {
            farewell(session, &line);
            Step::Failed(Fault::Credentials("the BMC's check value does not fit: wrong or missing K_g (RAKP message 4)"))
        }
        Err(None) => {
            // The BMC may have opened the session; it would keep the slot for a minute.
            farewell(session, &line);
            Step::Lost
        }
        other => stop("the password", other, heard),
    }
}

/// Sends Close Session under the keys that the BMC has if it opened the session.
fn farewell(mut session: Session, line: &Line) {
    let close = super::command::close_session(session.bmc_id());
    line.send_if_ready(&session.seal(&close, 0));
}

fn stop<T>(what: &'static str, reply: Result<Reply<T>, Option<Fault>>, heard: &mut bool) -> Step {
    match reply {
        Ok(Reply::Refused(status)) => {
            *heard = true;
            Step::Refused(what, status)
        }
        Ok(Reply::Malformed(what)) => Step::Failed(Fault::Malformed(what)),
        Ok(Reply::Next(_)) | Err(None) => Step::Lost,
        Err(Some(fault)) => Step::Failed(fault),
    }
}

/// One exchange of the handshake, asked once: `Err(None)` when no answer came in time.
async fn exchange<T>(
    line: &Line,
    to: SocketAddr,
    kind: Payload,
    request: &[u8],
    rtt: &mut Rtt,
    deadline: Instant,
    mut judge: impl FnMut(&[u8]) -> Option<Reply<T>>,
) -> Result<Reply<T>, Option<Fault>> {
    let awaited = match kind {
        Payload::OpenRequest => Payload::OpenResponse,
        Payload::Rakp1 => Payload::Rakp2,
        _ => Payload::Rakp4,
    };
    let packet = packet::encode_plain(kind, request);
    let patience = rtt.patience().min(deadline.saturating_duration_since(Instant::now()));
    let asked = Instant::now();
    // Nothing protects these answers: one of the wrong shape may be forged, and the genuine one may still come within the patience.
    let mut odd = None;
    let answer = line
        .ask(&packet, patience, |bytes| {
            let packet = packet::decode(bytes).filter(|p| p.payload == awaited)?;
            match judge(packet.data)? {
                Reply::Malformed(what) => {
                    odd = Some(what);
                    None
                }
                reply => Some(reply),
            }
        })
        .await
        .map_err(|e| Some(Fault::Send(to, e)))?;
    match answer {
        Some(reply) => {
            rtt.heard(asked.elapsed());
            Ok(reply)
        }
        None => match odd {
            Some(what) => Ok(Reply::Malformed(what)),
            None => {
                rtt.missed();
                Err(None)
            }
        },
    }
}
