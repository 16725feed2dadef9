//! The rules of the DHCP server, without a socket: packets written by hand, octet by octet, and read back the same way.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use bringup::boot::dhcp::{Answer, Door, Identity, Malformed, Mode, Registry, Sent, Sight, To, answer};
use bringup::model::{Arch, BootTarget, Inventory, Lan};

use crate::spec::fixture::{FACTS, SITE, load};

pub(super) const OWN: Ipv4Addr = Ipv4Addr::new(10, 101, 9, 1);
pub(super) const NODE: [u8; 6] = [2, 0, 0, 0, 0x11, 1];
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 101, 0, 1);
pub(super) const ANYBODY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);

/// The fixture's nodes, with a network.
pub(super) fn site() -> Inventory {
    let mut inventory = load(SITE, FACTS).unwrap().inventory;
    for node in inventory.nodes.values_mut() {
        let network = if node.rack.as_str().starts_with('a') { "10.101.0.0/16" } else { "10.102.0.0/16" };
        node.boot.lan = Some(Lan {
            network: network.parse().unwrap(),
            router: Some(Ipv4Addr::new(10, 101, 255, 254)),
            dns: vec![Ipv4Addr::new(10, 1, 1, 1), Ipv4Addr::new(10, 1, 1, 2)],
            lease_s: 3600,
            next_server: None,
            reply_delay_s: 0,
        });
    }
    inventory
}

pub(super) fn me(mode: Mode) -> Identity {
    Identity { mode, address: OWN, http: format!("http://{OWN}:8088") }
}

/// A question, as bytes.
#[derive(Clone)]
pub(super) struct Question {
    pub(super) mac: [u8; 6],
    pub(super) ciaddr: Ipv4Addr,
    pub(super) giaddr: Ipv4Addr,
    pub(super) options: Vec<(u8, Vec<u8>)>,
}

pub(super) fn ask(kind: u8) -> Question {
    Question {
        mac: NODE,
        ciaddr: Ipv4Addr::UNSPECIFIED,
        giaddr: Ipv4Addr::UNSPECIFIED,
        options: vec![(53, vec![kind]), (55, vec![1, 3, 6, 12, 67])],
    }
}

impl Question {
    pub(super) fn with(mut self, code: u8, data: &[u8]) -> Self {
        self.options.push((code, data.to_vec()));
        self
    }

    pub(super) fn ip(self, code: u8, address: Ipv4Addr) -> Self {
        self.with(code, &address.octets())
    }

    /// As a PXE ROM asks.
    pub(super) fn pxe(self, arch: u16) -> Self {
        let class = format!("PXEClient:Arch:{arch:05}:UNDI:002001");
        self.with(60, class.as_bytes()).with(93, &arch.to_be_bytes()).with(97, &[&[0], &[0x11; 16][..]].concat())
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef, 0, 4, 0, 0];
        bytes.extend(self.ciaddr.octets());
        bytes.extend([0; 8]);
        bytes.extend(self.giaddr.octets());
        bytes.extend(self.mac);
        bytes.resize(236, 0);
        bytes.extend([99, 130, 83, 99]);
        for (code, data) in &self.options {
            bytes.extend([*code, u8::try_from(data.len()).unwrap()]);
            bytes.extend(data);
        }
        bytes.push(255);
        bytes
    }

    pub(super) fn by(&self, inventory: &Inventory, mode: Mode, door: Door) -> Answer {
        answer(&self.bytes(), ANYBODY, door, &Registry::of(inventory), &me(mode))
    }

    pub(super) fn reserved(&self) -> Answer {
        self.by(&site(), Mode::Reserve, Door::Server)
    }
}

/// An answer, read without the codec that wrote it.
pub(super) struct Read {
    bytes: Vec<u8>,
    pub(super) options: BTreeMap<u8, Vec<u8>>,
    order: Vec<u8>,
}

