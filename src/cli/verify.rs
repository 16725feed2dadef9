//! `bringup verify`: runs the suite without provisioning, and says of each accelerator what the gate thinks. It admits nobody.

use serde::Serialize;

use super::failure::{Exit, Failure, Result};
use super::gate::{Gated, examine_all, exit_of};
use super::global::Global;
use super::hands::{Hands, Trust};
use super::output::Format;
use super::site::{select, site};
use crate::model::{Finding, Judgement, NodeId, Verdict};

/// Judges every accelerator of the selected nodes, without provisioning
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup verify 'rack=a001'\n  bringup verify a001-s01 -o json\n  \
                        bringup verify 'rack=a001' --cabling --patch facts.patch && patch -p1 <facts.patch\n\n\
                        Ends with 8 when any accelerator is refused, with 10 when no node was reached. With --cabling: with 4 when\n\
                        anything is elsewhere than written or was not heard.")]
pub struct Args {
    /// Nodes: names, ranges and labels; all when left out
    #[arg(value_name = "SELECT")]
    pub nodes: Option<String>,
    /// Judge no accelerator; prove serials, UUIDs, MAC addresses and cables (LLDP) against the facts and `cabling/*.csv`
    #[arg(long)]
    pub cabling: bool,
    /// Write the change of the files that swapped trays and cables ask for, as a unified diff; empty when there is none
    #[arg(long, value_name = "FILE", requires = "cabling")]
    pub patch: Option<std::path::PathBuf>,
}

#[derive(Serialize)]
struct Line<'a> {
    node: &'a NodeId,
    verdict: Verdict,
    /// May work, whole or degraded.
    admissible: bool,
    degraded: bool,
    unreached: Option<&'a str>,
    findings: &'a [Finding],
    devices: &'a [Judgement],
}

/// Runs the verb.
///
/// # Errors
/// Mistakes in the input, or a key that cannot be had.
pub async fn run(args: Args, global: &Global) -> Result {
    if args.cabling {
        return super::cabling::run(args.nodes.as_deref(), args.patch.as_deref(), global).await;
    }
    let site = site(global)?;
    let nodes = select(global, &site.inventory, args.nodes.as_deref())?;
    let hands = Hands::new(&global.flags.inventory, Some(&site.playbook), &Trust::default()).remembering(global);
    let gated = examine_all(global, &site, &hands, &nodes).await?;
    let lines: Vec<Line<'_>> = gated.iter().map(line).collect();
    match global.out.format {
        Format::Text => text(global, &gated),
        Format::Json => global.out.json(&serde_json::json!({ "format_version": 1, "nodes": lines })),
        Format::Ndjson => {
            for line in &lines {
                global.out.line(serde_json::to_string(line)?);
            }
        }
        other => {
            return Err(Failure::new(Exit::USAGE, format!("verify as {other:?} is not supported by this version"))
                .hint("use -o text, json or ndjson"));
        }
    }
    finish(global, &gated)
}

fn line(gated: &Gated) -> Line<'_> {
    Line {
        node: &gated.node,
        verdict: gated.judged.verdict,
        admissible: gated.admission.is_some(),
        degraded: gated.admission.as_ref().is_some_and(crate::verify::Admission::degraded),
        unreached: gated.unreached.as_deref(),
        findings: &gated.judged.findings,
        devices: &gated.judged.devices,
    }
}

fn text(global: &Global, gated: &[Gated]) {
    let mut rows = Vec::new();
    for one in gated {
        if let Some(why) = &one.unreached {
            let verdict = Verdict::Inconclusive.to_string();
            rows.push([one.node.as_str(), "all", "", "", &verdict, why].map(str::to_owned).to_vec());
            continue;
        }
        for found in one.judged.findings.iter().filter(|f| f.verdict > Verdict::Pass) {
            let why = format!("{}: {}", found.check, found.detail);
            rows.push(vec![one.node.to_string(), "node".into(), String::new(), String::new(), found.verdict.to_string(), why]);
        }
        for device in &one.judged.devices {
            rows.push(vec![
                one.node.to_string(),
                device.device.clone(),
                device.serial.clone().unwrap_or_else(|| "?".into()),
                device.model.clone().unwrap_or_else(|| "?".into()),
                device.verdict.to_string(),
                device.why(),
            ]);
        }
    }
    global.out.table(&["node", "device", "serial", "model", "verdict", "why"], rows);
}

/// The sum for people, and the exit code. Every accelerator that was bought is in exactly one number.
pub fn finish(global: &Global, gated: &[Gated]) -> Result {
    let bought: u64 = gated.iter().map(|g| u64::from(g.bought)).sum();
    let fit: usize = gated.iter().filter_map(|g| g.admission.as_ref()).map(|key| key.devices().len()).sum();
    let unreached = gated.iter().filter(|g| g.unreached.is_some()).count();
    let tail = if unreached == 0 { String::new() } else { format!("; {unreached} of {} nodes were not reached", gated.len()) };
    global.talk(format!("{fit} of {bought} accelerators may work{tail}"));
    match exit_of(gated) {
        Exit::UNREACHABLE => {
            let why = gated.iter().find_map(|g| g.unreached.clone()).unwrap_or_default();
            Err(Failure::new(Exit::UNREACHABLE, format!("no node was reached: {why}")).hint("bringup exec SELECT -- true"))
        }
        exit => Ok(exit),
    }
}
