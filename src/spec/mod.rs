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

mod agree;
mod artifact;
pub mod code;
mod conceal;
pub mod decode;
pub mod diagnostic;
pub mod diff;
mod flat;
mod image;
mod library;
mod playbook;
mod policy;
pub mod render;
pub mod risk;
mod rollout;
pub mod schema;
pub mod shape;
pub mod shape_site;
pub mod source;
mod stack;
pub mod starter;
pub mod suggest;
mod unit;
mod words;
pub mod yaml;

pub use agree::{Gate, validate_words};
pub use artifact::{ArtifactError, check as check_artifact};
pub use decode::{Fields, Spanned};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use library::{LoadedPlaybook, load_playbook};
pub use source::{FileId, Place, Sources, Span};
pub use suggest::nearest;