pub(super) fn read(answer: &Answer) -> Read {
    let bytes = answer.reply.as_ref().unwrap_or_else(|| panic!("nothing was sent: {:?}", answer.sights)).bytes.clone();
    assert_eq!((bytes[0], bytes[1], bytes[2]), (2, 1, 6));
    assert_eq!(bytes[4..8], [0xde, 0xad, 0xbe, 0xef], "the question's number");
    assert!(bytes.len() >= 300 && bytes[236..240] == [99, 130, 83, 99]);
    let (mut options, mut order, mut at) = (BTreeMap::<u8, Vec<u8>>::new(), Vec::new(), 240);
    while bytes[at] != 255 {
        let length = usize::from(bytes[at + 1]);
        options.entry(bytes[at]).or_default().extend(&bytes[at + 2..at + 2 + length]);
        order.push(bytes[at]);
        at += 2 + length;
    }
    assert_eq!(order[0], 53, "the message type comes first");
    assert!(bytes[at + 1..].iter().all(|b| *b == 0), "nothing follows the end");
    Read { bytes, options, order }
}

impl Read {
    fn kind(&self) -> u8 {
        self.options[&53][0]
    }

    fn field(&self, at: usize) -> Ipv4Addr {
        Ipv4Addr::new(self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3])
    }

    fn yours(&self) -> Ipv4Addr {
        self.field(16)
    }

    fn file(&self) -> String {
        String::from_utf8(self.bytes[108..236].iter().copied().take_while(|b| *b != 0).collect()).unwrap()
    }
}

fn refusal(answer: &Answer) -> String {
    assert_eq!(answer.reply, None);
    let [Sight::Refused { why, .. }] = answer.sights.as_slice() else { panic!("{:?}", answer.sights) };
    why.clone()
}

#[test]
fn a_node_gets_its_own_address_and_what_belongs_to_it() {
    let answer = ask(1).with(61, b"\x01client").reserved();
    let got = read(&answer);
    assert_eq!((got.kind(), got.yours()), (2, ADDRESS));
    assert_eq!(answer.reply.as_ref().unwrap().to, To::Everyone);
    let want: [(u8, &[u8]); 10] = [
        (1, &[255, 255, 0, 0]),
        (3, &[10, 101, 255, 254]),
        (6, &[10, 1, 1, 1, 10, 1, 1, 2]),
        (12, b"a001-s01"),
        (28, &[10, 101, 255, 255]),
        (51, &3600_u32.to_be_bytes()),
        (54, &OWN.octets()),
        (58, &1800_u32.to_be_bytes()),
        (59, &3150_u32.to_be_bytes()),
        (61, b"\x01client"),
    ];
    for (code, data) in want {
        assert_eq!(got.options[&code], data, "option {code}");
    }
    assert_eq!(got.file(), "", "a system that runs is told nothing of booting");
    let ack = read(&ask(3).ip(50, ADDRESS).ip(54, OWN).reserved());
    assert_eq!((ack.kind(), ack.yours()), (5, ADDRESS));
}

#[test]
fn an_address_that_is_not_its_own_is_refused_and_none_is_sent_to_a_stranger() {
    let other = Ipv4Addr::new(10, 101, 0, 2);
    for question in [ask(3).ip(50, other), ask(3).ip(50, other).ip(54, OWN), Question { ciaddr: other, ..ask(3) }] {
        let answer = question.reserved();
        let got = read(&answer);
        assert_eq!((got.kind(), got.yours(), got.field(12)), (6, Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED));
        assert!(!got.options.contains_key(&51) && got.options[&54] == OWN.octets());
        assert_eq!(answer.reply.unwrap().to, To::Everyone, "it is no packet for whoever has that address");
        assert!(matches!(&answer.sights[..], [Sight::Given { sent: Sent::Nak, address: Some(a), .. }] if *a == other));
    }
    // Renewing its own address it is answered there, without a broadcast.
    let renewed = Question { ciaddr: ADDRESS, ..ask(3) }.reserved();
    assert_eq!((read(&renewed).kind(), renewed.reply.unwrap().to), (5, To::Client(ADDRESS)));
}

