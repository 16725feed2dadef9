//! What a BMC speaks when it does not speak today's TLS: one look with an old hello, so that the error can name version and cipher (RC-02, RC-03).
//! It sends nothing but that hello, takes one record, and never goes on to a key exchange.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Cipher suites of the TLS registry (IANA), the old ones and some that would have been spoken: number, name, and how keys are agreed on.
const SUITES: [(u16, &str, Exchange); 24] = [
    (0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", Exchange::Rsa),
    (0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256", Exchange::Rsa),
    (0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256", Exchange::Rsa),
    (0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256", Exchange::Rsa),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA", Exchange::Rsa),
    (0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA", Exchange::Rsa),
    (0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", Exchange::Rsa),
    (0x0005, "TLS_RSA_WITH_RC4_128_SHA", Exchange::Rsa),
    (0x0004, "TLS_RSA_WITH_RC4_128_MD5", Exchange::Rsa),
    (0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", Exchange::Dhe),
    (0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", Exchange::Dhe),
    (0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", Exchange::Dhe),
    (0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", Exchange::Dhe),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", Exchange::Dhe),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", Exchange::Dhe),
    (0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", Exchange::Dhe),
    (0xc028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", Exchange::Ecdhe),
    (0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", Exchange::Ecdhe),
    (0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Exchange::Ecdhe),
    (0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Exchange::Ecdhe),
    (0xc012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", Exchange::Ecdhe),
    (0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Exchange::Ecdhe),
    (0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Exchange::Ecdhe),
    (0xc007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", Exchange::Ecdhe),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exchange {
    Rsa,
    Dhe,
    Ecdhe,
}

/// What the BMC answered to an old hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    /// It chose this version and cipher suite.
    Chose {
        /// As on the wire: 0x0303 is TLS 1.2.
        version: u16,
        /// Cipher suite.
        suite: u16,
    },
    /// It refused, with this alert (RFC 5246 §7.2).
    Refused(u8),
    /// It said nothing that can be read.
    Silent,
}

impl std::fmt::Display for Old {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Chose { version, suite } => {
                let known = SUITES.iter().find(|(number, ..)| *number == suite);
                let name = known.map_or_else(|| format!("cipher suite {suite:#06x}"), |(_, name, _)| (*name).to_owned());
                let age = match version {
                    0x0303 => "TLS 1.2".to_owned(),
                    0x0302 => "TLS 1.1".to_owned(),
                    0x0301 => "TLS 1.0".to_owned(),
                    0x0300 => "SSL 3.0".to_owned(),
                    other => format!("TLS version {other:#06x}"),
                };
                write!(f, "asked with an old hello it chose {age} and {name}")?;
                match known.map(|(_, _, exchange)| *exchange) {
                    Some(Exchange::Rsa) => write!(f, ", whose RSA key exchange is not spoken here"),
                    Some(Exchange::Dhe) => write!(f, ", whose finite-field Diffie-Hellman is not spoken here"),
                    Some(Exchange::Ecdhe) | None if version < 0x0303 => write!(f, ", which is too old to be spoken here"),
                    Some(Exchange::Ecdhe) | None => write!(f, ", which is not spoken here"),
                }
            }
            Self::Refused(alert) => write!(f, "asked with an old hello it refused too (alert {alert})"),
            Self::Silent => write!(f, "asked with an old hello it said nothing that can be read"),
        }
    }
}

/// Asks once, on a connection of its own.
pub(super) async fn ask(address: SocketAddr, until: Instant) -> Old {
    let talk = async {
        let mut tcp = TcpStream::connect(address).await?;
        tcp.write_all(&hello()).await?;
        // A ServerHello is read from its first 80 bytes; a kilobyte leaves room for how they come.
        let mut record = vec![0_u8; 1024];
        let mut have = 0;
        while have < record.len() && read(record.get(..have).unwrap_or_default()) == Old::Silent {
            let more = tcp.read(record.get_mut(have..).unwrap_or_default()).await?;
            if more == 0 {
                break;
            }
            have += more;
        }
        record.truncate(have);
        Ok::<_, std::io::Error>(read(&record))
    };
    match timeout_at(until, talk).await {
        Ok(Ok(old)) => old,
        _ => Old::Silent,
    }
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// A ClientHello as clients of 2012 sent it: TLS 1.2 at most, old suites first (RFC 5246 §7.4.1.2).
fn hello() -> Vec<u8> {
    let suites: Vec<u8> = SUITES.iter().flat_map(|(suite, ..)| suite.to_be_bytes()).collect();
    // signature_algorithms (RSA and ECDSA with SHA-2 and SHA-1), supported_groups (P-256, P-384, P-521), ec_point_formats.
    let extensions: [u8; 38] = [
        0, 13, 0, 16, 0, 14, 4, 1, 5, 1, 6, 1, 2, 1, 4, 3, 5, 3, 2, 3, 0, 10, 0, 8, 0, 6, 0, 23, 0, 24, 0, 25, 0, 11, 0, 2, 1, 0,
    ];
    let random: [u8; 32] = rand::random();
    let mut body = vec![3, 3];
    body.extend(random);
    body.push(0);
    body.extend(length(suites.len()));
    body.extend(suites);
    body.extend([1, 0]);
    body.extend(length(extensions.len()));
    body.extend(extensions);
    let mut out = vec![HANDSHAKE, 3, 1];
    out.extend(length(body.len() + 4));
    out.extend([1, 0]);
    out.extend(length(body.len()));
    out.extend(body);
    out
}

/// A length in two bytes; everything here is far below 65,536.
fn length(of: usize) -> [u8; 2] {
    u16::try_from(of).unwrap_or(u16::MAX).to_be_bytes()
}

/// Reads the first record that came back.
fn read(record: &[u8]) -> Old {
    let pair = |at: usize| record.get(at..at + 2).and_then(|two| two.try_into().ok()).map(u16::from_be_bytes);
    match record.first() {
        Some(&ALERT) => record.get(6).map_or(Old::Silent, |alert| Old::Refused(*alert)),
        // Record head 5, handshake head 4, version 2, random 32, then the session id.
        Some(&HANDSHAKE) if record.get(5) == Some(&2) => {
            let after = record.get(43).map(|length| 44 + usize::from(*length));
            match (pair(9), after.and_then(pair)) {
                (Some(version), Some(suite)) => Old::Chose { version, suite },
                _ => Old::Silent,
            }
        }
        _ => Old::Silent,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_are_told_by_name() {
        let mut record = vec![22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3];
        record.extend([7; 32]);
        record.extend([0, 0x00, 0x9d, 0]);
        let old = read(&record);
        assert_eq!(old, Old::Chose { version: 0x0303, suite: 0x009d });
        assert_eq!(
            old.to_string(),
            "asked with an old hello it chose TLS 1.2 and TLS_RSA_WITH_AES_256_GCM_SHA384, whose RSA key exchange is not spoken here"
        );
        assert_eq!(read(&[21, 3, 1, 0, 2, 2, 40]), Old::Refused(40));
        assert_eq!(read(b"HTTP/1.1 400 Bad Request"), Old::Silent);
        let hello = hello();
        assert_eq!(usize::from(hello[3]) << 8 | usize::from(hello[4]), hello.len() - 5);
    }

    proptest! {
        #[test]
        fn any_record_is_read(bytes in prop::collection::vec(any::<u8>(), 0..120), kind in prop::sample::select(vec![21_u8, 22])) {
            let mut bytes = bytes;
            bytes.insert(0, kind);
            let _ = read(&bytes).to_string();
        }
    }
}
