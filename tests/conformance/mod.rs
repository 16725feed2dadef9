//! The conformance suite: every row of `reference/firmware.md` §5 (RC-nn, IP-nn), placed at every request of a full bring-up, on three vendors'
//! profiles. Each group of rows is one file; `sweep` runs them all and prints the table row × profile.
//!
//! `cargo test --test all -- conformance:: --nocapture` prints the table. `BRINGUP_ROWS=RC-04,IP` runs the rows whose names begin so
//! and says how each ended;
//! `BRINGUP_SWEEP=full` places every fault at every request on every profile; `BRINGUP_SEED=N` is another seed.
//!
//! A group's file gives `pub fn rows() -> Vec<Row>` and is named once here and once in [`groups`].

mod auth;
mod bring_up;
mod caught;
mod dead;
mod etag;
mod flash;
mod hpm;
mod ipmi;
mod keeping;
mod power;
mod restart;
mod rig;
mod row;
mod settings;
mod shape;
mod sol;
mod story;
mod sweep;
mod table;
mod task;
mod transport;
mod update;

use row::Group;

/// All groups. `Group::of(rows)` is driven by a full bring-up; a group whose faults lie elsewhere (updates, media, the console) has its own
/// drive: `Group::driven(rows, drive)`. One file may give several groups.
fn groups() -> Vec<Group> {
    vec![
        Group::of(dead::rows()),
        Group::of(shape::rows()),
        Group::of(etag::rows()),
        Group::of(power::rows()),
        Group::driven(power::restart_rows(), restart::drive),
        Group::of(ipmi::rows()),
        Group::of(transport::rows()),
        Group::of(auth::rows()),
        Group::driven(task::rows(), flash::drive),
        Group::driven(update::rows(), flash::drive),
        Group::driven(settings::bios_rows(), settings::drive_bios),
        Group::driven(settings::media_rows(), settings::drive_media),
        Group::driven(sol::rows(), sol::drive),
        Group::driven(hpm::rows(), hpm::drive),
    ]
}
