//! `bmc accounts`: the accounts of each BMC; and the rotation of the password that `bringup` uses, in two phases: the intent is journaled with a
//! reference to the new secret, the password is written and proved by one login, and the end is journaled. Whoever comes after a crash in between
//! finds out which password holds, with one attempt for each and no more, and finishes.

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::bmc::{BmcTrouble, Password, WholeBmc, Written};
use crate::cli::bmc::heard::hear;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::folded::{Told, Went, exit};
use crate::cli::global::Global;
use crate::cli::handbook::HandBook;
use crate::cli::hands::{Hands, Trust};
use crate::cli::output::escape;
use crate::cli::{deed, secret, site};
use crate::journal::{Journal, Touched};
use crate::model::{EvidenceNote, Node, NodeId, Reading, SecretRef, Touch};
use crate::spec::fold;

/// Shows accounts, or rotates the password of the one that bringup uses
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  bringup bmc accounts rack=a017\n  bringup bmc accounts rack=a017 --rotate-to 'file:secrets/{node}.bmc' --yes"
)]
pub struct Args {
    /// Nodes; all of them by default, never by default for a change
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// Give the account that bringup uses the password that is found here: `env:NAME`, `file:PATH` or `exec:PROGRAM`, with {node} for the node's name
    #[arg(long, value_name = "SECRET")]
    rotate_to: Option<String>,
    /// Do not ask before a change
    #[arg(long, requires = "rotate_to")]
    yes: bool,
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, a secret is missing, or nobody agreed to the change.
pub async fn run(args: Args, global: &Global) -> Result {
    match args.rotate_to {
        None => show(args.nodes.as_deref(), global).await,
        Some(to) => rotate(args.nodes.as_deref(), &to, args.yes, global).await,
    }
}

async fn show(nodes: Option<&str>, global: &Global) -> Result {
    let heard = hear(global, nodes, &Trust::default(), "accounts", |bmc| async move { bmc.accounts().await }).await?;
    let flag = |reading: &Reading<bool>, yes: &str, no: &str| match reading {
        Reading::Known(true) => yes.to_owned(),
        Reading::Known(false) => no.to_owned(),
        _ => "not told".to_owned(),
    };
    heard.show(global, &["node", "slot", "user", "role", "may log in", "locked"], |node, accounts| match accounts {
        Reading::Known(accounts) => accounts
            .iter()
            .map(|a| {
                let role = a.role.known().map_or_else(|| "not told".to_owned(), |role| escape(role));
                let (may, locked) = (flag(&a.enabled, "yes", "no"), flag(&a.locked, "locked", "no"));
                vec![node.to_string(), escape(&a.slot), escape(&a.user), role, may, locked]
            })
            .collect(),
        Reading::Absent => vec![vec![node.to_string(), "none".into(), "-".into(), "-".into(), "-".into(), "-".into()]],
        Reading::Unknown { why } => {
            vec![vec![node.to_string(), "unknown".into(), escape(why), "-".into(), "-".into(), "-".into()]]
        }
    });
    Ok(heard.exit())
}

/// A rotation of one node.
struct Plan {
    to: SecretRef,
    new: Password,
    old: Password,
    /// An earlier rotation that nobody lived to settle.
    open: Option<SecretRef>,
}

async fn rotate(nodes: Option<&str>, to: &str, yes: bool, global: &Global) -> Result {
    deed::must_name(global, nodes, "a change of passwords", "bringup bmc accounts SELECT --rotate-to SECRET")?;
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, nodes)?;
    let mut references = BTreeMap::new();
    for id in &selected {
        references.insert(id.clone(), reference(to, id)?);
    }
    deed::agree(global, &format!("changing the BMC password to that of {}", escape(to)), &selected, yes, false)?;
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let nodes = deed::reach(&loaded.inventory, &hands, &selected).await?;
    hands.prepare(references.values()).await;
    let open = unsettled(global)?;
    let mut plans = BTreeMap::new();
    for node in &nodes {
        let Some(to) = references.remove(&node.id) else { continue };
        let line = |text: &Zeroizing<String>| Password::new(secret::first_line(text));
        let (new, old) = (line(&*hands.secret(node, &to)?), line(&*hands.secret(node, &node.bmc.password)?));
        plans.insert(node.id.clone(), Plan { to, new, old, open: open.get(&node.id).cloned() });
    }
    let book = HandBook::open(global).await?;
    let (hands, log, all) = (&hands, &book, &plans);
    let told = deed::each(global, nodes, |node| async move {
        match all.get(&node.id) {
            Some(plan) => one(hands, log, node, plan).await,
            None => Told::unclear("no hand", "the node is not in the inventory"),
        }
    })
    .await;
    deed::show(global, "accounts", "password", &told);
    remind(global, &loaded.inventory.nodes, &plans, &told, to);
    book.close()?;
    Ok(exit(&told))
}

fn reference(to: &str, node: &NodeId) -> Result<SecretRef> {
    to.replace("{node}", node.as_str()).parse().map_err(|e| Failure::new(Exit::USAGE, e).hint("--rotate-to env:NAME"))
}

