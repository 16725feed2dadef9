//! The system event log: its account, its newest entries, and clearing it. Entries are told in words, with the sensor's name from the repository.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU16;
use std::time::Duration;

use ipmi_rs_core::connection::IpmiCommand as _;
use ipmi_rs_core::storage::sel::{ClearSel, ErasureProgress, GetSelInfo, ReserveSel, SelInfo};
use tokio::time::Instant;

use super::convert;
use super::repository::{self, Kept, Repository};
use super::words;
use crate::bmc::ipmi::command::sdr::{Sensor, SensorKey};
use crate::bmc::ipmi::command::sel::{Body, Entry, Event, FIRST, GetEntry, GetTime, LAST};
use crate::bmc::ipmi::fault::Fault;
use crate::bmc::ipmi::turn::{Need, Turn};
use crate::bmc::sensing::{EventLog, Health, Listing, LogEntry, LogInfo, LogKind};
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::Reading;

/// The one log that IPMI has.
const SEL: &str = "SEL";
/// Bytes of an entry.
const ENTRY: u16 = 16;
/// "What was asked for is not present"; for an empty log, too.
const NOT_PRESENT: u8 = 0xcb;
const CANCELLED: u8 = 0xc5;
/// Times below this are seconds since the BMC started (§37.1).
const SINCE_START: u32 = 0x2000_0000;
const NO_TIME: u32 = u32::MAX;
/// For the answer to the clearing itself.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at an erasure that goes on.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Reservations that may be cancelled by others before it is given up.
const RESERVATIONS: u32 = 4;

/// Says so when another log is asked for.
pub(super) fn known(which: Option<&str>) -> Result<(), BmcError> {
    match which {
        None | Some(SEL) => Ok(()),
        Some(other) => Err(BmcError {
            doing: format!("find the log {}", other.escape_debug()),
            seen: "IPMI has one log, SEL".to_owned(),
            kind: BmcTrouble::Unsupported,
            source: None,
        }),
    }
}

async fn info(turn: &mut Turn<'_>) -> Result<Reading<SelInfo>, BmcError> {
    match turn.read(Need::User, || GetSelInfo).await {
        Ok(info) => Ok(Reading::Known(info)),
        Err(Fault::Code(0xc1 | 0xc2)) => Ok(Reading::Absent),
        Err(fault) => Err(fault.into_error("get SEL info")),
    }
}

fn about(info: &SelInfo) -> LogInfo {
    // FFFFh: more is free than can be said.
    let room = (info.bytes_free != u16::MAX).then(|| u64::from(info.entries) + u64::from(info.bytes_free / ENTRY));
    LogInfo { id: SEL.to_owned(), name: "System Event Log".to_owned(), kind: LogKind::Hardware, clearable: true, room }
}

pub(super) async fn list(turn: &mut Turn<'_>) -> Result<Reading<Listing<LogInfo>>, BmcError> {
    Ok(info(turn).await?.map(|info| Listing { items: vec![about(&info)], unread: Vec::new() }))
}

pub(super) async fn read(turn: &mut Turn<'_>, kept: &Kept, most: usize) -> Result<Reading<EventLog>, BmcError> {
    let info = match info(turn).await? {
        Reading::Known(info) => info,
        Reading::Absent => return Ok(Reading::Absent),
        Reading::Unknown { why } => return Ok(Reading::Unknown { why }),
    };
    let mut log =
        EventLog { log: about(&info), held: Reading::Known(info.entries.into()), entries: Vec::new(), unread: Vec::new() };
    if info.overflow {
        log.unread.push("the log is full: the BMC has thrown events away".to_owned());
    }
    if info.entries == 0 || most == 0 {
        return Ok(Reading::Known(log));
    }
    let entries = newest(turn, usize::from(info.entries), most, &mut log.unread).await?;
    // Names make the entries readable; without a repository they are numbers.
    let repository = match repository::current(turn, kept).await {
        Ok(Reading::Known(repository)) => repository,
        _ => std::sync::Arc::default(),
    };
    log.entries = entries.iter().map(|entry| told(entry, &repository)).collect();
    Ok(Reading::Known(log))
}

