//! Words: YAML and CSV files into the nouns of `model`, every mistake at once with file, line and column. Pure and sync; it reads the
//! files that it is pointed at and does nothing else: no network, no clock (the caller says what day it is), no writing.
//!
//! | file | idea |
//! |---|---|
//! | [`source`] | the texts that were read, bounded, with their digests |
//! | [`diagnostic`] | one mistake, and all of them together |
//! | [`render`] | mistakes for people, with the offending line, and as JSON |
//! | [`yaml`] | text to a tree that knows where each value stands |
//! | [`decode`] | tree to typed fields; unknown keys are mistakes, and reading goes on after one |
//! | [`range`] | `a[001-275]-s*`: names out of patterns, and patterns out of names |
//! | [`expression`], [`address`] | `{slot:02}` and `cidr(10.{row}.0.0/16, (n-1)*16+slot)` |
//! | [`setting`], `site` | what each layer may say; the intent as written |
//! | [`csv`], [`facts`], [`cabling`] | one row a node, one row a cable |
//! | `patch` | what belongs elsewhere in them, as a unified diff |
//! | `blueprint`, `expand`, `identity` | layers added up, nodes made, duplicates found |
//! | [`inventory`], [`why`] | the way in; which line set which field |
//! | [`mod@select`] | `rack=a017 & accel=nvidia - label:hold` |
//! | `playbook`, `rollout`, `image`, `diskimage`, `stack`, `policy`, `artifact` | the files beside the inventory, one each |
//! | `ramdisk`, `rootfs`, `lock` | what the bring-up ramdisk and a node's root are made of, and their packages by digest |
//! | `unit`, `words` | `10m`, `2%`, argument vectors |
//! | [`library`] | playbooks with all that they name, each file read once |
//! | [`agree`] | playbook against inventory, and both against the gate's words |
//! | [`mod@diff`], [`risk`], `flat` | two inventories compared, grouped by cause |
//! | [`shape`], [`shape_site`], [`shape_ramdisk`], [`shape_rootfs`], [`shape_install`], [`schema`] | the same files as JSON Schema |
//! | [`starter`] | what `init` writes |

pub mod address;
pub mod agree;
mod artifact;
mod blueprint;
pub mod cabling;
pub mod code;
mod conceal;
pub mod csv;
pub mod decode;
pub mod diagnostic;
pub mod diff;
mod diskimage;
mod expand;
pub mod expression;
pub mod facts;
mod flat;
mod grouped;
mod identity;
mod image;
mod install;
pub mod inventory;
mod lan;
pub mod library;
mod lock;
mod patch;
mod playbook;
mod policy;
mod ramdisk;
pub mod range;
pub mod render;
pub mod risk;
mod rollout;
mod rootfs;
pub mod schema;
pub mod select;
pub mod setting;
pub mod shape;
pub mod shape_install;
pub mod shape_ramdisk;
pub mod shape_rootfs;
pub mod shape_site;
mod site;
pub mod source;
mod stack;
pub mod starter;
pub mod suggest;
mod unit;
pub mod why;
mod words;
pub mod yaml;

pub use agree::{Gate, validate_words};
pub use artifact::{ArtifactError, check as check_artifact};
pub use decode::{Fields, Spanned};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use inventory::{LoadedInventory, load_inventory, load_inventory_without_facts};
pub use library::{Definition, LoadedDefinition, LoadedPlaybook, load_definition, load_playbook};
pub use range::fold;
pub use select::{SelectError, select};
pub use source::{FileId, Place, Sources, Span};
pub use suggest::nearest;
pub use why::Provenance;
