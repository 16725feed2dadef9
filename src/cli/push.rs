//! `bringup push`: puts one file on many nodes, verified there by its digest, skipped where it is already.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::each::{self, Deed, Gathered, Reach};
use super::failure::{Exit, Failure, Result};
use super::global::Global;
use crate::model::{Artifact, Digest, EvidenceNote, NodeId, Touch};
use crate::shell::Pushed;

/// Puts a file on nodes, verified by digest
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup push NVIDIA-Linux.run 'rack=a017' --to /opt/NVIDIA-Linux.run --mode 0755")]
pub struct Args {
    /// File on this machine
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Nodes, such as `a017-s[01-04]` or `rack=a017 & accel=nvidia`
    #[arg(value_name = "SELECT")]
    pub nodes: String,
    /// Absolute path on the nodes
    #[arg(long, value_name = "PATH")]
    pub to: String,
    /// Permissions on the nodes, in octal
    #[arg(long, value_name = "MODE", default_value = "0644", value_parser = parse_mode)]
    pub mode: u32,
    /// How to reach the nodes.
    #[command(flatten)]
    pub reach: Reach,
}

fn parse_mode(text: &str) -> std::result::Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(mode),
        _ => Err(format!("`{text}` is not a file mode; write octal digits, such as 0644")),
    }
}

/// Why the local file cannot be pushed.
#[derive(Debug, thiserror::Error)]
#[error("read {}", path.display())]
struct LocalFile {
    path: PathBuf,
    source: std::io::Error,
}

/// Pushes the file everywhere.
///
/// # Errors
/// The local file; see [`each::visit`] and [`each::verdict`] for the rest.
pub async fn run(args: Args, global: &Global) -> Result {
    let path = args.file.clone();
    let hashed = tokio::task::spawn_blocking(move || hash(&path)).await?;
    let unreadable = |source| Failure::new(Exit::INVALID, LocalFile { path: args.file.clone(), source });
    let artifact = Artifact { path: args.file.clone(), sha256: hashed.map_err(unreadable)? };
    let (file, to, mode) = (&artifact, &args.to, args.mode);
    let touch = Touch::Push { to: args.to.clone(), sha256: artifact.sha256.clone() };
    let deed = Deed { touch, seen: &seen };
    let gathered =
        each::visit(global, &args.nodes, &args.reach, deed, |shell| async move { shell.push(file, to, mode).await }).await?;
    let failed = gathered.nodes.values().filter(|r| r.is_err()).count();
    if global.out.is_json() {
        global.out.json(&document(&artifact, &args.to, &gathered));
    } else {
        text(global, &gathered);
    }
    each::verdict(gathered, failed)
}

fn seen(pushed: &Pushed) -> EvidenceNote {
    EvidenceNote::Applied(match pushed {
        Pushed::AlreadyThere => "it was there already".to_owned(),
        Pushed::Sent { bytes } => format!("sent, {bytes} bytes, read back by digest"),
    })
}

/// SHA-256 of a regular file.
pub(super) fn hash(path: &Path) -> std::io::Result<Digest> {
    let mut file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match std::io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(Digest::from_bytes(&hasher.finalize().into())),
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

fn text(global: &Global, gathered: &Gathered<Pushed>) {
    let mut groups: BTreeMap<String, Vec<&NodeId>> = BTreeMap::new();
    for (node, result) in &gathered.nodes {
        let said = match result {
            Ok(Pushed::AlreadyThere) => "already there".to_owned(),
            Ok(Pushed::Sent { bytes }) => format!("sent, {bytes} bytes"),
            Err(error) => format!("failed: {}", super::output::escape(&error.seen)),
        };
        groups.entry(said).or_default().push(node);
    }
    for (said, nodes) in groups {
        global.out.line(format!("{}: {said}", each::title(&nodes)));
    }
}

fn document(artifact: &Artifact, to: &str, gathered: &Gathered<Pushed>) -> Value {
    let nodes: Vec<Value> = gathered
        .nodes
        .iter()
        .map(|(node, result)| match result {
            Ok(Pushed::AlreadyThere) => json!({ "node": node, "result": "already-there" }),
            Ok(Pushed::Sent { bytes }) => json!({ "node": node, "result": "sent", "bytes": bytes }),
            Err(error) => json!({ "node": node, "result": "failed", "error": each::chain(error), "class": error.class() }),
        })
        .collect();
    json!({ "format_version": 1, "sha256": artifact.sha256, "to": to, "nodes": nodes, "new_host_keys": gathered.new_keys })
}
