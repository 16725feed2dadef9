//! Mistakes for people, in the manner of rustc (offending line, caret, hint), and for machines. What looks like a secret in a shown line
//! is blacked out, whatever the mistake on that line is.

use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Element, Level, Renderer, Snippet};
use serde_json::{Value, json};

use super::conceal::{BLACK, concealed_in};
use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::source::Span;

/// Most mistakes that are shown to people; the count of the rest is told. JSON has them all.
pub const SHOWN: usize = 100;
/// Longest stretch of one line that is shown, in bytes.
const WIDTH: usize = 240;

/// One line of a text made fit to be shown: secrets blacked out, cut to a window around `span`.
struct Shown {
    line: usize,
    text: String,
    mark: Range<usize>,
}

impl Diagnostics {
    /// All mistakes as text for a terminal, in the order of files and lines.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let sorted = self.sorted();
        let mut out = String::new();
        for diagnostic in sorted.iter().take(SHOWN) {
            out.push_str(&self.render_one(diagnostic, &renderer));
            out.push_str("\n\n");
        }
        if sorted.len() > SHOWN {
            out.push_str(&format!("… and {} more\n\n", sorted.len() - SHOWN));
        }
        out
    }

    /// All mistakes as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let place = |span: Span| {
            let p = self.sources.place(span);
            json!({"file": p.file, "line": p.line, "column": p.column, "start": span.start, "end": span.end})
        };
        let one = |d: &&Diagnostic| {
            let also: Vec<Value> = d.also.iter().map(|(span, label)| json!({"at": place(*span), "label": label})).collect();
            json!({
                "severity": d.severity.to_string(), "code": d.code, "message": d.message, "at": d.span.map(place),
                "label": d.label, "also": also, "hint": d.hint,
            })
        };
        let all: Vec<Value> = self.sorted().iter().map(one).collect();
        json!({"format_version": 1, "errors": self.errors(), "warnings": self.warnings(), "diagnostics": all})
    }

    fn render_one(&self, d: &Diagnostic, renderer: &Renderer) -> String {
        let level = match d.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut elements: Vec<Element<'_>> = Vec::new();
        let spans = d.span.iter().map(|s| (*s, d.label.as_str(), AnnotationKind::Primary));
        let others = d.also.iter().map(|(s, label)| (*s, label.as_str(), AnnotationKind::Context));
        let mut lines: Vec<(Span, Shown, Vec<Annotation<'_>>)> = Vec::new();
        for (span, label, kind) in spans.chain(others) {
            let shown = self.shown(span);
            let note = kind.span(shown.mark.clone());
            let note = if label.is_empty() { note } else { note.label(label) };
            match lines.iter_mut().find(|(s, have, _)| s.file == span.file && have.line == shown.line && have.text == shown.text)
            {
                Some((_, _, notes)) => notes.push(note),
                None => lines.push((span, shown, vec![note])),
            }
        }
        for (span, shown, notes) in lines {
            let snippet =
                Snippet::source(shown.text).line_start(shown.line).path(self.sources.name(span.file)).annotations(notes);
            elements.push(snippet.into());
        }
        if let Some(hint) = &d.hint {
            elements.push(Level::HELP.message(hint.as_str()).into());
        }
        renderer.render(&[level.primary_title(d.message.as_str()).id(d.code).elements(elements)])
    }

    fn shown(&self, span: Span) -> Shown {
        let line = self.sources.line_of(span.file, span.start as usize);
        let range = self.sources.line_range(span.file, line);
        let text = self.sources.text(span.file);
        let whole = text.get(range.clone()).unwrap_or("");
        let inside = |byte: u32| floor(whole, (byte as usize).clamp(range.start, range.end) - range.start);
        let (start, end) = (inside(span.start), inside(span.end));
        let from = if whole.len() > WIDTH { floor(whole, start.saturating_sub(WIDTH / 3)) } else { 0 };
        let to = if whole.len() > WIDTH { floor(whole, from + WIDTH) } else { whole.len() };
        let mut out = String::new();
        let mut mark = (None, None);
        let mut at = from;
        for secret in concealed_in(whole, &self.sources, span.file, range.start) {
            let (open, close) = (secret.start.clamp(at, to), secret.end.clamp(at, to));
            if open >= close {
                continue;
            }
            copy(whole, at..open, (start, end), &mut out, &mut mark);
            let before = out.len();
            out.push_str(BLACK);
            if (open..close).contains(&start) {
                mark.0.get_or_insert(before);
            }
            if end > open && end <= close {
                mark.1.get_or_insert(out.len());
            }
            at = close;
        }
        copy(whole, at..to, (start, end), &mut out, &mut mark);
        let first = mark.0.unwrap_or(out.len());
        let last = mark.1.unwrap_or(out.len()).max(first);
        if last == first {
            // A mark needs something to stand under, also at the end of a line.
            if first >= out.len() {
                out.push(' ');
            }
            let width = out.get(first..).and_then(|s| s.chars().next()).map_or(1, char::len_utf8);
            return Shown { line, text: out, mark: first..first + width };
        }
        Shown { line, text: out, mark: first..last }
    }
}

/// Copies a part of the line, noting where the marked stretch lands.
fn copy(whole: &str, part: Range<usize>, marked: (usize, usize), out: &mut String, mark: &mut (Option<usize>, Option<usize>)) {
    let base = out.len();
    if (part.start..part.end).contains(&marked.0) {
        mark.0.get_or_insert(base + marked.0 - part.start);
    }
    if marked.1 >= part.start && marked.1 <= part.end && mark.0.is_some() {
        mark.1.get_or_insert(base + marked.1 - part.start);
    }
    out.push_str(whole.get(part).unwrap_or(""));
}

/// The nearest character boundary at or before a byte.
fn floor(text: &str, byte: usize) -> usize {
    (0..=byte.min(text.len())).rev().find(|b| text.is_char_boundary(*b)).unwrap_or(0)
}
