//! YAML 1.2 text to a tree in which every value knows where it stands. Scalars stay text: `010`, `no`, `1e3` and `52:54:00:12:34:56`
//! mean what the reader of the field says, never what YAML 1.1 guessed. Refused: duplicate keys, tags, merge keys, several documents,
//! deep nesting and alias bombs. The parser is granit-parser, as re-exported by serde-saphyr; the tree is built on an explicit stack.

use std::collections::HashMap;
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span as RawSpan, Tag};

use super::code;
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::source::{FileId, Span};

/// Deepest nesting; the deepest schema here has 7 levels.
const MAX_DEPTH: usize = 64;
/// Most nodes after aliases are followed. The largest honest file (12,500 nodes spelt out) has 600,000.
const MAX_NODES: usize = 10_000_000;

/// A value and where it stands. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Where: the scalar, or the start of the list or map.
    pub span: Span,
    /// What.
    pub kind: Kind,
}

/// The three kinds of YAML values.
#[derive(Debug, Clone)]
pub enum Kind {
    /// One value as text; `plain` when it was written without quotes.
    Scalar {
        /// The text, quotes and escapes resolved.
        text: Arc<str>,
        /// Written without quotes.
        plain: bool,
    },
    /// A list.
    Seq(Arc<[Tree]>),
    /// A map, in the order of the file, each key once.
    Map(Arc<[Entry]>),
}

/// One line of a map.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key as text.
    pub key: Arc<str>,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub value: Tree,
}

impl Tree {
    /// True for an unquoted nothing, `~` or `null` (YAML 1.2 core schema, §10.3.2).
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, for messages.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar { .. } if self.is_null() => "nothing",
            Kind::Scalar { plain: true, .. } => "a plain value",
            Kind::Scalar { plain: false, .. } => "a quoted string",
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

enum Open {
    Seq { span: Span, anchor: usize, items: Vec<Tree>, size: usize },
    Map { span: Span, anchor: usize, entries: Vec<Entry>, seen: HashMap<Arc<str>, Span>, key: Option<Tree>, size: usize },
}

struct Builder<'d> {
    file: FileId,
    out: &'d mut Diagnostics,
    open: Vec<Open>,
    anchors: HashMap<usize, (Tree, usize)>,
    nodes: usize,
    root: Option<Tree>,
    documents: usize,
}

/// Parses one text. Mistakes go to `out`; after a syntax error nothing is returned, since the rest of the text cannot be understood.
pub fn parse(file: FileId, out: &mut Diagnostics) -> Option<Tree> {
    let text = out.sources.text(file);
    let mut builder = Builder { file, out, open: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None, documents: 0 };
    for next in Parser::new_from_str(&text) {
        let step = match next {
            Ok((event, span)) => builder.event(event, span),
            Err(e) => {
                let start = e.marker().byte_offset().unwrap_or(e.marker().index()).min(text.len());
                let message = format!("this is not YAML: {}", quote(&e.info()));
                Err(Box::new(Diagnostic::error(code::SYNTAX, message).at(Span::new(file, start, start))))
            }
        };
        if let Err(diagnostic) = step {
            builder.out.push(*diagnostic);
            return None;
        }
    }
    let root = builder.root.take();
    if root.is_none() {
        out.push(Diagnostic::error(code::SYNTAX, "the file holds no document").at(Span::new(file, 0, 0)));
    }
    root
}

/// Boxed, so that the way without mistakes stays light.
type Step<T = ()> = Result<T, Box<Diagnostic>>;

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, raw: RawSpan) -> Step {
        let range = raw.byte_range().unwrap_or(raw.start.index()..raw.end.index());
        let span = Span::new(self.file, range.start, range.end);
        let refused = |message: &str| Box::new(Diagnostic::error(code::REFUSED_YAML, message).at(span));
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let second = refused("a second document starts here");
                    return Err(Box::new(second.hint("put it into a file of its own")));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !self.check_tag(tag.as_deref(), span)?;
                self.place(Tree { span, kind: Kind::Scalar { text: Arc::from(&*text), plain } }, anchor, 1)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), span)?;
                self.deeper(Open::Seq { span, anchor, items: Vec::new(), size: 1 })
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), span)?;
                self.deeper(Open::Map { span, anchor, entries: Vec::new(), seen: HashMap::new(), key: None, size: 1 })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::Seq { span, anchor, items, size }) => {
                    self.place(Tree { span, kind: Kind::Seq(items.into()) }, anchor, size)
                }
                Some(Open::Map { span, anchor, entries, size, .. }) => {
                    self.place(Tree { span, kind: Kind::Map(entries.into()) }, anchor, size)
                }
                None => Err(refused("this closes what was never opened")),
            },
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some((tree, size)) => self.place(tree, 0, size),
                None => Err(refused("this alias refers to itself")),
            },
            _ => Ok(()),
        }
    }

    /// Only `!!str` (which forces a string) and the tags that say what is so anyway are taken. True when it forces a string.
    fn check_tag(&self, tag: Option<&Tag>, span: Span) -> Step<bool> {
        match tag.map(|t| (t.core_suffix(), t.original())) {
            None | Some((Some("map" | "seq"), _)) => Ok(false),
            Some((Some("str"), _)) => Ok(true),
            Some((_, name)) => {
                let d = Diagnostic::error(code::REFUSED_YAML, format!("the tag `{}` is not taken", quote(&name))).at(span);
                Err(Box::new(d.hint("write plain values; each field knows its own type")))
            }
        }
    }

    fn deeper(&mut self, open: Open) -> Step {
        let (Open::Seq { span, .. } | Open::Map { span, .. }) = &open;
        if self.open.len() >= MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            return Err(Box::new(Diagnostic::error(code::REFUSED_YAML, message).at(*span)));
        }
        self.open.push(open);
        Ok(())
    }

    fn place(&mut self, tree: Tree, anchor: usize, size: usize) -> Step {
        self.nodes = self.nodes.saturating_add(size);
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values once aliases are followed");
            return Err(Box::new(Diagnostic::error(code::REFUSED_YAML, message).at(tree.span)));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (tree.clone(), size));
        }
        match self.open.last_mut() {
            None => self.root = Some(tree),
            Some(Open::Seq { items, size: total, .. }) => {
                *total = total.saturating_add(size);
                items.push(tree);
            }
            Some(Open::Map { entries, seen, key, size: total, .. }) => {
                *total = total.saturating_add(size);
                let Some(name) = key.take() else {
                    *key = Some(tree);
                    return Ok(());
                };
                let Kind::Scalar { text, .. } = name.kind else {
                    let message = "a key must be a single value, not a list or a map";
                    self.out.push(Diagnostic::error(code::WRONG_TYPE, message).at(name.span));
                    return Ok(());
                };
                if &*text == "<<" {
                    let message = "merge keys belong to YAML 1.1 and are not taken";
                    let hint = "profiles have `inherits`; elsewhere write the values out";
                    self.out.push(Diagnostic::error(code::REFUSED_YAML, message).at(name.span).hint(hint));
                } else if let Some(first) = seen.get(&text) {
                    let message = format!("the key `{}` is written twice", quote(&text));
                    let twice = Diagnostic::error(code::DUPLICATE_KEY, message).at(name.span).label("second");
                    self.out.push(twice.also(*first, "first"));
                } else {
                    seen.insert(Arc::clone(&text), name.span);
                    entries.push(Entry { key: text, key_span: name.span, value: tree });
                }
            }
        }
        Ok(())
    }
}
