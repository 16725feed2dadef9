//! The `ipmi-rs` crate as a client: suite 3 only, and it never asks for a privilege, so that control is refused (as on real BMCs).

use std::time::Duration;

use bringup::sim::Fault;
use ipmi_rs::app::GetDeviceId;
use ipmi_rs::connection::{IpmiCommand, Message, NetFn};
use ipmi_rs::rmcp::Rmcp;
use ipmi_rs::{Ipmi, IpmiError};

use super::rmcp_rig::{PASSWORD, Rig, USER};

/// Chassis Control "on", or Set Session Privilege Level.
struct Raw(NetFn, u8, Vec<u8>);

impl From<Raw> for Message {
    fn from(raw: Raw) -> Self {
        Message::new_request(raw.0, raw.1, raw.2)
    }
}

impl IpmiCommand for Raw {
    type Output = Vec<u8>;
    type Error = ();
    fn parse_success_response(data: &[u8]) -> Result<Vec<u8>, ()> {
        Ok(data.to_vec())
    }
}

fn connect(rig: &Rig, password: &str) -> Result<Ipmi<Rmcp>, String> {
    let mut rmcp = Rmcp::new(rig.address, Duration::from_secs(5)).map_err(|e| e.to_string())?;
    rmcp.activate(true, Some(USER), Some(password.as_bytes())).map_err(|e| format!("{e:?}"))?;
    Ok(Ipmi::new(rmcp))
}

#[test]
fn suite_3_and_its_limits() {
    // The crate binds [::]:0 only.
    if std::net::UdpSocket::bind("[::]:0").is_err() {
        crate::support::skip("rmcp_ipmi_rs::suite_3_and_its_limits", "IPv6");
        return;
    }
    let rig = Rig::new(&[]);
    let mut ipmi = connect(&rig, PASSWORD).unwrap();
    let device = ipmi.send_recv(GetDeviceId).map_err(|e| format!("{e:?}")).unwrap();
    assert_eq!((device.manufacturer_id, device.major_fw_revision), (10876, 1));
    let on = || Raw(NetFn::Chassis, 0x02, vec![0x01]);
    match ipmi.send_recv(on()) {
        Err(IpmiError::Failed { completion_code, .. }) => assert_eq!(format!("{completion_code:?}"), "InsufficientPrivilege"),
        other => panic!("{}", other.is_ok()),
    }
    assert!(!rig.machine.is_powered());
    assert_eq!(ipmi.send_recv(Raw(NetFn::App, 0x3b, vec![4])).ok(), Some(vec![4]));
    assert!(ipmi.send_recv(on()).is_ok());

    assert!(connect(&rig, "wrong").is_err());
    assert!(connect(&Rig::new(&[Fault::RakpBadHmac]), PASSWORD).is_err());
}
