//! The algorithms of cipher suites 3 and 17 (§13.28 to §13.32): HMAC, key derivation, AES-CBC-128. It holds no session.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::Sha256;

/// A cipher suite that the BMC knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suite {
    /// RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128.
    Three,
    /// RAKP-HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128.
    Seventeen,
}

impl Suite {
    /// The suite with exactly these algorithm numbers (tables 13-17 to 13-19). Suite 0 and every mixture are unknown.
    pub(super) fn of(authentication: u8, integrity: u8, confidentiality: u8) -> Option<Self> {
        match (authentication, integrity, confidentiality) {
            (1, 1, 1) => Some(Self::Three),
            (3, 4, 1) => Some(Self::Seventeen),
            _ => None,
        }
    }

    /// Authentication, integrity and confidentiality algorithm.
    pub(super) fn algorithms(self) -> [u8; 3] {
        match self {
            Self::Three => [1, 1, 1],
            Self::Seventeen => [3, 4, 1],
        }
    }

    /// Its number (table 22-20).
    pub(super) fn id(self) -> u8 {
        match self {
            Self::Three => 3,
            Self::Seventeen => 17,
        }
    }

    /// Length of a packet's authentication code, and of RAKP 4's check value.
    pub(super) fn code_length(self) -> usize {
        match self {
            Self::Three => 12,
            Self::Seventeen => 16,
        }
    }

    /// HMAC over the parts, whole.
    pub(super) fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Three => hmac::<Hmac<Sha1>>(key, parts),
            Self::Seventeen => hmac::<Hmac<Sha256>>(key, parts),
        }
    }

    /// HMAC cut to the length of an authentication code.
    pub(super) fn code(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        let mut code = self.hmac(key, parts);
        code.truncate(self.code_length());
        code
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of any length, so this cannot fail; an empty code would match nothing.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// AES-CBC with the pad of §13.29: 01, 02, 03, … and the number of pad bytes.
pub(super) fn encrypt(key: &[u8; 16], iv: [u8; 16], clear: &[u8]) -> Vec<u8> {
    let pad = (16 - (clear.len() + 1) % 16) % 16;
    let mut text = clear.to_vec();
    text.extend((1u8..).take(pad));
    text.push(u8::try_from(pad).unwrap_or(0));
    let aes = Aes128::new(&Array::from(*key));
    let mut out = iv.to_vec();
    let mut before = iv;
    let (blocks, _) = text.as_chunks::<16>();
    for block in blocks {
        let mut mixed = Array::from(xor(*block, before));
        aes.encrypt_block(&mut mixed);
        before = mixed.into();
        out.extend(before);
    }
    out
}

/// The reverse; `None` when the lengths or the pad are wrong.
pub(super) fn decrypt(key: &[u8; 16], bytes: &[u8]) -> Option<Vec<u8>> {
    let (iv, rest) = bytes.split_first_chunk::<16>()?;
    let (blocks, odd) = rest.as_chunks::<16>();
    if blocks.is_empty() || !odd.is_empty() {
        return None;
    }
    let aes = Aes128::new(&Array::from(*key));
    let mut before = *iv;
    let mut out = Vec::with_capacity(rest.len());
    for block in blocks {
        let mut mixed = Array::from(*block);
        aes.decrypt_block(&mut mixed);
        out.extend(xor(mixed.into(), before));
        before = *block;
    }
    let pad = usize::from(out.pop()?);
    let keep = out.len().checked_sub(pad).filter(|_| pad < 16)?;
    let (clear, padding) = out.split_at_checked(keep)?;
    padding.iter().zip(1u8..).all(|(byte, want)| *byte == want).then(|| clear.to_vec())
}

fn xor(a: [u8; 16], b: [u8; 16]) -> [u8; 16] {
    std::array::from_fn(|i| a.get(i).unwrap_or(&0) ^ b.get(i).unwrap_or(&0))
}

/// Compares secrets without telling by time where they differ.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    bool::from(subtle::ConstantTimeEq::ct_eq(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// HMAC-SHA1 and HMAC-SHA256 test case 2 of RFC 2202 and RFC 4231.
    #[test]
    fn known_answers() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let parts: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
        assert_eq!(hex(Suite::Three.hmac(b"Jefe", &parts)), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(
            hex(Suite::Seventeen.hmac(b"Jefe", &parts)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    proptest! {
        #[test]
        fn what_is_encrypted_can_be_read(key: [u8; 16], iv: [u8; 16], clear in prop::collection::vec(any::<u8>(), 0..80)) {
            let secret = encrypt(&key, iv, &clear);
            prop_assert_eq!(secret.len() % 16, 0);
            prop_assert_eq!(decrypt(&key, &secret), Some(clear));
        }

        #[test]
        fn decrypting_anything_never_panics(key: [u8; 16], bytes in prop::collection::vec(any::<u8>(), 0..96)) {
            drop(decrypt(&key, &bytes));
        }
    }
}
