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

pub mod code;
mod conceal;
pub mod decode;
pub mod diagnostic;
pub mod render;
pub mod source;
pub mod suggest;
pub mod yaml;

pub use decode::{Fields, Spanned};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use source::{FileId, Place, Sources, Span};
pub use suggest::nearest;
