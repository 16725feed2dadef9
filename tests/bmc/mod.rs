//! Tests of `bmc`.

mod redfish_faults;
mod redfish_model;
mod redfish_server;
mod ipmi_rig;
mod ipmi_sim;
