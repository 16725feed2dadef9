//! Reads the head of a request (RFC 9112). Bounded, and strict where two readers could disagree about where a request ends.

use crate::boot::answer::Method;

/// Longest head.
pub(super) const LONGEST: usize = 16 << 10;
/// Most fields in it.
const FIELDS: usize = 64;

/// What came in so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The head has not ended yet.
    More,
    /// It has, after so many bytes.
    Head(usize, Box<Head>),
    /// It is none: status, and why. The connection cannot go on.
    Bad(u16, &'static str),
}

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) host: Option<String>,
    pub(super) range: Option<String>,
    pub(super) if_range: Option<String>,
    /// The client wants another answer on this connection.
    pub(super) keep: bool,
    pub(super) body: Following,
}

/// What follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Following {
    /// The next request.
    Nothing,
    /// So many bytes.
    Bytes(u64),
    /// Chunks, or something that is waited for: the connection ends after the answer.
    Unknown,
}

/// Reads what is there.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= LONGEST => match head(&request) {
            Ok(head) => Parsed::Head(length, Box::new(head)),
            Err(why) => Parsed::Bad(400, why),
        },
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST => Parsed::More,
        Ok(_) => Parsed::Bad(431, "the head of the request is longer than 16 KiB"),
        Err(httparse::Error::TooManyHeaders) => Parsed::Bad(431, "the request has more than 64 fields"),
        Err(httparse::Error::Version) => Parsed::Bad(505, "HTTP/1.1 is spoken here"),
        Err(_) => Parsed::Bad(400, "this is no HTTP request"),
    }
}

fn head(request: &httparse::Request<'_, '_>) -> Result<Head, &'static str> {
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("POST") => Method::Post,
        _ => Method::Other,
    };
    let (path, query) = target(request.path.unwrap_or_default());
    let (mut host, mut range, mut if_range) = (None, None, None);
    let (mut length, mut chunked, mut waits) = (None, false, false);
    let mut keep = request.version == Some(1);
    for field in request.headers.iter() {
        let name = field.name;
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("transfer-encoding") {
            chunked = true;
            continue;
        }
        // What cannot be read as text counts as not said, except where it would matter for the end of the request.
        let Ok(value) = std::str::from_utf8(field.value) else {
            if is("content-length") {
                return Err("`Content-Length` is not a number");
            }
            continue;
        };
        let value = value.trim_matches([' ', '\t']);
        if is("host") {
            // A script holds it: two of them are one too many.
            if host.replace(value.to_owned()).is_some() {
                return Err("the request names two hosts");
            }
        } else if is("range") {
            range.get_or_insert_with(|| value.to_owned());
        } else if is("if-range") {
            if_range.get_or_insert_with(|| value.to_owned());
        } else if is("expect") {
            waits = true;
        } else if is("content-length") {
            let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
            let said: u64 = value.parse().ok().filter(|_| digits).ok_or("`Content-Length` is not a number")?;
            if length.replace(said).is_some_and(|before| before != said) {
                return Err("the request has two lengths");
            }
        } else if is("connection") {
            for word in value.split(',').map(str::trim) {
                if word.eq_ignore_ascii_case("close") {
                    keep = false;
                } else if word.eq_ignore_ascii_case("keep-alive") && request.version == Some(0) {
                    keep = true;
                }
            }
        }
    }
    let body = match (length, chunked) {
        (Some(_), true) => return Err("the request has a length and chunks"),
        (None | Some(0), false) => Following::Nothing,
        (Some(bytes), false) if !waits => Following::Bytes(bytes),
        _ => Following::Unknown,
    };
    Ok(Head { method, path, query, host, range, if_range, keep, body })
}

/// Path and query of a request's target; a proxy's form with scheme and host counts as its path.
fn target(target: &str) -> (String, Option<String>) {
    let rest = ["http://", "https://"].iter().find_map(|scheme| target.strip_prefix(scheme));
    let local = rest.map_or(target, |rest| rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or("/"));
    match local.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (local.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Head {
        match parse(text.as_bytes()) {
            Parsed::Head(length, head) if length == text.len() => *head,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    fn status(text: &str) -> u16 {
        match parse(text.as_bytes()) {
            Parsed::Bad(status, _) => status,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn what_boot_roms_and_curl_send() {
        let head = read(
            "GET /boot.ipxe?mac=52-54-00-aa-00-01 HTTP/1.1\r\nConnection: keep-alive\r\nUser-Agent: iPXE\r\nHost: 10.77.0.1:8088\r\n\r\n",
        );
        assert_eq!((head.method, &*head.path, head.query.as_deref()), (Method::Get, "/boot.ipxe", Some("mac=52-54-00-aa-00-01")));
        assert_eq!((head.host.as_deref(), head.keep, head.body), (Some("10.77.0.1:8088"), true, Following::Nothing));
        let head =
            read("HEAD http://10.77.0.1/g/x HTTP/1.1\r\nRANGE: bytes=0-4 \r\nif-range: \"a\"\r\nConnection: Close\r\n\r\n");
        assert_eq!((head.method, &*head.path, head.range.as_deref()), (Method::Head, "/g/x", Some("bytes=0-4")));
        assert_eq!((head.if_range.as_deref(), head.keep), (Some("\"a\""), false));
        assert!(!read("GET / HTTP/1.0\r\n\r\n").keep && read("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep);
        assert_eq!(read("POST / HTTP/1.1\r\nContent-Length: 12\r\n\r\n").body, Following::Bytes(12));
        assert_eq!(read("POST / HTTP/1.1\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n").body, Following::Unknown);
        assert_eq!(read("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").body, Following::Unknown);
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: x\r\n"), Parsed::More);
    }

    #[test]
    fn where_two_readers_could_disagree_it_is_refused() {
        for (text, want) in [
            ("GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n folded\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\n\r\n", 505),
            ("\x16\x03\x01\x02", 400),
        ] {
            assert_eq!(status(text), want, "{text:?}");
        }
        assert_eq!(status(&"A".repeat(LONGEST)), 431);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65))), 431);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(LONGEST))), 431);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            "(GET|HEAD|POST|X) [/a-z?=.:]{0,20} HTTP/1\\.[01]\r\n((Host|Range|Connection|Content-Length|Transfer-Encoding): ?[ -~]{0,20}\r\n){0,5}(\r\n)?.{0,20}"
                .prop_map(String::into_bytes),
        ]) {
            if let Parsed::Head(length, head) = parse(&bytes) {
                prop_assert!(length <= bytes.len() && bytes[..length].ends_with(b"\n"));
                // Found whole, it is found the same with more behind it.
                let longer = [&bytes[..length], b"GET / HTTP/1.1\r\n\r\n"].concat();
                prop_assert_eq!(parse(&longer), Parsed::Head(length, head));
            }
        }
    }
}
