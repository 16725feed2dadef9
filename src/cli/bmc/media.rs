//! `bmc media`: the virtual drives of each BMC and what is in them; puts an image in, or takes it out, journaled and read back.

use crate::bmc::Password;
use crate::bmc::settings::{MediaOrder, MediaSlot};
use crate::cli::bmc::heard::hear;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::folded::exit;
use crate::cli::global::Global;
use crate::cli::handbook::HandBook;
use crate::cli::hands::{Hands, Trust};
use crate::cli::output::escape;
use crate::cli::{deed, secret, site};
use crate::model::{NodeId, Reading, SecretRef, Touch};

/// Shows, inserts or ejects virtual media
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  bringup bmc media rack=a017\n  bringup bmc media a017-s03 --insert http://10.77.0.1/rescue.iso --yes\n  bringup bmc media a017-s03 --eject --yes"
)]
pub struct Args {
    /// Nodes; all of them by default, never by default for a change
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// Put this image into a drive; what is in it is ejected first. The BMC fetches it by itself
    #[arg(long, value_name = "URL", conflicts_with = "eject")]
    insert: Option<String>,
    /// Take out what is in the drives
    #[arg(long)]
    eject: bool,
    /// The drive; by default the first that takes a CD, and every drive for --eject
    #[arg(long, value_name = "NAME")]
    slot: Option<String>,
    /// Account on the share that the image lies on
    #[arg(long, value_name = "NAME", requires_all = ["insert", "share_password"])]
    share_user: Option<String>,
    /// Where its password is found: `env:NAME`, `file:PATH` or `exec:PROGRAM`
    #[arg(long, value_name = "SECRET", requires_all = ["insert", "share_user"])]
    share_password: Option<SecretRef>,
    /// Do not ask before a change
    #[arg(long)]
    yes: bool,
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, a secret is missing, or nobody agreed to the change.
pub async fn run(args: Args, global: &Global) -> Result {
    if args.insert.is_none() && !args.eject { show(args, global).await } else { change(args, global).await }
}

async fn show(args: Args, global: &Global) -> Result {
    let slot = args.slot.as_deref();
    let heard = hear(global, args.nodes.as_deref(), &Trust::default(), "media", |bmc| async move { bmc.media().await }).await?;
    heard.show(global, &["node", "drive", "takes", "in it", "connected"], |node, drives| match drives {
        Reading::Known(drives) if drives.is_empty() => vec![row(node, ["none", "-", "-", "-"])],
        Reading::Known(drives) => drives.iter().filter(|d| slot.is_none_or(|s| s == d.name)).map(|d| cells(node, d)).collect(),
        Reading::Absent => vec![row(node, ["none", "-", "-", "-"])],
        Reading::Unknown { why } => vec![row(node, ["unknown", "-", &escape(why), "-"])],
    });
    Ok(heard.exit())
}

fn row(node: &NodeId, cells: [&str; 4]) -> Vec<String> {
    std::iter::once(node.to_string()).chain(cells.map(str::to_owned)).collect()
}

fn cells(node: &NodeId, drive: &MediaSlot) -> Vec<String> {
    let image = match (&drive.image, &drive.inserted) {
        (Reading::Known(image), _) => escape(image),
        (_, Reading::Known(true)) => "an image that it does not name".to_owned(),
        (_, Reading::Known(false)) => "nothing".to_owned(),
        _ => "unknown".to_owned(),
    };
    let connected = match (&drive.connected, &drive.inserted) {
        (Reading::Known(via), Reading::Unknown { .. }) => format!("{} (unclear)", escape(via)),
        (Reading::Known(via), _) => escape(via),
        _ => "not told".to_owned(),
    };
    row(node, [&escape(&drive.name), &escape(&drive.types.join(", ")), &image, &connected])
}

/// The address as it is written down: what a signed one carries in its query lets anybody in.
fn without_query(url: &str) -> String {
    url.split_once('?').map_or_else(|| url.to_owned(), |(place, _)| format!("{place}?…"))
}

async fn change(args: Args, global: &Global) -> Result {
    let example = if args.eject { "bringup bmc media SELECT --eject" } else { "bringup bmc media SELECT --insert URL" };
    deed::must_name(global, args.nodes.as_deref(), "a change of virtual media", example)?;
    // Before the journal and the question repeat it.
    if let Some(url) = &args.insert
        && url.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|host| host.contains('@')))
    {
        return Err(Failure::new(Exit::USAGE, "the image's address holds credentials, which would be shown and journaled")
            .hint("--share-user NAME --share-password env:NAME"));
    }
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, args.nodes.as_deref())?;
    let share = match (args.share_user, &args.share_password) {
        (Some(user), Some(reference)) => {
            let text = secret::text(reference, &global.flags.inventory).map_err(|e| {
                let hint = e.hint();
                Failure::new(Exit::INVALID, e).hint(hint)
            })?;
            Some((user, Password::new(secret::first_line(&text))))
        }
        _ => None,
    };
    let touch = match &args.insert {
        Some(url) => Touch::InsertMedia { slot: args.slot.clone(), url: without_query(url) },
        None => Touch::EjectMedia { slot: args.slot.clone() },
    };
    let what = match &args.insert {
        Some(url) => format!("inserting {}", escape(&without_query(url))),
        None => "ejecting virtual media".to_owned(),
    };
    deed::agree(global, &what, &selected, args.yes, false)?;
    let order = args.insert.map(|url| MediaOrder { slot: args.slot.clone(), url, share });
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let nodes = deed::reach(&loaded.inventory, &hands, &selected).await?;
    let book = HandBook::open(global).await?;
    let (hands, log, touch, order, slot) = (&hands, &book, &touch, &order, &args.slot);
    let told = deed::each(global, nodes, |node| async move {
        let make = |bmc: std::sync::Arc<dyn crate::bmc::WholeBmc>| async move {
            match order {
                Some(order) => bmc.insert_media(order).await,
                None => bmc.eject_media(slot.as_deref()).await,
            }
        };
        deed::touch(hands, log, node, touch, make).await
    })
    .await;
    deed::show(global, "media", "media", &told);
    book.close()?;
    Ok(exit(&told))
}
