//! One mistake in a file, and all of them together. They are collected, not thrown: reading goes on after a mistake, so that a person
//! sees the whole list at once. Rendering is next door, in `render`.

use super::source::{Sources, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The input is refused.
    Error,
    /// The input is taken; somebody should look.
    Warning,
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// Its code, from [`super::code`].
    pub code: &'static str,
    /// What is wrong, in one line. Text from files is quoted by [`quote`] first.
    pub message: String,
    /// Where; `None` when there is no text to show, as with a missing file.
    pub span: Option<Span>,
    /// What to say under the caret.
    pub label: String,
    /// Other places that matter, such as the first of two duplicates.
    pub also: Vec<(Span, String)>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A mistake that refuses the input.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity: Severity::Error, code, message, span: None, label: String::new(), also: Vec::new(), hint: None }
    }

    /// Something worth knowing.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Where it is.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// What to say under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Another place that matters.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.also.push((span, label.into()));
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// "did you mean …?", when there is something to suggest.
    #[must_use]
    pub fn suggest(mut self, nearest: Option<&str>) -> Self {
        if let Some(word) = nearest {
            self.hint = Some(format!("did you mean `{word}`?"));
        }
        self
    }
}

/// All mistakes of one load, and the texts that they are about.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    /// The texts.
    pub sources: Sources,
    list: Vec<Diagnostic>,
    seen: std::collections::HashSet<(&'static str, Option<Span>, String)>,
}

impl Diagnostics {
    /// No text, no mistake.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a mistake; the same one at the same place is told once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.seen.insert((diagnostic.code, diagnostic.span, diagnostic.message.clone())) {
            self.list.push(diagnostic);
        }
    }

    /// Makes warnings of all errors of one kind.
    pub fn forgive(&mut self, code: &str) {
        for d in self.list.iter_mut().filter(|d| d.code == code) {
            d.severity = Severity::Warning;
        }
    }

    /// How many refuse the input.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// How many are only worth knowing.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.list.len() - self.errors()
    }

    /// True when nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// True when the input is refused.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// All of them in the order of files and lines.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<&Diagnostic> = self.list.iter().collect();
        all.sort_by_key(|d| (d.span.map(|s| (self.sources.name(s.file), s.start)), d.severity, d.code, &d.message));
        all
    }

    /// Takes in the mistakes of another load, with its texts.
    pub fn absorb(&mut self, other: Self) {
        let shift = self.sources.append(other.sources);
        for mut d in other.list {
            d.span = d.span.map(&shift);
            d.also = d.also.into_iter().map(|(span, label)| (shift(span), label)).collect();
            self.push(d);
        }
    }
}

impl std::fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.errors();
        write!(f, "{count} mistake{} in the input", if count == 1 { "" } else { "s" })?;
        let first = self.sorted().into_iter().find(|d| d.severity == Severity::Error);
        match first.map(|d| (d.span.map(|s| self.sources.place(s)), &d.message)) {
            Some((Some(place), message)) => write!(f, "; first {place}: {message}"),
            Some((None, message)) => write!(f, "; first: {message}"),
            None => Ok(()),
        }
    }
}
impl std::error::Error for Diagnostics {}

/// Text from a file, safe to print in a message: escaped and cut to 80 characters.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    out.replace("\\'", "'").replace("\\\"", "\"")
}
