//! The codes and keys of the handshake (IPMI v2.0 §13.31, §13.32). Key material is wiped when dropped; comparisons take constant time.

use zeroize::{Zeroize, Zeroizing};

use super::suite::{Code, Suite};

/// Longest user name (§22.28) and password (§22.30) of IPMI 2.0.
pub const MAX_USER: usize = 16;
/// Longest password.
pub const MAX_PASSWORD: usize = 20;

/// Longest password of IPMI 1.5; a BMC that was given a longer one in the old form kept this much (§22.30).
pub const MAX_OLD_PASSWORD: usize = 16;

/// Everything that both sides know after RAKP message 2.
pub struct Facts<'a> {
    /// Suite.
    pub suite: Suite,
    /// Session id of our side.
    pub our_session: u32,
    /// Session id of the BMC's side.
    pub bmc_session: u32,
    /// Random number of our side.
    pub our_nonce: &'a [u8; 16],
    /// Random number of the BMC's side.
    pub bmc_nonce: &'a [u8; 16],
    /// GUID of the BMC.
    pub guid: &'a [u8; 16],
    /// Role byte as sent in RAKP message 1.
    pub role: u8,
    /// User name.
    pub user: &'a [u8],
}

impl Facts<'_> {
    fn user_len(&self) -> [u8; 1] {
        [u8::try_from(self.user.len()).unwrap_or(u8::MAX)]
    }

    /// The code that RAKP message 2 must carry: proves that the BMC knows the password.
    #[must_use]
    pub fn rakp2(&self, password: &[u8]) -> Code {
        self.suite.keyed_hash(
            password,
            &[
                &self.our_session.to_le_bytes(),
                &self.bmc_session.to_le_bytes(),
                self.our_nonce,
                self.bmc_nonce,
                self.guid,
                &[self.role],
                &self.user_len(),
                self.user,
            ],
        )
    }

    /// The code of RAKP message 3: proves that we know it.
    #[must_use]
    pub fn rakp3(&self, password: &[u8]) -> Code {
        let id = self.our_session.to_le_bytes();
        self.suite.keyed_hash(password, &[self.bmc_nonce, &id, &[self.role], &self.user_len(), self.user])
    }

    /// Session integrity key; `kg` is the BMC's own key when one is set, else the password.
    #[must_use]
    pub fn sik(&self, kg: &[u8]) -> Code {
        self.suite.keyed_hash(kg, &[self.our_nonce, self.bmc_nonce, &[self.role], &self.user_len(), self.user])
    }

    /// The check value of RAKP message 4, truncated by the caller.
    #[must_use]
    pub fn rakp4(&self, sik: &Code) -> Code {
        self.suite.keyed_hash(sik.bytes(), &[self.our_nonce, &self.bmc_session.to_le_bytes(), self.guid])
    }

    /// The keys of the session.
    #[must_use]
    pub fn keys(&self, sik: &Code) -> Keys {
        // The constants are 20 bytes with every hash (§13.32; FreeIPMI and ipmitool agree for SHA-256).
        let integrity = self.suite.keyed_hash(sik.bytes(), &[&[0x01; 20]]);
        let secrecy = self.suite.keyed_hash(sik.bytes(), &[&[0x02; 20]]);
        let mut aes = Zeroizing::new([0u8; 16]);
        aes.iter_mut().zip(secrecy.bytes()).for_each(|(to, from)| *to = *from);
        Keys { integrity, aes }
    }
}

/// Keys of a session.
pub struct Keys {
    /// K1: for the code of every packet.
    pub integrity: Code,
    /// The first 128 bits of K2: for AES.
    pub aes: Zeroizing<[u8; 16]>,
}

/// The optional key of the BMC itself (K_g, §13.33): up to 20 bytes.
#[derive(Clone)]
pub struct BmcKey([u8; 20]);

impl BmcKey {
    /// Takes 1 to 20 bytes, padded with zeros as the BMC does.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > 20 {
            return None;
        }
        let mut key = [0; 20];
        key.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Some(Self(key))
    }

    /// Reads 40 hexadecimal digits, in front of which `0x` may stand.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        let mut key = Self([0; 20]);
        let (pairs, odd) = digits.as_bytes().as_chunks::<2>();
        if pairs.len() != key.0.len() || !odd.is_empty() {
            return None;
        }
        for (to, [high, low]) in key.0.iter_mut().zip(pairs) {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
            *to = digit(*high)? << 4 | digit(*low)?;
        }
        Some(key)
    }

    /// True for twenty noughts, by which the standard says that there is no key (§22.25).
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0 == [0; 20]
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for BmcKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
