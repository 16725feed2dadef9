//! `bmc doctor`: the harmless part of the conformance suite against real BMCs. It changes nothing; what each supports, which quirks it showed and how
//! fast it is goes into a dossier, as data and as text. Equal findings of many nodes share a line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::bmc::examining::Sight;
use crate::cli::bmc::dossier::{Answers, Dossier};
use crate::cli::bmc::heard::hear_of;
use crate::cli::failure::Result;
use crate::cli::global::Global;
use crate::cli::hands::Trust;
use crate::cli::output::{Format, Out, escape};
use crate::model::NodeId;
use crate::spec::fold;

/// Asks each BMC what it supports and which quirks it shows, without changing anything
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup bmc doctor rack=a017\n  bringup bmc doctor a017-s03 --all --dossiers dossiers")]
pub struct Args {
    /// Nodes; all of them by default
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// Also what is as it should be
    #[arg(long)]
    all: bool,
    /// Where each BMC's dossier is written, as NODE.json and NODE.txt; `dossiers` beside the journal by default
    #[arg(long, value_name = "DIR")]
    dossiers: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, a secret is missing, or a dossier cannot be written.
pub async fn run(args: Args, global: &Global) -> Result {
    let heard = hear_of(global, args.nodes.as_deref(), &args.trust, "dossier", |node, bmc| async move {
        Dossier::take(&node, bmc.as_ref()).await
    })
    .await?;
    let dossiers: Vec<&Dossier> = heard.well().map(|(_, dossier)| dossier).collect();
    heard.show_rows(global, &["nodes", "row", "looked at", "seen"], looks(&dossiers, args.all));
    if !matches!(global.out.format, Format::Json | Format::Ndjson) && !dossiers.is_empty() {
        global.out.table(&["nodes", "asked for", "answers", "seen"], supports(&dossiers, args.all));
        dossiers.iter().for_each(|dossier| global.talk(escape(&time(dossier))));
    }
    if !dossiers.is_empty() {
        let dir = args.dossiers.map_or_else(|| Ok(global.state_dir()?.join("dossiers")), Ok::<_, super::Failure>)?;
        for dossier in &dossiers {
            write(&dir, dossier, &global.out)?;
        }
        global.talk(format!("{} dossiers are in {}", dossiers.len(), dir.display()));
    }
    Ok(heard.exit())
}

/// One line of a table with the nodes that share it.
fn folded(lines: impl Iterator<Item = (Vec<String>, NodeId)>) -> Vec<Vec<String>> {
    let mut shared: BTreeMap<Vec<String>, Vec<NodeId>> = BTreeMap::new();
    for (line, node) in lines {
        shared.entry(line).or_default().push(node);
    }
    shared
        .into_iter()
        .map(|(line, nodes)| std::iter::once(fold(nodes.iter().map(NodeId::as_str))).chain(line).collect())
        .collect()
}

/// What the looks showed: quirks, and what could not be seen; with `all` also what is plain.
fn looks(dossiers: &[&Dossier], all: bool) -> Vec<Vec<String>> {
    folded(dossiers.iter().flat_map(|dossier| {
        dossier.looks.iter().filter_map(move |look| {
            let seen = match &look.seen {
                Sight::Quirk(seen) => format!("quirk: {seen}"),
                Sight::Unseen(why) => format!("not seen: {why}"),
                Sight::Plain(seen) if all => seen.clone(),
                Sight::Plain(_) => return None,
            };
            Some((vec![look.row.to_owned(), look.at.to_owned(), escape(&seen)], dossier.node.clone()))
        })
    }))
}

/// What was asked for: what is not answered with a yes; with `all` everything.
fn supports(dossiers: &[&Dossier], all: bool) -> Vec<Vec<String>> {
    folded(dossiers.iter().flat_map(|dossier| {
        dossier.supports.iter().filter(move |support| all || support.answer != Answers::Yes).map(|support| {
            let line = vec![support.what.to_owned(), support.answer.word().to_owned(), escape(&support.seen)];
            (line, dossier.node.clone())
        })
    }))
}

fn time(dossier: &Dossier) -> String {
    let quirks = dossier.looks.iter().filter(|look| matches!(look.seen, Sight::Quirk(_))).count();
    let yes = dossier.supports.iter().filter(|support| support.answer == Answers::Yes).count();
    let speed = match dossier.latencies {
        Some(l) => format!("{} equal questions took {} to {} ms, half of them {} ms at most", l.count, l.least_ms, l.most_ms, l.median_ms),
        None => "no time was taken".to_owned(),
    };
    let entries = match &dossier.profile {
        Some(profile) if !profile.entries.is_empty() => format!("; known as {}", profile.entries.join(", ")),
        _ => String::new(),
    };
    format!(
        "{}: answers {yes} of {} questions, shows {quirks} quirks; {speed}{entries}",
        dossier.node,
        dossier.supports.len()
    )
}

fn write(dir: &Path, dossier: &Dossier, out: &Out) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let one = [dossier];
    let text = format!(
        "{}\n\n{}\n{}",
        escape(&time(dossier)),
        out.render_table(&["node", "row", "looked at", "seen"], looks(&one, true)),
        out.render_table(&["node", "asked for", "answers", "seen"], supports(&one, true)),
    );
    // A dossier that is there is older, and goes only when the new one is whole.
    for (name, content) in [("json", serde_json::to_string_pretty(dossier)? + "\n"), ("txt", text + "\n")] {
        let (file, beside) = (dir.join(format!("{}.{name}", dossier.node)), dir.join(format!(".{}.{name}", dossier.node)));
        std::fs::write(&beside, content)?;
        std::fs::rename(&beside, &file)?;
    }
    Ok(())
}
