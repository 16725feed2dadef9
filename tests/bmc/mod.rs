//! Tests of `bmc`.

mod ipmi_rig;
mod ipmi_sim;
mod ipmi_lossy;
mod ipmi_wire;
