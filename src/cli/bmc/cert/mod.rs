//! `bmc cert`: the certificate that each BMC shows, and what is recorded of it (`show`); signing requests (`request`); and the replacement (`replace`).

mod replace;
mod request;
mod show;

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::failure::Result;
use crate::cli::global::{Global, parse_duration};
use crate::cli::record;
use crate::model::{BmcTrust, Digest, Node, NodeId};

/// Shows or replaces the certificate of a BMC
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  bringup bmc cert rack=a017\n  bringup bmc cert rack=a017 --request 'CN={node}.bmc.example,O=Example,OU=DC1,L=Seoul,ST=Seoul,C=KR' --out csr --yes\n  bringup bmc cert rack=a017 --replace 'chains/{node}.pem' --yes"
)]
pub struct Args {
    /// Nodes; all of them by default, never by default for a change
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// Have each BMC make a key and a signing request for this subject: CN, O, OU, L, ST and C, with {node} for the node's name
    #[arg(long, value_name = "SUBJECT", conflicts_with_all = ["replace", "record"], requires = "out")]
    request: Option<String>,
    /// A further name or address in the request, with {node} (repeat for more)
    #[arg(long, value_name = "NAME", requires = "request")]
    alt: Vec<String>,
    /// Folder that the signing requests go to, as NODE.csr.pem
    #[arg(long, value_name = "DIR", requires = "request")]
    out: Option<PathBuf>,
    /// Replace it by this chain (PEM, its own certificate first), with {node}
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    replace: Option<String>,
    /// Where the chain's private key is found: `file:PATH`, `env:NAME` or `exec:PROGRAM`, with {node}; without it the key of the last request is meant
    #[arg(long, value_name = "SECRET", requires = "replace")]
    key: Option<String>,
    /// Record in the facts what a BMC shows, where the journal says that bringup put that very certificate there
    #[arg(long)]
    record: bool,
    /// Longest wait for a BMC to show the new one
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = parse_duration)]
    deadline: Duration,
    /// Do not ask before a change
    #[arg(long)]
    yes: bool,
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, a chain or key cannot be had, nobody agreed, or the facts cannot be written.
pub async fn run(args: Args, global: &Global) -> Result {
    match (&args.request, &args.replace) {
        (Some(subject), _) => request::run(&args, subject, global).await,
        (None, Some(chain)) => replace::run(&args, chain, global).await,
        (None, None) => show::run(&args, global).await,
    }
}

/// A file of a person's could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("use {}", file.display())]
struct FileError {
    file: PathBuf,
    source: std::io::Error,
}

/// What the facts must say for a node whose BMC shows this; `None` where they say nothing of it.
fn cell(node: &Node, leaf: &Digest, key: Option<&Digest>) -> Option<record::Cells> {
    let text = match (&node.bmc.trust, key) {
        (BmcTrust::Pinned(_) | BmcTrust::FirstContact, _) => leaf.to_string(),
        (BmcTrust::PinnedKey(_), Some(key)) => format!("spki:{key}"),
        _ => return None,
    };
    Some(record::Cells::from([(record::CERTIFICATE, text)]))
}

fn tell_recorded(global: &Global, files: &[(PathBuf, usize)]) {
    for (file, count) in files {
        global.talk(format!("recorded {count} certificates in {}", file.display()));
    }
}

fn of_node(text: &str, node: &NodeId) -> String {
    text.replace("{node}", node.as_str())
}
