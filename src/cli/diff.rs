//! `bringup diff A B`: what differs between two expanded inventories, grouped by cause. Touches no machine and changes no file.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::output::{Format, escape};
use super::revision::{Checkout, checkout};
use super::{Exit, Failure, Global, Result};
use crate::spec::diff::{Board, Change, Group, Side, causes, diff};
use crate::spec::{LoadedInventory, fold, load_inventory};

/// Longest list of nodes and boards in text for people; JSON has all of it.
const LONGEST: usize = 200;

/// Compares two expanded inventories, grouped by cause, each group with its risk
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bringup diff HEAD~1 inventory
  bringup -i inventory/kr-ai-1 diff v1.4 v1.5 -o md
  bringup diff main:inventory/kr-ai-1 inventory/kr-ai-1 --exit-code

A and B are folders, git revisions (of the folder that -i names), or REVISION:PATH.")]
pub struct Args {
    /// Before
    #[arg(value_name = "A")]
    a: String,
    /// After
    #[arg(value_name = "B")]
    b: String,
    /// Exit with 2 when there is a difference
    #[arg(long)]
    exit_code: bool,
}

/// One side, loaded; a checkout lives as long as its texts may be shown.
struct Loaded {
    inventory: LoadedInventory,
    root: PathBuf,
    label: String,
    name: String,
    _copy: Option<Checkout>,
}

/// Compares and prints.
///
/// # Errors
/// A side cannot be read or is invalid; the form of output does not fit.
pub async fn run(args: Args, global: &Global) -> Result {
    let format = global.out.format;
    if matches!(format, Format::Html | Format::Csv | Format::Junit) {
        return Err(Failure::new(Exit::USAGE, "a difference is printed as text, json, ndjson or md"));
    }
    let a = load(&args.a, global)?;
    let b = load(&args.b, global)?;
    let (why_a, why_b) = (causes(&a.inventory, &a.root, &a.label), causes(&b.inventory, &b.root, &b.label));
    let before = Side { inventory: &a.inventory.inventory, cause: &why_a };
    let after = Side { inventory: &b.inventory.inventory, cause: &why_b };
    let groups = diff(&before, &after);
    match format {
        Format::Json => {
            let all: Vec<Value> = groups.iter().map(as_json).collect();
            let (x, y) = (&a.inventory.inventory, &b.inventory.inventory);
            let side = |l: &Loaded, digest| json!({"name": l.name, "digest": digest});
            global.out.json(&json!({"format_version": 1, "a": side(&a, &x.digest), "b": side(&b, &y.digest), "groups": all}));
        }
        Format::Ndjson => groups.iter().for_each(|group| global.out.line(as_json(group).to_string())),
        Format::Md => global.out.line(markdown(&a.name, &b.name, &groups)),
        _ => groups.iter().for_each(|group| global.out.line(text(group))),
    }
    if groups.is_empty() {
        global.talk("no difference");
    }
    Ok(if args.exit_code && !groups.is_empty() { Exit::CHANGES } else { Exit::DONE })
}

fn load(word: &str, global: &Global) -> Result<Loaded> {
    let path = Path::new(word);
    if path.is_file() {
        return Err(Failure::new(
            Exit::USAGE,
            format!("{} is a file; this version compares folders and git revisions", escape(word)),
        )
        .hint("to compare a plan with the world: bringup apply FILE refuses it when it is stale"));
    }
    let (root, copy, label) = if path.is_dir() {
        (path.to_owned(), None, format!("{}/", word.trim_end_matches('/')))
    } else {
        let copy = checkout(word, &global.flags.inventory)?;
        (copy.dir.clone(), Some(copy), format!("{}:", escape(word)))
    };
    // Words are compared, not their validity today: an override that has expired since must not hide the rest.
    let inventory = load_inventory(&root, "0001-01-01").map_err(|found| {
        // A checkout is gone when this is read: its files are named by their revision.
        let named = |text: String| text.replace(&format!("{}/", root.display()), &label);
        global.out.complain(named(found.render(global.out.colour_err)));
        Failure::new(Exit::INVALID, named(found.to_string()))
    })?;
    let name =
        copy.as_ref().map_or_else(|| word.to_owned(), |c| format!("{word} ({})", c.commit.chars().take(12).collect::<String>()));
    Ok(Loaded { inventory, root, label, name: escape(&name), _copy: copy })
}

fn as_json(group: &Group) -> Value {
    let mut value = serde_json::to_value(group).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        map.insert("range".to_owned(), json!(folded(group)));
        map.insert("count".to_owned(), json!(group.nodes.len()));
    }
    value
}

fn folded(group: &Group) -> String {
    fold(group.nodes.iter().map(|n| n.as_str()))
}

fn cut(text: &str) -> String {
    let short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

/// `1,100 nodes`: thousands are marked, since these numbers are read aloud.
fn count(n: usize, noun: &str) -> String {
    let digits = n.to_string();
    let mut marked = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            marked.push(',');
        }
        marked.push(digit);
    }
    format!("{marked} {noun}{}", if n == 1 { "" } else { "s" })
}

/// What changed, without where.
fn what(change: &Change) -> String {
    let value = |v: &Option<String>| v.as_deref().map_or_else(|| "(not set)".to_owned(), |v| cut(&escape(v)));
    match change {
        Change::Added => "added".to_owned(),
        Change::Removed => "removed".to_owned(),
        Change::BoardsMoved { boards } => format!("boards moved: {}", moves(boards)),
        Change::BoardsReplaced { boards } => format!("boards replaced: {}", moves(boards)),
        Change::Field { field, from, to, each: true } => {
            format!("{} (each its own, such as {} → {})", escape(field), value(from), value(to))
        }
        Change::Field { field, from, to, each: false } => format!("{} {} → {}", escape(field), value(from), value(to)),
        Change::RackField { field, from, to, racks } => {
            let racks_of = cut(&fold(racks.iter().map(String::as_str)));
            format!("rack {} {} → {} of {racks_of} ({})", escape(field), value(from), value(to), count(racks.len(), "rack"))
        }
    }
}

fn moves(boards: &[Board]) -> String {
    let one = |b: &Board| match &b.came_from {
        Some(origin) => format!("{} {} → {} (from {origin})", b.node, escape(&b.from), escape(&b.to)),
        None => format!("{} {} → {}", b.node, escape(&b.from), escape(&b.to)),
    };
    cut(&boards.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn text(group: &Group) -> String {
    let cause = group.cause.as_deref().map_or(String::new(), |c| format!(", cause: {}", escape(c)));
    let nodes = format!("{} ({})", cut(&folded(group)), count(group.nodes.len(), "node"));
    format!("{:<8} {} on {nodes}{cause}\n         {}", group.risk, what(&group.change), group.why)
}

fn markdown(a: &str, b: &str, groups: &[Group]) -> String {
    let cell = |s: &str| s.replace('|', "\\|").replace('\n', " ");
    let mut out = format!("# Difference from `{a}` to `{b}`\n\n");
    if groups.is_empty() {
        return out + "No difference.";
    }
    out.push_str("| risk | what | nodes | cause | why |\n|---|---|---|---|---|");
    for group in groups {
        let nodes = format!("{} ({})", cut(&folded(group)), count(group.nodes.len(), "node"));
        let cause = group.cause.as_deref().map_or(String::new(), escape);
        let row = [group.risk.to_string(), cell(&what(&group.change)), cell(&nodes), cell(&cause), group.why.clone()];
        out.push_str(&format!("\n| {} |", row.join(" | ")));
    }
    out
}
