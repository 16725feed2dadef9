//! The same mistake at one place in the files, met by many nodes: told once, with the first node and the count.

use std::collections::BTreeMap;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::range::fold;
use super::source::Span;

/// Longest list of nodes that is written out, in characters.
const LONGEST: usize = 120;

#[derive(Debug)]
struct Group {
    message: String,
    also: Option<(Span, String)>,
    nodes: Vec<String>,
}

/// Mistakes by code and place.
#[derive(Debug, Default)]
pub struct Grouped {
    groups: BTreeMap<(&'static str, Span, Option<Span>), Group>,
}

impl Grouped {
    /// One node's mistake. The message of the first node of a group stands for all.
    pub fn add(&mut self, code: &'static str, span: Span, node: &str, message: impl FnOnce() -> String) {
        self.pair(code, span, None, node, message);
    }

    /// The same with a second place.
    pub fn pair(
        &mut self,
        code: &'static str,
        span: Span,
        also: Option<(Span, String)>,
        node: &str,
        message: impl FnOnce() -> String,
    ) {
        let key = (code, span, also.as_ref().map(|(s, _)| *s));
        let group = self.groups.entry(key).or_insert_with(|| Group { message: message(), also, nodes: Vec::new() });
        group.nodes.push(node.to_owned());
    }

    /// Tells them.
    pub fn tell(self, out: &mut Diagnostics) {
        for ((code, span, _), group) in self.groups {
            let label = if group.nodes.len() == 1 { String::new() } else { listed(&group.nodes) };
            let mut d = Diagnostic::error(code, group.message).at(span).label(label);
            if let Some((other, label)) = group.also
                && other != span
            {
                d = d.also(other, label);
            }
            out.push(d);
        }
    }
}

/// `3 nodes: a001-s[01-03]`, cut when it is long.
pub(super) fn listed(nodes: &[String]) -> String {
    let folded = fold(nodes.iter().map(String::as_str));
    let cut: String = folded.chars().take(LONGEST).collect();
    let dots = if cut.len() < folded.len() { "…" } else { "" };
    format!("{} node{}: {cut}{dots}", nodes.len(), if nodes.len() == 1 { "" } else { "s" })
}
