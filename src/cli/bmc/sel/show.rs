//! The newest entries of each BMC's log, and which logs it keeps. Reads only.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Args, is_bad, off, severity, text, when};
use crate::bmc::sensing::{EventLog, LogInfo, LogKind};
use crate::cli::bmc::heard::{Heard, hear};
use crate::cli::failure::Result;
use crate::cli::global::Global;
use crate::cli::hands::Trust;
use crate::cli::output::{Format, escape};
use crate::model::{NodeId, Reading};
use crate::spec::fold;

/// What one BMC remembers.
#[derive(Serialize)]
struct Remembered {
    log: Reading<EventLog>,
    /// How far the BMC's clock is ahead of this machine's now, in seconds.
    clock_ahead_s: Reading<i64>,
}

/// Shows the newest entries.
///
/// # Errors
/// The selection or inventory is wrong, or a secret is missing.
pub async fn run(args: Args, global: &Global) -> Result {
    let (which, newest) = (args.log.as_deref(), usize::from(args.newest));
    let heard = hear(global, args.nodes.as_deref(), &Trust::default(), "sel", |bmc| async move {
        let log = bmc.log(which, newest).await?;
        let timed = log.known().is_some_and(|log| log.entries.iter().any(|entry| entry.when.is_some()));
        let clock_ahead_s = if timed {
            bmc.clock_skew().await.unwrap_or_else(|e| Reading::unknown(e.to_string()))
        } else {
            Reading::unknown("not asked: no entry has a time")
        };
        Ok(Remembered { log, clock_ahead_s })
    })
    .await?;
    let mut hidden = 0;
    let mut table = Vec::new();
    for (node, remembered) in heard.well() {
        for entry in remembered.log.known().iter().flat_map(|log| &log.entries) {
            if args.bad && !is_bad(entry) {
                hidden += 1;
                continue;
            }
            let origin = if entry.origin.is_empty() { "-" } else { &entry.origin };
            table.push(vec![node.to_string(), when(entry), severity(entry).to_owned(), origin.to_owned(), text(entry)]);
        }
    }
    heard.show_rows(global, &["node", "time", "severity", "sensor", "text"], table);
    if !matches!(global.out.format, Format::Json | Format::Ndjson) {
        for words in remarks(&heard, args.log.as_deref()) {
            global.talk(escape(&words));
        }
        if hidden > 0 {
            global.talk(format!("{hidden} of the entries are neither warnings nor worse, and are not shown"));
        }
    }
    Ok(heard.exit())
}

/// What cannot stand in the table; nodes of which the same is said share a line.
fn remarks(heard: &Heard<Remembered>, which: Option<&str>) -> Vec<String> {
    let mut said: BTreeMap<String, Vec<&NodeId>> = BTreeMap::new();
    let mut say = |node, words: String| said.entry(words).or_default().push(node);
    for (node, remembered) in heard.well() {
        let log = match &remembered.log {
            Reading::Known(log) => log,
            Reading::Absent => {
                say(
                    node,
                    format!("no {} is kept", which.map_or("hardware event log".to_owned(), |which| format!("log {which}"))),
                );
                continue;
            }
            Reading::Unknown { why } => {
                say(node, format!("the log is not known: {why}"));
                continue;
            }
        };
        for why in &log.unread {
            say(node, format!("not read: {why}"));
        }
        let shown = log.entries.len();
        match log.held {
            Reading::Known(0) if shown == 0 => say(node, format!("{} is empty", log.log.id)),
            Reading::Known(held) if held > shown as u64 => {
                say(node, format!("{} holds {held} entries; the newest {shown} were read, -n reads more", log.log.id));
            }
            _ if shown == 0 => say(node, format!("{} told no entry", log.log.id)),
            _ => {}
        }
        if let Some(words) = off(&remembered.clock_ahead_s) {
            say(node, words);
        }
    }
    said.into_iter().map(|(words, nodes)| format!("{}: {words}", fold(nodes.iter().map(|node| node.as_str())))).collect()
}

/// Shows which logs there are.
///
/// # Errors
/// As [`run`].
pub async fn logs(nodes: Option<&str>, global: &Global) -> Result {
    let heard = hear(global, nodes, &Trust::default(), "logs", |bmc| async move { bmc.logs().await }).await?;
    heard.show(global, &["node", "log", "what", "room", "clear", "name"], |node, logs| match logs {
        Reading::Known(logs) => logs.items.iter().map(|log| row(node, log)).collect(),
        Reading::Absent | Reading::Unknown { .. } => Vec::new(),
    });
    if !matches!(global.out.format, Format::Json | Format::Ndjson) {
        for (node, logs) in heard.well() {
            match logs {
                Reading::Known(logs) => {
                    logs.unread.iter().for_each(|why| global.talk(escape(&format!("{node}: not read: {why}"))))
                }
                Reading::Absent => global.talk(format!("{node}: no log is kept")),
                Reading::Unknown { why } => global.talk(escape(&format!("{node}: its logs are not known: {why}"))),
            }
        }
    }
    Ok(heard.exit())
}

fn row(node: &NodeId, log: &LogInfo) -> Vec<String> {
    let what = match log.kind {
        LogKind::Hardware => "hardware",
        LogKind::Manager => "bmc",
        LogKind::Faults => "faults",
        LogKind::Traces => "traces",
    };
    let room = log.room.map_or_else(|| "-".to_owned(), |room| room.to_string());
    let may = if log.clearable { "yes" } else { "no" };
    vec![node.to_string(), log.id.clone(), what.to_owned(), room, may.to_owned(), log.name.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bmc::sensing::{Health, LogEntry};

    #[test]
    fn what_is_off_or_left_out_is_said_once_for_all_nodes() {
        let entry = LogEntry {
            id: "1".into(),
            when: Some("2026-11-22T18:48:07Z".into()),
            severity: Reading::Known(Health::Ok),
            origin: String::new(),
            message_id: None,
            message: "x".into(),
            resolved: None,
        };
        let info = LogInfo { id: "SEL".into(), name: "SEL".into(), kind: LogKind::Hardware, clearable: true, room: None };
        let of = |held: u64, entries: usize, ahead: i64| {
            let log = EventLog {
                log: info.clone(),
                held: Reading::Known(held),
                entries: vec![entry.clone(); entries],
                unread: Vec::new(),
            };
            Ok(Remembered { log: Reading::Known(log), clock_ahead_s: Reading::Known(ahead) })
        };
        let id = |n: &str| NodeId::new(n).unwrap();
        let answers = BTreeMap::from([
            (id("a1-s1"), of(9, 2, 3)),
            (id("a1-s2"), of(9, 2, -3_725)),
            (id("a1-s3"), of(0, 0, 90_061)),
            (id("a1-s4"), Ok(Remembered { log: Reading::Absent, clock_ahead_s: Reading::Absent })),
        ]);
        assert_eq!(
            remarks(&Heard::of("sel", answers), None),
            [
                "a1-s[1-2]: SEL holds 9 entries; the newest 2 were read, -n reads more",
                "a1-s3: SEL is empty",
                "a1-s3: its clock is 1 d 1 h ahead of this machine's; times are told as it wrote them",
                "a1-s2: its clock is 1 h 2 min behind this machine's; times are told as it wrote them",
                "a1-s4: no hardware event log is kept",
            ]
        );
    }
}
