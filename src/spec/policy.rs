//! `playbooks/policies/NAME.yaml`: the numbers that accelerators are judged by. Judges nothing; refuses what could never be met.

use super::decode::{self, Fields, Spanned};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::source::Span;
use super::unit::Day;
use super::yaml::Tree;
use super::{code, nearest, words};
use crate::model::{AcceleratorKind, CablingRule, Policy, Tolerance};

/// Words of a policy that another room must judge: names of checks, and version rules.
#[derive(Debug, Clone, Default)]
pub struct Foreign {
    /// Checks named under `tolerate`.
    pub checks: Vec<Spanned<String>>,
    /// Entries of `driver_in` and `firmware_in`.
    pub versions: Vec<Spanned<String>>,
}

/// Reads a policy; also the family that it is for.
pub(super) fn read(
    tree: &Tree,
    name: &str,
    today: Day,
    foreign: &mut Foreign,
    out: &mut Diagnostics,
) -> Option<(Policy, AcceleratorKind)> {
    let mut fields = Fields::of(tree, "", out)?;
    super::playbook::api_version(&mut fields, "verify/v1", out);
    super::playbook::constant(&mut fields, "kind", "AcceptancePolicy", out);
    let version = fields.need("metadata", out).and_then(|t| metadata(t, name, out));
    let kind = fields.need("applies", out).and_then(|t| applies(t, out));
    // Without a kind every key is taken as sensible: one mistake must not make ten.
    let sensible = Sensible(kind);

    let mut policy = empty(name, version.unwrap_or_default());
    if let Some(f) = fields.fields("identity", out) {
        identity(f, &sensible, &mut policy, foreign, out);
    }
    if let Some(ecc) = fields.boolean("ecc", out) {
        sensible.nvidia_only("ecc", ecc.span, out);
        policy.ecc = ecc.value;
    }
    if let Some(f) = fields.fields("counters", out) {
        counters(f, &sensible, &mut policy, out);
    }
    if let Some(f) = fields.fields("links", out) {
        links(f, &sensible, &mut policy, out);
    }
    if let Some(mut f) = fields.fields("thermal", out) {
        sensible.needs_a_tool("thermal", f.span, out);
        policy.temperature_max_c = f.need("max_c", out).and_then(|t| celsius(t, out));
        f.finish(out);
    }
    let tolerated = fields.list("tolerate", out).unwrap_or_default();
    policy.tolerate = tolerated.iter().enumerate().filter_map(|(i, t)| tolerance(t, i, today, foreign, out)).collect();
    if let Some(mut f) = fields.fields("degraded", out) {
        policy.degraded_min = f.need("min", out).and_then(|t| positive(t, "degraded.min", u32::MAX, out));
        f.finish(out);
    }
    if let Some(word) = fields.text("cabling", out) {
        policy.cabling = match word.value.as_str() {
            "required" => Some(CablingRule::Required),
            "reported" => Some(CablingRule::Reported),
            "off" => None,
            other => {
                let message = format!("cabling: `{}` is not known", quote(other));
                out.push(Diagnostic::error(code::BAD_VALUE, message).at(word.span).hint("known: required, reported, \"off\""));
                None
            }
        };
    }
    fields.finish(out);
    version?;
    Some((policy, kind?))
}

fn empty(name: &str, version: u32) -> Policy {
    Policy {
        name: name.to_owned(),
        version,
        driver_in: Vec::new(),
        firmware_in: Vec::new(),
        homogeneous: Vec::new(),
        serials_from_facts: false,
        pcie_gen: None,
        pcie_width: None,
        nvlinks: None,
        temperature_max_c: None,
        ecc: false,
        remapped_uncorrectable_max: None,
        ecc_uncorrectable_max: None,
        aer: false,
        aer_correctable_max: None,
        tolerate: Vec::new(),
        degraded_min: None,
        cabling: None,
    }
}

/// Which checks a family can meet at all. One that it cannot meet would stay inconclusive for ever and keep every node out.
struct Sensible(Option<AcceleratorKind>);

impl Sensible {
    /// No public tool of FuriosaAI or Rebellions counts memory errors or has NVLink (vendors' tools, seen 2026-09); sysfs has neither.
    fn nvidia_only(&self, key: &str, span: Span, out: &mut Diagnostics) {
        if let Some(kind) = self.0.filter(|k| *k != AcceleratorKind::Nvidia) {
            let message = format!("`{key}` can never be met: nothing reports it for `{kind}` accelerators");
            out.push(Diagnostic::error(code::POLICY, message).at(span).hint("leave it out; only `nvidia` has it"));
        }
    }

