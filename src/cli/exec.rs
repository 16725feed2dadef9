//! `bringup exec`: runs one command on many nodes and shows equal answers once.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::each::{self, Deed, Gathered, Reach};
use super::failure::Result;
use super::global::{Global, parse_duration};
use super::output::escape;
use crate::model::{Answer, EvidenceNote, NodeId, Probe, Touch};

/// Run a command on nodes; equal answers are shown once
#[derive(Debug, clap::Args)]
#[command(after_help = "The command is an argument vector: no shell expands it. For a pipe say `-- sh -c 'a | b'`.\n\
    The command is kept in the journal: give no secret in it.\n\n\
    Example:\n  bringup exec 'rack=a017' -- uname -r")]
pub struct Args {
    /// Nodes, such as `a017-s[01-04]` or `rack=a017 & accel=nvidia`
    #[arg(value_name = "SELECT")]
    pub nodes: String,
    /// Longest run on each node; then it is stopped
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub deadline: Duration,
    /// How to reach the nodes.
    #[command(flatten)]
    pub reach: Reach,
    /// Command and its arguments
    #[arg(last = true, required = true, value_name = "ARGV")]
    pub argv: Vec<String>,
}

/// Runs the command everywhere.
///
/// # Errors
/// See [`each::visit`] and [`each::verdict`].
pub async fn run(args: Args, global: &Global) -> Result {
    let seconds = u32::try_from(args.deadline.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
    let probe = Probe::new("exec", args.argv).within(seconds);
    let probe = &probe;
    let deed = Deed { touch: Touch::Run { argv: probe.argv.clone() }, seen: &seen };
    let gathered = each::visit(global, &args.nodes, &args.reach, deed, |shell| async move { shell.run(probe).await }).await?;
    let failed = gathered.nodes.values().filter(|r| !matches!(r, Ok(Answer::Output(output)) if output.exit == 0)).count();
    if global.out.is_json() {
        global.out.json(&document(&gathered));
    } else {
        text(global, &gathered);
    }
    each::verdict(gathered, failed)
}

fn seen(answer: &Answer) -> EvidenceNote {
    match answer {
        Answer::Output(output) => EvidenceNote::Applied(format!("exit {}", output.exit)),
        Answer::Unknown { why } => EvidenceNote::Ambiguous(why.clone()),
    }
}

/// What a node's answer looks like, for grouping: heading and body.
fn shape(result: &std::result::Result<Answer, crate::shell::ShellError>) -> (String, String) {
    match result {
        Ok(Answer::Output(output)) => {
            let mut body = escape(&String::from_utf8_lossy(&output.stdout).replace('\t', "    "));
            let stderr = escape(&String::from_utf8_lossy(&output.stderr).replace('\t', "    "));
            if !body.is_empty() && !body.ends_with('\n') {
                body.push('\n');
            }
            for line in stderr.lines() {
                body.push_str(&format!("stderr: {line}\n"));
            }
            (format!("exit {}", output.exit), body)
        }
        Ok(Answer::Unknown { why }) => ("unknown".to_owned(), format!("{}\n", escape(why))),
        Err(error) => ("failed".to_owned(), format!("{}\n", escape(&error.seen))),
    }
}

fn text(global: &Global, gathered: &Gathered<Answer>) {
    let mut groups: BTreeMap<(String, String), Vec<&NodeId>> = BTreeMap::new();
    for (node, result) in &gathered.nodes {
        groups.entry(shape(result)).or_default().push(node);
    }
    // Largest first: what most nodes say is what the few differ from.
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, nodes)| std::cmp::Reverse(nodes.len()));
    for ((heading, body), nodes) in groups {
        global.out.line(format!("--- {}: {heading}", each::title(&nodes)));
        if !body.is_empty() {
            global.out.line(body.trim_end_matches('\n'));
        }
    }
}

fn document(gathered: &Gathered<Answer>) -> Value {
    let nodes: Vec<Value> = gathered
        .nodes
        .iter()
        .map(|(node, result)| match result {
            Ok(Answer::Output(output)) => json!({
                "node": node, "exit": output.exit,
                "stdout": String::from_utf8_lossy(&output.stdout), "stderr": String::from_utf8_lossy(&output.stderr),
            }),
            Ok(Answer::Unknown { why }) => json!({ "node": node, "unknown": why }),
            Err(error) => json!({ "node": node, "error": each::chain(error), "class": error.class() }),
        })
        .collect();
    json!({ "format_version": 1, "nodes": nodes, "new_host_keys": gathered.new_keys })
}
