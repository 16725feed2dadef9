//! Looks at an IPMI service for the rows of firmware.md §5 that can be seen without a write. Every question leaves the BMC as it is, but for the
//! session that it is asked in.

use std::time::Duration;

use async_trait::async_trait;
use ipmi_rs_core::connection::{Message, NetFn};
use tokio::time::Instant;

use super::client::IpmiBmc;
use super::command::chassis::GetChassisStatus;
use super::command::set_privilege;
use super::fault::Fault;
use super::met::Met;
use super::presence::{Presence, presence};
use super::turn::{Need, Turn};
use crate::bmc::examining::{Examination, Examining, Sight};

/// Equal questions whose time is taken.
const TIMED: usize = 8;
/// Records of the list of cipher suites that are read: 16 bytes each (§22.15.1).
const PAGES: u8 = 8;
/// This channel (§6.3).
const HERE: u8 = 0x0e;
const OPERATOR: u8 = 3;
/// Ids of the two suites that the hand speaks (§22.15.2).
const THREE: u8 = 3;
const SEVENTEEN: u8 = 17;

/// What a look at the other rows would take.
const LEFT: [(&str, &str); 15] = [
    ("IP-01", SESSION),
    ("IP-02", SESSION),
    ("IP-03", SESSION),
    ("IP-04", SESSION),
    ("IP-05", SESSION),
    ("IP-06", SESSION),
    ("IP-07", SESSION),
    ("IP-08", SESSION),
    ("IP-09", SESSION),
    ("IP-10", SESSION),
    ("IP-11", SESSION),
    ("IP-12", SESSION),
    ("IP-13", "a change of the node's power"),
    ("IP-14", "an update of firmware"),
    ("IP-15", SESSION),
];
const SESSION: &str = "a session, and none could be opened";

#[async_trait]
impl Examining for IpmiBmc {
    async fn examine(&self) -> Examination {
        let mut exam = Examination::default();
        let pong = presence(self.to, Duration::from_secs(1)).await;
        match self.begin(self.patience(), "examination").await {
            Ok(mut turn) => {
                let lie =
                    (pong == Presence::NoIpmi).then(|| "it speaks IPMI, and its presence pong says that it does not".to_owned());
                exam.judge("IP-15", "IPMI over LAN", lie, "it is on");
                self.look(&mut exam, &mut turn).await;
            }
            Err(e) => exam.note("IP-15", "IPMI over LAN", Sight::Unseen(e.to_string())),
        }
        exam.leave(&LEFT);
        exam
    }
}

impl IpmiBmc {
    async fn look(&self, exam: &mut Examination, turn: &mut Turn<'_>) {
        // Each look has the patience of a call of its own: one question that is never answered takes nothing from the next.
        let soon = |turn: &mut Turn<'_>| turn.deadline = Instant::now() + self.patience();
        look_at_time(exam, turn).await;
        soon(turn);
        look_at_suites(exam, turn, self.account.suite.is_some()).await;
        soon(turn);
        look_at_sessions(exam, turn).await;
        soon(turn);
        look_at_payloads(exam, turn).await;
        if let Ok(connection) = turn.connection().await {
            met(exam, connection.met());
        }
        // Last, since BMCs that never answer it cost the session.
        soon(turn);
        look_at_privilege(exam, turn).await;
        let key = if self.account.kg.is_some() {
            "the login proves the BMC's own key"
        } else {
            "the login needs no key of the BMC's own"
        };
        exam.note("IP-05", "K_G", Sight::Plain(key.to_owned()));
        if let Some(manner) = self.known_manner() {
            let odd = match (manner.open_highest, manner.by_name) {
                (true, _) => Some("Open Session takes the highest privilege only (0), not a role".to_owned()),
                (_, false) => Some("accounts are not looked up by their name alone".to_owned()),
                (false, true) => None,
            };
            exam.judge("IP-07", "the handshake's liberties", odd, "it knows them");
        }
    }
}

