//! From a packet to what is sent back, without a socket or a clock: every rule of the DHCP server can be tried here.
//!
//! There is no lease database: the address of a node is what the inventory says, today and after a restart. So a release changes nothing, a
//! request for any other address is refused at once, and two servers with the same inventory can stand side by side.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use dhcproto::v4::MessageType;

use super::firmware::{Firmware, firmware, shown};
use super::packet::{Ask, Heard, Kind};
use super::registry::{Registry, Station, Whose};
use super::reply::{Boot, Draft};
use super::sight::{Discovery, Sent, Sight};

/// What the server does for the nodes of the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Gives each its address, and what to boot.
    Reserve,
    /// Tells each what to boot; a DHCP server of the site gives the addresses.
    Proxy,
}

/// Who answers.
#[derive(Debug, Clone)]
pub struct Identity {
    /// What is done.
    pub mode: Mode,
    /// Our address on the interface: the server's name in DHCP.
    pub address: Ipv4Addr,
    /// Base URL of our HTTP half, for nodes whose inventory names no boot server.
    pub http: String,
}

/// Where a packet came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Port 67: what machines ask DHCP servers.
    Server,
    /// Port 4011: what machines ask boot servers.
    BootServer,
    /// Port 68: what other servers answer.
    Client,
}

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To all on the interface, port 68: the client has no address yet.
    Everyone,
    /// To a client that has one, port 68.
    Client(Ipv4Addr),
    /// To a relay, port 67.
    Relay(Ipv4Addr),
    /// Back to where the packet came from.
    Sender(SocketAddrV4),
}

/// A packet to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where it goes.
    pub to: To,
    /// How long it is held back.
    pub delay: Duration,
}

/// What follows from one packet: at most one packet back, and what was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// What to send.
    pub reply: Option<Reply>,
    /// What to tell.
    pub sights: Vec<Sight>,
}

impl Answer {
    fn only(sight: Sight) -> Self {
        Self { reply: None, sights: vec![sight] }
    }
}

/// Answers one packet.
#[must_use]
pub fn answer(packet: &[u8], from: SocketAddrV4, door: Door, registry: &Registry, me: &Identity) -> Answer {
    if door == Door::Client {
        return overheard(packet, from, me);
    }
    let ask = match Ask::read(packet) {
        Ok(ask) => ask,
        Err(why) => return Answer::only(Sight::Malformed { from: *from.ip(), why }),
    };
    let mut answer = match registry.whose(ask.mac) {
        Whose::Node(station) => known(&ask, from, door, station, me),
        Whose::Several(nodes) => {
            let names: Vec<&str> = nodes.iter().map(|node| node.as_str()).collect();
            let why = format!("the facts give this MAC to {}", names.join(" and "));
            Answer::only(Sight::Refused { node: None, mac: ask.mac, why })
        }
        Whose::Bmc(node) => Answer::only(Sight::Discovered(Discovery::of(&ask, Some(format!("the BMC of {node}"))))),
        Whose::Nobody => {
            let likely = ask.uuid().and_then(|uuid| registry.by_uuid(&uuid).map(|node| format!("its UUID is that of {node}")));
            Answer::only(Sight::Discovered(Discovery::of(&ask, likely)))
        }
    };
    if let Some(server) = ask.server.filter(|server| me.mode == Mode::Reserve && foreign(*server, me)) {
        answer.sights.push(Sight::Foreign { server, mac: ask.mac });
    }
    answer
}

fn foreign(server: Ipv4Addr, me: &Identity) -> bool {
    server != me.address && !server.is_unspecified()
}

/// What another server said. Beside a site's own DHCP that is no news.
fn overheard(packet: &[u8], from: SocketAddrV4, me: &Identity) -> Answer {
    match Heard::read(packet) {
        Ok(Some(Heard { server, mac })) if me.mode == Mode::Reserve && foreign(server, me) => {
            Answer::only(Sight::Foreign { server, mac })
        }
        Ok(_) => Answer::default(),
        Err(why) => Answer::only(Sight::Malformed { from: *from.ip(), why }),
    }
}

/// A question of one node.
struct Talk<'a> {
    ask: &'a Ask,
    from: SocketAddrV4,
    station: &'a Station,
    me: &'a Identity,
    firmware: Option<Firmware>,
}

