//! Typed names. A string that has passed one of these constructors is safe to print and to use as a key; it is never used as a path.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a string is not a valid name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a valid {kind}: {why}")]
pub struct IdError {
    /// What the string was meant to be, such as "node id".
    pub kind: &'static str,
    /// The offending string, escaped and cut to 80 characters.
    pub value: String,
    /// The rule that it breaks.
    pub why: &'static str,
}

impl IdError {
    pub(crate) fn new(kind: &'static str, value: &str, why: &'static str) -> Self {
        Self { kind, value: value.escape_debug().take(80).collect(), why }
    }
}

/// Names follow DNS label rules (RFC 1123 §2.1, 63 octets), since a node id becomes a host name.
fn check_name(kind: &'static str, value: &str) -> Result<(), IdError> {
    if value.is_empty() {
        return Err(IdError::new(kind, value, "it is empty"));
    }
    if value.len() > 63 {
        return Err(IdError::new(kind, value, "it is longer than 63 characters"));
    }
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !value.chars().all(inner) {
        return Err(IdError::new(kind, value, "only lower-case letters, digits and `-` are allowed"));
    }
    if value.starts_with('-') || value.ends_with('-') {
        return Err(IdError::new(kind, value, "it starts or ends with `-`"));
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps a string.
            ///
            /// # Errors
            /// [`IdError`] names the rule that the string breaks.
            pub fn new(value: impl Into<String>) -> Result<Self, IdError> {
                let value = value.into();
                let check: fn(&'static str, &str) -> Result<(), IdError> = $check;
                check($kind, &value)?;
                Ok(Self(value))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                Self::new(s)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(s: String) -> Result<Self, IdError> {
                Self::new(s)
            }
        }
        impl From<$name> for String {
            fn from(v: $name) -> String {
                v.0
            }
        }
    };
}

/// Free words that a vendor chose (component names, versions): printable, bounded, otherwise untouched.
fn check_word(kind: &'static str, value: &str) -> Result<(), IdError> {
    if value.trim().is_empty() {
        return Err(IdError::new(kind, value, "it is empty"));
    }
    if value.chars().count() > 128 {
        return Err(IdError::new(kind, value, "it is longer than 128 characters"));
    }
    if value.chars().any(char::is_control) {
        return Err(IdError::new(kind, value, "it holds control characters"));
    }
    Ok(())
}

name_type!(
    /// The name of a node, such as `a017-s03`; unique in a site and usable as a host name.
    NodeId, "node id", check_name
);
name_type!(
    /// The name of a rack, such as `a017`.
    RackId, "rack id", check_name
);
name_type!(
    /// The name of a run: one `apply` and all its resumptions.
    RunId, "run id", check_name
);
name_type!(
    /// The name of a plan: `plan-` and the first 12 hex digits of the SHA-256 of its content.
    PlanId, "plan id", check_name
);
name_type!(
    /// The name of a step inside one node's line, such as `1-netboot`.
    StepId, "step id", check_name
);
name_type!(
    /// A firmware or software component as the BMC or vendor tool names it.
    Component, "component", check_word
);
name_type!(
    /// A version string, compared by policy, never parsed as a number.
    Version, "version", check_word
);

fn check_digest(kind: &'static str, value: &str) -> Result<(), IdError> {
    if value.len() != 64 || !value.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(IdError::new(kind, value, "a SHA-256 is 64 lower-case hex digits"));
    }
    Ok(())
}
name_type!(
    /// A SHA-256 as 64 lower-case hex digits.
    Digest, "SHA-256", check_digest
);

impl Digest {
    /// Wraps 32 raw bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let digits = bytes.iter().flat_map(|b| [HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
        Self(digits.map(char::from).collect())
    }

    /// The first 12 hex digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

/// An Ethernet address, printed as six lower-case hex pairs with colons (IEEE 802 in the form that iPXE and Linux print).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

impl Mac {
    /// Wraps six octets.
    #[must_use]
    pub fn from_octets(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The six octets.
    #[must_use]
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for Mac {
    type Err = IdError;
    /// Accepts colons or hyphens, either case.
    fn from_str(s: &str) -> Result<Self, IdError> {
        let bad = || IdError::new("MAC address", s, "six hex pairs separated by `:` or `-` are expected");
        let mut octets = [0u8; 6];
        let mut parts = s.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().ok_or_else(bad)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() {
            return Err(bad());
        }
        if octets[0] & 1 == 1 {
            return Err(IdError::new("MAC address", s, "it is a group address, which no interface can own"));
        }
        if octets == [0; 6] {
            return Err(IdError::new("MAC address", s, "it is all zeros"));
        }
        Ok(Self(octets))
    }
}
impl TryFrom<String> for Mac {
    type Error = IdError;
    fn try_from(s: String) -> Result<Self, IdError> {
        s.parse()
    }
}
impl From<Mac> for String {
    fn from(m: Mac) -> String {
        m.to_string()
    }
}
impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let o = self.0;
        write!(f, "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", o[0], o[1], o[2], o[3], o[4], o[5])
    }
}
