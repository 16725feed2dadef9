//! `bringup doctor`: what this machine can and cannot do. It reads, asks and tries ports on itself; it writes nothing and touches no node.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde::Serialize;

use super::bootserver;
use super::failure::{Exit, Failure, Result};
use super::global::{Global, now_ms, today};
use super::loaders::LoaderFlags;
use crate::boot::{self, AskError, Pin};
use crate::journal::Journal;
use crate::model::Inventory;
use crate::spec;

/// Open files that the program needs beside its nodes: journal, pool, grants, lock, sockets, standard streams.
const OWN_FILES: u64 = 64;
/// Open files for one node under way: its BMC's and its system's connection.
const NODE_FILES: u64 = 2;
/// No clock that is right shows less: 2026-01-01T00:00:00Z in ms, before the first version.
const FIRST_DAY_MS: i64 = 1_767_225_600_000;

/// Says what this machine can and cannot do
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  bringup doctor\n  bringup -i inventory/kr-ai-1 doctor -o json\n\nEnds with 1 when something is broken."
)]
pub struct Args {
    /// What nodes start with.
    #[command(flatten)]
    pub loaders: LoaderFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Standing {
    Well,
    /// Could not be found out, or matters only to some sites.
    Note,
    Broken,
}

#[derive(Debug, Serialize)]
struct Line {
    what: &'static str,
    standing: Standing,
    seen: String,
    hint: Option<String>,
}

fn well(what: &'static str, seen: impl Into<String>) -> Line {
    Line { what, standing: Standing::Well, seen: seen.into(), hint: None }
}
fn note(what: &'static str, seen: impl Into<String>, hint: impl Into<String>) -> Line {
    Line { what, standing: Standing::Note, seen: seen.into(), hint: Some(hint.into()) }
}
fn broken(what: &'static str, seen: impl Into<String>, hint: impl Into<String>) -> Line {
    Line { what, standing: Standing::Broken, seen: seen.into(), hint: Some(hint.into()) }
}

/// Runs the verb.
///
/// # Errors
/// Exit code 1 when something is broken, after everything has been shown.
pub async fn run(args: Args, global: &Global) -> Result {
    let path = global.journal_path()?;
    let inventory = spec::load_inventory(&global.flags.inventory, &today());
    let mut lines = vec![state(&path), journal(&path), clock(&path), loaders(&args.loaders)];
    match &inventory {
        Ok(loaded) => {
            let site = &loaded.inventory;
            lines.push(well("inventory", format!("{}: {} nodes", site.site, site.nodes.len())));
            lines.push(files(u64::try_from(site.nodes.len()).unwrap_or(u64::MAX)));
            lines.extend(ports(site).await);
        }
        Err(mistakes) => {
            lines.push(note("inventory", mistakes.to_string(), "bringup validate"));
            lines.push(files(0));
        }
    }
    let worst = lines.iter().map(|l| l.standing).max();
    if global.out.is_json() {
        global.out.json(&serde_json::json!({ "format_version": 1, "checks": lines }));
    } else {
        let standing = |s| match s {
            Standing::Well => "well",
            Standing::Note => "note",
            Standing::Broken => "broken",
        };
        let rows = lines.iter().map(|l| {
            vec![l.what.to_owned(), standing(l.standing).to_owned(), l.seen.clone(), l.hint.clone().unwrap_or_default()]
        });
        global.out.table(&["what", "standing", "seen", "next"], rows.collect());
    }
    match worst {
        Some(Standing::Broken) => Err(Failure::new(Exit::ERROR, "this machine is not ready").hint("see `next` in the table")),
        _ => Ok(Exit::DONE),
    }
}

/// Whether journal, pool and grants can be written, found out without writing: opened for appending where they are, else by the mode of
/// the nearest folder.
fn state(path: &Path) -> Line {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for file in [path.to_path_buf(), dir.join("pool.db"), dir.join("grants.db"), dir.join("lock")] {
        if file.exists()
            && let Err(error) = OpenOptions::new().append(true).open(&file)
        {
            return broken(
                "state",
                format!("{}: {error}", file.display()),
                "make it writable, or give another place with --state",
            );
        }
    }
    let Some(found) = dir.ancestors().map(|d| if d.as_os_str().is_empty() { Path::new(".") } else { d }).find(|d| d.exists())
    else {
        return broken("state", format!("{} cannot be made", dir.display()), "give another place with --state");
    };
    match (std::fs::metadata(found), std::fs::metadata("/proc/self")) {
        (Ok(meta), _) if !meta.is_dir() => {
            broken("state", format!("{} is not a folder", found.display()), "give another place with --state")
        }
        // /proc/self belongs to the effective user of this process.
        (Ok(meta), Ok(me)) => {
            let mode = meta.permissions().mode();
            let mine = me.uid() == 0 || (meta.uid() == me.uid() && mode & 0o300 == 0o300) || mode & 0o003 == 0o003;
            let grouped = meta.gid() == me.gid() && mode & 0o030 == 0o030;
            if mine || grouped {
                well("state", format!("{} can be written", dir.display()))
            } else {
                note("state", format!("{} has mode {:o}", found.display(), mode & 0o777), "give a writable place with --state")
            }
        }
        (Err(error), _) | (_, Err(error)) => note("state", format!("{}: {error}", found.display()), "look at it with ls -ld"),
    }
}

fn journal(path: &Path) -> Line {
    if !path.exists() {
        return well("journal", format!("none yet at {}", path.display()));
    }
    match Journal::verify(path).and_then(|whole| Ok((whole, Journal::unfinished(path)?))) {
        Ok(((lines, _), None)) => well("journal", format!("{lines} events, chain whole, every run has ended")),
        Ok(((lines, _), Some(run))) => {
            note("journal", format!("{lines} events, chain whole; {run} has not ended"), format!("bringup resume {run}"))
        }
        Err(error) => {
            let mut seen = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(under) = cause {
                seen.push_str(&format!(": {under}"));
                cause = under.source();
            }
            broken("journal", seen, "keep a copy, then begin a new one with --state")
        }
    }
}

/// The clock matters for names, grants and expiry. It is held against the newest line of the journal, which it must not precede.
fn clock(path: &Path) -> Line {
    let now = now_ms();
    if now < FIRST_DAY_MS {
        return broken("clock", format!("it shows {}", today()), "set the clock; `timedatectl` shows whether it is kept by NTP");
    }
    let newest = Journal::newest(path).and_then(|run| Journal::events(path, &run)).ok();
    let newest = newest.and_then(|events| events.last().map(|line| line.at_ms));
    match newest {
        Some(then) if then > now + 60_000 => {
            let ahead = (then - now) / 1000;
            broken("clock", format!("the newest run's last event lies {ahead} s in the future"), "set the clock")
        }
        _ if Path::new("/run/systemd/timesync/synchronized").exists() => well("clock", format!("{}, kept by NTP", today())),
        _ => note("clock", format!("{}; whether NTP keeps it is not known", today()), "chronyc tracking, or timedatectl"),
    }
}

/// Which loaders are there, and whether somebody vouched for each.
fn loaders(flags: &LoaderFlags) -> Line {
    let found = match flags.look() {
        Ok(found) => found,
        Err(error) => {
            let seen = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
            let seen = seen.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            return broken("loaders", seen, "bringup image loaders");
        }
    };
    let named = |wanted: bool| {
        let names = found.iter().filter(|l| (l.pin == Pin::Nobody) == wanted).map(|l| l.name);
        names.collect::<Vec<_>>().join(", ")
    };
    let (strange, pinned) = (named(true), named(false));
    if !strange.is_empty() {
        let seen = format!("{strange}: not of a package that is known, and in no lock, so not served");
        return note("loaders", seen, "bringup image loaders; --lock there pins what is meant");
    }
    let missing: Vec<&str> =
        ["ipxe.efi", "snponly.efi"].into_iter().filter(|name| !found.iter().any(|l| l.name == *name)).collect();
    if missing.is_empty() {
        return well("loaders", format!("{pinned}: each is pinned by its SHA-256"));
    }
    let seen = format!("{} not found in {}", missing.join(" and "), flags.loaders.display());
    note("loaders", seen, "apt install ipxe, or --loaders DIR; UEFI HTTP boot needs them")
}

/// The limit of open files against the fleet.
fn files(nodes: u64) -> Line {
    let need = nodes.saturating_mul(NODE_FILES).saturating_add(OWN_FILES);
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|l| l.strip_prefix("Max open files")).and_then(|l| l.split_whitespace().next());
    match soft {
        Some("unlimited") => well("open files", "no limit"),
        Some(text) => match text.parse::<u64>() {
            Ok(limit) if limit >= need => well("open files", format!("{limit} allowed, {need} needed for {nodes} nodes at once")),
            Ok(limit) => {
                let seen = format!("{limit} allowed, {need} needed for {nodes} nodes at once");
                note("open files", seen, format!("ulimit -n {need}, or a smaller rollout.max_nodes"))
            }
            Err(_) => note("open files", "the limit cannot be read", "ulimit -n"),
        },
        None => note("open files", "the limit cannot be read", "ulimit -n"),
    }
}

/// Each boot server that nodes boot from: running, or ours to start.
async fn ports(site: &Inventory) -> Vec<Line> {
    let urls: BTreeSet<&str> = site.nodes.values().filter_map(|n| n.boot.server.as_deref()).collect();
    let mut lines = Vec::new();
    for url in urls {
        let address = match bootserver::address(url) {
            Ok(address) => address,
            Err(failure) => {
                lines.push(broken("boot server", failure.error.to_string(), failure.hint.unwrap_or_default()));
                continue;
            }
        };
        lines.push(match boot::ask(address).await {
            Ok(_) => well("boot server", format!("{url} runs")),
            Err(AskError::Silent) => match std::net::TcpListener::bind(address) {
                Ok(_) => well("boot server", format!("{url} is free: a run starts its own there")),
                Err(error) => note(
                    "boot server",
                    format!("nobody answers at {url}: {error}"),
                    format!("bringup serve --listen {address} there"),
                ),
            },
            Err(error) => note("boot server", error.to_string(), "bringup serve on the machine that owns the address"),
        });
    }
    lines
}
