//! BMCs of the wrong age, reached by OpenSSL because the inventory allows it (feature `old-tls`): a whole Redfish service behind TLS 1.2 with RSA key
//! exchange and behind TLS 1.0, and a certificate that is not the recorded one.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bringup::bmc::redfish::{FirstContact, Redfish, RedfishOptions};
use bringup::bmc::{Bmc, BmcTrouble, Password};
use bringup::model::{BmcTrust, PowerState, PowerVerb, Reading};

use super::redfish_model::{applied, behave, good};
use super::redfish_server::{Server, fingerprint, quick};
use super::redfish_tls::{openssl, served};
use crate::support::{Service, need_program, wait_until};

/// Ends TLS of one version with one cipher, and passes on what is in it.
const PROXY: &str = r#"
import asyncio, ssl, sys
listen, to, version, ciphers = sys.argv[1:5]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.set_ciphers(ciphers)
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
context.load_cert_chain('cert.pem', 'key.pem')
async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()
async def meet(reader, writer):
    far = await asyncio.open_connection('127.0.0.1', int(to))
    await asyncio.gather(pump(reader, far[1]), pump(far[0], writer))
async def main():
    server = await asyncio.start_server(meet, '127.0.0.1', int(listen), ssl=context)
    print('up', flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

fn proxy(dir: &Path, to: SocketAddr, version: &str, ciphers: &str) -> (Service, SocketAddr) {
    let at = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::fs::write(dir.join("proxy.py"), PROXY).unwrap();
    let log = dir.join("proxy.log");
    let command = &mut Command::new("python3");
    command.current_dir(dir).args(["proxy.py", &at.port().to_string(), &to.port().to_string(), version, ciphers]);
    command.stdout(Stdio::from(std::fs::File::create(&log).unwrap())).stderr(Stdio::inherit());
    let service = Service::start(command).unwrap();
    wait_until("the proxy listens", Duration::from_secs(10), || std::fs::read_to_string(&log).unwrap().contains("up"));
    (service, at)
}

fn options(at: SocketAddr, trust: BmcTrust) -> RedfishOptions {
    let mut options = RedfishOptions::new(at, "admin", Password::new("password"), trust);
    (options.limits, options.old_tls, options.first_contact) = (quick(), true, FirstContact::Refuse);
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn rc02_and_rc03_an_old_bmc_is_driven_by_openssl_where_that_is_allowed() {
    let test = "rc02_and_rc03_an_old_bmc_is_driven_by_openssl_where_that_is_allowed";
    if need_program(test, "openssl").is_none() || need_program(test, "python3").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=bmc"];
    openssl(dir.path(), &request);
    openssl(dir.path(), &["x509", "-in", "cert.pem", "-outform", "der", "-out", "cert.der"]);
    let pin = fingerprint(&std::fs::read(dir.path().join("cert.der")).unwrap());
    for (version, ciphers) in [("TLSv1_2", "AES256-GCM-SHA384"), ("TLSv1", "ALL:@SECLEVEL=0")] {
        let state = good().await.1;
        let shared = state.clone();
        let server = Server::plain(move |seen| behave(seen, &shared)).await;
        let (_proxy, at) = proxy(dir.path(), server.address, version, ciphers);
        // Under another certificate nothing is sent.
        let other = BmcTrust::Pinned(fingerprint(b"another"));
        let error = Redfish::new(options(at, other)).unwrap().power().await.unwrap_err();
        assert_eq!(error.kind, BmcTrouble::Certificate { seen: pin.to_string() }, "{version}: {error:?}");
        assert_eq!(server.log.lock().unwrap().len(), 0, "{version}: nothing was sent");
        // With leave and the right one it is a BMC like any other.
        let bmc = Redfish::new(options(at, BmcTrust::Pinned(pin.clone()))).unwrap();
        assert_eq!(bmc.power().await.unwrap(), Reading::Known(PowerState::Off), "{version}");
        applied(bmc.set_power(PowerVerb::On, Duration::from_secs(5)).await);
        assert_eq!(bmc.certificate(), Some(pin.clone()));
        bmc.close().await;
        let state = state.lock().unwrap();
        assert_eq!((state.resets.len(), state.sessions.len()), (1, 0), "{version}");
    }
    // And what OpenSSL itself serves.
    for old in [&["-tls1_2", "-cipher", "AES256-GCM-SHA384"][..], &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]] {
        let (_service, at) = served(dir.path(), old).unwrap();
        // Without leave it is told by name.
        let mut modern = options(at, BmcTrust::Pinned(pin.clone()));
        modern.old_tls = false;
        assert_eq!(Redfish::new(modern).unwrap().power().await.unwrap_err().kind, BmcTrouble::Unsupported, "{old:?}");
        let error = Redfish::new(options(at, BmcTrust::Pinned(pin.clone()))).unwrap().power().await.unwrap_err();
        assert!(error.kind == BmcTrouble::Malformed && error.to_string().contains("not JSON"), "{old:?}: {error:?}");
    }
}
