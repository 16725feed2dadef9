//! The files that there are: a closed list of names, each with bytes in memory and their SHA-256. A request chooses from it and never reaches a path.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::boot::loaders::{GRUB, Loaders};
use crate::model::Digest;

/// Longest file; TFTP is for loaders, and every byte lies in memory.
const LONGEST: u64 = 64 << 20;

/// Why a file cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// It is there and cannot be read.
    #[error("read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// None of the loaders is there.
    #[error("{0} holds no iPXE loader (snponly.efi, ipxe.efi, undionly.kpxe)")]
    None(PathBuf),
    /// It is empty, or larger than 64 MiB.
    #[error("{name} has {bytes} bytes; TFTP offers files of 1 byte to 64 MiB")]
    Size {
        /// Its name.
        name: String,
        /// What it has, as far as was read.
        bytes: u64,
    },
    /// It is not what was planned.
    #[error("{name} has SHA-256 {found}, not {want}")]
    Digest {
        /// Its name.
        name: String,
        /// What it is.
        found: Digest,
        /// What it must be.
        want: Digest,
    },
}

/// One file in memory; what was hashed is what is sent.
#[derive(Debug)]
pub struct VirtualFile {
    name: String,
    bytes: Vec<u8>,
    sha256: Digest,
}

impl VirtualFile {
    /// Its name, as a request must write it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Digest of its bytes.
    #[must_use]
    pub fn sha256(&self) -> &Digest {
        &self.sha256
    }
}

/// The files of a server. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Files(BTreeMap<String, Arc<VirtualFile>>);

impl Files {
    /// Reads the pinned loaders into memory; later changes of their folder change nothing here. GRUB is not among them: it is for media.
    ///
    /// # Errors
    /// [`FilesError`]: there is none, or one cannot be read or was changed since it was found.
    pub fn loaders(loaders: &Loaders) -> Result<Self, FilesError> {
        let mut files = Self::default();
        for loader in loaders.iter().filter(|loader| loader.name != GRUB) {
            let path = &loader.artifact.path;
            let read = |source| FilesError::Read { path: path.clone(), source };
            let mut bytes = Vec::new();
            std::fs::File::open(path).map_err(read)?.take(LONGEST + 1).read_to_end(&mut bytes).map_err(read)?;
            files.put(loader.name, bytes, Some(&loader.artifact.sha256))?;
        }
        if files.0.is_empty() { Err(FilesError::None(loaders.folder().to_owned())) } else { Ok(files) }
    }

    /// Offers a file under a name; with a digest only when it is that file.
    ///
    /// # Errors
    /// [`FilesError::Size`] or [`FilesError::Digest`]; it is not offered then.
    pub fn put(&mut self, name: &str, bytes: Vec<u8>, pinned: Option<&Digest>) -> Result<(), FilesError> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if !(1..=LONGEST).contains(&length) {
            return Err(FilesError::Size { name: name.to_owned(), bytes: length });
        }
        let sha256 = Digest::from_bytes(&Sha256::digest(&bytes).into());
        if let Some(want) = pinned.filter(|want| **want != sha256) {
            return Err(FilesError::Digest { name: name.to_owned(), found: sha256, want: want.clone() });
        }
        self.0.insert(name.to_owned(), Arc::new(VirtualFile { name: name.to_owned(), bytes, sha256 }));
        Ok(())
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &VirtualFile> {
        self.0.values().map(|file| &**file)
    }

    /// The file of exactly this name. Trailing 0xFF bytes are read over: some UEFI ROMs take the DHCP options' end mark into the name when the
    /// DHCP server does not end option 67 with a NUL (netboot.xyz docs, "TFTP Filename Interpretation Issues").
    pub(super) fn find(&self, asked: &[u8]) -> Option<Arc<VirtualFile>> {
        let end = asked.iter().rposition(|b| *b != 0xff).map_or(0, |last| last + 1);
        let name = asked.get(..end).and_then(|name| std::str::from_utf8(name).ok())?;
        self.0.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_the_list_are_found() {
        let mut files = Files::default();
        files.put("ipxe.efi", b"loader".to_vec(), None).unwrap();
        for name in [&b"ipxe.efi"[..], b"ipxe.efi\xff", b"ipxe.efi\xff\xff\xff"] {
            assert_eq!(files.find(name).unwrap().bytes(), b"loader");
        }
        for name in [
            &b""[..],
            b"\xff",
            b"/ipxe.efi",
            b"./ipxe.efi",
            b"../ipxe.efi",
            b"IPXE.EFI",
            b"ipxe.efi/",
            b"ipxe\xff.efi",
            b"/etc/passwd",
        ] {
            assert!(files.find(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn a_pinned_file_is_that_file_or_none() {
        let mut files = Files::default();
        let want = Digest::from_bytes(&Sha256::digest(b"loader").into());
        files.put("a", b"loader".to_vec(), Some(&want)).unwrap();
        let refused = files.put("b", b"loadex".to_vec(), Some(&want)).unwrap_err();
        assert!(matches!(refused, FilesError::Digest { .. }) && files.find(b"b").is_none());
        assert!(matches!(files.put("c", Vec::new(), None), Err(FilesError::Size { bytes: 0, .. })));
    }

    #[test]
    fn a_folder_without_loaders_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let loaders = || Loaders::open(dir.path(), None).unwrap();
        assert!(matches!(Files::loaders(&loaders()), Err(FilesError::None(_))));
        std::fs::write(dir.path().join("undionly.kpxe"), b"bios").unwrap();
        std::fs::write(dir.path().join("secret"), b"secret").unwrap();
        std::fs::write(
            dir.path().join("loaders.lock"),
            format!("{}  undionly.kpxe\n", Digest::from_bytes(&Sha256::digest(b"bios").into())),
        )
        .unwrap();
        let pinned = loaders();
        let files = Files::loaders(&pinned).unwrap();
        assert_eq!(files.iter().map(VirtualFile::name).collect::<Vec<_>>(), ["undionly.kpxe"]);
        std::fs::write(dir.path().join("undionly.kpxe"), b"changed").unwrap();
        assert_eq!(files.find(b"undionly.kpxe").unwrap().bytes(), b"bios");
        assert!(matches!(Files::loaders(&pinned), Err(FilesError::Digest { .. })), "it was swapped since it was found");
    }
}
