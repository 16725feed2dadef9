//! One look at a console: what comes is shown and recorded, what is typed is sent, until somebody leaves or it is lost.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::escape::{Deed, Escape, KEYS};
use super::guard::Guard;
use super::record::{self, Record};
use super::terminal::{self, Raw};
use crate::bmc::BmcError;
use crate::bmc::ipmi::sol::{Console, Heard};
use crate::cli::global::Global;
use crate::cli::output::{Format, escape};
use crate::model::Node;

/// How a look ended.
pub(super) enum Ending {
    /// Somebody left, or the time was up.
    Left,
    /// The console was lost for good.
    Lost(BmcError),
    /// The terminal did not let itself be set.
    Terminal(std::io::Error),
}

/// What is shown as JSON, a line each.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line<'a> {
    format_version: u32,
    node: &'a str,
    at: String,
    /// What the node printed, with `\xNN` as in a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    printed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
}

/// A look.
pub(super) struct View<'a> {
    global: &'a Global,
    node: &'a Node,
    record: Record,
    guard: Guard,
    to_terminal: bool,
    raw: bool,
    began: Instant,
    printed: u64,
    typed: u64,
    gaps: u32,
    broken: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(global: &'a Global, node: &'a Node, record: Record) -> Self {
        use std::io::IsTerminal as _;
        Self {
            global,
            node,
            record,
            guard: Guard::default(),
            to_terminal: std::io::stdout().is_terminal(),
            raw: false,
            began: Instant::now(),
            printed: 0,
            typed: 0,
            gaps: 0,
            broken: false,
        }
    }

    /// What happened, in a few words. What was typed is counted and never kept.
    pub(super) fn account(&self) -> String {
        let seconds = self.began.elapsed().as_secs();
        format!("{seconds} s, {} bytes printed, {} typed, {} gaps", self.printed, self.typed, self.gaps)
    }

    /// Looks until it ends. Without `writes` no key is read.
    pub(super) async fn watch(&mut self, mut console: Console, writes: bool, time: Option<Duration>) -> Ending {
        let raw = match writes.then(Raw::enter).transpose() {
            Ok(raw) => raw,
            Err(error) => return Ending::Terminal(error),
        };
        self.raw = raw.is_some();
        let ending = self.look(&mut console, writes, time).await;
        console.close().await;
        self.record.paused(true);
        self.record.marked("console closed");
        // The terminal is as it was before anything else is said.
        drop(raw);
        self.raw = false;
        ending
    }

    async fn look(&mut self, console: &mut Console, writes: bool, time: Option<Duration>) -> Ending {
        let mut keys = writes.then(terminal::keys);
        let mut escape = Escape::default();
        let mut ends = Signals::new();
        let end = tokio::time::sleep(time.unwrap_or(Duration::MAX));
        tokio::pin!(end);
        loop {
            let pause = self.record.pause();
            tokio::select! {
                heard = console.next() => match heard {
                    Some(Heard::Printed(bytes)) => self.print(&bytes),
                    Some(Heard::Mark(mark)) => {
                        self.gaps += u32::from(mark.is_gap());
                        self.mark(&mark.to_string());
                    }
                    Some(Heard::Ended(error)) => {
                        self.mark(&format!("the console is gone: {error}"));
                        return Ending::Lost(error);
                    }
                    None => return Ending::Left,
                },
                typed = next(&mut keys) => {
                    // A terminal that is gone types no more.
                    let Some(typed) = typed else { return Ending::Left };
                    for deed in escape.feed(&typed) {
                        match deed {
                            Deed::Type(bytes) => {
                                self.typed += bytes.len() as u64;
                                if !console.type_in(&bytes).await {
                                    break;
                                }
                            }
                            Deed::Break => {
                                self.mark("a break was made");
                                console.make_break().await;
                            }
                            Deed::Help => self.say(KEYS),
                            Deed::Leave => return Ending::Left,
                        }
                    }
                }
                () = ends.next() => return Ending::Left,
                () = &mut end => return Ending::Left,
                () = tokio::time::sleep(pause.unwrap_or(Duration::MAX)), if pause.is_some() => self.record.paused(false),
            }
            if self.broken {
                return Ending::Left;
            }
        }
    }

    fn print(&mut self, bytes: &[u8]) {
        self.printed += bytes.len() as u64;
        self.record.printed(bytes);
        self.complain_of_record();
        match self.global.out.format {
            Format::Json | Format::Ndjson => {
                let mut text = String::new();
                record::escape(bytes, &mut text);
                self.json(Some(text), None);
            }
            // A file or a pipe gets every byte; a terminal what is harmless.
            _ if self.to_terminal => {
                let shown = self.guard.pass(bytes);
                self.write(&shown);
            }
            _ => self.write(bytes),
        }
    }

    fn mark(&mut self, mark: &str) {
        self.record.marked(mark);
        self.complain_of_record();
        if matches!(self.global.out.format, Format::Json | Format::Ndjson) {
            self.json(None, Some(mark.to_owned()));
        } else {
            self.say(mark);
        }
    }

    /// On standard error, in a line of its own also where the terminal is raw.
    fn say(&self, text: &str) {
        let text = escape(text);
        self.global.talk(if self.raw { format!("\r\n[{text}]\r") } else { format!("\n[{text}]") });
    }

    fn json(&mut self, printed: Option<String>, mark: Option<String>) {
        let line = Line { format_version: 1, node: self.node.id.as_str(), at: record::now(), printed, mark };
        if let Ok(text) = serde_json::to_string(&line) {
            self.write(format!("{text}\n").as_bytes());
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut stdout = std::io::stdout().lock();
        // Whoever read it has gone: that is how a pipe leaves.
        self.broken |= stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err();
    }

    fn complain_of_record(&mut self) {
        if let Some(error) = self.record.trouble() {
            self.say(&format!("the record ends here: {error}"));
        }
    }
}

/// The next keys; never, where none are read.
async fn next(keys: &mut Option<tokio::sync::mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match keys {
        Some(keys) => keys.recv().await,
        None => std::future::pending().await,
    }
}

/// What ends a look from outside, so that console and terminal are given back.
struct Signals(Vec<tokio::signal::unix::Signal>);

impl Signals {
    fn new() -> Self {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        // A signal that cannot be listened for ends the program as ever.
        Self(kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect())
    }

    async fn next(&mut self) {
        let waits = self.0.iter_mut().map(|signal| Box::pin(signal.recv()));
        let waits: Vec<_> = waits.collect();
        if waits.is_empty() {
            return std::future::pending().await;
        }
        drop(futures_util::future::select_all(waits).await);
    }
}
