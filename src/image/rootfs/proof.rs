//! The last look before the root is packed: what was installed is exactly the lock, nobody has a password, no host key and no login key is in it,
//! its modules are the kernel's. Read from the tar itself, not from what the tools said.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::image::module::below_modules;
use crate::model::RamdiskLock;

/// Largest of the files that are read here; dpkg's own list of 500 packages has 0.5 MiB.
const TEXT: u64 = 64 << 20;

/// As much of a file as tells whether it is a private key in PEM form: text may stand before it (RFC 7468 §2).
const HEAD: u64 = 4096;
/// What munged lets in by; 128 bytes of no form.
const MUNGE: &str = "etc/munge/munge.key";

/// Why the root is not packed.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The tar.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something is in it that must not, or lacks.
    #[error("the root that was built is refused: {0}")]
    Refused(Flaw),
}

/// What is wrong with a root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Installed and not in the lock, or another version of it.
    #[error("it has the package {0}, which is not in the lock; `bringup image build --lock` writes the lock anew")]
    Extra(String),
    /// In the lock and not installed.
    #[error("it lacks the package {0} of the lock; `bringup image build --lock` writes the lock anew")]
    Lacks(String),
    /// An account with a password, or with an empty one.
    #[error("the account {0} can log in by a password")]
    Password(String),
    /// A key.
    #[error("it holds the key /{0}; keys come with each boot")]
    Key(String),
    /// A key that no word of the definition puts there.
    #[error(
        "it holds the private key /{0}, which a package made or brought: name a file for it under `files:`, or leave the package out"
    )]
    Made(String),
    /// A file that every root has.
    #[error("it has no /{0}")]
    No(&'static str),
    /// No modules of the kernel.
    #[error("it has no modules of the kernel {0}")]
    Modules(String),
    /// Identity of a machine.
    #[error("/etc/machine-id is not empty, and every node would be the same machine")]
    Machine,
}

/// Looks at the root; gives the bytes of all its files. `own` are the site's files.
pub(super) fn check(tree: &Path, lock: &RamdiskLock, release: &str, own: &BTreeSet<String>) -> Result<u64, ProofError> {
    let fail = |source| ProofError::Read { path: tree.to_owned(), source };
    let mut archive = tar::Archive::new(io::BufReader::new(fs::File::open(tree).map_err(fail)?));
    let (mut bytes, mut modules, mut init) = (0, false, false);
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    for entry in archive.entries().map_err(fail)? {
        let mut entry = entry.map_err(fail)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        bytes += entry.size();
        modules |= below_modules(&path).is_some_and(|(r, rest)| r == release && rest == "modules.dep");
        init |= matches!(path.as_str(), "usr/sbin/init" | "sbin/init");
        let file = entry.header().entry_type().is_file();
        if file && is_key(&path) {
            return Err(ProofError::Refused(Flaw::Key(path.escape_debug().collect())));
        }
        if let Some(name) = ["etc/shadow", "etc/machine-id", "var/lib/dpkg/status"].into_iter().find(|n| *n == path) {
            let mut text = String::new();
            entry.by_ref().take(TEXT).read_to_string(&mut text).map_err(fail)?;
            texts.insert(name, text);
        } else if file && settings(&path) && !own.contains(&path) {
            let mut head = Vec::new();
            entry.by_ref().take(HEAD).read_to_end(&mut head).map_err(fail)?;
            if path == MUNGE || is_private(&head) {
                return Err(ProofError::Refused(Flaw::Made(path.escape_debug().collect())));
            }
        }
    }
    if !init {
        return Err(ProofError::Refused(Flaw::No("sbin/init")));
    }
    if !modules {
        return Err(ProofError::Refused(Flaw::Modules(release.to_owned())));
    }
    judge(&texts, lock).map_err(ProofError::Refused)?;
    Ok(bytes)
}

/// A host key, or a list of keys that may log in.
fn is_key(path: &str) -> bool {
    let host = path.strip_prefix("etc/ssh/ssh_host_").is_some_and(|rest| rest.ends_with("_key"));
    host || (path.ends_with("/.ssh/authorized_keys") && (path.starts_with("root/") || path.starts_with("home/")))
}

/// Where packages write what they make for themselves. Elsewhere they bring examples and keys of their tests.
fn settings(path: &str) -> bool {
    ["etc/", "root/", "home/", "var/lib/"].iter().any(|folder| path.starts_with(folder))
}

/// `-----BEGIN PRIVATE KEY-----`, and the same with `RSA`, `EC`, `OPENSSH`, `ENCRYPTED` and whatever else comes (RFC 7468 §10, §11).
fn is_private(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    text.lines().any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with("PRIVATE KEY-----"))
}

