//! TFTP on the wire: RFC 1350 with the options of RFC 2347. Own codec; every decoder takes any bytes.

/// Longest datagram that is read: RFC 2347 bounds a request by 512 bytes, an ACK has 4, and error texts are cut.
pub(super) const LONGEST: usize = 516;
/// Options of one request that are looked at; the RFCs know six.
const OPTIONS: usize = 16;
/// Longest text of an error that is kept.
const TEXT: usize = 128;
/// Bytes before the data of a block.
pub(super) const HEADER: usize = 4;

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Read(Request<'a>),
    Write(Request<'a>),
    /// Block number.
    Ack(u16),
    Error {
        code: u16,
        text: &'a [u8],
    },
    /// DATA or OACK: only servers send these here.
    Foreign,
}

/// A request to read or write; all of it is the client's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub(super) name: &'a [u8],
    pub(super) mode: &'a [u8],
    pub(super) options: Vec<(&'a [u8], &'a [u8])>,
}

/// Why bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    /// Too short, too long, or an opcode that is none: nobody worth answering.
    Noise,
    /// A request whose name or mode does not end.
    Request,
}

/// Codes of RFC 1350 §5 and RFC 2347 §4 that a read-only server has use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    SeeMessage = 0,
    NotFound = 1,
    Access = 2,
    Illegal = 4,
}

/// Reads one datagram.
pub(super) fn decode(bytes: &[u8]) -> Result<Packet<'_>, Malformed> {
    let (opcode, rest) = bytes.split_first_chunk::<2>().filter(|_| bytes.len() <= LONGEST).ok_or(Malformed::Noise)?;
    let number = || rest.first_chunk::<2>().map(|b| u16::from_be_bytes(*b)).ok_or(Malformed::Noise);
    match u16::from_be_bytes(*opcode) {
        1 => Ok(Packet::Read(request(rest)?)),
        2 => Ok(Packet::Write(request(rest)?)),
        4 => Ok(Packet::Ack(number()?)),
        5 => {
            let text = rest.get(2..).unwrap_or_default().split(|b| *b == 0).next().unwrap_or_default();
            Ok(Packet::Error { code: number()?, text: text.get(..TEXT).unwrap_or(text) })
        }
        3 | 6 => Ok(Packet::Foreign),
        _ => Err(Malformed::Noise),
    }
}

fn request(rest: &[u8]) -> Result<Request<'_>, Malformed> {
    // A piece counts only with its closing NUL; what follows the last one (padding of some ROMs) is read over.
    let mut pieces = rest.split_inclusive(|b| *b == 0).filter_map(|piece| piece.strip_suffix(&[0]));
    let (name, mode) = (pieces.next().ok_or(Malformed::Request)?, pieces.next().ok_or(Malformed::Request)?);
    let mut options = Vec::new();
    while let (Some(key), Some(value)) = (pieces.next(), pieces.next()) {
        if options.len() == OPTIONS {
            break;
        }
        options.push((key, value));
    }
    Ok(Request { name, mode, options })
}

/// Writes an OACK.
pub(super) fn oack(options: &[(&str, u64)]) -> Vec<u8> {
    let mut bytes = vec![0, 6];
    for (key, value) in options {
        bytes.extend_from_slice(key.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(value.to_string().as_bytes());
        bytes.push(0);
    }
    bytes
}

/// Appends a DATA packet.
pub(super) fn data(into: &mut Vec<u8>, block: u16, bytes: &[u8]) {
    into.extend_from_slice(&[0, 3]);
    into.extend_from_slice(&block.to_be_bytes());
    into.extend_from_slice(bytes);
}

/// Writes an ERROR.
pub(super) fn error(into: &mut Vec<u8>, code: Code, text: &str) {
    into.extend_from_slice(&[0, 5, 0, code as u8]);
    into.extend_from_slice(text.as_bytes());
    into.push(0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_packets_of_the_rfcs() {
        let Ok(Packet::Read(read)) = decode(b"\0\x01snponly.efi\0octet\0tsize\x000\0blksize\x001468\0") else { panic!() };
        assert_eq!((read.name, read.mode), (&b"snponly.efi"[..], &b"octet"[..]));
        assert_eq!(read.options, [(&b"tsize"[..], &b"0"[..]), (b"blksize", b"1468")]);
        assert_eq!(decode(b"\0\x04\xff\xff"), Ok(Packet::Ack(65535)));
        assert_eq!(decode(b"\0\x05\0\x08no\0junk"), Ok(Packet::Error { code: 8, text: b"no" }));
        assert_eq!(decode(b"\0\x03\0\x01data"), Ok(Packet::Foreign));
        assert!(matches!(decode(b"\0\x02a\0octet\0"), Ok(Packet::Write(_))));
        assert_eq!(oack(&[("blksize", 1468), ("tsize", 5)]), b"\0\x06blksize\x001468\0tsize\x005\0");
        let mut bytes = Vec::new();
        data(&mut bytes, 258, b"xy");
        assert_eq!(bytes, b"\0\x03\x01\x02xy");
        bytes.clear();
        error(&mut bytes, Code::NotFound, "no such file");
        assert_eq!(bytes, b"\0\x05\0\x01no such file\0");
    }

    #[test]
    fn what_does_not_end_or_is_nothing() {
        for noise in [&b""[..], b"\0", b"\0\x04\0", b"\0\x05", b"\0\x07ab", b"\xff\xff", &[0; 517]] {
            assert_eq!(decode(noise), Err(Malformed::Noise), "{noise:?}");
        }
        for request in [&b"\0\x01"[..], b"\0\x01name", b"\0\x01name\0octet", b"\0\x02name\0"] {
            assert_eq!(decode(request), Err(Malformed::Request), "{request:?}");
        }
        // A value without its end is no value; padding after the last NUL is none of our business.
        let Ok(Packet::Read(read)) = decode(b"\0\x01a\0octet\0blksize\x001468") else { panic!() };
        assert_eq!(read.options, []);
        let Ok(Packet::Read(read)) = decode(b"\0\x01\0\0\0\0") else { panic!() };
        assert_eq!((read.name, read.options.len()), (&b""[..], 1));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..600)) {
            if let Ok(Packet::Read(request) | Packet::Write(request)) = decode(&bytes) {
                prop_assert!(request.options.len() <= OPTIONS && !request.name.contains(&0));
            }
        }
    }
}
