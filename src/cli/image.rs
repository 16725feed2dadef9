//! `bringup image build`: a definition in `images/definitions/` to an image that `plan` and `serve` read. Needs no root and installs nothing.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::{Exit, Failure, Result};
use super::global::Global;
use crate::image::{self, BuildError, Cache, FetchError, manifest};
use crate::model::{Ramdisk, RamdiskLock};
use crate::spec;

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

Packages are resolved by apt with a state of its own and taken apart by dpkg-deb; no root is needed and nothing is installed. What is
built: DIR/NAME.yaml (the image that playbooks name) and its files in DIR/NAME/. Same definition, same lock: same bytes.")]
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
        let loaded = spec::load_ramdisk(file, !args.lock).map_err(|mistakes| {
            global.out.complain(format!("{}\n", mistakes.render(global.out.colour_err).trim_end()));
            Failure::new(Exit::INVALID, format!("{} cannot be built as it is written", file.display()))
        })?;
        if !args.lock && loaded.lock.is_none() {
            let beside = file.with_extension("lock");
            return Err(Failure::new(Exit::INVALID, format!("there is no lock {}", beside.display()))
                .hint("`bringup image build --lock` chooses the packages and writes it; keep it with the definition"));
        }
        definitions.push((file.clone(), loaded.ramdisk, loaded.lock));
    }
    let mut told = Vec::new();
    for (file, ramdisk, lock) in definitions {
        let (global, cache, out) = (global.clone(), cache.clone(), args.out.clone());
        let work = move || one(&file, &ramdisk, lock, &cache, &out, &global);
        told.push(tokio::task::spawn_blocking(work).await??);
    }
    if global.out.is_json() {
        global.out.json(&json!({"format_version": 1, "images": told}));
    }
    Ok(Exit::DONE)
}

/// Builds one; gives what is told of it as JSON.
fn one(
    file: &Path,
    ramdisk: &Ramdisk,
    lock: Option<RamdiskLock>,
    cache: &Cache,
    out: &Path,
    global: &Global,
) -> Result<serde_json::Value> {
    let lock = match lock {
        Some(lock) => lock,
        None => {
            let (locked, lock) = (file.with_extension("lock"), cache.lock(ramdisk).map_err(failure)?);
            write(&locked, manifest::lock(&lock).as_bytes())?;
            global.talk(format!("{}: {} packages", locked.display(), lock.packages.len()));
            lock
        }
    };
    let started = std::time::Instant::now();
    let built = image::build(ramdisk, &lock, cache, &|doing| {
        if global.flags.verbose > 0 {
            global.talk(doing);
        }
    });
    let built = built.map_err(|e| match e {
        BuildError::Fetch(e) => failure(e),
        other => Failure::new(Exit::ERROR, other),
    })?;
    let folder = out.join(&ramdisk.name);
    std::fs::create_dir_all(&folder).map_err(|source| Write { path: folder.clone(), source })?;
    write(&folder.join(manifest::KERNEL), &built.kernel)?;
    write(&folder.join(manifest::INITRD), &built.initrd)?;
    // Last, so that a manifest never names files that are not there yet.
    let named = out.join(format!("{}.yaml", ramdisk.name));
    write(&named, manifest::image(ramdisk, &built).as_bytes())?;
    if !global.out.is_json() {
        let rows = [
            (manifest::KERNEL, built.kernel.len(), &built.kernel_sha256, built.release.clone()),
            (
                manifest::INITRD,
                built.initrd.len(),
                &built.initrd_sha256,
                format!("{} unpacked, {} modules", mib(built.unpacked), built.modules),
            ),
        ];
        let row = |(name, size, digest, note): (&str, usize, &crate::model::Digest, String)| {
            vec![folder.join(name).display().to_string(), mib(size as u64), digest.short().to_owned(), note]
        };
        global.out.table(&["FILE", "SIZE", "DIGEST", "HOLDS"], rows.into_iter().map(row).collect());
        global.talk(format!("{} names them; built in {:.1} s", named.display(), started.elapsed().as_secs_f64()));
    }
    Ok(json!({
        "name": ramdisk.name, "image": named, "release": built.release, "modules": built.modules, "unpacked_bytes": built.unpacked,
        "kernel": {"sha256": built.kernel_sha256, "bytes": built.kernel.len()},
        "initrd": {"sha256": built.initrd_sha256, "bytes": built.initrd.len()},
    }))
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
