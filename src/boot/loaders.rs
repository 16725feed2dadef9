//! The loaders that nodes start with, each pinned by SHA-256: served is what Debian's packages are known to hold, or what a site wrote into its
//! lock, and nothing else. A file that is swapped while the server runs is not served either: whoever opens one compares it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::artifact::hash;
use crate::model::{Artifact, Digest};

/// Every loader by its name: UEFI with the firmware's driver, UEFI with iPXE's own, legacy BIOS, 64-bit Arm (Debian 12's package `ipxe` has none, so
/// a site puts Debian 13's `ipxe-arm64.efi` or its own beside the others), and GRUB for virtual media.
pub const LOADERS: [&str; 5] = ["snponly.efi", "ipxe.efi", "undionly.kpxe", "snponly-arm64.efi", GRUB];
/// GRUB as it lies on Debian's own installation media.
pub const GRUB: &str = "gcdx64.efi";
/// Where Debian's package `grub-efi-amd64-bin` keeps it, when the folder of loaders has none.
const GRUB_HOME: &str = "/usr/lib/grub/x86_64-efi/monolithic";
/// Name of the lock beside the loaders.
const LOCK: &str = "loaders.lock";
/// Longest lock.
const LONGEST_LOCK: usize = 64 << 10;

/// Debian 12's iPXE, and Debian 13's.
const IPXE_12: &str = "ipxe 1.0.0+git-20190125.36a4c85-5.1";
const IPXE_13: &str = "ipxe 1.21.1+git20250501.dad20602+dfsg-1";

/// Loaders of Debian's packages, as they were unpacked there. The last is called `ipxe-arm64.efi` in its package.
const KNOWN: [(&str, &str, &str); 7] = [
    ("snponly.efi", "18fc84b69172b9f7d1e6b5274c81121dde429fdacfdc984747f687cfb4f8090b", IPXE_12),
    ("ipxe.efi", "67c7f1f8e062968209ca055283ca782f21faf6a18f55dd19848601bbaf8ed7aa", IPXE_12),
    ("undionly.kpxe", "f09cfbe9bbd39c3f5eb9cdf7386b520a4f5858bbc4438960c5b870c7a8930a7f", IPXE_12),
    (GRUB, "737a90c9e0e71ff8d1da67d38b47f9a616e02c004c8f30b5c95fb2efbef5f3be", "grub-efi-amd64-bin 2.06-13+deb12u2"),
    ("snponly.efi", "9a624b4e05ebc25718a7658356628a352532bd278e7a50465a36ab94a7c4e580", IPXE_13),
    ("ipxe.efi", "6095eb23f4173674a3dc124a2a6d3cdeed514172793306a10d525f57b97cdc6a", IPXE_13),
    ("snponly-arm64.efi", "5369815eee98bf98b28a18af9a57207f9096a3b4e542ed3df1eb3f5b28d3d9a9", IPXE_13),
];

/// Why the loaders cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    /// A file is there and cannot be read.
    #[error("read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The lock is not one.
    #[error("{path}, line {line}: {why}")]
    Lock {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nobody vouched for a loader that is there.
    #[error("{path} has SHA-256 {found}, which is pinned neither by this version of bringup nor by {lock}")]
    NotPinned {
        /// Which file.
        path: PathBuf,
        /// What it is.
        found: Digest,
        /// The lock that was looked at.
        lock: PathBuf,
    },
}

/// Who vouched for a loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// It is in this version of a Debian package.
    Debian(&'static str),
    /// The site's lock holds it.
    Lock,
    /// Nobody: it is not served.
    Nobody,
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian(package) => f.pad(&format!("Debian's {package}")),
            Self::Lock => f.pad("the site's lock"),
            Self::Nobody => f.pad("nobody"),
        }
    }
}

/// A loader that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loader {
    /// One of [`LOADERS`].
    pub name: &'static str,
    /// The file, and the digest that it had when it was found.
    pub artifact: Artifact,
    /// Its length in bytes.
    pub bytes: u64,
    /// Who vouched for it.
    pub pin: Pin,
}

/// The lock that counts for a folder of loaders: the one that was named, else `loaders.lock` beside them.
#[must_use]
pub fn lock_of(folder: &Path, named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| folder.join(LOCK), Path::to_path_buf)
}

/// Looks at every loader that a folder holds, pinned or not.
///
/// # Errors
/// A file that cannot be read, or a lock with a mistake.
pub fn look(folder: &Path, lock: Option<&Path>) -> Result<Vec<Loader>, LoaderError> {
    let pins = read_lock(&lock_of(folder, lock), lock.is_some())?;
    let mut found = Vec::new();
    for name in LOADERS {
        let mut path = folder.join(name);
        if name == GRUB && !path.exists() {
            path = Path::new(GRUB_HOME).join(GRUB);
        }
        let read = |source| LoaderError::Read { path: path.clone(), source };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(read(error)),
        };
        let bytes = file.metadata().map_err(read)?.len();
        let sha256 = hash(&mut file).map_err(read)?;
        let pin = pin(name, &sha256, &pins);
        found.push(Loader { name, artifact: Artifact { path: path.clone(), sha256 }, bytes, pin });
    }
    Ok(found)
}

/// A site that wrote a loader into its lock means that one, and not also another that we happen to know.
fn pin(name: &str, sha256: &Digest, pins: &BTreeMap<String, BTreeSet<Digest>>) -> Pin {
    match pins.get(name) {
        Some(locked) if locked.contains(sha256) => Pin::Lock,
        Some(_) => Pin::Nobody,
        None => KNOWN
            .into_iter()
            .find(|(known, digest, _)| *known == name && *digest == sha256.as_str())
            .map_or(Pin::Nobody, |(_, _, package)| Pin::Debian(package)),
    }
}

