//! Addresses as functions of the slot: `cidr(10.{row}.0.0/16, (n-1)*16+slot)`, or a template such as `10.0.{n}.{slot}`. The result always
//! lies inside the network and is never its first (network) or, in IPv4, its last (broadcast) address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::expression::{Expression, ExpressionError, Template, Variables, bad};

/// How an address is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressRule {
    /// A network and an offset into it.
    Cidr(Template, Expression),
    /// The address, spelt out.
    Plain(Template),
}

/// Why a slot gets no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The expression has no value here.
    #[error("{0}")]
    Expression(String),
    /// The text that came out is no address or network.
    #[error("`{0}` is not an {1}")]
    Unreadable(String, &'static str),
    /// The offset does not fit.
    #[error("offset {offset} lies outside {network}, which holds {first} to {last}")]
    Outside {
        /// Network.
        network: String,
        /// Offset that was asked for.
        offset: i64,
        /// First offset that can be used.
        first: u128,
        /// Last offset that can be used.
        last: u128,
    },
}

impl AddressRule {
    /// Reads a rule.
    ///
    /// # Errors
    /// With the place of what does not fit.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let Some(inside) = text.trim_end().strip_prefix("cidr(") else { return Ok(Self::Plain(Template::parse(text, 0)?)) };
        let inside = inside.strip_suffix(')').ok_or_else(|| bad(4, "`cidr(` is never closed"))?;
        let comma = inside.find(',').ok_or_else(|| bad(5, "`cidr(NETWORK, OFFSET)` needs two arguments"))?;
        let (network, offset) = inside.split_at(comma);
        Ok(Self::Cidr(Template::parse(network.trim(), 5)?, Expression::parse(offset.get(1..).unwrap_or(""), 5 + comma + 1)?))
    }

    /// The address of one slot.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn address(&self, variables: &Variables<'_>) -> Result<IpAddr, AddressError> {
        match self {
            Self::Plain(template) => {
                let text = template.fill(variables).map_err(AddressError::Expression)?;
                text.parse().map_err(|_| AddressError::Unreadable(super::diagnostic::quote(&text), "IP address"))
            }
            Self::Cidr(network, offset) => {
                let text = network.fill(variables).map_err(AddressError::Expression)?;
                let offset = offset.value(variables).map_err(AddressError::Expression)?;
                let unreadable = |what| AddressError::Unreadable(super::diagnostic::quote(&text), what);
                let (address, length) = text.split_once('/').ok_or_else(|| unreadable("IP network such as 10.0.0.0/16"))?;
                let address: IpAddr = address.parse().map_err(|_| unreadable("IP network such as 10.0.0.0/16"))?;
                let length: u32 = length.parse().map_err(|_| unreadable("IP network such as 10.0.0.0/16"))?;
                let (bits, base) = match address {
                    IpAddr::V4(a) => (32, u128::from(a.to_bits())),
                    IpAddr::V6(a) => (128, a.to_bits()),
                };
                if length > bits {
                    return Err(unreadable("IP network such as 10.0.0.0/16"));
                }
                let mask = 1u128.checked_shl(bits - length).map_or(u128::MAX, |size| size - 1);
                if base & mask != 0 {
                    return Err(unreadable("IP network: bits behind the prefix are set"));
                }
                let (first, last) = match (address, bits - length) {
                    (_, 0) => (0, 0),
                    (_, 1) => (0, 1),
                    (IpAddr::V4(_), _) => (1, mask - 1),
                    (IpAddr::V6(_), _) => (1, mask),
                };
                let outside = AddressError::Outside { network: text.clone(), offset, first, last };
                let within = u128::try_from(offset).ok().filter(|o| (first..=last).contains(o)).ok_or(outside)?;
                Ok(match address {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(base + within).unwrap_or(u32::MAX))),
                    IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(base + within)),
                })
            }
        }
    }
}

/// An address with or without a port, as a facts file writes it: `10.1.0.7`, `127.0.1.3:8443`, `[fd00::7]:443`.
#[must_use]
pub fn endpoint(text: &str, port: u16) -> Option<SocketAddr> {
    let with_port = text.parse().ok();
    let bare = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    with_port.or_else(|| bare.map(|ip| SocketAddr::new(ip, port))).filter(|a: &SocketAddr| a.port() != 0)
}
