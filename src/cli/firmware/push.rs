//! `firmware push`: one image for one component of chosen nodes, by hand. Journaled before the first byte is sent and after the version was read
//! back. It looks before it sends, so that a push that was killed is taken up by pushing again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;

use super::progress::Teller;
use crate::bmc::updating::{FirmwareImage, UpdateClass, UpdateTerms};
use crate::bmc::{WholeBmc, Written};
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::folded::{Told, Went, exit};
use crate::cli::global::{Global, parse_duration};
use crate::cli::handbook::HandBook;
use crate::cli::hands::{Hands, Trust};
use crate::cli::{deed, push, site};
use crate::model::{Component, Digest, Node, NodeId, Touch, Version};

/// Longest wait for a BMC that is restarted to leave its update mode.
const RESTART: Duration = Duration::from_secs(600);

/// Pushes one firmware image to chosen nodes through their BMCs
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  bringup firmware push a017-s03 --file bmc.fwpkg --component BMC --version 25.06.27 --yes\n\n\
    One image, by hand: it is uploaded once, its task is followed, and it is done when the version is seen to run.\n\
    Nothing is sent to a node that runs the version already, has it waiting for an activation, or is at another update.\n\
    It resets no node to activate what it pushed, and rolls nothing out: waves, gates and bundles are not part of it."
)]
pub struct Args {
    /// Nodes; never all of them by default
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// The image, as the maker ships it; some BMCs judge it by its name
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Component, as `bringup firmware show` names it
    #[arg(long, value_name = "NAME")]
    component: Component,
    /// The version that must run afterwards, as the BMC will write it
    #[arg(long, value_name = "VERSION")]
    version: Version,
    /// Redfish path that the image is for, in place of what the BMC's make usually wants; may be given several times
    #[arg(long = "target", value_name = "PATH")]
    targets: Vec<String>,
    /// Address from which the BMC can fetch the same image, for BMCs that take no upload
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Longest time for one node, from the first look to the version that runs
    #[arg(long, value_name = "TIME", default_value = "90m", value_parser = parse_duration)]
    deadline: Duration,
    /// Most nodes at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    at_once: u16,
    /// Push once more to a BMC that took the image and lost it silently
    #[arg(long)]
    retry_lost: bool,
    /// Upgrade nodes whose BMC is driven by IPMI by HPM.1: the BMC restarts to run what it got. Redfish has no use for it
    #[arg(long)]
    hpm: bool,
    /// Restart a BMC that is stuck in update mode while no update runs, then push again
    #[arg(long)]
    restart_stuck_bmc: bool,
    /// Do not ask before
    #[arg(long)]
    yes: bool,
}

/// What is pushed to every node.
struct Push<'a> {
    args: &'a Args,
    name: String,
    sha256: Digest,
    global: &'a Global,
    hands: &'a Hands,
    book: &'a HandBook,
}

/// Runs the verb.
///
/// # Errors
/// The image cannot be read, the selection or inventory is wrong, or nobody agreed. What became of each node is data, and the exit code.
pub async fn run(args: Args, global: &Global) -> Result {
    deed::must_name(global, args.nodes.as_deref(), "a push of firmware", "bringup firmware push SELECT …")?;
    let path = args.file.clone();
    let unreadable = |e: std::io::Error| Failure::new(Exit::INVALID, format!("read {}: {e}", args.file.display()));
    let sha256 = tokio::task::spawn_blocking(move || push::hash(&path)).await?.map_err(unreadable)?;
    let name = args.file.file_name().map_or_else(|| "image.bin".to_owned(), |name| name.to_string_lossy().into_owned());
    if let Some(bad) = args.targets.iter().find(|target| !target.starts_with('/') || target.chars().any(char::is_whitespace)) {
        return Err(Failure::new(Exit::USAGE, format!("`{}` is no Redfish path", bad.escape_debug()))
            .hint("write a path such as /redfish/v1/UpdateService/FirmwareInventory/HGX_0"));
    }
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, args.nodes.as_deref())?;
    let what = format!("push of {} {} ({}…)", args.component, args.version, sha256.short());
    deed::agree(global, &what, &selected, args.yes, false)?;
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let nodes = deed::reach(&loaded.inventory, &hands, &selected).await?;
    let book = HandBook::open(global).await?;
    let pushing = Push { args: &args, name, sha256, global, hands: &hands, book: &book };
    let told: BTreeMap<NodeId, Told> = futures_util::stream::iter(nodes)
        .map(|node| {
            let pushing = &pushing;
            async move { (node.id.clone(), pushing.node(node).await) }
        })
        .buffer_unordered(args.at_once.into())
        .inspect(|(node, told)| deed::tell_line(global, node, told))
        .collect()
        .await;
    deed::show(global, "firmware push", "firmware", &told);
    book.close()?;
    Ok(exit(&told))
}

impl Push<'_> {
    async fn node(&self, node: &Node) -> Told {
        let (told, class) = self.once(node).await;
        if class != Some(UpdateClass::Stuck) || !self.args.restart_stuck_bmc {
            return told;
        }
        self.global.talk(format!("{}: stuck in update mode; restarting its BMC", node.id));
        let reset = |bmc: std::sync::Arc<dyn WholeBmc>| async move { bmc.reset_bmc(RESTART).await };
        let restarted = deed::touch(self.hands, self.book, node, &Touch::ResetBmc, reset).await;
        if restarted.went != Went::Well {
            let detail = restarted.detail.unwrap_or_default();
            return Told {
                detail: Some(format!("{}; the restart of its BMC: {detail}", told.detail.unwrap_or_default())),
                ..told
            };
        }
        self.once(node).await.0
    }

    /// One push, journaled before and after.
    async fn once(&self, node: &Node) -> (Told, Option<UpdateClass>) {
        let args = self.args;
        let touch =
            Touch::Flash { component: args.component.clone(), version: args.version.clone(), sha256: self.sha256.clone() };
        let class = Mutex::new(None);
        let teller = Teller::new(self.global, &node.id);
        let mut told = deed::touch(self.hands, self.book, node, &touch, |bmc| {
            let (class, teller) = (&class, &teller);
            async move {
                let image = FirmwareImage {
                    file: &args.file,
                    name: &self.name,
                    sha256: &self.sha256,
                    component: &args.component,
                    version: &args.version,
                    url: args.url.as_deref(),
                    targets: (!args.targets.is_empty()).then_some(&args.targets[..]),
                };
                let terms = UpdateTerms {
                    deadline: args.deadline,
                    again: args.retry_lost,
                    hpm: args.hpm,
                    tell: &|step| teller.tell(&step),
                };
                let written: Written = bmc.update(&image, &terms).await;
                *class.lock().unwrap_or_else(PoisonError::into_inner) = UpdateClass::of_written(&written);
                written
            }
        })
        .await;
        let class = class.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(class) = class {
            told.answer = class.name();
        }
        (told, class)
    }
}
