//! `bmc sel`: the event logs of each BMC: read, emptied or followed. One file each. Times are told as the BMC wrote them, and how far its clock is off.
//!
//! ```text
//! show      the newest entries, and which logs there are
//! clear     emptying them, journaled and read back
//! follow    every new entry as it comes     subscription  what that leaves on a BMC, written down before and taken away after
//! ```

mod clear;
mod follow;
mod show;
mod subscription;

use crate::bmc::sensing::{Health, LogEntry};
use crate::cli::failure::Result;
use crate::cli::global::Global;
use crate::model::Reading;

/// Shows, empties or follows the event logs of BMCs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bringup bmc sel a017-s03
  bringup bmc sel rack=a017 -n 5 --bad
  bringup bmc sel a017-s03 --logs
  bringup bmc sel a017-s03 --clear --yes
  bringup bmc sel rack=a017 --follow --listen 10.0.0.5:8443

Followed logs are told by the BMC's stream of events where it has one; by pushes where `--listen` gives it an address to
push to; and by reading the log again in every case, so that nothing is missed that the log holds. A subscription is
journaled before it is made and taken away in the end; one that a killed run left behind is ended by the next `--follow`.")]
pub struct Args {
    /// Nodes; all of them by default, never by default for `--clear`
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// So many of the newest entries of each BMC
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    newest: u16,
    /// Another log than the node's hardware event log, as `--logs` names it
    #[arg(long, value_name = "LOG")]
    log: Option<String>,
    /// Only what is a warning or worse
    #[arg(long, conflicts_with_all = ["clear", "logs"])]
    bad: bool,
    /// Which logs there are
    #[arg(long, conflicts_with_all = ["clear", "follow", "log"])]
    logs: bool,
    /// Empty the log
    #[arg(long, conflicts_with = "follow")]
    clear: bool,
    /// Do not ask before it is emptied
    #[arg(long, requires = "clear")]
    yes: bool,
    /// Tell every new entry until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// What is for following.
    #[command(flatten)]
    how: follow::How,
}

impl Args {
    /// It takes signals itself: what it leaves on BMCs is to be taken away first.
    #[must_use]
    pub fn takes_signals(&self) -> bool {
        self.follow
    }
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, a secret is missing, or nobody agreed to the emptying. What became of each node is data, and the exit code.
pub async fn run(args: Args, global: &Global) -> Result {
    match (args.follow, args.clear, args.logs) {
        (true, ..) => follow::run(args, global).await,
        (_, true, _) => clear::run(args, global).await,
        (.., true) => show::logs(args.nodes.as_deref(), global).await,
        _ => show::run(args, global).await,
    }
}

/// When it was, in UTC where the BMC's word for it can be read.
fn when(entry: &LogEntry) -> String {
    let Some(when) = &entry.when else { return "no time".to_owned() };
    when.parse::<jiff::Timestamp>().map_or_else(|_| when.clone(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// How bad it is, in a word.
fn severity(entry: &LogEntry) -> &'static str {
    match entry.severity {
        Reading::Known(Health::Ok) => "ok",
        Reading::Known(Health::Warning) => "warning",
        Reading::Known(Health::Critical) => "critical",
        Reading::Absent => "-",
        Reading::Unknown { .. } => "unknown",
    }
}

fn is_bad(entry: &LogEntry) -> bool {
    matches!(entry.severity, Reading::Known(Health::Warning | Health::Critical))
}

/// What happened; that the matter is closed belongs to it. The sensor's name stands beside it, and is not told twice (AMI begins every text with it).
fn text(entry: &LogEntry) -> String {
    let closed = if entry.resolved == Some(true) { " (resolved)" } else { "" };
    let sensor = entry.origin.rsplit_once(" #").map_or(entry.origin.as_str(), |(name, _)| name);
    let rest = entry.message.strip_prefix(sensor).filter(|_| !sensor.is_empty()).and_then(|rest| rest.strip_prefix(": "));
    format!("{}{closed}", rest.unwrap_or(&entry.message))
}

/// A clock that is off by more is told, in seconds. BMCs give whole seconds, and the answer takes one or two.
const OFF: i64 = 10;

/// How far a BMC's clock is off, when it is.
fn off(ahead: &Reading<i64>) -> Option<String> {
    let ahead = *ahead.known().filter(|ahead| ahead.unsigned_abs() > OFF.unsigned_abs())?;
    let seconds = ahead.unsigned_abs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let far = match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    };
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    Some(format!("its clock is {far} {way} this machine's; times are told as it wrote them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_alike_and_what_is_no_time_as_it_was_written() {
        let entry = |when: Option<&str>| LogEntry {
            id: "1".into(),
            when: when.map(str::to_owned),
            severity: Reading::Known(Health::Warning),
            origin: String::new(),
            message_id: None,
            message: "a fan stands still".into(),
            resolved: Some(true),
        };
        assert_eq!(when(&entry(Some("2026-11-22T18:48:07-05:00"))), "2026-11-22T23:48:07Z");
        assert_eq!(when(&entry(Some("7 s after the BMC's start"))), "7 s after the BMC's start");
        assert_eq!(when(&entry(None)), "no time");
        let one = entry(None);
        assert_eq!(off(&Reading::Known(10)), None);
        assert!(off(&Reading::Known(61)).unwrap().starts_with("its clock is 1 min 1 s ahead of this machine's"));
        assert!(off(&Reading::Known(i64::MIN)).unwrap().contains(" behind "));
        let named = |origin: &str, message: &str| LogEntry {
            origin: origin.into(),
            message: message.into(),
            resolved: None,
            ..one.clone()
        };
        assert_eq!(text(&named("Add-in Card #161", "Add-in Card: it is hot")), "it is hot");
        assert_eq!(text(&named("Add-in Card", "Add-in Cards: two")), "Add-in Cards: two");
        assert_eq!(text(&named("", ": x")), ": x");
        assert_eq!((severity(&one), is_bad(&one), text(&one).as_str()), ("warning", true, "a fan stands still (resolved)"));
    }
}
