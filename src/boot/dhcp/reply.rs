//! Makes the bytes of an answer. What goes in comes from the inventory and, echoed, from the question.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Encodable as _, Encoder};

use super::packet::Ask;
use crate::model::Lan;

/// Shortest packet that old relays and ROMs take (RFC 1542 §2.1).
const SHORTEST: usize = 300;
/// Where the options begin.
const OPTIONS: usize = 240;
/// Longest boot file that the header's field holds with its end marker.
const FILE: usize = 127;
/// IP and UDP headers, which option 57 counts and a packet does not hold.
const AROUND: usize = 28;
/// Marker behind the last option.
const END: u8 = 255;
/// Longest packet whatever the client says: an Ethernet frame's.
const FRAME: usize = 1500;

/// What to boot, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Boot {
    /// By TFTP.
    Tftp { server: Ipv4Addr, file: &'static str },
    /// By HTTP; the firmware wants to be told that it was understood (UEFI 2.5 §23.7.3).
    Http(String),
    /// iPXE's script.
    Script(String),
}

impl Boot {
    /// For people.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Tftp { server, file } => format!("tftp://{server}/{file}"),
            Self::Http(url) | Self::Script(url) => url.clone(),
        }
    }

    fn file(&self) -> &[u8] {
        match self {
            Self::Tftp { file, .. } => file.as_bytes(),
            Self::Http(url) | Self::Script(url) => url.as_bytes(),
        }
    }
}

/// An answer under way.
pub(super) struct Draft {
    message: Message,
    room: usize,
    relay: Vec<u8>,
}

impl Draft {
    /// The frame of an answer: what the question's header asks to have back (RFC 2131 table 3).
    pub(super) fn to(ask: &Ask, kind: MessageType, server: Ipv4Addr) -> Self {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(ask.xid, none, none, none, ask.giaddr, &ask.mac.octets());
        message.set_opcode(Opcode::BootReply).set_flags(Flags::new(ask.flags));
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        message.opts_mut().insert(DhcpOption::ServerIdentifier(server));
        if !ask.client.is_empty() {
            // RFC 6842: who sends it gets it back.
            message.opts_mut().insert(DhcpOption::ClientIdentifier(ask.client.clone()));
        }
        Self { message, room: usize::from(ask.room).min(FRAME) - AROUND, relay: ask.relay.clone() }
    }

    /// The address that is the node's.
    pub(super) fn yours(mut self, address: Ipv4Addr) -> Self {
        self.message.set_yiaddr(address);
        self
    }

    /// The address that the client has.
    pub(super) fn keeps(mut self, address: Ipv4Addr) -> Self {
        self.message.set_ciaddr(address);
        self
    }

    /// A relay must broadcast it: the client cannot be reached at the address that it thinks it has.
    pub(super) fn broadcast(mut self) -> Self {
        let flags = self.message.flags().set_broadcast();
        self.message.set_flags(flags);
        self
    }

    /// Why the answer is what it is.
    pub(super) fn because(mut self, why: String) -> Self {
        self.message.opts_mut().insert(DhcpOption::Message(why));
        self
    }

    /// What the node is told of its network.
    pub(super) fn lan(mut self, lan: &Lan, name: &str, ask: &Ask) -> Self {
        let options = self.message.opts_mut();
        options.insert(DhcpOption::SubnetMask(lan.network.mask()));
        options.insert(DhcpOption::BroadcastAddr(lan.network.broadcast()));
        if let Some(router) = lan.router {
            options.insert(DhcpOption::Router(vec![router]));
        }
        if !lan.dns.is_empty() {
            options.insert(DhcpOption::DomainNameServer(lan.dns.clone()));
        }
        if ask.wants(OptionCode::Hostname) {
            options.insert(DhcpOption::Hostname(name.to_owned()));
        }
        self
    }

    /// How long it holds, and when to ask again: at the half and at seven eighths (RFC 2131 §4.4.5).
    pub(super) fn lease(mut self, seconds: u32) -> Self {
        let options = self.message.opts_mut();
        options.insert(DhcpOption::AddressLeaseTime(seconds));
        options.insert(DhcpOption::Renewal(seconds / 2));
        options.insert(DhcpOption::Rebinding(seconds / 8 * 7));
        self
    }

    /// What to boot.
    pub(super) fn boot(mut self, boot: &Boot, me: Ipv4Addr, ask: &Ask) -> Self {
        // iPXE takes a boot server's answer without a next server for one that says nothing, even when the file is a URL (seen with
        // Debian's 1.0.0+git-20190125, which then asks port 4011 until it gives up).
        self.message.set_siaddr(me);
        let file = boot.file();
        let fits = file.len() <= FILE;
        if fits {
            self.message.set_fname(file);
        }
        if let Boot::Tftp { server, .. } = boot {
            self.message.set_siaddr(*server);
            if ask.wants(OptionCode::TFTPServerName) {
                self.message.opts_mut().insert(DhcpOption::TFTPServerName(server.to_string().into_bytes()));
            }
        }
        if matches!(boot, Boot::Http(_)) {
            self.message.opts_mut().insert(DhcpOption::ClassIdentifier(b"HTTPClient".to_vec()));
        }
        if !fits || ask.wants(OptionCode::BootfileName) {
            self.message.opts_mut().insert(DhcpOption::BootfileName(file.to_vec()));
        }
        self
    }

    /// Marks it as one of a boot server beside the site's DHCP (PXE 2.1 §2.2.3): the machine's identifier comes back, and option 43 says
    /// "fetch the named file at once" (`PXE_DISCOVERY_CONTROL`, bit 3), so that no menu and no further question follow.
    pub(super) fn proxy(mut self, boot: &Boot, ask: &Ask) -> Self {
        let options = self.message.opts_mut();
        if !matches!(boot, Boot::Http(_)) {
            options.insert(DhcpOption::ClassIdentifier(b"PXEClient".to_vec()));
            options.insert(DhcpOption::VendorExtensions(vec![6, 1, 8, 255]));
        }
        if !ask.machine.is_empty() {
            options.insert(DhcpOption::ClientMachineIdentifier(ask.machine.clone()));
        }
        self
    }

    /// The bytes; `None` when they do not fit what the client takes.
    pub(super) fn bytes(self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(SHORTEST);
        self.message.encode(&mut Encoder::new(&mut bytes)).ok()?;
        // The message type first, as other servers write it; the codec sorts by number.
        let mut at = OPTIONS;
        while let Some([code, length]) = bytes.get(at..at + 2) {
            let end = at + 2 + usize::from(*length);
            if *code == u8::from(OptionCode::MessageType) {
                if let Some(before) = bytes.get_mut(OPTIONS..end) {
                    before.rotate_right(end - at);
                }
                break;
            }
            at = end;
        }
        if !self.relay.is_empty() {
            // Echoed as it came, and last (RFC 3046 §2.2). Not by the codec: dhcproto 0.15 writes an option 82 that it was given as bytes
            // twice, and one that it has read itself without the fields that it could not read.
            bytes.pop_if(|last| *last == END);
            for part in self.relay.chunks(255) {
                bytes.extend([u8::from(OptionCode::RelayAgentInformation), u8::try_from(part.len()).unwrap_or(u8::MAX)]);
                bytes.extend_from_slice(part);
            }
            bytes.push(END);
        }
        if bytes.len() < SHORTEST {
            bytes.resize(SHORTEST, 0);
        }
        (bytes.len() <= self.room).then_some(bytes)
    }
}
