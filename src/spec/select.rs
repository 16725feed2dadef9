//! SELECT: sets of nodes. `a[001-010]-s[01-04]`, `a*`, `rack=a017 & accel=nvidia - label:hold`, `ring=canary | state=quarantined`.
//!
//! `|` and `,` unite, `&` intersects, ` - ` (with spaces) takes away; `&` and `-` bind tighter than `|` and go from left to right;
//! parentheses group. A term is a name pattern, `key=pattern`, or `label:key`. A term that matches nothing is an error when it is a
//! name (a slip of the pen must not select less in silence); an empty whole is always an error.

use std::collections::BTreeSet;

use super::diagnostic::quote;
use super::range::Pattern;
use super::suggest::nearest;
use crate::model::{Inventory, Node, NodeId};

/// Longest expression and deepest parentheses.
const MAX_TEXT: usize = 16_384;
const MAX_DEPTH: usize = 32;
/// Keys that the inventory answers.
const KEYS: [&str; 12] =
    ["node", "rack", "slot", "profile", "pool", "feed", "accel", "vendor", "model", "stack", "verify", "serial"];

/// Why an expression selects nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectError {
    /// The expression.
    pub expression: String,
    /// Byte in it.
    pub at: usize,
    /// What is wrong there.
    pub why: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// True when the expression is sound but no node is in the set.
    pub empty: bool,
}

impl std::fmt::Display for SelectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let column = self.expression.get(..self.at).map_or(0, |before| before.chars().count()) + 1;
        write!(f, "{} (column {column} of `{}`)", self.why, quote(&self.expression))?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}
impl std::error::Error for SelectError {}

impl SelectError {
    /// The expression with a caret under the place.
    #[must_use]
    pub fn caret(&self) -> String {
        let before = self.expression.get(..self.at).unwrap_or(&self.expression);
        let shown: String = self.expression.chars().map(|c| if c.is_control() { '�' } else { c }).collect();
        format!("{shown}\n{}^ {}", " ".repeat(before.chars().count()), self.why)
    }
}

/// What is known beyond the inventory: the value of a key such as `state` for a node.
pub type Extra<'a> = &'a dyn Fn(&NodeId, &str) -> Option<String>;

/// The nodes that an expression selects.
///
/// # Errors
/// [`SelectError`] with the place; also when nothing is selected.
pub fn select(expression: &str, inventory: &Inventory, extra: Extra<'_>) -> Result<BTreeSet<NodeId>, SelectError> {
    let mut reader = Reader { text: expression, at: 0, inventory, extra };
    if expression.len() > MAX_TEXT {
        return Err(reader.bad(0, format!("an expression has at most {MAX_TEXT} characters")));
    }
    let set = reader.union(0)?;
    reader.space();
    if let Some(c) = reader.peek() {
        return Err(reader.bad(reader.at, format!("`{}` was not expected here", c.escape_debug())));
    }
    if set.is_empty() {
        return Err(SelectError { empty: true, ..reader.bad(0, "no node is selected") });
    }
    Ok(set.into_iter().cloned().collect())
}

type Set<'i> = BTreeSet<&'i NodeId>;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    inventory: &'a Inventory,
    extra: Extra<'a>,
}

impl<'a> Reader<'a> {
    fn bad(&self, at: usize, why: impl Into<String>) -> SelectError {
        SelectError { expression: self.text.to_owned(), at, why: why.into(), hint: None, empty: false }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn space(&mut self) {
        while let Some(c) = self.peek().filter(|c| c.is_whitespace()) {
            self.at += c.len_utf8();
        }
    }

    fn union(&mut self, depth: usize) -> Result<Set<'a>, SelectError> {
        let mut left = self.chain(depth)?;
        loop {
            self.space();
            let Some('|' | ',') = self.peek() else { return Ok(left) };
            self.at += 1;
            left.extend(self.chain(depth)?);
        }
    }

