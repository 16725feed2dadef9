//! The digest by which a netbooted node names its image.

use sha2::{Digest as _, Sha256};

use crate::model::{Digest, DiskImage, Image, Installable};

/// Digest of an image as it is booted: SHA-256 over kernel, initial RAM disks, root and command line, in this order.
#[must_use]
pub fn image_digest(image: &Image) -> Digest {
    let mut hash = Sha256::new();
    hash.update(format!("kernel {}\n", image.kernel.sha256));
    for initrd in &image.initrd {
        hash.update(format!("initrd {}\n", initrd.sha256));
    }
    if let Some(root) = &image.root {
        hash.update(format!("root {}\n", root.sha256));
    }
    for word in &image.cmdline {
        hash.update(format!("arg {word}\n"));
    }
    Digest::from_bytes(&hash.finalize().into())
}

/// Digest of an image that goes on a disk.
#[must_use]
pub fn install_digest(image: &Installable) -> Digest {
    match image {
        Installable::System(image) => image_digest(image),
        Installable::Disk(image) => disk_digest(image),
    }
}

/// Digest of an image of a whole disk: of what lies on the disk, however the file is packed.
fn disk_digest(image: &DiskImage) -> Digest {
    Digest::from_bytes(&Sha256::digest(format!("disk {}\n", image.content.sha256)).into())
}
