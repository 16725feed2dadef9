//! Packages by apt, with a state of its own: what this machine has installed, locked or configured plays no part and is not changed, except
//! for the way out (`Acquire::…`, such as a proxy). apt verifies Debian's signatures when a lock is made; from then on a package is
//! what its digest in the lock says, wherever it comes from.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

use super::package::last;
use crate::model::{Digest, LockedPackage, PackageSource, Ramdisk, RamdiskLock, Rootfs};

/// apt's own downloader: its methods, its proxies, and no list of packages.
const FETCHER: &str = "/usr/lib/apt/apt-helper";

/// Where packages and apt's state are kept between builds.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
}

/// Why packages cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The cache.
    #[error("keep packages in {}", path.display())]
    Cache {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program of this machine is missing.
    #[error("the program `{program}` is missing; Debian's package `{package}` has it")]
    NoProgram {
        /// Program.
        program: &'static str,
        /// Package.
        package: &'static str,
    },
    /// The keys that sign a repository are missing.
    #[error("the keys of {} are missing: there is no {keyring}; Debian's own are in the package `debian-archive-keyring`", uri)]
    NoKeys {
        /// Repository.
        uri: String,
        /// File.
        keyring: String,
    },
    /// apt gave up.
    #[error("{doing}: {said}")]
    Apt {
        /// What was tried.
        doing: String,
        /// Its last words.
        said: String,
    },
    /// No such package.
    #[error("the sources have no package `{0}`")]
    Unknown(String),
    /// Another file than the lock says.
    #[error(
        "{url} is refused: it is not the package `{package}` of the lock: SHA-256 {found} and {size} bytes, wanted {want} and {want_size}"
    )]
    Differs {
        /// Package.
        package: String,
        /// Where it came from.
        url: String,
        /// Digest that it has.
        found: Digest,
        /// Digest that it should have.
        want: Digest,
        /// Bytes that it has.
        size: u64,
        /// Bytes that it should have.
        want_size: u64,
    },
}

impl Cache {
    /// A cache in a folder, which is made when it is needed.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        // apt has a state folder of its own and reads other paths as below it.
        Self { dir: std::path::absolute(&dir).unwrap_or(dir) }
    }

    /// Where a package file is kept.
    fn place(&self, sha256: &Digest) -> PathBuf {
        self.dir.join("debs").join(format!("{sha256}.deb"))
    }

    /// The newest versions that the sources have of all packages of a definition.
    ///
    /// # Errors
    /// [`FetchError`]: a source that cannot be reached or is not signed, a package that there is not.
    pub fn lock(&self, ramdisk: &Ramdisk) -> Result<RamdiskLock, FetchError> {
        let apt = Apt::new(&self.dir, Some((&ramdisk.sources, ramdisk.debian_arch())))?;
        apt.run("read the lists of packages", "apt-get", &["-qq", "update"])?;
        let packages = ramdisk.package_names().map(|name| apt.newest(name)).collect::<Result<_, _>>()?;
        Ok(RamdiskLock { packages })
    }

    /// The newest versions that the sources have of a root's packages, of what they depend on and of what apt calls essential: what
    /// Debian does, and apt itself.
    ///
    /// # Errors
    /// As [`Cache::lock`].
    pub fn lock_rootfs(&self, rootfs: &Rootfs) -> Result<RamdiskLock, FetchError> {
        let apt = Apt::new(&self.dir, Some((&rootfs.sources, rootfs.debian_arch())))?;
        apt.run("read the lists of packages", "apt-get", &["-qq", "update"])?;
        // Told by name, since apt's own words would blame a whole list.
        for name in rootfs.package_names() {
            apt.show(name)?;
        }
        // `usr-is-merged` is the half of an alternative that needs no program to merge what the build lays out merged.
        let mut args = vec!["-qq", "--print-uris", "-o", "Acquire::ForceHash=SHA256", "-o", "APT::Install-Recommends=false"];
        args.extend(["install", "?essential", "usr-is-merged"]);
        args.extend(rootfs.package_names());
        let uris = apt.run("choose the packages", "apt-get", &args)?;
        let mut packages = uris.lines().filter(|l| !l.trim().is_empty()).map(printed).collect::<Result<Vec<_>, _>>()?;
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(RamdiskLock { packages })
    }

    /// A folder below the cache's, for what a build needs while it runs.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The file of a locked package: the one that is there, or fetched now. Its digest was seen.
    ///
    /// # Errors
    /// [`FetchError`]: it cannot be fetched, or is another file than the lock says.
    pub fn fetch(&self, locked: &LockedPackage) -> Result<PathBuf, FetchError> {
        let (path, url) = (self.place(&locked.sha256), locked.url.replacen("file:", "copy:", 1));
        match measure(&path) {
            Ok((found, _)) if found == locked.sha256 => return Ok(path),
            // Cut short by a full disk, perhaps: fetched again.
            Ok(_) => fs::remove_file(&path).map_err(|source| FetchError::Cache { path: path.clone(), source })?,
            Err(_) => {}
        }
        let apt = Apt::new(&self.dir, None)?;
        let part = path.with_extension(format!("{}.part", std::process::id()));
        let fail = |source| FetchError::Cache { path: path.clone(), source };
        fs::create_dir_all(self.dir.join("debs")).map_err(fail)?;
        let doing = format!("fetch {}", locked.url);
        let fetched = apt.run(&doing, FETCHER, &["download-file", &url, &part.display().to_string()]);
        let seen = fetched.and_then(|_| measure(&part).map_err(fail));
        let done = seen.and_then(|(found, size)| {
            if found == locked.sha256 {
                return fs::rename(&part, &path).map_err(fail);
            }
            let (package, url, want, want_size) =
                (locked.package.clone(), locked.url.clone(), locked.sha256.clone(), locked.size);
            Err(FetchError::Differs { package, url, found, want, size, want_size })
        });
        if done.is_err() {
            drop(fs::remove_file(&part));
        }
        done.map(|()| path)
    }
}

