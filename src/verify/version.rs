//! Version rules of a policy: exact strings, or ranges such as `>=570.124.06,<571`. It compares; it never guesses what a vendor meant.

use std::cmp::Ordering;

/// One entry of a policy's version list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRule {
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Exactly this string, without case.
    Exact(String),
    /// All of these.
    Range(Vec<(Op, String)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
}

/// Why an entry of a version list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading the version rule `{rule}`: {why}")]
pub struct VersionRuleError {
    /// The entry, escaped.
    pub rule: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl VersionRule {
    /// Reads one entry. An entry that begins with `<`, `>` or `=` is a range of clauses separated by commas; anything else is an exact
    /// version, commas included (`1.7.0, 4dfed1852e7b` is how FuriosaAI writes one).
    ///
    /// # Errors
    /// [`VersionRuleError`] when a clause has no operator or no version.
    pub fn parse(rule: &str) -> Result<Self, VersionRuleError> {
        let bad = |why| VersionRuleError { rule: super::read::shown(rule), why };
        let trimmed = rule.trim();
        if trimmed.is_empty() {
            return Err(bad("it is empty"));
        }
        if !trimmed.starts_with(['<', '>', '=']) {
            return Ok(Self { kind: Kind::Exact(trimmed.to_ascii_lowercase()) });
        }
        let mut clauses = Vec::new();
        for clause in trimmed.split(',') {
            let clause = clause.trim();
            let (op, version) = [("<=", Op::Le), (">=", Op::Ge), ("==", Op::Eq), ("<", Op::Lt), (">", Op::Gt), ("=", Op::Eq)]
                .into_iter()
                .find_map(|(sign, op)| Some((op, clause.strip_prefix(sign)?)))
                .ok_or_else(|| bad("every clause of a range begins with <, <=, >, >= or ="))?;
            let version = version.trim();
            if !version.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(bad("a clause of a range names a version that begins with a digit"));
            }
            clauses.push((op, version.to_owned()));
        }
        Ok(Self { kind: Kind::Range(clauses) })
    }

    /// True when the version satisfies the rule. A version that does not begin with a digit is in no range.
    #[must_use]
    pub fn allows(&self, version: &str) -> bool {
        let version = version.trim();
        match &self.kind {
            Kind::Exact(wanted) => version.eq_ignore_ascii_case(wanted),
            Kind::Range(_) if !version.starts_with(|c: char| c.is_ascii_digit()) => false,
            Kind::Range(clauses) => clauses.iter().all(|(op, bound)| {
                let order = compare(version, bound);
                match op {
                    Op::Lt => order == Ordering::Less,
                    Op::Le => order != Ordering::Greater,
                    Op::Gt => order == Ordering::Greater,
                    Op::Ge => order != Ordering::Less,
                    Op::Eq => order == Ordering::Equal,
                }
            }),
        }
    }
}

/// Compares piece by piece: numbers by value (of any length), words by letters, a number above a word; missing pieces count as zero.
/// What follows a `+` or a space is a build mark and does not count (Semantic Versioning 2.0.0 §10).
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let pieces = |s: &str| -> Vec<String> {
        let core = s.split(['+', ' ', ',']).next().unwrap_or("");
        core.split(['.', '-', '_', ':']).map(str::to_ascii_lowercase).collect()
    };
    let (a, b) = (pieces(a), pieces(b));
    for i in 0..a.len().max(b.len()) {
        let zero = "0".to_owned();
        let order = piece(a.get(i).unwrap_or(&zero), b.get(i).unwrap_or(&zero));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn piece(a: &str, b: &str) -> Ordering {
    let number = |s: &str| !s.is_empty() && s.bytes().all(|c| c.is_ascii_digit());
    match (number(a), number(b)) {
        (true, true) => {
            let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        }
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_and_ranges() {
        let allows = |rule: &str, version: &str| VersionRule::parse(rule).unwrap().allows(version);
        assert!(allows("580.105.08", "580.105.08"));
        assert!(!allows("580.105.08", "580.105.8"), "an exact rule is about the string");
        assert!(allows("1.7.0, 4dfed1852e7b", "1.7.0, 4dfed1852e7b"));
        for (version, inside) in [
            ("570.124.06", true),
            ("570.124.6", true),
            ("570.200", true),
            ("570.124.05", false),
            ("571", false),
            ("571.0.1", false),
        ] {
            assert_eq!(allows(">=570.124.06,<571", version), inside, "{version}");
        }
        assert!(!allows(">=1", "N/A") && !allows(">=1", ""));
        for bad in ["", "  ", ">=", ">=1,2", ">=a", "<1,,>0"] {
            assert!(VersionRule::parse(bad).is_err(), "{bad:?}");
        }
    }
}
