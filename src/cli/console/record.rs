//! The record of a console: a text file, one time stamp a line, from which every byte can be had back. What is typed is not in it, since passwords are
//! typed; what the node echoes is.
//!
//! ```text
//! 2026-11-22T18:57:26.123Z < Linux version 6.8.0-sim\r\n
//! 2026-11-22T18:57:29.003Z ! gap: the console was lost (…); output from here on is missing
//! ```
//!
//! After `<` stands what the node printed: `\r`, `\n`, `\t`, `\\` and `\xNN` stand for the bytes that they name, everything else for itself. A line ends
//! behind a line feed, after 512 bytes, or when the node pauses; its time is that of its first byte.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of the node on one line at most.
const LINE: usize = 512;
/// A line that is not ended is written when nothing came for so long: a prompt.
const PAUSE: Duration = Duration::from_millis(500);

/// Cuts what came into lines with times.
#[derive(Debug, Default)]
pub struct Lines {
    open: Vec<u8>,
    /// When the open line began, as it is written, and when its last byte came.
    began: Option<(String, Instant)>,
}

impl Lines {
    /// Takes what was printed at this time; gives the lines that are whole.
    pub fn printed(&mut self, time: &str, now: Instant, bytes: &[u8]) -> String {
        let mut out = String::new();
        for &byte in bytes {
            let (_, last) = self.began.get_or_insert_with(|| (time.to_owned(), now));
            *last = now;
            self.open.push(byte);
            if byte == b'\n' || self.open.len() >= LINE {
                out.push_str(&self.end());
            }
        }
        out
    }

    /// The open line, when the node has paused; or at once, at the end.
    pub fn paused(&mut self, now: Instant, at_once: bool) -> String {
        let due = self.began.as_ref().is_some_and(|(_, last)| at_once || now.saturating_duration_since(*last) >= PAUSE);
        if due { self.end() } else { String::new() }
    }

    /// True while a line is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.began.is_some()
    }

    /// A mark of this time, behind what was printed before it.
    pub fn marked(&mut self, time: &str, mark: &str) -> String {
        let mut out = self.end();
        // The reason of a loss may hold a BMC's words, which are escaped; a line feed in them would begin a line.
        let mark: String = mark.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // A String takes whatever is written to it.
        let _ = writeln!(out, "{time} ! {mark}");
        out
    }

    fn end(&mut self) -> String {
        let Some((time, _)) = self.began.take() else { return String::new() };
        let mut out = format!("{time} < ");
        escape(&std::mem::take(&mut self.open), &mut out);
        out.push('\n');
        out
    }
}

/// Bytes as they stand in a record.
pub fn escape(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        match byte {
            b'\r' => out.push_str("\\r"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            0x20..=0x7e => out.push(char::from(byte)),
            byte => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
}

/// A record on the disk.
pub struct Record {
    file: File,
    lines: Lines,
    /// Why it has ended early.
    ended: Option<io::Error>,
}

impl Record {
    /// Opens a record to append to; a new one can be read by its owner alone, since consoles show what nobody else need see.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn open(path: &Path, first: &str) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut record = Self {
            file: OpenOptions::new().create(true).append(true).mode(0o600).open(path)?,
            lines: Lines::default(),
            ended: None,
        };
        let text = record.lines.marked(&now(), first);
        record.file.write_all(text.as_bytes())?;
        Ok(record)
    }

    /// The node printed.
    pub fn printed(&mut self, bytes: &[u8]) {
        let text = self.lines.printed(&now(), Instant::now(), bytes);
        self.write(&text);
    }

    /// Something happened.
    pub fn marked(&mut self, mark: &str) {
        let text = self.lines.marked(&now(), mark);
        self.write(&text);
    }

    /// Writes a line that is open and was left so.
    pub fn paused(&mut self, at_once: bool) {
        let text = self.lines.paused(Instant::now(), at_once);
        self.write(&text);
    }

    /// In how long [`Self::paused`] is to be called.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        self.lines.is_open().then_some(PAUSE)
    }

    /// Why the record has ended early, told once.
    pub fn trouble(&mut self) -> Option<io::Error> {
        self.ended.take()
    }

    fn write(&mut self, text: &str) {
        if text.is_empty() || self.ended.is_some() {
            return;
        }
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            self.ended = Some(error);
        }
    }
}

/// Now, as RFC 3339 with milliseconds.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bytes of a record, as a reader gets them back.
    fn bytes(record: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for line in record.lines().filter_map(|line| line.split_once(" < ").map(|(_, rest)| rest)) {
            let mut chars = line.bytes();
            while let Some(byte) = chars.next() {
                if byte != b'\\' {
                    out.push(byte);
                    continue;
                }
                out.push(match chars.next().unwrap() {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'x' => {
                        let hex = [chars.next().unwrap(), chars.next().unwrap()];
                        u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
                    }
                    other => other,
                });
            }
        }
        out
    }

    #[test]
    fn lines_marks_and_prompts() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        assert_eq!(lines.printed("T1", now, b"one\r\ntw"), "T1 < one\\r\\n\n");
        assert_eq!(lines.printed("T2", now, b"o\\\x1b[0m"), "");
        assert_eq!(lines.marked("T3", "gap: it\nwas"), "T1 < two\\\\\\x1b[0m\nT3 ! gap: it was\n");
        assert_eq!(lines.printed("T4", now, b"login: "), "");
        assert_eq!(lines.paused(now, false), "");
        assert_eq!(lines.paused(now + PAUSE, false), "T4 < login: \n");
        assert!(!lines.is_open());
    }

    #[test]
    fn a_time_is_rfc_3339() {
        let time = now();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
        assert_eq!((time.len(), time.ends_with('Z')), (24, true), "{time}");
    }

    proptest! {
        #[test]
        fn every_byte_can_be_had_back(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 0..6)) {
            let (mut lines, now) = (Lines::default(), Instant::now());
            let mut text: String = parts.iter().map(|part| lines.printed("T", now, part)).collect();
            text.push_str(&lines.paused(now, true));
            prop_assert_eq!(bytes(&text), parts.concat());
            prop_assert!(text.lines().all(|line| line.len() <= 4 + 4 * LINE && line.is_ascii()));
        }
    }
}
