//! Reads what a machine asks (RFC 2131, 2132, 4578), of any bytes: a typed question or the reason why it is none. The header is read by
//! `dhcproto`; the options are walked here, since one unreadable option that nobody needs must not hide the others, and since what a relay
//! added must go back byte for byte.

use std::net::Ipv4Addr;

use dhcproto::v4::borrowed::Message;
use dhcproto::v4::{HType, MessageType, Opcode, OptionCode};
use serde::Serialize;

use crate::model::Mac;

/// Header and magic cookie: less is no DHCP.
const HEADER: usize = 240;
/// Longest packet that is read; option 57 of real machines says 1,472 at most, since no fragment survives a boot ROM.
pub(super) const LONGEST: usize = 1500;
/// What a client takes when it does not say (RFC 2131 §2): an IP datagram of 576 bytes.
const LEAST_ROOM: u16 = 576;
/// Most relays on the way (RFC 1542 §4.1.1).
const HOPS: u8 = 16;

/// Why a packet is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Malformed {
    /// Shorter than the header and its cookie.
    #[error("it is shorter than 240 bytes")]
    Short,
    /// Longer than any packet on a wire.
    #[error("it is longer than 1500 bytes")]
    Long,
    /// Neither a request nor a reply.
    #[error("its operation is not the one that belongs to this port")]
    Operation,
    /// Not an Ethernet address of six bytes.
    #[error("it does not come from an Ethernet address")]
    Hardware,
    /// All zeros, or a group's.
    #[error("its hardware address is one that no interface has")]
    GroupAddress,
    /// No magic cookie.
    #[error("it has no DHCP cookie")]
    Cookie,
    /// An option runs over the end.
    #[error("an option runs over the end of the packet")]
    Cut,
    /// An option that is needed has another length than its kind.
    #[error("an option has a length that its kind does not have")]
    Length,
    /// No message type, or none that a client sends.
    #[error("it has no message type that a client sends")]
    Type,
    /// More relays than any network has.
    #[error("it went through more than 16 relays")]
    Hops,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Discover,
    Request,
    Decline,
    Release,
    Inform,
}

/// One question, read off the wire.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) kind: Kind,
    pub(super) xid: u32,
    pub(super) flags: u16,
    pub(super) ciaddr: Ipv4Addr,
    pub(super) giaddr: Ipv4Addr,
    pub(super) mac: Mac,
    /// Option 50.
    pub(super) requested: Option<Ipv4Addr>,
    /// Option 54.
    pub(super) server: Option<Ipv4Addr>,
    /// Option 55.
    pub(super) wants: Vec<u8>,
    /// Option 57: size of the IP datagram that the client takes.
    pub(super) room: u16,
    /// Option 60.
    pub(super) class: Vec<u8>,
    /// Option 61.
    pub(super) client: Vec<u8>,
    /// Option 82, with all that the relays put in.
    pub(super) relay: Vec<u8>,
    /// Option 93: all that are named.
    pub(super) arch: Vec<u16>,
    /// Option 97, with its type byte.
    pub(super) machine: Vec<u8>,
    /// Option 77 names iPXE, or option 175 is there.
    pub(super) ipxe: bool,
}

impl Ask {
    /// Reads a request.
    pub(super) fn read(packet: &[u8]) -> Result<Self, Malformed> {
        let header = header(packet, Opcode::BootRequest)?;
        if header.hops() > HOPS {
            return Err(Malformed::Hops);
        }
        let mut found = Found::default();
        options(packet, &mut |code, data| found.take(code, data))?;
        let kind = match found.kind.map(MessageType::from) {
            Some(MessageType::Discover) => Kind::Discover,
            Some(MessageType::Request) => Kind::Request,
            Some(MessageType::Decline) => Kind::Decline,
            Some(MessageType::Release) => Kind::Release,
            Some(MessageType::Inform) => Kind::Inform,
            _ => return Err(Malformed::Type),
        };
        let arch = found.arch.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        Ok(Self {
            kind,
            xid: header.xid(),
            flags: header.flags().into(),
            ciaddr: header.ciaddr(),
            giaddr: header.giaddr(),
            mac: mac(&header)?,
            requested: found.requested,
            server: found.server,
            wants: found.wants,
            room: found.room.unwrap_or(LEAST_ROOM).max(LEAST_ROOM),
            class: found.class,
            client: found.client,
            relay: found.relay,
            arch,
            machine: found.machine,
            ipxe: found.etherboot || found.user.windows(4).any(|w| w == b"iPXE"),
        })
    }

    /// Whether the option is on the client's list.
    pub(super) fn wants(&self, code: OptionCode) -> bool {
        self.wants.contains(&u8::from(code))
    }

    /// SMBIOS UUID of option 97 (RFC 4578 §2.3: type 0, 16 bytes), written as the BMC and the system write it: the first three fields
    /// are little-endian on the wire (SMBIOS 3.7 §7.2.1).
    pub(super) fn uuid(&self) -> Option<String> {
        let bytes: [u8; 16] = self.machine.strip_prefix(&[0])?.try_into().ok()?;
        if bytes == [0; 16] || bytes == [0xff; 16] {
            return None;
        }
        let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        let mut text = String::with_capacity(36);
        for (n, at) in order.into_iter().enumerate() {
            if matches!(n, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push_str(&format!("{:02x}", bytes.get(at).copied().unwrap_or_default()));
        }
        Some(text)
    }

    /// One of the fields that a relay adds (RFC 3046): 1 is the circuit, 2 the remote end, 5 the link (RFC 3527).
    pub(super) fn relayed(&self, code: u8) -> Option<&[u8]> {
        let mut rest = self.relay.as_slice();
        while let [found, length, tail @ ..] = rest {
            let (data, next) = tail.split_at_checked(usize::from(*length))?;
            if *found == code {
                return Some(data);
            }
            rest = next;
        }
        None
    }
}

/// An answer that another server sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    /// Option 54.
    pub(super) server: Ipv4Addr,
    /// To whom.
    pub(super) mac: Mac,
}

