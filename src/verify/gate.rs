//! The gate itself: answers in, judgement and perhaps a key out. [`judge`] is the only maker of [`Admission`].

use std::collections::BTreeMap;

use super::check::{CHECKS, finding, unheard};
use super::rules::Rules;
use super::vendor::{self, Heard, Seen};
use super::{cabling, count, device, homogeneous, identity, pci, serials, tolerate};
use crate::model::{Answer, Finding, Judgement, NodeId, Probe, Suite, Verdict};

/// All answers to a suite's probes, by probe id.
pub type Answers = BTreeMap<String, Answer>;

/// The gate's judgement of one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Verdict on the node: the worst of `findings` and `devices`.
    pub verdict: Verdict,
    /// Findings on the node itself (identity, counts), worst first.
    pub findings: Vec<Finding>,
    /// One per accelerator that was bought or seen.
    pub devices: Vec<Judgement>,
}

/// The key to the pool. Only [`judge`] makes one; it cannot be copied, stored or read from a file.
///
/// ```compile_fail
/// fn copy(key: bringup::verify::Admission) { let _ = key.clone(); }
/// ```
/// ```compile_fail
/// let key: bringup::verify::Admission = serde_json::from_str("{}").unwrap();
/// ```
/// ```compile_fail
/// let key = bringup::verify::Admission::default();
/// ```
/// ```compile_fail
/// use bringup::verify::Admission;
/// fn forge(node: bringup::model::NodeId) -> Admission {
///     Admission { node, pool: "p".into(), admitted: vec![], withheld: vec![] }
/// }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Admission {
    node: NodeId,
    pool: String,
    admitted: Vec<Judgement>,
    withheld: Vec<Judgement>,
}

impl Admission {
    /// The node that may work.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// The pool that it may join.
    #[must_use]
    pub fn pool(&self) -> &str {
        &self.pool
    }

    /// The accelerators that may work.
    #[must_use]
    pub fn devices(&self) -> &[Judgement] {
        &self.admitted
    }

    /// The accelerators that may not, missing ones included.
    #[must_use]
    pub fn withheld(&self) -> &[Judgement] {
        &self.withheld
    }

    /// True when fewer work than were bought.
    #[must_use]
    pub fn degraded(&self) -> bool {
        !self.withheld.is_empty()
    }
}

/// What to ask a node before it can be judged by this suite.
#[must_use]
pub fn probes(suite: &Suite) -> Vec<Probe> {
    let mut probes = identity::probes(suite);
    probes.extend(cabling::probes(suite));
    if suite.accelerator.count > 0 {
        let vendor = vendor::of(suite.accelerator.kind);
        probes.extend(vendor.pci_vendor(suite).ok().map(pci::probe));
        probes.extend(vendor.probes(suite));
    }
    probes
}

/// Judges the answers. `today` is the day in UTC as `YYYY-MM-DD`, for tolerances. The key is cut when the node's own findings are all
/// admissible and so is every accelerator, or as many as the policy's `degraded_min` asks for.
#[must_use]
pub fn judge(node: &NodeId, pool: &str, suite: &Suite, answers: &Answers, today: &str) -> (Judged, Option<Admission>) {
    let mut findings = identity::judge(suite, answers);
    findings.extend(cabling::judge(suite, answers));
    let mut devices = if suite.accelerator.count > 0 { accelerators(suite, answers, &mut findings) } else { Vec::new() };

    for found in findings.iter_mut().chain(devices.iter_mut().flat_map(|d| &mut d.findings)) {
        tolerate::apply(&suite.policy.tolerate, today, found);
    }
    let own = settle(&mut findings);
    for device in &mut devices {
        device.verdict = settle(&mut device.findings);
    }
    let verdict = devices.iter().map(|d| d.verdict).fold(own, Verdict::max);

    let (admitted, withheld): (Vec<_>, Vec<_>) = devices.iter().cloned().partition(|d| d.verdict.admissible());
    let enough = match suite.policy.degraded_min {
        // At least one, whatever the policy says: a node without accelerators has nothing to work with.
        Some(min) => admitted.len() >= usize::try_from(min.max(1)).unwrap_or(usize::MAX) || withheld.is_empty(),
        None => withheld.is_empty(),
    };
    let admission =
        (own.admissible() && enough).then(|| Admission { node: node.clone(), pool: pool.to_owned(), admitted, withheld });
    (Judged { verdict, findings, devices }, admission)
}

/// Sorts worst first, then in the order of the catalogue, which has causes before what follows from them, and gives the worst verdict.
/// No finding at all is no pass: nothing was judged.
fn settle(findings: &mut Vec<Finding>) -> Verdict {
    let place = |f: &Finding| CHECKS.iter().position(|(name, _)| *name == f.check);
    findings.sort_by(|a, b| b.verdict.cmp(&a.verdict).then_with(|| place(a).cmp(&place(b))).then_with(|| a.cmp(b)));
    findings.dedup();
    findings.first().map_or(Verdict::Inconclusive, |worst| worst.verdict)
}

fn accelerators(suite: &Suite, answers: &Answers, node: &mut Vec<Finding>) -> Vec<Judgement> {
    let vendor = vendor::of(suite.accelerator.kind);
    let rules = Rules::of(&suite.policy);
    node.extend(rules.findings());

    let bus = vendor
        .pci_vendor(suite)
        .and_then(|id| pci::parse(answers.get(pci::PROBE), id))
        .map(|all| all.into_iter().filter(|device| vendor.is_accelerator(suite, device)).collect::<Vec<_>>());
    let bus = bus.as_deref().map_err(String::as_str);
    let heard: Heard = vendor.hear(suite, answers, bus.ok());
    let census = count::census(vendor, suite, heard, bus);
    node.extend(census.findings);

    let (by_serial, more) = serials::judge(suite, &census.seen);
    node.extend(more);
    let (by_likeness, more) = homogeneous::judge(&suite.policy, &census.seen);
    node.extend(more);

    let mut judged: Vec<Judgement> = census
        .seen
        .iter()
        .zip(by_serial.into_iter().zip(by_likeness))
        .map(|(seen, (serial, likeness))| {
            let mut findings = device::judge(vendor, suite, &rules, seen, bus);
            findings.extend(serial);
            findings.extend(likeness);
            judgement(seen, findings)
        })
        .collect();
    let serials = serials::missing(suite, &census.seen, census.missing);
    judged.extend(serials.into_iter().enumerate().map(|(index, serial)| missing(index, serial, suite, bus.err())));
    judged
}

fn judgement(seen: &Seen, findings: Vec<Finding>) -> Judgement {
    Judgement {
        device: seen.name.clone(),
        serial: seen.serial.known().cloned(),
        pci: seen.pci.first().map(ToString::to_string),
        model: seen.model.known().cloned(),
        verdict: Verdict::Inconclusive,
        findings,
    }
}

/// One that was bought and is nowhere. Without the bus that is not established, and says so.
fn missing(index: usize, serial: Option<String>, suite: &Suite, bus_unknown: Option<&str>) -> Judgement {
    let bought = suite.accelerator.count;
    let found = match bus_unknown {
        None => finding(
            "missing",
            Verdict::Quarantine,
            format!("{bought} were bought, and this one is neither on the PCI bus nor seen by the vendor's tool"),
        ),
        Some(why) => unheard("missing", &format!("{bought} were bought, and this one was not heard of: {why}")),
    };
    let device = format!("missing{}", index + 1);
    Judgement { device, serial, pci: None, model: None, verdict: found.verdict, findings: vec![found] }
}
