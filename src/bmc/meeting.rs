//! Meeting a BMC for the first time: what it tells everybody, and the hardware addresses that it tells those who log in.

use async_trait::async_trait;

use super::{Bmc, BmcError, lacks};
use crate::model::{Digest, Mac, Reading};

/// What a BMC tells whoever asks, without a login. Nothing of it is proven.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Greeting {
    /// Maker, as the service root says (DSP0266 `ServiceRoot.Vendor`).
    pub vendor: Reading<String>,
    /// Product, as the service root says.
    pub product: Reading<String>,
    /// UUID of the service (of the BMC, not of the node).
    pub uuid: Reading<String>,
    /// Version of the protocol.
    pub protocol: Reading<String>,
    /// SHA-256 of the certificate that was shown; `None` without TLS.
    pub certificate: Option<Digest>,
    /// SHA-256 of that certificate's key (SubjectPublicKeyInfo).
    pub certificate_key: Option<Digest>,
}

/// Hardware addresses.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Macs {
    /// The BMC's own interfaces.
    pub bmc: Reading<Vec<Mac>>,
    /// The node's interfaces, as far as the BMC knows them.
    pub node: Reading<Vec<Mac>>,
}

/// The meeting half of a BMC.
#[async_trait]
pub trait Meeting: Bmc {
    /// Hardware addresses of the BMC and of its node.
    async fn macs(&self) -> Result<Macs, BmcError> {
        Err(lacks("read hardware addresses"))
    }
}