    /// `pci` has no vendor tool: sysfs knows presence, link and AER.
    fn needs_a_tool(&self, key: &str, span: Span, out: &mut Diagnostics) {
        if self.0 == Some(AcceleratorKind::Pci) {
            let message = format!("`{key}` can never be met: for `pci` accelerators there is only sysfs, which does not say it");
            out.push(
                Diagnostic::error(code::POLICY, message).at(span).hint("sysfs has presence, `links.pcie` and `counters.aer`"),
            );
        }
    }
}

fn metadata(tree: &Tree, name: &str, out: &mut Diagnostics) -> Option<u32> {
    let mut f = Fields::of(tree, "metadata", out)?;
    if let Some(written) = f.need_text("name", out)
        && written.value != name
    {
        let message = format!("metadata.name is `{}` but the file is `{name}.yaml`", quote(&written.value));
        out.push(Diagnostic::error(code::BAD_VALUE, message).at(written.span).hint("policies are found by their file's name"));
    }
    let version = f.need("version", out).and_then(|t| decode::number::<u32>(t, "metadata.version", out));
    f.finish(out);
    version.map(|v| v.value)
}

fn applies(tree: &Tree, out: &mut Diagnostics) -> Option<AcceleratorKind> {
    const KINDS: [(&str, AcceleratorKind); 4] = [
        ("nvidia", AcceleratorKind::Nvidia),
        ("furiosa", AcceleratorKind::Furiosa),
        ("rebellions", AcceleratorKind::Rebellions),
        ("pci", AcceleratorKind::Pci),
    ];
    let mut f = Fields::of(tree, "applies", out)?;
    let kind = f.need_text("kind", out);
    f.finish(out);
    let kind = kind?;
    let found = KINDS.iter().find(|(name, _)| *name == kind.value).map(|(_, k)| *k);
    if found.is_none() {
        let names = KINDS.map(|(name, _)| name);
        let d =
            Diagnostic::error(code::BAD_VALUE, format!("applies.kind: `{}` is no family of accelerators", quote(&kind.value)));
        let d = d.at(kind.span).hint(format!("known: {}", names.join(", ")));
        out.push(match nearest(&kind.value, names) {
            Some(word) => d.suggest(Some(word)),
            None => d,
        });
    }
    found
}

fn identity(mut f: Fields<'_>, sensible: &Sensible, policy: &mut Policy, foreign: &mut Foreign, out: &mut Diagnostics) {
    if let Some(map) = f.text("serial_map", out) {
        match map.value.as_str() {
            "inventory" => {
                sensible.needs_a_tool("identity.serial_map", map.span, out);
                policy.serials_from_facts = true;
            }
            "off" => {}
            other => {
                let message = format!("identity.serial_map: `{}` is not known", quote(other));
                out.push(Diagnostic::error(code::BAD_VALUE, message).at(map.span).hint("known: inventory, \"off\""));
            }
        }
    }
    for word in words::texts(f.list("homogeneous", out).unwrap_or_default(), "identity.homogeneous", out) {
        const KNOWN: [&str; 3] = ["driver", "firmware", "model"];
        if !KNOWN.contains(&word.value.as_str()) {
            let message = format!("identity.homogeneous: `{}` is not known", quote(&word.value));
            out.push(Diagnostic::error(code::BAD_VALUE, message).at(word.span).hint("known: driver, firmware, model"));
        } else if !policy.homogeneous.contains(&word.value) {
            if word.value != "model" {
                sensible.needs_a_tool("identity.homogeneous", word.span, out);
            }
            policy.homogeneous.push(word.value);
        }
    }
    for key in ["driver_in", "firmware_in"] {
        let what = format!("identity.{key}");
        let Some(tree) = f.take(key) else { continue };
        sensible.needs_a_tool(&what, tree.span, out);
        let Some(items) = decode::list(tree, &what, out) else { continue };
        if items.is_empty() {
            let message = format!("{what}: an empty list allows nothing and is not taken");
            out.push(
                Diagnostic::error(code::POLICY, message)
                    .at(tree.span)
                    .hint("leave the key out to allow any version that can be read"),
            );
        }
        let versions = words::texts(items, &what, out);
        let list = if key == "driver_in" { &mut policy.driver_in } else { &mut policy.firmware_in };
        list.extend(versions.iter().map(|v| v.value.clone()));
        foreign.versions.extend(versions);
    }
    f.finish(out);
}

