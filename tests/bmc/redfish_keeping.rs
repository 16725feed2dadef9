//! BIOS attributes, virtual media, accounts and certificates as other people's services have them: sushy-tools' emulator with its fake driver and with
//! libvirt's own test driver, and the trees captured from real BMCs.

use std::io::{Read as _, Write as _};

use bringup::bmc::keeping::Keeping as _;
use bringup::bmc::redfish::Redfish;
use bringup::bmc::settings::{Bios, BiosOrder, BiosValue, MediaOrder, Settings as _};
use bringup::bmc::{Bmc as _, BmcTrouble, Written};
use bringup::model::Reading;

use super::redfish_server::Server;
use super::redfish_sushy::{Sushy, applied};
use super::redfish_trees::{serve, unpack};

/// A web server that gives the same few bytes to everybody who asks for the image, and nothing to others.
fn images() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut asked = [0; 2048];
            let length = stream.read(&mut asked).unwrap_or(0);
            let found = String::from_utf8_lossy(&asked[..length]).starts_with("GET /rescue.iso ");
            let head = if found { "200 OK\r\ncontent-length: 4" } else { "404 Not Found\r\ncontent-length: 4" };
            drop(stream.write_all(format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\nimag").as_bytes()));
        }
    });
    format!("http://{address}")
}

fn order(pairs: &[(&str, &str)]) -> BiosOrder {
    let set = pairs.iter().map(|(n, v)| ((*n).to_owned(), BiosValue::Text((*v).to_owned()))).collect();
    BiosOrder { set, ..BiosOrder::default() }
}

#[tokio::test]
async fn sushy_media_go_in_and_out() {
    let Some(sushy) = Sushy::start("sushy_media_go_in_and_out") else { return };
    let base = images();
    let bmc = Redfish::new(sushy.options("password", 0)).unwrap();
    let drives = bmc.media().await.unwrap();
    let drives = drives.known().unwrap();
    let cd = drives.iter().find(|d| d.types.iter().any(|t| t == "CD")).unwrap_or_else(|| panic!("{drives:?}"));
    // It says `URI` of an empty drive too.
    assert_eq!((&cd.inserted, cd.connected.known().map(String::as_str)), (&Reading::Known(false), Some("URI")));
    let image = |url: String| MediaOrder { slot: None, url, share: None };
    let url = format!("{base}/rescue.iso");
    println!("insert: {}", applied(bmc.insert_media(&image(url.clone())).await));
    let again = applied(bmc.insert_media(&image(url.clone())).await);
    assert!(again.contains("nothing was sent"), "{again}");
    let held = bmc.media().await.unwrap();
    let holding: Vec<_> = held.known().unwrap().iter().filter(|d| d.inserted == Reading::Known(true)).collect();
    assert_eq!((holding.len(), holding[0].image.known()), (1, Some(&url)));
    // An image that is not there: the BMC says so, in its words, and the drive is not told to hold it.
    match bmc.insert_media(&image(format!("{base}/none.iso"))).await {
        Written::Ambiguous(text) => assert!(text.contains("refused") && text.contains("404"), "the old one was ejected: {text}"),
        other => panic!("{other:?}"),
    }
    println!("eject: {}", applied(bmc.eject_media(None).await));
    match bmc.insert_media(&image(format!("{base}/none.iso"))).await {
        Written::NotApplied(e) => assert!(e.to_string().contains("404"), "{e}"),
        other => panic!("{other:?}"),
    }
    bmc.close().await;
}

/// libvirt's test driver lives in the process and loses everything when nobody is connected.
const LIBVIRT: &str =
    "import libvirt\nKEPT_OPEN = libvirt.open('test:///default')\nSUSHY_EMULATOR_LIBVIRT_URI = 'test:///default'\n";

#[tokio::test]
async fn sushy_bios_attributes_are_written_and_read_back() {
    let test = "sushy_bios_attributes_are_written_and_read_back";
    let Some(sushy) = Sushy::launch(test, LIBVIRT, &["--libvirt-uri", "test:///default"]) else { return };
    let mut options = sushy.options("password", 0);
    options.system = None;
    let bmc = Redfish::new(options).unwrap();
    let known = |reading: Reading<Bios>| match reading {
        Reading::Known(bios) => bios,
        other => panic!("{other:?}; {}", sushy.log()),
    };
    let before = known(bmc.bios().await.unwrap());
    assert!(before.current.contains_key("ProcTurboMode") && before.pending.is_empty(), "{before:?}");
    let now = before.current["ProcTurboMode"].to_string();
    let other = if now == "Enabled" { "Disabled" } else { "Enabled" };
    // It applies at once, and shows the same attributes as pending and as current.
    let seen = applied(bmc.set_bios(&order(&[("ProcTurboMode", other)])).await);
    println!("set: {seen}");
    assert!(seen.contains(&format!("in force: ProcTurboMode={other}")), "{seen}");
    assert_eq!(known(bmc.bios().await.unwrap()).current["ProcTurboMode"].to_string(), other);
    // A PATCH there replaces all attributes: what else was there is gone, and that is sushy-tools' own habit, told as it is.
    let seen = applied(bmc.set_bios(&order(&[("ProcTurboMode", other)])).await);
    assert!(seen.contains("was so already"), "{seen}");
    match bmc.set_bios(&order(&[("NoSuchThing", "1")])).await {
        Written::NotApplied(e) => assert!(e.to_string().contains("no such attribute"), "{e}"),
        other => panic!("{other:?}"),
    }
    bmc.close().await;
}

