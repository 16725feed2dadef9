//! Patterns of paths: `*` stands for any letters but `/`, `**` for any; nothing else is special. Pure.

/// True when the whole path fits the pattern. Time grows with the product of both lengths at most.
pub(super) fn fits(pattern: &str, path: &str) -> bool {
    // One row a sign of the pattern: which beginnings of the path fit it so far.
    let path = path.as_bytes();
    let mut reach = vec![false; path.len() + 1];
    if let Some(first) = reach.first_mut() {
        *first = true;
    }
    let mut rest = pattern.as_bytes();
    while let Some((&sign, after)) = rest.split_first() {
        let deep = sign == b'*' && after.first() == Some(&b'*');
        rest = if deep { after.get(1..).unwrap_or_default() } else { after };
        let mut next = vec![false; reach.len()];
        let mut before = false;
        for (i, slot) in next.iter_mut().enumerate() {
            let letter = i.checked_sub(1).and_then(|k| path.get(k));
            let came = i.checked_sub(1).and_then(|k| reach.get(k)).copied().unwrap_or(false);
            *slot = if sign == b'*' {
                reach.get(i).copied().unwrap_or(false) || (before && (deep || letter != Some(&b'/')))
            } else {
                came && letter == Some(&sign)
            };
            before = *slot;
        }
        reach = next;
    }
    reach.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_stop_at_folders_and_double_stars_do_not() {
        for (pattern, path, want) in [
            ("bin/busybox", "bin/busybox", true),
            ("bin/busybox", "bin/busybox2", false),
            ("usr/lib/*/libz.so.1*", "usr/lib/x86_64-linux-gnu/libz.so.1.2.13", true),
            ("usr/lib/*/libz.so.1*", "usr/lib/x86_64-linux-gnu/sub/libz.so.1", false),
            ("usr/lib/*", "usr/lib/a/b", false),
            ("usr/lib/**", "usr/lib/a/b", true),
            ("**", "a/b/c", true),
            ("**/c", "a/b/c", true),
            ("*", "", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXc", false),
        ] {
            assert_eq!(fits(pattern, path), want, "{pattern} {path}");
        }
        assert!(!fits(&"*a".repeat(100), &"b".repeat(4000)));
    }
}
