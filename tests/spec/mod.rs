//! Tests of `spec`: what a person who writes a wrong file is told, and that no input can make it panic.

mod cabling;
mod diff;
mod diskimage;
mod examples;
mod expansion;
pub mod fixture;
mod init;
mod mistakes;
mod playbook;
mod properties;
mod ramdisk;
mod rootfs;
mod schema;
mod selecting;
mod verbs;