/// Digest and size of a file.
pub(super) fn measure(path: &Path) -> io::Result<(Digest, u64)> {
    let mut file = fs::File::open(path)?;
    let (mut hash, mut size, mut piece) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let n = file.read(&mut piece)?;
        match piece.get(..n) {
            None | Some([]) => return Ok((Digest::from_bytes(&hash.finalize().into()), size)),
            Some(bytes) => hash.update(bytes),
        }
        size += n as u64;
    }
}

/// apt with folders and settings of its own.
struct Apt {
    settings: PathBuf,
    empty: PathBuf,
}

impl Apt {
    /// Writes the settings; each set of sources has a state of its own, so that two builds do not read each other's lists.
    fn new(dir: &Path, from: Option<(&[PackageSource], &str)>) -> Result<Self, FetchError> {
        let arch = from.map_or("amd64", |(_, arch)| arch);
        let mut list = String::new();
        for source in from.map(|(sources, _)| sources).unwrap_or_default() {
            if !Path::new(&source.keyring).is_file() {
                return Err(FetchError::NoKeys { uri: source.uri.clone(), keyring: source.keyring.clone() });
            }
            let (uri, suite, components) = (&source.uri, &source.suite, source.components.join(" "));
            // A String takes every write.
            let _ = writeln!(list, "deb [arch={arch} signed-by={}] {uri} {suite} {components}", source.keyring);
        }
        let name = Digest::from_bytes(&Sha256::digest(list.as_bytes()).into());
        let home = dir.join("apt").join(name.short());
        let at = |part: &str| home.join(part);
        let fail = |source| FetchError::Cache { path: home.clone(), source };
        for part in ["lists/partial", "archives/partial", "empty"] {
            fs::create_dir_all(at(part)).map_err(fail)?;
        }
        let mut text = way_out()?;
        for (key, value) in [
            ("Dir::Etc::SourceList", at("sources.list").display().to_string()),
            ("Dir::Etc::SourceParts", at("empty").display().to_string()),
            ("Dir::Etc::Parts", at("empty").display().to_string()),
            ("Dir::Etc::Main", at("none").display().to_string()),
            ("Dir::Etc::Preferences", at("none").display().to_string()),
            ("Dir::Etc::PreferencesParts", at("empty").display().to_string()),
            ("Dir::State", home.display().to_string()),
            ("Dir::State::Lists", at("lists").display().to_string()),
            ("Dir::State::Status", at("status").display().to_string()),
            ("Dir::Cache", home.display().to_string()),
            ("APT::Architecture", arch.to_owned()),
            ("APT::Architectures::", arch.to_owned()),
            // The folders are this user's; root's apt would fetch as `_apt`, who may not write there.
            ("APT::Sandbox::User", String::new()),
            ("Acquire::Languages", "none".to_owned()),
            ("Acquire::Retries", "3".to_owned()),
        ] {
            let _ = writeln!(text, "{key} \"{}\";", value.replace('"', ""));
        }
        for (part, text) in [("sources.list", list.as_str()), ("status", ""), ("apt.conf", text.as_str())] {
            // Renamed into place: another build may be reading, or another thread of this one be writing the same.
            let fresh = at(&format!("{part}.{:016x}", rand::random::<u64>()));
            fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, at(part))).map_err(fail)?;
        }
        Ok(Self { settings: at("apt.conf"), empty: at("empty") })
    }

    /// Runs a program of apt; gives what it printed.
    fn run(&self, doing: &str, program: &'static str, args: &[&str]) -> Result<String, FetchError> {
        let out = Command::new(program)
            .args(args)
            .current_dir(&self.empty)
            .env("APT_CONFIG", &self.settings)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(|source| missing(program, doing, &source))?;
        if out.status.success() {
            return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
        }
        // apt's errors begin with `E:`; the first one says what went wrong, the last that something did.
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let first = said.lines().find(|l| l.starts_with("E:")).unwrap_or_default().trim_start_matches("E:").trim();
        let said = if first.is_empty() { last(&out.stderr) } else { last(first.as_bytes()) };
        Err(FetchError::Apt { doing: doing.to_owned(), said })
    }

    /// The newest version of a package; for one that only stands for the newest kernel, that kernel.
    fn newest(&self, name: &str) -> Result<LockedPackage, FetchError> {
        let stanza = self.show(name)?;
        let real = kernel_behind(&stanza).filter(|real| real != name);
        let (package, stanza) = match real {
            Some(real) => (real.clone(), self.show(&real)?),
            None => (name.to_owned(), stanza),
        };
        let unknown = || FetchError::Unknown(package.clone());
        let version = field(&stanza, "Version").ok_or_else(unknown)?.to_owned();
        let sha256 = field(&stanza, "SHA256").and_then(|s| s.parse().ok()).ok_or_else(unknown)?;
        let size = field(&stanza, "Size").and_then(|s| s.parse().ok()).ok_or_else(unknown)?;
        let doing = format!("find where `{package}` is");
        let uris = self.run(&doing, "apt-get", &["-qq", "download", "--print-uris", &format!("{package}={version}")])?;
        // 'URI' FILE SIZE SHA256:DIGEST
        let url = uris.trim().strip_prefix('\'').and_then(|rest| rest.split('\'').next()).ok_or_else(unknown)?.to_owned();
        Ok(LockedPackage { name: name.to_owned(), package, version, sha256, size, url })
    }

    /// What the lists say of a package.
    fn show(&self, name: &str) -> Result<String, FetchError> {
        let shown = self.run("show", "apt-cache", &["show", "--no-all-versions", name]);
        match shown {
            Ok(text) if field(&text, "Package") == Some(name) => Ok(text),
            Ok(_) | Err(FetchError::Apt { .. }) => Err(FetchError::Unknown(name.to_owned())),
            Err(other) => Err(other),
        }
    }
}

