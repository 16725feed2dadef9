//! 1,250 nodes switched on at once, against one `bringup serve` in a network namespace: DHCP, loader by TFTP, DHCP of iPXE, two scripts, kernel
//! and initrd by HTTP, each node with sockets and an address of its own, every byte compared. Prints p50, p99 and the slowest of each part, what had
//! to be asked again and sent again, and the server's peak memory and processor time; asserts that every node got everything and nothing about time.
//! Then the same nodes boot by dnsmasq and nginx with the same files, as a site would set them up by hand.
//!
//! `cargo bench --bench boot_storm`; needs root (network namespaces, ports 67 and 69). `BRINGUP_BENCH_NODES` (1250), `BRINGUP_BENCH_KERNEL_MIB` (8),
//! `BRINGUP_BENCH_INITRD_MIB` (16), `BRINGUP_BENCH_CACHES` (0): so many rack caches beside the nodes, which fetch kernel and initrd from them; what
//! the boot server sent of files is printed in any case. The parts of the job are beside their peers, in turn, in the benches dhcp, tftp and http.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

#[allow(dead_code)]
mod lab;
mod node;
mod packet;
mod peer;
mod relay;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bringup::boot::{GrantSpec, Grants, new_grant_id, now_ms};
use bringup::model::{Artifact, Digest, NodeId, PlanId, RunId};
use sha2::{Digest as _, Sha256};

use lab::{NODES, Server};
use node::Files;
use relay::Relay;

fn main() {
    let space = lab::enter();
    let nodes = number("NODES", NODES).min(NODES);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    lab::inventory(dir);
    let loaders = dir.join("loaders");
    std::fs::create_dir_all(&loaders).unwrap();
    std::fs::create_dir_all(dir.join("state")).unwrap();
    let files = Arc::new(Files {
        // Debian's snponly.efi has about this length.
        loader: bytes(270_000, 1),
        kernel: bytes(number("KERNEL_MIB", 8) << 20, 2),
        initrd: bytes(number("INITRD_MIB", 16) << 20, 3),
    });
    for name in ["snponly.efi", "ipxe.efi", "undionly.kpxe"] {
        std::fs::write(loaders.join(name), &files.loader).unwrap();
    }
    lab::pin(&loaders);
    let (kernel, initrd) = (artifact(dir, "kernel", &files.kernel), artifact(dir, "initrd", &files.initrd));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(NODES)
        // Threads that have their script are not to wait behind all the packets of the others.
        .global_queue_interval(1)
        .thread_stack_size(256 << 10)
        .build()
        .unwrap();
    let begun = Instant::now();
    let caches = number("CACHES", 0);
    runtime.block_on(issue(dir, nodes, caches, &kernel, &initrd));
    println!("{nodes} grants issued in {:.2} s", begun.elapsed().as_secs_f64());

    println!("{nodes} nodes at once, kernel {} MiB, initrd {} MiB", files.kernel.len() >> 20, files.initrd.len() >> 20);
    let server = Server::ours(&space, dir, &loaders, &["--tftp"]);
    let racks: Vec<Server> = (0..caches).map(|n| Server::cache(dir, n)).collect();
    let storm = Storm::of(&runtime, nodes, &files, std::slice::from_ref(&server));
    storm.print("bringup serve", "  (target: p99 < 100)", "target: 0", "target: < 128");
    assert_eq!((storm.all.len(), storm.failed), (nodes, 0), "every node gets everything");
    let left = runtime.block_on(bringup::boot::health(lab::AT.parse().unwrap())).unwrap().storm.unwrap().bytes;
    let (one, all) = (files.kernel.len() + files.initrd.len(), nodes * (files.kernel.len() + files.initrd.len()));
    let mb = |bytes: usize| bytes as f64 / 1e6;
    println!(
        "  kernel and initrd by the uplink: {left} bytes, {:.2} times one copy of {:.1} MB; the nodes got {:.0} MB",
        left as f64 / one as f64,
        mb(one),
        mb(all)
    );
    for rack in &racks {
        println!("  {}: peak {:.1} MiB, cpu {:.2} s", rack.name, rack.peak_mib(), rack.cpu().as_secs_f64());
    }
    // Each cache asks once for each file of each node, by one byte of it.
    assert!(caches == 0 || left as usize == caches * one + nodes * 2, "not one copy for each cache");
    drop((server, racks));
    if let Some(peers) = peer::start(&space, dir, nodes) {
        Storm::of(&runtime, nodes, &files, &peers).print("dnsmasq and nginx", "", "all nodes", "both");
    }
}

