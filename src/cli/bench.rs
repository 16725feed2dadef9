//! The workbench: gives the engine its actions and answers, built from the hands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::hands::Hands;
use crate::action::{Action, ActionError, InstallImage, InstallStack, InstallTarget, Netboot, NetbootTarget, Workbench};
use crate::bmc::ipmi::sol::SolEar;
use crate::bmc::overhearing::{Deaf, Overhearing};
use crate::boot::{Grants, Noted, Stage};
use crate::model::{
    ActionSpec, Answer, BmcProtocol, Class, Event, Inventory, Node, NodeId, NodePlan, PlanId, Probe, RunId, Step,
};
use crate::shell::Shell;

/// Builds actions from hands.
pub struct Bench {
    inventory: Arc<Inventory>,
    hands: Arc<Hands>,
    grants: Grants,
    pace: Duration,
    consoles: bool,
}

impl Bench {
    /// A workbench; `pace` is the time between two looks.
    #[must_use]
    pub fn new(inventory: Arc<Inventory>, hands: Arc<Hands>, grants: Grants, pace: Duration) -> Self {
        Self { inventory, hands, grants, pace, consoles: true }
    }

    /// The same, leaving the consoles of its nodes alone when `listen` is false.
    #[must_use]
    pub fn with_consoles(self, listen: bool) -> Self {
        Self { consoles: listen, ..self }
    }

    /// An ear at the console of a node, or why there is none.
    fn console(&self, node: &Node) -> Arc<dyn Overhearing> {
        let deaf = |why: &str| -> Arc<dyn Overhearing> { Arc::new(Deaf { why: why.to_owned() }) };
        if !self.consoles {
            return deaf("--no-console was given");
        }
        let port = match (node.bmc.protocol, node.bmc.sol_port) {
            (BmcProtocol::Ipmi, _) => node.bmc.address.port(),
            (BmcProtocol::Redfish, Some(port)) => port,
            (BmcProtocol::Redfish, None) => {
                return deaf("its BMC is driven by Redfish, and the inventory names no `bmc.sol_port` for its IPMI service");
            }
        };
        match self.hands.ipmi(node, port) {
            Ok(bmc) => Arc::new(SolEar::new(bmc)),
            Err(failure) => deaf(&failure.error.to_string()),
        }
    }

    /// Eight looks: 16 s at the usual pace of 2 s, a moment on a simulated rack whose time runs faster.
    fn settle(&self) -> Duration {
        self.pace.saturating_mul(8)
    }

    fn netboot(
        &self,
        node: &Node,
        spec: &ActionSpec,
        run: &RunId,
        plan: &PlanId,
        line: &NodePlan,
        shell: Arc<dyn Shell>,
    ) -> Result<Netboot, ActionError> {
        let bmc = self.hands.whole(node).map_err(|e| no_hand(&node.id, e.error))?;
        let target =
            NetbootTarget::new(node, spec, run, plan, &line.rests_on.observed.boot).map_err(|why| no_hand(&node.id, why))?;
        let netboot = Netboot::new(target, bmc, shell, self.grants.clone()).settling(self.settle());
        let netboot = netboot.overhearing(self.console(node));
        if !spec.brings_identity() {
            return Ok(netboot);
        }
        let key = self.hands.public_key(node).map_err(|e| no_hand(&node.id, e.error))?;
        Ok(netboot.letting_in(vec![key], node.boot.ip))
    }
}

/// A line of the boot server's record as an event; grants issued and given back are in the journal already, as touches.
fn boot_event(node: NodeId, grant: String, noted: Noted) -> Option<Event> {
    let (from, line) = (noted.from, noted.seq);
    match noted.stage {
        stage if stage.is_progress() && stage != Stage::Issued => {
            Some(Event::BootSeen { node, grant, stage: noted.stage.to_string(), from, line })
        }
        Stage::Refused => Some(Event::GrantRefused { node, grant, why: noted.detail, from, line }),
        _ => None,
    }
}

fn no_hand(node: &NodeId, why: impl ToString) -> ActionError {
    ActionError { doing: format!("reach {node}"), seen: why.to_string(), class: Class::Refused, source: None }
}

#[async_trait]
impl Workbench for Bench {
    fn action(&self, run: &RunId, plan: &PlanId, line: &NodePlan, step: &Step) -> Result<Box<dyn Action>, ActionError> {
        let node = &line.node;
        let written = self.inventory.nodes.get(node).ok_or_else(|| no_hand(node, "the inventory has no such node"))?;
        let shell = self.hands.shell(written).map_err(|e| no_hand(node, e.error))?;
        Ok(match &step.action {
            ActionSpec::InstallStack { install, versions, .. } => {
                let serial = written.serial.clone().ok_or_else(|| no_hand(node, "the facts hold no serial"))?;
                Box::new(InstallStack { install: install.clone(), versions: versions.clone(), shell, serial })
            }
            ActionSpec::InstallImage { netboot, .. } | ActionSpec::WriteDisk { netboot, .. } => {
                let netboot = self.netboot(written, netboot, run, plan, line, shell)?;
                let target = InstallTarget::new(&step.action, &netboot.target).map_err(|why| no_hand(node, why))?;
                Box::new(InstallImage::new(target, netboot, self.pace, self.settle()))
            }
            spec @ ActionSpec::Netboot { .. } => Box::new(self.netboot(written, spec, run, plan, line, shell)?),
        })
    }

    async fn examine(&self, node: &NodeId, probes: &[Probe]) -> BTreeMap<String, Answer> {
        let unknown = |why: String| probes.iter().map(|p| (p.id.clone(), Answer::Unknown { why: why.clone() })).collect();
        let Some(written) = self.inventory.nodes.get(node) else { return unknown("the inventory has no such node".to_owned()) };
        let shell = match self.hands.shell(written) {
            Ok(shell) => shell,
            Err(failure) => return unknown(failure.error.to_string()),
        };
        let mut answers = BTreeMap::new();
        for probe in probes {
            let answer = shell.run(probe).await.unwrap_or_else(|error| Answer::Unknown { why: error.to_string() });
            answers.insert(probe.id.clone(), answer);
        }
        answers
    }

    async fn boots_since(&self, run: &RunId, line: i64) -> (Vec<Event>, i64) {
        let Ok(lines) = self.grants.events_since(line).await else { return (Vec::new(), line) };
        let last = lines.last().map_or(line, |l| l.seq);
        let mut ours: BTreeMap<String, bool> = BTreeMap::new();
        let mut events = Vec::new();
        for noted in lines {
            let (Some(grant), Some(node)) = (noted.grant.clone(), noted.node.clone()) else { continue };
            let mine = match ours.get(&grant) {
                Some(mine) => *mine,
                None => {
                    let Ok(status) = self.grants.status(&grant).await else { return (events, line) };
                    let mine = status.is_some_and(|s| s.spec.run == *run);
                    ours.insert(grant.clone(), mine);
                    mine
                }
            };
            if mine {
                events.extend(boot_event(node, grant, noted));
            }
        }
        (events, last)
    }

    async fn leave(&self, node: &NodeId) {
        self.hands.leave(node).await;
    }

    fn pace(&self) -> Duration {
        self.pace
    }
}
