//! `bringup serve --dhcp` and `--proxy-dhcp` against clients and servers that others wrote: dhclient, busybox, dnsmasq, and the Linux
//! kernel for router advertisements. Whole machines boot in `peers::roads`.

use std::process::Stdio;

use bringup::boot::Grants;

use super::dhcp_lab::{Lab, MAC, PATIENCE, has, run};
use crate::support::wait_until;

/// isc-dhcp-client: a fresh start, and a start with a lease of another address, which must be refused at once.
#[test]
fn dhclient_gets_the_reserved_address_and_no_other() {
    let test = "boot::dhcp_clients::dhclient_gets_the_reserved_address_and_no_other";
    let Some(mut lab) = Lab::up(test, &["dhclient"]) else { return };
    lab.serve(&["--dhcp", "eth0"]);
    let script = lab.notes("fresh");
    let dhclient = |script: &std::path::Path, leases: &str| {
        let mut command = lab.inside("client", "dhclient");
        command.args(["-4", "-1", "-v", "-d", "-pf", "client.pid", "-lf", leases, "-sf"]).arg(script).arg("eth0");
        command.stdout(Stdio::null()).stderr(std::fs::File::create(lab.path("dhclient.err")).unwrap());
        crate::support::Service::start(&mut command).unwrap()
    };
    // Debian's dhclient wants the file to be there.
    std::fs::write(lab.path("fresh.leases"), "").unwrap();
    let client = dhclient(&script, "fresh.leases");
    wait_until("dhclient is bound", PATIENCE, || lab.text("fresh").contains("event=BOUND"));
    drop(client);
    has(
        &lab.text("fresh"),
        &[
            "new_ip_address=10.77.1.1",
            "new_subnet_mask=255.255.0.0",
            "new_broadcast_address=10.77.255.255",
            "new_routers=10.77.0.1",
            "new_domain_name_servers=10.77.0.1 10.77.0.2",
            "new_host_name=a001-s01",
            "new_dhcp_lease_time=600",
            "new_dhcp_renewal_time=300",
            "new_dhcp_rebinding_time=525",
            "new_dhcp_server_identifier=10.77.0.1",
        ],
    );
    let lease = "lease {\n  interface \"eth0\";\n  fixed-address 10.77.66.6;\n  option subnet-mask 255.255.0.0;\n  \
        option dhcp-lease-time 86400;\n  option dhcp-server-identifier 10.77.0.1;\n  renew 5 2037/01/01 00:00:00;\n  \
        rebind 5 2037/01/02 00:00:00;\n  expire 6 2037/01/03 00:00:00;\n}\n";
    std::fs::write(lab.path("old.leases"), lease).unwrap();
    let script = lab.notes("old");
    let client = dhclient(&script, "old.leases");
    wait_until("dhclient is bound again", PATIENCE, || lab.text("old").contains("event=BOUND"));
    drop(client);
    has(&lab.text("old"), &["new_ip_address=10.77.1.1"]);
    let said = lab.text("dhclient.err");
    assert!(said.contains("DHCPREQUEST for 10.77.66.6") && said.contains("DHCPNAK from 10.77.0.1"), "{said}");
    let lines = lab.text("serve.out");
    for want in ["a001-s01 offer 10.77.1.1", "a001-s01 ack 10.77.1.1", "a001-s01 nak 10.77.66.6"] {
        assert!(lines.contains(&format!("dhcp {MAC} {want}")), "{want}: {lines}");
    }
}

/// busybox, as a node, as another machine, and as a node of the wrong architecture.
#[test]
fn udhcpc_is_served_as_a_node_and_not_as_a_stranger() {
    let test = "boot::dhcp_clients::udhcpc_is_served_as_a_node_and_not_as_a_stranger";
    let Some(mut lab) = Lab::up(test, &["busybox"]) else { return };
    lab.serve(&["--dhcp", "eth0", "-o", "ndjson"]);
    let script = lab.notes("node");
    assert!(lab.udhcpc(&script, &["-t", "10"]), "{}", lab.text("udhcpc.err"));
    has(
        &lab.text("node"),
        &["event=bound", "ip=10.77.1.1", "mask=16", "router=10.77.0.1", "dns=10.77.0.1 10.77.0.2", "lease=600"],
    );
    let script = lab.notes("pxe");
    // Option 93, architecture 7, and the name of a PXE ROM.
    assert!(lab.udhcpc(&script, &["-t", "10", "-V", "PXEClient:Arch:00007:UNDI:003016", "-x", "0x5d:0007", "-O", "bootfile"]));
    has(&lab.text("pxe"), &["ip=10.77.1.1", "siaddr=10.77.0.1", "boot_file=snponly.efi"]);
    assert!(!lab.udhcpc(&script, &["-V", "PXEClient:Arch:00011", "-x", "0x5d:000b"]), "another architecture");
    lab.become_mac("02:77:77:77:77:77");
    assert!(!lab.udhcpc(&script, &["-V", "a stranger", "-x", "0x61:0033221100554477668899aabbccddeeff"]), "a stranger");
    let lines: Vec<serde_json::Value> = lab.text("serve.out").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let of = |event: &str| lines.iter().filter(|l| l["dhcp"]["event"] == event).collect::<Vec<_>>();
    let given: Vec<&str> = of("given").iter().map(|l| l["dhcp"]["about"]["sent"].as_str().unwrap()).collect();
    assert!(given.contains(&"offer") && given.contains(&"ack"), "{given:?}");
    assert_eq!(of("refused").len(), 1, "told once, however often it asks: {lines:#?}");
    assert_eq!(of("refused")[0]["dhcp"]["about"]["why"], "it asks as uefi-aarch64, and the inventory says x86_64");
    let found = of("discovered");
    assert_eq!((found.len(), found[0]["dhcp"]["about"]["mac"].as_str()), (1, Some("02:77:77:77:77:77")));
    assert_eq!(found[0]["dhcp"]["about"]["uuid"], "00112233-4455-6677-8899-aabbccddeeff");

    // Kept beside the grants, for whoever comes later.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let grants = Grants::open(&lab.path("state/grants.db")).unwrap();
    let mut kept = Vec::new();
    wait_until("all is written down", PATIENCE, || {
        kept = runtime.block_on(grants.sightings()).unwrap();
        kept.iter().any(|s| s.kind == "discovered" && s.times >= 3)
    });
    let stranger = kept.iter().find(|s| s.kind == "discovered").unwrap();
    assert_eq!(stranger.discovery.as_ref().unwrap().class.as_deref(), Some("a stranger"));
    assert!(stranger.last_ms > stranger.first_ms, "{stranger:?}");
    assert!(kept.iter().any(|s| s.kind == "refused"), "{kept:?}");
}

