//! Tests of `sim`.

mod rmcp_freeipmi;
mod rmcp_ipmi_rs;
mod rmcp_ipmitool;
mod rmcp_rig;
mod rmcp_wire;
