//! Tests of `bmc`.

mod follow_sim;
mod give_back;
mod ipmi_lossy;
mod ipmi_own_sim;
pub mod ipmi_rig;
mod ipmi_sim;
mod ipmi_wire;
mod redfish_model;
mod redfish_reads;
mod redfish_sensing;
mod redfish_server;
mod redfish_sushy;
mod redfish_trees;
mod redfish_trust;
mod redfish_writes;
pub mod sensing_sim;
