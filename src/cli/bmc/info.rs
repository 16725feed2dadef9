//! `bmc info`: what each BMC says of itself and its node, out of band. Reads only; with `--accept-new` the certificates of first contacts are recorded in
//! the facts.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use serde::Serialize;

use crate::bmc::quirk::Profile;
use crate::bmc::{Bmc, BmcError};
use crate::cli::failure::Result;
use crate::cli::folded::{Told, exit, rows};
use crate::cli::global::Global;
use crate::cli::hands::{Hands, Trust};
use crate::cli::lanes::lanes;
use crate::cli::output::Format;
use crate::cli::{record, site};
use crate::model::{BmcFacts, BmcTrust, BootOverride, Component, Digest, Node, NodeId, PowerState, Reading, Version};

/// Most BMCs that are asked at once, those that do not answer apart; each takes a TLS connection (65 KiB).
const AT_ONCE: usize = 256;

/// Shows what each BMC says of itself and its node
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup bmc info rack=a017\n  bringup bmc info a017-s03 --accept-new")]
pub struct Args {
    /// Nodes; all of them by default
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    #[command(flatten)]
    trust: Trust,
}

/// What one BMC said.
#[derive(Serialize)]
struct Info {
    identity: BmcFacts,
    power: Reading<PowerState>,
    boot: Reading<BootOverride>,
    firmware: Reading<BTreeMap<Component, Version>>,
    certificate: Option<Digest>,
    /// What stays when the certificate is renewed over the same key: `spki:` in the facts.
    certificate_key: Option<Digest>,
    /// How it differs from the specification, and why that is thought; absent for IPMI.
    profile: Option<Profile>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Row<'a> {
    node: &'a NodeId,
    protocol: String,
    info: Option<&'a Info>,
    error: Option<&'a Told>,
}

#[derive(Serialize)]
struct Report<'a> {
    format_version: u32,
    nodes: Vec<Row<'a>>,
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, a secret is missing, or the facts cannot be written.
pub async fn run(args: Args, global: &Global) -> Result {
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, args.nodes.as_deref())?;
    let hands = Hands::new(&global.flags.inventory, None, &args.trust).remembering(global);
    hands.prepare_bmcs(selected.iter().filter_map(|id| loaded.inventory.nodes.get(id))).await;
    let mut nodes = Vec::new();
    for node in selected.iter().filter_map(|id| loaded.inventory.nodes.get(id)) {
        nodes.push((node, hands.bmc(node)?));
    }
    let asked: Vec<&Node> = nodes.iter().map(|(node, _)| *node).collect();
    let answers: BTreeMap<NodeId, std::result::Result<Info, Told>> = lanes(nodes, AT_ONCE, |(node, bmc)| async move {
        let info = ask(bmc.as_ref()).await;
        bmc.close().await;
        (node.id.clone(), info.map_err(|error| Told::error(&error)))
    })
    .collect()
    .await;
    show(global, &asked, &answers);
    if args.trust.accept_new {
        let certificate = |node: &Node| answers.get(&node.id)?.as_ref().ok()?.certificate.clone();
        let new: BTreeMap<NodeId, Digest> = asked
            .iter()
            .filter(|node| node.bmc.trust == BmcTrust::FirstContact)
            .filter_map(|node| Some((node.id.clone(), certificate(node)?)))
            .collect();
        let recorded = record::certificates(&global.flags.inventory, loaded.inputs.keys(), &new)?;
        for (file, count) in recorded {
            global.talk(format!("recorded {count} certificates in {}", file.display()));
        }
    }
    let ends =
        answers.into_iter().map(|(node, answer)| (node, answer.map_or_else(|told| told, |_| Told::well("heard")))).collect();
    Ok(exit(&ends))
}

