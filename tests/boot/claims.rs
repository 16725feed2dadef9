//! What a machine says of itself is held against the grant.

use bringup::boot::Stage;

use super::site::{MAC, Site};

fn road(mac: &str, more: &str) -> String {
    format!("/boot.ipxe?mac={}{more}", mac.replace(':', "-"))
}

#[test]
fn a_site_s_dhcp_chains_by_mac() {
    let Some(site) = Site::start("boot::claims::a_site_s_dhcp_chains_by_mac") else { return };
    let chain = site.get("/boot.ipxe");
    assert!(chain.text().starts_with("#!ipxe\nchain ") && chain.text().contains("mac=${netX/mac:hexhyp}"), "{}", chain.text());
    assert!(site.get(&road(MAC, "")).text().contains("nothing is granted"));
    site.issue(site.spec());
    assert!(site.get(&road("52:54:00:aa:00:02", "")).text().contains("nothing is granted"), "another machine");
    let got = site.get(&road(MAC, "&uuid=4C4C4544-0042-3510-8052-B4C04F4D3332&serial=SN%2D1&arch=x86_64"));
    assert_eq!(got.status, 200);
    assert!(got.text().contains("kernel "), "{}", got.text());
}

#[test]
fn a_foreign_machine_is_refused_and_recorded_and_uses_nothing_up() {
    let Some(site) = Site::start("boot::claims::a_foreign_machine_is_refused_and_recorded_and_uses_nothing_up") else { return };
    let spec = site.spec();
    let id = spec.id.clone();
    let issued = site.issue(spec);
    let uuid = "&uuid=00000000-0000-0000-0000-000000000001";
    assert_eq!(site.get(&road(MAC, uuid)).status, 403);
    assert_eq!(site.get(&road(MAC, "&serial=SN-2")).status, 403);
    assert_eq!(site.get(&format!("{}?mac=52-54-00-aa-00-02", issued.script_path())).status, 403);
    let refused: Vec<String> = site.events().into_iter().filter(|e| e.stage == Stage::Refused).map(|e| e.detail).collect();
    assert_eq!(refused, ["another UUID than the grant's", "another serial than the grant's", "another MAC than the grant's"]);
    assert_eq!(site.status(&id).refused, 3);
    // The right machine still boots; empty values are what iPXE writes for what it does not know.
    assert_eq!(site.get(&road(MAC, "&uuid=&serial=")).status, 200);
}