fn counters(mut f: Fields<'_>, sensible: &Sensible, policy: &mut Policy, out: &mut Diagnostics) {
    policy.remapped_uncorrectable_max = max(&mut f, "remapped_uncorrectable", out).map(|m| {
        sensible.nvidia_only("counters.remapped_uncorrectable", m.span, out);
        m.value
    });
    policy.ecc_uncorrectable_max = max(&mut f, "ecc_uncorrectable", out).map(|m| {
        sensible.nvidia_only("counters.ecc_uncorrectable", m.span, out);
        m.value
    });
    if let Some(aer) = max(&mut f, "aer", out) {
        policy.aer = true;
        if aer.value != 0 {
            let message = "counters.aer: fatal and non-fatal errors are never accepted; only `max: 0` is taken";
            out.push(
                Diagnostic::error(code::POLICY, message).at(aer.span).hint("for correctable ones there is `aer_correctable`"),
            );
        }
    }
    policy.aer_correctable_max = max(&mut f, "aer_correctable", out).map(|m| m.value);
    f.finish(out);
}

fn max(f: &mut Fields<'_>, key: &'static str, out: &mut Diagnostics) -> Option<Spanned<u64>> {
    let mut inner = f.fields(key, out)?;
    let what = inner.path("max");
    let value = inner.need("max", out).and_then(|t| decode::number(t, &what, out));
    inner.finish(out);
    value
}

fn links(mut f: Fields<'_>, sensible: &Sensible, policy: &mut Policy, out: &mut Diagnostics) {
    if let Some(mut pcie) = f.fields("pcie", out) {
        policy.pcie_gen = pcie.take("gen").and_then(|t| positive(t, "links.pcie.gen", 7, out));
        policy.pcie_width = pcie.number::<u8>("width", out).map(|w| {
            // PCIe base specification: the widths that a link can train to.
            if ![1, 2, 4, 8, 16].contains(&w.value) {
                let message = format!("links.pcie.width: no link has {} lanes", w.value);
                out.push(Diagnostic::error(code::POLICY, message).at(w.span).hint("1, 2, 4, 8 or 16"));
            }
            w.value
        });
        pcie.finish(out);
    }
    if let Some(mut nvlink) = f.fields("nvlink", out) {
        sensible.nvidia_only("links.nvlink", nvlink.span, out);
        policy.nvlinks =
            nvlink.need("links", out).and_then(|t| decode::number::<u8>(t, "links.nvlink.links", out)).map(|n| n.value);
        nvlink.finish(out);
    }
    f.finish(out);
}

/// A whole number from 1 to `most`.
pub(super) fn positive<T: TryFrom<u64> + Into<u64> + Copy>(tree: &Tree, what: &str, most: T, out: &mut Diagnostics) -> Option<T> {
    let n = decode::number::<T>(tree, what, out)?;
    let (value, most): (u64, u64) = (n.value.into(), most.into());
    if value == 0 || value > most {
        let message = format!("{what}: {value} is not from 1 to {most}");
        out.push(Diagnostic::error(code::BAD_VALUE, message).at(n.span));
        return None;
    }
    Some(n.value)
}

fn celsius(tree: &Tree, out: &mut Diagnostics) -> Option<f64> {
    let text = decode::text(tree, "thermal.max_c", out)?;
    let honest = text.value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value = text.value.parse::<f64>().ok().filter(|v| honest && (1.0..=150.0).contains(v));
    if value.is_none() {
        let message = format!("thermal.max_c: `{}` is not a temperature from 1 to 150 (degrees Celsius)", quote(&text.value));
        out.push(Diagnostic::error(code::BAD_VALUE, message).at(text.span));
    }
    value
}

fn tolerance(tree: &Tree, index: usize, today: Day, foreign: &mut Foreign, out: &mut Diagnostics) -> Option<Tolerance> {
    let mut f = Fields::of(tree, format!("tolerate[{index}]"), out)?;
    let check = f.need_text("check", out);
    let reason = f.need_text("reason", out);
    let until = f.need_parsed::<Day>("until", out);
    f.finish(out);
    if let Some(until) = until.as_ref().filter(|u| u.value < today) {
        let name = check.as_ref().map_or(String::new(), |c| quote(&c.value));
        let message = format!("the tolerance for `{name}` ended on {}", until.value.0);
        let hint = "fix what it was for and delete it, or review it and write a new day";
        out.push(Diagnostic::error(code::TOLERANCE, message).at(until.span).label(format!("today is {}", today.0)).hint(hint));
    }
    if let Some(reason) = reason.as_ref().filter(|r| r.value.trim().is_empty()) {
        out.push(Diagnostic::error(code::BAD_VALUE, "a tolerance needs a reason").at(reason.span));
    }
    foreign.checks.extend(check.clone());
    Some(Tolerance { check: check?.value, reason: reason?.value, until: until?.value.0.to_string() })
}
