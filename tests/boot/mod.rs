//! The boot server against clients that others wrote (curl, dhclient, busybox, iPXE), and against peers that mean harm.

mod claims;
mod dhcp_any;
mod dhcp_clients;
mod dhcp_flood;
pub mod dhcp_lab;
mod dhcp_rules;
mod files;
mod grants;
mod hostile;
mod http;
mod identity;
mod medium;
mod own_certificate;
mod record;
mod site;
mod storm;
mod tftp;
mod told;
mod verb;
