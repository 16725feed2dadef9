//! Names by pattern: `*` for any run of characters, `?` for one, `|` between alternatives. Capitals do not count: makers write their own names
//! in several ways.

/// A pattern, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    written: String,
    alternatives: Vec<Vec<char>>,
}

/// Longest pattern; the work of a match grows with it.
const LONGEST: usize = 256;

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is empty, an alternative is, or it is longer than 256 bytes.
    pub fn new(written: &str) -> Result<Self, String> {
        if written.len() > LONGEST {
            return Err(format!("the pattern is longer than {LONGEST} bytes"));
        }
        let alternatives: Vec<Vec<char>> =
            written.split('|').map(|one| one.trim().chars().flat_map(char::to_lowercase).collect()).collect();
        if alternatives.iter().any(Vec::is_empty) {
            return Err(format!("the pattern `{}` has an empty alternative", written.escape_debug()));
        }
        Ok(Self { written: written.to_owned(), alternatives })
    }

    /// True when the whole of `text` fits.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let text: Vec<char> = text.trim().chars().flat_map(char::to_lowercase).collect();
        self.alternatives.iter().any(|one| fits(one, &text))
    }
}

impl std::fmt::Display for Glob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.written)
    }
}

/// Goes back to the last `*` only, so that the work is at most pattern × text.
fn fits(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || text.get(t) == Some(c) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_none_or(|rest| rest.iter().all(|c| *c == '*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, text, want) in [
            ("Dell*", "Dell Inc.", true),
            ("dell*", "DELL", true),
            ("DGXH100|DGXH200", "DGXH200", true),
            ("DGXH100 | DGXH200", "DGXH300", false),
            ("iLO 5", "iLO 5 v2.72", false),
            ("iLO ? v*", "iLO 5 v2.72", true),
            ("*X13*", "X13DEG-OAD", true),
            ("*a*b*c", "xxaxxbxxbc", true),
            ("*a*b*c", "xxaxxbxxbcd", false),
            ("*", "", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().fits(text), want, "{pattern} {text}");
        }
        for bad in ["", "a|", "|a", &"x".repeat(300)] {
            assert!(Glob::new(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_ends(pattern in "[ab*?|]{0,40}", text in "[ab]{0,60}") {
            if let Ok(glob) = Glob::new(&pattern) { let _ = glob.fits(&text); }
        }
    }
}
