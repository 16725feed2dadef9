//! The hands of every node, made when first asked for and kept for the life of the command: secrets resolved, trust from the facts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use zeroize::Zeroizing;

use super::bootkeys::{BootKeys, KeysOfNode};
use super::failure::{Exit, Failure, Result};
use super::farewell::Opened;
use super::global::Global;
use super::memory::FileMemory;
use super::quirks;
use super::secret::{self, SecretError};
use super::sessionfiles::SessionFiles;
use crate::bmc::ipmi::rakp::BmcKey;
use crate::bmc::ipmi::{Account, IpmiBmc, Lan};
use crate::bmc::quirk::{Forgetful, Memory, QuirkError, Quirks};
use crate::bmc::redfish::{Authority, FirstContact, Paces, Redfish, RedfishOptions, SessionBook};
use crate::bmc::{Bmc, Password, WholeBmc};
use crate::boot::BootKey;
use crate::model::{BmcProtocol, BmcTrust, HostIdentity, Installable, Node, NodeId, Playbook, SecretRef};
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

/// Most secrets that are asked for at once: a helper is a process.
const HELPERS: usize = 16;

/// The hands of a site.
pub struct Hands {
    base: PathBuf,
    image_keys: std::collections::BTreeSet<String>,
    /// Its host keys come with each boot.
    by_grant: bool,
    /// What boots brought.
    boots: Option<Arc<BootKeys>>,
    trust: Trust,
    lan: Arc<Lan>,
    bmcs: Opened,
    shells: Mutex<BTreeMap<NodeId, Arc<dyn Shell>>>,
    keys: Mutex<BTreeMap<SecretRef, PrivateKeyText>>,
    /// One copy of each secret, however many nodes share it; what could not be had is not asked for again.
    secrets: Mutex<BTreeMap<SecretRef, Secret>>,
    /// The quirks that ship, and then the site's own.
    quirks: OnceLock<std::result::Result<Arc<Quirks>, QuirkError>>,
    memory: Arc<dyn Memory>,
    /// Sessions that are open, for whoever comes after a kill.
    book: Option<Arc<SessionBook>>,
    /// What is known of the pace of BMCs, for all hands of this process.
    paces: Arc<Paces>,
    /// Texts of certificate authorities, each read once.
    authorities: Mutex<BTreeMap<String, Arc<Vec<u8>>>>,
}

type Secret = std::result::Result<Arc<Zeroizing<String>>, SecretError>;

impl Hands {
    /// Hands for a site. Secrets by relative `file:` paths lie below `base`, the inventory's directory.
    #[must_use]
    pub fn new(base: impl Into<PathBuf>, playbook: Option<&Playbook>, trust: &Trust) -> Self {
        let image = playbook.and_then(|p| p.baseline.image.as_ref());
        let mut image_keys = image.map(|i| i.ssh_host_keys.clone()).unwrap_or_default();
        // A whole disk has its own, whatever boots before it.
        if let Some(Installable::Disk(disk)) = playbook.and_then(|p| p.baseline.install.as_ref()).map(|i| &i.image) {
            image_keys.extend(disk.ssh_host_keys.iter().cloned());
        }
        Self {
            base: base.into(),
            image_keys,
            by_grant: image.is_some_and(|i| i.identity == HostIdentity::Grant),
            boots: None,
            trust: *trust,
            lan: Lan::new(),
            bmcs: Opened::default(),
            shells: Mutex::default(),
            keys: Mutex::default(),
            secrets: Mutex::default(),
            quirks: OnceLock::new(),
            memory: Arc::new(Forgetful::default()),
            book: None,
            paces: Arc::default(),
            authorities: Mutex::default(),
        }
    }

    /// The same hands with the memory of the site: what BMCs taught earlier runs and what they teach this one, and the sessions that are open, so
    /// that none outlives a killed process for long.
    #[must_use]
    pub fn remembering(mut self, global: &Global) -> Self {
        global.farewells.look_after(&self.bmcs);
        self = self.knowing_boots(global);
        self.book = SessionFiles::beside_journal(global).map(|files| Arc::new(SessionBook::new(Box::new(files))));
        if let Some(memory) = FileMemory::beside_journal(global) {
            self.memory = Arc::new(memory);
        }
        self
    }

    /// The same hands, which know the host keys that boots of the site brought.
    #[must_use]
    pub fn knowing_boots(mut self, global: &Global) -> Self {
        self.boots = BootKeys::beside_journal(global);
        self
    }

    /// True when host keys are known by the images of the playbook.
    #[must_use]
    pub fn knows_by_image(&self) -> bool {
        !self.image_keys.is_empty()
    }

    /// True when this host key is the one that the node's newest boot brought.
    pub async fn brought(&self, node: &NodeId, key: Option<&str>) -> bool {
        let Some((boots, key)) = self.boots.as_ref().zip(key) else { return false };
        boots.of(node).await.is_ok_and(|known| known == BootKey::Given(key.to_owned()))
    }

