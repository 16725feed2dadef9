//! One byte range of a file (RFC 9110 §14). Several ranges in one request are answered with the whole file, which the RFC allows.

/// What to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// From this byte, so many bytes; never empty.
    Slice(u64, u64),
    /// Nothing in the range: 416.
    Outside,
}

/// Reads a `Range` header against a file's length.
pub(super) fn part(header: Option<&str>, length: u64) -> Part {
    let Some(spec) = header.and_then(|h| h.strip_prefix("bytes=")) else { return Part::Whole };
    let Some((first, last)) = spec.split_once('-') else { return Part::Whole };
    let number = |text: &str| -> Option<u64> {
        // `parse` alone would take a leading `+`.
        if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
    };
    match (first.is_empty(), last.is_empty()) {
        (true, false) => match number(last) {
            None => Part::Whole,
            Some(0) => Part::Outside,
            Some(_) if length == 0 => Part::Outside,
            Some(n) => Part::Slice(length.saturating_sub(n), n.min(length)),
        },
        (false, _) => match (number(first), if last.is_empty() { Some(u64::MAX) } else { number(last) }) {
            (Some(from), Some(to)) if from <= to => {
                if from >= length {
                    Part::Outside
                } else {
                    Part::Slice(from, (to.min(length - 1) - from) + 1)
                }
            }
            _ => Part::Whole,
        },
        (true, true) => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_of_the_rfc() {
        assert_eq!(part(None, 10), Part::Whole);
        assert_eq!(part(Some("bytes=0-3"), 10), Part::Slice(0, 4));
        assert_eq!(part(Some("bytes=4-"), 10), Part::Slice(4, 6));
        assert_eq!(part(Some("bytes=-3"), 10), Part::Slice(7, 3));
        assert_eq!(part(Some("bytes=-30"), 10), Part::Slice(0, 10));
        assert_eq!(part(Some("bytes=9-99"), 10), Part::Slice(9, 1));
        assert_eq!(part(Some("bytes=10-"), 10), Part::Outside);
        assert_eq!(part(Some("bytes=-0"), 10), Part::Outside);
        assert_eq!(part(Some("bytes=5-1"), 10), Part::Whole);
        assert_eq!(part(Some("bytes=0-1,3-4"), 10), Part::Whole);
        assert_eq!(part(Some("bytes=0-"), 0), Part::Outside);
    }

    proptest! {
        #[test]
        fn a_slice_lies_inside_the_file(text in "(bytes=)?[0-9+,-]{0,24}", length: u64) {
            if let Part::Slice(from, count) = part(Some(&text), length) {
                prop_assert!(count > 0 && from.checked_add(count).is_some_and(|end| end <= length));
            }
        }
    }
}
