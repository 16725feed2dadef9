//! The boot ROM: an HTTP client to the boot server that reads iPXE scripts and fetches kernel and initrd whole. It loads nothing that it did not
//! get completely, and executes nothing at all.
//!
//! PXE has no DHCP here: "the site's own DHCP chains to the boot server" is the farm's chain URL, to which the ROM appends what iPXE would say
//! of itself. UEFI HTTP boot fetches the URI that the BMC holds; an EFI program (`MZ`) is taken for iPXE, which looks for `autoexec.ipxe`
//! beside itself (ipxe.org/appnote/uefihttp) and chains as above when there is none. URLs are relative to the script that holds them.

pub mod disc;
pub mod fetch;
pub mod script;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use self::fetch::fetch;
use self::script::{Script, Todo, uri_escape};
use super::fault::Fault;
use super::handle::MachineHandle;
use super::identity::Identity;
use super::machine::RomSource;
use super::system::{Blob, Loaded};

/// Longest script.
const SCRIPT: usize = 64 * 1024;
/// Scripts that may chain to one another.
const CHAINS: usize = 8;
/// RAM disks that one kernel gets at most.
const INITRDS: usize = 16;

/// Where the site's DHCP chains to; shared by a farm, since the boot server's port may be known only after the machines are there.
#[derive(Debug, Clone, Default)]
pub struct ChainUrl(Arc<Mutex<Option<String>>>);

impl ChainUrl {
    /// Sets it, such as `http://127.0.0.1:8088/boot.ipxe`.
    pub fn set(&self, url: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = url;
    }