    /// The public half of the key that opens a node's shell, as a line of `authorized_keys`.
    ///
    /// # Errors
    /// The private key cannot be had or read.
    pub fn public_key(&self, node: &Node) -> Result<String> {
        self.key(node)?
            .public()
            .map_err(|e| Failure::new(Exit::INVALID, e).hint(format!("bringup show {} --why ssh.key", node.id)))
    }

    /// How BMCs differ: what ships, and then the site's own file.
    fn quirks(&self) -> Result<Arc<Quirks>> {
        let read = self.quirks.get_or_init(|| quirks::of(&self.base));
        read.clone().map_err(|e| Failure::new(Exit::INVALID, e).hint("bringup validate"))
    }

    /// Resolves the BMC passwords of these nodes, each once, away from the threads that drive the nodes. What cannot be had is told when a
    /// hand asks for it.
    pub async fn prepare_bmcs(&self, nodes: impl Iterator<Item = &Node>) {
        self.resolve(nodes.flat_map(|n| std::iter::once(&n.bmc.password).chain(&n.bmc.kg))).await;
    }

    /// Resolves the SSH keys of these nodes, as [`Self::prepare_bmcs`] does passwords.
    pub async fn prepare_shells(&self, nodes: impl Iterator<Item = &Node>) {
        self.resolve(nodes.map(|n| &n.ssh.key)).await;
    }

    /// Resolves these secrets, each once.
    pub async fn prepare(&self, wanted: impl Iterator<Item = &SecretRef>) {
        self.resolve(wanted).await;
    }

    async fn resolve(&self, wanted: impl Iterator<Item = &SecretRef>) {
        let wanted: BTreeSet<SecretRef> = wanted.filter(|r| self.secrets().get(*r).is_none()).cloned().collect();
        let each = futures_util::stream::iter(wanted).map(|reference| {
            let base = self.base.clone();
            async move {
                let asked = reference.clone();
                let found = tokio::task::spawn_blocking(move || secret::text(&asked, &base)).await;
                // A program that is ending resolves nothing; whoever still asks resolves it by itself.
                found.ok().map(|found| (reference, found.map(Arc::new)))
            }
        });
        let found: Vec<_> = each.buffer_unordered(HELPERS).collect().await;
        self.secrets().extend(found.into_iter().flatten());
    }

    fn secrets(&self) -> MutexGuard<'_, BTreeMap<SecretRef, Secret>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The secret, from the store or by asking now. No lock is held while a helper runs.
    ///
    /// # Errors
    /// It cannot be had; `node` is for whom it was needed.
    pub fn secret(&self, node: &Node, reference: &SecretRef) -> Result<Arc<Zeroizing<String>>> {
        let known = self.secrets().get(reference).cloned();
        let found = known.unwrap_or_else(|| {
            let found = secret::text(reference, &self.base).map(Arc::new);
            self.secrets().entry(reference.clone()).or_insert(found).clone()
        });
        found.map_err(|e| no_secret(node, e))
    }

    /// The BMC of a node, as far as a run needs it.
    ///
    /// # Errors
    /// As [`Self::whole`].
    pub fn bmc(&self, node: &Node) -> Result<Arc<dyn Bmc>> {
        Ok(self.whole(node)?)
    }

