//! Which machines a farm has: racks of mixed accelerators dealt out by rule, so that the same numbers give the same farm. Starts nothing.

use super::FarmError;
use crate::model::{AcceleratorKind, BmcProtocol, NodeId, RackId};
use crate::sim::accelerator::MAX_CARDS;
use crate::sim::fault::Fault;
use crate::sim::identity::Fitted;
use crate::sim::machine::Durations;
use crate::sim::profile::{self, VendorProfile};
use crate::sim::seed::Seed;

/// Racks of one farm: they become the second octet of an address.
pub const MAX_RACKS: u32 = 200;
/// Nodes of one rack: they become the third octet.
pub const MAX_SLOTS: u32 = 250;

/// One machine to be.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// Name.
    pub id: NodeId,
    /// Rack.
    pub rack: RackId,
    /// Number of the rack, from 1.
    pub rack_number: u32,
    /// Slot, from 1.
    pub slot: u32,
    /// Accelerators.
    pub fitted: Fitted,
    /// Maker of the BMC.
    pub profile: &'static VendorProfile,
    /// How its BMC is spoken to.
    pub protocol: BmcProtocol,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// True when its disk system runs from the start; false when it is off.
    pub running: bool,
}

/// A farm to be.
#[derive(Debug, Clone)]
pub struct FarmSpec {
    /// Machines.
    pub nodes: Vec<NodeSpec>,
    /// Everything that looks random comes from here.
    pub seed: Seed,
    /// Virtual seconds per real second.
    pub speed: u32,
    /// How long things take, in virtual seconds.
    pub durations: Durations,
    /// Where the site's DHCP chains to; [`super::Farm::chain_to`] sets it later.
    pub chain_url: Option<String>,
    /// Redfish without TLS, for clients that cannot pin a certificate.
    pub plain_http: bool,
}

/// Model of each family as an inventory writes it.
fn model(kind: AcceleratorKind) -> &'static str {
    match kind {
        AcceleratorKind::Nvidia => "H100",
        AcceleratorKind::Furiosa => "RNGD",
        AcceleratorKind::Rebellions => "ATOM-Max",
        AcceleratorKind::Pci => "ARIES",
    }
}

impl FarmSpec {
    /// `racks` racks of `nodes` nodes with eight cards each. Odd racks hold NVIDIA nodes; even ones FuriosaAI in the lower half and Rebellions
    /// in the upper. With `ipmi`, the last node of every rack has a BMC that speaks IPMI only.
    ///
    /// # Errors
    /// [`FarmError::Shape`] when there are too many of either, or none.
    pub fn racks(racks: u32, nodes: u32, seed: Seed, ipmi: bool) -> Result<Self, FarmError> {
        if !(1..=MAX_RACKS).contains(&racks) || !(1..=MAX_SLOTS).contains(&nodes) {
            return Err(FarmError::Shape(format!("1 to {MAX_RACKS} racks of 1 to {MAX_SLOTS} nodes are possible")));
        }
        let mut list = Vec::new();
        for rack_number in 1..=racks {
            let rack = RackId::new(format!("a{rack_number:03}")).map_err(|e| FarmError::Shape(e.to_string()))?;
            for slot in 1..=nodes {
                let kind = match (rack_number % 2, slot * 2 <= nodes) {
                    (1, _) => AcceleratorKind::Nvidia,
                    (_, true) => AcceleratorKind::Furiosa,
                    (_, false) => AcceleratorKind::Rebellions,
                };
                let profile = match rack_number % 4 {
                    1 => &profile::AMI,
                    3 => &profile::DELL,
                    _ => &profile::SUPERMICRO,
                };
                list.push(NodeSpec {
                    id: NodeId::new(format!("{rack}-s{slot:02}")).map_err(|e| FarmError::Shape(e.to_string()))?,
                    rack: rack.clone(),
                    rack_number,
                    slot,
                    fitted: Fitted { kind, model: model(kind), count: 8.min(MAX_CARDS) },
                    profile,
                    protocol: if ipmi && slot == nodes { BmcProtocol::Ipmi } else { BmcProtocol::Redfish },
                    faults: Vec::new(),
                    running: false,
                });
            }
        }
        Ok(Self { nodes: list, seed, speed: 60, durations: Durations::default(), chain_url: None, plain_http: false })
    }

    /// Gives a node a fault.
    ///
    /// # Errors
    /// [`FarmError::NoNode`] when there is no such node.
    pub fn fault(&mut self, node: &str, fault: Fault) -> Result<(), FarmError> {
        let found = self.nodes.iter_mut().find(|n| n.id.as_str() == node);
        let node =
            found.ok_or_else(|| FarmError::NoNode(node.chars().take(80).collect::<String>().escape_debug().to_string()))?;
        if !node.faults.contains(&fault) {
            node.faults.push(fault);
        }
        Ok(())
    }

    /// Gives `count` different nodes a fault each, picked by the seed; says which.
    pub fn seed_faults(&mut self, count: usize) -> Vec<(NodeId, Fault)> {
        let names: Vec<String> = self.nodes.iter().map(|n| n.id.to_string()).collect();
        let mut given = Vec::new();
        for (name, fault) in crate::sim::fault::from_seed(self.seed, &names, count) {
            if let Some(node) = self.nodes.iter_mut().find(|n| n.id.as_str() == name) {
                node.faults.push(fault.clone());
                given.push((node.id.clone(), fault));
            }
        }
        given
    }
}
