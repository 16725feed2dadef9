//! The files that were put on a simulated system: name, size, digest, mode, and the content of small ones. Bounded; never a file of this machine.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// Files that a system takes.
const MOST: usize = 512;
/// Content that is kept of a file; larger ones are known by their digest alone.
const KEPT: usize = 64 * 1024;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 as hex.
    pub sha256: String,
    /// Permission bits.
    pub mode: u32,
    /// Content, when small.
    pub content: Option<Vec<u8>>,
}

/// All files that were put.
#[derive(Debug, Default)]
pub struct Files {
    by_path: BTreeMap<String, File>,
}

impl Files {
    /// A file.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&File> {
        self.by_path.get(path)
    }

    /// A file, to change its mode.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut File> {
        self.by_path.get_mut(path)
    }

    /// Puts a file; false when the disk is full.
    pub fn put(&mut self, path: &str, file: File) -> bool {
        let room = self.by_path.len() < MOST || self.by_path.contains_key(path);
        if room {
            self.by_path.insert(path.to_owned(), file);
        }
        room
    }

    /// Removes a file.
    pub fn remove(&mut self, path: &str) -> Option<File> {
        self.by_path.remove(path)
    }
}

/// A file on its way in.
pub struct Arriving {
    hash: Sha256,
    bytes: u64,
    kept: Vec<u8>,
}

impl Default for Arriving {
    fn default() -> Self {
        Self { hash: Sha256::new(), bytes: 0, kept: Vec::new() }
    }
}

impl Arriving {
    /// More of it.
    pub fn take(&mut self, data: &[u8]) {
        self.hash.update(data);
        self.bytes = self.bytes.saturating_add(data.len() as u64);
        let room = (KEPT + 1).saturating_sub(self.kept.len()).min(data.len());
        self.kept.extend_from_slice(data.get(..room).unwrap_or_default());
    }

    /// All of it.
    #[must_use]
    pub fn end(self, mode: u32) -> File {
        let hash: [u8; 32] = self.hash.finalize().into();
        let sha256 = hash.iter().map(|b| format!("{b:02x}")).collect();
        let content = (self.kept.len() <= KEPT).then_some(self.kept);
        File { bytes: self.bytes, sha256, mode, content }
    }
}
