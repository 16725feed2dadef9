//! The hands of every node, made when first asked for and kept for the life of the command: secrets resolved, trust from the facts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::failure::{Exit, Failure, Result};
use super::secret::{self, SecretError};
use crate::bmc::ipmi::{Account, IpmiBmc, Lan};
use crate::bmc::redfish::{FirstContact, Redfish, RedfishOptions};
use crate::bmc::{Bmc, Password};
use crate::model::{BmcProtocol, Node, NodeId, Playbook, SecretRef};
use crate::shell::{self, PrivateKeyText, Shell, SshOptions, SshShell};

/// What may be trusted beyond the facts.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Trust {
    /// Trust the certificate or host key of a node whose facts record none; what was trusted is told
    #[arg(long)]
    pub accept_new: bool,
}

/// Longest that an IPMI call may take, login included: ipmitool's own patience is 4 retries of 1 to 5 s.
const IPMI_PATIENCE: Duration = Duration::from_secs(15);

/// The hands of a site.
pub struct Hands {
    base: PathBuf,
    image_keys: std::collections::BTreeSet<String>,
    trust: Trust,
    lan: Arc<Lan>,
    bmcs: Mutex<BTreeMap<NodeId, Arc<dyn Bmc>>>,
    shells: Mutex<BTreeMap<NodeId, Arc<dyn Shell>>>,
    keys: Mutex<BTreeMap<SecretRef, PrivateKeyText>>,
}

impl Hands {
    /// Hands for a site. Secrets by relative `file:` paths lie below `base`, the inventory's directory.
    #[must_use]
    pub fn new(base: impl Into<PathBuf>, playbook: Option<&Playbook>, trust: &Trust) -> Self {
        let image_keys = playbook.and_then(|p| p.baseline.image.as_ref()).map(|i| i.ssh_host_keys.clone()).unwrap_or_default();
        Self {
            base: base.into(),
            image_keys,
            trust: *trust,
            lan: Lan::new(),
            bmcs: Mutex::default(),
            shells: Mutex::default(),
            keys: Mutex::default(),
        }
    }

    /// The BMC of a node.
    ///
    /// # Errors
    /// The password cannot be had, or the account cannot exist in the protocol.
    pub fn bmc(&self, node: &Node) -> Result<Arc<dyn Bmc>> {
        let mut known = self.bmcs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bmc) = known.get(&node.id) {
            return Ok(Arc::clone(bmc));
        }
        let written = &node.bmc;
        let password = Password::new(secret::line(&written.password, &self.base).map_err(|e| no_secret(node, e))?.as_str());
        let bmc: Arc<dyn Bmc> = match written.protocol {
            BmcProtocol::Redfish => {
                let mut options = RedfishOptions::new(written.address, written.user.clone(), password, written.trust.clone());
                options.first_contact = if self.trust.accept_new { FirstContact::Accept } else { FirstContact::Refuse };
                options.system.clone_from(&written.system);
                options.expect_serial.clone_from(&node.serial);
                options.expect_uuid.clone_from(&node.uuid);
                Arc::new(Redfish::new(options)?)
            }
            BmcProtocol::Ipmi => {
                let account = Account::new(&written.user, password, written.cipher_suite)
                    .map_err(|e| Failure::new(Exit::INVALID, e).hint(format!("bringup show {} --why bmc.user", node.id)))?;
                Arc::new(IpmiBmc::new(Arc::clone(&self.lan), written.address, account).with_patience(IPMI_PATIENCE))
            }
        };
        known.insert(node.id.clone(), Arc::clone(&bmc));
        Ok(bmc)
    }

    /// The shell of a node. Its host keys are its own facts', or else those that the playbook's image carries.
    ///
    /// # Errors
    /// The private key cannot be had.
    pub fn shell(&self, node: &Node) -> Result<Arc<dyn Shell>> {
        let mut known = self.shells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shell) = known.get(&node.id) {
            return Ok(Arc::clone(shell));
        }
        let host_keys = if node.ssh.host_keys.is_empty() { self.image_keys.clone() } else { node.ssh.host_keys.clone() };
        let shell: Arc<dyn Shell> = Arc::new(SshShell::new(SshOptions {
            address: node.ssh.address,
            user: node.ssh.user.clone(),
            key: self.key(node)?,
            host_keys,
            first_contact: if self.trust.accept_new { shell::FirstContact::Accept } else { shell::FirstContact::Refuse },
        }));
        known.insert(node.id.clone(), Arc::clone(&shell));
        Ok(shell)
    }

    /// One copy of each private key, however many nodes share it.
    fn key(&self, node: &Node) -> Result<PrivateKeyText> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(&node.ssh.key) {
            return Ok(key.clone());
        }
        let text = secret::text(&node.ssh.key, &self.base).map_err(|e| no_secret(node, e))?;
        let key = PrivateKeyText::new(text.as_str().to_owned());
        keys.insert(node.ssh.key.clone(), key.clone());
        Ok(key)
    }

    /// Ends the sessions with a node's BMC and system. The hands stay and connect again when asked.
    pub async fn leave(&self, id: &NodeId) {
        let bmc = self.bmcs.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let shell = self.shells.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(shell) = shell {
            shell.close().await;
        }
        if let Some(bmc) = bmc {
            bmc.close().await;
        }
    }
}

fn no_secret(node: &Node, error: SecretError) -> Failure {
    let hint = error.hint();
    Failure::new(Exit::INVALID, error).hint(format!("{hint} (needed for {})", node.id))
}