#[test]
fn inform_decline_and_release() {
    let informed = Question { ciaddr: ADDRESS, ..ask(8) }.reserved();
    let got = read(&informed);
    assert_eq!((got.kind(), got.yours(), informed.reply.unwrap().to), (5, Ipv4Addr::UNSPECIFIED, To::Client(ADDRESS)));
    assert!(got.options.contains_key(&6) && !got.options.contains_key(&51), "no lease to one that asks for none");
    let declined = ask(4).ip(50, ADDRESS).ip(54, OWN).reserved();
    assert_eq!(refusal(&declined), "it says that 10.101.0.1 is in use by another machine; nobody else should have it");
    let released = Question { ciaddr: ADDRESS, ..ask(7) }.reserved();
    assert!(
        released.reply.is_none() && matches!(&released.sights[..], [Sight::Released { node, .. }] if node.as_str() == "a001-s01")
    );
}

#[test]
fn what_to_boot_follows_from_firmware_and_inventory() {
    let script = "http://10.77.0.1:8088/boot.ipxe";
    let ipxe = |question: Question| question.with(77, b"iPXE");
    let http = |arch: u16| ask(1).with(60, b"HTTPClient:Arch:00016:UNDI:003001").with(93, &arch.to_be_bytes());
    for (what, question, file, server) in [
        ("bios", ask(1).pxe(0), "undionly.kpxe", OWN),
        ("uefi 7", ask(1).pxe(7), "snponly.efi", OWN),
        ("uefi 9", ask(1).pxe(9), "snponly.efi", OWN),
        ("two, the second known", ask(1).pxe(99).with(93, &[0, 7]), "snponly.efi", OWN),
        ("ipxe by user class", ipxe(ask(1).pxe(0)), script, OWN),
        ("ipxe by its own option", ask(1).pxe(7).with(175, &[177, 1, 1]), script, OWN),
        ("http 16", http(16), "http://10.77.0.1:8088/loader/snponly.efi", OWN),
        ("http 15", http(15), "http://10.77.0.1:8088/loader/snponly.efi", OWN),
    ] {
        let got = read(&question.reserved());
        assert_eq!((got.file().as_str(), got.field(20)), (file, server), "{what}");
        assert_eq!(got.options[&67], file.as_bytes(), "{what}: the option was on its list");
        assert_eq!(got.options.get(&60).map(Vec::as_slice), what.starts_with("http").then_some(&b"HTTPClient"[..]), "{what}");
        assert_eq!(got.yours(), ADDRESS, "{what}");
    }
    let mut inventory = site();
    let node = inventory.nodes.get_mut(&"a001-s01".parse().unwrap()).unwrap();
    node.boot.server = None;
    node.boot.lan.as_mut().unwrap().next_server = Some(Ipv4Addr::new(10, 101, 7, 7));
    let got = read(&ask(1).pxe(7).by(&inventory, Mode::Reserve, Door::Server));
    assert_eq!(got.field(20), Ipv4Addr::new(10, 101, 7, 7));
    let got = read(&ipxe(ask(1).pxe(7)).by(&inventory, Mode::Reserve, Door::Server));
    assert_eq!(got.file(), "http://10.101.9.1:8088/boot.ipxe", "no boot server is written: it is us");
    let node = inventory.nodes.get_mut(&"a001-s01".parse().unwrap()).unwrap();
    node.boot.method = BootTarget::Disk;
    let got = read(&ask(1).pxe(7).by(&inventory, Mode::Reserve, Door::Server));
    assert_eq!((got.file().as_str(), got.yours()), ("", ADDRESS), "a node that boots from its disk is not led astray");
}

