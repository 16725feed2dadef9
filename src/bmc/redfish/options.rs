//! How one BMC is reached, by whom, and what must be so before it is written to. Data and the constructor only; connecting comes later.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use super::Redfish;
use super::acquaint::Acquaintance;
use super::authority::Authority;
use super::book::SessionBook;
use super::client::Client;
use super::dial::Dialer;
use super::error::{malformed, unsupported};
use super::limits::Limits;
use super::manners::Manners;
use super::pace::{Pace, Paces};
use super::session::Login;
use super::system::Expected;
use super::transport::Transport;
use super::trust::{FirstContact, Trust};
use crate::bmc::quirk::{Forgetful, Memory, Quirks};
use crate::bmc::{BmcError, Password};
use crate::model::{BasicLogin, BmcTrust};

/// What [`Redfish::new`] needs to know.
pub struct RedfishOptions {
    /// Address and port of the service.
    pub address: SocketAddr,
    /// `Host` header; `None`: the address, with the port when it is not the scheme's own (RC-12).
    pub host_header: Option<String>,
    /// Account on the BMC.
    pub user: String,
    /// Its password.
    pub password: Password,
    /// What makes the BMC trusted.
    pub trust: BmcTrust,
    /// What to do when no certificate is recorded.
    pub first_contact: FirstContact,
    /// Id or path of the system to drive, when the inventory names one.
    pub system: Option<String>,
    /// Serial number of the node from the facts. A system that says another one is never written to.
    pub expect_serial: Option<String>,
    /// UUID of the node from the facts, in either byte order.
    pub expect_uuid: Option<String>,
    /// The site's certificate authority, for [`BmcTrust::Authority`]; without it nothing is accepted then.
    pub authority: Option<Authority>,
    /// TLS of the wrong age is allowed (RC-02, RC-03); needs a build with the feature `old-tls`.
    pub old_tls: bool,
    /// When the password may go with each request.
    pub basic: BasicLogin,
    /// Where sessions are written down while they are open; `None`: a killed process leaves them to the BMC's own timeout.
    pub book: Option<Arc<SessionBook>>,
    /// What is known of the pace of classes of BMCs; shared by the clients of a process.
    pub paces: Arc<Paces>,
    /// Times and sizes.
    pub limits: Limits,
    /// How BMCs differ; `None`: as the program ships.
    pub quirks: Option<Arc<Quirks>>,
    /// Where what is learned of a make is kept.
    pub memory: Arc<dyn Memory>,
}

impl RedfishOptions {
    /// Options with the usual limits; first contact is refused, and nothing is expected of the node.
    #[must_use]
    pub fn new(address: SocketAddr, user: impl Into<String>, password: Password, trust: BmcTrust) -> Self {
        Self {
            address,
            host_header: None,
            user: user.into(),
            password,
            trust,
            first_contact: FirstContact::Refuse,
            system: None,
            expect_serial: None,
            expect_uuid: None,
            authority: None,
            old_tls: false,
            basic: BasicLogin::default(),
            book: None,
            paces: Arc::default(),
            limits: Limits::default(),
            quirks: None,
            memory: Arc::new(Forgetful::default()),
        }
    }
}

impl Redfish {
    /// A client of one BMC. Nothing is sent before the first question.
    ///
    /// # Errors
    /// When the `Host` header cannot be sent, TLS cannot be set up, or the quirks that ship cannot be read.
    pub fn new(options: RedfishOptions) -> Result<Self, BmcError> {
        let doing = format!("prepare Redfish for {}", options.address);
        let trust = Trust::new(&options.trust, options.first_contact, options.authority);
        let host = options.host_header.unwrap_or_else(|| host(options.address, trust.tls()));
        let manners = Manners::new(&host, trust.tls())
            .map_err(|_| malformed(&doing, "the Host header holds characters that cannot be sent"))?;
        let dialer = Dialer::new(options.address, trust.clone(), options.old_tls)
            .map_err(|e| BmcError { source: Some(e), ..unsupported(&doing, "TLS cannot be set up") })?;
        let transport = Transport::new(dialer, options.limits.clone());
        let quirks = match options.quirks {
            Some(quirks) => quirks,
            None => Quirks::built_in()
                .map_err(|e| BmcError { source: Some(e.into()), ..malformed(&doing, "the quirks cannot be read") })?,
        };
        let login = Login {
            bmc: options.address,
            user: options.user,
            password: options.password,
            basic: options.basic,
            book: options.book,
            wary: true,
        };
        let (pace, kin) = (Pace::new(options.paces), Acquaintance::new(quirks, options.memory));
        Ok(Self {
            client: Client::new(transport, trust, options.limits, login, manners, pace, kin),
            expected: Expected { system: options.system, serial: options.expect_serial, uuid: options.expect_uuid },
            system: OnceLock::new(),
            logs: super::log::Found::default(),
        })
    }
}

fn host(address: SocketAddr, tls: bool) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    if address.port() == if tls { 443 } else { 80 } { ip } else { format!("{ip}:{}", address.port()) }
}
