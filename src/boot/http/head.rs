//! Makes the head of an answer.

use std::fmt::Write as _;

use http::StatusCode;

/// The head of an answer, to be filled.
pub(super) struct Head(String);

impl Head {
    /// Begins one. Times are those of `Date`, which caches on the way go by.
    pub(super) fn new(status: u16) -> Self {
        let reason = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Unknown");
        let mut head = Self(format!("HTTP/1.1 {status} {reason}\r\n"));
        if let Ok(date) = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&jiff::Timestamp::now()) {
            head.put("date", &date);
        }
        // What a token opens must not stay in a cache on the way.
        head.put("cache-control", "no-store");
        head
    }

    /// Adds a field. A line end in a value would begin another field: it is left out.
    pub(super) fn put(&mut self, name: &str, value: &str) {
        let line: String = value.chars().filter(|c| !c.is_control()).collect();
        // A `String` takes what is written to it.
        let _ = write!(self.0, "{name}: {line}\r\n");
    }

    /// Ends it.
    pub(super) fn end(mut self, keep: bool) -> Vec<u8> {
        if !keep {
            self.put("connection", "close");
        }
        self.0.push_str("\r\n");
        self.0.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_on_its_line() {
        let mut head = Head::new(206);
        head.put("content-range", "bytes 0-1/2\r\nx: y");
        let text = String::from_utf8(head.end(false)).unwrap();
        assert!(text.starts_with("HTTP/1.1 206 Partial Content\r\ndate: "), "{text}");
        assert!(text.ends_with("content-range: bytes 0-1/2x: y\r\nconnection: close\r\n\r\n"), "{text}");
        assert_eq!(text.lines().find(|l| l.starts_with("date: ")).map(|l| l.ends_with(" GMT")), Some(true));
    }
}
