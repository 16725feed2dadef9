//! The scripts that run inside the images, each by itself with the interpreter that runs it there.

mod lease;
mod report;
