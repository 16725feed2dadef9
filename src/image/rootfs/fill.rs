//! What comes into the root beside its packages, as one tar: kernel modules of the very package whose kernel the image boots, settings, and the
//! site's files. All of root, all of the epoch's time.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{RootError, file};
use crate::image::module::{Modules, below_modules};
use crate::image::package::{self, Member};
use crate::image::ramdisk::Built;
use crate::model::Rootfs;

/// sshd_config(5), read before Debian's own lines; the first word on a matter holds.
const SSHD: &str = "# Made by `bringup image build`: by key alone, with the one host key that each boot brings.\n\
    HostKey /etc/ssh/ssh_host_ed25519_key\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitEmptyPasswords no\n\
    PermitRootLogin prohibit-password\n";
const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";

/// Writes the tar.
pub(super) fn write(rootfs: &Rootfs, built: &Built, apt: bool, keyring: bool, to: &Path) -> Result<(), RootError> {
    let out = fs::File::create(to).map_err(file("write", to))?;
    let mut tar = Filler { tar: tar::Builder::new(std::io::BufWriter::new(out)), epoch: rootfs.epoch, folders: BTreeSet::new() };
    let fail = || file("write", to);
    modules(rootfs, built, &mut tar, to)?;
    tar.file("etc/hosts", HOSTS.as_bytes(), false).map_err(fail())?;
    tar.file("etc/ssh/sshd_config.d/bringup.conf", SSHD.as_bytes(), false).map_err(fail())?;
    if !rootfs.exclude.is_empty() {
        // What the node installs later is treated alike.
        let text: String = rootfs.exclude.iter().map(|p| format!("path-exclude={p}\n")).collect();
        tar.file("etc/dpkg/dpkg.cfg.d/bringup", text.as_bytes(), false).map_err(fail())?;
    }
    if apt {
        let signed = if keyring { " [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" } else { "" };
        let line = |s: &crate::model::PackageSource| format!("deb{signed} {} {} {}\n", s.uri, s.suite, s.components.join(" "));
        let text: String = rootfs.sources.iter().filter(|s| !s.uri.starts_with("file:")).map(line).collect();
        tar.file("etc/apt/sources.list", text.as_bytes(), false).map_err(fail())?;
    }
    for placed in &rootfs.files {
        let path = &placed.artifact.path;
        let bytes = fs::read(path).map_err(file("read", path))?;
        tar.file(&merged(placed.to.trim_start_matches('/')), &bytes, placed.executable).map_err(fail())?;
    }
    tar.tar.into_inner().and_then(|out| out.into_inner().map_err(std::io::IntoInnerError::into_error)).map_err(fail())?;
    Ok(())
}

/// `bin/x` as `usr/bin/x`: a folder of that name would take the place of the link that is there.
pub(super) fn merged(path: &str) -> String {
    let first = path.split('/').next().unwrap_or_default();
    if ["bin", "sbin", "lib", "lib64"].contains(&first) { format!("usr/{path}") } else { path.to_owned() }
}

fn modules(rootfs: &Rootfs, built: &Built, tar: &mut Filler, to: &Path) -> Result<(), RootError> {
    let deb = &built.kernel_package;
    let mut wrong = None;
    let chosen: Option<BTreeSet<String>> = match &rootfs.modules {
        None => None,
        Some(names) => {
            let mut all = Modules::default();
            let listed =
                |path: &str| below_modules(path).is_some_and(|(_, rest)| rest == "modules.builtin" || rest.contains(".ko"));
            package::read(deb, listed, |path, member| {
                if let (Member::File { bytes, .. }, None) = (member, &wrong) {
                    wrong = all.note(path, bytes).err();
                }
                Ok(())
            })?;
            if let Some(wrong) = wrong {
                return Err(wrong.into());
            }
            let order = all.closure(names.iter())?;
            Some(order.iter().filter_map(|name| all.get(name)).map(|m| m.path.clone()).collect())
        }
    };
    // depmod reads the other files of the folder: what is built in, and the order.
    let wanted = |path: &str| {
        below_modules(path)
            .is_some_and(|(_, rest)| chosen.as_ref().is_none_or(|chosen| chosen.contains(rest) || rest.starts_with("modules.")))
    };
    let mut failed = None;
    package::read(deb, wanted, |path, member| {
        if let (Member::File { bytes, .. }, None) = (member, &failed) {
            failed = tar.file(&merged(path), &bytes, false).err();
        }
        Ok(())
    })?;
    failed.map_or(Ok(()), |e| Err(file("write", to)(e)))
}

struct Filler {
    tar: tar::Builder<std::io::BufWriter<fs::File>>,
    epoch: u32,
    folders: BTreeSet<String>,
}

impl Filler {
    /// A file, after the folders above it that the tar has not named yet.
    fn file(&mut self, path: &str, bytes: &[u8], executable: bool) -> std::io::Result<()> {
        let ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
        for end in ends {
            let folder = path.get(..=end).unwrap_or_default();
            if self.folders.insert(folder.to_owned()) {
                self.add(folder, tar::EntryType::Directory, 0o755, &[])?;
            }
        }
        self.add(path, tar::EntryType::Regular, if executable { 0o755 } else { 0o644 }, bytes)
    }

    fn add(&mut self, path: &str, kind: tar::EntryType, mode: u32, bytes: &[u8]) -> std::io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(u64::from(self.epoch));
        header.set_size(bytes.len() as u64);
        self.tar.append_data(&mut header, path, bytes)
    }
}
