//! One simulated node with its faults, and a client of its BMC with short limits. It asserts nothing.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bringup::bmc::ipmi::{Account, IpmiBmc, Lan};
use bringup::bmc::redfish::{Limits, Redfish, RedfishOptions, UpdateLimits};
use bringup::bmc::{Password, WholeBmc};
use bringup::model::{BmcProtocol, BmcTrust, PowerState};
use bringup::sim::farm::{BMC_USER, SimNode};
use bringup::sim::{Farm, FarmSpec, Fault, MachineHandle, Seed, profile};

/// Virtual seconds in a real one: a POST of 180 s takes 18 ms.
pub const SPEED: u32 = 10_000;

/// A node, its BMC, and a client.
pub struct Rig {
    pub farm: Farm,
    pub bmc: Arc<dyn WholeBmc>,
    pub protocol: BmcProtocol,
}

/// Bounds that are far above what the simulator needs and far below what a test may take.
pub fn limits() -> Limits {
    Limits {
        connect: Duration::from_secs(2),
        request: Duration::from_millis(2500),
        inventory: Duration::from_millis(1500),
        idle: Duration::from_millis(400),
        stall: Duration::from_millis(250),
        pause: Duration::from_millis(2),
        retry_after: (Duration::from_millis(2), Duration::from_millis(50)),
        poll: (Duration::from_millis(2), Duration::from_millis(20)),
        dark: (Duration::from_millis(20), Duration::from_secs(1)),
        restart: Duration::from_millis(300),
        post: Duration::from_secs(2),
        update: UpdateLimits {
            grace: Duration::from_millis(300),
            stall: Duration::from_secs(2),
            lag: Duration::from_millis(600),
            silent: Duration::from_millis(500),
            answer: Duration::from_secs(2),
            gap: Duration::from_millis(20),
        },
        ..Limits::default()
    }
}

/// Reads faults as `--fault` does.
#[allow(dead_code, reason = "for the rows' own assertions")]
pub fn faults(texts: &[&str]) -> Vec<Fault> {
    texts.iter().map(|text| text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))).collect()
}

impl Rig {
    /// Starts one running node of this vendor (`dell`, `supermicro`, `ami`) with these faults.
    pub async fn start(protocol: BmcProtocol, vendor: &str, faults: &[Fault], seed: u64) -> Self {
        let mut spec = FarmSpec::racks(1, 1, Seed(seed), false).unwrap();
        spec.speed = SPEED;
        let node = &mut spec.nodes[0];
        node.profile = profile::by_name(vendor).unwrap();
        node.protocol = protocol;
        node.running = true;
        node.faults = faults.to_vec();
        let farm = Farm::start(spec).await.unwrap();
        let bmc: Arc<dyn WholeBmc> = match protocol {
            BmcProtocol::Redfish => Arc::new(Redfish::new(redfish(&farm)).unwrap()),
            BmcProtocol::Ipmi => Arc::new(ipmi(&farm)),
        };
        Self { farm, bmc, protocol }
    }

    /// The node.
    pub fn node(&self) -> &SimNode {
        &self.farm.nodes()[0]
    }

    /// Its machine: what is really so.
    pub fn machine(&self) -> &MachineHandle {
        &self.node().machine
    }

    /// What the BMC may truly say of the power now: IPMI has one bit for four states.
    pub fn power(&self) -> PowerState {
        match (self.protocol, self.machine().power_state()) {
            (BmcProtocol::Ipmi, PowerState::On | PowerState::PoweringOff) => PowerState::On,
            (BmcProtocol::Ipmi, PowerState::Off | PowerState::PoweringOn) => PowerState::Off,
            (BmcProtocol::Redfish, state) => state,
        }
    }

    /// Everything that must be in no text: the password, its Basic form, and every token that the BMC may have given out.
    pub fn secrets(&self) -> Vec<String> {
        let password = self.farm.bmc_password();
        let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
        let identity = self.machine().identity();
        let tokens = (1..=64).map(|n| identity.seed.hex(&format!("{}/token/{n}", identity.node), 32));
        tokens.chain([password.to_owned(), encode(format!("{BMC_USER}:{password}")), encode(password.to_owned())]).collect()
    }
}

/// Options of a Redfish client that knows this node's facts.
pub fn redfish(farm: &Farm) -> RedfishOptions {
    let node = &farm.nodes()[0];
    let trust = node.certificate.clone().map_or(BmcTrust::Plaintext, BmcTrust::Pinned);
    let mut options = RedfishOptions::new(node.bmc, BMC_USER, Password::new(farm.bmc_password()), trust);
    options.expect_serial = Some(node.machine.identity().recorded_serial.clone());
    options.limits = limits();
    options
}

/// An IPMI client of this node.
pub fn ipmi(farm: &Farm) -> IpmiBmc {
    let account = Account::new(BMC_USER, Password::new(farm.bmc_password()), None).unwrap();
    IpmiBmc::new(Lan::new(), farm.nodes()[0].bmc, account).with_patience(Duration::from_secs(3))
}
