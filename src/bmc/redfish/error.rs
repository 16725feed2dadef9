//! What a BMC says when it says no, as one line of safe text: every `@Message.ExtendedInfo`, list or object, nested or at the top; a body that
//! is not JSON is kept, cut and escaped. It sorts troubles; it never decides what to try next.

use http::StatusCode;
use serde_json::Value;

use super::json;
use super::transport::{Broke, Broken};
use crate::bmc::{BmcError, BmcTrouble};

/// Most of a foreign body that is kept, in bytes.
const KEPT: usize = 2 << 10;
/// Most messages that are kept from one answer.
const MESSAGES: usize = 16;

/// Text that a BMC sent, cut to `most` bytes on a character boundary, with everything unprintable (control, bidirectional and other format
/// characters) escaped. Quotes stay: they are harmless, and JSON is full of them.
pub(super) fn safe(text: &str, most: usize) -> String {
    let cut = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= most).last().unwrap_or(0);
    let mut out = String::with_capacity(cut);
    for c in text.get(..cut).unwrap_or_default().trim().chars() {
        match c {
            '"' | '\'' => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    if cut < text.len() {
        out.push('…');
    }
    out
}

/// What an answer's body says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// One line per message, escaped.
    pub(super) messages: Vec<String>,
    /// Message ids without their registry prefix, such as `PasswordChangeRequired`.
    pub(super) ids: Vec<String>,
    /// True when a message had words, not an id alone.
    worded: bool,
}

impl Said {
    /// True when one of the messages has this id.
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.iter().any(|found| found == id)
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.messages.join("; "))
    }
}

/// Reads the messages of a body.
pub(super) fn hear(body: &[u8]) -> Said {
    match json::parse(body) {
        Ok(value) => hear_json(&value),
        Err(_) if body.iter().all(u8::is_ascii_whitespace) => Said::default(),
        Err(_) => {
            let lossy = String::from_utf8_lossy(body.get(..body.len().min(2 * KEPT)).unwrap_or_default());
            Said { messages: vec![safe(&lossy, KEPT)], ids: Vec::new(), worded: true }
        }
    }
}

fn hear_json(value: &Value) -> Said {
    let mut said = Said::default();
    let places = [value.get("error"), Some(value)];
    for place in places.into_iter().flatten() {
        for info in json::list(place, "@Message.ExtendedInfo") {
            if said.messages.len() < MESSAGES {
                hear_message(info, &mut said);
            }
        }
    }
    // Some put the words beside the list, and only ids into it.
    if !said.worded
        && let Some(error) = value.get("error")
    {
        let code = json::text(error, "code").map(|code| safe(&code, 128));
        let message =
            json::text(error, "message").or_else(|| error.as_str().map(str::to_owned)).map(|message| safe(&message, 512));
        said.messages.extend([code, message].into_iter().flatten().reduce(|code, message| format!("{code}: {message}")));
    }
    said
}

fn hear_message(info: &Value, said: &mut Said) {
    let id = json::text(info, "MessageId").map(|id| safe(&id, 128));
    if let Some(short) = id.as_deref().and_then(|id| id.rsplit('.').next()) {
        said.ids.push(short.to_owned());
    }
    let args: Vec<String> =
        json::list(info, "MessageArgs").iter().take(8).filter_map(Value::as_str).map(|arg| safe(arg, 128)).collect();
    let words = json::text(info, "Message").map(|text| safe(&text, 512));
    let resolution = json::text(info, "Resolution").map(|text| safe(&text, 256));
    said.worded |= words.is_some();
    let mut line = match (id, words) {
        (Some(id), Some(words)) => format!("{id}: {words}"),
        (Some(id), None) if args.is_empty() => id,
        (Some(id), None) => format!("{id} ({})", args.join(", ")),
        (None, Some(words)) => words,
        (None, None) => return,
    };
    if let Some(resolution) = resolution {
        line = format!("{line} [{resolution}]");
    }
    said.messages.push(line);
}