impl Heard {
    /// Reads a reply; `Ok(None)` for one that gives nothing and names no server.
    pub(super) fn read(packet: &[u8]) -> Result<Option<Self>, Malformed> {
        let header = header(packet, Opcode::BootReply)?;
        let mut found = Found::default();
        options(packet, &mut |code, data| found.take(code, data))?;
        let gives = matches!(found.kind.map(MessageType::from), Some(MessageType::Offer | MessageType::Ack | MessageType::Nak));
        let mac = mac(&header)?;
        Ok(found.server.filter(|_| gives).map(|server| Self { server, mac }))
    }
}

fn header(packet: &[u8], wanted: Opcode) -> Result<Message<'_>, Malformed> {
    if packet.len() > LONGEST {
        return Err(Malformed::Long);
    }
    if packet.len() < HEADER {
        return Err(Malformed::Short);
    }
    let header = Message::new(packet).map_err(|_| Malformed::Short)?;
    if header.opcode() != wanted {
        return Err(Malformed::Operation);
    }
    if packet.get(236..HEADER) != Some(dhcproto::v4::MAGIC.as_slice()) {
        return Err(Malformed::Cookie);
    }
    Ok(header)
}

fn mac(header: &Message<'_>) -> Result<Mac, Malformed> {
    // The length is looked at first: `chaddr` takes it for true.
    if header.hlen() != 6 || header.htype() != HType::Eth {
        return Err(Malformed::Hardware);
    }
    let octets: [u8; 6] = header.chaddr().try_into().map_err(|_| Malformed::Hardware)?;
    if octets == [0; 6] || octets[0] & 1 == 1 {
        return Err(Malformed::GroupAddress);
    }
    Ok(Mac::from_octets(octets))
}

type Take<'t> = &'t mut dyn FnMut(u8, &[u8]) -> Result<(), Malformed>;

/// Walks the options, and the fields `file` and `sname` when option 52 says that they hold more (RFC 2131 §4.1).
fn options(packet: &[u8], take: Take<'_>) -> Result<(), Malformed> {
    let mut overload = 0;
    let main = packet.get(HEADER..).unwrap_or_default();
    walk(main, &mut |code, data| {
        if code == u8::from(OptionCode::OptionOverload) {
            overload = *data.first().ok_or(Malformed::Length)?;
        }
        take(code, data)
    })?;
    if overload & 1 != 0 {
        walk(packet.get(108..236).unwrap_or_default(), take)?;
    }
    if overload & 2 != 0 {
        walk(packet.get(44..108).unwrap_or_default(), take)?;
    }
    Ok(())
}

fn walk(mut rest: &[u8], take: Take<'_>) -> Result<(), Malformed> {
    loop {
        match rest {
            // Some clients leave the end marker out; the datagram ends as well.
            [] | [255, ..] => return Ok(()),
            [0, tail @ ..] => rest = tail,
            [code, length, tail @ ..] => {
                let (data, next) = tail.split_at_checked(usize::from(*length)).ok_or(Malformed::Cut)?;
                take(*code, data)?;
                rest = next;
            }
            [_] => return Err(Malformed::Cut),
        }
    }
}

/// The options that matter. Those of free length are glued together when they come in parts (RFC 3396).
#[derive(Default)]
struct Found {
    kind: Option<u8>,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    room: Option<u16>,
    wants: Vec<u8>,
    class: Vec<u8>,
    client: Vec<u8>,
    user: Vec<u8>,
    relay: Vec<u8>,
    arch: Vec<u8>,
    machine: Vec<u8>,
    etherboot: bool,
}

impl Found {
    fn take(&mut self, code: u8, data: &[u8]) -> Result<(), Malformed> {
        let address = || <[u8; 4]>::try_from(data).map(Ipv4Addr::from).map_err(|_| Malformed::Length);
        match OptionCode::from(code) {
            OptionCode::MessageType => match data {
                [kind] => self.kind = Some(*kind),
                _ => return Err(Malformed::Length),
            },
            OptionCode::RequestedIpAddress => self.requested = Some(address()?),
            OptionCode::ServerIdentifier => self.server = Some(address()?),
            OptionCode::MaxMessageSize => {
                self.room = Some(u16::from_be_bytes(data.try_into().map_err(|_| Malformed::Length)?));
            }
            OptionCode::ParameterRequestList => self.wants.extend_from_slice(data),
            OptionCode::ClassIdentifier => self.class.extend_from_slice(data),
            OptionCode::ClientIdentifier => self.client.extend_from_slice(data),
            OptionCode::UserClass => self.user.extend_from_slice(data),
            OptionCode::RelayAgentInformation => self.relay.extend_from_slice(data),
            OptionCode::ClientSystemArchitecture => self.arch.extend_from_slice(data),
            OptionCode::ClientMachineIdentifier => self.machine.extend_from_slice(data),
            // Etherboot's own options, which iPXE always sends.
            OptionCode::Unknown(175) => self.etherboot = true,
            _ => {}
        }
        Ok(())
    }
}