    /// The URL, if there is one.
    #[must_use]
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a ROM knows of the site.
#[derive(Debug, Clone)]
pub struct Site {
    /// Where the site's DHCP chains to.
    pub chain_url: ChainUrl,
    /// The node's own address.
    pub address: IpAddr,
}

/// Lives a machine's boots until dropped.
pub async fn run(machine: MachineHandle, site: Site) {
    loop {
        let (attempt, source) = machine.next_fetch().await;
        let silent = machine.faults().iter().find_map(|f| if let Fault::RomSilent(n) = f { Some(*n) } else { None });
        let fetcher = Fetcher { address: site.address, left: silent };
        let result = match source {
            RomSource::Medium => Some(medium(&machine, &site).await),
            source => live(machine.identity(), &site, &source, fetcher).await,
        };
        // A ROM that hangs is heard of no more until the power goes and comes.
        if let Some(result) = result {
            machine.fetched(attempt, result.map(Box::new));
        }
    }
}

/// Largest medium that is read: it lies in memory as a whole.
const MEDIUM: usize = 256 << 20;

/// One boot from the virtual CD drive. The BMC streams the medium while the node boots, as real ones do, so it is asked for now.
async fn medium(machine: &MachineHandle, site: &Site) -> Result<Loaded, String> {
    let image = machine.media(|media| media.drives.iter().find(|d| d.types.contains(&"CD")).and_then(|d| d.image.clone()));
    let url = image.ok_or("nothing is in the virtual CD drive")?;
    let (_, disc) = fetch(&url, site.address, MEDIUM).await?;
    disc::boot(&disc, &url)
}

/// One network boot.
///
/// # Errors
/// Why nothing was loaded, for the machine's log.
pub async fn boot(identity: &Identity, site: &Site, source: &RomSource) -> Result<Loaded, String> {
    let fetcher = Fetcher { address: site.address, left: None };
    live(identity, site, source, fetcher).await.unwrap_or_else(|| Err("the ROM hangs".to_owned()))
}

/// Fetches, as often as its fault lets it.
struct Fetcher {
    address: IpAddr,
    left: Option<u32>,
}

/// The ROM hangs.
struct Hangs;

impl Fetcher {
    async fn get(&mut self, url: &str, keep: usize) -> Result<Result<(Blob, Vec<u8>), String>, Hangs> {
        match &mut self.left {
            Some(0) => return Err(Hangs),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(fetch(url, self.address, keep).await)
    }
}

/// One network boot; `None` when the ROM hangs in it.
async fn live(identity: &Identity, site: &Site, source: &RomSource, fetcher: Fetcher) -> Option<Result<Loaded, String>> {
    match load(identity, site, source, fetcher).await {
        Ok(loaded) => Some(Ok(loaded)),
        Err(End::Failed(why)) => Some(Err(why)),
        Err(End::Hangs) => None,
    }
}

/// How a boot ends that loads nothing.
enum End {
    Failed(String),
    Hangs,
}

impl From<Hangs> for End {
    fn from(_: Hangs) -> Self {
        Self::Hangs
    }
}

impl From<String> for End {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

async fn load(identity: &Identity, site: &Site, source: &RomSource, mut fetcher: Fetcher) -> Result<Loaded, End> {
    let first = match source {
        RomSource::Uri(uri) => uri.clone(),
        RomSource::Chain => chained(identity, site)?,
        RomSource::Medium => return Err(End::Failed("no network boot".to_owned())),
    };
    let mut text = fetcher.get(&first, SCRIPT).await??;
    if text.1.starts_with(b"MZ") {
        text = match fetcher.get(&resolve(&first, "autoexec.ipxe"), SCRIPT).await? {
            Ok(text) => text,
            Err(_) => fetcher.get(&chained(identity, site)?, SCRIPT).await??,
        };
    }
    let mut base = text.0.url.clone();
    let mut script = read(&text, variables(identity, site))?;
    let (mut kernel, mut initrd, mut chains, mut good) = (None, Vec::new(), 0, true);
    loop {
        good = match script.next(good) {
            Todo::Kernel { url, args } => match fetcher.get(&resolve(&base, &url), 0).await? {
                Ok((blob, _)) => {
                    kernel = Some((blob, args));
                    true
                }
                Err(_) => false,
            },
            Todo::Initrd { url } => match fetcher.get(&resolve(&base, &url), 0).await? {
                Ok((blob, _)) if initrd.len() < INITRDS => {
                    initrd.push(blob);
                    true
                }
                _ => false,
            },
            Todo::Chain { url } => {
                chains += 1;
                let url = resolve(&base, &url);
                match fetcher.get(&url, SCRIPT).await?.and_then(|t| read(&t, script.vars().clone())) {
                    Ok(next) if chains <= CHAINS => {
                        (script, base) = (next, url);
                        true
                    }
                    _ => false,
                }
            }
            Todo::Boot => match kernel {
                Some((kernel, cmdline)) => return Ok(Loaded { kernel, initrd, cmdline }),
                None => return Err(End::Failed("the script boots without a kernel".to_owned())),
            },
            Todo::Exit => return Err(End::Failed("the script left".to_owned())),
            Todo::Failed(why) => return Err(End::Failed(why)),
        };
    }
}

fn read(text: &(Blob, Vec<u8>), vars: BTreeMap<String, String>) -> Result<Script, String> {
    let (blob, bytes) = text;
    if blob.bytes > SCRIPT as u64 {
        return Err("the script is longer than 64 KiB".to_owned());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "the script is not text".to_owned())?;
    Script::read(text, vars).ok_or_else(|| "what came is not an iPXE script".to_owned())
}

fn chained(identity: &Identity, site: &Site) -> Result<String, String> {
    let base = site.chain_url.get().ok_or("no DHCP server answered")?;
    let joint = if base.contains('?') { '&' } else { '?' };
    let mac = identity.boot_mac.to_string().replace(':', "-");
    let serial = uri_escape(&identity.serial);
    Ok(format!("{base}{joint}mac={mac}&uuid={}&serial={serial}&arch=x86_64", identity.uuid))
}

/// A URL against the script that holds it: whole, from the root, or beside (RFC 3986 §5, without `..`).
fn resolve(base: &str, url: &str) -> String {
    if url.contains("://") {
        return url.to_owned();
    }
    let path_at = base.find("://").map_or(0, |at| at + 3);
    let (head, tail) = base.split_at(path_at);
    let (authority, path) = tail.split_at(tail.find('/').unwrap_or(tail.len()));
    if url.starts_with('/') {
        return format!("{head}{authority}{url}");
    }
    let path = path.split('?').next().unwrap_or_default();
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{head}{authority}{folder}/{url}")
}

fn variables(identity: &Identity, site: &Site) -> BTreeMap<String, String> {
    let mac = identity.boot_mac.to_string();
    let ip = site.address.to_string();
    [
        ("net0/mac", mac.clone()),
        ("netX/mac", mac.clone()),
        ("mac", mac),
        ("net0/ip", ip.clone()),
        ("ip", ip),
        ("uuid", identity.uuid.clone()),
        ("serial", identity.serial.clone()),
        ("manufacturer", identity.profile.manufacturer.to_owned()),
        ("product", identity.profile.model.to_owned()),
        ("buildarch", "x86_64".to_owned()),
        ("platform", "efi".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn urls_are_relative_to_their_script() {
        let base = "http://127.0.0.1:80/g/t/boot.ipxe?mac=1/2";
        assert_eq!(resolve(base, "http://x/y"), "http://x/y");
        assert_eq!(resolve(base, "/k?a=b"), "http://127.0.0.1:80/k?a=b");
        assert_eq!(resolve(base, "autoexec.ipxe"), "http://127.0.0.1:80/g/t/autoexec.ipxe");
        assert_eq!(resolve("http://h", "k"), "http://h/k");
    }
}
