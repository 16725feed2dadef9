//! Firmware versions. They do not compare in general: `0.112` and `0.1C`, iDRAC10 that began again at 1.x (firmware.md §2.4). So a range names
//! its family by a pattern, and two versions compare only when they are built alike.

use std::cmp::Ordering;

use super::glob::Glob;

/// A family of versions, and a stretch of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// What its versions look like.
    pub like: Glob,
    /// The first one meant.
    pub from: Option<String>,
    /// The first one after those that are meant.
    pub below: Option<String>,
}

impl Family {
    /// Reads a family.
    ///
    /// # Errors
    /// A bound is not of the family, or the bounds do not compare or are the wrong way round.
    pub fn new(like: &str, from: Option<&str>, below: Option<&str>) -> Result<Self, String> {
        let like = Glob::new(like)?;
        for bound in [from, below].into_iter().flatten() {
            if !like.fits(bound) {
                return Err(format!("`{}` is not of the family `{like}`", bound.escape_debug()));
            }
        }
        if let (Some(from), Some(below)) = (from, below) {
            match compare(from, below) {
                Some(Ordering::Less) => {}
                Some(_) => return Err(format!("`{from}` does not come before `{below}`")),
                None => return Err(format!("`{from}` and `{below}` are not built alike, so that nothing is between them")),
            }
        }
        Ok(Self { like, from: from.map(str::to_owned), below: below.map(str::to_owned) })
    }

    /// Whether `version` is meant. The error says why that cannot be told: it is of the family, yet built otherwise than a bound.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn holds(&self, version: &str) -> Result<bool, String> {
        if !self.like.fits(version) {
            return Ok(false);
        }
        let order = |bound: &str| {
            compare(version, bound).ok_or_else(|| format!("`{}` does not compare with `{bound}`", version.escape_debug()))
        };
        let late = self.from.as_deref().map(order).transpose()?.is_none_or(Ordering::is_ge);
        let early = self.below.as_deref().map(order).transpose()?.is_none_or(Ordering::is_lt);
        Ok(late && early)
    }
}

/// A run of digits or of anything else.
#[derive(Debug, PartialEq, Eq)]
enum Run<'a> {
    Number(u64),
    Word(&'a str),
}

/// The runs of a version; `None` when a number is too long to be one.
fn runs(text: &str) -> Option<Vec<Run<'_>>> {
    let mut runs = Vec::new();
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        runs.push(if digits { Run::Number(run.parse().ok()?) } else { Run::Word(run) });
        rest = after;
    }
    Some(runs)
}

/// Compares two versions that are built alike: the same runs of letters between as many numbers. `None`: they do not compare.
fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (runs(a)?, runs(b)?);
    if a.len() != b.len() {
        return None;
    }
    let mut order = Ordering::Equal;
    for pair in a.iter().zip(&b) {
        match pair {
            (Run::Number(a), Run::Number(b)) => order = order.then(a.cmp(b)),
            // Letters before the numbers differ decide nothing; after they differ they must still be the same build.
            (Run::Word(a), Run::Word(b)) if a.eq_ignore_ascii_case(b) => {}
            _ => return None,
        }
    }
    Some(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_only_when_built_alike() {
        for (a, b, want) in [
            ("7.10.50.00", "7.10.50.00", Some(Ordering::Equal)),
            ("7.10.50.00", "7.9.50.00", Some(Ordering::Greater)),
            ("iLO 5 v2.72", "iLO 5 v2.9", Some(Ordering::Greater)),
            ("0.112", "0.1C", None),
            ("0.112", "0x00 0x0b", None),
            ("1.2", "1.2.0", None),
            ("HGX-22.10-1-rc57", "HGX-22.10-1-rc60", Some(Ordering::Less)),
            ("HGX-22.10-1", "GB200Nvl-25.07-7", None),
            ("99999999999999999999999", "1", None),
        ] {
            assert_eq!(compare(a, b), want, "{a} {b}");
            assert_eq!(compare(b, a), want.map(Ordering::reverse), "{b} {a}");
        }
    }

    #[test]
    fn a_range_stays_inside_its_family() {
        let family = Family::new("7.*", Some("7.00.00.00"), Some("7.10.30.00")).unwrap();
        assert_eq!(family.holds("7.10.29.00"), Ok(true));
        assert_eq!(family.holds("7.10.30.00"), Ok(false));
        // iDRAC10 began again at 1.x: not older, another family.
        assert_eq!(family.holds("1.20.50.50"), Ok(false));
        assert!(family.holds("7.10").unwrap_err().contains("does not compare"));
        assert!(Family::new("7.*", Some("6.0"), None).is_err());
        assert!(Family::new("7.*", Some("7.2"), Some("7.1")).is_err());
        assert!(Family::new("7.*", Some("7.2"), Some("7.2.1")).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_versions_compare_both_ways(a in ".{0,24}", b in ".{0,24}") {
            proptest::prop_assert_eq!(compare(&a, &b), compare(&b, &a).map(Ordering::reverse));
        }
    }
}
