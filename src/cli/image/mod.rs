//! `bringup image build`: a definition in `images/definitions/` to an image that `plan` and `serve` read. Installs nothing on this machine; only the
//! root file system of a node needs root, or a user namespace.

mod ramdisk;
mod rootfs;

use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::{Exit, Failure, Result};
use super::global::Global;
use crate::image::{Cache, FetchError};
use crate::model::{Digest, RamdiskLock};
use crate::spec::{self, Definition};

/// Netboot images and loaders
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup image build images/definitions/bringup.yaml")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Build(BuildArgs),
    Loaders(super::loaders::Args),
}

/// Builds netboot images from definitions, reproducibly, from Debian packages
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bringup image build images/definitions/bringup.yaml --lock   # choose the newest packages, write the lock, build
  bringup image build images/definitions/bringup.yaml          # build the same again, from the packages of the lock

  bringup image build images/definitions/{bringup,node}.yaml   # a node's root file system, and the ramdisk that fetches it

Packages are resolved by apt with a state of its own; nothing is installed here. A ramdisk is made of packages that dpkg-deb takes apart, without
root; a node's root by mmdebstrap and mksquashfs, as root or in a user namespace, without a network. What is built: DIR/NAME.yaml (the image that
playbooks name) and its files in DIR/NAME/. Same definition, same lock: same bytes.")]
pub struct BuildArgs {
    /// Definitions, `images/definitions/NAME.yaml`
    #[arg(required = true, value_name = "DEFINITION")]
    pub definitions: Vec<PathBuf>,
    /// Folder for the images
    #[arg(long, value_name = "DIR", default_value = "images")]
    pub out: PathBuf,
    /// Choose the newest packages of the sources and write them into the lock beside the definition
    #[arg(long)]
    pub lock: bool,
    /// Folder where fetched packages are kept
    #[arg(long, value_name = "DIR", env = "BRINGUP_IMAGE_CACHE")]
    pub cache: Option<PathBuf>,
}

/// A file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("write {}", path.display())]
struct Write {
    path: PathBuf,
    source: std::io::Error,
}

/// Runs `image`.
///
/// # Errors
/// A definition with mistakes (exit code 3), packages that cannot be had or are not those of the lock, a folder that cannot be written.
pub async fn run(args: Args, global: &Global) -> Result {
    let args = match args.verb {
        Verb::Build(args) => args,
        Verb::Loaders(args) => return super::loaders::run(&args, global),
    };
    let cache = Cache::new(args.cache.clone().map_or_else(default_cache, Ok)?);
    // All are read before the first is built.
    let mut definitions = Vec::new();
    for file in &args.definitions {
        let (definition, lock) = load(file, !args.lock, global)?;
        definitions.push((file.clone(), definition, lock));
    }
    let mut told = Vec::new();
    for (file, definition, lock) in definitions {
        let to = To { global: global.clone(), cache: cache.clone(), out: args.out.clone() };
        let work = move || match definition {
            Definition::Ramdisk(ramdisk) => ramdisk::one(&file, &ramdisk, lock, &to),
            Definition::Rootfs(rootfs) => rootfs::one(&file, &rootfs, lock, &to),
        };
        told.push(tokio::task::spawn_blocking(work).await??);
    }
    if global.out.is_json() {
        global.out.json(&json!({"format_version": 1, "images": told}));
    }
    Ok(Exit::DONE)
}

/// Reads a definition, and its lock when it is to be kept.
fn load(file: &Path, with_lock: bool, global: &Global) -> Result<(Definition, Option<RamdiskLock>)> {
    let loaded = spec::load_definition(file, with_lock).map_err(|mistakes| {
        global.out.complain(format!("{}\n", mistakes.render(global.out.colour_err).trim_end()));
        Failure::new(Exit::INVALID, format!("{} cannot be built as it is written", file.display()))
    })?;
    if with_lock && loaded.lock.is_none() {
        let beside = file.with_extension("lock");
        return Err(Failure::new(Exit::INVALID, format!("there is no lock {}", beside.display()))
            .hint("`bringup image build --lock` chooses the packages and writes it; keep it with the definition"));
    }
    Ok((loaded.definition, loaded.lock))
}

/// Where a build's things are.
struct To {
    global: Global,
    cache: Cache,
    out: PathBuf,
}

impl To {
    /// Hears what is being done.
    fn tell(&self, doing: &str) {
        if self.global.flags.verbose > 0 {
            self.global.talk(doing);
        }
    }

    /// The lock that was read, or a new one, written beside the definition.
    fn lock(
        &self,
        file: &Path,
        read: Option<RamdiskLock>,
        choose: impl FnOnce() -> std::result::Result<RamdiskLock, FetchError>,
        text: impl FnOnce(&RamdiskLock) -> String,
    ) -> Result<RamdiskLock> {
        if let Some(lock) = read {
            return Ok(lock);
        }
        let (locked, lock) = (file.with_extension("lock"), choose().map_err(failure)?);
        write(&locked, text(&lock).as_bytes())?;
        self.global.talk(format!("{}: {} packages", locked.display(), lock.packages.len()));
        Ok(lock)
    }

    /// The folder of an image's files.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.out.join(name);
        std::fs::create_dir_all(&folder).map_err(|source| Write { path: folder.clone(), source })?;
        Ok(folder)
    }

    /// A table of the files that were written.
    fn show(&self, folder: &Path, rows: Vec<(&str, u64, &Digest, String)>, named: &Path, started: std::time::Instant) {
        if self.global.out.is_json() {
            return;
        }
        let row = |(name, size, digest, note): (&str, u64, &Digest, String)| {
            vec![folder.join(name).display().to_string(), mib(size), digest.short().to_owned(), note]
        };
        self.global.out.table(&["FILE", "SIZE", "DIGEST", "HOLDS"], rows.into_iter().map(row).collect());
        self.global.talk(format!("{} names them; built in {:.1} s", named.display(), started.elapsed().as_secs_f64()));
    }
}

fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// Written under another name and renamed: whoever reads at the same time sees the old file or the new one.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_file_name(format!(".{}.part", path.file_name().unwrap_or_default().to_string_lossy()));
    let done = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    done.map_err(|source| {
        drop(std::fs::remove_file(&part));
        Write { path: path.to_owned(), source }.into()
    })
}

/// `$XDG_CACHE_HOME/bringup/images`, or below `~/.cache`.
fn default_cache() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("bringup/images"))
        .ok_or_else(|| Failure::new(Exit::USAGE, "there is no home folder to keep packages in").hint("give one with --cache DIR"))
}

fn failure(error: FetchError) -> Failure {
    let hint = match &error {
        FetchError::NoProgram { .. } | FetchError::NoKeys { .. } => None,
        FetchError::Differs { .. } => {
            Some("do not lock anew before you know why it changed: a mirror that errs, or somebody between")
        }
        FetchError::Unknown(_) => Some("look at `sources` and the names under `packages` and `kernel` in the definition"),
        FetchError::Apt { doing, .. } if doing.starts_with("fetch ") => {
            Some("a mirror keeps old packages for a while only: `--lock` chooses the newest, snapshot.debian.org has all")
        }
        FetchError::Apt { .. } => None,
        FetchError::Cache { .. } => Some("give another folder with --cache"),
    };
    let failure = Failure::new(Exit::ERROR, error);
    if let Some(hint) = hint { failure.hint(hint) } else { failure }
}
