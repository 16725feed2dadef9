//! Name patterns: `a[001-275]`, `a[1-9,12]-s[01-04]`, `a*-s0?`. They are matched against names or, without wildcards, written out; and
//! names are folded back into them for people.

use std::collections::{BTreeMap, BTreeSet};

/// Most names that one pattern may stand for.
pub const MAX_NAMES: usize = 200_000;
/// Longest pattern; eight times the longest name.
const MAX_PATTERN: usize = 512;

/// Why a pattern cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct RangeError {
    /// Byte in the pattern.
    pub at: usize,
    /// What is wrong there.
    pub why: String,
}

fn bad(at: usize, why: impl Into<String>) -> RangeError {
    RangeError { at, why: why.into() }
}

/// A pattern for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// Numbers from–to, each with the digits to which it is padded (0: not padded).
    Numbers(Vec<(u64, u64, usize)>),
    Star,
    One,
}

impl std::str::FromStr for Pattern {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        if text.is_empty() {
            return Err(bad(0, "the range is empty"));
        }
        if text.len() > MAX_PATTERN {
            return Err(bad(0, format!("the range is longer than {MAX_PATTERN} characters")));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let at = text.len() - rest.len();
            let used = match first {
                '*' => {
                    if parts.last() != Some(&Part::Star) {
                        parts.push(Part::Star);
                    }
                    1
                }
                '?' => {
                    parts.push(Part::One);
                    1
                }
                '[' => {
                    let end = rest.find(']').ok_or_else(|| bad(at, "`[` is never closed"))?;
                    parts.push(Part::Numbers(numbers(rest.get(1..end).unwrap_or(""), at + 1)?));
                    end + 1
                }
                ']' => return Err(bad(at, "`]` without `[`")),
                c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') => {
                    let end =
                        rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).unwrap_or(rest.len());
                    parts.push(Part::Literal(rest.get(..end).unwrap_or("").to_owned()));
                    end
                }
                c => return Err(bad(at, format!("`{}` cannot stand in a name", c.escape_debug()))),
            };
            rest = rest.get(used..).unwrap_or("");
        }
        Ok(Self { parts })
    }
}

/// The inside of brackets: `001-275,300`.
fn numbers(text: &str, base: usize) -> Result<Vec<(u64, u64, usize)>, RangeError> {
    let mut at = base;
    let mut all: Vec<(u64, u64, usize)> = Vec::new();
    for piece in text.split(',') {
        let (from, to) = piece.split_once('-').unwrap_or((piece, piece));
        let digits = |s: &str| !s.is_empty() && s.len() <= 15 && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(from) || !digits(to) {
            return Err(bad(at, "numbers such as `[001-275]` or `[1,3,5-9]` are expected in brackets"));
        }
        let (Ok(low), Ok(high)) = (from.parse::<u64>(), to.parse::<u64>()) else {
            return Err(bad(at, "the number is too large"));
        };
        if low > high {
            return Err(bad(at, format!("the range runs backwards, from {from} to {to}")));
        }
        let width = match (from.len() == to.len(), from.starts_with('0') && from.len() > 1) {
            (true, _) => from.len(),
            (false, false) => 0,
            (false, true) => return Err(bad(at, format!("`{from}` and `{to}` are padded to different widths"))),
        };
        if all.iter().any(|(l, h, w)| *w == width && low <= *h && *l <= high) {
            return Err(bad(at, format!("`{piece}` repeats numbers that the brackets hold already")));
        }
        all.push((low, high, width));
        at += piece.len() + 1;
    }
    Ok(all)
}

impl Pattern {
    /// True when it holds `*` or `?`, so that it can only be matched and not written out.
    #[must_use]
    pub fn has_wildcards(&self) -> bool {
        self.parts.iter().any(|p| matches!(p, Part::Star | Part::One))
    }

