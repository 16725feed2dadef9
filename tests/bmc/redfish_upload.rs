//! An upload on the wire: large and streamed, cut off in the middle, changed under way, and refused while it is sent.

use std::net::SocketAddr;
use std::time::Duration;

use bringup::bmc::redfish::{Redfish, RedfishOptions};
use bringup::bmc::updating::{FirmwareImage, UpdateClass, UpdateProgress, UpdateTerms, Updating as _};
use bringup::bmc::{Bmc as _, Password, Written};
use bringup::model::{BmcTrust, Component, Digest, Version};
use bringup::sim::{Farm, FarmSpec, Image, Seed, profile};
use sha2::Digest as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::redfish_server::quick;

async fn farm(vendor: &str) -> Farm {
    let mut spec = FarmSpec::racks(1, 1, Seed(7), false).unwrap();
    spec.speed = 10_000;
    spec.plain_http = true;
    spec.nodes[0].profile = profile::by_name(vendor).unwrap();
    Farm::start(spec).await.unwrap()
}

fn client(farm: &Farm, address: SocketAddr) -> Redfish {
    let mut options = RedfishOptions::new(address, "admin", Password::new(farm.bmc_password()), BmcTrust::Plaintext);
    options.limits = quick();
    options.limits.update.grace = Duration::from_millis(400);
    options.limits.update.lag = Duration::from_millis(600);
    Redfish::new(options).unwrap()
}

struct File {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    sha256: Digest,
}

fn file(len: usize) -> File {
    let bytes = Image { component: "PSU_1".into(), version: "9.9".into() }.bytes(len);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("psu.bin");
    std::fs::write(&path, &bytes).unwrap();
    File { _dir: dir, path, sha256: Digest::from_bytes(&sha2::Sha256::digest(&bytes).into()) }
}

async fn push(bmc: &Redfish, file: &File, tell: &(dyn Fn(UpdateProgress) + Send + Sync)) -> Written {
    let image = FirmwareImage {
        file: &file.path,
        name: "psu.bin",
        sha256: &file.sha256,
        component: &Component::new("PSU_1").unwrap(),
        version: &Version::new("9.9").unwrap(),
        url: None,
        targets: None,
    };
    bmc.update(&image, &UpdateTerms { deadline: Duration::from_secs(30), again: false, hpm: false, tell }).await
}

/// A way to the BMC that ends, once, when so many bytes have gone to it on one connection.
async fn cutting(to: SocketAddr, after: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cut = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let cut = cut.clone();
            tokio::spawn(async move {
                let far = TcpStream::connect(to).await.unwrap();
                let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
                let back = tokio::spawn(async move { tokio::io::copy(&mut far_in, &mut near_out).await });
                let (mut passed, mut buffer) = (0, vec![0; 16 << 10]);
                while let Ok(n @ 1..) = near_in.read(&mut buffer).await {
                    passed += n;
                    if passed > after && !cut.swap(true, std::sync::atomic::Ordering::SeqCst) {
                        back.abort();
                        return;
                    }
                    if far_out.write_all(&buffer[..n]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_image_is_streamed_and_told_as_it_goes() {
    let farm = farm("dell").await;
    let node = &farm.nodes()[0];
    let bmc = client(&farm, node.bmc);
    let file = file(24 << 20);
    let steps = std::sync::Mutex::new(Vec::new());
    let written = push(&bmc, &file, &|step| steps.lock().unwrap().push(step)).await;
    bmc.close().await;
    assert!(matches!(written, Written::Applied(_)), "{written:?}");
    let sent: Vec<(u64, u64)> = (steps.into_inner().unwrap().into_iter())
        .filter_map(|step| if let UpdateProgress::Uploading { sent, of } = step { Some((sent, of)) } else { None })
        .collect();
    assert!(sent.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 == pair[1].1), "{sent:?}");
    assert!(sent.last().is_some_and(|(sent, of)| sent <= of && *of > 24 << 20), "{sent:?}");
    assert_eq!((node.machine.uploads(), node.machine.flashes()), (1, 1));
    farm.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_breaks_off_had_no_effect_and_may_be_sent_again() {
    let farm = farm("dell").await;
    let node = &farm.nodes()[0];
    let bmc = client(&farm, cutting(node.bmc, 3 << 20).await);
    let file = file(8 << 20);
    let written = push(&bmc, &file, &|_| {}).await;
    let Written::NotApplied(e) = &written else { panic!("{written:?}") };
    assert_eq!(UpdateClass::of(e), Some(UpdateClass::Transient), "{e:?}");
    assert!(e.seen.contains("bytes"), "{e}");
    assert_eq!((node.machine.uploads(), node.machine.flashes()), (0, 0));
    let written = push(&bmc, &file, &|_| {}).await;
    bmc.close().await;
    assert!(matches!(written, Written::Applied(_)), "{written:?}");
    assert_eq!(node.machine.flashes(), 1);
    farm.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_file_than_the_one_that_was_announced_never_arrives() {
    let farm = farm("dell").await;
    let node = &farm.nodes()[0];
    let bmc = client(&farm, node.bmc);
    let mut changed = file(300_000);
    let bytes = std::fs::read(&changed.path).unwrap();
    std::fs::write(&changed.path, &bytes[..200_000]).unwrap();
    let written = push(&bmc, &changed, &|_| {}).await;
    let Written::NotApplied(e) = &written else { panic!("{written:?}") };
    assert!(UpdateClass::of(e) == Some(UpdateClass::Precondition) && e.seen.contains("the image changed"), "{e}");
    changed.path = changed.path.with_file_name("none");
    let written = push(&bmc, &changed, &|_| {}).await;
    let Written::NotApplied(e) = &written else { panic!("{written:?}") };
    assert_eq!(UpdateClass::of(e), Some(UpdateClass::Precondition), "{e}");
    bmc.close().await;
    assert_eq!((node.machine.uploads(), node.machine.flashes()), (0, 0));
    farm.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_bmc_ends_an_upload_in_bounded_time() {
    // It accepts the connection, answers reads, and reads nothing of the upload's body.
    let farm = farm("dell").await;
    let node = &farm.nodes()[0];
    let to = node.bmc;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let far = TcpStream::connect(to).await.unwrap();
                let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut far_in, &mut near_out).await });
                let mut buffer = vec![0; 16 << 10];
                while let Ok(n @ 1..) = near_in.read(&mut buffer).await {
                    if buffer[..n].windows(15).any(|w| w == b"MultipartUpload") && buffer.starts_with(b"POST") {
                        std::future::pending::<()>().await;
                    }
                    if far_out.write_all(&buffer[..n]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let mut options = RedfishOptions::new(address, "admin", Password::new(farm.bmc_password()), BmcTrust::Plaintext);
    options.limits = quick();
    options.limits.update.silent = Duration::from_millis(700);
    let bmc = Redfish::new(options).unwrap();
    let start = std::time::Instant::now();
    let written = push(&bmc, &file(32 << 20), &|_| {}).await;
    bmc.close().await;
    let Written::NotApplied(e) = &written else { panic!("{written:?}") };
    assert!(UpdateClass::of(e) == Some(UpdateClass::Transient) && e.seen.contains("the upload stood still"), "{e}");
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(node.machine.flashes(), 0);
    farm.stop().await;
}
