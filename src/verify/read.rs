//! From text that a node printed to readings. Text is hostile: bounded, escaped before it is shown, and never believed when it is a placeholder.

use crate::model::{Answer, Reading};

/// Most characters of foreign text in a finding.
const SHOWN: usize = 80;

/// Foreign text as it may reach a terminal or a journal: escaped and cut.
pub(super) fn shown(text: &str) -> String {
    let mut out: String = text.trim().chars().flat_map(char::escape_debug).take(SHOWN).collect();
    if text.trim().chars().count() > SHOWN {
        out.push('…');
    }
    out
}

/// Standard output of a command that ended well, or why there is none.
pub(super) fn output<'a>(what: &str, answer: Option<&'a Answer>) -> Result<&'a str, String> {
    match answer {
        None => Err(format!("{what} was not asked for")),
        Some(Answer::Unknown { why }) => Err(format!("{what} was not heard: {}", shown(why))),
        Some(Answer::Output(out)) if out.exit == 127 => Err(format!("{what}: the node has no such program")),
        Some(Answer::Output(out)) if out.exit != 0 => {
            Err(format!("{what} ended with status {}: {}", out.exit, shown(&String::from_utf8_lossy(&out.stderr))))
        }
        Some(Answer::Output(out)) => {
            std::str::from_utf8(&out.stdout).map_err(|_| format!("{what} printed something that is not text"))
        }
    }
}

/// Words with which tools and firmware say that they do not know; never a value.
const PLACEHOLDERS: [&str; 10] = [
    "",
    "n/a",
    "-",
    "none",
    "unknown",
    "unknown error",
    "not supported",
    "not available",
    "requested functionality has been deprecated",
    "not specified",
];

/// A text value; placeholders such as `[N/A]` or `[Unknown Error]` are unknown.
pub(super) fn word(name: &str, text: Option<&str>) -> Reading<String> {
    let Some(text) = text else {
        return Reading::unknown(format!("`{name}` is missing"));
    };
    let bare = text.trim().trim_start_matches('[').trim_end_matches(']').trim();
    if PLACEHOLDERS.contains(&bare.to_ascii_lowercase().as_str()) || bare.to_ascii_lowercase().contains("requires reset") {
        return Reading::unknown(format!("`{name}` reads `{}`", shown(text)));
    }
    Reading::Known(shown(text))
}

/// A whole number at the start of the text, with or without a unit: `5`, `16x`, `2560 bank(s)`.
pub(super) fn whole(name: &str, text: Option<&str>) -> Reading<u64> {
    number_text(name, text, |digits| digits.parse().ok())
}

/// A finite number at the start of the text, with or without a unit: `40.98°C`, `38C`, `-2 C`.
pub(super) fn number(name: &str, text: Option<&str>) -> Reading<f64> {
    number_text(name, text, |digits| digits.parse::<f64>().ok().filter(|n| n.is_finite()))
}

fn number_text<T>(name: &str, text: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> Reading<T> {
    let text = match word(name, text) {
        Reading::Known(text) => text,
        Reading::Absent => return Reading::Absent,
        Reading::Unknown { why } => return Reading::Unknown { why },
    };
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    // `7f3a` is not 7 and `1.2.3` is not a number: what follows must be a unit, not more of a word.
    let unit_ok = unit.len() <= 12 && !unit.chars().any(|c| c.is_ascii_digit());
    parse(digits).filter(|_| unit_ok).map_or_else(|| Reading::unknown(format!("`{name}` reads `{text}`")), Reading::Known)
}

/// `Yes`/`No`, `Enabled`/`Disabled`.
pub(super) fn yes(name: &str, text: Option<&str>) -> Reading<bool> {
    match word(name, text) {
        Reading::Known(text) => match text.to_ascii_lowercase().as_str() {
            "yes" | "enabled" => Reading::Known(true),
            "no" | "disabled" => Reading::Known(false),
            _ => Reading::unknown(format!("`{name}` reads `{text}`")),
        },
        Reading::Absent => Reading::Absent,
        Reading::Unknown { why } => Reading::Unknown { why },
    }
}

/// A version: a word with a digit in it and nothing that had to be escaped.
pub(super) fn version(name: &str, text: Option<&str>) -> Reading<String> {
    match word(name, text) {
        Reading::Known(text) if !text.contains(|c: char| c.is_ascii_digit()) || text.contains('\\') => {
            Reading::unknown(format!("`{name}` reads `{text}`, which is no version"))
        }
        reading => reading,
    }
}