/// What the session met on its way (IP-01, IP-02, IP-03, IP-06, IP-09, IP-10, IP-11).
fn met(exam: &mut Examination, met: Met) {
    let counted = |count: u32, what: &str| (count > 0).then(|| format!("{count} {what}"));
    let tally = met.tally;
    exam.judge(
        "IP-01",
        "questions",
        counted(met.unanswered, "askings were not answered in time"),
        "each was answered when first asked",
    );
    exam.judge(
        "IP-02",
        "repeated questions",
        counted(tally.duplicates, "were called duplicates (CFh)"),
        "none was called a duplicate",
    );
    exam.judge("IP-03", "the handshake", counted(met.lost, "handshakes were lost and begun anew"), "no packet of it was lost");
    exam.judge("IP-06", "the BMC's proof", counted(met.doubts, "handshakes did not fit, and the next one did"), "it fits");
    if met.crowded {
        exam.note("IP-09", "the login", Sight::Quirk("no session slot was free at first".to_owned()));
    }
    let strange = tally.suspicious().then(|| format!("packets that were thrown away: {tally}"));
    exam.judge("IP-10", "sequence numbers and codes", strange, "every packet of the session is genuine and new");
    if let Some(late) = counted(tally.late, "answers came after the next question") {
        exam.note("IP-11", "late answers", Sight::Quirk(late));
    }
}

async fn look_at_time(exam: &mut Examination, turn: &mut Turn<'_>) {
    for _ in 0..TIMED {
        let begun = Instant::now();
        match turn.read(Need::User, || GetChassisStatus).await {
            Ok(_) => exam.latencies_ms.push(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)),
            Err(fault) => {
                exam.note("IP-11", "questions in a row", Sight::Unseen(fault.to_string()));
                return;
            }
        }
    }
    let slowest = exam.latencies_ms.iter().max().copied().unwrap_or(0);
    // ipmitool asks again after 1 s: answers that come later are taken for those of the next question.
    let slow = (slowest >= 1_000).then(|| format!("one answer took {slowest} ms"));
    exam.judge("IP-11", "questions in a row", slow, "each took 1 s at most");
}

/// The suites that it lists against the one that was agreed (IP-04). `pinned`: the inventory left it no choice.
async fn look_at_suites(exam: &mut Examination, turn: &mut Turn<'_>, pinned: bool) {
    let agreed = match turn.connection().await {
        Ok(connection) => connection.manner().suite.id(),
        Err(fault) => return exam.note("IP-04", "cipher suites", Sight::Unseen(fault.to_string())),
    };
    let mut records = Vec::new();
    for page in 0..PAGES {
        let ask = Message::new_request(NetFn::App, 0x54, vec![HERE, 0x00, 0x80 | page]);
        match turn.repeat(Need::User, &ask).await {
            Ok(data) => {
                let part = data.get(1..).unwrap_or_default();
                records.extend_from_slice(part);
                if part.len() < 16 {
                    break;
                }
            }
            Err(fault) => return exam.note("IP-04", "cipher suites", Sight::Quirk(format!("they are not listed: {fault}"))),
        }
    }
    let listed = suites(&records);
    let names = listed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let lie = match listed.len() {
        0 => Some(format!("it lists none, and took {agreed}")),
        _ if !listed.contains(&agreed) => Some(format!("it lists {names}, and took {agreed}")),
        // 17 is asked for first.
        _ if !pinned && agreed == THREE && listed.contains(&SEVENTEEN) => {
            Some(format!("it lists {names}, and refused {SEVENTEEN}"))
        }
        _ => None,
    };
    exam.judge("IP-04", "cipher suites", lie, format!("{agreed} of {names}"));
}

/// Ids of the suites in a record list (§22.15.1): C0h starts a standard record, C1h one of a maker, whose id is followed by three bytes of
/// enterprise number; algorithms follow until the next start.
fn suites(records: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    let mut rest = records.iter();
    while let Some(start) = rest.next() {
        if !matches!(start, 0xc0 | 0xc1) {
            continue;
        }
        if let Some(id) = rest.next() {
            found.push(*id);
        }
        if *start == 0xc1 {
            rest.nth(2);
        }
    }
    found
}

