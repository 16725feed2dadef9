//! Cipher suites 3 and 17 (IPMI v2.0 §22.15.2, table 22-20) and their keyed hashes. Suites without integrity or confidentiality do not exist here.

use hmac::{Hmac, KeyInit, Mac};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A cipher suite that a session may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128.
    Three,
    /// RAKP-HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128.
    Seventeen,
}

impl Suite {
    /// The suite of a number that an inventory may name.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        match id {
            3 => Some(Self::Three),
            17 => Some(Self::Seventeen),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(self) -> u8 {
        match self {
            Self::Three => 3,
            Self::Seventeen => 17,
        }
    }

    /// Authentication, integrity and confidentiality algorithm numbers (tables 13-17, 13-18, 13-19).
    #[must_use]
    pub fn algorithms(self) -> [u8; 3] {
        match self {
            Self::Three => [0x01, 0x01, 0x01],
            Self::Seventeen => [0x03, 0x04, 0x01],
        }
    }

    /// Bytes of the authentication code of RAKP 2 and 3.
    #[must_use]
    pub fn code_len(self) -> usize {
        match self {
            Self::Three => 20,
            Self::Seventeen => 32,
        }
    }

    /// Bytes of the truncated check value of RAKP 4 and of every packet.
    #[must_use]
    pub fn check_len(self) -> usize {
        match self {
            Self::Three => 12,
            Self::Seventeen => 16,
        }
    }

    /// The suite's keyed hash over the parts, one after the other.
    #[must_use]
    pub fn keyed_hash(self, key: &[u8], parts: &[&[u8]]) -> Code {
        let mut code = Code { bytes: [0; 32], len: self.code_len() };
        match self {
            Self::Three => hash::<Hmac<sha1::Sha1>>(key, parts, &mut code.bytes),
            Self::Seventeen => hash::<Hmac<sha2::Sha256>>(key, parts, &mut code.bytes),
        }
        code
    }
}

fn hash<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]], out: &mut [u8; 32]) {
    // HMAC takes a key of any length, so the error arm is never reached; an all-zero code then matches nothing.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return };
    for part in parts {
        mac.update(part);
    }
    let code = mac.finalize().into_bytes();
    out.iter_mut().zip(code.iter()).for_each(|(to, from)| *to = *from);
}

/// A keyed hash; wiped when dropped, since some of them are keys.
pub struct Code {
    bytes: [u8; 32],
    len: usize,
}

impl Code {
    /// All its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Its first `len` bytes, at most all.
    #[must_use]
    pub fn cut(&self, len: usize) -> &[u8] {
        self.bytes.get(..len.min(self.len)).unwrap_or_default()
    }

    /// True when `claimed` is exactly the first `len` bytes; takes the same time wherever they differ.
    #[must_use]
    pub fn matches(&self, len: usize, claimed: &[u8]) -> bool {
        self.cut(len).ct_eq(claimed).into()
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::Suite;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// RFC 2202 §3 case 2 and RFC 4231 §4.3.
    #[test]
    fn keyed_hashes_are_hmac() {
        let parts: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
        assert_eq!(hex(Suite::Three.keyed_hash(b"Jefe", &parts).bytes()), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(
            hex(Suite::Seventeen.keyed_hash(b"Jefe", &parts).bytes()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_code_matches_only_itself_at_the_right_length() {
        let code = Suite::Seventeen.keyed_hash(b"k", &[b"m"]);
        assert!(code.matches(16, code.cut(16)));
        assert!(!code.matches(16, code.cut(15)));
        assert!(!code.matches(16, &[0; 16]));
        assert!(!code.matches(16, &[]));
    }
}
