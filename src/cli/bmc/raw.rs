//! `bmc raw`: an IPMI command that somebody wrote byte by byte, sent once, journaled. What it does is not known here, and so it is not called done: only
//! what the BMC answered is told.

use crate::bmc::Bmc as _;
use crate::bmc::ipmi::chassis::RawEnd;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::folded::{Told, Went, exit};
use crate::cli::global::Global;
use crate::cli::handbook::HandBook;
use crate::cli::hands::{Hands, Trust};
use crate::cli::{deed, site};
use crate::model::{EvidenceNote, Node, Touch};

/// Application commands that carry a password or key: those never stand in an argument, and so not in a journal (IPMI v2.0 §22.25, §22.30).
const SECRETS: [(u8, u8); 2] = [(0x06, 0x47), (0x06, 0x56)];
/// Bytes of data at most: what fits into the smallest message that every BMC takes.
const DATA: usize = 64;

/// Sends an IPMI command that is written byte by byte
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Numbers are decimal, or hexadecimal behind 0x. The command is sent once and never again by itself. It goes into the journal:\n\
    give no secret in it.\n\n\
    Example:\n  bringup bmc raw a017-s03 0x06 0x01 --yes"
)]
pub struct Args {
    /// Nodes; never all of them by default
    #[arg(value_name = "SELECT")]
    nodes: String,
    /// Network function, even
    #[arg(value_name = "NETFN", value_parser = number)]
    netfn: u8,
    /// Command
    #[arg(value_name = "CMD", value_parser = number)]
    command: u8,
    /// Its data
    #[arg(value_name = "BYTE", value_parser = number)]
    data: Vec<u8>,
    /// UDP port of the IPMI service of a BMC that the inventory reaches by Redfish
    #[arg(long, value_name = "PORT", default_value_t = 623)]
    ipmi_port: u16,
    /// Do not ask before
    #[arg(long)]
    yes: bool,
}

fn number(text: &str) -> std::result::Result<u8, String> {
    let read = match text.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16),
        None => text.parse(),
    };
    read.map_err(|_| format!("`{}` is not a byte; write 32 or 0x20", text.escape_debug()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Runs the verb.
///
/// # Errors
/// The selection, inventory or command is wrong, or nobody agreed. What each BMC answered is data, and the exit code.
pub async fn run(args: Args, global: &Global) -> Result {
    if args.netfn & 1 == 1 || args.netfn > 0x3e {
        return Err(Failure::new(
            Exit::USAGE,
            format!("{:#04x} is no network function of a request; those are even, up to 0x3e", args.netfn),
        ));
    }
    if args.data.len() > DATA {
        return Err(Failure::new(Exit::USAGE, format!("{} bytes of data; at most {DATA} are sent", args.data.len())));
    }
    if SECRETS.contains(&(args.netfn, args.command)) {
        return Err(Failure::new(
            Exit::USAGE,
            "this command carries a password or key, which must not stand in an argument or journal",
        )
        .hint("bringup bmc accounts SELECT --rotate-to file:PATH"));
    }
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, Some(&args.nodes))?;
    let data = hex(&args.data);
    let what = format!("raw command {:#04x} {:#04x} {data}", args.netfn, args.command);
    deed::agree(global, what.trim_end(), &selected, args.yes, false)?;
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let nodes = deed::reach(&loaded.inventory, &hands, &selected).await?;
    let book = HandBook::open(global).await?;
    let (hands, log, args) = (&hands, &book, &args);
    let touch = Touch::Raw { netfn: args.netfn, command: args.command, data };
    let touch = &touch;
    let told = deed::each(global, nodes, |node| async move { one(hands, log, node, touch, args).await }).await;
    deed::show(global, "raw", "answer", &told);
    book.close()?;
    Ok(exit(&told))
}

async fn one(hands: &Hands, book: &HandBook, node: &Node, touch: &Touch, args: &Args) -> Told {
    let bmc = match hands.ipmi(node, args.ipmi_port) {
        Ok(bmc) => bmc,
        Err(failure) => return Told::unclear("no hand", failure.error.to_string()),
    };
    if let Some(refusal) = deed::stranger(&bmc, node).await {
        bmc.close().await;
        return refusal;
    }
    if !book.announce(&node.id, touch).await {
        bmc.close().await;
        return deed::not_journaled();
    }
    let end = bmc.raw(args.netfn, args.command, &args.data).await;
    let (told, note) = match end {
        Ok(RawEnd::Answered { code: 0, data, .. }) => {
            let seen = if data.is_empty() { "no data".to_owned() } else { hex(&data) };
            (
                Told { went: Went::Well, answer: "success".to_owned(), detail: Some(seen.clone()) },
                EvidenceNote::Ambiguous(format!("answered 00h: {seen}; what it did was not looked at")),
            )
        }
        Ok(RawEnd::Answered { code, words, data }) => {
            let seen = format!("completion code {code:#04x}: {words} {}", hex(&data)).trim_end().to_owned();
            (
                Told { went: Went::Failed, answer: "refused".to_owned(), detail: Some(seen.clone()) },
                EvidenceNote::NotApplied(seen),
            )
        }
        Ok(RawEnd::Lost) => {
            let seen = "sent once, no answer; it may have been executed";
            (Told::unclear("no answer", seen), EvidenceNote::Ambiguous(seen.to_owned()))
        }
        Err(error) => (Told::error(&error), EvidenceNote::NotApplied(error.to_string())),
    };
    book.tell(&node.id, touch, note).await;
    bmc.close().await;
    told
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn bytes_as_people_write_them() {
        assert_eq!((number("0x2c"), number("44"), number("0x0")), (Ok(0x2c), Ok(44), Ok(0)));
        for bad in ["", "256", "0x100", "2c", "-1", "0x"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }
}
