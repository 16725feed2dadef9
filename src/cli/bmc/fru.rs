//! `bmc fru`: the field-replaceable units and accelerators that each BMC knows, the accelerators held against the inventory. Equal units of many nodes share
//! a line; one node's are told one by one, with their serial numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bmc::BmcTrouble;
use crate::bmc::sensing::{Fru, Health, Listing, SeenAccelerator};
use crate::cli::bmc::heard::{Heard, hear_of};
use crate::cli::failure::{Exit, Result};
use crate::cli::global::Global;
use crate::cli::hands::Trust;
use crate::cli::output::{Format, escape};
use crate::model::{AcceleratorProfile, NodeId, Reading};
use crate::spec::fold;

/// Shows the field-replaceable units and accelerators that each BMC knows
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  bringup bmc fru a017-s03\n  bringup bmc fru rack=a017 --kind memory\n  bringup bmc fru '*' --check"
)]
pub struct Args {
    /// Nodes; all of them by default
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// Only this kind, such as `memory`, `drive`, `power-supply` or `accelerator`
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// A line for each unit with its serial number, for many nodes too
    #[arg(long)]
    each: bool,
    /// End with exit code 4 when a BMC sees fewer accelerators than the inventory has, other serial numbers, or one that is not well
    #[arg(long)]
    check: bool,
}

/// What one BMC knows.
#[derive(Serialize)]
struct Known {
    units: Reading<Listing<Fru>>,
    accelerators: Reading<Listing<SeenAccelerator>>,
    /// What the inventory has.
    bought: AcceleratorProfile,
    /// What is not as it should be with the accelerators; empty: nothing, as far as the BMC sees.
    differs: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, or a secret is missing.
pub async fn run(args: Args, global: &Global) -> Result {
    let heard = hear_of(global, args.nodes.as_deref(), &Trust::default(), "known", |node, bmc| async move {
        let units = bmc.frus().await?;
        let accelerators = match bmc.accelerators().await {
            Ok(seen) => seen,
            // IPMI has no such question.
            Err(e) if e.kind == BmcTrouble::Unsupported => Reading::unknown(e.to_string()),
            Err(e) => return Err(e),
        };
        let differs = match &accelerators {
            Reading::Known(seen) => differs(&node.accelerator, &node.accelerator_serials, seen),
            Reading::Absent | Reading::Unknown { .. } => Vec::new(),
        };
        Ok(Known { units, accelerators, bought: node.accelerator.clone(), differs })
    })
    .await?;
    let text = !matches!(global.out.format, Format::Json | Format::Ndjson);
    let of_kind = |kind: &str| args.kind.as_ref().is_none_or(|want| want.eq_ignore_ascii_case(kind));
    if text && of_kind("accelerator") {
        let table = accelerators(&heard);
        if !table.is_empty() {
            global.out.table(&["nodes", "count", "accelerators", "seen", "health"], table);
            global.out.line("");
        }
    }
    let each = args.each || heard.answers.len() == 1;
    if each {
        heard.show(global, &["node", "kind", "unit", "maker", "model", "part", "serial", "health"], |node, known| {
            listed(&known.units).filter(|unit| of_kind(&unit.kind)).map(|unit| cells(node, unit)).collect()
        });
    } else {
        heard.show_rows(global, &["nodes", "count", "kind", "each", "maker", "model", "part"], folded(&heard, &of_kind));
    }
    if text {
        heard.well().for_each(|(node, known)| tell(global, node, known));
    }
    let differs = heard.well().any(|(_, known)| !known.differs.is_empty());
    let exit = heard.exit();
    Ok(if args.check && differs && exit == Exit::DONE { Exit::SOME_FAILED } else { exit })
}

fn listed<T>(reading: &Reading<Listing<T>>) -> impl Iterator<Item = &T> {
    reading.known().map(|listing| listing.items.as_slice()).unwrap_or_default().iter()
}

/// What the BMC sees of the accelerators that is not as the inventory has it.
fn differs(
    bought: &AcceleratorProfile,
    serials: &std::collections::BTreeSet<String>,
    seen: &Listing<SeenAccelerator>,
) -> Vec<String> {
    let mut out = Vec::new();
    let there: Vec<&SeenAccelerator> = seen.items.iter().filter(|a| a.health != Reading::Absent).collect();
    if there.len() != usize::try_from(bought.count).unwrap_or(usize::MAX) {
        let gone: Vec<&str> = seen.items.iter().filter(|a| a.health == Reading::Absent).map(|a| a.name.as_str()).collect();
        let gone = if gone.is_empty() { String::new() } else { format!(" ({} absent)", gone.join(", ")) };
        out.push(format!("{} of {} are seen{gone}", there.len(), bought.count));
    }
    for accelerator in &there {
        if let Some(serial) = accelerator.serial.known().filter(|serial| !serials.is_empty() && !serials.contains(*serial)) {
            out.push(format!("{} has serial {serial}, which the facts do not record", accelerator.name));
        }
        match accelerator.health {
            Reading::Known(Health::Warning) => out.push(format!("{} wants attention", accelerator.name)),
            Reading::Known(Health::Critical) => out.push(format!("{} is not well", accelerator.name)),
            _ => {}
        }
        if let Some(count) = accelerator.uncorrectable.known().filter(|count| **count > 0) {
            out.push(format!("{} counts {count} uncorrectable memory errors", accelerator.name));
        }
    }
    out
}

/// What a node's accelerators are, in a few words that are equal for equal nodes.
fn accelerators(heard: &Heard<Known>) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<(bool, String, String, String), Vec<&NodeId>> = BTreeMap::new();
    for (node, known) in heard.well() {
        let bought = format!("{} {}", known.bought.count, known.bought.model);
        let (seen, health) = match &known.accelerators {
            Reading::Known(seen) => {
                let there: Vec<&SeenAccelerator> = seen.items.iter().filter(|a| a.health != Reading::Absent).collect();
                let mut models: Vec<String> = there.iter().map(|a| word(&a.model)).collect();
                models.sort();
                models.dedup();
                let well = there.iter().filter(|a| a.health == Reading::Known(Health::Ok)).count();
                let health =
                    if known.differs.is_empty() && well == there.len() { "ok".to_owned() } else { known.differs.join("; ") };
                let health = if health.is_empty() { format!("{well} of {} say that they are well", there.len()) } else { health };
                (format!("{} × {}", there.len(), if models.is_empty() { "-".to_owned() } else { models.join(", ") }), health)
            }
            Reading::Absent => ("none".to_owned(), "-".to_owned()),
            Reading::Unknown { .. } => ("unknown".to_owned(), "-".to_owned()),
        };
        groups.entry((known.differs.is_empty(), bought, seen, health)).or_default().push(node);
    }
    let row = |((_, bought, seen, health), nodes): ((bool, String, String, String), Vec<&NodeId>)| {
        vec![fold(nodes.iter().map(|n| n.as_str())), nodes.len().to_string(), bought, seen, health]
    };
    groups.into_iter().map(row).collect()
}

