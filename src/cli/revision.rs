//! A folder as it was at a git revision, written to a private temporary folder and deleted with it. Changes nothing in the repository.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Most bytes of one revision's folder. 12,500 nodes of facts have 3 MB.
const MAX_BYTES: usize = 256 << 20;
/// Most files of one revision's folder.
const MAX_FILES: usize = 10_000;

/// Why a revision cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    /// The word is neither a folder nor something that git knows.
    #[error("`{word}` is neither a folder nor a folder at a git revision: {said}")]
    Unknown {
        /// As it was given, escaped.
        word: String,
        /// What git said.
        said: String,
    },
    /// git cannot be run.
    #[error("run git")]
    Git(#[source] std::io::Error),
    /// git refused.
    #[error("git {step}: {said}")]
    Refused {
        /// What was asked.
        step: &'static str,
        /// What it said.
        said: String,
    },
    /// More than a folder of words can be.
    #[error("the folder at that revision has more than {MAX_FILES} files or {} MiB", MAX_BYTES >> 20)]
    TooBig,
    /// The copy cannot be written.
    #[error("write a copy to {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// A folder at a revision.
#[derive(Debug)]
pub struct Checkout {
    /// Where the copy lies while this value lives.
    pub dir: PathBuf,
    /// The commit's hash, or the tree's.
    pub commit: String,
}

impl Drop for Checkout {
    fn drop(&mut self) {
        // A copy that cannot be deleted is litter in the temporary folder, not a wrong answer.
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

/// Takes a copy of `REV:path`, or of `folder` at `REV`.
///
/// # Errors
/// [`RevisionError`].
pub fn checkout(word: &str, folder: &Path) -> Result<Checkout, RevisionError> {
    let unknown = |said: String| RevisionError::Unknown { word: word.escape_debug().take(80).collect(), said };
    if word.starts_with('-') || word.is_empty() || word.contains('\0') {
        return Err(unknown("it is no name of a revision".to_owned()));
    }
    // `REV:./name` is relative to where git runs, so that the folder's own place is taken whatever its repository is.
    let (run_in, spec) = if word.contains(':') {
        (PathBuf::from("."), word.to_owned())
    } else {
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let (Some(parent), Some(name)) = (whole.parent(), whole.file_name()) else {
            return Err(unknown(format!("{} has no parent folder", folder.display())));
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        (parent.to_owned(), format!("{word}:./{}", name.to_string_lossy()))
    };
    let found = git(&run_in, &["rev-parse", "--verify", "--end-of-options", &spec])?;
    if !found.status.success() {
        return Err(unknown(first_line(&found.stderr)));
    }
    let tree = first_line(&found.stdout);
    let listed = ok("ls-tree", git(&run_in, &["ls-tree", "-r", "-z", "-l", "--full-tree", &tree])?)?;
    let files = files(&listed.stdout)?;
    let revision = word.split(':').next().unwrap_or(word);
    let commit = git(&run_in, &["rev-parse", "--verify", "--end-of-options", &format!("{revision}^{{commit}}")])?;
    let commit = if commit.status.success() { first_line(&commit.stdout) } else { tree };

    let checkout = Checkout { dir: private_folder()?, commit };
    for (hash, path) in files {
        let text = ok("cat-file", git(&run_in, &["cat-file", "blob", &hash])?)?;
        write(&checkout.dir.join(&path), &text.stdout)?;
    }
    Ok(checkout)
}

/// Regular files of a listing; links and submodules are left out, since they lead somewhere else.
fn files(listing: &[u8]) -> Result<Vec<(String, PathBuf)>, RevisionError> {
    let (mut files, mut bytes) = (Vec::new(), 0usize);
    for line in String::from_utf8_lossy(listing).split('\0') {
        // `100644 blob HASH SIZE<tab>PATH`, git-ls-tree(1).
        let Some((head, path)) = line.split_once('\t') else { continue };
        let words: Vec<&str> = head.split_whitespace().collect();
        let [mode, "blob", hash, size] = words.as_slice() else { continue };
        let path = PathBuf::from(path);
        let plain = path.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        if !mode.starts_with("100") || !plain {
            continue;
        }
        bytes = bytes.saturating_add(size.parse().unwrap_or(MAX_BYTES));
        files.push(((*hash).to_owned(), path));
        if files.len() > MAX_FILES || bytes > MAX_BYTES {
            return Err(RevisionError::TooBig);
        }
    }
    Ok(files)
}

fn git(run_in: &Path, args: &[&str]) -> Result<Output, RevisionError> {
    let mut command = Command::new("git");
    // An unfriendly repository must not start programs of its choice (git-config(1): core.fsmonitor).
    command.arg("-C").arg(run_in).args(["-c", "core.fsmonitor=false", "--no-pager"]).args(args);
    command.stdin(Stdio::null()).env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0").output().map_err(RevisionError::Git)
}

fn ok(step: &'static str, output: Output) -> Result<Output, RevisionError> {
    if output.status.success() { Ok(output) } else { Err(RevisionError::Refused { step, said: first_line(&output.stderr) }) }
}

fn first_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().next().unwrap_or("").escape_debug().take(200).collect()
}

/// A folder that only this user can read and that nobody made before.
fn private_folder() -> Result<PathBuf, RevisionError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let name = format!("bringup-diff-{}-{:016x}", std::process::id(), rand::random::<u64>());
    let path = std::env::temp_dir().join(name);
    std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|source| RevisionError::Write { path: path.clone(), source })?;
    Ok(path)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), RevisionError> {
    let failed = |source| RevisionError::Write { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::File::create_new(path).and_then(|mut f| f.write_all(bytes)).map_err(failed)
}
