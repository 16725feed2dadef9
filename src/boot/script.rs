//! The iPXE scripts, as text. What goes into a script has been checked by [`GrantSpec::check`] and by the types of the model; nothing that
//! a node sent goes into one, except a `Host` name of letters, digits, dots, colons and brackets.

use super::grant::GrantSpec;
use super::tls::Door;
use crate::model::Mac;
use std::net::SocketAddr;

/// Where a site's DHCP begins. Paths without a host: iPXE resolves them against the address that the script came from. `netX` is the
/// interface that iPXE booted from; MAC addresses with hyphens, since older iPXE takes a colon for the end of a scheme.
pub(super) const CHAIN: &str = "#!ipxe\n\
    chain --replace /boot.ipxe?mac=${netX/mac:hexhyp}&uuid=${uuid}&serial=${serial:uristring}&arch=${buildarch} || exit 1\n";

/// For a machine without a grant. A status other than 0 makes UEFI go on to its next boot device.
pub(super) const NOTHING: &str = "#!ipxe\n\
    echo bringup: nothing is granted to this machine now; going on to the next boot device\n\
    exit 1\n";

/// A `Host` header that may stand in a script: a name or address, and a port.
pub(super) fn plain_host(host: Option<&str>) -> Option<&str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".:-[]".contains(&b);
    host.filter(|h| (1..=255).contains(&h.len()) && h.bytes().all(plain))
}

/// A host without its port.
fn bare(host: &str) -> &str {
    match host.rfind(']') {
        Some(end) => host.get(..=end).unwrap_or(host),
        None => host.split(':').next().unwrap_or(host),
    }
}

/// The script of a grant. `files` is the token under which its files are fetched, `mac` what the machine said of itself. `None` when the
/// image needs an absolute address and the request did not say a plain `Host`. `door` is where the node fetches its identity, when it has one.
pub(super) fn script(spec: &GrantSpec, files: &str, host: Option<&str>, mac: Option<Mac>, door: Option<&Door>) -> Option<String> {
    let mut text = String::from("#!ipxe\n");
    text.push_str(&format!("echo bringup: {} boots image {} by {}\n", spec.node, spec.image.short(), spec.plan));
    // From a cache by its whole address, else by the one that the script came from.
    if let Some(cache) = spec.files_from.as_deref() {
        text.push_str(&fetches(spec, &format!("{cache}/g/{files}"), &arguments(spec, files, host, mac, door)?, "direct"));
        text.push_str("goto start\n:direct\n");
        text.push_str(&format!("echo bringup: the cache {cache} does not give the image; asking the boot server\n"));
        // What came is let go by name: without a name iPXE would let go of this script as well.
        text.push_str("imgfree kernel ||\n");
        (0..spec.initrd.len()).for_each(|n| text.push_str(&format!("imgfree initrd{n} ||\n")));
        let own = GrantSpec { files_from: None, ..spec.clone() };
        // Without a plain host nothing but the cache's address is known.
        match arguments(&own, files, host, mac, door) {
            Some(words) => text.push_str(&fetches(spec, &format!("/g/{files}"), &words, "failed")),
            None => text.push_str("goto failed\n"),
        }
        text.push_str(":start\n");
    } else {
        text.push_str(&fetches(spec, &format!("/g/{files}"), &arguments(spec, files, host, mac, door)?, "failed"));
    }
    text.push_str(
        "boot || goto failed\n:failed\necho bringup: the image could not be started; going on to the next boot device\nexit 1\n",
    );
    Some(text)
}

/// The lines that fetch kernel and initrds under `base`, and go to `otherwise` when one does not come.
fn fetches(spec: &GrantSpec, base: &str, arguments: &[String], otherwise: &str) -> String {
    // Linux under EFI finds its initrd by name in the file system that iPXE shows it; under BIOS the names do no harm.
    let mut words: Vec<String> = (0..spec.initrd.len()).map(|n| format!("initrd=initrd{n}")).collect();
    words.extend(arguments.iter().cloned());
    let mut text = format!("kernel --name kernel {base}/kernel {} || goto {otherwise}\n", words.join(" "));
    for n in 0..spec.initrd.len() {
        text.push_str(&format!("initrd --name initrd{n} {base}/initrd/{n} || goto {otherwise}\n"));
    }
    text
}

