//! What a node tells of itself, at the address that its kernel's command line gives it: noted once, for the journal, and never proof.

use bringup::boot::{GrantState, Stage};

use super::site::Site;

#[test]
fn words_are_noted_once_and_only_under_an_open_grant() {
    let Some(site) = Site::start("boot::told::words_are_noted_once_and_only_under_an_open_grant") else { return };
    let issued = site.issue(site.spec());
    let script = site.get(&issued.script_path());
    let at = script.text().split_whitespace().find_map(|w| w.strip_prefix("bringup.at=")).unwrap().to_owned();
    let at = at.strip_prefix(&format!("http://{}", site.address)).unwrap_or_else(|| panic!("{at}"));
    assert_eq!(at.matches("/g/").count(), 1, "{at}");

    // A look notes nothing; asking twice, or by POST, is one word.
    assert_eq!(site.curl(&format!("{at}/userspace"), &["--head"]).status, 200);
    assert!(!site.status(&issued.public_id).stages.contains_key(&Stage::Userspace));
    for how in [&[][..], &["-X", "POST", "-d", ""], &["-X", "POST", "-d", "anything at all"]] {
        let got = site.curl(&format!("{at}/userspace"), how);
        assert_eq!((got.status, got.text()), (200, "noted\n"), "{how:?}");
    }
    assert_eq!(site.get(&format!("{at}/network")).status, 200);
    assert_eq!(site.get(&format!("{at}/ssh")).status, 200);
    let noted = |stage| site.events().iter().filter(|line| line.stage == stage).count();
    assert_eq!([Stage::Userspace, Stage::Network, Stage::Ssh, Stage::Installed].map(noted), [1, 1, 1, 0]);

    // No other word, no other method, no other token: neither the script's nor a made-up one.
    for path in ["released", "expired", "kernel", "root", "", "userspace/x", "%75serspace"] {
        assert_eq!(site.get(&format!("{at}/{path}")).status, 404, "{path}");
    }
    assert_eq!(site.curl(&format!("{at}/ssh"), &["-X", "PUT"]).status, 405);
    assert_eq!(site.curl(&issued.script_path(), &["-X", "POST"]).status, 405);
    let foreign = issued.script_path().replace("/boot.ipxe", "/at/installed");
    assert_eq!(site.get(&foreign).status, 404);
    assert_eq!(site.get("/g/0123456789abcdef0123456789abcdef/at/installed").status, 404);
    let status = site.status(&issued.public_id);
    assert_eq!((status.state, status.stages.contains_key(&Stage::Installed)), (GrantState::Open, false));

    // A told word opens nothing, and after the grant it is refused and recorded.
    assert!(site.runtime.block_on(site.grants.release(&issued.public_id)).unwrap());
    assert_eq!(site.get(&format!("{at}/installed")).status, 410);
    let status = site.status(&issued.public_id);
    assert_eq!((status.stages.contains_key(&Stage::Installed), status.refused), (false, 1));
}