fn read_lock(path: &Path, must: bool) -> Result<BTreeMap<String, BTreeSet<Digest>>, LoaderError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text).map_err(|(line, why)| LoaderError::Lock { path: path.to_owned(), line, why }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must => Ok(BTreeMap::new()),
        Err(source) => Err(LoaderError::Read { path: path.to_owned(), source }),
    }
}

/// The form of `sha256sum`: digest, two spaces, name. One name may stand more than once.
fn parse(text: &str) -> Result<BTreeMap<String, BTreeSet<Digest>>, (usize, &'static str)> {
    if text.len() > LONGEST_LOCK {
        return Err((1, "a lock of loaders has at most 64 KiB"));
    }
    let mut pins: BTreeMap<String, BTreeSet<Digest>> = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let bad = |why| (at + 1, why);
        let (digest, name) = line.split_once("  ").ok_or(bad("`SHA256  NAME` is expected, as sha256sum prints it"))?;
        let digest = Digest::new(digest).map_err(|_| bad("that is no SHA-256"))?;
        let name = name.trim_end().rsplit('/').next().unwrap_or_default();
        if !LOADERS.contains(&name) {
            return Err(bad("that is the name of no loader"));
        }
        pins.entry(name.to_owned()).or_default().insert(digest);
    }
    Ok(pins)
}

/// A lock that pins these loaders.
#[must_use]
pub fn write_lock(loaders: &[Loader]) -> String {
    let mut text = "# Loaders that `bringup serve` and `apply` may give to nodes, as sha256sum prints them.\n".to_owned();
    for loader in loaders {
        text.push_str(&format!("{}  {}\n", loader.artifact.sha256, loader.name));
    }
    text
}

/// The loaders that may be served. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Loaders {
    pinned: std::sync::Arc<Vec<Loader>>,
    folder: PathBuf,
}

impl Loaders {
    /// The pinned loaders of a folder; it may hold none. GRUB comes from a package of its own, and only sites with virtual media need it: where
    /// nobody pinned it, it alone is left out.
    ///
    /// # Errors
    /// [`LoaderError`]: one that is there is pinned by nobody, or cannot be read.
    pub fn open(folder: &Path, lock: Option<&Path>) -> Result<Self, LoaderError> {
        let mut pinned = look(folder, lock)?;
        pinned.retain(|loader| loader.pin != Pin::Nobody || loader.name != GRUB);
        if let Some(loader) = pinned.iter().find(|loader| loader.pin == Pin::Nobody) {
            let Artifact { path, sha256 } = loader.artifact.clone();
            return Err(LoaderError::NotPinned { path, found: sha256, lock: lock_of(folder, lock) });
        }
        Ok(Self { pinned: pinned.into(), folder: folder.to_owned() })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Loader> {
        self.pinned.iter()
    }

    /// One by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Loader> {
        self.pinned.iter().find(|loader| loader.name == name)
    }

    /// Where they were looked for.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        dir
    }

    #[test]
    fn a_loader_that_nobody_pinned_is_refused_until_it_is_locked() {
        let dir = folder(&[("snponly.efi", b"MZ one")]);
        let refused = Loaders::open(dir.path(), None).unwrap_err().to_string();
        assert!(refused.contains("snponly.efi has SHA-256") && refused.contains("pinned neither"), "{refused}");
        let found = look(dir.path(), None).unwrap();
        let lock = write_lock(&found.into_iter().filter(|l| l.name != GRUB).collect::<Vec<_>>());
        std::fs::write(dir.path().join(LOCK), &lock).unwrap();
        assert_eq!(Loaders::open(dir.path(), None).unwrap().get("snponly.efi").map(|l| l.pin.clone()), Some(Pin::Lock));
        // Another file under the name is not the one that was meant.
        std::fs::write(dir.path().join("snponly.efi"), b"MZ two").unwrap();
        assert!(Loaders::open(dir.path(), None).is_err());
        // A lock that was named must be there.
        assert!(matches!(Loaders::open(dir.path(), Some(Path::new("/no/such.lock"))), Err(LoaderError::Read { .. })));
    }

    #[test]
    fn what_a_lock_names_is_not_also_taken_from_the_table() {
        let (name, digest, package) = KNOWN[0];
        let digest = Digest::new(digest).unwrap();
        assert_eq!(pin(name, &digest, &BTreeMap::new()), Pin::Debian(package));
        let other = BTreeMap::from([(name.to_owned(), BTreeSet::from([Digest::from_bytes(&[1; 32])]))]);
        assert_eq!(pin(name, &digest, &other), Pin::Nobody);
    }

    #[test]
    fn the_lock_is_what_sha256sum_prints() {
        let digest = "ab".repeat(32);
        let pins = parse(&format!("# a remark\n\n{digest}  /usr/lib/ipxe/ipxe.efi\n")).unwrap();
        assert_eq!(pins.keys().collect::<Vec<_>>(), ["ipxe.efi"]);
        for (text, line) in [("x", 1), ("\nab  ipxe.efi", 2), (&*format!("{digest}  passwd"), 1)] {
            assert_eq!(parse(text).unwrap_err().0, line, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_lock_or_none(text in "([0-9a-f]{64}  )?.{0,60}\n?.{0,60}") {
            if let Ok(pins) = parse(&text) {
                prop_assert!(pins.keys().all(|name| LOADERS.contains(&&**name)));
            }
        }
    }
}