/// The kernel's command line: the image's, and the marks of the grant. `None` as above.
pub(super) fn arguments(
    spec: &GrantSpec,
    files: &str,
    host: Option<&str>,
    mac: Option<Mac>,
    door: Option<&Door>,
) -> Option<Vec<String>> {
    let base = format!("/g/{files}");
    let root = match (&spec.root, plain_host(host)) {
        (None, _) => None,
        (Some(artifact), _) if let Some(cache) = &spec.files_from => Some((format!("{cache}{base}/root"), &artifact.sha256)),
        (Some(artifact), Some(host)) => Some((format!("http://{host}{base}/root"), &artifact.sha256)),
        (Some(_), None) => return None,
    };
    let mut arguments = Vec::new();
    let root_url = root.as_ref().map_or("", |(url, _)| url);
    arguments.extend(spec.cmdline.iter().map(|argument| argument.replace("{root-url}", root_url)));
    arguments.push(format!("bringup.plan={}", spec.plan));
    arguments.push(format!("bringup.grant={}", spec.id));
    arguments.push(format!("bringup.image={}", spec.image));
    if let Some((url, digest)) = &root {
        arguments.push(format!("bringup.root={url}"));
        arguments.push(format!("bringup.root.sha256={digest}"));
    }
    if let Some(door) = door {
        // The same address as the script's, unless the door has one of its own; the pin is what makes it trusted, not the name.
        let own = door.address.map(|ip| SocketAddr::new(ip, door.port).to_string());
        let at = match own {
            Some(at) => at,
            None => format!("{}:{}", bare(plain_host(host)?), door.port),
        };
        arguments.push(format!("bringup.identity=https://{at}{base}/identity"));
        arguments.push(format!("bringup.identity.sha256={}", door.sha256));
    }
    // Where the node tells how far it has come; an image that does not know the word is no worse off.
    if let Some(host) = plain_host(host) {
        arguments.push(format!("bringup.at=http://{host}{base}/at"));
    }
    if let Some(mac) = spec.mac.or(mac) {
        // PXELINUX's form, which Debian's and dracut's initrds read: hardware type 1, then the address with hyphens.
        arguments.push(format!("BOOTIF=01-{}", mac.to_string().replace(':', "-")));
    }
    Some(arguments)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::boot::grant::{Token, new_grant_id};
    use crate::model::{Artifact, Digest, NodeId, PlanId, RunId};

    fn spec(cmdline: Vec<String>, initrds: usize, root: bool) -> GrantSpec {
        let file = |n: u8| Artifact { path: "/a\nboot\n".into(), sha256: Digest::from_bytes(&[n; 32]) };
        GrantSpec {
            id: new_grant_id(),
            node: NodeId::new("a001-s01").unwrap(),
            plan: PlanId::new("plan-1").unwrap(),
            run: RunId::new("run-1").unwrap(),
            mac: Some("52:54:00:aa:00:01".parse().unwrap()),
            uuid: None,
            serial: Some("${x}\nboot".into()),
            image: Digest::from_bytes(&[9; 32]),
            kernel: file(1),
            initrd: (0..initrds).map(|_| file(2)).collect(),
            root: root.then(|| file(3)),
            cmdline,
            files_from: None,
            expires_at_ms: i64::MAX,
        }
    }

    #[test]
    fn a_script_in_full() {
        let mut spec = spec(vec!["console=ttyS0".into(), "root=live:{root-url}".into()], 1, true);
        spec.id = "g-000000000001".into();
        let got = script(&spec, "T", Some("10.0.0.1:8088"), None, None).unwrap();
        let image = "09".repeat(32);
        let root = "03".repeat(32);
        assert_eq!(
            got,
            format!(
                "#!ipxe\necho bringup: a001-s01 boots image 090909090909 by plan-1\n\
                 kernel --name kernel /g/T/kernel initrd=initrd0 console=ttyS0 root=live:http://10.0.0.1:8088/g/T/root \
                 bringup.plan=plan-1 bringup.grant=g-000000000001 bringup.image={image} \
                 bringup.root=http://10.0.0.1:8088/g/T/root bringup.root.sha256={root} \
                 bringup.at=http://10.0.0.1:8088/g/T/at BOOTIF=01-52-54-00-aa-00-01 || goto failed\n\
                 initrd --name initrd0 /g/T/initrd/0 || goto failed\n\
                 boot || goto failed\n:failed\necho bringup: the image could not be started; going on to the next boot device\nexit 1\n"
            )
        );
        spec.files_from = Some("http://10.0.1.1:8088".into());
        let cached = script(&spec, "T", Some("10.0.0.1:8088"), None, None).unwrap();
        for part in ["kernel --name kernel http://10.0.1.1:8088/g/T/kernel ", "initrd0 http://10.0.1.1:8088/g/T/initrd/0 "] {
            assert!(cached.contains(part), "{part}: {cached}");
        }
        assert!(
            cached.contains(" root=live:http://10.0.1.1:8088/g/T/root ")
                && cached.contains(" bringup.root=http://10.0.1.1:8088/")
        );
        // What is told and what is secret goes to the boot server itself.
        let (by_cache, direct) = cached.split_once(":direct\n").unwrap();
        let told = " bringup.at=http://10.0.0.1:8088/g/T/at ";
        assert!(
            by_cache.contains(told) && by_cache.matches("10.0.0.1:").count() == 1 && by_cache.ends_with("goto start\n"),
            "{cached}"
        );
        assert_eq!(by_cache.matches(" || goto direct\n").count(), 2, "{cached}");
        // When the cache does not give them: the very lines of a grant without a cache.
        let let_go = "echo bringup: the cache http://10.0.1.1:8088 does not give the image; asking the boot server\nimgfree kernel ||\nimgfree initrd0 ||\n";
        let own: String = got.lines().skip(2).map(|line| format!("{line}\n")).collect();
        assert_eq!(direct.replace(":start\n", ""), format!("{let_go}{own}"));
        spec.files_from = None;
        assert_eq!(script(&spec, "T", Some("evil\nboot"), None, None), None, "a root needs a plain host");
        let mut door = Door { address: None, port: 8443, sha256: Digest::from_bytes(&[5; 32]) };
        let pin = format!("bringup.identity.sha256={} ", "05".repeat(32));
        for (host, at) in [("10.0.0.1:8088", "10.0.0.1"), ("boot.site", "boot.site"), ("[fd00::1]:8088", "[fd00::1]")] {
            let got = script(&spec, "T", Some(host), None, Some(&door)).unwrap();
            assert!(got.contains(&format!(" bringup.identity=https://{at}:8443/g/T/identity {pin}")), "{got}");
        }
        door.address = Some("fd00::2".parse().unwrap());
        assert!(script(&spec, "T", Some("a:1"), None, Some(&door)).unwrap().contains("=https://[fd00::2]:8443/g/T/identity "));
    }

    proptest! {
        /// Whatever a checked grant holds, the script has the lines that it should have and no others, and no `${`.
        #[test]
        fn nothing_can_be_injected(cmdline in proptest::collection::vec(".{0,20}|[ -~]{1,20}", 0..4), initrds in 0_usize..4, root: bool, cached: bool, host in ".{0,30}|[a-z.:0-9]{1,20}") {
            let mut spec = spec(cmdline, initrds, root);
            spec.files_from = cached.then(|| "http://10.0.1.1:8088".into());
            let door = Door { address: None, port: 8443, sha256: Digest::from_bytes(&[5; 32]) };
            if spec.check(0).is_ok()
                && let Some(text) = script(&spec, Token::fresh().expose(), Some(&host), None, Some(&door))
            {
                let direct = plain_host(Some(&host)).is_some() || !root;
                let (more, tries) = match (cached, direct) {
                    (false, _) => (0, 0),
                    (true, true) => (2 * initrds + 6, initrds + 1),
                    (true, false) => (initrds + 6, 0),
                };
                prop_assert_eq!(text.lines().count(), initrds + 7 + more);
                let expands = text.contains("${");
                prop_assert!(!expands && text.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b)));
                let commands = ["#!ipxe", "echo ", "kernel ", "initrd ", "boot ", ":failed", "exit 1", "goto ", "imgfree ", ":direct", ":start"];
                prop_assert!(text.lines().all(|line| commands.iter().any(|c| line.starts_with(c))));
                prop_assert_eq!(text.matches(" || ").count(), initrds + 2 + tries);
            }
        }
    }
}