#[test]
fn another_architecture_than_the_inventory_says_is_not_served() {
    let mut inventory = site();
    assert_eq!(refusal(&ask(1).pxe(11).reserved()), "it asks as uefi-aarch64, and the inventory says x86_64");
    assert_eq!(
        refusal(&ask(1).pxe(6).reserved()),
        "it asks as architecture 6, which there is no loader for; the inventory says x86_64"
    );
    inventory.nodes.get_mut(&"a001-s01".parse().unwrap()).unwrap().boot.arch = Arch::Aarch64;
    let by = |question: Question, mode| question.by(&inventory, mode, Door::Server);
    assert_eq!(read(&by(ask(1).pxe(11), Mode::Reserve)).file(), "snponly-arm64.efi");
    assert_eq!(refusal(&by(ask(1).pxe(7), Mode::Reserve)), "it asks as uefi-x86_64, and the inventory says aarch64");
    assert_eq!(refusal(&by(ask(1).pxe(7), Mode::Proxy)), "it asks as uefi-x86_64, and the inventory says aarch64");
}

#[test]
fn beside_a_sites_dhcp_no_address_is_given() {
    let proxy = |question: &Question, door| question.by(&site(), Mode::Proxy, door);
    let got = read(&proxy(&ask(1).pxe(7), Door::Server));
    assert_eq!((got.kind(), got.yours(), got.file().as_str(), got.field(20)), (2, Ipv4Addr::UNSPECIFIED, "snponly.efi", OWN));
    assert_eq!((got.options[&60].as_slice(), got.options[&43].as_slice()), (&b"PXEClient"[..], &[6, 1, 8, 255][..]));
    assert_eq!(got.options[&97], [&[0], &[0x11; 16][..]].concat(), "the machine's identifier comes back");
    assert!([1, 3, 6, 51].iter().all(|code| !got.options.contains_key(code)));
    let got = read(&proxy(&ask(1).with(60, b"HTTPClient:Arch:00016").with(93, &[0, 16]), Door::Server));
    assert_eq!((got.options[&60].as_slice(), got.options.get(&43)), (&b"HTTPClient"[..], None));
    // Port 4011: the machine has its address by then.
    let from = SocketAddrV4::new(ADDRESS, 4011);
    let question = Question { ciaddr: ADDRESS, ..ask(3).pxe(7) };
    let answered = answer(&question.bytes(), from, Door::BootServer, &Registry::of(&site()), &me(Mode::Proxy));
    assert_eq!((read(&answered).kind(), answered.reply.unwrap().to), (5, To::Sender(from)));
    // What the site's DHCP is asked is none of our business.
    for question in [ask(1), ask(3).pxe(7).ip(50, ADDRESS).ip(54, Ipv4Addr::new(10, 101, 1, 1)), ask(8).pxe(7), ask(7)] {
        assert_eq!(proxy(&question, Door::Server), Answer::default());
    }
}

#[test]
fn strangers_are_noted_and_never_answered() {
    let mut uuid = vec![0];
    uuid.extend([0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]);
    let mut inventory = site();
    inventory.nodes.get_mut(&"a002-s01".parse().unwrap()).unwrap().uuid = Some("00112233-4455-6677-8899-aabbccddeeff".into());
    let stranger = Question {
        mac: [2, 9, 9, 9, 9, 9],
        giaddr: Ipv4Addr::new(10, 101, 0, 254),
        ..ask(1).with(60, b"PXEClient\x1b[31m").with(93, &[0, 7]).with(97, &uuid).with(82, b"\x01\x06Eth1/7\x02\x02\x00\xff")
    };
    for mode in [Mode::Reserve, Mode::Proxy] {
        let answer = stranger.by(&inventory, mode, Door::Server);
        assert_eq!(answer.reply, None);
        let [Sight::Discovered(found)] = answer.sights.as_slice() else { panic!("{:?}", answer.sights) };
        assert_eq!(found.mac.to_string(), "02:09:09:09:09:09");
        assert_eq!(found.uuid.as_deref(), Some("00112233-4455-6677-8899-aabbccddeeff"));
        assert_eq!(found.likely.as_deref(), Some("its UUID is that of a002-s01"));
        assert_eq!((found.firmware.as_deref(), found.circuit.as_deref()), (Some("uefi-x86_64"), Some("Eth1/7")));
        assert_eq!((found.remote.as_deref(), found.relay), (Some("00ff"), Some(Ipv4Addr::new(10, 101, 0, 254))));
        assert_eq!(found.class.as_deref(), Some("505845436c69656e741b5b33316d"), "what does not print is shown in hex");
    }
    let bmc = Question { mac: [2, 0, 0, 0, 1, 1], ..ask(1) }.reserved();
    assert!(matches!(&bmc.sights[..], [Sight::Discovered(d)] if d.likely.as_deref() == Some("the BMC of a001-s01")));
    assert_eq!(bmc.reply, None);
}