/// A line of `--print-uris`: `'URI' NAME_VERSION_ARCH.deb SIZE SHA256:DIGEST`, where a colon of the version is `%3a`.
fn printed(line: &str) -> Result<LockedPackage, FetchError> {
    let read = || -> Option<LockedPackage> {
        let (url, rest) = line.strip_prefix('\'')?.split_once('\'')?;
        let mut words = rest.split_whitespace();
        let (file, size, digest) = (words.next()?, words.next()?.parse().ok()?, words.next()?.strip_prefix("SHA256:")?);
        let mut parts = file.strip_suffix(".deb")?.split('_');
        let (name, version) = (parts.next()?.to_owned(), parts.next()?.replace("%3a", ":"));
        Some(LockedPackage { package: name.clone(), name, version, sha256: digest.parse().ok()?, size, url: url.to_owned() })
    };
    let said = || format!("`{}` is not the address of a package with its SHA-256", last(line.as_bytes()));
    read().ok_or_else(|| FetchError::Apt { doing: "choose the packages".to_owned(), said: said() })
}

fn missing(program: &'static str, doing: &str, source: &io::Error) -> FetchError {
    if source.kind() == io::ErrorKind::NotFound {
        return FetchError::NoProgram { program, package: "apt" };
    }
    FetchError::Apt { doing: doing.to_owned(), said: format!("{program}: {source}") }
}