fn judge(texts: &BTreeMap<&str, String>, lock: &RamdiskLock) -> Result<(), Flaw> {
    let text = |name| texts.get(name).map(String::as_str).ok_or(Flaw::No(name));
    for line in text("etc/shadow")?.lines() {
        let mut fields = line.split(':');
        let (name, word) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        // `*` and `!` are what no password hashes to (shadow(5)).
        if !word.starts_with(['*', '!']) {
            return Err(Flaw::Password(name.escape_debug().take(64).collect()));
        }
    }
    if !text("etc/machine-id")?.trim().is_empty() {
        return Err(Flaw::Machine);
    }
    let mut left: BTreeMap<&str, &str> = lock.packages.iter().map(|p| (p.package.as_str(), p.version.as_str())).collect();
    for stanza in text("var/lib/dpkg/status")?.split("\n\n").filter(|s| !s.trim().is_empty()) {
        let field = |name| crate::image::debian::field(stanza.trim_start(), name).unwrap_or_default();
        let (name, version) = (field("Package"), field("Version"));
        if field("Status") == "install ok installed" && left.get(name) == Some(&version) {
            left.remove(name);
            continue;
        }
        return Err(Flaw::Extra(format!("{name} {version} ({})", field("Status")).escape_debug().take(160).collect()));
    }
    left.first_key_value().map_or(Ok(()), |(name, version)| Err(Flaw::Lacks(format!("{name} {version}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, LockedPackage};

    const STATUS: &str = "Package: bash\nStatus: install ok installed\nVersion: 5.2\n";

    fn lock(packages: &[(&str, &str)]) -> RamdiskLock {
        let one = |(name, version): &(&str, &str)| LockedPackage {
            name: (*name).to_owned(),
            package: (*name).to_owned(),
            version: (*version).to_owned(),
            sha256: Digest::from_bytes(&[0; 32]),
            size: 1,
            url: "file:/x".to_owned(),
        };
        RamdiskLock { packages: packages.iter().map(one).collect() }
    }

    fn judged(shadow: &str, machine: &str, status: &str, packages: &[(&str, &str)]) -> Result<(), Flaw> {
        let texts = [("etc/shadow", shadow), ("etc/machine-id", machine), ("var/lib/dpkg/status", status)];
        judge(&texts.into_iter().map(|(n, t)| (n, t.to_owned())).collect(), &lock(packages))
    }

    #[test]
    fn what_is_not_the_lock_is_refused() {
        let shadow = "root:*:19000::::::\nsshd:!:19000::::::\n";
        assert_eq!(judged(shadow, "\n", STATUS, &[("bash", "5.2")]), Ok(()));
        assert_eq!(judged(shadow, "", STATUS, &[("bash", "5.1")]), Err(Flaw::Extra("bash 5.2 (install ok installed)".into())));
        assert_eq!(judged(shadow, "", STATUS, &[]), Err(Flaw::Extra("bash 5.2 (install ok installed)".into())));
        let both = [("bash", "5.2"), ("zsh", "1")];
        assert_eq!(judged(shadow, "", STATUS, &both), Err(Flaw::Lacks("zsh 1".into())));
        let half = STATUS.replace("ok installed", "ok half-configured");
        assert!(matches!(judged(shadow, "", &half, &[("bash", "5.2")]), Err(Flaw::Extra(_))));
    }

    #[test]
    fn what_would_let_somebody_in_is_refused() {
        for open in ["root::19000::::::\n", "root:$y$j9T$x:19000::::::\n", "a:*:1\nb:x:1\n"] {
            assert!(matches!(judged(open, "", STATUS, &[("bash", "5.2")]), Err(Flaw::Password(_))), "{open}");
        }
        assert_eq!(judged("root:*:1\n", "0123\n", STATUS, &[("bash", "5.2")]), Err(Flaw::Machine));
        for key in ["etc/ssh/ssh_host_ed25519_key", "root/.ssh/authorized_keys", "home/a/.ssh/authorized_keys"] {
            assert!(is_key(key), "{key}");
        }
        for key in ["PRIVATE KEY", "OPENSSH PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
            assert!(is_private(format!("Bag Attributes\n-----BEGIN {key}-----\r\nMII").as_bytes()), "{key}");
        }
        for other in ["-----BEGIN CERTIFICATE-----\n", "# PRIVATE KEY-----\n", "", "\u{0}\u{1}"] {
            assert!(!is_private(other.as_bytes()), "{other}");
        }
        assert!(settings("etc/ssl/private/x.key") && !settings("usr/lib/python3/test/key.pem"));
        assert!(!is_key("etc/ssh/sshd_config") && !is_key("usr/share/doc/x/authorized_keys"));
    }
}
