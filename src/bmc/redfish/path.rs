//! Links that a BMC gave, made safe to ask for: a path and query on the same BMC, nothing else. Never a host, never a fragment.

/// Longest link that is followed, in bytes. The longest in the captured trees is under 200.
const LONGEST: usize = 2_048;

/// Takes a link apart: `(authority, path with query)`. The authority is there only when the link is absolute.
pub(super) fn split(link: &str) -> Result<(Option<&str>, String), &'static str> {
    if link.len() > LONGEST {
        return Err("the link is longer than 2048 bytes");
    }
    if link.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err("the link holds spaces, control or non-ASCII characters");
    }
    let (authority, rest) = match link.split_once("://") {
        Some((scheme, rest)) if matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") => match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        },
        _ if link.starts_with("//") => {
            // `//Systems/1` is a doubled slash on every BMC seen, never a network-path reference.
            ("", link)
        }
        _ => ("", link),
    };
    // A first slash forgotten: seen in `Location` headers (RC-15).
    let slashed = rest.starts_with("redfish/").then(|| format!("/{rest}"));
    let rest = slashed.as_deref().unwrap_or(rest);
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    if !rest.starts_with('/') {
        return Err("the link is not an absolute path");
    }
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    if path.split('/').any(|part| part == "." || part == "..") {
        return Err("the link holds `.` or `..`");
    }
    let mut out = String::with_capacity(rest.len());
    for c in path.chars() {
        if !(c == '/' && out.ends_with('/')) {
            out.push(c);
        }
    }
    if let Some(query) = query {
        out.push('?');
        out.push_str(query);
    }
    Ok((Some(authority).filter(|a| !a.is_empty()), out))
}

/// Takes a link apart that may be written from where the client stands (RFC 3986 §5.2): `Sessions/3` in the answer to a POST to
/// `/redfish/v1/SessionService/Sessions`. `.` and `..` are not followed.
pub(super) fn resolve<'a>(from: &str, link: &'a str) -> Result<(Option<&'a str>, String), &'static str> {
    if link.is_empty() || link.starts_with('/') || link.starts_with("redfish/") || link.contains("://") {
        return split(link);
    }
    let folder = from.split_once('?').map_or(from, |(path, _)| path);
    let folder = folder.rfind('/').map_or("/", |at| folder.get(..=at).unwrap_or("/"));
    split(&format!("{folder}{link}")).map(|(_, path)| (None, path))
}

/// The path and query of a link that a resource holds; the host in it, if any, is dropped.
pub(super) fn local(link: &str) -> Result<String, &'static str> {
    split(link).map(|(_, path)| path)
}

/// True when two paths name the same resource: a trailing slash is optional (DSP0266 §6.5).
pub(super) fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

/// The last segment, which is the resource's id by convention only; for messages, never for choosing a path.
pub(super) fn last(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_keep_path_and_query_only() {
        for (given, want) in [
            ("/redfish/v1/Systems/1", "/redfish/v1/Systems/1"),
            ("/redfish/v1//Systems//1/", "/redfish/v1/Systems/1/"),
            ("//redfish/v1/Systems", "/redfish/v1/Systems"),
            ("https://10.0.0.9:8443/redfish/v1/TaskService/Tasks/1?x=1#/a", "/redfish/v1/TaskService/Tasks/1?x=1"),
            ("http://elsewhere", "/"),
            ("/redfish/v1/Chassis/1/Power#/PowerSupplies/0", "/redfish/v1/Chassis/1/Power"),
        ] {
            assert_eq!(local(given), Ok(want.to_owned()), "{given}");
        }
        for bad in ["", "Systems/1", "/a b", "/a\r\nHost: x", "/ü", "/redfish/../etc/passwd", "ftp://x/y", &"/a".repeat(2_000)] {
            assert!(local(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn links_may_be_written_from_where_the_client_stands() {
        let from = "/redfish/v1/SessionService/Sessions";
        for (given, want) in [
            ("Sessions/3", "/redfish/v1/SessionService/Sessions/3"),
            ("3?x=1", "/redfish/v1/SessionService/3?x=1"),
            ("redfish/v1/TaskService/Tasks/0", "/redfish/v1/TaskService/Tasks/0"),
            ("/redfish/v1/x", "/redfish/v1/x"),
            ("http://192.0.2.1:8123/redfish/v1/x/", "/redfish/v1/x/"),
            ("https://[fe80::1%25eth0]:443/redfish/v1/x", "/redfish/v1/x"),
        ] {
            assert_eq!(resolve(from, given).map(|(_, path)| path), Ok(want.to_owned()), "{given}");
        }
        assert!(resolve(from, "../x").is_err() && resolve(from, "").is_err() && resolve(from, "a b").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_safe_path_or_an_error(link in ".{0,80}") {
            if let Ok((_, path)) = resolve("/redfish/v1/x", &link) {
                proptest::prop_assert!(path.starts_with('/') && !path.starts_with("//"));
            }
            if let Ok(path) = local(&link) {
                proptest::prop_assert!(path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()));
                proptest::prop_assert!(!path.starts_with("//"));
            }
        }
    }
}
