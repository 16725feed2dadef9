//! Tests of `bmc`.

mod ipmi_rig;
mod ipmi_sim;
mod redfish_model;
mod redfish_reads;
mod redfish_server;
mod redfish_sushy;
mod redfish_trees;
mod redfish_trust;
mod redfish_writes;
