//! A multipart body (RFC 7578) taken apart, strictly. Own code: the product's builder is what it is to judge.

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its name.
    pub name: String,
    /// Its file name.
    pub file: Option<String>,
    /// Its media type.
    pub kind: Option<String>,
    /// What it holds.
    pub body: &'a [u8],
}

/// Most parts of one body.
const MOST: usize = 16;

/// Takes a body apart. The error says what is wrong with it.
pub fn parts<'a>(content_type: &str, body: &'a [u8]) -> Result<Vec<Part<'a>>, &'static str> {
    let (kind, rest) = content_type.split_once(';').ok_or("no boundary")?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err("not multipart/form-data");
    }
    let boundary = rest.split(';').find_map(|p| p.trim().strip_prefix("boundary=")).ok_or("no boundary")?.trim_matches('"');
    if boundary.is_empty() || boundary.len() > 70 {
        return Err("a boundary has 1 to 70 characters");
    }
    let between = format!("\r\n--{boundary}").into_bytes();
    let first = between.get(2..).unwrap_or_default();
    let mut rest = body.strip_prefix(first).ok_or("the body does not begin with its boundary")?;
    let mut found = Vec::new();
    loop {
        if rest == b"--\r\n" || rest == b"--" {
            return Ok(found);
        }
        rest = rest.strip_prefix(b"\r\n").ok_or("no line end after a boundary")?;
        let head_end = position(rest, b"\r\n\r\n").ok_or("a part without a head")?;
        let (head, after) = rest.split_at(head_end);
        let after = after.get(4..).unwrap_or_default();
        let end = position(after, &between).ok_or("a part without an end")?;
        let (inner, next) = after.split_at(end);
        found.push(part(head, inner)?);
        if found.len() > MOST {
            return Err("too many parts");
        }
        rest = next.get(between.len()..).unwrap_or_default();
    }
}

fn part<'a>(head: &[u8], body: &'a [u8]) -> Result<Part<'a>, &'static str> {
    let head = std::str::from_utf8(head).map_err(|_| "a head that is not UTF-8")?;
    let header = |name: &str| {
        head.split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.trim())
    };
    let disposition = header("content-disposition").ok_or("a part without Content-Disposition")?;
    let word = |name: &str| {
        let quoted = disposition.split(';').find_map(|p| p.trim().strip_prefix(name)?.strip_prefix("=\""))?;
        quoted.strip_suffix('"').map(str::to_owned)
    };
    let name = word("name").ok_or("a part without a name")?;
    Ok(Part { name, file: word("filename"), kind: header("content-type").map(str::to_owned), body })
}

fn position(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_taken_apart() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Type: application/json\r\n\r\n{}\r\n\
            --B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.bin\"\r\n\r\n\r\n--\r\n\r\n--B--\r\n";
        let found = parts("multipart/form-data; boundary=B", body).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].name.as_str(), found[0].kind.as_deref(), found[0].body),
            ("a", Some("application/json"), &b"{}"[..])
        );
        assert_eq!((found[1].file.as_deref(), found[1].body), (Some("x.bin"), &b"\r\n--\r\n"[..]));
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_parts_or_an_error(kind in ".{0,60}", body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            drop(parts(&kind, &body));
            drop(parts("multipart/form-data; boundary=-", &body));
        }
    }
}
