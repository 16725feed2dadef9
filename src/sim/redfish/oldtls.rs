//! A TLS server of the wrong age, as far as a modern client sees it: it reads the first message and refuses, or answers a hello that it could
//! speak to (RC-02, RC-03). It never gets as far as a certificate.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Which age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// TLS 1.2 with RSA key exchange and nothing else.
    RsaOnly,
    /// TLS 1.1 and 3DES.
    Legacy,
}

/// TLS_RSA_WITH_AES_256_GCM_SHA384 and its kind (RFC 5288, RFC 5246).
const RSA: [u16; 6] = [0x009d, 0x009c, 0x003d, 0x003c, 0x0035, 0x002f];
/// TLS_RSA_WITH_3DES_EDE_CBC_SHA (RFC 5246).
const TRIPLE_DES: u16 = 0x000a;

/// What a client offers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hello {
    suites: Vec<u16>,
    /// `supported_versions`, when it sent that (RFC 8446 §4.2.1).
    versions: Option<Vec<u16>>,
}

/// Meets one client and lets it go.
pub async fn meet(mut stream: impl AsyncRead + AsyncWrite + Unpin, age: Age) {
    let talk = async {
        let mut head = [0_u8; 5];
        stream.read_exact(&mut head).await?;
        let [kind, _, _, high, low] = head;
        if kind != 22 {
            return Ok(());
        }
        let mut record = vec![0; usize::from(u16::from_be_bytes([high, low])).min(16 << 10)];
        stream.read_exact(&mut record).await?;
        stream.write_all(&answer(&record, age)).await?;
        stream.shutdown().await
    };
    // A client that hangs up is its own affair.
    drop(tokio::time::timeout(Duration::from_secs(15), talk).await);
}

fn answer(record: &[u8], age: Age) -> Vec<u8> {
    const REFUSED: u8 = 40;
    const VERSION: u8 = 70;
    let Some(hello) = read(record) else { return alert(50) };
    let picked = |of: &[u16]| of.iter().copied().find(|suite| hello.suites.contains(suite));
    match age {
        Age::RsaOnly => picked(&RSA).map_or_else(|| alert(REFUSED), |suite| server_hello(0x0303, suite)),
        Age::Legacy if hello.versions.as_ref().is_some_and(|v| v.iter().all(|v| *v > 0x0302)) => alert(VERSION),
        Age::Legacy => picked(&[TRIPLE_DES]).map_or_else(|| alert(REFUSED), |suite| server_hello(0x0302, suite)),
    }
}

fn alert(what: u8) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, what]
}

fn server_hello(version: u16, suite: u16) -> Vec<u8> {
    let [high, low] = version.to_be_bytes();
    let mut body = vec![high, low];
    body.extend([0x5a; 32]);
    body.push(0);
    body.extend(suite.to_be_bytes());
    body.push(0);
    let mut out = vec![22, high, low, 0, u8::try_from(body.len() + 4).unwrap_or(0), 2, 0, 0];
    out.push(u8::try_from(body.len()).unwrap_or(0));
    out.extend(body);
    out
}

/// Reads a ClientHello (RFC 5246 §7.4.1.2).
fn read(record: &[u8]) -> Option<Hello> {
    let mut rest = record.get(4 + 2 + 32..).filter(|_| record.first() == Some(&1))?;
    take(&mut rest, 1)?;
    let suites = take(&mut rest, 2)?;
    let mut hello = Hello { suites: pairs(suites), versions: None };
    take(&mut rest, 1)?;
    let Some(mut extensions) = take(&mut rest, 2) else { return Some(hello) };
    while let Some((kind, after)) = extensions.split_first_chunk::<2>() {
        extensions = after;
        let mut content = take(&mut extensions, 2)?;
        if *kind == [0, 43] {
            hello.versions = Some(pairs(take(&mut content, 1)?));
        }
    }
    Some(hello)
}

/// A vector with a length of `width` bytes in front.
fn take<'a>(rest: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let length = rest.get(..width)?.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let content = rest.get(width..width + length)?;
    *rest = rest.get(width + length..)?;
    Some(content)
}

fn pairs(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| pair.iter().fold(0, |sum, byte| sum << 8 | u16::from(*byte))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(suites: &[u8], versions: Option<&[u8]>) -> Vec<u8> {
        let mut body = vec![1, 0, 0, 0, 3, 3];
        body.extend([0; 32]);
        body.extend([0, 0, u8::try_from(suites.len()).unwrap()]);
        body.extend(suites);
        body.extend([1, 0]);
        if let Some(versions) = versions {
            let n = u8::try_from(versions.len()).unwrap();
            body.extend([0, n + 5, 0, 43, 0, n + 1, n]);
            body.extend(versions);
        }
        body
    }

    #[test]
    fn old_servers_refuse_the_new_and_take_the_old() {
        let new = hello(&[0xc0, 0x2f], Some(&[3, 4, 3, 3]));
        assert_eq!(answer(&new, Age::RsaOnly), alert(40));
        assert_eq!(answer(&new, Age::Legacy), alert(70));
        let old = hello(&[0, 0x9d, 0, 0x0a], None);
        assert_eq!(answer(&old, Age::RsaOnly)[..11], [22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3]);
        assert_eq!(answer(&old, Age::Legacy)[9..11], [3, 2]);
        assert_eq!(answer(b"", Age::Legacy), alert(50));
    }

    proptest::proptest! {
        #[test]
        fn any_hello_is_met(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            for age in [Age::RsaOnly, Age::Legacy] {
                proptest::prop_assert!(answer(&bytes, age).len() >= 7);
            }
        }
    }
}