/// Another DHCP server on a network that is ours alone.
#[test]
fn another_dhcp_server_is_told_of() {
    let test = "boot::dhcp_clients::another_dhcp_server_is_told_of";
    let Some(mut lab) = Lab::up(test, &["dnsmasq", "busybox"]) else { return };
    lab.dnsmasq();
    lab.serve(&["--dhcp", "eth0"]);
    let script = lab.notes("any");
    // Its answers to a machine that asks for broadcasts are heard, whichever offer that machine takes.
    wait_until("the other is told of", PATIENCE, || {
        lab.udhcpc(&script, &["-B"]);
        lab.text("serve.out").contains("is served by another DHCP server, 10.77.0.9")
    });
    assert_eq!(lab.text("serve.out").matches("another DHCP server").count(), 1, "once");
}

/// The kernel takes our advertisements, and no route with them.
#[test]
fn advertisements_reach_the_kernel_and_make_no_route() {
    let test = "boot::dhcp_clients::advertisements_reach_the_kernel_and_make_no_route";
    let Some(mut lab) = Lab::up(test, &["sysctl"]) else { return };
    let client = lab.space("client");
    run("ip", &["netns", "exec", &client, "sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2"]).unwrap();
    lab.serve(&["--dhcp", "eth0"]);
    let taken = || {
        let counters = run("ip", &["netns", "exec", &client, "cat", "/proc/net/snmp6"]).unwrap();
        let line = counters.lines().find(|l| l.starts_with("Icmp6InRouterAdvertisements")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u32>().unwrap()
    };
    wait_until("an advertisement comes", PATIENCE, || taken() > 0);
    // Who comes up asks, and is answered without waiting for the next round.
    let before = taken();
    lab.become_mac(MAC);
    wait_until("a solicitation is answered", PATIENCE, || taken() > before);
    assert_eq!(run("ip", &["-n", &client, "-6", "route", "show", "default"]).unwrap(), "");
    let global = run("ip", &["-n", &client, "-6", "address", "show", "dev", "eth0", "scope", "global"]).unwrap();
    assert_eq!(global, "", "no address either");
}

/// What stands in the way is said, with what to do.
#[test]
fn what_is_missing_is_told() {
    let test = "boot::dhcp_clients::what_is_missing_is_told";
    let Some(mut lab) = Lab::up(test, &["setpriv"]) else { return };
    lab.serve(&["--dhcp", "eth0"]);
    let tried = |before: &[&str], words: &[&str]| {
        let program = before.first().copied().unwrap_or(env!("CARGO_BIN_EXE_bringup"));
        let mut command = lab.inside("server", program);
        command.args(before.get(1..).unwrap_or_default());
        if !before.is_empty() {
            command.arg(env!("CARGO_BIN_EXE_bringup"));
        }
        let output = command
            .args(["-i", "inventory", "--state", "other/journal.db", "serve", "--listen", "127.0.0.1:0"])
            .args(words)
            .output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let powerless = ["setpriv", "--bounding-set", "-net_bind_service,-net_raw", "--inh-caps", "-net_bind_service,-net_raw"];
    for (before, words, error, hint) in [
        (&[][..], &["--dhcp", "eth0"][..], "another program listens on UDP port 67 of eth0", "--proxy-dhcp"),
        (&[][..], &["--dhcp", "eth9"][..], "there is no network interface `eth9`", "ip link"),
        (&[][..], &["--proxy-dhcp", "../eth0"][..], "there is no network interface `../eth0`", "ip link"),
        (&powerless[..], &["--dhcp", "lo"][..], "the rights to listen on UDP port 67 of lo are missing", "setcap"),
    ] {
        let (code, said) = tried(before, words);
        assert_eq!(code, Some(1), "{words:?}: {said}");
        assert!(said.contains(error) && said.contains("hint:") && said.contains(hint), "{words:?}: {said}");
        // No less of what would only show when machines boot in vain.
        assert!(said.contains("which only this machine reaches: --listen changes it"), "{said}");
        assert!(said.contains("PXE ROMs will be told to fetch their loader here by TFTP, and get none"), "{said}");
    }
    let (_, said) = tried(&[], &["--dhcp", "eth0", "--tftp"]);
    assert!(!said.contains("PXE ROMs"), "{said}");
    std::fs::write(lab.path("inventory/facts/all.csv"), "node,serial\na001-s01,S101\na001-s02,S102\n").unwrap();
    let (code, said) = tried(&[], &["--dhcp", "eth0"]);
    assert!(code == Some(3) && said.contains("no node of the inventory has the fact `boot_mac`"), "{said}");
}
