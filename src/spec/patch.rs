//! What is written at one place belongs at another: the change of the files as a unified diff, which `patch -p1` and `git apply` take. It changes
//! no file itself.

use std::collections::BTreeMap;

use super::inventory::LoadedInventory;
use super::source::{FileId, Span};
use crate::model::{Cell, CellMove};

/// Lines around a change, as `diff -u` shows.
const CONTEXT: usize = 3;

impl LoadedInventory {
    /// Whether all of these can be written in the files.
    ///
    /// # Errors
    /// One is written nowhere in them: it is computed from the intent, or missing.
    pub fn can_move(&self, moves: &[CellMove]) -> Result<(), String> {
        for cell in moves.iter().flat_map(|m| [&m.to, &m.from]) {
            let spans = self.spans(cell);
            if spans.is_empty() {
                return Err(format!("{cell} is not in the CSV files"));
            }
            if spans.iter().any(|span| self.written(*span).contains('\n')) {
                return Err(format!("{cell} is written over several lines"));
            }
        }
        Ok(())
    }

    /// The difference that makes these moves. What cannot be moved is left out; see [`Self::can_move`].
    #[must_use]
    pub fn patch<'m>(&self, moves: impl IntoIterator<Item = &'m CellMove>) -> String {
        let mut edits: BTreeMap<FileId, BTreeMap<Span, String>> = BTreeMap::new();
        for made in moves {
            for (to, from) in self.spans(&made.to).into_iter().zip(self.spans(&made.from)) {
                edits.entry(to.file).or_default().insert(to, self.written(from));
            }
        }
        let files = edits.iter().map(|(file, edits)| self.file_patch(*file, edits));
        files.collect()
    }

    /// Where a thing is written: one cell, or two for a cable.
    fn spans(&self, cell: &Cell) -> Vec<Span> {
        match cell {
            Cell::Fact { node, column } => {
                let row = self.facts.rows.get(node.as_str());
                row.and_then(|row| row.cells.get(column)).map(|cell| cell.span).into_iter().collect()
            }
            Cell::Cable { node, interface } => {
                let cable = self.cabling.cables.get(&(node.as_str().to_owned(), interface.clone()));
                cable.map(|cable| vec![cable.switch.span, cable.port.span]).unwrap_or_default()
            }
        }
    }

    /// A stretch of a file as it stands there, quotes and all.
    fn written(&self, span: Span) -> String {
        let text = self.warnings.sources.text(span.file);
        text.get(span.start as usize..span.end as usize).unwrap_or_default().to_owned()
    }

    fn file_patch(&self, file: FileId, edits: &BTreeMap<Span, String>) -> String {
        let old = self.warnings.sources.whole(file);
        let shift = old.len() - self.warnings.sources.text(file).len();
        let (mut new, mut at) = (String::with_capacity(old.len() + 64), 0);
        for (span, by) in edits {
            new.push_str(old.get(at..span.start as usize + shift).unwrap_or_default());
            new.push_str(by);
            at = span.end as usize + shift;
        }
        new.push_str(old.get(at..).unwrap_or_default());
        let name = self.warnings.sources.name(file).trim_start_matches("./").trim_start_matches('/');
        match hunks(&old, &new) {
            hunks if hunks.is_empty() => String::new(),
            hunks => format!("--- a/{name}\n+++ b/{name}\n{hunks}"),
        }
    }
}

/// The hunks of two texts of the same number of lines.
fn hunks(old: &str, new: &str) -> String {
    let lines = |text: &str| text.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (lines(old), lines(new));
    let changed: Vec<usize> = (0..old.len()).filter(|i| old.get(*i) != new.get(*i)).collect();
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for line in changed {
        let (from, to) = (line.saturating_sub(CONTEXT), (line + CONTEXT + 1).min(old.len()));
        match spans.last_mut() {
            Some(last) if from <= last.1 => last.1 = to,
            _ => spans.push((from, to)),
        }
    }
    let mut text = String::new();
    let mut put = |sign: char, line: &str| {
        text.push(sign);
        text.push_str(line);
        if !line.ends_with('\n') {
            text.push_str("\n\\ No newline at end of file\n");
        }
    };
    for (from, to) in spans {
        let mut run: Vec<usize> = Vec::new();
        put('@', &format!("@ -{0},{1} +{0},{1} @@\n", from + 1, to - from));
        for line in from..=to {
            let differs = line < to && old.get(line) != new.get(line);
            if differs {
                run.push(line);
                continue;
            }
            run.iter().filter_map(|i| old.get(*i)).for_each(|l| put('-', l));
            run.drain(..).filter_map(|i| new.get(i)).for_each(|l| put('+', l));
            if let Some(same) = old.get(line).filter(|_| line < to) {
                put(' ', same);
            }
        }
    }
    text
}
