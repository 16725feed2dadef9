//! Bodies that come encoded. Identity is what is asked for (RC-09); a BMC that keeps a resource compressed answers 406 to that, and sends it
//! compressed when nothing is asked (RC-10, HPE's registries). Bounded like any other body.

use std::io::Read as _;

use http::HeaderMap;
use http::header;

/// The body as it was before it was encoded; the error says what it is encoded as, or that it is too long.
pub(super) fn plain(headers: &HeaderMap, body: Vec<u8>, most: usize) -> Result<Vec<u8>, String> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(body) };
    let encoding = encoding.as_bytes().trim_ascii();
    let is = |name: &str| encoding.eq_ignore_ascii_case(name.as_bytes());
    if encoding.is_empty() || is("identity") {
        return Ok(body);
    }
    let mut out = Vec::new();
    // One byte more than is allowed tells that there is more.
    let room = most as u64 + 1;
    let read = if is("gzip") || is("x-gzip") {
        flate2::read::MultiGzDecoder::new(body.as_slice()).take(room).read_to_end(&mut out)
    } else if is("deflate") {
        flate2::read::ZlibDecoder::new(body.as_slice()).take(room).read_to_end(&mut out)
    } else {
        let shown = super::error::safe(&String::from_utf8_lossy(encoding), 32);
        return Err(format!("the body is encoded as {shown}, which is not understood here"));
    };
    read.map_err(|e| format!("the body is said to be compressed and is not: {e}"))?;
    if out.len() > most { Err(format!("the body is longer than {most} bytes when it is unpacked")) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(encoding: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_str(encoding).unwrap())])
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        to.write_all(text).unwrap();
        to.finish().unwrap()
    }

    #[test]
    fn gzip_is_unpacked_within_the_limit() {
        let packed = gzip(b"{\"Id\": \"1\"}");
        assert_eq!(plain(&headers("gzip"), packed.clone(), 100).unwrap(), b"{\"Id\": \"1\"}");
        assert_eq!(plain(&headers("Identity"), b"x".to_vec(), 100).unwrap(), b"x");
        assert!(plain(&headers("gzip"), packed, 5).unwrap_err().contains("longer than 5 bytes"));
        // A bomb: 1 MiB of zeros in about 1 KiB.
        assert!(plain(&headers("gzip"), gzip(&vec![0; 1 << 20]), 1 << 10).is_err());
        assert!(plain(&headers("br"), b"x".to_vec(), 100).unwrap_err().contains("encoded as br"));
        assert!(plain(&headers("gzip"), b"{}".to_vec(), 100).unwrap_err().contains("is not"));
    }

    proptest! {
        #[test]
        fn any_body_is_unpacked_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), flip in 0_usize..40) {
            for encoding in ["gzip", "deflate", "x"] {
                drop(plain(&headers(encoding), bytes.clone(), 1000));
            }
            let mut packed = gzip(&bytes);
            if let Some(byte) = packed.get_mut(flip) { *byte ^= 0x55; }
            if let Ok(out) = plain(&headers("gzip"), packed, 200) { prop_assert!(out.len() <= 200); }
        }
    }
}
