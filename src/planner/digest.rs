//! What a netbooted node says of itself on its kernel command line, and the digest that it says.

use sha2::{Digest as _, Sha256};

use crate::model::{Digest, Image, PlanId};

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

/// What the kernel command line says about where the system came from: the image's digest and, when present, the plan.
#[must_use]
pub fn boot_mark(cmdline: &str) -> (Option<Digest>, Option<PlanId>) {
    let word = |key: &str| cmdline.split_whitespace().find_map(|w| w.strip_prefix(key).and_then(|v| v.strip_prefix('=')));
    let image = word("bringup.image").and_then(|v| Digest::new(v).ok());
    let plan = word("bringup.plan").and_then(|v| PlanId::new(v).ok());
    (image, plan)
}
