//! `bringup completions` and `bringup man`: files for the shell and for `man`, made from the command line itself, so that they never differ from it.

use std::path::PathBuf;

use serde_json::json;

use super::failure::{Exit, Failure, Result};
use super::global::Global;

/// Prints the completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup completions bash > ~/.local/share/bash-completion/completions/bringup")]
pub struct CompletionsArgs {
    /// Shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Prints a manual page, or writes all of them
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup man apply | man -l -\n  bringup man --dir ~/.local/share/man/man1")]
pub struct ManArgs {
    /// Verb; the page of the program itself when left out
    #[arg(value_name = "VERB")]
    pub verb: Vec<String>,
    /// Write the pages of all verbs into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    pub dir: Option<PathBuf>,
}

/// Pages could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write manual pages into {}", dir.display())]
struct PagesError {
    dir: PathBuf,
    source: std::io::Error,
}

/// Runs `completions`.
///
/// # Errors
/// None today.
pub fn completions(args: &CompletionsArgs, global: &Global) -> Result {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "bringup", &mut text);
    show(global, "completions", &text);
    Ok(Exit::DONE)
}

/// Runs `man`.
///
/// # Errors
/// There is no such verb, or the folder cannot be written.
pub fn man(args: &ManArgs, global: &Global) -> Result {
    let mut command = super::command();
    if let Some(dir) = &args.dir {
        let fail = |source| Failure::new(Exit::ERROR, PagesError { dir: dir.clone(), source }).hint("give a writable folder");
        std::fs::create_dir_all(dir).map_err(fail)?;
        clap_mangen::generate_to(command, dir).map_err(fail)?;
        global.talk(format!("manual pages are in {}", dir.display()));
        if global.out.is_json() {
            global.out.json(&json!({ "format_version": 1, "dir": dir }));
        }
        return Ok(Exit::DONE);
    }
    command.build();
    let mut page = &command;
    for word in &args.verb {
        page = page.find_subcommand(word).ok_or_else(|| {
            let known: Vec<_> = page.get_subcommands().map(clap::Command::get_name).collect();
            let near = crate::spec::nearest(word, known.iter().copied());
            let hint = near.map_or_else(|| format!("there are: {}", known.join(", ")), |verb| format!("did you mean `{verb}`?"));
            Failure::new(Exit::USAGE, format!("there is no verb `{}`", super::output::escape(word))).hint(hint)
        })?;
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(page.clone()).render(&mut text)?;
    show(global, "page", &text);
    Ok(Exit::DONE)
}

fn show(global: &Global, name: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    if global.out.is_json() {
        global.out.json(&json!({ "format_version": 1, name: text }));
    } else {
        global.out.line(text.trim_end());
    }
}