struct Want {
    tree: &'static str,
    attributes: usize,
    pending: usize,
    registry: Option<&'static str>,
    drives: usize,
    accounts: &'static [&'static str],
    /// An attribute, a value that it does not take, and words of the refusal.
    wrong: (&'static str, &'static str, &'static str),
}

#[tokio::test]
async fn every_captured_tree_has_its_settings_read_and_its_registry_found() {
    let test = "every_captured_tree_has_its_settings_read_and_its_registry_found";
    let wants = [
        Want {
            tree: "dell",
            attributes: 455,
            pending: 0,
            registry: Some("BiosAttributeRegistry.v1_0_3"),
            drives: 4,
            accounts: &["root"],
            wrong: ("LogicalProc", "Maybe", "`Maybe` is not one of Enabled, Disabled"),
        },
        Want {
            tree: "hpe",
            attributes: 277,
            pending: 0,
            registry: Some("BiosAttributeRegistryA42.v1_2_60"),
            drives: 2,
            accounts: &["root", "tests_admin"],
            wrong: ("PatrolScrubDuration", "25", "25 is not within 1 to 24"),
        },
        Want {
            tree: "nvidia_viking",
            attributes: 223,
            pending: 0,
            registry: Some("BiosAttributeRegistry113.1.1.3"),
            drives: 0,
            accounts: &["admin"],
            wrong: ("ConsoleRedirectionEnable0", "on", "neither true nor false"),
        },
        Want {
            tree: "supermicro",
            attributes: 379,
            pending: 0,
            registry: Some("BiosAttributeRegistry.v1_0_0"),
            drives: 3,
            accounts: &["root", "tests_admin"],
            // Its registry is not in the capture: the kind of what is there now is all there is to go by.
            wrong: ("Above4GDecoding", "", ""),
        },
        Want {
            tree: "tree-supermicro-gb300",
            attributes: 360,
            pending: 0,
            registry: None,
            drives: 3,
            accounts: &["root"],
            wrong: ("ActiveCores", "337", "337 is not within 0 to 336"),
        },
        Want {
            tree: "dmtf-public-rackmount1",
            attributes: 10,
            pending: 4,
            registry: Some("BiosAttributeRegistryP89.v1_0_0"),
            drives: 2,
            accounts: &["Administrator"],
            wrong: ("ProcCoreDisable", "many", "is not a whole number"),
        },
    ];
    for want in wants {
        let Some((_dir, root)) = unpack(test, want.tree) else { return };
        let server = Server::plain(serve(root)).await;
        let bmc = server.client();
        let line = survey(&want, &bmc).await;
        println!("{line}");
        let writes = server.log.lock().unwrap().iter().filter(|s| s.method != "GET" && !s.path.contains("Sessions")).count();
        assert_eq!(writes, 0, "{}: what is refused beforehand is not sent", want.tree);
        bmc.close().await;
    }
}

async fn survey(want: &Want, bmc: &Redfish) -> String {
    let tree = want.tree;
    let bios = bmc.bios().await.unwrap_or_else(|e| panic!("{tree}: {e}"));
    let bios = bios.known().unwrap_or_else(|| panic!("{tree}: {bios:?}"));
    assert_eq!((bios.current.len(), bios.pending.len()), (want.attributes, want.pending), "{tree}: {:?}", bios.pending);
    assert_eq!(bios.registry.known().map(String::as_str), want.registry, "{tree}");
    let media = bmc.media().await.unwrap_or_else(|e| panic!("{tree}: {e}"));
    let drives = media.known().map_or(0, Vec::len);
    assert_eq!(drives, want.drives, "{tree}: {media:?}");
    let accounts = bmc.accounts().await.unwrap_or_else(|e| panic!("{tree}: {e}"));
    let users: Vec<&str> = accounts.known().unwrap().iter().map(|a| a.user.as_str()).collect();
    for user in want.accounts {
        assert!(users.contains(user), "{tree}: {users:?}");
    }
    let certificate = bmc.own_certificate().await.unwrap_or_else(|e| panic!("{tree}: {e}"));
    let (name, value, words) = want.wrong;
    if !value.is_empty() {
        match bmc.set_bios(&order(&[(name, value)])).await {
            Written::NotApplied(e) => assert!(e.kind == BmcTrouble::Refused && e.to_string().contains(words), "{tree}: {e}"),
            other => panic!("{tree}: {other:?}"),
        }
    }
    format!(
        "{tree:<24} {} attributes, {} pending, {drives} drives, accounts {users:?}, certificate until {}",
        bios.current.len(),
        bios.pending.len(),
        certificate.known().and_then(|c| c.until.known().cloned()).unwrap_or_else(|| "not told".to_owned())
    )
}

