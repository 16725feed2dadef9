//! What a site runs without `bringup`: dnsmasq for DHCP and TFTP, nginx for HTTP, the scripts as files by MAC. The same nodes ask for the same bytes;
//! nothing is granted, bound to a machine or written down.

use std::path::Path;

use crate::lab::{self, AT, SERVER, Server, at_server, mac, node};

/// Both, when they serve; `None` after saying what is missing.
pub fn start(space: &str, dir: &Path, nodes: usize) -> Option<[Server; 2]> {
    let site = dir.join("peer");
    std::fs::create_dir_all(site.join("scripts")).unwrap();
    std::fs::create_dir_all(site.join("g/0")).unwrap();
    for file in ["kernel", "initrd"] {
        std::os::unix::fs::symlink(dir.join(file), site.join("g/0").join(file)).unwrap();
    }
    let chain = "#!ipxe\nchain --replace /boot.ipxe?mac=${netX/mac:hexhyp}&arch=${buildarch} || exit 1\n";
    std::fs::write(site.join("boot.ipxe"), chain).unwrap();
    let mut hosts = String::new();
    for n in 0..nodes {
        let (name, octets, [a, b, c, d]) = node(n);
        hosts.push_str(&format!("{},{a}.{b}.{c}.{d},{name}\n", mac(octets)));
        let script = format!(
            "#!ipxe\necho {name} boots\nkernel --name kernel /g/0/kernel initrd=initrd0 console=ttyS0 || exit 1\n\
             initrd --name initrd0 /g/0/initrd || exit 1\nboot\n"
        );
        std::fs::write(site.join("scripts").join(mac(octets).replace(':', "-")), script).unwrap();
    }
    std::fs::write(site.join("hosts"), hosts).unwrap();
    Some([dnsmasq(space, dir, &site)?, nginx(space, &site)?])
}

fn dnsmasq(space: &str, dir: &Path, site: &Path) -> Option<Server> {
    let mut command = at_server(space, &lab::program("dnsmasq").display().to_string());
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--user=root",
        "--interface=eth0",
        "--bind-interfaces",
    ]);
    command.args(["--dhcp-authoritative", "--no-ping", "--quiet-dhcp", "--quiet-tftp", "--log-facility=/dev/null", "--pid-file"]);
    // Its own limits are 1,000 leases and 50 transfers.
    command.args(["--dhcp-lease-max=2500", "--tftp-max=2500", "--dhcp-range=10.78.0.0,static,255.255.0.0,10m"]);
    command.args(["--dhcp-userclass=set:ipxe,iPXE", &format!("--dhcp-boot=tag:!ipxe,snponly.efi,,{SERVER}")]);
    command.arg(format!("--dhcp-boot=tag:ipxe,http://{AT}/boot.ipxe"));
    command.arg("--enable-tftp").arg(format!("--tftp-root={}", dir.join("loaders").display()));
    command.arg(format!("--dhcp-hostsfile={}", site.join("hosts").display()));
    command.arg(format!("--dhcp-leasefile={}", site.join("leases").display()));
    // It makes its lease file when all else is in order.
    Server::peer("dnsmasq", &mut command, || site.join("leases").exists())
}

/// One process, as in the bench `http`.
fn nginx(space: &str, site: &Path) -> Option<Server> {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", site.display()))
        .concat();
    let config = format!(
        "daemon off; master_process off; pid {0}/nginx.pid; error_log {0}/error.log;\nworker_rlimit_nofile 8192;\n\
         events {{ worker_connections 4096; }}\nhttp {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n{temporary}\
         server {{ listen {AT} backlog=4096; root {0}; default_type text/plain;\n\
         location = /boot.ipxe {{ if ($arg_mac) {{ rewrite ^ /scripts/$arg_mac? last; }} }} }} }}\n",
        site.display()
    );
    std::fs::write(site.join("nginx.conf"), config).unwrap();
    let mut command = at_server(space, &lab::program("nginx").display().to_string());
    command.arg("-c").arg(site.join("nginx.conf")).arg("-e").arg(site.join("error.log"));
    Server::peer("nginx", &mut command, || std::net::TcpStream::connect(AT).is_ok())
}