/// The newest entries, oldest first. They are a chain that can only be followed forwards; most BMCs number it through, so that the place where the
/// newest begin can be guessed. A guess that does not hold costs one question.
async fn newest(turn: &mut Turn<'_>, held: usize, most: usize, unread: &mut Vec<String>) -> Result<Vec<Entry>, BmcError> {
    if most < held
        && let Some((_, last)) = entry(turn, LAST).await?
        && let Some(back) = u16::try_from(most).ok().and_then(|most| last.id.checked_sub(most - 1)).filter(|id| *id > 0)
        && entry(turn, back).await?.is_some()
    {
        let walked = chain(turn, back, most, unread).await?;
        if walked.len() >= most {
            return Ok(walked);
        }
    }
    chain(turn, FIRST, most, unread).await
}

async fn entry(turn: &mut Turn<'_>, id: u16) -> Result<Option<(u16, Entry)>, BmcError> {
    match turn.read(Need::User, || GetEntry(id)).await {
        Ok(read) => Ok(Some(read)),
        Err(Fault::Code(NOT_PRESENT)) => Ok(None),
        Err(fault) => Err(fault.into_error(format!("get SEL entry {id}"))),
    }
}

async fn chain(turn: &mut Turn<'_>, from: u16, most: usize, unread: &mut Vec<String>) -> Result<Vec<Entry>, BmcError> {
    let mut entries: VecDeque<Entry> = VecDeque::new();
    let mut seen = BTreeSet::new();
    let mut at = from;
    while let Some((next, entry)) = entry(turn, at).await? {
        if !seen.insert(entry.id) {
            unread.push(format!("entries behind {}: the log goes round", entry.id));
            break;
        }
        if entries.len() >= most {
            entries.pop_front();
        }
        entries.push_back(entry);
        // No next one; 0 would be the first again.
        if next == LAST || next == FIRST {
            break;
        }
        at = next;
    }
    Ok(entries.into())
}

fn when(time: u32) -> Option<String> {
    match time {
        NO_TIME => None,
        early if early < SINCE_START => Some(format!("{early} s after the BMC's start")),
        time => jiff::Timestamp::from_second(time.into()).ok().map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
    }
}

/// How far the log's clock is from this machine's, in seconds.
pub(super) async fn skew(turn: &mut Turn<'_>) -> Result<Reading<i64>, BmcError> {
    match turn.read(Need::User, || GetTime).await {
        Ok(NO_TIME) => Ok(Reading::unknown("its clock is not set")),
        Ok(early) if early < SINCE_START => Ok(Reading::unknown("its clock counts from the BMC's start")),
        Ok(time) => Ok(Reading::Known(i64::from(time) - jiff::Timestamp::now().as_second())),
        Err(fault @ Fault::Code(_)) => Ok(Reading::unknown(fault.into_error("get SEL time").to_string())),
        Err(fault) => Err(fault.into_error("get SEL time")),
    }
}

fn told(entry: &Entry, repository: &Repository) -> LogEntry {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    let plain = |when: Option<String>, message_id: String, message: String| LogEntry {
        id: entry.id.to_string(),
        when,
        severity: Reading::Absent,
        origin: String::new(),
        message_id: Some(message_id),
        message,
        resolved: None,
    };
    match &entry.body {
        Body::Timed { kind, time, maker, data } => {
            plain(when(*time), format!("{kind:02x}h"), format!("vendor's own (enterprise {maker}): {}", hex(data)))
        }
        Body::Untimed { kind, data } => plain(None, format!("{kind:02x}h"), format!("vendor's own: {}", hex(data))),
        Body::Event(event) => {
            let key = SensorKey { owner: event.generator, lun: event.lun, number: event.number };
            let sensor = repository.find(key);
            let severity = if event.ended { Some(Health::Ok) } else { words::severity(event.kind, event.event, event.offset()) };
            LogEntry {
                severity: severity.map_or(Reading::Absent, Reading::Known),
                origin: sensor.map(|sensor| sensor.name.clone()).filter(|name| !name.is_empty()).unwrap_or_else(|| origin(event)),
                ..plain(
                    when(event.time),
                    format!("{:02x}h/{:02x}h/{}", event.kind, event.event, event.offset()),
                    message(event, sensor),
                )
            }
        }
    }
}

/// A sensor that no record names.
fn origin(event: &Event) -> String {
    match event.generator {
        0x20 => format!("{} {}", words::sensor_type(event.kind), event.number),
        // System firmware and software have odd ids (table 5-4).
        0x01..=0x1f if event.generator & 1 == 1 => format!("{} (BIOS)", words::sensor_type(event.kind)),
        other => format!("{} {} of {other:02x}h", words::sensor_type(event.kind), event.number),
    }
}