#[test]
fn a_mac_of_two_nodes_is_refused_by_name() {
    let mut inventory = site();
    let mac = inventory.nodes[&"a001-s01".parse().unwrap()].boot.mac;
    inventory.nodes.get_mut(&"b001-s01".parse().unwrap()).unwrap().boot.mac = mac;
    for mode in [Mode::Reserve, Mode::Proxy] {
        assert_eq!(
            refusal(&ask(1).pxe(7).by(&inventory, mode, Door::Server)),
            "the facts give this MAC to a001-s01 and b001-s01"
        );
    }
    assert_eq!(Registry::of(&inventory).len(), 3);
}

#[test]
fn relays_get_the_answer_and_their_option_back() {
    let relay = Ipv4Addr::new(10, 101, 0, 254);
    let option = b"\x01\x04port\x97\x03abc\x02\x01x";
    let question = Question { giaddr: relay, ..ask(1).pxe(0).with(82, option) };
    let answer = question.reserved();
    let got = read(&answer);
    assert_eq!((answer.reply.as_ref().unwrap().to, got.field(24)), (To::Relay(relay), relay));
    assert_eq!((got.options[&82].as_slice(), got.order.last()), (&option[..], Some(&82)), "byte for byte, and last");
    let nak = Question { giaddr: relay, ..ask(3).ip(50, relay) }.reserved();
    assert_eq!((read(&nak).bytes[10] & 0x80, nak.reply.unwrap().to), (0x80, To::Relay(relay)), "the relay must broadcast it");
    // A relay of another network: the node is plugged in somewhere else than the inventory says.
    let astray = Question { giaddr: Ipv4Addr::new(10, 102, 0, 254), ..ask(1) }.reserved();
    assert_eq!(refusal(&astray), "it asks through the relay 10.102.0.254, which is not in its network 10.101.0.0/16");
    // A relay may stand elsewhere and name the link (RFC 3527).
    let linked = Question { giaddr: Ipv4Addr::new(10, 9, 9, 9), ..ask(1).with(82, &[5, 4, 10, 101, 0, 254]) }.reserved();
    assert_eq!((read(&linked).yours(), linked.reply.unwrap().to), (ADDRESS, To::Relay(Ipv4Addr::new(10, 9, 9, 9))));
}

/// An answer goes to the relay that the question names: no question can aim it at a group, at a whole network, at the node or at us.
#[test]
fn an_answer_cannot_be_aimed_by_a_forged_relay() {
    let addresses = [[255, 255, 255, 255], [224, 0, 0, 1], [127, 0, 0, 1], [0, 0, 0, 9], [10, 101, 255, 255], [10, 101, 0, 0]];
    for relay in addresses.map(Ipv4Addr::from).into_iter().chain([OWN, ADDRESS]) {
        for mode in [Mode::Reserve, Mode::Proxy] {
            let question = Question { giaddr: relay, ..ask(1).pxe(7).with(82, &[5, 4, 10, 101, 0, 254]) };
            let answer = question.by(&site(), mode, Door::Server);
            assert_eq!(refusal(&answer), format!("it names {relay} as its relay, which no relay can be"));
        }
    }
}

