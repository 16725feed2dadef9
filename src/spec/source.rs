//! The texts that were read, each once, bounded and with its digest. Knows lines and columns. Never writes, never follows what a text says.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};

use crate::model::Digest;

/// Largest file that is read: 64 MiB. A facts file of 12,500 nodes has 3 MB.
pub const MAX_FILE: u64 = 64 << 20;

/// One text of a [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// A stretch of one text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Which text.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
}

impl Span {
    /// A stretch from byte `start` up to byte `end`.
    #[must_use]
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        let cut = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { file, start: cut(start), end: cut(end.max(start)) }
    }
}

/// Where a span starts, for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Name of the file, as it was written.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[derive(Clone)]
struct File {
    name: String,
    text: Arc<str>,
    /// It began with a byte order mark, which is not in `text`.
    marked: bool,
    digest: Digest,
    lines: OnceLock<Arc<[usize]>>,
}

/// The text is left out: somebody may have written a secret into it.
impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("name", &self.name).field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Why a file could not be read as text.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system refused.
    #[error("read the file")]
    Io(#[source] std::io::Error),
    /// More than [`MAX_FILE`] bytes.
    #[error("the file is larger than {} MiB", MAX_FILE >> 20)]
    TooBig,
    /// Not UTF-8 from this byte on.
    #[error("the file is not UTF-8 text (byte {0} is not)")]
    NotText(usize),
}

/// All texts that one load has read.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<File>,
    secret: Vec<Span>,
}

impl Sources {
    /// Adds a text under the name that people know it by. A byte order mark is left out.
    pub fn add(&mut self, name: impl Into<String>, text: &str) -> FileId {
        let digest = Digest::from_bytes(&Sha256::digest(text.as_bytes()).into());
        let marked = text.starts_with('\u{feff}');
        let text = Arc::from(text.strip_prefix('\u{feff}').unwrap_or(text));
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(File { name: name.into(), text, marked, digest, lines: OnceLock::new() });
        id
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ReadError`] when it is missing, unreadable, too big or not UTF-8.
    pub fn read(&mut self, path: &Path) -> Result<FileId, ReadError> {
        let file = std::fs::File::open(path).map_err(ReadError::Io)?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(ReadError::Io)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(ReadError::TooBig);
        }
        let text = std::str::from_utf8(&bytes).map_err(|e| ReadError::NotText(e.valid_up_to()))?;
        Ok(self.add(path.display().to_string(), text))
    }

    /// The text; empty when `id` came from another `Sources`.
    #[must_use]
    pub fn text(&self, id: FileId) -> Arc<str> {
        self.file(id).map_or_else(|| Arc::from(""), |f| Arc::clone(&f.text))
    }

    /// The text with the byte order mark that it began with, if it did.
    #[must_use]
    pub fn whole(&self, id: FileId) -> String {
        let mark = if self.file(id).is_some_and(|f| f.marked) { "\u{feff}" } else { "" };
        format!("{mark}{}", self.text(id))
    }

    /// The name.
    #[must_use]
    pub fn name(&self, id: FileId) -> &str {
        self.file(id).map_or("", |f| f.name.as_str())
    }

    /// Line and column of a span's start.
    #[must_use]
    pub fn place(&self, span: Span) -> Place {
        let line = self.line_of(span.file, span.start as usize);
        let from = self.line_range(span.file, line).start;
        let text = self.text(span.file);
        let before = text.get(from..span.start as usize).unwrap_or("");
        Place { file: self.name(span.file).to_owned(), line, column: before.chars().count() + 1 }
    }

    /// Number of the line that holds a byte, from 1.
    #[must_use]
    pub fn line_of(&self, id: FileId, byte: usize) -> usize {
        self.starts(id).partition_point(|start| *start <= byte).max(1)
    }

    /// Byte range of a line (from 1) without its line feed; empty when there is no such line.
    #[must_use]
    pub fn line_range(&self, id: FileId, line: usize) -> std::ops::Range<usize> {
        let starts = self.starts(id);
        let text = self.text(id);
        let Some(start) = line.checked_sub(1).and_then(|i| starts.get(i)).copied() else { return 0..0 };
        let end = starts.get(line).map_or(text.len(), |next| next.saturating_sub(1));
        let end = if text.as_bytes().get(end.wrapping_sub(1)) == Some(&b'\r') && end > start { end - 1 } else { end };
        start..end.max(start)
    }

    /// The line on which a span starts, trimmed, secrets concealed, cut to 200 characters.
    #[must_use]
    pub fn shown_line(&self, span: Span) -> String {
        let range = self.line_range(span.file, self.line_of(span.file, span.start as usize));
        let whole = self.text(span.file);
        let line = whole.get(range.clone()).unwrap_or("");
        let (mut out, mut at) = (String::new(), 0);
        for secret in super::conceal::concealed_in(line, self, span.file, range.start) {
            out.push_str(line.get(at..secret.start).unwrap_or(""));
            out.push_str(super::conceal::BLACK);
            at = secret.end;
        }
        out.push_str(line.get(at..).unwrap_or(""));
        out.trim().chars().filter(|c| !c.is_control()).take(200).collect()
    }

    /// Marks a stretch that must never be shown: a secret somebody wrote in plain text.
    pub fn conceal(&mut self, span: Span) {
        self.secret.push(span);
    }

    /// The stretches that must never be shown.
    #[must_use]
    pub fn concealed(&self) -> &[Span] {
        &self.secret
    }

    /// Every text by name with the SHA-256 of its bytes.
    #[must_use]
    pub fn digests(&self) -> BTreeMap<String, Digest> {
        self.files.iter().map(|f| (f.name.clone(), f.digest.clone())).collect()
    }

    /// Takes in the texts of another `Sources`; the answer moves its spans over.
    pub(super) fn append(&mut self, other: Self) -> impl Fn(Span) -> Span + use<> {
        let by = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let shift = move |span: Span| Span { file: FileId(span.file.0.saturating_add(by)), ..span };
        self.files.extend(other.files);
        self.secret.extend(other.secret.into_iter().map(shift));
        shift
    }

    fn file(&self, id: FileId) -> Option<&File> {
        self.files.get(id.0 as usize)
    }

    fn starts(&self, id: FileId) -> Arc<[usize]> {
        let Some(file) = self.file(id) else { return Arc::from([]) };
        let find = || std::iter::once(0).chain(file.text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Arc::clone(file.lines.get_or_init(find))
    }
}
