//! `bringup init`: a small working project. Overwrites nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Exit, Failure, Global, Result};
use crate::spec::starter;

/// Writes a small working inventory/, playbooks/ and images/
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup init my-site && cd my-site && bringup validate")]
pub struct Args {
    /// Where to; made when it does not exist
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// A file or folder could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write {}", path.display())]
struct WriteError {
    path: PathBuf,
    source: std::io::Error,
}

/// Writes the project.
///
/// # Errors
/// A file is there already (nothing is written then), or cannot be written.
pub async fn run(args: Args, global: &Global) -> Result {
    // A dangling link counts as there: writing through it would land somewhere else.
    let there: Vec<String> = starter::FILES
        .iter()
        .map(|(path, _)| args.dir.join(path))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| path.display().to_string())
        .collect();
    if let [first, rest @ ..] = there.as_slice() {
        let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        return Err(Failure::new(Exit::ERROR, format!("{first}{more} would be overwritten; nothing was written"))
            .hint("give a new folder: bringup init DIR"));
    }
    for (path, text) in starter::FILES {
        write_new(&args.dir.join(path), text)?;
    }
    if global.out.is_json() {
        let files: Vec<&str> = starter::FILES.iter().map(|(path, _)| *path).collect();
        global.out.json(&json!({"format_version": 1, "dir": args.dir.display().to_string(), "files": files}));
    } else {
        for (path, _) in starter::FILES {
            global.out.line(args.dir.join(path).display().to_string());
        }
    }
    let enter = if args.dir == Path::new(".") { String::new() } else { format!("cd {} && ", args.dir.display()) };
    global.talk(format!("next: {enter}bringup validate"));
    Ok(Exit::DONE)
}

fn write_new(path: &Path, text: &str) -> std::result::Result<(), WriteError> {
    let failed = |source| WriteError { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = std::fs::File::create_new(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}
