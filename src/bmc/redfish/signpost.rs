//! Where the root says that a service is. It asks and follows; it composes no path.

use super::client::Client;
use super::error::unsupported;
use super::json;
use super::session::ROOT;
use crate::bmc::BmcError;

impl Client {
    /// The path of a service that the root names, such as `AccountService`.
    pub(super) async fn service(&self, name: &str) -> Result<String, BmcError> {
        let root = self.get(ROOT).await?;
        json::link(&root.value, name).ok_or_else(|| unsupported(&format!("find {name}"), "the service root does not name it"))
    }
}
