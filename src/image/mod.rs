//! Boot images, made from Debian packages on any machine: no container, nothing installed, no root for a ramdisk. Same definition, same lock, same
//! version of `bringup`: same bytes, wherever and whenever.
//!
//! | file | idea |
//! |---|---|
//! | [`ramdisk`] | the build, from a definition and its lock to kernel and initrd |
//! | [`rootfs`] | the root file system of a node as squashfs, by `mmdebstrap` and `mksquashfs` |
//! | [`manifest`] | the `image/v1` file and the lock as text |
//! | [`debian`] | packages resolved, and fetched by digest, by apt with a state of its own |
//! | `package` | one `.deb` as a stream of files; hostile ones are refused, modes and owners are ours |
//! | `pattern` | `usr/lib/*/libz.so.1*` |
//! | `tree` | what will be in the ramdisk, in memory only |
//! | `module` | which kernel modules go in, and the indexes that `modprobe` reads |
//! | `object` | what a program or a module says that it needs |
//! | [`cpio`] | the archive that a kernel unpacks |
//! | [`mod@identity`] | the initrd that brings one boot its SSH keys |
//! | `inside/` | what runs in the ramdisk: init, the lease script, the way on to a root, `bringup-report` |
//!
//! For a ramdisk nothing of a package is ever written to this machine's file system or run on it; a root is installed, in a file system of its own.
//! No key is ever put into an image.

pub mod cpio;
pub mod debian;
pub mod identity;
pub mod manifest;
mod module;
mod object;
mod package;
mod pattern;
pub mod ramdisk;
pub mod rootfs;
mod tree;

pub use debian::{Cache, FetchError};
pub use identity::{IdentityError, identity};
pub use ramdisk::{BuildError, Built, build};