fn known(ask: &Ask, from: SocketAddrV4, door: Door, station: &Station, me: &Identity) -> Answer {
    let talk = Talk { ask, from, station, me, firmware: firmware(&ask.arch) };
    if let Some(why) = talk.wrong_relay().or_else(|| talk.wrong_machine()) {
        return talk.refused(why);
    }
    match me.mode {
        Mode::Reserve => talk.reserve(),
        Mode::Proxy => talk.proxy(door),
    }
}

impl Talk<'_> {
    /// The relay is where the answer goes, and it is the question's word: never to a group, to all of a network, to ourselves or to the node.
    fn wrong_relay(&self) -> Option<String> {
        let relay = self.ask.giaddr;
        if relay.is_unspecified() {
            return None;
        }
        let group = relay.is_multicast() || relay.is_loopback() || matches!(relay.octets()[0], 0 | 240..);
        let edge = self.station.lan.as_ref().is_some_and(|lan| lan.network.contains(relay) && !lan.network.has_room_for(relay));
        let known = relay == self.me.address || self.station.address == Some(relay);
        (group || edge || known).then(|| format!("it names {relay} as its relay, which no relay can be"))
    }

    /// What the machine says of its processor must be what the inventory says.
    fn wrong_machine(&self) -> Option<String> {
        if self.ask.arch.is_empty() {
            return None;
        }
        let want = self.station.arch;
        match &self.firmware {
            Some(firmware) if firmware.arch == want => None,
            Some(firmware) => Some(format!("it asks as {}, and the inventory says {want}", firmware.word)),
            None => {
                let what = shown(&self.ask.arch).unwrap_or_default();
                Some(format!("it asks as {what}, which there is no loader for; the inventory says {want}"))
            }
        }
    }

    fn refused(&self, why: String) -> Answer {
        Answer::only(Sight::Refused { node: Some(self.station.node.clone()), mac: self.ask.mac, why })
    }

    /// An address, and what to boot.
    fn reserve(&self) -> Answer {
        let (Some(address), Some(lan)) = (self.station.address, &self.station.lan) else {
            return self.refused("the inventory has no `boot.network` for it, so it gets no address here".into());
        };
        let giaddr = self.ask.giaddr;
        let link = match self.ask.relayed(5).map(<[u8; 4]>::try_from) {
            Some(Ok(link)) => Ipv4Addr::from(link),
            _ => giaddr,
        };
        if !link.is_unspecified() && !lan.network.contains(link) {
            return self.refused(format!("it asks through the relay {link}, which is not in its network {}", lan.network));
        }
        match self.ask.kind {
            Kind::Discover => self.lease(MessageType::Offer, Sent::Offer, address),
            Kind::Request => {
                if self.ask.server.is_some_and(|server| foreign(server, self.me)) {
                    // It chose another server's offer; that is noted by the caller.
                    return Answer::default();
                }
                let asked = self.ask.requested.unwrap_or(self.ask.ciaddr);
                match asked == address {
                    true => self.lease(MessageType::Ack, Sent::Ack, address),
                    false => self.nak(asked),
                }
            }
            Kind::Inform => {
                let draft = self.draft(MessageType::Ack).keeps(self.ask.ciaddr).lan(lan, self.station.node.as_str(), self.ask);
                self.finish(draft, Sent::Ack, None, self.way())
            }
            Kind::Decline => {
                if self.ask.server.is_some_and(|server| foreign(server, self.me)) {
                    return Answer::default();
                }
                let asked = self.ask.requested.unwrap_or(address);
                self.refused(format!("it says that {asked} is in use by another machine; nobody else should have it"))
            }
            Kind::Release => Answer::only(Sight::Released { node: self.station.node.clone(), mac: self.ask.mac }),
        }
    }

    fn lease(&self, kind: MessageType, sent: Sent, address: Ipv4Addr) -> Answer {
        let Some(lan) = &self.station.lan else { return Answer::default() };
        let mut draft = self.draft(kind).yours(address).lan(lan, self.station.node.as_str(), self.ask).lease(lan.lease_s);
        if kind == MessageType::Ack {
            draft = draft.keeps(self.ask.ciaddr);
        }
        self.finish(draft, sent, Some(address), self.way())
    }

    /// The address that it wants is not its own. It learns that at once, and asks anew.
    fn nak(&self, asked: Ipv4Addr) -> Answer {
        let draft =
            self.draft(MessageType::Nak).because(format!("{asked} is not the address of {}", self.station.node)).broadcast();
        let to = if self.ask.giaddr.is_unspecified() { To::Everyone } else { To::Relay(self.ask.giaddr) };
        match draft.bytes() {
            Some(bytes) => Answer {
                reply: Some(Reply { bytes, to, delay: self.delay() }),
                sights: vec![self.given(Sent::Nak, Some(asked), None)],
            },
            None => self.too_long(),
        }
    }

    /// What to boot, and nothing else.
    fn proxy(&self, door: Door) -> Answer {
        let (kind, sent) = match (door, self.ask.kind) {
            (Door::Server, Kind::Discover) => (MessageType::Offer, Sent::BootOffer),
            (Door::BootServer, Kind::Request | Kind::Inform) => (MessageType::Ack, Sent::BootAck),
            _ => return Answer::default(),
        };
        // Who does not ask for a boot server gets no answer: it would take ours for an address.
        let asks = self.ask.class.starts_with(b"PXEClient") || self.ask.class.starts_with(b"HTTPClient");
        let Some(boot) = self.boot().filter(|_| asks) else { return Answer::default() };
        let to = match door {
            Door::BootServer if !self.from.ip().is_unspecified() => To::Sender(self.from),
            _ => self.way(),
        };
        let draft = self.draft(kind).keeps(self.ask.ciaddr).proxy(&boot, self.ask);
        self.finish(draft, sent, None, to)
    }

    fn draft(&self, kind: MessageType) -> Draft {
        Draft::to(self.ask, kind, self.me.address)
    }

    fn finish(&self, draft: Draft, sent: Sent, address: Option<Ipv4Addr>, to: To) -> Answer {
        let boot = self.boot();
        let draft = match &boot {
            Some(boot) => draft.boot(boot, self.me.address, self.ask),
            None => draft,
        };
        match draft.bytes() {
            Some(bytes) => Answer {
                reply: Some(Reply { bytes, to, delay: self.delay() }),
                sights: vec![self.given(sent, address, boot.as_ref())],
            },
            None => self.too_long(),
        }
    }

    fn too_long(&self) -> Answer {
        self.refused(format!("the answer is longer than the {} bytes that it takes", self.ask.room))
    }

    fn given(&self, sent: Sent, address: Option<Ipv4Addr>, boot: Option<&Boot>) -> Sight {
        Sight::Given {
            node: self.station.node.clone(),
            rack: self.station.rack.clone(),
            mac: self.ask.mac,
            sent,
            address,
            boot: boot.map(Boot::shown),
            firmware: shown(&self.ask.arch),
        }
    }

    /// What it boots: a machine that says no architecture is a running system and boots nothing.
    fn boot(&self) -> Option<Boot> {
        if !self.station.netboots {
            return None;
        }
        let base = self.station.server.as_deref().unwrap_or(&self.me.http);
        if self.ask.ipxe {
            return Some(Boot::Script(format!("{base}/boot.ipxe")));
        }
        let firmware = self.firmware?;
        if firmware.http || self.ask.class.starts_with(b"HTTPClient") {
            return Some(Boot::Http(format!("{base}/loader/{}", firmware.loader)));
        }
        let server = self.station.lan.as_ref().and_then(|lan| lan.next_server).unwrap_or(self.me.address);
        self.ask.class.starts_with(b"PXEClient").then_some(Boot::Tftp { server, file: firmware.loader })
    }

    /// Where an answer goes (RFC 2131 §4.1). A client without an address is answered by broadcast, whether it asks for that or not: to
    /// reach it at the address to come, its MAC would have to be put into the kernel's table of neighbours first.
    fn way(&self) -> To {
        let (giaddr, ciaddr) = (self.ask.giaddr, self.ask.ciaddr);
        match (giaddr.is_unspecified(), ciaddr.is_unspecified()) {
            (false, _) => To::Relay(giaddr),
            // An address that the client says it has is only used when it is its own: nobody else is to be sent a packet by it.
            (true, false) if self.station.address == Some(ciaddr) => To::Client(ciaddr),
            _ => To::Everyone,
        }
    }

    fn delay(&self) -> Duration {
        Duration::from_secs(self.station.lan.as_ref().map_or(0, |lan| lan.reply_delay_s).into())
    }
}
