//! PCI Express links: generation and width against the policy. It judges what was read at rest; it never claims what a link does under load.

use super::check::{finding, unheard};
use crate::model::{Finding, Policy, Reading, Verdict};

/// One end of a PCI Express link.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Link {
    /// Generation in use now.
    pub(super) generation: Reading<u8>,
    /// Highest generation that this end can do.
    pub(super) generation_max: Reading<u8>,
    /// Lanes in use now.
    pub(super) width: Reading<u8>,
    /// Most lanes that this end can use.
    pub(super) width_max: Reading<u8>,
}

impl Link {
    /// A link of which nothing is known.
    pub(super) fn unknown(why: &str) -> Self {
        Self {
            generation: Reading::unknown(why),
            generation_max: Reading::unknown(why),
            width: Reading::unknown(why),
            width_max: Reading::unknown(why),
        }
    }
}

/// Generation for a signalling rate in GT/s (PCI Express Base Specification 6.0, table 8-1).
pub(super) fn generation(gt: f64) -> Option<u8> {
    [(2.5, 1), (5.0, 2), (8.0, 3), (16.0, 4), (32.0, 5), (64.0, 6), (128.0, 7)]
        .into_iter()
        .find(|(rate, _)| (rate - gt).abs() < 0.01)
        .map(|(_, generation)| generation)
}

/// Judges one accelerator's link. `sources` are the ends that say something about the device's own link, `slot` the port above it, which only
/// limits it: a port that says nothing (no bridge, as in many virtual machines) is no failing of the device.
pub(super) fn judge(policy: &Policy, sources: &[(&str, &Link)], slot: Option<&Link>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(wanted) = policy.pcie_width {
        findings.push(worst("pcie-width", sources, |link| width(wanted, link)));
    }
    if let Some(wanted) = policy.pcie_gen {
        let mut found = worst("pcie-gen", sources, |link| speed(wanted, link));
        if let Some(max) = slot.and_then(|slot| slot.generation_max.known()).filter(|max| **max < wanted) {
            found =
                finding("pcie-gen", Verdict::Quarantine, format!("wanted gen {wanted}, the slot above can do gen {max} at most"));
        }
        findings.push(found);
    }
    findings
}

/// The worst that any source says; silence of all is inconclusive, silence of some is not held against the others.
fn worst(check: &'static str, sources: &[(&str, &Link)], judge: impl Fn(&Link) -> Result<(Verdict, String), String>) -> Finding {
    let mut whys = Vec::new();
    let mut said: Option<(Verdict, String)> = None;
    for (source, link) in sources {
        match judge(link) {
            Ok((verdict, detail)) => {
                if said.as_ref().is_none_or(|(worst, _)| verdict > *worst) {
                    said = Some((verdict, format!("{detail} (by {source})")));
                }
            }
            Err(why) => whys.push(format!("{source}: {why}")),
        }
    }
    match said {
        Some((verdict, detail)) => finding(check, verdict, detail),
        None if whys.is_empty() => unheard(check, "nothing was heard about the link"),
        None => unheard(check, &whys.join("; ")),
    }
}

fn why<T>(reading: &Reading<T>) -> String {
    reading.why_unknown().unwrap_or("the node has no such reading").to_owned()
}

/// Lanes do not change at idle, so fewer than wanted is a fault now.
fn width(wanted: u8, link: &Link) -> Result<(Verdict, String), String> {
    let now = *link.width.known().ok_or_else(|| why(&link.width))?;
    let verdict = if now < wanted { Verdict::Quarantine } else { Verdict::Pass };
    Ok((verdict, format!("wanted x{wanted}, seen x{now}")))
}

/// Links train down at idle: a low generation now is a fault only when the link cannot do more.
fn speed(wanted: u8, link: &Link) -> Result<(Verdict, String), String> {
    let now = *link.generation.known().ok_or_else(|| why(&link.generation))?;
    if now >= wanted {
        return Ok((Verdict::Pass, format!("wanted gen {wanted}, seen gen {now}")));
    }
    let max = *link.generation_max.known().ok_or_else(|| why(&link.generation_max))?;
    if max < wanted {
        return Ok((Verdict::Quarantine, format!("wanted gen {wanted}, the link can do gen {max} at most")));
    }
    Ok((
        Verdict::Note,
        format!("wanted gen {wanted}, seen gen {now} at rest; the link can do gen {max}, which was not seen under load"),
    ))
}
