//! Session tokens at rest: sealed under the account's password, so that the file they lie in lets nobody in. Encrypt-then-MAC with HMAC-SHA-256
//! alone; keys by PBKDF2 (RFC 8018), once for each password of a process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::bmc::Password;

/// PBKDF2's rounds: the least that RFC 5802 §5.1 names. Site passwords are long and random; more would cost minutes where each BMC has its own.
const ROUNDS: u32 = 4_096;
/// Longest token that is sealed. The longest seen are JSON web tokens below 1 KiB.
const LONGEST: usize = 2_048;
const TAG: usize = 16;

type Key = Zeroizing<[u8; 32]>;

/// Seals tokens of one process.
pub(super) struct Sealer {
    salt: [u8; 16],
    keys: Mutex<Keys>,
}

/// Keys by salt and digest of the password.
type Keys = BTreeMap<([u8; 16], [u8; 32]), Key>;

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // A key of any length is a key of HMAC; the error has no case.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn derive(password: &Password, salt: &[u8]) -> Key {
    let password = password.expose().as_bytes();
    let mut block = Zeroizing::new(mac(password, &[salt, &1_u32.to_be_bytes()]));
    let mut key = block.clone();
    for _ in 1..ROUNDS {
        *block = mac(password, &[block.as_slice()]);
        key.iter_mut().zip(block.iter()).for_each(|(out, byte)| *out ^= byte);
    }
    key
}

/// Length-prefixed, so that no two contexts read alike.
fn context(bmc: &str, user: &str, at: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for part in [bmc, user, at] {
        out.extend((part.len() as u64).to_be_bytes());
        out.extend(part.as_bytes());
    }
    out
}

fn stream(key: &[u8], nonce: &[u8], text: &[u8]) -> Vec<u8> {
    let blocks = (0_u32..).flat_map(|block| mac(key, &[b"stream", nonce, &block.to_be_bytes()]));
    text.iter().zip(blocks).map(|(byte, pad)| byte ^ pad).collect()
}

fn tag(key: &[u8], context: &[u8], nonce: &[u8], sealed: &[u8]) -> [u8; 32] {
    mac(key, &[b"tag", context, nonce, sealed])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.len() > 4 * LONGEST || !text.is_ascii() {
        return None;
    }
    (0..text.len() / 2).map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()).collect()
}

impl Sealer {
    pub(super) fn new() -> Self {
        Self { salt: rand::random(), keys: Mutex::default() }
    }

    fn key(&self, password: &Password, salt: [u8; 16]) -> Key {
        let name = (salt, Sha256::digest(password.expose()).into());
        let known = self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        known.unwrap_or_else(|| {
            let key = derive(password, &salt);
            self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(name, key.clone());
            key
        })
    }

    /// Makes the key of this password now, so that sealing under it takes no time later.
    pub(super) fn prepare(&self, password: &Password) {
        drop(self.key(password, self.salt));
    }

    /// Seals a token for one session of one account; `None` when it is too long to be one.
    pub(super) fn seal(&self, password: &Password, place: (&str, &str, &str), token: &[u8]) -> Option<String> {
        if token.len() > LONGEST {
            return None;
        }
        let key = self.key(password, self.salt);
        let nonce: [u8; 16] = rand::random();
        let sealed = stream(key.as_slice(), &nonce, token);
        let tag = tag(key.as_slice(), &context(place.0, place.1, place.2), &nonce, &sealed);
        Some([hex(&self.salt), hex(&nonce), hex(tag.get(..TAG)?), hex(&sealed)].join("."))
    }

