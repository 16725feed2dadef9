//! Which rooms a source file names, however it spells the path: `crate::room`, `crate::{a, b::c}`, `super::super::room` or `bringup::room`.

use super::tokens::{Token, tokens};

/// A room that a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// First word after the crate's root; `*` for everything.
    pub room: String,
    /// Where.
    pub line: usize,
    /// False when the root was reached by `super` or by the crate's own name.
    pub plainly: bool,
}

/// Rooms named in a file whose module lies `depth` below the crate's root (`src/room.rs` and `src/room/mod.rs`: 1).
pub fn named(source: &str, depth: usize) -> Vec<Named> {
    let tokens = tokens(source);
    let text = |i: usize| tokens.get(i).map_or("", |t: &Token| t.text.as_str());
    let mut found = Vec::new();
    // Inline modules deepen what `super` means until their brace closes.
    let (mut braces, mut inline) = (0_usize, Vec::new());
    let mut i = 0;
    while i < tokens.len() {
        match text(i) {
            "{" => {
                if i >= 2 && text(i - 2) == "mod" {
                    inline.push(braces);
                }
                braces += 1;
            }
            "}" => {
                braces = braces.saturating_sub(1);
                if inline.last() == Some(&braces) {
                    inline.pop();
                }
            }
            "crate" | "bringup" if text(i + 1) == "::" => rooms(&tokens, i + 2, text(i) == "crate", &mut found),
            "super" if i == 0 || text(i - 1) != "::" => {
                let mut supers = 1;
                while text(i + 1) == "::" && text(i + 2) == "super" {
                    (i, supers) = (i + 2, supers + 1);
                }
                if supers >= depth + inline.len() && text(i + 1) == "::" {
                    rooms(&tokens, i + 2, false, &mut found);
                }
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// The word at `start`, or each first word of the group that begins there.
fn rooms(tokens: &[Token], start: usize, plainly: bool, found: &mut Vec<Named>) {
    let mut push = |t: &Token| found.push(Named { room: t.text.clone(), line: t.line, plainly });
    match tokens.get(start) {
        Some(first) if first.text == "{" => {
            let (mut depth, mut fresh) = (0, false);
            for token in &tokens[start..] {
                match token.text.as_str() {
                    "{" => (depth, fresh) = (depth + 1, depth == 0),
                    "}" if depth == 1 => return,
                    "}" => depth -= 1,
                    "," => fresh = depth == 1,
                    _ if fresh => {
                        fresh = false;
                        push(token);
                    }
                    _ => {}
                }
            }
        }
        Some(first) => push(first),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms_of(source: &str, depth: usize) -> Vec<String> {
        named(source, depth).into_iter().map(|n| n.room).collect()
    }

    #[test]
    fn every_spelling_is_seen() {
        assert_eq!(rooms_of("use crate::bmc::redfish::Client;", 2), ["bmc"]);
        assert_eq!(rooms_of("use crate::{model::{Mac, NodeId}, bmc, boot::*};", 2), ["model", "bmc", "boot"]);
        assert_eq!(rooms_of("fn f() { crate::journal::append() }", 2), ["journal"]);
        assert_eq!(rooms_of("use bringup::cli;", 2), ["cli"]);
        assert_eq!(rooms_of("use super::super::bmc;", 2), ["bmc"]);
        assert_eq!(rooms_of("use super::bmc;", 1), ["bmc"]);
        assert_eq!(rooms_of("use crate::*;", 1), ["*"]);
    }

    #[test]
    fn own_neighbours_are_no_rooms() {
        assert_eq!(rooms_of("use super::packet; pub(crate) fn f() {}", 2), [""; 0]);
        assert_eq!(rooms_of("mod tests { use super::*; } use super::bmc;", 1), ["bmc"]);
        assert_eq!(rooms_of("mod tests { use super::*; fn f() { if a { super::g() } } }", 1), [""; 0]);
        assert_eq!(rooms_of("use super::super::packet;", 3), [""; 0]);
    }
}
