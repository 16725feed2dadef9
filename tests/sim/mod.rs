//! Tests of `sim`: the automaton by itself, then each server under clients that other people wrote.

mod farm;
mod login;
mod machine;
mod redfish;
mod redfish_keep;
mod rmcp_bad;
mod rmcp_console;
mod rmcp_freeipmi;
mod rmcp_hpm;
mod rmcp_inside;
mod rmcp_ipmi_rs;
mod rmcp_ipmitool;
mod rmcp_replay;
mod rmcp_rig;
mod rmcp_sensing;
mod rmcp_wire;
mod rom;
mod site;
mod validators;
mod whole;
