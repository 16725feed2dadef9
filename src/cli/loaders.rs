//! The loaders as the command line names them, and `bringup image loaders`: which there are, what their digests are and who vouched for each.

use std::path::PathBuf;

use serde_json::json;

use super::failure::{Exit, Failure, Result};
use super::global::Global;
use crate::boot::{Loader, LoaderError, Loaders, Pin, lock_of, look_at_loaders, write_loaders_lock};

/// Where the loaders are.
#[derive(Debug, Clone, clap::Args)]
pub struct LoaderFlags {
    /// Folder of the loaders: `snponly.efi`, `ipxe.efi`, `undionly.kpxe`, `snponly-arm64.efi`, `gcdx64.efi`
    #[arg(long, value_name = "DIR", default_value = "/usr/lib/ipxe")]
    pub loaders: PathBuf,
    /// The site's own list of loaders that may be served; by default `loaders.lock` in their folder
    #[arg(long, value_name = "FILE", env = "BRINGUP_LOADERS_LOCK")]
    pub loaders_lock: Option<PathBuf>,
}

impl LoaderFlags {
    /// The loaders of a folder that holds its own lock.
    #[must_use]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { loaders: folder, loaders_lock: None }
    }

    /// The pinned loaders.
    ///
    /// # Errors
    /// One is pinned by nobody, or cannot be read.
    pub fn open(&self) -> Result<Loaders> {
        Loaders::open(&self.loaders, self.loaders_lock.as_deref()).map_err(failure)
    }

    /// Tells each loader that will be served, with its digest.
    pub fn tell(&self, loaders: &Loaders, global: &Global) {
        for Loader { name, artifact, bytes, pin } in loaders.iter() {
            global.talk(format!("loader {name} {bytes} bytes sha256 {}, pinned by {pin}", artifact.sha256));
        }
        if loaders.iter().next().is_none() {
            global.talk(format!("there are no loaders in {}", self.loaders.display()));
        }
    }

    /// Every loader that is there, pinned or not.
    ///
    /// # Errors
    /// One cannot be read, or the lock has a mistake.
    pub fn look(&self) -> std::result::Result<Vec<Loader>, LoaderError> {
        look_at_loaders(&self.loaders, self.loaders_lock.as_deref())
    }
}

fn failure(error: LoaderError) -> Failure {
    let hint = match &error {
        LoaderError::NotPinned { .. } => {
            Some("if that file is the one that you mean: bringup image loaders --lock --loaders-lock images/loaders.lock")
        }
        LoaderError::Lock { .. } => Some("`bringup image loaders --lock` writes it anew"),
        LoaderError::Read { .. } => None,
    };
    let failure = Failure::new(Exit::ERROR, error);
    if let Some(hint) = hint { failure.hint(hint) } else { failure }
}

/// Shows the loaders and who vouched for each, or pins what is there
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bringup image loaders                                            # what is there, and is it pinned?
  bringup image loaders --lock --loaders-lock images/loaders.lock  # pin what is there: whoever runs this vouches for it

Those of Debian 12's packages are known by their SHA-256 and need no lock. `serve` and `apply` refuse a loader that is pinned neither so nor
by the lock, and do not give one to a node that was changed while they ran.")]
pub struct Args {
    #[command(flatten)]
    flags: LoaderFlags,
    /// Pin every loader that is there
    #[arg(long)]
    lock: bool,
}

/// Runs `image loaders`.
///
/// # Errors
/// A file that cannot be read or written; exit code 1 when a loader is pinned by nobody.
pub fn run(args: &Args, global: &Global) -> Result {
    if args.lock {
        // An old lock does not stand in the way of a new one, mistakes and all.
        let lock = lock_of(&args.flags.loaders, args.flags.loaders_lock.as_deref());
        let found = look_at_loaders(&args.flags.loaders, Some(std::path::Path::new("/dev/null"))).map_err(failure)?;
        if found.is_empty() {
            return Err(Failure::new(Exit::ERROR, format!("there are no loaders in {}", args.flags.loaders.display())));
        }
        super::image::write(&lock, write_loaders_lock(&found).as_bytes())?;
        global.talk(format!("{} pins {} loaders", lock.display(), found.len()));
    }
    let found = args.flags.look().map_err(failure)?;
    if global.out.is_json() {
        let told = found.iter().map(|l| {
            json!({"name": l.name, "path": l.artifact.path, "bytes": l.bytes, "sha256": l.artifact.sha256,
                   "pinned": (l.pin != Pin::Nobody).then(|| l.pin.to_string())})
        });
        global.out.json(&json!({"format_version": 1, "loaders": told.collect::<Vec<_>>()}));
    } else {
        let row = |l: &Loader| vec![l.name.to_owned(), l.bytes.to_string(), l.artifact.sha256.to_string(), l.pin.to_string()];
        global.out.table(&["LOADER", "BYTES", "SHA256", "PINNED BY"], found.iter().map(row).collect());
    }
    Ok(if found.iter().all(|l| l.pin != Pin::Nobody) { Exit::DONE } else { Exit::ERROR })
}
