//! What is in a cache's folder, by the order of its use, and what is on its way in. It knows lengths and removes files; it reads none.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::CacheError;
use crate::model::Digest;

/// Files that are held, and bytes that are awaited.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    kept: BTreeMap<Digest, Kept>,
    /// Counts uses.
    clock: u64,
    /// Bytes that are being fetched.
    pub(super) coming: u64,
    /// Bytes that came from upstream since the start.
    pub(super) fetched: u64,
}

#[derive(Debug)]
struct Kept {
    bytes: u64,
    used: u64,
}

impl Shelf {
    /// Files that are held.
    pub(super) fn files(&self) -> usize {
        self.kept.len()
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.kept.values().map(|kept| kept.bytes).sum()
    }

    /// Puts one on, as the one that was used last.
    pub(super) fn put(&mut self, digest: Digest, bytes: u64) {
        self.clock += 1;
        self.kept.insert(digest, Kept { bytes, used: self.clock });
    }

    /// Counts a use; false when it is not there.
    pub(super) fn touch(&mut self, digest: &Digest) -> bool {
        self.clock += 1;
        let clock = self.clock;
        self.kept.get_mut(digest).map(|kept| kept.used = clock).is_some()
    }

    /// Takes one out, and its file. Whoever is being sent it holds it open, and gets it whole.
    pub(super) fn remove(&mut self, digest: &Digest, folder: &Path) {
        self.kept.remove(digest);
        drop(std::fs::remove_file(folder.join(digest.as_str())));
    }

    /// Takes out the longest unused; false when there is none.
    pub(super) fn remove_oldest(&mut self, folder: &Path) -> bool {
        let Some(oldest) = self.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(digest, _)| digest.clone()) else {
            return false;
        };
        self.remove(&oldest, folder);
        true
    }

    /// Takes out the longest unused until so many bytes fit, and counts them as coming.
    pub(super) fn make_room(&mut self, bytes: u64, limit: u64, folder: &Path) -> Result<(), CacheError> {
        let room = limit.saturating_sub(self.coming);
        if bytes > room {
            return Err(CacheError::NoRoom { bytes, room });
        }
        while self.bytes() > room - bytes && self.remove_oldest(folder) {}
        self.coming += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(n: u8) -> Digest {
        Digest::from_bytes(&[n; 32])
    }

    proptest! {
        /// Whatever comes in which order, what is held and what is coming are within the limit, and what was used last is there.
        #[test]
        fn never_more_than_the_limit(asked in proptest::collection::vec((0_u8..12, 1_u64..60), 1..60)) {
            let folder = Path::new("/nonexistent");
            let mut shelf = Shelf::default();
            for (n, bytes) in asked {
                let want = digest(n);
                if shelf.touch(&want) {
                    continue;
                }
                match shelf.make_room(bytes, 50, folder) {
                    Ok(()) => {
                        prop_assert!(shelf.bytes() + shelf.coming <= 50);
                        shelf.coming -= bytes;
                        shelf.put(want.clone(), bytes);
                        prop_assert!(shelf.touch(&want));
                    }
                    Err(_) => prop_assert!(bytes > 50),
                }
                prop_assert!(shelf.bytes() <= 50);
            }
        }
    }
}