/// Whether a session may be raised to operator (IP-08). It is lowered again with the session.
async fn look_at_privilege(exam: &mut Examination, turn: &mut Turn<'_>) {
    let seen = match turn.repeat(Need::User, &set_privilege(OPERATOR)).await {
        Ok(_) => Sight::Plain("a session is raised to operator".to_owned()),
        Err(fault @ Fault::Code(_)) => Sight::Quirk(format!("a session is not raised to operator: {fault}")),
        Err(fault) if fault.is_silence() => Sight::Quirk(format!("it is never answered: {fault}")),
        Err(fault) => Sight::Unseen(fault.to_string()),
    };
    exam.note("IP-08", "Set Session Privilege Level", seen);
}

/// Slots, and how many are taken (§22.20; IP-09).
async fn look_at_sessions(exam: &mut Examination, turn: &mut Turn<'_>) {
    let ask = Message::new_request(NetFn::App, 0x3d, vec![0x00]);
    let seen = match turn.repeat(Need::User, &ask).await {
        Ok(data) => match data[..] {
            [_, possible, active, ..] => {
                let (possible, active) = (possible & 0x3f, active & 0x3f);
                let words = format!("{active} of {possible} sessions are taken, with this one");
                if active >= possible { Sight::Quirk(words) } else { Sight::Plain(words) }
            }
            _ => Sight::Unseen("Get Session Info was answered with too few bytes".to_owned()),
        },
        Err(fault) => Sight::Unseen(fault.to_string()),
    };
    exam.note("IP-09", "session slots", seen);
}

/// Whether there is a console (§24.8; IP-12): bit 1 is serial over LAN.
async fn look_at_payloads(exam: &mut Examination, turn: &mut Turn<'_>) {
    let ask = Message::new_request(NetFn::App, 0x4e, vec![HERE]);
    let seen = match turn.repeat(Need::User, &ask).await {
        Ok(data) => match data.first() {
            Some(standard) if standard & 0x02 != 0 => Sight::Plain("serial over LAN is there".to_owned()),
            Some(_) => Sight::Plain("there is no serial over LAN".to_owned()),
            None => Sight::Unseen("Get Channel Payload Support was answered with too few bytes".to_owned()),
        },
        Err(fault) => Sight::Unseen(fault.to_string()),
    };
    exam.note("IP-12", "the console", seen);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bmc::ipmi::tally::Tally;

    #[test]
    fn ids_stand_behind_the_start_of_each_record() {
        assert_eq!(suites(&[0xc0, 3, 0x01, 0x41, 0x81, 0xc0, 17, 0x03, 0x44, 0x81]), [3, 17]);
        // A maker's enterprise number may look like a start.
        assert_eq!(suites(&[0xc1, 0x80, 0xc0, 0xc0, 0x01, 0x03, 0xc0, 17]), [0x80, 17]);
        assert_eq!(suites(&[0xc0]), [0; 0]);
    }

    #[test]
    fn what_was_met_shows_its_row_and_nothing_else() {
        let rows = |seen: Met| {
            let mut exam = Examination::default();
            met(&mut exam, seen);
            exam.looks.into_iter().filter(|l| matches!(l.seen, Sight::Quirk(_))).map(|l| l.row).collect::<Vec<_>>()
        };
        let tally = |tally| Met { tally, ..Met::default() };
        assert_eq!(rows(Met::default()), [""; 0]);
        assert_eq!(rows(Met { unanswered: 1, ..Met::default() }), ["IP-01"]);
        assert_eq!(rows(tally(Tally { duplicates: 1, ..Tally::default() })), ["IP-02"]);
        assert_eq!(rows(Met { lost: 1, ..Met::default() }), ["IP-03"]);
        assert_eq!(rows(Met { doubts: 1, ..Met::default() }), ["IP-06"]);
        assert_eq!(rows(Met { crowded: true, ..Met::default() }), ["IP-09"]);
        assert_eq!(rows(tally(Tally { replayed: 1, ..Tally::default() })), ["IP-10"]);
        assert_eq!(rows(tally(Tally { late: 1, ..Tally::default() })), ["IP-11"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_list(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(suites(&bytes).len() <= bytes.len() / 2);
        }
    }
}
