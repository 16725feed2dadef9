//! `bmc doctor`: the harmless part of the conformance suite against real BMCs. It reads and changes nothing; what each BMC supports, which quirks it
//! showed, what could not be looked at and how fast it is goes into a dossier, as data and as text. Equal findings of many nodes share a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::bmc::examining::Sight;
use crate::cli::bmc::dossier::{Answers, Dossier};
use crate::cli::bmc::heard::hear_of;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::global::Global;
use crate::cli::hands::Trust;
use crate::cli::output::{Format, Out, escape};
use crate::model::NodeId;
use crate::spec::fold;

/// Folder of the dossiers, beside the journal.
const FOLDER: &str = "dossiers";
/// Nodes whose summary is told one by one; of more, the tables tell enough.
const TOLD: usize = 8;

/// Asks each BMC what it supports and which quirks it shows, without changing anything
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup bmc doctor rack=a017\n  bringup bmc doctor a017-s03 --all --dossiers dossiers")]
pub struct Args {
    /// Nodes; all of them by default
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// Also what is as it should be, and what was not looked at
    #[arg(long)]
    all: bool,
    /// Where each BMC's dossier is written, as NODE.json and NODE.txt; `dossiers` beside the journal by default
    #[arg(long, value_name = "DIR")]
    dossiers: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
}

/// A dossier could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("write the dossier {}", path.display())]
struct DossierError {
    path: PathBuf,
    source: std::io::Error,
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
    let for_people = !matches!(global.out.format, Format::Json | Format::Ndjson);
    if for_people && !dossiers.is_empty() {
        let mut tables = vec![(["nodes", "asked for", "answers", "seen"].as_slice(), supports(&dossiers, args.all))];
        if args.all {
            tables.push((["rows", "not looked at, since that takes"].as_slice(), untried(&dossiers)));
        }
        for (headers, rows) in tables.into_iter().filter(|(_, rows)| !rows.is_empty()) {
            global.out.line("");
            global.out.table(headers, rows);
        }
    }
    if !dossiers.is_empty() {
        let dir = args.dossiers.map_or_else(|| Ok(global.state_dir()?.join(FOLDER)), Ok::<_, Failure>)?;
        for dossier in &dossiers {
            write(&dir, dossier, &global.out)
                .map_err(|e| Failure::new(Exit::ERROR, e).hint("give a writable place with --dossiers"))?;
        }
        if for_people {
            dossiers.iter().take(TOLD).for_each(|dossier| global.talk(escape(&summary(dossier))));
        }
        let count = if dossiers.len() == 1 { "1 dossier is".to_owned() } else { format!("{} dossiers are", dossiers.len()) };
        let all = if args.all { "" } else { "; --all shows what is as it should be, and what was not looked at" };
        global.talk(format!("{count} in {}{all}", dir.display()));
    }
    Ok(heard.exit())
}

/// One line of a table with the nodes that share it. Lines that begin alike stand together.
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
                Sight::Plain(_) | Sight::Untried(_) => return None,
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

/// Rows that were not looked at, by what that would take.
fn untried(dossiers: &[&Dossier]) -> Vec<Vec<String>> {
    let mut by_need: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for look in dossiers.iter().flat_map(|dossier| &dossier.looks) {
        if let Sight::Untried(needs) = &look.seen {
            by_need.entry(needs).or_default().push(look.row);
        }
    }
    by_need.into_iter().map(|(needs, rows)| vec![fold(rows), needs.to_owned()]).collect()
}

/// One dossier in a few words.
fn summary(dossier: &Dossier) -> String {
    let rows = |of: fn(&Sight) -> bool| -> BTreeSet<&str> {
        dossier.looks.iter().filter(|look| of(&look.seen)).map(|look| look.row).collect()
    };
    let quirks = rows(|seen| matches!(seen, Sight::Quirk(_)));
    let untried = rows(|seen| matches!(seen, Sight::Untried(_))).len();
    let yes = dossier.supports.iter().filter(|support| support.answer == Answers::Yes).count();
    let speed = match dossier.latencies {
        Some(l) => format!("{} to {} ms an answer, {} ms in the middle", l.least_ms, l.most_ms, l.median_ms),
        None => "no time was taken".to_owned(),
    };
    let shown = if quirks.is_empty() { "no quirk".to_owned() } else { format!("quirks of {}", fold(quirks)) };
    let known = match &dossier.profile {
        Some(profile) if !profile.entries.is_empty() => format!("known as {}; ", profile.entries.join(", ")),
        _ => String::new(),
    };
    format!(
        "{}: {known}answers {yes} of {} questions; {shown}; {untried} rows not looked at; {speed}",
        dossier.node,
        dossier.supports.len()
    )
}

/// Keeps a dossier. One that is there is older, and goes only when the new one is whole. Nobody else may read it: it names what is in the node.
fn write(dir: &Path, dossier: &Dossier, out: &Out) -> std::result::Result<(), DossierError> {
    let one = [dossier];
    let text = format!(
        "{}\n\n{}\n\n{}\n\n{}\n",
        escape(&summary(dossier)),
        out.render_table(&["node", "row", "looked at", "seen"], looks(&one, true)),
        out.render_table(&["node", "asked for", "answers", "seen"], supports(&one, true)),
        out.render_table(&["rows", "not looked at, since that takes"], untried(&one)),
    );
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source: std::io::Error| DossierError { path, source }
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail(dir))?;
    let json = serde_json::to_string_pretty(dossier).map_err(std::io::Error::from).map_err(fail(dir))?;
    for (name, content) in [("json", json + "\n"), ("txt", text)] {
        let file = dir.join(format!("{}.{name}", dossier.node));
        let beside = dir.join(format!(".{}.{name}.{}", dossier.node, std::process::id()));
        keep(&beside, &file, content.as_bytes()).map_err(fail(&file))?;
    }
    Ok(())
}

/// Writes it beside its place, for its owner alone, and puts it there.
fn keep(beside: &Path, file: &Path, content: &[u8]) -> std::io::Result<()> {
    // One of this process's own number was left by another that was killed.
    drop(std::fs::remove_file(beside));
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside).and_then(|mut open| open.write_all(content));
    let kept = written.and_then(|()| std::fs::rename(beside, file));
    if kept.is_err() {
        drop(std::fs::remove_file(beside));
    }
    kept
}
