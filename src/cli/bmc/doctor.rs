//! `bmc doctor`: the harmless part of the conformance suite against real BMCs. It reads and changes nothing; what each BMC supports, which quirks it
//! showed, what could not be looked at and how fast it is goes into a dossier, as data and as text. Equal findings of many nodes share a line.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::cli::bmc::dossier::Dossier;
use crate::cli::bmc::dossier_tables as tables;
use crate::cli::bmc::heard::hear_of;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::global::Global;
use crate::cli::hands::Trust;
use crate::cli::output::{Format, Out};

/// Folder of the dossiers, beside the journal.
const FOLDER: &str = "dossiers";

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
    let for_people = !matches!(global.out.format, Format::Json | Format::Ndjson);
    if for_people {
        show(&global.out, &dossiers, args.all);
        if dossiers.len() < heard.answers.len() && !dossiers.is_empty() {
            global.out.line("");
        }
    }
    heard.show_rows(global, &[], Vec::new());
    if !dossiers.is_empty() {
        let dir = args.dossiers.map_or_else(|| Ok(global.state_dir()?.join(FOLDER)), Ok::<_, Failure>)?;
        for dossier in &dossiers {
            write(&dir, dossier, &global.out)
                .map_err(|e| Failure::new(Exit::ERROR, e).hint("give a writable place with --dossiers"))?;
        }
        let count = if dossiers.len() == 1 { "1 dossier is".to_owned() } else { format!("{} dossiers are", dossiers.len()) };
        let all = if args.all { "" } else { "; --all shows all that is in them" };
        global.talk(format!("{count} in {}{all}", dir.display()));
    }
    Ok(heard.exit())
}

/// The tables of all dossiers, one below the other.
fn show(out: &Out, dossiers: &[&Dossier], all: bool) {
    let untried = if all { tables::untried(dossiers) } else { Vec::new() };
    let shown = [
        (tables::OVERVIEW, tables::overview(dossiers)),
        (tables::LOOKS, tables::looks(dossiers, all)),
        (tables::SUPPORTS, tables::supports(dossiers, all)),
        (tables::UNTRIED, untried),
    ];
    for (at, (headers, rows)) in shown.into_iter().filter(|(_, rows)| !rows.is_empty()).enumerate() {
        if at > 0 {
            out.line("");
        }
        out.table(headers, rows);
    }
}

/// Keeps a dossier. One that is there is older, and goes only when the new one is whole. Nobody else may read it: it names what is in the node.
fn write(dir: &Path, dossier: &Dossier, out: &Out) -> std::result::Result<(), DossierError> {
    let one = [dossier];
    let shown = [
        (tables::OVERVIEW, tables::overview(&one)),
        (tables::LOOKS, tables::looks(&one, true)),
        (tables::SUPPORTS, tables::supports(&one, true)),
        (tables::UNTRIED, tables::untried(&one)),
    ];
    let text = shown.map(|(headers, rows)| out.render_table(headers, rows) + "\n").join("\n");
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