    fn chain(&mut self, depth: usize) -> Result<Set<'a>, SelectError> {
        let mut left = self.term(depth)?;
        loop {
            self.space();
            match self.peek() {
                Some('&') => {
                    self.at += 1;
                    let right = self.term(depth)?;
                    left.retain(|id| right.contains(id));
                }
                Some('-') => {
                    self.at += 1;
                    if self.peek().is_some_and(|c| !c.is_whitespace() && c != '(') {
                        return Err(SelectError {
                            hint: Some("put spaces around `-` to take nodes away".to_owned()),
                            ..self.bad(self.at - 1, "`-` was not expected here")
                        });
                    }
                    let right = self.term(depth)?;
                    left.retain(|id| !right.contains(id));
                }
                _ => return Ok(left),
            }
        }
    }

    fn term(&mut self, depth: usize) -> Result<Set<'a>, SelectError> {
        self.space();
        let start = self.at;
        match self.peek() {
            None => return Err(self.bad(start, "a node name, `key=value` or `label:key` is expected here")),
            Some('(') if depth >= MAX_DEPTH => return Err(self.bad(start, format!("more than {MAX_DEPTH} parentheses deep"))),
            Some('(') => {
                self.at += 1;
                let inside = self.union(depth + 1)?;
                self.space();
                if self.peek() != Some(')') {
                    return Err(self.bad(start, "`(` is never closed"));
                }
                self.at += 1;
                return Ok(inside);
            }
            _ => {}
        }
        // A word ends at a space or a sign of set algebra; inside brackets commas belong to it.
        let mut bracket = false;
        while let Some(c) = self.peek() {
            match c {
                '[' => bracket = true,
                ']' => bracket = false,
                ',' if bracket => {}
                '|' | '&' | '(' | ')' | ',' => break,
                c if c.is_whitespace() => break,
                _ => {}
            }
            self.at += c.len_utf8();
        }
        let word = self.text.get(start..self.at).unwrap_or("");
        if word.is_empty() {
            return Err(self.bad(start, "a node name, `key=value` or `label:key` is expected here"));
        }
        if let Some(label) = word.strip_prefix("label:") {
            let (key, value) = label.split_once('=').map_or((label, None), |(k, v)| (k, Some(v)));
            let wanted = value.map(|v| self.pattern(v, start + word.len() - v.len())).transpose()?;
            let has = |n: &Node| n.labels.get(key).is_some_and(|v| wanted.as_ref().is_none_or(|w| w.matches(v)));
            return Ok(self.nodes(has));
        }
        match word.split_once('=') {
            Some((key, value)) => self.keyed(key, value, start),
            None => self.named(word, start),
        }
    }

    fn pattern(&self, text: &str, at: usize) -> Result<Value, SelectError> {
        match text.parse::<Pattern>() {
            Ok(pattern) => Ok(Value::Pattern(pattern)),
            // A label may hold what no name can.
            Err(_) if !text.is_empty() && !text.contains(['[', ']', '*', '?']) => Ok(Value::Exact(text.to_owned())),
            Err(e) => Err(self.bad(at + e.at, e.why)),
        }
    }

    fn nodes(&self, keep: impl Fn(&Node) -> bool) -> Set<'a> {
        self.inventory.nodes.values().filter(|n| keep(n)).map(|n| &n.id).collect()
    }

    fn named(&self, word: &str, start: usize) -> Result<Set<'a>, SelectError> {
        let pattern: Pattern = word.parse().map_err(|e: super::range::RangeError| self.bad(start + e.at, e.why))?;
        let set = self.nodes(|n| pattern.matches(n.id.as_str()));
        if !set.is_empty() {
            return Ok(set);
        }
        let mut error = self.bad(start, format!("no node is called `{}`", quote(word)));
        error.empty = true;
        error.hint = if self.inventory.racks.keys().any(|r| pattern.matches(r.as_str())) {
            Some(format!("that is a rack: write `rack={}`", quote(word)))
        } else {
            nearest(word, self.inventory.nodes.keys().map(NodeId::as_str)).map(|n| format!("did you mean `{n}`?"))
        };
        Err(error)
    }

    fn keyed(&self, key: &str, value: &str, start: usize) -> Result<Set<'a>, SelectError> {
        let at = start + key.len() + 1;
        let wanted = self.pattern(value, at)?;
        let some = |text: Option<&String>| text.is_some_and(|t| wanted.matches(t));
        let set = match key {
            "node" => self.nodes(|n| wanted.matches(n.id.as_str())),
            "rack" => self.nodes(|n| wanted.matches(n.rack.as_str())),
            "slot" => self.nodes(|n| wanted.matches(&n.slot.to_string())),
            "profile" => self.nodes(|n| wanted.matches(&n.profile)),
            "pool" => self.nodes(|n| wanted.matches(&n.pool)),
            "feed" => self.nodes(|n| some(self.inventory.racks.get(&n.rack).and_then(|r| r.feed.as_ref()))),
            "accel" => self.nodes(|n| wanted.matches(&n.accelerator.kind.to_string()) || wanted.matches(&n.accelerator.model)),
            "vendor" => self.nodes(|n| some(n.vendor.as_ref())),
            "model" => self.nodes(|n| some(n.model.as_ref())),
            "stack" => self.nodes(|n| some(n.stack.as_ref())),
            "verify" => self.nodes(|n| wanted.matches(&n.verify)),
            "serial" => self.nodes(|n| some(n.serial.as_ref())),
            _ => {
                let known = |n: &Node| n.labels.contains_key(key) || (self.extra)(&n.id, key).is_some();
                if !self.inventory.nodes.values().any(known) {
                    let labels = self.inventory.nodes.values().flat_map(|n| n.labels.keys().map(String::as_str));
                    let near = nearest(key, KEYS.into_iter().chain(["state"]).chain(labels)).filter(|n| *n != key);
                    let hint =
                        near.map(|n| format!("did you mean `{n}`?")).unwrap_or(format!("keys: {}, and labels", KEYS.join(", ")));
                    let why = format!("nothing here knows `{}`", quote(key));
                    return Err(SelectError { hint: Some(hint), ..self.bad(start, why) });
                }
                self.nodes(|n| some(n.labels.get(key)) || (self.extra)(&n.id, key).is_some_and(|v| wanted.matches(&v)))
            }
        };
        Ok(set)
    }
}

enum Value {
    Pattern(Pattern),
    Exact(String),
}

impl Value {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.matches(text),
            Self::Exact(exact) => exact == text,
        }
    }
}
