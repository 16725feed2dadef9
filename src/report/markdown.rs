//! The account as Markdown, for a change ticket.

use std::fmt::Write as _;

use super::Account;
use crate::model::Phase;

/// Writes the account as Markdown. Text from hardware is escaped so that it cannot become markup.
#[must_use]
pub fn markdown(account: &Account) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, so the results are dropped.
    let _w = writeln!(text, "# Run {}\n", account.run);
    let _w = writeln!(text, "Site {} · playbook {} · plan {}\n", clean(&account.site), clean(&account.playbook), account.plan);
    let _w = writeln!(text, "Started {} · {:.1} s · {}\n", account.started, account.seconds, account.lifecycle);
    if let Some(why) = &account.held {
        let _w = writeln!(text, "**Held:** {}\n", clean(why));
    }
    let _w = writeln!(text, "**{} of {} accelerators work.**\n", account.working, account.accelerators);
    let _w = writeln!(text, "| nodes | number |\n|---|--:|");
    for (phase, count) in &account.phases {
        let _w = writeln!(text, "| {phase} | {count} |");
    }
    if !account.idle.is_empty() {
        let _w = writeln!(text, "\n## Idle accelerators\n\n| accelerators | nodes | why |\n|--:|---|---|");
        for group in &account.idle {
            let nodes: Vec<_> = group.nodes.iter().take(8).map(ToString::to_string).collect();
            let more = group.nodes.len().saturating_sub(8);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let _w = writeln!(text, "| {} | {}{more} | {} |", group.accelerators, nodes.join(" "), clean(&group.why));
        }
    }
    if !account.not_given_back.is_empty() {
        let _w = writeln!(text, "\n## Not given back\n");
        for kept in &account.not_given_back {
            let _w = writeln!(text, "- {}", clean(kept));
        }
    }
    let _w = writeln!(text, "\n## Nodes\n\n| node | state | verdict | working | seconds | why |\n|---|---|---|--:|--:|---|");
    for node in &account.nodes {
        let verdict = node.verdict.map_or_else(|| "–".to_owned(), |v| v.to_string());
        let why = match (node.phase, &node.why) {
            (Phase::Admitted, _) | (_, None) => String::new(),
            (_, Some(why)) => clean(why),
        };
        let seconds = node.seconds.map_or_else(|| "–".to_owned(), |s| format!("{s:.1}"));
        let _w = writeln!(
            text,
            "| {} | {} | {verdict} | {} of {} | {seconds} | {why} |",
            node.node, node.phase, node.working, node.bought
        );
    }
    for node in account.nodes.iter().filter(|node| !node.seen.is_empty()) {
        let _w = writeln!(text, "\n## What was seen of {}\n", node.node);
        for line in &node.seen {
            // Four spaces make it a code block, in which nothing is markup.
            let _w = writeln!(text, "    {}", line.chars().flat_map(plain).collect::<String>());
        }
    }
    let _w = writeln!(text, "\n## Inputs\n\n| file | SHA-256 |\n|---|---|");
    for (file, digest) in &account.inputs {
        let _w = writeln!(text, "| {} | `{digest}` |", clean(file));
    }
    text
}

/// A character of a code block: on one line, whatever it is.
fn plain(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}