/// What sort of trouble a status and its messages are.
pub(super) fn trouble(status: StatusCode, said: &Said) -> BmcTrouble {
    if said.has("PasswordChangeRequired") {
        return BmcTrouble::PasswordChange;
    }
    if said.has("CreateLimitReachedForResource") || said.has("SessionLimitExceeded") {
        return BmcTrouble::Busy;
    }
    match status.as_u16() {
        401 => BmcTrouble::Credentials,
        404 | 405 | 410 | 501 => BmcTrouble::Unsupported,
        408 | 429 | 502..=504 => BmcTrouble::Busy,
        // RC-30: a 2xx that says an error is an error.
        200..=599 => BmcTrouble::Refused,
        _ => BmcTrouble::Malformed,
    }
}

/// An answer that is not what was asked for.
pub(super) fn refused(doing: &str, status: StatusCode, body: &[u8]) -> BmcError {
    let said = hear(body);
    let kind = trouble(status, &said);
    let seen = if said.messages.is_empty() { status.to_string() } else { format!("{status}: {said}") };
    BmcError { doing: doing.to_owned(), seen, kind, source: None }
}

/// An answer that came but cannot be used.
pub(super) fn malformed(doing: &str, seen: impl Into<String>) -> BmcError {
    BmcError { doing: doing.to_owned(), seen: seen.into(), kind: BmcTrouble::Malformed, source: None }
}

/// Something that this BMC does not have.
pub(super) fn unsupported(doing: &str, seen: impl Into<String>) -> BmcError {
    BmcError { doing: doing.to_owned(), seen: seen.into(), kind: BmcTrouble::Unsupported, source: None }
}

/// An exchange that broke.
pub(super) fn broken(doing: &str, broken: Broken, seen_certificate: Option<String>) -> BmcError {
    let kind = match broken.how {
        Broke::Connect | Broke::Lost | Broke::Stalled => BmcTrouble::Unreachable,
        Broke::Tls => BmcTrouble::Unsupported,
        Broke::Certificate => BmcTrouble::Certificate { seen: seen_certificate.unwrap_or_default() },
        Broke::TimedOut => BmcTrouble::TimedOut,
        Broke::Malformed => BmcTrouble::Malformed,
    };
    BmcError { doing: doing.to_owned(), seen: broken.seen, kind, source: broken.source }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::json::any_json;
    use super::*;

    #[test]
    fn every_shape_of_extended_info_is_heard() {
        let one = json!({"MessageId": "Base.1.8.PropertyUnknown", "Message": "no \u{202e}such", "Resolution": "Remove it."});
        for body in [
            json!({"error": {"code": "x", "message": "y", "@Message.ExtendedInfo": [one]}}),
            json!({"error": {"@Message.ExtendedInfo": one}}),
            json!({"@Message.ExtendedInfo": [one]}),
            json!({"@Message.ExtendedInfo": one}),
        ] {
            let said = hear(body.to_string().as_bytes());
            assert_eq!(said.messages, ["Base.1.8.PropertyUnknown: no \\u{202e}such [Remove it.]"], "{body}");
            assert!(said.has("PropertyUnknown"));
        }
        assert_eq!(hear(br#"{"error": {"code": "c", "message": "m"}}"#).messages, ["c: m"]);
        assert_eq!(hear(br#"{"error": "plain"}"#).messages, ["plain"]);
        assert_eq!(hear(b" \r\n").messages, Vec::<String>::new());
        assert_eq!(hear(b"<html>\x1b[31mno</html>").messages, ["<html>\\u{1b}[31mno</html>"]);
    }

    #[test]
    fn a_foreign_body_is_cut_on_a_character_boundary() {
        let said = hear("ä".repeat(3_000).as_bytes());
        assert!(said.messages[0].len() <= KEPT + '…'.len_utf8() && said.messages[0].ends_with('…'));
    }

    proptest! {
        #[test]
        fn any_bytes_are_heard_safely(bytes in prop::collection::vec(any::<u8>(), 0..5_000)) {
            let text = hear(&bytes).to_string();
            prop_assert!(!text.chars().any(char::is_control));
        }

        #[test]
        fn any_json_is_heard_safely(value in any_json()) {
            let said = hear(value.to_string().as_bytes());
            prop_assert!(said.messages.len() <= MESSAGES);
            prop_assert!(!said.to_string().chars().any(char::is_control));
            let _ = trouble(StatusCode::BAD_REQUEST, &said);
        }
    }
}
