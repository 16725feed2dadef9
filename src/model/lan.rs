//! The network that a node boots in, and what its processor is called: what a DHCP answer is made of.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Processor architecture of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Arch {
    /// 64-bit x86.
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    #[serde(rename = "aarch64")]
    Aarch64,
}

impl Arch {
    /// True for the one that stands when nothing is written.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        })
    }
}

/// An IPv4 network: its first address and the length of its prefix, from 8 to 30.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    base: Ipv4Addr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Not `ADDRESS/LENGTH`.
    #[error("an IPv4 network such as 10.77.0.0/16 is expected")]
    Form,
    /// Shorter than 8 or longer than 30: it holds either half the Internet or no node beside its router.
    #[error("the length of the prefix lies between 8 and 30")]
    Prefix,
    /// The address is one inside the network.
    #[error("that is an address inside the network {0}")]
    Inside(Network),
}

impl Network {
    /// The network mask.
    #[must_use]
    pub fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or_default())
    }

    /// The last address, at which all nodes listen.
    #[must_use]
    pub fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base.to_bits() | !self.mask().to_bits())
    }

    /// Whether the address belongs to it.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask().to_bits() == self.base.to_bits()
    }

    /// Whether a machine of it may have the address: neither the first nor the last.
    #[must_use]
    pub fn has_room_for(self, address: Ipv4Addr) -> bool {
        self.contains(address) && address != self.base && address != self.broadcast()
    }
}

impl FromStr for Network {
    type Err = NetworkError;
    fn from_str(s: &str) -> Result<Self, NetworkError> {
        let (base, prefix) = s.split_once('/').ok_or(NetworkError::Form)?;
        let base: Ipv4Addr = base.parse().map_err(|_| NetworkError::Form)?;
        if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NetworkError::Form);
        }
        let prefix = prefix.parse().ok().filter(|p| (8..=30).contains(p)).ok_or(NetworkError::Prefix)?;
        let network = Self { base, prefix };
        match network.contains(base) {
            true => Ok(network),
            false => {
                let base = Ipv4Addr::from_bits(base.to_bits() & network.mask().to_bits());
                Err(NetworkError::Inside(Self { base, prefix }))
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;
    fn try_from(s: String) -> Result<Self, NetworkError> {
        s.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_knows_its_edges() {
        let network: Network = "10.77.4.0/22".parse().unwrap();
        assert_eq!(network.mask(), Ipv4Addr::new(255, 255, 252, 0));
        assert_eq!(network.broadcast(), Ipv4Addr::new(10, 77, 7, 255));
        assert!(network.contains(Ipv4Addr::new(10, 77, 7, 255)) && !network.contains(Ipv4Addr::new(10, 77, 8, 0)));
        assert!(network.has_room_for(Ipv4Addr::new(10, 77, 5, 0)));
        assert!(!network.has_room_for(Ipv4Addr::new(10, 77, 4, 0)) && !network.has_room_for(network.broadcast()));
        assert_eq!(network.to_string(), "10.77.4.0/22");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for (text, why) in [
            ("10.0.0.0", NetworkError::Form),
            ("10.0.0.0/", NetworkError::Form),
            ("10.0.0.0/+8", NetworkError::Form),
            ("fd00::/64", NetworkError::Form),
            ("10.0.0.0/31", NetworkError::Prefix),
            ("10.0.0.0/7", NetworkError::Prefix),
            ("10.0.0.0/999", NetworkError::Prefix),
        ] {
            assert_eq!(text.parse::<Network>(), Err(why), "{text}");
        }
        let inside = "10.0.0.1/24".parse::<Network>().unwrap_err();
        assert_eq!(inside.to_string(), "that is an address inside the network 10.0.0.0/24");
    }
}
