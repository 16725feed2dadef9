//! CSV (RFC 4180) in which every cell knows where it stands. Lines that start with `#` and empty lines are passed over.

use super::code;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::source::{FileId, Span};

/// One cell. Its text is the stretch of the source, unless it held doubled quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The text, trimmed.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// Reads all rows. A malformed row is a mistake and left out; an unclosed quote ends the reading.
pub fn rows(file: FileId, out: &mut Diagnostics) -> Vec<Vec<Cell>> {
    let text = out.sources.text(file);
    let mut all = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = text.get(at..).unwrap_or("");
        let line = rest.find('\n').unwrap_or(rest.len());
        let first = rest.get(..line).unwrap_or("");
        if first.trim().is_empty() || first.starts_with('#') {
            at += line + 1;
            continue;
        }
        match row(&text, at, file) {
            Ok((cells, next)) => {
                all.push(cells);
                at = next;
            }
            Err((place, message, fatal)) => {
                out.push(Diagnostic::error(code::SYNTAX, message).at(Span::new(file, place, place + 1)));
                if fatal {
                    break;
                }
                at += line + 1;
            }
        }
    }
    all
}

type RowError = (usize, &'static str, bool);

/// One row from byte `at` on, and where the next one starts.
fn row(text: &str, mut at: usize, file: FileId) -> Result<(Vec<Cell>, usize), RowError> {
    let mut cells = Vec::new();
    loop {
        let rest = text.get(at..).unwrap_or("");
        let (cell, used) =
            if rest.starts_with('"') { quoted(rest, at)? } else { (None, rest.find([',', '\n']).unwrap_or(rest.len())) };
        let raw = rest.get(..used).unwrap_or("");
        if cell.is_none() && raw.contains('"') {
            return Err((at + raw.find('"').unwrap_or(0), "a quote inside an unquoted cell", false));
        }
        let trimmed = raw.trim();
        let start = at + (raw.len() - raw.trim_start().len());
        let span = Span::new(file, start, start + trimmed.len());
        cells.push(Cell { text: cell.map_or_else(|| trimmed.to_owned(), |c: String| c.trim().to_owned()), span });
        at += used;
        match text.as_bytes().get(at) {
            Some(b',') => at += 1,
            Some(b'\r') if text.as_bytes().get(at + 1) == Some(&b'\n') => return Ok((cells, at + 2)),
            Some(b'\n') => return Ok((cells, at + 1)),
            None => return Ok((cells, at)),
            Some(_) => return Err((at, "text behind a closing quote", false)),
        }
    }
}

fn quoted(rest: &str, at: usize) -> Result<(Option<String>, usize), RowError> {
    let mut text = String::new();
    let mut from = 1;
    loop {
        let tail = rest.get(from..).unwrap_or("");
        let end = tail.find('"').ok_or((at, "this quote is never closed", true))?;
        text.push_str(tail.get(..end).unwrap_or(""));
        from += end + 1;
        if !rest.get(from..).unwrap_or("").starts_with('"') {
            return Ok((Some(text), from));
        }
        text.push('"');
        from += 1;
    }
}
