//! The shells of a site's nodes: made when first asked for, kept until the node is left, one key read once for all nodes that share it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::failure::Result;
use super::private_key;
use crate::model::{Inventory, Node, NodeId, SecretRef};
use crate::shell::{FirstContact, PrivateKeyText, Shell, Shells, SshOptions, SshShell};

/// Shells by node.
pub struct NodeShells {
    first_contact: FirstContact,
    /// Believed for nodes whose inventory names none: the keys that the image was built with.
    image_host_keys: BTreeSet<String>,
    keys: Mutex<BTreeMap<SecretRef, PrivateKeyText>>,
    open: Mutex<BTreeMap<NodeId, Arc<SshShell>>>,
}

impl NodeShells {
    /// Connects nothing and reads no key yet.
    #[must_use]
    pub fn new(image_host_keys: BTreeSet<String>, first_contact: FirstContact) -> Self {
        Self { first_contact, image_host_keys, keys: Mutex::default(), open: Mutex::default() }
    }

    /// The shell of a node.
    ///
    /// # Errors
    /// Its private key cannot be had: exit code 10.
    pub fn shell(&self, node: &Node) -> Result<Arc<dyn Shell>> {
        if let Some(shell) = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&node.id) {
            return Ok(Arc::clone(shell) as Arc<dyn Shell>);
        }
        let key = self.key(&node.ssh.key)?;
        let host_keys = if node.ssh.host_keys.is_empty() { &self.image_host_keys } else { &node.ssh.host_keys };
        let options = SshOptions {
            address: node.ssh.address,
            user: node.ssh.user.clone(),
            key,
            host_keys: host_keys.clone(),
            first_contact: self.first_contact,
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let shell = open.entry(node.id.clone()).or_insert_with(|| Arc::new(SshShell::new(options)));
        Ok(Arc::clone(shell) as Arc<dyn Shell>)
    }

    fn key(&self, reference: &SecretRef) -> Result<PrivateKeyText> {
        // The lock is held while the key is read, so that a helper program runs once and not once a node.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(reference) {
            return Ok(key.clone());
        }
        let key = private_key::read(reference)?;
        keys.insert(reference.clone(), key.clone());
        Ok(key)
    }

    /// Ends a node's connection, if it has one.
    pub async fn leave(&self, node: &NodeId) {
        let shell = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
        if let Some(shell) = shell {
            shell.close().await;
        }
    }
}

/// The same by name, over an inventory. A node whose key cannot be had has no shell; [`NodeShells::shell`] says why.
pub struct InventoryShells {
    /// Every node.
    pub inventory: Arc<Inventory>,
    /// Their shells.
    pub shells: NodeShells,
}

impl Shells for InventoryShells {
    fn shell(&self, node: &NodeId) -> Option<Arc<dyn Shell>> {
        self.shells.shell(self.inventory.nodes.get(node)?).ok()
    }
}