async fn ask(bmc: &dyn Bmc) -> std::result::Result<Info, BmcError> {
    // The first question decides whether the BMC can be spoken with; the others may stay unknown.
    let identity = bmc.identity().await?;
    let unknown = |error: BmcError| error.to_string();
    let power = bmc.power().await.unwrap_or_else(|e| Reading::unknown(unknown(e)));
    let boot = bmc.boot().await.unwrap_or_else(|e| Reading::unknown(unknown(e)));
    let firmware = bmc.firmware().await.unwrap_or_else(|e| Reading::unknown(unknown(e)));
    Ok(Info {
        identity,
        power,
        boot,
        firmware,
        certificate: bmc.certificate(),
        certificate_key: bmc.certificate_key(),
        profile: bmc.profile(),
    })
}

fn show(global: &Global, asked: &[&Node], answers: &BTreeMap<NodeId, std::result::Result<Info, Told>>) {
    let all = asked.iter().filter_map(|node| Some((*node, answers.get(&node.id)?)));
    match global.out.format {
        Format::Json | Format::Ndjson => {
            let rows: Vec<Row<'_>> = all
                .map(|(node, answer)| Row {
                    node: &node.id,
                    protocol: format!("{:?}", node.bmc.protocol).to_lowercase(),
                    info: answer.as_ref().ok(),
                    error: answer.as_ref().err(),
                })
                .collect();
            if global.out.is_json() {
                global.out.json(&Report { format_version: 1, nodes: rows });
            } else {
                rows.iter().filter_map(|row| serde_json::to_string(row).ok()).for_each(|line| global.out.line(line));
            }
        }
        _ => text(global, answers),
    }
}

fn text(global: &Global, answers: &BTreeMap<NodeId, std::result::Result<Info, Told>>) {
    let mut whys: BTreeMap<NodeId, Told> = BTreeMap::new();
    let mut table = Vec::new();
    for (node, answer) in answers {
        let info = match answer {
            Ok(info) => info,
            Err(told) => {
                whys.insert(node.clone(), told.clone());
                continue;
            }
        };
        let id = &info.identity;
        table.push(vec![
            node.to_string(),
            word(&id.vendor, Clone::clone),
            word(&id.model, Clone::clone),
            word(&id.serial, Clone::clone),
            word(&id.bmc_version, ToString::to_string),
            info.profile.as_ref().map_or_else(|| "-".to_owned(), |profile| profile.name()),
            word(&info.power, ToString::to_string),
            word(&info.boot, override_words),
            info.certificate.as_ref().map_or_else(|| "-".to_owned(), |digest| digest.short().to_owned()),
        ]);
    }
    if !table.is_empty() {
        global
            .out
            .table(&["node", "vendor", "model", "serial", "bmc", "profile", "power", "boot override", "certificate"], table);
    }
    for (node, info) in answers.iter().filter_map(|(node, answer)| Some((node, answer.as_ref().ok()?))) {
        let id = &info.identity;
        let readings = [
            ("vendor", id.vendor.why_unknown()),
            ("model", id.model.why_unknown()),
            ("serial", id.serial.why_unknown()),
            ("uuid", id.uuid.why_unknown()),
            ("bmc version", id.bmc_version.why_unknown()),
            ("power", info.power.why_unknown()),
            ("boot override", info.boot.why_unknown()),
            ("firmware", info.firmware.why_unknown()),
        ];
        for (what, why) in readings.into_iter().filter_map(|(what, why)| Some((what, why?))) {
            global.talk(crate::cli::output::escape(&format!("{node}: {what} unknown: {why}")));
        }
        for remark in info.profile.iter().flat_map(|profile| &profile.remarks) {
            global.talk(crate::cli::output::escape(&format!("{node}: profile: {remark}")));
        }
    }
    if !whys.is_empty() {
        global.out.table(&["nodes", "count", "trouble", "seen"], rows(&whys));
    }
}

fn word<T>(reading: &Reading<T>, text: impl Fn(&T) -> String) -> String {
    match reading {
        Reading::Known(value) => text(value),
        Reading::Absent => "none".to_owned(),
        Reading::Unknown { .. } => "unknown".to_owned(),
    }
}

fn override_words(held: &BootOverride) -> String {
    let once = if held.once { " once" } else { "" };
    format!("{}{once}", held.target)
}