    /// The BMC of a node with all that it can do.
    ///
    /// # Errors
    /// The password cannot be had, or the account cannot exist in the protocol.
    pub fn whole(&self, node: &Node) -> Result<Arc<dyn WholeBmc>> {
        if let Some(bmc) = self.bmcs.lock().unwrap_or_else(PoisonError::into_inner).get(&node.id) {
            return Ok(Arc::clone(bmc));
        }
        let written = &node.bmc;
        let password = Password::new(secret::first_line(&self.secret(node, &written.password)?));
        let bmc: Arc<dyn WholeBmc> = match written.protocol {
            BmcProtocol::Redfish => {
                let mut options = RedfishOptions::new(written.address, written.user.clone(), password, written.trust.clone());
                options.first_contact = if self.trust.accept_new { FirstContact::Accept } else { FirstContact::Refuse };
                options.system.clone_from(&written.system);
                options.expect_serial.clone_from(&node.serial);
                options.expect_uuid.clone_from(&node.uuid);
                options.quirks = Some(self.quirks()?);
                options.memory = Arc::clone(&self.memory);
                options.basic = written.basic;
                options.old_tls = written.old_tls;
                options.book.clone_from(&self.book);
                options.paces = Arc::clone(&self.paces);
                options.authority = self.authority(node)?;
                Arc::new(Redfish::new(options)?)
            }
            BmcProtocol::Ipmi => Arc::new(self.ipmi_at(node, password, written.address)?),
        };
        let mut known = self.bmcs.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(known.entry(node.id.clone()).or_insert(bmc)))
    }

    /// The certificate authority of a node's BMC, when it has one.
    fn authority(&self, node: &Node) -> Result<Option<Authority>> {
        let BmcTrust::Authority { file, name } = &node.bmc.trust else { return Ok(None) };
        let path = self.base.join(file);
        let hint = format!("a relative path counts from the inventory's directory (needed for {})", node.id);
        let known = self.authorities.lock().unwrap_or_else(PoisonError::into_inner).get(file).cloned();
        let text = match known {
            Some(text) => text,
            None => {
                let text = authority_text(&path).map_err(|e| Failure::new(Exit::INVALID, e).hint(hint.clone()))?;
                let mut all = self.authorities.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(all.entry(file.clone()).or_insert_with(|| Arc::new(text)))
            }
        };
        let authority = Authority::read(file.clone(), &text, name.as_deref())
            .map_err(|source| AuthorityFileError { path, source: source.into() })
            .map_err(|e| Failure::new(Exit::INVALID, e).hint(hint))?;
        Ok(Some(authority))
    }

    /// The BMC of a node over IPMI, for what no other protocol has. One that the inventory reaches by Redfish is spoken to at the same address, on
    /// this UDP port, with the same account.
    ///
    /// # Errors
    /// As [`Self::whole`].
    pub fn ipmi(&self, node: &Node, port: u16) -> Result<IpmiBmc> {
        let mut address = node.bmc.address;
        if node.bmc.protocol == BmcProtocol::Redfish {
            address.set_port(port);
        }
        let password = Password::new(secret::first_line(&self.secret(node, &node.bmc.password)?));
        self.ipmi_at(node, password, address)
    }

    fn ipmi_at(&self, node: &Node, password: Password, address: std::net::SocketAddr) -> Result<IpmiBmc> {
        let written = &node.bmc;
        let mut account = Account::new(&written.user, password, written.cipher_suite)
            .map_err(|e| Failure::new(Exit::INVALID, e).hint(format!("bringup show {} --why bmc.user", node.id)))?;
        if let Some(reference) = &written.kg {
            let key = BmcKey::from_hex(secret::first_line(&self.secret(node, reference)?)).ok_or_else(|| {
                Failure::new(Exit::INVALID, format!("the secret {reference} is no IPMI key of a BMC (K_G)"))
                    .hint("40 hexadecimal digits are expected: 20 bytes")
            })?;
            account = account.with_bmc_key(key);
        }
        Ok(IpmiBmc::new(Arc::clone(&self.lan), address, account).with_patience(IPMI_PATIENCE))
    }

    /// The shell of a node. Its host keys are its own facts', or else those that the playbook's image carries; and the one that its newest boot
    /// brought.
    ///
    /// # Errors
    /// The private key cannot be had.
    pub fn shell(&self, node: &Node) -> Result<Arc<dyn Shell>> {
        if let Some(shell) = self.shells.lock().unwrap_or_else(PoisonError::into_inner).get(&node.id) {
            return Ok(Arc::clone(shell));
        }
        let host_keys = if node.ssh.host_keys.is_empty() { self.image_keys.clone() } else { node.ssh.host_keys.clone() };
        let shell = SshShell::new(SshOptions {
            address: node.ssh.address,
            user: node.ssh.user.clone(),
            key: self.key(node)?,
            host_keys,
            first_contact: if self.trust.accept_new { shell::FirstContact::Accept } else { shell::FirstContact::Refuse },
        });
        let shell: Arc<dyn Shell> = Arc::new(match &self.boots {
            Some(boots) => {
                shell.asking(Arc::new(KeysOfNode { boots: Arc::clone(boots), node: node.id.clone(), by_grant: self.by_grant }))
            }
            None => shell,
        });
        let mut known = self.shells.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(known.entry(node.id.clone()).or_insert(shell)))
    }

    /// One copy of each private key, however many nodes share it.
    fn key(&self, node: &Node) -> Result<PrivateKeyText> {
        let text = self.secret(node, &node.ssh.key)?;
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(keys.entry(node.ssh.key.clone()).or_insert_with(|| PrivateKeyText::new(text.as_str().to_owned())).clone())
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

/// A file of certificate authorities could not be used.
#[derive(Debug, thiserror::Error)]
#[error("use the certificate authority {}", path.display())]
struct AuthorityFileError {
    path: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Largest file of authorities, in bytes.
const LARGEST_AUTHORITY: u64 = 1 << 20;

fn authority_text(path: &Path) -> std::result::Result<Vec<u8>, AuthorityFileError> {
    let fail = |source: std::io::Error| AuthorityFileError { path: path.to_path_buf(), source: source.into() };
    let mut text = Vec::new();
    std::fs::File::open(path).map_err(fail)?.take(LARGEST_AUTHORITY).read_to_end(&mut text).map_err(fail)?;
    Ok(text)
}

fn no_secret(node: &Node, error: SecretError) -> Failure {
    let hint = error.hint();
    Failure::new(Exit::INVALID, error).hint(format!("{hint} (needed for {})", node.id))
}