#[test]
fn another_server_is_noted() {
    let other = Ipv4Addr::new(10, 101, 66, 6);
    let chose = ask(3).ip(50, ADDRESS).ip(54, other).reserved();
    assert_eq!((chose.reply, chose.sights.len()), (None, 1));
    assert!(matches!(chose.sights[0], Sight::Foreign { server, .. } if server == other));
    let said = |kind: u8, server: Ipv4Addr, mode| {
        let mut packet = ask(kind).ip(54, server).bytes();
        packet[0] = 2;
        answer(&packet, SocketAddrV4::new(server, 67), Door::Client, &Registry::of(&site()), &me(mode))
    };
    for kind in [2, 5, 6] {
        let heard = said(kind, other, Mode::Reserve);
        assert!(heard.reply.is_none() && matches!(heard.sights[..], [Sight::Foreign { server, .. }] if server == other));
        assert_eq!(said(kind, OWN, Mode::Reserve), Answer::default(), "our own");
        assert_eq!(said(kind, other, Mode::Proxy), Answer::default(), "the site's");
    }
}

#[test]
fn a_node_without_a_network_gets_no_address() {
    let mut inventory = site();
    let node = inventory.nodes.get_mut(&"a001-s01".parse().unwrap()).unwrap();
    node.boot.lan = None;
    assert_eq!(
        refusal(&ask(1).by(&inventory, Mode::Reserve, Door::Server)),
        "the inventory has no `boot.network` for it, so it gets no address here"
    );
    assert_eq!(read(&ask(1).pxe(0).by(&inventory, Mode::Proxy, Door::Server)).file(), "undionly.kpxe", "the site gives it one");
    assert_eq!(Registry::of(&inventory).unaddressed().len(), 1);
}

#[test]
fn packets_that_are_none_are_counted_by_their_fault() {
    let good = ask(1).pxe(7).bytes();
    let bent = |bend: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = good.clone();
        bend(&mut packet);
        packet
    };
    for (packet, why) in [
        (Vec::new(), Malformed::Short),
        (good[..239].to_vec(), Malformed::Short),
        (vec![1; 1501], Malformed::Long),
        (bent(&|p| p[0] = 2), Malformed::Operation),
        (bent(&|p| p[1] = 32), Malformed::Hardware),
        (bent(&|p| p[2] = 255), Malformed::Hardware),
        (bent(&|p| p[3] = 17), Malformed::Hops),
        (bent(&|p| p[28] |= 1), Malformed::GroupAddress),
        (bent(&|p| p[28..34].fill(0)), Malformed::GroupAddress),
        (bent(&|p| p[236] = 0), Malformed::Cookie),
        (bent(&|p| p[241] = 200), Malformed::Cut),
        (bent(&|p| p[242] = 99), Malformed::Type),
        (bent(&|p| p[242] = 2), Malformed::Type),
        (ask(1).with(54, &[1, 2, 3]).bytes(), Malformed::Length),
        (ask(1).with(53, &[]).bytes(), Malformed::Length),
        (ask(1).with(52, &[]).bytes(), Malformed::Length),
    ] {
        let told = answer(&packet, ANYBODY, Door::Server, &Registry::of(&site()), &me(Mode::Reserve));
        assert_eq!((told.reply, told.sights), (None, vec![Sight::Malformed { from: *ANYBODY.ip(), why }]), "{why}");
    }
    // Options in parts (RFC 3396) and in the fields of the header (option 52).
    let mut overloaded = ask(1).with(52, &[1]).bytes();
    overloaded[108..124].copy_from_slice(b"\x3c\x04PXEC\x3c\x05lient\x5d\x02\x00");
    overloaded[124..126].copy_from_slice(&[7, 255]);
    let got = read(&answer(&overloaded, ANYBODY, Door::Server, &Registry::of(&site()), &me(Mode::Reserve)));
    assert_eq!(got.file(), "snponly.efi");
}

#[test]
fn an_answer_that_does_not_fit_is_not_cut() {
    let long = vec![1; 255];
    let question = ask(1).with(61, &long).with(82, &long).pxe(7);
    assert_eq!(refusal(&question.reserved()), "the answer is longer than the 576 bytes that it takes");
    let got = read(&question.with(57, &1472_u16.to_be_bytes()).reserved());
    assert_eq!(got.options[&82], long);
}
