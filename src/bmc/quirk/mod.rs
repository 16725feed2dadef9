//! How BMCs of different makers differ, as data with evidence: vendor, model and firmware range → habits. Nothing in the client asks for a
//! vendor by name; it asks for a habit.
//!
//! | file | one idea |
//! |---|---|
//! | `quirks.yaml` | the data that ships with the program, each habit with its source |
//! | `habits` | every habit, its words and its default; **add yours here** |
//! | `word` | the words that habits are written in |
//! | `reader` | strict reading: a mistake names file, line and entry |
//! | `glob` `family` | names by pattern; firmware versions, which compare only inside a family |
//! | `profile` | which entries fit a BMC, and the habits that follow, with the reason of each |
//! | `memory` | what was learned at run time, kept per make of BMC and firmware |

mod family;
mod glob;
mod habits;
mod memory;
mod profile;
mod reader;
mod word;

pub use family::Family;
pub use glob::Glob;
pub use habits::{Habits, SetHabits};
pub use memory::{Forgetful, Learned, Make, Memory};
pub use profile::{Because, Profile, Seen};
pub use reader::{Entry, Fits, QuirkError, QuirkFile, Quirks, Source};
pub use word::{
    AcAction, AcCycle, BootPlace, Expand, MediaForm, MediaPlace, Part, Push, ResourceKind, TagStep, TaskAsk, UploadTargets,
};
