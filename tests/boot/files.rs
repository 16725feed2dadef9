//! Files: ranges, resuming, and never a file that is not the grant's.

use std::process::Command;

use bringup::boot::Stage;

use super::site::{Site, kernel};

#[test]
fn ranges_as_curl_asks_for_them() {
    let Some(site) = Site::start("boot::files::ranges_as_curl_asks_for_them") else { return };
    let issued = site.issue(site.spec());
    let path = format!("{}/kernel", site.files_of(&issued));
    let kernel = kernel();
    let head = site.curl(&path, &["-I"]);
    assert_eq!((head.status, head.header("content-length"), head.header("accept-ranges")), (200, Some("700001"), Some("bytes")));
    let tag = head.header("etag").unwrap().to_owned();
    let part = site.curl(&path, &["-r", "300000-500000"]);
    assert_eq!((part.status, part.header("content-range")), (206, Some("bytes 300000-500000/700001")));
    assert_eq!(part.body, kernel[300_000..=500_000]);
    assert_eq!(site.curl(&path, &["-r", "-5"]).body, kernel[699_996..]);
    assert_eq!(site.curl(&path, &["-r", "700000-"]).body, kernel[700_000..]);
    let outside = site.curl(&path, &["-r", "700001-"]);
    assert_eq!((outside.status, outside.header("content-range")), (416, Some("bytes */700001")));
    assert_eq!(site.curl(&path, &["-r", "0-9", "-H", &format!("If-Range: {tag}")]).status, 206);
    assert_eq!(site.curl(&path, &["-r", "0-9", "-H", "If-Range: \"other\""]).body, kernel, "another version: the whole file");
    // curl resumes a download that was broken off.
    let half = site.dir.path().join("half");
    std::fs::write(&half, &kernel[..123_456]).unwrap();
    let done =
        Command::new("curl").args(["-sS", "-C", "-", "-o"]).arg(&half).arg(format!("http://{}{path}", site.address)).status();
    assert!(done.unwrap().success());
    assert_eq!(std::fs::read(&half).unwrap(), kernel);
}

#[test]
fn a_file_that_was_changed_is_refused_with_a_clear_line() {
    let Some(site) = Site::start("boot::files::a_file_that_was_changed_is_refused_with_a_clear_line") else { return };
    let spec = site.spec();
    let (id, path) = (spec.id.clone(), spec.kernel.path.clone());
    let issued = site.issue(spec);
    let base = site.files_of(&issued);
    assert_eq!(site.get(&format!("{base}/kernel")).status, 200);
    let mut changed = kernel();
    changed[1000] ^= 1;
    std::fs::write(&path, &changed).unwrap();
    let got = site.get(&format!("{base}/kernel"));
    assert_eq!(got.status, 500);
    assert!(got.text().contains("digest"), "{}", got.text());
    let refused: Vec<_> = site.events().into_iter().filter(|e| e.stage == Stage::Refused).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].grant.as_deref(), Some(&*id));
    // Put right again, it is served again.
    std::fs::write(&path, kernel()).unwrap();
    assert_eq!(site.get(&format!("{base}/kernel")).status, 200);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(site.get(&format!("{base}/kernel")).status, 500);
}

/// A change while the file is on its way breaks the transfer off: the node sees too few bytes, not wrong ones.
#[test]
fn a_file_that_changes_on_its_way_is_cut_short() {
    let Some(site) = Site::start("boot::files::a_file_that_changes_on_its_way_is_cut_short") else { return };
    let content = vec![7_u8; 30_000_000];
    let mut spec = site.spec();
    spec.root = Some(site.file("root", &content));
    let path = spec.root.as_ref().unwrap().path.clone();
    let issued = site.issue(spec);
    let url = format!("http://{}{}/root", site.address, site.files_of(&issued));
    let out = site.dir.path().join("out");
    let mut curl = Command::new("curl").args(["-sS", "--limit-rate", "8M", "-o"]).arg(&out).arg(url).spawn().unwrap();
    crate::support::wait_until("some of it has come", std::time::Duration::from_secs(30), || {
        std::fs::metadata(&out).is_ok_and(|m| m.len() > 1_000_000)
    });
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().set_len(30_000_001).unwrap();
    assert_eq!(curl.wait().unwrap().code(), Some(18), "curl says that the transfer was partial");
    assert!(std::fs::metadata(&out).unwrap().len() < 30_000_000);
}
