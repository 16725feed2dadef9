//! Who may be answered, and with what: made from the inventory once, and never changed by anything that comes over the network.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::model::{Arch, BootTarget, Inventory, Lan, Mac, Node, NodeId, RackId};

/// One node, as DHCP sees it.
#[derive(Debug, Clone)]
pub(super) struct Station {
    pub(super) node: NodeId,
    pub(super) rack: RackId,
    pub(super) arch: Arch,
    /// `None`: it has no IPv4 address.
    pub(super) address: Option<Ipv4Addr>,
    pub(super) lan: Option<Lan>,
    /// Base URL of its boot server; `None`: the machine that answers.
    pub(super) server: Option<String>,
    /// The inventory lets it boot over the network.
    pub(super) netboots: bool,
}

impl Station {
    fn of(node: &Node) -> Self {
        Self {
            node: node.id.clone(),
            rack: node.rack.clone(),
            arch: node.boot.arch,
            address: match node.boot.ip {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            },
            lan: node.boot.lan.clone(),
            server: node.boot.server.as_deref().map(|url| url.trim_end_matches('/').to_owned()),
            netboots: matches!(node.boot.method, BootTarget::Pxe | BootTarget::UefiHttp),
        }
    }
}

#[derive(Debug)]
enum Entry {
    One(Box<Station>),
    /// The facts give the address to several nodes: whoever asks with it could be any of them.
    Many(Vec<NodeId>),
}

/// Whose an address is.
#[derive(Debug)]
pub(super) enum Whose<'r> {
    Node(&'r Station),
    Several(&'r [NodeId]),
    Bmc(&'r NodeId),
    Nobody,
}

/// All nodes by the MAC that they boot with.
#[derive(Debug, Default)]
pub struct Registry {
    stations: HashMap<Mac, Entry>,
    bmcs: HashMap<Mac, NodeId>,
    uuids: HashMap<String, NodeId>,
    unaddressed: Vec<NodeId>,
    unknown: Vec<NodeId>,
}

impl Registry {
    /// Takes what the inventory says.
    #[must_use]
    pub fn of(inventory: &Inventory) -> Self {
        let mut registry = Self::default();
        for node in inventory.nodes.values() {
            if let Some(mac) = node.bmc.mac {
                registry.bmcs.insert(mac, node.id.clone());
            }
            if let Some(uuid) = &node.uuid {
                registry.uuids.insert(uuid.clone(), node.id.clone());
            }
            let Some(mac) = node.boot.mac else {
                registry.unknown.push(node.id.clone());
                continue;
            };
            let station = Station::of(node);
            if station.lan.is_none() || station.address.is_none() {
                registry.unaddressed.push(node.id.clone());
            }
            match registry.stations.remove(&mac) {
                None => registry.stations.insert(mac, Entry::One(Box::new(station))),
                Some(Entry::One(first)) => registry.stations.insert(mac, Entry::Many(vec![first.node, station.node])),
                Some(Entry::Many(mut nodes)) => {
                    nodes.push(station.node);
                    registry.stations.insert(mac, Entry::Many(nodes))
                }
            };
        }
        registry
    }

    /// Nodes that have a MAC of their own.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stations.values().filter(|entry| matches!(entry, Entry::One(_))).count()
    }

    /// True when nobody can be answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True when a node has no boot server in the inventory, so that it is told to boot from the machine that answers.
    #[must_use]
    pub fn boots_here(&self) -> bool {
        self.any(|station| station.netboots && station.server.is_none())
    }

    /// True when a node is told to fetch its loader from this machine by TFTP, should its firmware know nothing better.
    #[must_use]
    pub fn fetches_here(&self) -> bool {
        self.any(|station| station.netboots && station.lan.as_ref().is_none_or(|lan| lan.next_server.is_none()))
    }

    fn any(&self, so: impl Fn(&Station) -> bool) -> bool {
        self.stations.values().any(|entry| matches!(entry, Entry::One(station) if so(station)))
    }

    /// Nodes that get no address: no `boot.network` is written for them, or their address is no IPv4 address.
    #[must_use]
    pub fn unaddressed(&self) -> &[NodeId] {
        &self.unaddressed
    }

    /// Nodes whose MAC the facts do not name: they look like strangers.
    #[must_use]
    pub fn without_mac(&self) -> &[NodeId] {
        &self.unknown
    }

    pub(super) fn whose(&self, mac: Mac) -> Whose<'_> {
        match self.stations.get(&mac) {
            Some(Entry::One(station)) => Whose::Node(station),
            Some(Entry::Many(nodes)) => Whose::Several(nodes),
            None => self.bmcs.get(&mac).map_or(Whose::Nobody, Whose::Bmc),
        }
    }

    /// The node that has this SMBIOS UUID in the facts.
    pub(super) fn by_uuid(&self, uuid: &str) -> Option<&NodeId> {
        self.uuids.get(uuid)
    }
}