/// What became of it.
struct Storm {
    all: Vec<node::Booted>,
    /// Nodes that a server left alone.
    failed: usize,
    bytes: usize,
    wall: Duration,
    peak_mib: f64,
    cpu: Duration,
    /// TCP segments that were sent again, by the nodes and by the servers.
    segments: [u64; 2],
}

impl Storm {
    fn of(runtime: &tokio::runtime::Runtime, nodes: usize, files: &Arc<Files>, servers: &[Server]) -> Self {
        let segments = || [std::process::id(), servers[0].pid()].map(lab::segments_again);
        let cpu = || servers.iter().map(Server::cpu).sum::<Duration>();
        let (cpu_before, before, begun) = (cpu(), segments(), Instant::now());
        let (all, failed) = runtime.block_on(storm(nodes, files));
        let wall = begun.elapsed();
        let after = segments();
        Self {
            bytes: all.len() * (files.loader.len() + files.kernel.len() + files.initrd.len()),
            all,
            failed,
            wall,
            peak_mib: servers.iter().map(Server::peak_mib).sum(),
            cpu: cpu() - cpu_before,
            segments: [after[0] - before[0], after[1] - before[1]],
        }
    }

    fn print(&self, who: &str, script: &str, again: &str, memory: &str) {
        let mut parts: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
        for (name, took) in self.all.iter().flat_map(|one| &one.parts) {
            parts.entry(name).or_default().push(*took);
        }
        println!("{who}, ms:");
        for (name, _) in self.all.first().iter().flat_map(|one| &one.parts) {
            let took = parts.get_mut(name).unwrap();
            took.sort();
            let ms = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
            let target = if *name == "script of the grant" { script } else { "" };
            println!("  {name:22} p50 {:>9.1}  p99 {:>9.1}  slowest {:>9.1}{target}", ms(50), ms(99), ms(100));
        }
        println!(
            "  asked again: {} ({again}); all booted after {:.1} s, {:.0} MB/s; server: peak {:.1} MiB ({memory}), cpu {:.2} s",
            self.all.iter().map(|one| one.again).sum::<usize>(),
            self.wall.as_secs_f64(),
            self.bytes as f64 / 1e6 / self.wall.as_secs_f64(),
            self.peak_mib,
            self.cpu.as_secs_f64(),
        );
        let [nodes, servers] = self.segments;
        println!("  given up: {} nodes; TCP segments sent again: {nodes} by the nodes, {servers} by the server", self.failed);
    }
}

/// The nodes that booted, and how many did not.
async fn storm(nodes: usize, files: &Arc<Files>) -> (Vec<node::Booted>, usize) {
    let relay = Relay::start().await;
    let mut all = tokio::task::JoinSet::new();
    for n in 0..nodes {
        all.spawn(node::boot(n, Arc::clone(&relay), Arc::clone(files)));
    }
    let (mut booted, mut failed) = (Vec::new(), 0);
    while let Some(end) = all.join_next().await {
        match end {
            Ok(one) => booted.push(one),
            Err(_) => failed += 1,
        }
    }
    relay.stop().await;
    (booted, failed)
}

async fn issue(dir: &Path, nodes: usize, caches: usize, kernel: &Artifact, initrd: &Artifact) {
    let grants = Grants::open(&dir.join("state/grants.db")).unwrap();
    for n in 0..nodes {
        let (name, mac, _) = lab::node(n);
        let spec = GrantSpec {
            id: new_grant_id(),
            node: NodeId::new(name).unwrap(),
            plan: PlanId::new("plan-storm").unwrap(),
            run: RunId::new("run-storm").unwrap(),
            mac: Some(lab::mac(mac).parse().unwrap()),
            uuid: None,
            serial: None,
            image: Digest::from_bytes(&[9; 32]),
            kernel: kernel.clone(),
            initrd: vec![initrd.clone()],
            root: None,
            cmdline: vec!["console=ttyS0".into()],
            files_from: (caches > 0).then(|| format!("http://{}", lab::cache(n % caches))),
            expires_at_ms: now_ms() + 3_600_000,
        };
        grants.issue(spec).await.unwrap();
    }
}

fn artifact(dir: &Path, name: &str, content: &[u8]) -> Artifact {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    Artifact { path, sha256: Digest::from_bytes(&Sha256::digest(content).into()) }
}

fn number(name: &str, or: usize) -> usize {
    std::env::var(format!("BRINGUP_BENCH_{name}")).ok().and_then(|n| n.parse().ok()).unwrap_or(or)
}

fn bytes(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|n| ((n + seed).wrapping_mul(2_654_435_761) >> 9) as u8).collect()
}
