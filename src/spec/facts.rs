//! Facts: one row a node, from CSV. Header names decide; nothing here is templated. Cells are checked as they are read.

use std::collections::BTreeMap;

use super::address::endpoint;
use super::code;
use super::csv::{Cell, rows};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::setting::is_host_key;
use super::source::{FileId, Span};
use super::suggest::nearest;
use crate::model::{Digest, Mac};

/// Every column that a facts file may have.
pub const COLUMNS: [&str; 10] = [
    "node",
    "serial",
    "uuid",
    "bmc_mac",
    "boot_mac",
    "bmc_cert_sha256",
    "ssh_host_key",
    "accelerator_serials",
    "bmc_address",
    "ssh_address",
];

/// What one row says, checked and in canonical form, by column.
#[derive(Debug, Clone)]
pub struct Row {
    /// The cell with the node's name.
    pub node: Cell,
    /// Every other cell that is not empty.
    pub cells: BTreeMap<&'static str, Cell>,
    /// Columns whose cells could not be read.
    bad: Vec<&'static str>,
    /// The whole row could not be read.
    flawed: bool,
}

/// All facts of a site.
#[derive(Debug, Default)]
pub struct Facts {
    /// The rows by node name.
    pub rows: BTreeMap<String, Row>,
    /// False when part of a file could not be read, so that what is missing may have been there.
    pub whole: bool,
}

impl Row {
    /// A cell's text.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&str> {
        self.cells.get(column).map(|c| c.text.as_str())
    }

    /// True when nothing at all was written in a column; what cannot be read has been told already.
    #[must_use]
    pub fn lacks(&self, column: &str) -> bool {
        !self.flawed && !self.cells.contains_key(column) && !self.bad.contains(&column)
    }

    /// Where a cell is, or the row.
    #[must_use]
    pub fn span(&self, column: &str) -> Span {
        self.cells.get(column).map_or(self.node.span, |c| c.span)
    }
}

impl Facts {
    /// Reads one file. A second row for a node is a mistake.
    pub fn read(&mut self, file: FileId, out: &mut Diagnostics) {
        let before = out.errors();
        let mut lines = rows(file, out).into_iter();
        self.whole &= out.errors() == before;
        let Some(header) = lines.next() else {
            out.push(Diagnostic::error(code::BAD_FACT, "the facts file is empty").at(Span::new(file, 0, 0)).hint(header_hint()));
            self.whole = false;
            return;
        };
        let before = out.errors();
        let columns = columns(&header, out);
        self.whole &= out.errors() == before;
        if columns.contains(&Some("node")) {
            lines.for_each(|cells| self.row(&columns, cells, file, out));
        }
    }

    fn row(&mut self, columns: &[Option<&'static str>], cells: Vec<Cell>, file: FileId, out: &mut Diagnostics) {
        let span = cells.first().map_or(Span::new(file, 0, 0), |c| c.span);
        let flawed = cells.len() != columns.len();
        if flawed {
            let message = format!("this row has {} cells and the header {}", cells.len(), columns.len());
            out.push(Diagnostic::error(code::BAD_FACT, message).at(span));
        }
        let mut node = None;
        let (mut kept, mut bad) = (BTreeMap::new(), Vec::new());
        for (name, cell) in columns.iter().zip(cells) {
            match name {
                Some("node") => node = Some(cell),
                Some(name) if !cell.text.is_empty() && !flawed => match canonical(name, &cell.text) {
                    Ok(text) => drop(kept.insert(*name, Cell { text, span: cell.span })),
                    Err(why) => {
                        bad.push(*name);
                        out.push(Diagnostic::error(code::BAD_FACT, format!("{name}: {why}")).at(cell.span));
                    }
                },
                _ => {}
            }
        }
        let Some(node) = node.filter(|n| !n.text.is_empty()) else {
            if !flawed {
                out.push(Diagnostic::error(code::BAD_FACT, "this row names no node").at(span));
            }
            self.whole = false;
            return;
        };
        if let Some(first) = self.rows.get(&node.text) {
            let message = format!("`{}` has a second row of facts", quote(&node.text));
            let d = Diagnostic::error(code::DUPLICATE_IDENTITY, message).at(node.span).label("second");
            out.push(d.also(first.node.span, "first"));
            self.whole = false;
            return;
        }
        self.rows.insert(node.text.clone(), Row { node, cells: kept, bad, flawed });
    }
}

/// The columns of a header; unknown and repeated ones are mistakes, as is the lack of `node`.
fn columns(header: &[Cell], out: &mut Diagnostics) -> Vec<Option<&'static str>> {
    let columns: Vec<Option<&'static str>> = header.iter().map(|cell| column(cell, out)).collect();
    for (i, (name, cell)) in columns.iter().zip(header).enumerate() {
        let earlier = columns.iter().take(i).position(|c| c.is_some() && c == name);
        if let (Some(name), Some(first)) = (name, earlier.and_then(|f| header.get(f))) {
            let d = Diagnostic::error(code::DUPLICATE_KEY, format!("the column `{name}` stands twice")).at(cell.span);
            out.push(d.label("second").also(first.span, "first"));
        }
    }
    if let Some(cell) = header.first().filter(|_| !columns.contains(&Some("node"))) {
        let d = Diagnostic::error(code::BAD_FACT, "the facts file has no column `node`").at(cell.span);
        out.push(d.hint(header_hint()));
    }
    columns
}

