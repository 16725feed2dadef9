//! The cache half of `bringup serve`: a rack's copy of what another boot server grants.

use std::path::PathBuf;

use super::failure::{Exit, Failure, Result};
use super::global::Global;
use super::serve_storm::Budget;
use crate::boot::{Blobs, Cache, Held, Upstream};

/// Flags of a cache.
#[derive(Debug, clap::Args)]
pub struct CacheArgs {
    /// Be a rack cache of this boot server (http://HOST:PORT): its files by digest from an own disk, its word for each
    #[arg(long, value_name = "UPSTREAM", conflicts_with_all = ["dhcp", "proxy_dhcp", "https"])]
    pub cache: Option<Upstream>,
    /// Folder of the cache; `cache` beside the journal when not given
    #[arg(long, value_name = "DIR", requires = "cache")]
    pub cache_dir: Option<PathBuf>,
    /// Most that the cache holds, in GiB; what was longest unused makes room
    #[arg(long, value_name = "GIB", requires = "cache", default_value = "20", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub cache_size: u64,
}

/// Opens the cache; `None` without `--cache`.
///
/// # Errors
/// The folder cannot be used, or a budget is written for a rack: a cache does not know whose a grant is.
pub fn open(args: &CacheArgs, budgets: &[Budget], global: &Global) -> Result<Option<Cache>> {
    let Some(upstream) = &args.cache else { return Ok(None) };
    if let Some(rack) = budgets.iter().find_map(|budget| budget.rack.as_ref()) {
        return Err(Failure::new(Exit::INVALID, format!("a cache does not know the nodes of rack {rack}"))
            .hint("--budget RATE bounds all that the cache sends; --budget RACK=RATE is for the boot server itself"));
    }
    let folder = match &args.cache_dir {
        Some(folder) => folder.clone(),
        None => global.state_dir()?.join("cache"),
    };
    let blobs = Blobs::open(&folder, args.cache_size << 30)
        .map_err(|e| Failure::new(Exit::ERROR, e).hint("--cache-dir takes another folder"))?;
    let cache = Cache::new(blobs, upstream.clone());
    let Held { files, bytes, .. } = cache.held();
    global.talk(format!("a cache of {upstream} in {}: {files} files, {} MB", folder.display(), bytes / 1_000_000));
    Ok(Some(cache))
}