/// An iLO as its capture shows it: the certificate has a resource of its own, which takes no key, and makes its request late.
#[tokio::test]
async fn hpe_makes_its_request_late_and_takes_no_key() {
    use super::redfish_server::{Reply, Seen};
    use bringup::bmc::keeping::Subject;
    use serde_json::json;

    let link = |at: &str| json!({ "@odata.id": at });
    let csr = "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n";
    let handler = move |seen: &Seen| {
        let https = "/redfish/v1/Managers/1/SecurityService/HttpsCert";
        let body = match (seen.method.as_str(), seen.path.trim_end_matches('/')) {
            ("GET", "/redfish/v1") => {
                json!({ "Systems": link("/redfish/v1/Systems"), "Links": { "Sessions": link("/redfish/v1/S") } })
            }
            ("POST", "/redfish/v1/S") => return Reply::status(201).with("x-auth-token", "t").with("location", "/redfish/v1/S/1"),
            ("DELETE", _) => return Reply::status(204),
            ("GET", "/redfish/v1/Systems") => json!({ "Members": [link("/redfish/v1/Systems/1")] }),
            ("GET", "/redfish/v1/Systems/1") => json!({ "Id": "1", "Links": { "ManagedBy": [link("/redfish/v1/Managers/1")] } }),
            ("GET", "/redfish/v1/Managers/1") => {
                json!({ "Id": "1", "Oem": { "Hpe": { "Links": { "SecurityService": link("/redfish/v1/Managers/1/SecurityService") } } } })
            }
            ("GET", "/redfish/v1/Managers/1/SecurityService") => json!({ "Links": { "HttpsCert": link(https) } }),
            ("GET", path) if path == https => json!({
                "CertificateSigningRequest": if seen.before < 4 { json!(null) } else { json!(csr) },
                "Actions": {
                    "#HpeHttpsCert.GenerateCSR": { "target": format!("{https}/Actions/HpeHttpsCert.GenerateCSR") },
                    "#HpeHttpsCert.ImportCertificate": { "target": format!("{https}/Actions/HpeHttpsCert.ImportCertificate") },
                },
                "X509CertificateInformation": { "Subject": "CN = ILO", "Issuer": "CN = Default", "ValidNotAfter": "2038-01-17T07:07:34Z" },
            }),
            ("POST", path) if path.starts_with(https) => {
                json!({ "error": { "code": "iLO.0.10.ExtendedInfo" }, "@odata.id": path })
            }
            _ => return Reply::status(404),
        };
        Reply::json(200, &body)
    };
    let server = Server::tls(handler).await;
    let bmc = server.client();
    let told = bmc.own_certificate().await.unwrap();
    assert_eq!(told.known().and_then(|c| c.subject.known().cloned()).as_deref(), Some("CN = ILO"));
    let subject = Subject { common_name: "ilo.example".to_owned(), organization: "Example".to_owned(), ..Subject::default() };
    assert_eq!(bmc.signing_request(&subject).await.unwrap(), csr.trim());
    let made = rcgen::generate_simple_self_signed(vec!["ilo.example".to_owned()]).unwrap();
    let key = bringup::bmc::Password::new(made.signing_key.serialize_pem());
    let soon = std::time::Duration::from_millis(300);
    match bmc.replace_certificate(&made.cert.pem(), Some(&key), soon).await {
        Written::NotApplied(e) => assert!(e.to_string().contains("takes no key from outside"), "{e}"),
        other => panic!("{other:?}"),
    }
    // It goes on showing its own: taken is not replaced.
    match bmc.replace_certificate(&made.cert.pem(), None, soon).await {
        Written::Ambiguous(text) => assert!(text.contains("was not shown within") && text.contains("it shows"), "{text}"),
        other => panic!("{other:?}"),
    }
    let imported = server.log.lock().unwrap().iter().find(|s| s.path.ends_with("ImportCertificate")).unwrap().body.clone();
    assert!(imported.starts_with("{\"Certificate\":\"-----BEGIN CERTIFICATE"), "{imported}");
    // Plain HTTP: no key goes over it.
    let plain = Server::plain(|_: &Seen| Reply::status(404)).await;
    assert!(matches!(plain.client().replace_certificate("x", Some(&key), soon).await, Written::NotApplied(_)));
    bmc.close().await;
}