/// Units of many nodes: equal ones share a line.
fn folded(heard: &Heard<Known>, of_kind: &dyn Fn(&str) -> bool) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<(String, String, String, String, usize), Vec<&NodeId>> = BTreeMap::new();
    for (node, known) in heard.well() {
        let mut own: BTreeMap<(String, String, String, String), usize> = BTreeMap::new();
        for unit in listed(&known.units).filter(|unit| of_kind(&unit.kind)) {
            *own.entry((unit.kind.clone(), word(&unit.maker), word(&unit.model), word(&unit.part))).or_default() += 1;
        }
        for ((kind, maker, model, part), count) in own {
            groups.entry((kind, maker, model, part, count)).or_default().push(node);
        }
    }
    let row = |((kind, maker, model, part, each), nodes): ((String, String, String, String, usize), Vec<&NodeId>)| {
        vec![fold(nodes.iter().map(|n| n.as_str())), nodes.len().to_string(), kind, each.to_string(), maker, model, part]
    };
    groups.into_iter().map(row).collect()
}

fn word(reading: &Reading<String>) -> String {
    reading.known().cloned().unwrap_or_else(|| "-".to_owned())
}

fn cells(node: &NodeId, unit: &Fru) -> Vec<String> {
    let health = match unit.health {
        Reading::Known(Health::Ok) => "ok",
        Reading::Known(Health::Warning) => "warning",
        Reading::Known(Health::Critical) => "critical",
        Reading::Absent | Reading::Unknown { .. } => "-",
    };
    let words = [&unit.maker, &unit.model, &unit.part, &unit.serial].map(word);
    let first = [node.to_string(), unit.kind.clone(), unit.name.clone()];
    first.into_iter().chain(words).chain([health.to_owned()]).collect()
}

fn tell(global: &Global, node: &NodeId, known: &Known) {
    let units = (known.units.why_unknown(), known.units.known().map(|l| l.unread.as_slice()).unwrap_or_default());
    let seen = (known.accelerators.why_unknown(), known.accelerators.known().map(|l| l.unread.as_slice()).unwrap_or_default());
    for (what, (why, unread)) in [("units", units), ("accelerators", seen)] {
        if let Some(why) = why {
            global.talk(escape(&format!("{node}: {what} unknown: {why}")));
        }
        unread.iter().for_each(|why| global.talk(escape(&format!("{node}: {what} not read: {why}"))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AcceleratorKind;

    fn accelerator(name: &str, serial: &str, health: Reading<Health>, errors: u64) -> SeenAccelerator {
        let known = |text: &str| Reading::Known(text.to_owned());
        SeenAccelerator {
            id: name.into(),
            name: name.into(),
            maker: known("NVIDIA"),
            model: known("H100"),
            part: known("2330"),
            serial: known(serial),
            uuid: Reading::unknown("x"),
            health,
            uncorrectable: Reading::Known(errors),
        }
    }

    #[test]
    fn what_differs_is_named() {
        let bought = AcceleratorProfile { kind: AcceleratorKind::Nvidia, model: "H100".into(), count: 3, pci_id: None };
        let ok = Reading::Known(Health::Ok);
        let seen = |items| Listing { items, unread: Vec::new() };
        let well = seen(["1", "2", "3"].map(|n| accelerator(n, n, ok.clone(), 0)).into());
        let serials = ["1", "2", "3"].map(str::to_owned).into();
        assert_eq!(differs(&bought, &serials, &well), Vec::<String>::new());
        assert_eq!(differs(&bought, &std::collections::BTreeSet::new(), &well), Vec::<String>::new(), "no serials are recorded");
        let ill = seen(vec![
            accelerator("GPU_1", "1", Reading::Known(Health::Critical), 2),
            accelerator("GPU_2", "9", ok, 0),
            accelerator("GPU_3", "3", Reading::Absent, 0),
        ]);
        assert_eq!(
            differs(&bought, &serials, &ill),
            [
                "2 of 3 are seen (GPU_3 absent)",
                "GPU_1 is not well",
                "GPU_1 counts 2 uncorrectable memory errors",
                "GPU_2 has serial 9, which the facts do not record",
            ]
        );
    }
}
