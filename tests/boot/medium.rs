//! Boot media as BMCs fetch them: whole, in ranges, looked at first; and as others read them (xorriso).

use std::process::Command;

use bringup::boot::Stage;
use bringup::model::Digest;
use sha2::{Digest as _, Sha256};

use super::site::{Site, grub, kernel};
use crate::support::need_program;

fn name(test: &str) -> String {
    format!("boot::medium::{test}")
}

#[test]
fn a_bmc_fetches_a_medium_whole_or_in_ranges() {
    let Some(site) = Site::start(&name("a_bmc_fetches_a_medium_whole_or_in_ranges")) else { return };
    let issued = site.issue_medium(site.spec());
    let path = issued.medium_path();
    let look = site.curl(&path, &["-I"]);
    assert_eq!((look.status, look.header("accept-ranges")), (200, Some("bytes")), "{}", look.head);
    assert!(!site.status(&issued.public_id).stages.contains_key(&Stage::Medium), "a look is not a fetch");
    let whole = site.get(&path);
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("application/vnd.efi.iso")));
    assert_eq!(look.header("content-length").unwrap(), whole.body.len().to_string());
    let tag = format!("\"{}\"", Digest::from_bytes(&Sha256::digest(&whole.body).into()));
    assert_eq!((look.header("etag"), whole.header("etag")), (Some(&*tag), Some(&*tag)), "the tag is the medium's own SHA-256");
    // Pieces of any length, across everything that it is made of.
    let length = whole.body.len();
    let mut glued = Vec::new();
    for from in (0..length).step_by(777_777) {
        let to = (from + 777_776).min(length - 1);
        let part = site.curl(&path, &["-r", &format!("{from}-{to}"), "-H", &format!("If-Range: {tag}")]);
        assert_eq!((part.status, part.header("content-range")), (206, Some(&*format!("bytes {from}-{to}/{length}"))));
        glued.extend(part.body);
    }
    assert!(glued == whole.body, "the ranges make the medium");
    assert_eq!(site.curl(&path, &["-r", &format!("{length}-")]).status, 416);
    assert!(site.status(&issued.public_id).stages.contains_key(&Stage::Medium));
}

