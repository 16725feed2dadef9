//! Tests of `cli`.

mod bad_help;
mod bad_journal;
mod bad_plan;
pub mod bad_rig;
mod bad_run;
mod bad_secret;
mod bad_words;
mod bmc_doctor;
mod cabling;
mod cert;
mod console;
mod discover;
mod firmware;
mod gate;
mod hand;
mod image;
mod install;
mod keep;
mod power;
mod power_ipmi;
mod quirks;
mod sel;
mod sel_follow;
mod sessions;
mod silent;
mod sol_beside;
mod trust;