fn message(event: &Event, sensor: Option<&Sensor>) -> String {
    let mut text = words::state(event.kind, event.event, event.offset());
    let number = |raw: u8| {
        let analog = sensor?.analog.filter(|analog| analog.linear < convert::CURVE)?;
        let value = convert::value(&analog, &analog.factors, raw)?;
        Some(format!("{value} {}", convert::unit(analog.units)).trim_end().to_owned())
    };
    let (reading, threshold) = event.trigger();
    if let Some(reading) = reading {
        text.push_str(&format!(", reading {}", number(reading).unwrap_or_else(|| format!("{reading} raw"))));
    }
    if let Some(threshold) = threshold {
        text.push_str(&format!(", threshold {}", number(threshold).unwrap_or_else(|| format!("{threshold} raw"))));
    }
    if event.event != 1 && event.data[0] & 0xf0 != 0 {
        text.push_str(&format!(" [{:02x} {:02x}]", event.data[1], event.data[2]));
    }
    if event.ended {
        text.push_str(" (ended)");
    }
    text
}

/// Clears the log under a reservation, waits until it is erased, and reads its account back.
pub(super) async fn clear(turn: &mut Turn<'_>) -> Written {
    let not = |fault: Fault, doing: &str| Written::NotApplied(fault.into_error(doing));
    let before = match info(turn).await {
        Ok(Reading::Known(info)) => info,
        Ok(_) => return not(Fault::Code(0xc1), "get SEL info"),
        Err(error) => return Written::NotApplied(error),
    };
    if before.entries == 0 {
        return Written::Applied("the log is empty already; nothing was sent".to_owned());
    }
    let (reservation, lost) = match erase(turn).await {
        Ok(erased) => erased,
        Err(written) => return written,
    };
    // Erasing may take seconds; a BMC that does not answer this question has told by its account all the same.
    while Instant::now() + LOOK_AGAIN < turn.deadline {
        match turn.read(Need::Operator, || ClearSel::get_status(reservation)).await {
            Ok(ErasureProgress::InProgress) => tokio::time::sleep(LOOK_AGAIN).await,
            Ok(ErasureProgress::Completed) | Err(_) => break,
        }
    }
    let lost = if lost { "; the answer to the clearing was lost" } else { "" };
    match info(turn).await {
        Ok(Reading::Known(after)) if after.entries == 0 => {
            Written::Applied(format!("{} entries cleared, none is left{lost}", before.entries))
        }
        // New ones may have come, and some BMCs note that the log was cleared.
        Ok(Reading::Known(after)) if after.entries < before.entries || after.last_del_time != before.last_del_time => {
            Written::Applied(format!("{} entries cleared, {} came since{lost}", before.entries, after.entries))
        }
        Ok(Reading::Known(after)) => {
            Written::Ambiguous(format!("clearing was asked for; the log holds {} entries{lost}", after.entries))
        }
        Ok(_) => Written::Ambiguous(format!("clearing was asked for, and could not be read back{lost}")),
        Err(error) => Written::Ambiguous(format!("clearing was asked for, and could not be read back: {error}{lost}")),
    }
}

/// Sends the clearing once. Gives the reservation, and whether the answer was lost.
async fn erase(turn: &mut Turn<'_>) -> Result<(Option<NonZeroU16>, bool), Written> {
    let mut tries = 0;
    loop {
        let reservation = match turn.read(Need::Operator, || ReserveSel).await {
            Ok(id) => Some(id),
            // A BMC without reservations takes 0 (§31.4).
            Err(Fault::Code(0xc1)) => None,
            Err(fault) => return Err(Written::NotApplied(fault.into_error("reserve the SEL"))),
        };
        let connection = match turn.prepare_write().await {
            Ok(connection) => connection,
            Err(fault) => return Err(Written::NotApplied(fault.into_error("set session privilege level"))),
        };
        let answer = match connection.write(ClearSel::initiate(reservation).into(), WRITE_PATIENCE).await {
            Ok((_, answer)) => answer,
            Err(fault) => return Err(Written::NotApplied(fault.into_error("clear the SEL"))),
        };
        match answer {
            None => return Ok((reservation, true)),
            Some(answer) if answer.code == 0 => {
                let _progress = ClearSel::parse_success_response(&answer.data);
                return Ok((reservation, false));
            }
            // Somebody else reserved it meanwhile; nothing was erased.
            Some(answer) if answer.code == CANCELLED && tries < RESERVATIONS => tries += 1,
            Some(answer) => return Err(Written::NotApplied(Fault::Code(answer.code).into_error("clear the SEL"))),
        }
    }
}
