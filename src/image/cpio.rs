//! The "newc" archive that Linux unpacks as its first file system (Documentation/driver-api/early-userspace/buffer-format.rst). Only what a
//! ramdisk needs: folders, files and links, owned by root. Nothing of the machine that writes it goes in: no inode, device, owner or clock.

/// One entry's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'a> {
    /// A folder.
    Folder,
    /// A file.
    File(&'a [u8]),
    /// A symbolic link and where it leads.
    Link(&'a str),
}

/// A name or content that the format cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` does not fit into an initrd: {why}")]
pub struct CpioError {
    name: String,
    why: &'static str,
}

/// Longest name with its NUL: the kernel skips longer ones without a word (`PATH_MAX` in init/initramfs.c).
const NAME_MAX: usize = 4096;

/// Writes entries in the order in which they come; a folder must come before what is in it.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    count: u32,
    mtime: u32,
}

impl Archive {
    /// An archive whose entries all have this time, in seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn new(mtime: u32) -> Self {
        Self { bytes: Vec::new(), count: 0, mtime }
    }

    /// Adds an entry. `mode` holds permission bits only.
    ///
    /// # Errors
    /// An empty or overlong name, a NUL in it, or a file of 4 GiB or more.
    pub fn add(&mut self, name: &str, mode: u32, content: &Content<'_>) -> Result<(), CpioError> {
        let refuse = |why| CpioError { name: name.escape_debug().take(80).collect(), why };
        if name.is_empty() || name.contains('\0') || name.len() >= NAME_MAX {
            return Err(refuse("its name is empty, too long or holds a NUL"));
        }
        let (kind, data): (u32, &[u8]) = match content {
            Content::Folder => (0o040_000, &[]),
            Content::File(bytes) => (0o100_000, bytes),
            Content::Link(to) if to.is_empty() || to.contains('\0') || to.len() >= NAME_MAX => {
                return Err(refuse("its target is empty, too long or holds a NUL"));
            }
            Content::Link(to) => (0o120_000, to.as_bytes()),
        };
        let size = u32::try_from(data.len()).map_err(|_| refuse("it has 4 GiB or more"))?;
        self.count = self.count.saturating_add(1);
        // A number for each entry, so that none is taken for a hard link of another.
        self.header(self.count, kind | (mode & 0o7777), if kind == 0o040_000 { 2 } else { 1 }, self.mtime, size, name);
        self.bytes.extend_from_slice(data);
        self.pad();
        Ok(())
    }

    /// The archive with its trailer.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.header(0, 0, 1, 0, 0, "TRAILER!!!");
        self.bytes
    }

    fn header(&mut self, inode: u32, mode: u32, links: u32, mtime: u32, size: u32, name: &str) {
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(b"070701");
        // Inode, mode, owner, group, links, time, size, device, device of a node, size of the name, no checksum.
        for field in [inode, mode, 0, 0, links, mtime, size, 0, 0, 0, 0, name_size, 0] {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_in_full() {
        let mut archive = Archive::new(0x5f);
        archive.add("a", 0o755, &Content::Folder).unwrap();
        archive.add("a/b", 0o644, &Content::File(b"hello")).unwrap();
        archive.add("l", 0o777, &Content::Link("a/b")).unwrap();
        let text = String::from_utf8(archive.finish()).unwrap();
        let zero = "0".repeat(8);
        let head = |inode: &str, mode: &str, links: &str, time: &str, size: &str, name: &str| {
            format!(
                "070701000000{inode}{mode}{zero}{zero}0000000{links}000000{time}0000000{size}{zero}{zero}{zero}{zero}000000{name}{zero}"
            )
        };
        let want = [
            head("01", "000041ed", "2", "5f", "0", "02") + "a\0",
            head("02", "000081a4", "1", "5f", "5", "04") + "a/b\0\0\0hello\0\0\0",
            head("03", "0000a1ff", "1", "5f", "3", "02") + "l\0a/b\0",
            head("00", "00000000", "1", "00", "0", "0b") + "TRAILER!!!\0\0\0\0",
        ];
        assert_eq!(text, want.concat());
        assert!(text.len().is_multiple_of(4));
    }

    #[test]
    fn what_the_kernel_would_pass_over_is_refused() {
        let mut archive = Archive::new(0);
        for name in ["", "a\0b", &"x".repeat(4096)] {
            assert!(archive.add(name, 0o644, &Content::File(b"")).is_err(), "{}", name.len());
        }
        assert!(archive.add("l", 0o777, &Content::Link("")).is_err());
        assert!(archive.add(&"x".repeat(4095), 0o644, &Content::File(b"")).is_ok());
    }
}