/// Rotations that were announced and neither seen to be done nor seen not to be, by the journal.
fn unsettled(global: &Global) -> Result<BTreeMap<NodeId, SecretRef>> {
    let path = global.journal_path()?;
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let all = Journal::touched(&path, |touch| matches!(touch, Touch::SetPassword { .. }))?;
    let last = |mut touched: Vec<Touched>| match touched.pop() {
        Some(Touched { touch: Touch::SetPassword { to, .. }, seen: None | Some(EvidenceNote::Ambiguous(_)), .. }) => Some(to),
        _ => None,
    };
    Ok(all.into_iter().filter_map(|(node, touched)| Some((node, last(touched)?))).collect())
}

fn failed(answer: &str, detail: impl Into<String>) -> Told {
    Told { went: Went::Failed, answer: answer.to_owned(), detail: Some(detail.into()) }
}

/// One node. At most one login is tried with the old password and one with the new where the BMC's answer left nothing else to find out.
async fn one(hands: &Hands, book: &HandBook, node: &Node, plan: &Plan) -> Told {
    let bmc = match hands.whole(node) {
        Ok(bmc) => bmc,
        Err(failure) => return Told::unclear("no hand", failure.error.to_string()),
    };
    let told = match &plan.open {
        Some(other) if *other != plan.to => failed(
            "not settled",
            format!("the journal holds a change to {other} whose end is not known; settle it first: --rotate-to {other}"),
        ),
        Some(_) => settle(book, node, plan, &bmc).await,
        None => fresh(book, node, plan, &bmc).await,
    };
    bmc.close().await;
    told
}

/// Nothing is known to be under way.
async fn fresh(book: &HandBook, node: &Node, plan: &Plan, bmc: &Arc<dyn WholeBmc>) -> Told {
    // The same secret by another name: there is nothing to change, and nothing that could go wrong.
    let same = plan.new.expose() == plan.old.expose();
    match bmc.identity().await {
        Ok(_) if same => Told::well("was so already"),
        Ok(_) => match deed::stranger(bmc.as_ref(), node).await {
            Some(refusal) => refusal,
            None => write(book, node, plan, bmc).await,
        },
        // Nothing else can be asked of it before: who it is was shown by its certificate.
        Err(e) if e.kind == BmcTrouble::PasswordChange && !same => write(book, node, plan, bmc).await,
        // Perhaps it was changed before, and the inventory does not say so yet.
        Err(e) if e.kind == BmcTrouble::Credentials && !same => match bmc.proves(&node.bmc.user, &plan.new).await {
            Ok(true) => Told {
                detail: Some(format!("the password that the inventory names is refused, and that of {} is taken", plan.to)),
                ..Told::well("was so already")
            },
            Ok(false) => Told {
                detail: Some(format!("neither the password that the inventory names nor that of {} is taken ({e})", plan.to)),
                ..Told::error(&e)
            },
            Err(second) => Told::error(&second),
        },
        Err(e) => Told::error(&e),
    }
}

/// A change was announced and its end is not known: the new password is tried, and only if it is refused the old one.
async fn settle(book: &HandBook, node: &Node, plan: &Plan, bmc: &Arc<dyn WholeBmc>) -> Told {
    let touch = Touch::SetPassword { user: node.bmc.user.clone(), to: plan.to.clone() };
    match bmc.proves(&node.bmc.user, &plan.new).await {
        Ok(true) => {
            if !book.announce(&node.id, &touch).await {
                return deed::not_journaled();
            }
            let seen = "a change that was announced before had been made: one login with the new password was taken";
            book.tell(&node.id, &touch, EvidenceNote::Applied(seen.to_owned())).await;
            Told { detail: Some(seen.to_owned()), ..Told::well("done") }
        }
        Ok(false) => match deed::stranger(bmc.as_ref(), node).await {
            Some(refusal) => refusal,
            None => match bmc.identity().await {
                // The old one holds: the change is made now.
                Ok(_) => write(book, node, plan, bmc).await,
                Err(e) => Told { detail: Some(format!("the password of {} is refused; then {e}", plan.to)), ..Told::error(&e) },
            },
        },
        Err(e) => Told::error(&e),
    }
}

async fn write(book: &HandBook, node: &Node, plan: &Plan, bmc: &Arc<dyn WholeBmc>) -> Told {
    let touch = Touch::SetPassword { user: node.bmc.user.clone(), to: plan.to.clone() };
    if !book.announce(&node.id, &touch).await {
        return deed::not_journaled();
    }
    let written = bmc.set_password(&node.bmc.user, &plan.new).await;
    book.tell(&node.id, &touch, deed::note(&written)).await;
    let told = Told::written(&written);
    match written {
        Written::Ambiguous(seen) => {
            Told::unclear("unclear", format!("{seen}; run it again: it tries each password once and settles it"))
        }
        _ => told,
    }
}

/// What the inventory must say from now on, as it was written here: `{node}` means the same there.
fn remind(
    global: &Global,
    nodes: &BTreeMap<NodeId, Node>,
    plans: &BTreeMap<NodeId, Plan>,
    told: &BTreeMap<NodeId, Told>,
    to: &str,
) {
    let other =
        |id: &&NodeId| matches!((plans.get(*id), nodes.get(*id)), (Some(plan), Some(node)) if node.bmc.password != plan.to);
    let changed: Vec<&NodeId> = told.iter().filter(|(_, told)| told.went == Went::Well).map(|(id, _)| id).filter(other).collect();
    if !changed.is_empty() {
        let names = fold(changed.iter().map(|id| id.as_str()));
        global.talk(escape(&format!("the inventory must say `bmc: {{password: \"{to}\"}}` for {names} from now on")));
    }
}