    /// Opens what [`Self::seal`] made, of whatever process, when the password is the same.
    pub(super) fn open(&self, password: &Password, place: (&str, &str, &str), text: &str) -> Option<Zeroizing<Vec<u8>>> {
        let mut parts = text.splitn(4, '.').map(unhex);
        let (salt, nonce) = (parts.next()??, parts.next()??);
        let (given, sealed) = (parts.next()??, parts.next()??);
        if nonce.len() != 16 || given.len() != TAG || sealed.len() > LONGEST {
            return None;
        }
        let key = self.key(password, salt.try_into().ok()?);
        let own = tag(key.as_slice(), &context(place.0, place.1, place.2), &nonce, &sealed);
        let right = bool::from(own.get(..TAG)?.ct_eq(&given));
        right.then(|| Zeroizing::new(stream(key.as_slice(), &nonce, &sealed)))
    }

    /// A mark of a password for one account: equal for equal passwords, and telling nothing else.
    pub(super) fn mark(&self, password: &Password, bmc: &str, user: &str) -> String {
        self.mark_with(password, self.salt, bmc, user)
    }

    fn mark_with(&self, password: &Password, salt: [u8; 16], bmc: &str, user: &str) -> String {
        let key = self.key(password, salt);
        let mark = mac(key.as_slice(), &[b"mark", &context(bmc, user, "")]);
        format!("{}.{}", hex(&salt), hex(mark.get(..TAG).unwrap_or_default()))
    }

    /// Whether a mark is this password's.
    pub(super) fn marks(&self, mark: &str, password: &Password, bmc: &str, user: &str) -> bool {
        let salt = mark.split_once('.').and_then(|(salt, _)| unhex(salt)).and_then(|salt| salt.try_into().ok());
        salt.is_some_and(|salt| bool::from(self.mark_with(password, salt, bmc, user).as_bytes().ct_eq(mark.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLACE: (&str, &str, &str) = ("10.0.0.1:443", "admin", "/redfish/v1/SessionService/Sessions/3");

    #[test]
    fn what_is_sealed_opens_with_the_same_password_and_place_only() {
        let (one, two) = (Sealer::new(), Sealer::new());
        let (right, wrong) = (Password::new("hunter2"), Password::new("hunter3"));
        let text = one.seal(&right, PLACE, b"0123456789abcdef0123456789abcdef").unwrap();
        assert!(!text.contains("0123456789abcdef0123456789abcdef") && !text.contains("hunter2"));
        assert_eq!(two.open(&right, PLACE, &text).unwrap().as_slice(), b"0123456789abcdef0123456789abcdef");
        assert!(two.open(&wrong, PLACE, &text).is_none());
        assert!(two.open(&right, (PLACE.0, PLACE.1, "/redfish/v1/SessionService/Sessions/4"), &text).is_none());
        assert_ne!(one.seal(&right, PLACE, b"x"), one.seal(&right, PLACE, b"x"), "another nonce each time");
        assert!(one.seal(&right, PLACE, &[0; LONGEST + 1]).is_none());
        let mark = one.mark(&right, "10.0.0.1:443", "admin");
        assert!(two.marks(&mark, &right, "10.0.0.1:443", "admin"));
        assert!(!two.marks(&mark, &wrong, "10.0.0.1:443", "admin") && !two.marks(&mark, &right, "10.0.0.2:443", "admin"));
    }

    #[test]
    fn keys_are_those_of_pbkdf2() {
        // Python: hashlib.pbkdf2_hmac('sha256', b'password', b'salt', 4096).hex()
        let key = derive(&Password::new("password"), b"salt");
        assert_eq!(hex(key.as_slice()), "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_text_opens_or_does_not(text in "[0-9a-f.]{0,140}", bent in 0_usize..120) {
            let sealer = Sealer::new();
            let password = Password::new("x");
            prop_assert!(sealer.open(&password, PLACE, &text).is_none());
            prop_assert!(!sealer.marks(&text, &password, "b", "u"));
            let mut good = sealer.seal(&password, PLACE, b"token").unwrap().into_bytes();
            if let Some(byte) = good.get_mut(bent) && *byte != b'.' { *byte = if *byte == b'0' { b'1' } else { b'0' };
                prop_assert!(sealer.open(&password, PLACE, &String::from_utf8(good).unwrap()).is_none());
            }
        }
    }
}
