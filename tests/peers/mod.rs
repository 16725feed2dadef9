//! The binary against machines, BMCs, DHCP and SSH servers that other people wrote; see README.md in this folder. These tests need root
//! on Debian 12 and what `tests/run` sets up; without it each says that it is skipped.

mod arm;
mod boots;
mod brought;
mod cabling;
mod cached;
mod diskless;
mod diskless_refused;
mod faults;
mod identity;
mod install;
mod installed;
mod lab;
mod login;
mod media;
mod node_image;
mod ramdisk;
mod roads;
mod silent;
mod trust;
mod verbs;
mod whole_disk;
mod words;