fn header_hint() -> String {
    format!("the first line names the columns: {}", COLUMNS.join(","))
}

fn column(cell: &Cell, out: &mut Diagnostics) -> Option<&'static str> {
    let known = COLUMNS.iter().find(|c| **c == cell.text).copied();
    if known.is_none() {
        let d = Diagnostic::error(code::UNKNOWN_KEY, format!("unknown column `{}`", quote(&cell.text))).at(cell.span);
        let near = nearest(&cell.text, COLUMNS);
        out.push(if near.is_some() { d.suggest(near) } else { d.hint(format!("known columns: {}", COLUMNS.join(", "))) });
    }
    known
}

/// A cell in the form in which it is compared, or what is wrong with it.
fn canonical(column: &str, text: &str) -> Result<String, String> {
    let shown = quote(text);
    match column {
        "bmc_mac" | "boot_mac" => text.parse::<Mac>().map(|m| m.to_string()).map_err(|e| e.to_string()),
        "bmc_cert_sha256" => {
            // `spki:` names the key instead of the certificate, so that one renewed over it still passes.
            let lower = text.to_ascii_lowercase();
            let (kind, digits) = lower.strip_prefix("spki:").map_or(("", lower.as_str()), |digits| ("spki:", digits));
            Digest::new(digits.replace(':', "")).map(|digest| format!("{kind}{digest}")).map_err(|_| {
                format!("`{shown}` is not a SHA-256 fingerprint (64 hex digits of a certificate, or `spki:` and 64 of its key)")
            })
        }
        "uuid" => {
            let lower = text.to_ascii_lowercase();
            let groups: Vec<usize> = lower.split('-').map(str::len).collect();
            let hex = lower.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
            if hex && groups == [8, 4, 4, 4, 12] { Ok(lower) } else { Err(format!("`{shown}` is not a UUID")) }
        }
        "bmc_address" | "ssh_address" => endpoint(text, 1)
            .map(|_| text.to_owned())
            .ok_or_else(|| format!("`{shown}` is not an address such as 10.1.0.7 or 10.1.0.7:8443")),
        "ssh_host_key" | "accelerator_serials" => {
            let items: Vec<&str> = text.split(';').map(str::trim).filter(|s| !s.is_empty()).collect();
            let wrong = items.iter().find(|i| if column == "ssh_host_key" { !is_host_key(i) } else { !printable(i) });
            match wrong {
                Some(item) if column == "ssh_host_key" => Err(format!("`{}` is not a fingerprint `SHA256:…`", quote(item))),
                Some(item) => Err(format!("`{}` is not a serial number", quote(item))),
                None if items.iter().enumerate().any(|(i, item)| items.iter().take(i).any(|o| o == item)) => {
                    Err("the same entry stands twice in this cell".to_owned())
                }
                None => Ok(items.join(";")),
            }
        }
        _ if printable(text) => Ok(text.to_owned()),
        _ => Err(format!("`{shown}` is longer than 128 characters or unprintable")),
    }
}

fn printable(text: &str) -> bool {
    (1..=128).contains(&text.len()) && !text.chars().any(char::is_control)
}
