//! Looks at an IPMI service for the rows of firmware.md §5 that can be seen without a write. Every question leaves the BMC as it is, but for the
//! session that it is asked in.

use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use ipmi_rs_core::connection::{Message, NetFn};
use tokio::time::Instant;

use super::client::IpmiBmc;
use super::command::chassis::GetChassisStatus;
use super::command::set_privilege;
use super::fault::Fault;
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

#[async_trait]
impl Examining for IpmiBmc {
    async fn examine(&self) -> Examination {
        let mut exam = Examination::default();
        let pong = presence(self.to, Duration::from_secs(1)).await;
        let mut turn = match self.begin(self.patience(), "examination").await {
            Ok(turn) => turn,
            Err(e) => {
                exam.note("IP-15", "IPMI over LAN", Sight::Unseen(e.to_string()));
                return exam;
            }
        };
        let lie = (pong == Presence::NoIpmi).then(|| "it speaks IPMI, and its presence pong says that it does not".to_owned());
        exam.judge("IP-15", "IPMI over LAN", lie, "it is on");
        look_at_time(&mut exam, &mut turn).await;
        look_at_suites(&mut exam, &mut turn).await;
        look_at_privilege(&mut exam, &mut turn).await;
        look_at_sessions(&mut exam, &mut turn).await;
        look_at_payloads(&mut exam, &mut turn).await;
        drop(turn);
        if let Some(manner) = *self.manner.lock().unwrap_or_else(PoisonError::into_inner) {
            let odd = match (manner.open_highest, manner.by_name) {
                (true, _) => Some("Open Session takes the highest privilege only (0), not a role".to_owned()),
                (_, false) => Some("accounts are not looked up by their name alone".to_owned()),
                (false, true) => None,
            };
            exam.judge("IP-07", "the handshake's liberties", odd, "it knows them");
        }
        exam.looks.sort_by(|a, b| (a.row, a.at).cmp(&(b.row, b.at)));
        exam
    }
}

async fn look_at_time(exam: &mut Examination, turn: &mut Turn<'_>) {
    for _ in 0..TIMED {
        let begun = Instant::now();
        match turn.read(Need::User, || GetChassisStatus).await {
            Ok(_) => exam.latencies_ms.push(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)),
            Err(fault) => {
                exam.note("IP-11", "equal questions, one after the other", Sight::Unseen(fault.to_string()));
                return;
            }
        }
    }
    let slowest = exam.latencies_ms.iter().max().copied().unwrap_or(0);
    // ipmitool asks again after 1 s: answers that come later are taken for those of the next question.
    let slow = (slowest >= 1_000).then(|| format!("one answer took {slowest} ms"));
    exam.judge("IP-11", "equal questions, one after the other", slow, "each took 1 s at most");
}

/// The suites that it lists against the one that was agreed (IP-04).
async fn look_at_suites(exam: &mut Examination, turn: &mut Turn<'_>) {
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
    let names: Vec<String> = listed.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    let lie = (!listed.contains(&agreed)).then(|| format!("it lists {names}, and took {agreed}"));
    exam.judge("IP-04", "cipher suites", lie, format!("{agreed} of {names}"));
}

/// Ids of the suites in a record list (§22.15.1): C0h starts a standard record, C1h one of a maker, whose id is behind three bytes of enterprise
/// number less; algorithms follow until the next start.
fn suites(records: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    let mut rest = records.iter();
    while let Some(byte) = rest.next() {
        if matches!(byte, 0xc0 | 0xc1)
            && let Some(id) = rest.next()
        {
            found.push(*id);
        }
    }
    found
}

/// Whether a session may be raised to operator (IP-08). It is lowered again with the session.
async fn look_at_privilege(exam: &mut Examination, turn: &mut Turn<'_>) {
    let seen = match turn.repeat(Need::User, &set_privilege(OPERATOR)).await {
        Ok(_) => Sight::Plain("a session is raised to operator".to_owned()),
        Err(fault @ Fault::Code(_)) => Sight::Quirk(format!("a session is not raised to operator: {fault}")),
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
        Ok(data) => Sight::Plain(match data.first() {
            Some(standard) if standard & 0x02 != 0 => "serial over LAN is there".to_owned(),
            _ => "there is no serial over LAN".to_owned(),
        }),
        Err(fault) => Sight::Unseen(fault.to_string()),
    };
    exam.note("IP-12", "the console", seen);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::suites;

    #[test]
    fn ids_stand_behind_the_start_of_each_record() {
        assert_eq!(suites(&[0xc0, 3, 0x01, 0x41, 0x81, 0xc0, 17, 0x03, 0x44, 0x81]), [3, 17]);
        assert_eq!(suites(&[0xc0]), [0; 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_list(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(suites(&bytes).len() <= bytes.len() / 2);
        }
    }
}
