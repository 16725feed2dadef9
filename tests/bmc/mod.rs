//! Tests of `bmc`.

mod console;
mod console_peer;
pub mod console_rig;
mod ear;
mod follow_sim;
mod give_back;
mod ipmi_keeping;
mod ipmi_lossy;
mod ipmi_own_sim;
mod ipmi_pyghmi;
pub mod ipmi_rig;
mod ipmi_sensing;
mod ipmi_sim;
mod ipmi_sim_sensing;
mod ipmi_weather;
mod ipmi_wire;
mod redfish_keeping;
mod redfish_model;
#[cfg(feature = "old-tls")]
mod redfish_old_tls;
mod redfish_other_forms;
mod redfish_push;
mod redfish_reads;
mod redfish_sensing;
mod redfish_server;
mod redfish_simple_update;
pub mod redfish_sushy;
mod redfish_tls;
mod redfish_trees;
mod redfish_trust;
mod redfish_upload;
mod redfish_writes;
pub mod sensing_sim;
mod sol_exchange;
