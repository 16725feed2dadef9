//! Tree to typed fields. A mistake is noted and reading goes on, so one pass finds them all; a key that nobody took is unknown.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::code;
use super::conceal::{conceal_all, telltale};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::source::Span;
use super::suggest::nearest;
use super::yaml::{Entry, Kind, Tree};

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub span: Span,
}

/// The fields of one map, taken one by one.
#[derive(Debug)]
pub struct Fields<'t> {
    what: String,
    /// Where the map starts.
    pub span: Span,
    entries: &'t [Entry],
    taken: Vec<bool>,
    known: Vec<&'static str>,
}

impl<'t> Fields<'t> {
    /// Opens a map; anything else is a mistake. `what` names it in messages, such as `profiles.gpu-node.bmc`.
    pub fn of(tree: &'t Tree, what: impl Into<String>, out: &mut Diagnostics) -> Option<Self> {
        let what = what.into();
        let entries = entries(tree, &what, out)?;
        Some(Self { what, span: tree.span, entries, taken: vec![false; entries.len()], known: Vec::new() })
    }

    /// The value of a key. `key:` with nothing behind it counts as not written.
    pub fn take(&mut self, key: &'static str) -> Option<&'t Tree> {
        self.known.push(key);
        let index = self.entries.iter().position(|e| &*e.key == key)?;
        if let Some(taken) = self.taken.get_mut(index) {
            *taken = true;
        }
        self.entries.get(index).map(|e| &e.value).filter(|v| !v.is_null())
    }

    /// The value of a key that must be there.
    pub fn need(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<&'t Tree> {
        let value = self.take(key);
        if value.is_none() {
            let message = format!("{} lacks the key `{key}`", self.what);
            out.push(Diagnostic::error(code::MISSING_KEY, message).at(self.span));
        }
        value
    }

    /// An optional string.
    pub fn text(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<Spanned<String>> {
        let tree = self.take(key)?;
        text(tree, &self.path(key), out)
    }

    /// A string that must be there.
    pub fn need_text(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<Spanned<String>> {
        let tree = self.need(key, out)?;
        text(tree, &self.path(key), out)
    }

    /// An optional string that is read by `FromStr`; its error becomes the message.
    pub fn parsed<T>(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<Spanned<T>>
    where
        T: FromStr,
        T::Err: Display,
    {
        let tree = self.take(key)?;
        parsed(tree, &self.path(key), out)
    }

    /// As [`Fields::parsed`], and it must be there.
    pub fn need_parsed<T>(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<Spanned<T>>
    where
        T: FromStr,
        T::Err: Display,
    {
        let tree = self.need(key, out)?;
        parsed(tree, &self.path(key), out)
    }

    /// An optional whole number.
    pub fn number<T: TryFrom<u64>>(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<Spanned<T>> {
        let tree = self.take(key)?;
        number(tree, &self.path(key), out)
    }

    /// An optional `true` or `false`.
    pub fn boolean(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<Spanned<bool>> {
        let tree = self.take(key)?;
        boolean(tree, &self.path(key), out)
    }

    /// An optional list.
    pub fn list(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<&'t [Tree]> {
        let tree = self.take(key)?;
        list(tree, &self.path(key), out)
    }

    /// An optional map with keys of the user's choice.
    pub fn map(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<&'t [Entry]> {
        let tree = self.take(key)?;
        entries(tree, &self.path(key), out)
    }

    /// An optional map with fixed keys.
    pub fn fields(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<Fields<'t>> {
        let tree = self.take(key)?;
        Fields::of(tree, self.path(key), out)
    }

    /// An optional map of strings.
    pub fn texts(&mut self, key: &'static str, out: &mut Diagnostics) -> BTreeMap<String, Spanned<String>> {
        let path = self.path(key);
        let mut all = BTreeMap::new();
        for entry in self.map(key, out).unwrap_or_default() {
            if let Some(value) = text(&entry.value, &format!("{path}.{}", quote(&entry.key)), out) {
                all.insert(entry.key.to_string(), value);
            }
        }
        all
    }

    /// Name of a field in messages.
    #[must_use]
    pub fn path(&self, key: &str) -> String {
        if self.what.is_empty() { key.to_owned() } else { format!("{}.{key}", self.what) }
    }

    /// Every key that nobody took is unknown.
    pub fn finish(self, out: &mut Diagnostics) {
        for (entry, taken) in self.entries.iter().zip(&self.taken) {
            if *taken {
                continue;
            }
            let place = if self.what.is_empty() { String::new() } else { format!(" in {}", self.what) };
            let mut d =
                Diagnostic::error(code::UNKNOWN_KEY, format!("unknown key `{}`{place}", quote(&entry.key))).at(entry.key_span);
            let meant = nearest(&entry.key, self.known.iter().copied());
            if telltale(&entry.key, meant) {
                conceal_all(&entry.value, &mut out.sources);
            }
            d = match meant {
                Some(word) => d.label("nothing reads this").suggest(Some(word)),
                None => d.label("nothing reads this").hint(format!("known keys: {}", self.known.join(", "))),
            };
            out.push(d);
        }
    }
}

/// A string. Any single value will do: `no`, `010` and `1e3` are strings where a string is expected.
pub fn text(tree: &Tree, what: &str, out: &mut Diagnostics) -> Option<Spanned<String>> {
    match &tree.kind {
        Kind::Scalar { text, .. } if !tree.is_null() => Some(Spanned { value: text.to_string(), span: tree.span }),
        _ => wrong(tree, what, "a string", out),
    }
}

/// A string that is read by `FromStr`.
pub fn parsed<T>(tree: &Tree, what: &str, out: &mut Diagnostics) -> Option<Spanned<T>>
where
    T: FromStr,
    T::Err: Display,
{
    let Spanned { value, span } = text(tree, what, out)?;
    match value.parse() {
        Ok(value) => Some(Spanned { value, span }),
        Err(e) => {
            let e: T::Err = e;
            out.push(Diagnostic::error(code::BAD_VALUE, format!("{what}: {e}")).at(span));
            None
        }
    }
}

/// A whole number in plain decimal digits.
pub fn number<T: TryFrom<u64>>(tree: &Tree, what: &str, out: &mut Diagnostics) -> Option<Spanned<T>> {
    let Kind::Scalar { text, plain: true } = &tree.kind else { return wrong(tree, what, "a whole number", out) };
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return wrong(tree, what, "a whole number", out);
    }
    if text.len() > 1 && text.starts_with('0') {
        let message = format!("{what}: `{}` starts with 0", quote(text));
        let d = Diagnostic::error(code::WRONG_TYPE, message).at(tree.span);
        out.push(d.hint("YAML 1.1 reads this as octal and YAML 1.2 as decimal; write it without the 0"));
        return None;
    }
    match text.parse::<u64>().ok().and_then(|n| T::try_from(n).ok()) {
        Some(value) => Some(Spanned { value, span: tree.span }),
        None => {
            out.push(Diagnostic::error(code::BAD_VALUE, format!("{what}: {} is too large", quote(text))).at(tree.span));
            None
        }
    }
}

/// `true` or `false`.
pub fn boolean(tree: &Tree, what: &str, out: &mut Diagnostics) -> Option<Spanned<bool>> {
    let Kind::Scalar { text, plain: true } = &tree.kind else { return wrong(tree, what, "`true` or `false`", out) };
    match &**text {
        "true" | "True" | "TRUE" => Some(Spanned { value: true, span: tree.span }),
        "false" | "False" | "FALSE" => Some(Spanned { value: false, span: tree.span }),
        _ => wrong(tree, what, "`true` or `false`", out),
    }
}

/// A list.
pub fn list<'t>(tree: &'t Tree, what: &str, out: &mut Diagnostics) -> Option<&'t [Tree]> {
    match &tree.kind {
        Kind::Seq(items) => Some(items),
        _ => wrong(tree, what, "a list", out),
    }
}

/// A map.
pub fn entries<'t>(tree: &'t Tree, what: &str, out: &mut Diagnostics) -> Option<&'t [Entry]> {
    match &tree.kind {
        Kind::Map(entries) => Some(entries),
        _ => wrong(tree, what, "a map", out),
    }
}

fn wrong<T>(tree: &Tree, what: &str, expected: &str, out: &mut Diagnostics) -> Option<T> {
    let what = if what.is_empty() { "the file" } else { what };
    let mut d = Diagnostic::error(code::WRONG_TYPE, format!("{what} must be {expected}")).at(tree.span);
    d = d.label(format!("this is {}", tree.describe()));
    if expected.starts_with("`true`")
        && let Kind::Scalar { text, .. } = &tree.kind
    {
        d = match text.to_lowercase().as_str() {
            "yes" | "on" | "y" => d.hint("YAML 1.2 knows only `true` and `false`: write `true`"),
            "no" | "off" | "n" => d.hint("YAML 1.2 knows only `true` and `false`: write `false`"),
            _ => d,
        };
    }
    out.push(d);
    None
}