#[test]
fn xorriso_reads_what_is_on_it() {
    let test = name("xorriso_reads_what_is_on_it");
    if need_program(&test, "xorriso").is_none() {
        return;
    }
    let Some(site) = Site::start(&test) else { return };
    let spec = site.spec();
    let id = spec.id.clone();
    let issued = site.issue_medium(spec);
    let (disc, out) = (site.dir.path().join("disc.iso"), site.dir.path().join("out"));
    std::fs::write(&disc, site.get(&issued.medium_path()).body).unwrap();
    let run = |words: &[&str]| {
        let done = Command::new("xorriso").args(["-indev"]).arg(&disc).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(done.status.success() && !said.contains("FAILURE") && !said.contains("WARNING"), "{said}");
        said
    };
    let boot = run(&["-report_el_torito", "plain"]);
    assert!(boot.contains("El Torito catalog") && boot.contains("UEFI"), "{boot}");
    run(&["-osirrox", "on", "-extract", "/", out.to_str().unwrap()]);
    // xorriso shows names of level 1 in capitals.
    let file = |name: &str| {
        let lower = name.to_lowercase();
        std::fs::read(out.join(name)).or_else(|_| std::fs::read(out.join(&lower))).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    assert!(file("BOOT/KERNEL") == kernel());
    assert_eq!((file("BOOT/INITRD00"), file("BOOT/INITRD01")), (b"initrd zero".to_vec(), b"initrd one".to_vec()));
    let text = String::from_utf8(file("BOOT/GRUB/GRUB.CFG")).unwrap();
    assert!(text.contains(&format!("'bringup.grant={id}'")) && text.contains("initrd /boot/initrd00 /boot/initrd01"), "{text}");
    assert!(text.contains(&format!("'fetch=http://{}/g/", site.address)), "the root comes by HTTP: {text}");
    // The root's address opens the root and the medium does not open a script.
    let root = text.split("'fetch=http://").nth(1).unwrap().split('\'').next().unwrap().split_once('/').unwrap().1.to_owned();
    assert_eq!(site.get(&format!("/{root}")).body, b"squashfs");
    // The program lies in a FAT file system, in one piece.
    let (disc, program) = (std::fs::read(&disc).unwrap(), grub());
    assert!(disc.windows(2048).step_by(512).any(|window| window == &program[..2048]));
}

#[test]
fn a_medium_is_for_one_machine_and_one_grant() {
    let Some(site) = Site::start(&name("a_medium_is_for_one_machine_and_one_grant")) else { return };
    let spec = site.spec();
    let id = spec.id.clone();
    let issued = site.issue_medium(spec);
    // Nobody gets a script for it, by its token or by its MAC.
    assert_eq!(site.get(&issued.script_path()).status, 404);
    let by_mac = site.get("/boot.ipxe?mac=52-54-00-aa-00-01");
    assert!(by_mac.text().contains("nothing is granted"), "{}", by_mac.text());
    assert_eq!(site.curl(&issued.medium_path(), &["-r", "0-99"]).status, 206);
    let other = site.curl(&issued.medium_path(), &["--interface", "127.90.0.77"]);
    assert_eq!((other.status, other.text()), (403, "another machine fetched the medium first\n"));
    // The grant of a script opens no medium.
    let script = site.issue(site.spec());
    assert_eq!(site.get(&script.medium_path()).status, 404);
    // It was the same node's, so the medium's grant was revoked; and a released one is over too.
    assert_eq!(site.get(&issued.medium_path()).status, 410);
    let again = site.issue_medium(site.spec());
    assert_eq!(site.get(&again.medium_path()).status, 200);
    assert!(site.runtime.block_on(site.grants.release(&again.public_id)).unwrap());
    let over = site.get(&again.medium_path());
    assert_eq!((over.status, over.text()), (410, "the grant was released\n"));
    let refused = site.events().into_iter().filter(|e| e.stage == Stage::Refused && e.grant.as_deref() == Some(&*id)).count();
    assert_eq!(refused, 2, "the other machine, and the revoked grant");
}

#[test]
fn media_of_one_image_differ_in_their_last_bytes_alone() {
    let Some(site) = Site::start(&name("media_of_one_image_differ_in_their_last_bytes_alone")) else { return };
    let one = site.get(&site.issue_medium(site.spec()).medium_path()).body;
    let two = site.get(&site.issue_medium(site.spec()).medium_path()).body;
    let shared = one.len() - 4096;
    assert!(one.len() == two.len() && one[..shared] == two[..shared] && one != two);
}

#[test]
fn a_changed_file_or_loader_is_on_no_medium() {
    let Some(site) = Site::start(&name("a_changed_file_or_loader_is_on_no_medium")) else { return };
    let issued = site.issue_medium(site.spec());
    assert_eq!(site.get(&issued.medium_path()).status, 200);
    let program = site.dir.path().join("loaders/gcdx64.efi");
    let (good, mut bad) = (grub(), grub());
    bad[77_777] ^= 1;
    std::fs::write(&program, &bad).unwrap();
    let got = site.get(&issued.medium_path());
    assert_eq!((got.status, got.text()), (500, "the medium cannot be made\n"));
    std::fs::write(&program, &good).unwrap();
    assert_eq!(site.get(&issued.medium_path()).status, 200);
    // A swapped iPXE is not served either, by grant or without.
    std::fs::write(site.dir.path().join("loaders/ipxe.efi"), b"MZ other").unwrap();
    assert_eq!(site.get("/loader/ipxe.efi").status, 404);
    let script = site.issue(site.spec());
    assert_eq!(site.get(&script.loader_path()).status, 404);
    assert_eq!(site.get("/loader/snponly.efi").status, 404, "there is none");
    // What GRUB would change is refused before anything is granted.
    let mut spec = site.spec();
    spec.cmdline = vec!["dyndbg=\"x\"".into()];
    let refused = site.runtime.block_on(site.grants.issue_medium(spec, None)).err().map(|e| format!("{:?}", e));
    assert!(refused.as_ref().is_some_and(|e| e.contains("GRUB")), "{refused:?}");
}
