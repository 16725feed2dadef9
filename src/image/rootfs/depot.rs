//! The locked packages as a repository in a folder (<https://wiki.debian.org/DebianRepository/Format>, the flat form). Each was held against its
//! digest when it was fetched; here its own words are held against the lock's, and apt holds what it reads against both once more.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

use super::{RootError, file};
use crate::image::debian::field;
use crate::image::package::{PackageError, last};
use crate::model::{Digest, LockedPackage};

/// Fills the folder, which must be there and empty.
pub(super) fn make(dir: &Path, suite: &str, debs: &[(&LockedPackage, PathBuf)]) -> Result<(), RootError> {
    let mut list = String::new();
    for (locked, deb) in debs {
        let name = format!("{}.deb", locked.sha256);
        let to = dir.join(&name);
        // Another file system has no second name for a file.
        fs::hard_link(deb, &to).or_else(|_| fs::copy(deb, &to).map(drop)).map_err(file("write", &to))?;
        let stanza = control(deb)?;
        let (package, version) = (field(&stanza, "Package").unwrap_or_default(), field(&stanza, "Version").unwrap_or_default());
        if (package, version) != (locked.package.as_str(), locked.version.as_str()) {
            let found = format!("{package} {version}").escape_debug().take(120).collect();
            return Err(RootError::Mislabelled { name: locked.package.clone(), version: locked.version.clone(), found });
        }
        // A String takes every write.
        let _ = writeln!(list, "{}\nFilename: ./{name}\nSize: {}\nSHA256: {}\n", stanza.trim_end(), locked.size, locked.sha256);
    }
    let digest = Digest::from_bytes(&Sha256::digest(list.as_bytes()).into());
    let release = format!("Suite: {suite}\nCodename: {suite}\nSHA256:\n {digest} {} Packages\n", list.len());
    for (name, text) in [("Packages", &list), ("Release", &release)] {
        let path = dir.join(name);
        fs::write(&path, text).map_err(file("write", &path))?;
    }
    Ok(())
}

/// What a package says of itself.
fn control(deb: &Path) -> Result<String, PackageError> {
    let out = Command::new("dpkg-deb").arg("--field").arg(deb).env("LC_ALL", "C").stdin(Stdio::null()).output();
    let out = out.map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            return PackageError::NoProgram;
        }
        PackageError::Read { path: deb.to_owned(), source }
    })?;
    match String::from_utf8(out.stdout) {
        // A stanza of its own only: a blank line would begin another.
        Ok(text) if out.status.success() && !text.trim().contains("\n\n") => Ok(text),
        _ => Err(PackageError::Broken { path: deb.to_owned(), said: last(&out.stderr) }),
    }
}