    /// True when it stands for `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if name.len() > MAX_PATTERN {
            return false;
        }
        // Every byte of the name at which the parts so far can end.
        let mut ends: BTreeSet<usize> = BTreeSet::from([0]);
        for part in &self.parts {
            let mut next = BTreeSet::new();
            for at in ends {
                let rest = name.get(at..).unwrap_or("");
                match part {
                    Part::Literal(text) if rest.starts_with(text.as_str()) => drop(next.insert(at + text.len())),
                    Part::Literal(_) => {}
                    Part::One => next.extend(rest.chars().next().map(|c| at + c.len_utf8())),
                    Part::Star => {
                        next.extend(rest.char_indices().map(|(i, _)| at + i));
                        next.insert(name.len());
                    }
                    Part::Numbers(ranges) => {
                        let run = rest.bytes().take(15).take_while(u8::is_ascii_digit).count();
                        for len in 1..=run {
                            let Some(Ok(n)) = rest.get(..len).map(str::parse::<u64>) else { continue };
                            let fits = |width: usize| if width == 0 { n.to_string().len() == len } else { width == len };
                            if ranges.iter().any(|(low, high, width)| (*low..=*high).contains(&n) && fits(*width)) {
                                next.insert(at + len);
                            }
                        }
                    }
                }
            }
            ends = next;
        }
        ends.contains(&name.len())
    }

    /// All names that it stands for, in order.
    ///
    /// # Errors
    /// It holds wildcards, or more than [`MAX_NAMES`] names.
    pub fn names(&self) -> Result<Vec<String>, RangeError> {
        let mut names = vec![String::new()];
        for part in &self.parts {
            names = match part {
                Part::Literal(text) => names.into_iter().map(|n| n + text).collect(),
                Part::Star | Part::One => return Err(bad(0, "wildcards cannot make names")),
                Part::Numbers(ranges) => {
                    let count = ranges.iter().fold(0u64, |sum, (l, h, _)| sum.saturating_add((h - l).saturating_add(1)));
                    if count.saturating_mul(names.len() as u64) > MAX_NAMES as u64 {
                        return Err(bad(0, format!("the range stands for more than {MAX_NAMES} names")));
                    }
                    let all = ranges.iter().flat_map(|(l, h, w)| (*l..=*h).map(move |n| format!("{n:0w$}", w = *w)));
                    let all: Vec<String> = all.collect();
                    names.iter().flat_map(|n| all.iter().map(move |number| format!("{n}{number}"))).collect()
                }
            };
        }
        Ok(names)
    }
}

/// Folds names back into patterns, joined by commas: `a[001-003]-s[01-02],b001-s01`. The same set always folds to the same text.
#[must_use]
pub fn fold<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    // Names of one shape (same words, same widths of numbers) fold together.
    let mut shapes: BTreeMap<Vec<(String, usize)>, BTreeSet<Vec<u64>>> = BTreeMap::new();
    for name in names {
        let (shape, numbers) = split(name);
        shapes.entry(shape).or_default().insert(numbers);
    }
    let folded: Vec<String> = shapes.iter().flat_map(|(shape, tuples)| fold_shape(shape, tuples)).collect();
    folded.join(",")
}

/// Words and numbers of a name: each word with the width of the number behind it (0 at the end).
fn split(name: &str) -> (Vec<(String, usize)>, Vec<u64>) {
    let (mut shape, mut numbers, mut word) = (Vec::new(), Vec::new(), String::new());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let run = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = rest.get(..run).filter(|r| !r.is_empty() && r.len() <= 15).and_then(|r| r.parse().ok());
        let used = match number {
            Some(n) => {
                shape.push((std::mem::take(&mut word), run));
                numbers.push(n);
                run
            }
            None => {
                let used = run.max(first.len_utf8());
                word.push_str(rest.get(..used).unwrap_or(""));
                used
            }
        };
        rest = rest.get(used..).unwrap_or("");
    }
    shape.push((word, 0));
    (shape, numbers)
}

fn fold_shape(shape: &[(String, usize)], tuples: &BTreeSet<Vec<u64>>) -> Vec<String> {
    let tail = shape.last().map_or("", |(word, _)| word.as_str());
    let mut folded: BTreeSet<(Vec<u64>, String)> = tuples.iter().map(|t| (t.clone(), tail.to_owned())).collect();
    for (word, width) in shape.iter().rev().skip(1) {
        let mut groups: BTreeMap<(Vec<u64>, String), BTreeSet<u64>> = BTreeMap::new();
        for (mut prefix, suffix) in folded {
            if let Some(last) = prefix.pop() {
                groups.entry((prefix, suffix)).or_default().insert(last);
            }
        }
        folded = groups
            .into_iter()
            .map(|((prefix, suffix), set)| (prefix, format!("{word}{}{suffix}", brackets(&set, *width))))
            .collect();
    }
    folded.into_iter().map(|(_, text)| text).collect()
}

fn brackets(set: &BTreeSet<u64>, width: usize) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for n in set {
        match runs.last_mut() {
            Some((_, high)) if high.checked_add(1) == Some(*n) => *high = *n,
            _ => runs.push((*n, *n)),
        }
    }
    let one = |(low, high): &(u64, u64)| {
        if low == high { format!("{low:0width$}") } else { format!("{low:0width$}-{high:0width$}") }
    };
    match runs.as_slice() {
        [(low, high)] if low == high => format!("{low:0width$}"),
        _ => format!("[{}]", runs.iter().map(one).collect::<Vec<_>>().join(",")),
    }
}
