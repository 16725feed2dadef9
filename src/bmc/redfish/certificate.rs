//! What of a BMC's certificate matters here: its own digest, that of its key, the key itself, and, for people, until when it says it is valid. A walk over
//! the outer DER only (RFC 5280 §4.1); names and extensions are not read, since BMCs write anything there, X.509 version 1 included.

use jiff::civil::DateTime;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{DigitallySignedStruct, SignatureScheme};
use sha2::{Digest as _, Sha256};

/// The digests that a certificate is known by, and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    /// SHA-256 of the certificate's DER.
    pub(super) leaf: [u8; 32],
    /// SHA-256 of its SubjectPublicKeyInfo, where that could be found.
    pub(super) key: Option<[u8; 32]>,
    /// The last moment of its validity (UTC), where that could be read. No trust rests on it.
    pub(super) until: Option<DateTime>,
}

impl Shown {
    /// Of a certificate as it was sent.
    pub(super) fn of(der: &[u8]) -> Self {
        Self {
            leaf: Sha256::digest(der).into(),
            key: public_key(der).map(|key| Sha256::digest(key).into()),
            until: not_after(der),
        }
    }
}

/// Lower-case hex of a digest.
pub(super) fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT Version`, left out by version 1.
const VERSION: u8 = 0xa0;

/// One element: its tag, its content, its whole, and what follows it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
    rest: &'a [u8],
}

/// Takes one element with a definite length of at most 4 bytes (X.690 §8.1).
fn element(der: &[u8]) -> Option<Element<'_>> {
    let (tag, first) = (*der.first()?, *der.get(1)?);
    let (length, head) = match first {
        0..=0x7f => (usize::from(first), 2),
        0x81..=0x84 => {
            let width = usize::from(first & 0x7f);
            let bytes = der.get(2..2 + width)?;
            (bytes.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte)), 2 + width)
        }
        _ => return None,
    };
    let end = head.checked_add(length)?;
    Some(Element { tag, content: der.get(head..end)?, whole: der.get(..end)?, rest: der.get(end..)? })
}

fn sequence(der: &[u8]) -> Option<Element<'_>> {
    element(der).filter(|e| e.tag == SEQUENCE)
}

/// What follows so many fields of a certificate, the version not counted: serial number, signature algorithm, issuer, validity, subject.
fn after(der: &[u8], fields: usize) -> Option<&[u8]> {
    let body = sequence(sequence(der)?.content)?.content;
    let first = element(body)?;
    let mut rest = if first.tag == VERSION { first.rest } else { body };
    for _ in 0..fields {
        rest = element(rest)?.rest;
    }
    Some(rest)
}

/// The SubjectPublicKeyInfo of a certificate, as DER.
pub(super) fn public_key(der: &[u8]) -> Option<&[u8]> {
    Some(sequence(after(der, 5)?)?.whole)
}

/// The end of a certificate's validity. Two digits of a year are of 1950 to 2049 (RFC 5280 §4.1.2.5.1); seconds may be missing in old certificates.
fn not_after(der: &[u8]) -> Option<DateTime> {
    let time = element(element(sequence(after(der, 3)?)?.content)?.rest)?;
    let digits = std::str::from_utf8(time.content).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match time.tag {
        UTC_TIME => (digits.get(..2)?.parse::<i16>().ok()?, digits.get(2..)?),
        GENERALIZED_TIME => (digits.get(..4)?.parse::<i16>().ok()?, digits.get(4..)?),
        _ => return None,
    };
    let year = match (time.tag, year) {
        (UTC_TIME, 50..) => 1900 + year,
        (UTC_TIME, _) => 2000 + year,
        _ => year,
    };
    let part = |at: usize| rest.get(at..at + 2).map_or(Some(0), |two| two.parse::<i8>().ok());
    if !matches!(rest.len(), 8 | 10) {
        return None;
    }
    DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()
}

/// Checks a handshake signature by the certificate's key alone. The TLS library reads the whole certificate for it and refuses one of version 1;
/// the proof that the other side holds the key is the same. `tls13` forbids PKCS #1 v1.5 (RFC 8446 §4.2.3).
pub(super) fn signed(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    certificate: &[u8],
    dss: &DigitallySignedStruct,
    tls13: bool,
) -> bool {
    let pkcs1 = matches!(
        dss.scheme,
        SignatureScheme::RSA_PKCS1_SHA1
            | SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512
    );
    let Some((algorithm, key)) = public_key(certificate).and_then(key_parts).filter(|_| !(tls13 && pkcs1)) else { return false };
    let known = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == dss.scheme).flat_map(|(_, algorithms)| *algorithms);
    known
        .filter(|known| known.public_key_alg_id().as_ref() == algorithm)
        .any(|known| known.verify_signature(key, message, dss.signature()).is_ok())
}

/// Algorithm identifier and key bits of a SubjectPublicKeyInfo.
fn key_parts(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let algorithm = sequence(sequence(spki)?.content)?;
    let bits = element(algorithm.rest).filter(|e| e.tag == BIT_STRING)?;
    let (unused, key) = bits.content.split_first()?;
    (*unused == 0).then_some((algorithm.content, key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_key_is_found_and_stays_over_renewals() {
        let key = rcgen::KeyPair::generate().unwrap();
        let issue = |name: &str| rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        let (one, two) = (issue("a.example"), issue("b.example"));
        let want = rcgen::PublicKeyData::subject_public_key_info(&key);
        assert_eq!(public_key(one.der()), Some(want.as_slice()));
        let (one, two) = (Shown::of(one.der()), Shown::of(two.der()));
        assert_eq!(one.key, two.key);
        assert_ne!(one.leaf, two.leaf);
        assert_eq!(Shown::of(b"no certificate").key, None);
    }

    #[test]
    fn the_end_is_read_in_both_forms() {
        let key = rcgen::KeyPair::generate().unwrap();
        let end = |year, month, day| {
            let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, month, day);
            Shown::of(params.self_signed(&key).unwrap().der()).until
        };
        // UTCTime until 2049, GeneralizedTime after it.
        assert_eq!(end(2049, 12, 31), Some(jiff::civil::date(2049, 12, 31).at(0, 0, 0, 0)));
        assert_eq!(end(2050, 1, 1), Some(jiff::civil::date(2050, 1, 1).at(0, 0, 0, 0)));
        assert_eq!(end(1999, 2, 28), Some(jiff::civil::date(1999, 2, 28).at(0, 0, 0, 0)));
    }

    #[test]
    fn an_end_that_is_none_is_not_told() {
        // A certificate's outer form around one end of the validity.
        let until = |tag: u8, text: &[u8]| {
            let wrap = |tag: u8, inner: &[u8]| [&[tag, u8::try_from(inner.len()).unwrap()], inner].concat();
            let validity = wrap(SEQUENCE, &[wrap(UTC_TIME, b"200101000000Z"), wrap(tag, text)].concat());
            let body = [wrap(0x02, &[1]), wrap(SEQUENCE, &[]), wrap(SEQUENCE, &[]), validity].concat();
            not_after(&wrap(SEQUENCE, &wrap(SEQUENCE, &body)))
        };
        assert!(until(GENERALIZED_TIME, b"99991231235959Z").is_some_and(|end| end.year() == 9999), "RFC 5280: no end");
        assert!(until(UTC_TIME, b"4912312359Z").is_some(), "without seconds");
        for (tag, text) in [
            (UTC_TIME, &b"491331000000Z"[..]),
            (UTC_TIME, b"491231000000"),
            (UTC_TIME, b"49123100000Z"),
            (UTC_TIME, b"+91231000000Z"),
            (GENERALIZED_TIME, b"491231000000Z"),
            (0x0c, b"491231000000Z"),
            (UTC_TIME, b"\xff\xff"),
            (UTC_TIME, b""),
        ] {
            assert_eq!(until(tag, text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (Shown::of(&bytes), key_parts(&bytes));
        }

        #[test]
        fn a_bent_certificate_is_walked(at in 0_usize..200, byte in any::<u8>(), cut in 0_usize..400) {
            let made = rcgen::generate_simple_self_signed(vec!["x.example".to_owned()]).unwrap();
            let mut der = made.cert.der().to_vec();
            if let Some(place) = der.get_mut(at) { *place = byte; }
            der.truncate(cut);
            let _ = (public_key(&der).and_then(key_parts), not_after(&der));
        }
    }
}
