//! Tests of `bmc`.

mod ipmi_rig;
mod ipmi_sim;
