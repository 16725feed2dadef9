//! One handshake: Open Session, RAKP 1 to 4 (IPMI v2.0 §13.17–§13.24). It asks each question once and leaves nothing half open behind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::account::Account;
use super::fault::Fault;
use super::handshake::{self, Attempt, Reply};
use super::manner::{Manner, Stage};
use super::packet::{self, Payload};
use super::rakp::{Facts, MAX_OLD_PASSWORD};
use super::rtt::Rtt;
use super::session::Session;
use super::socket::{Lan, Line};
use super::tally::Tally;

/// "Invalid integrity check value": what a console says that gives up (table 13-15).
const GIVEN_UP: u8 = 0x0f;

/// What one handshake came to.
pub(super) enum Step {
    Open(Box<Session>, Line),
    /// A packet was lost.
    Lost,
    /// What came does not have the shape that the standard gives it.
    Odd(&'static str),
    /// A proof of the BMC does not fit.
    Wrong(&'static str),
    /// A status code other than 0.
    Refused(Stage, u8),
    Failed(Fault),
}

/// A handshake that is over.
pub(super) struct Attempted {
    pub(super) step: Step,
    /// The BMC said something to it.
    pub(super) heard: bool,
    /// What came in beside.
    pub(super) tally: Tally,
}

/// Why a handshake stopped at a question.
enum Stop {
    Lost,
    Odd(&'static str),
    Refused(u8),
    Failed(Fault),
}

impl Stop {
    fn at(self, stage: Stage) -> Step {
        match self {
            Self::Lost => Step::Lost,
            Self::Odd(what) => Step::Odd(what),
            Self::Refused(status) => Step::Refused(stage, status),
            Self::Failed(fault) => Step::Failed(fault),
        }
    }
}

/// Goes through one handshake.
pub(super) async fn attempt(
    lan: &Arc<Lan>,
    to: SocketAddr,
    account: &Account,
    manner: Manner,
    rtt: &mut Rtt,
    deadline: Instant,
) -> Attempted {
    let line = lan.line(to);
    let numbers = Attempt { tag: line.tag(), our_session: line.session(), nonce: rand::random() };
    let mut shake = Handshake { line, to, account, manner, numbers, rtt, deadline, tally: Tally::default(), heard: false };
    let step = shake.run().await;
    let (heard, mut tally) = (shake.heard, shake.tally);
    tally.astray = tally.astray.saturating_add(shake.line.astray());
    let step = match step {
        Ok(session) => {
            shake.line.established();
            Step::Open(Box::new(session), shake.line)
        }
        Err(step) => step,
    };
    Attempted { step, heard, tally }
}

struct Handshake<'a> {
    line: Line,
    to: SocketAddr,
    account: &'a Account,
    manner: Manner,
    numbers: Attempt,
    rtt: &'a mut Rtt,
    deadline: Instant,
    tally: Tally,
    heard: bool,
}

/// What RAKP message 2 settled.
struct Proven {
    bmc_nonce: [u8; 16],
    guid: [u8; 16],
    /// The role byte that the BMC puts into its codes.
    role: u8,
}

impl Handshake<'_> {
    async fn run(&mut self) -> Result<Session, Step> {
        let id = self.open().await.map_err(|stop| stop.at(Stage::Session))?;
        let proven = match self.name(id).await {
            Ok(proven) => proven,
            Err(step) => {
                // Only to a BMC that has answered RAKP 1: others are lost at a RAKP 3 that they do not expect (pyghmi's server).
                if matches!(step, Step::Wrong(_)) {
                    self.give_up(id);
                }
                return Err(step);
            }
        };
        self.prove(id, &proven).await
    }

    async fn open(&mut self) -> Result<u32, Stop> {
        let (numbers, suite) = (self.numbers, self.manner.suite);
        let request = handshake::open_request(&numbers, suite, self.manner.open_role());
        self.exchange(Payload::OpenRequest, &request, |data| handshake::open_response(data, &numbers, suite)).await
    }

    fn facts<'f>(&'f self, id: u32, proven: &'f Proven) -> Facts<'f> {
        Facts {
            suite: self.manner.suite,
            our_session: self.numbers.our_session,
            bmc_session: id,
            our_nonce: &self.numbers.nonce,
            bmc_nonce: &proven.bmc_nonce,
            guid: &proven.guid,
            role: proven.role,
            user: self.account.user.as_bytes(),
        }
    }

    /// RAKP 1 and 2: names the account; the BMC proves that it knows the password.
    async fn name(&mut self, id: u32) -> Result<Proven, Step> {
        let (numbers, manner, account) = (self.numbers, self.manner, self.account);
        let request = handshake::rakp1(&numbers, id, manner.role_byte(), account.user.as_bytes());
        let password = account.password.expose().as_bytes();
        let code_len = manner.suite.code_len();
        let mut wrong = None;
        let judged = self
            .exchange(Payload::Rakp1, &request, |data| {
                let rakp2 = match handshake::rakp2(data, &numbers)? {
                    Reply::Next(rakp2) => rakp2,
                    Reply::Refused(status) => return Some(Reply::Refused(status)),
                    Reply::Malformed(what) => return Some(Reply::Malformed(what)),
                };
                let facts = |role| Facts {
                    suite: manner.suite,
                    our_session: numbers.our_session,
                    bmc_session: id,
                    our_nonce: &numbers.nonce,
                    bmc_nonce: &rakp2.nonce,
                    guid: &rakp2.guid,
                    role,
                    user: account.user.as_bytes(),
                };
                let fits = |role: &u8, password| facts(*role).rakp2(password).matches(code_len, rakp2.code);
                if let Some(role) = manner.hashed_roles().into_iter().find(|role| fits(role, password)) {
                    return Some(Reply::Next(Proven { bmc_nonce: rakp2.nonce, guid: rakp2.guid, role }));
                }
                // Perhaps forged: the genuine one may still come within the patience.
                let old = password.get(..MAX_OLD_PASSWORD).filter(|old| old.len() < password.len());
                let cut = old.is_some_and(|old| fits(&manner.role_byte(), old));
                wrong = Some(if cut {
                    "the BMC knows the first 16 bytes of this password and no more (RAKP message 2): set one of at most 16"
                } else {
                    "the BMC's proof does not fit: wrong password (RAKP message 2)"
                });
                None
            })
            .await;
        match judged {
            Err(Stop::Lost) if wrong.is_some() => {
                self.line.lan().dropped().refused.fetch_add(1, Ordering::Relaxed);
                Err(Step::Wrong(wrong.unwrap_or_default()))
            }
            Err(stop) => Err(stop.at(Stage::Account)),
            Ok(proven) => Ok(proven),
        }
    }

    /// RAKP 3 and 4: proves that we know the password; the BMC proves the key of the session.
    async fn prove(&mut self, id: u32, proven: &Proven) -> Result<Session, Step> {
        let (numbers, manner, account) = (self.numbers, self.manner, self.account);
        let password = account.password.expose().as_bytes();
        let facts = self.facts(id, proven);
        let request = Zeroizing::new(handshake::rakp3(&numbers, id, facts.rakp3(password).bytes()));
        // Without a key of the BMC's own, the password is in its place (§13.33); some BMCs take the twenty noughts for a key (IP-05).
        let zero = [0u8; 20];
        let keys: Vec<&[u8]> = match &account.kg {
            Some(kg) => vec![kg.bytes()],
            None => vec![password, &zero],
        };
        let siks: Vec<_> = keys.into_iter().map(|key| facts.sik(key)).collect();
        let checks: Vec<_> = siks.iter().map(|sik| facts.rakp4(sik)).collect();
        // What a BMC without a key of its own says to a console that has one: told, never accepted.
        let without = account.kg.is_some().then(|| facts.sik(password));
        let keyless = without.as_ref().map(|sik| facts.rakp4(sik));
        let check_len = manner.suite.check_len();
        let mut wrong = None;
        let judged = self
            .exchange(Payload::Rakp3, &request, |data| {
                let claimed = match handshake::rakp4(data, &numbers)? {
                    Reply::Next(claimed) => claimed,
                    other => return Some(other.map(|_| 0)),
                };
                if let Some(at) = checks.iter().position(|check| check.matches(check_len, claimed)) {
                    return Some(Reply::Next(at));
                }
                // Perhaps forged, as above.
                wrong = Some(match &keyless {
                    Some(check) if check.matches(check_len, claimed) => {
                        "the BMC has no key of its own (K_G), and the inventory names one (RAKP message 4)"
                    }
                    Some(_) => "the BMC's check value does not fit: it has another key of its own (K_G) than the inventory names (RAKP message 4)",
                    None => "the BMC's check value does not fit: it has a key of its own (K_G), and the inventory names none (RAKP message 4)",
                });
                None
            })
            .await;
        let facts = self.facts(id, proven);
        match judged {
            Ok(at) => {
                let sik = siks.get(at).ok_or(Step::Lost)?;
                Ok(Session::new(manner.suite, facts.keys(sik), numbers.our_session, id))
            }
            Err(stop) => {
                // The BMC may have opened the session, or may wait for a RAKP 3 that was lost: either would keep the slot for a minute. Under which
                // key is not known; one that we have not got leaves it to the BMC's own timeout.
                for sik in siks.iter().chain(&without) {
                    let mut session = Session::new(manner.suite, facts.keys(sik), numbers.our_session, id);
                    let close = super::command::close_session(id);
                    self.line.send_if_ready(&session.seal(&close, 0));
                }
                self.give_up(id);
                Err(match (stop, wrong) {
                    (Stop::Lost, Some(why)) => Step::Failed(Fault::Credentials(why)),
                    (stop, _) => stop.at(Stage::Password),
                })
            }
        }
    }

    /// Tells the BMC that this handshake ends here, so that it need not keep the slot (§13.22: a RAKP 3 with a status).
    fn give_up(&self, id: u32) {
        let words = handshake::rakp3_given_up(&self.numbers, id, GIVEN_UP);
        self.line.send_if_ready(&packet::encode_plain(Payload::Rakp3, &words));
    }

    /// One question of the handshake, asked once.
    async fn exchange<T>(
        &mut self,
        kind: Payload,
        request: &[u8],
        mut judge: impl FnMut(&[u8]) -> Option<Reply<T>>,
    ) -> Result<T, Stop> {
        let awaited = match kind {
            Payload::OpenRequest => Payload::OpenResponse,
            Payload::Rakp1 => Payload::Rakp2,
            _ => Payload::Rakp4,
        };
        let packet = packet::encode_plain(kind, request);
        let left = self.deadline.saturating_duration_since(Instant::now());
        let (rtt, lan) = (*self.rtt, Arc::clone(self.line.lan()));
        // Of a BMC that has said nothing yet, what the others have shown meanwhile is known better.
        let known = || if rtt.is_strange() { lan.rtt().missing(rtt) } else { rtt };
        let opens = kind == Payload::OpenRequest;
        let patience = || if opens { known().patience() } else { known().patience_for_proof() }.min(left);
        let asked = Instant::now();
        // Nothing protects these answers: one of the wrong shape may be forged, and the genuine one may still come within the patience.
        let (mut odd, mut unfit) = (None, 0u32);
        let answer = self
            .line
            .ask(&packet, patience, |bytes| {
                let found = packet::decode(bytes).filter(|p| p.payload == awaited).and_then(|packet| judge(packet.data));
                match found {
                    Some(Reply::Malformed(what)) => odd = Some(what),
                    Some(reply) => return Some(reply),
                    None => unfit = unfit.saturating_add(1),
                }
                None
            })
            .await
            .map_err(|e| Stop::Failed(Fault::Send(self.to, e)))?;
        self.tally.garbled = self.tally.garbled.saturating_add(unfit);
        match answer {
            Some(reply) => {
                self.learn(asked.elapsed());
                if !opens {
                    self.rtt.proof(true);
                }
                match reply {
                    Reply::Next(value) => Ok(value),
                    Reply::Refused(status) => Err(Stop::Refused(status)),
                    Reply::Malformed(what) => Err(Stop::Odd(what)),
                }
            }
            None => match odd {
                Some(what) => Err(Stop::Odd(what)),
                None => {
                    self.rtt.missed();
                    if !opens {
                        self.rtt.proof(false);
                    }
                    Err(Stop::Lost)
                }
            },
        }
    }

    fn learn(&mut self, took: Duration) {
        if !self.heard {
            self.heard = true;
            self.line.lan().measured(took);
        }
        self.rtt.heard(took);
    }
}