/// How this machine's apt reaches the world.
fn way_out() -> Result<String, FetchError> {
    let doing = "ask for apt's settings";
    let out = Command::new("apt-config").arg("dump").stdin(Stdio::null()).output();
    let out = out.map_err(|source| missing("apt-config", doing, &source))?;
    if !out.status.success() {
        return Err(FetchError::Apt { doing: doing.to_owned(), said: last(&out.stderr) });
    }
    let text = String::from_utf8_lossy(&out.stdout);
    Ok(text.lines().filter(|line| line.starts_with("Acquire::")).map(|line| format!("{line}\n")).collect())
}

/// A field of a package's first stanza.
pub(super) fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let stanza = text.split("\n\n").next().unwrap_or(text);
    stanza.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// `linux-image-amd64` only depends on the kernel of the day: `linux-image-6.1.0-41-amd64 (= …)`.
fn kernel_behind(stanza: &str) -> Option<String> {
    field(stanza, "Package").filter(|name| name.starts_with("linux-image-"))?;
    let names = field(stanza, "Depends")?.split([',', '|']).filter_map(|d| d.split_whitespace().next());
    let numbered =
        |n: &&str| n.strip_prefix("linux-image-").is_some_and(|rest| rest.bytes().next().is_some_and(|b| b.is_ascii_digit()));
    names.into_iter().find(numbered).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packages are fetched by several threads, and all of them share the settings of "no sources at all".
    #[test]
    fn threads_that_write_the_same_settings_do_not_take_them_from_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let made = std::thread::scope(|scope| {
            let write = || (0..20).try_for_each(|_| Apt::new(dir.path(), None).map(drop));
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(write)).collect();
            threads.into_iter().try_for_each(|t| t.join().unwrap())
        });
        made.unwrap();
        let home = fs::read_dir(dir.path().join("apt")).unwrap().next().unwrap().unwrap().path();
        let mut files: Vec<_> = fs::read_dir(home).unwrap().map(|e| e.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, ["apt.conf", "archives", "empty", "lists", "sources.list", "status"]);
    }

    #[test]
    fn a_kernel_of_the_day_is_found_and_others_are_themselves() {
        let meta =
            "Package: linux-image-amd64\nDepends: linux-image-6.1.0-56-amd64 (= 6.1.192-2)\nSize: 1480\n\nPackage: x\nSize: 2\n";
        assert_eq!(kernel_behind(meta).as_deref(), Some("linux-image-6.1.0-56-amd64"));
        assert_eq!(field(meta, "Size"), Some("1480"));
        let real =
            "Package: linux-image-6.1.0-56-amd64\nDepends: kmod, linux-base (>= 4.3~), initramfs-tools | linux-initramfs-tool\n";
        assert_eq!(kernel_behind(real), None);
        assert_eq!(kernel_behind("Package: perl-base\nDepends: linux-image-6-x\n"), None);
    }
}
