//! Host keys and credentials: what is believed, what is sent, and what never leaves.

use std::net::TcpListener;

use bringup::shell::{FirstContact, PrivateKeyText, Shell, ShellTrouble, SshShell};

use super::far::{Far, block_on};

#[test]
fn a_foreign_host_key_gets_no_credential() {
    let Some(far) = Far::openssh("shell::trust::a_foreign_host_key_gets_no_credential") else { return };
    let error = block_on(SshShell::new(far.options(&["stranger"])).boot_id()).unwrap_err();
    // The Ed25519 key was shown first; the RSA key was asked for after it and is not the recorded one either.
    assert_eq!(error.kind, ShellTrouble::HostKey { seen: far.fingerprint("host_ed25519") });
    let log = far.log();
    assert!(log.contains("Connection closed") || log.contains("Connection reset") || log.contains("Disconnected"), "{log}");
    for word in ["publickey", "Failed", "Accepted", "authenticating user"] {
        assert!(!log.contains(word), "sshd saw an attempt to log in: {log}");
    }
}

#[test]
fn any_recorded_kind_of_host_key_is_found() {
    let Some(far) = Far::openssh("shell::trust::any_recorded_kind_of_host_key_is_found") else { return };
    for key in ["host_ed25519", "host_rsa"] {
        let shell = SshShell::new(far.options(&[key]));
        block_on(shell.boot_id()).unwrap();
        assert_eq!(shell.host_key(), Some(far.fingerprint(key)));
    }
}

#[test]
fn first_contact_is_refused_unless_allowed() {
    let Some(far) = Far::openssh("shell::trust::first_contact_is_refused_unless_allowed") else { return };
    let error = block_on(SshShell::new(far.options(&[])).boot_id()).unwrap_err();
    assert_eq!(error.kind, ShellTrouble::HostKey { seen: far.fingerprint("host_ed25519") });
    assert!(error.to_string().contains("not recorded"), "{error}");
    assert!(!far.log().contains("publickey"));

    let mut options = far.options(&[]);
    options.first_contact = FirstContact::Accept;
    let shell = SshShell::new(options);
    assert_eq!(shell.host_key(), None);
    block_on(shell.boot_id()).unwrap();
    assert_eq!(shell.host_key(), Some(far.fingerprint("host_ed25519")));
}

#[test]
fn after_first_contact_another_key_is_refused() {
    let Some(mut far) = Far::openssh("shell::trust::after_first_contact_another_key_is_refused") else { return };
    let mut options = far.options(&[]);
    options.first_contact = FirstContact::Accept;
    let shell = SshShell::new(options);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(shell.boot_id()).unwrap();
    far.crash();
    for end in ["", ".pub"] {
        std::fs::copy(far.path(&format!("stranger{end}")), far.path(&format!("host_ed25519{end}"))).unwrap();
    }
    far.start();
    let error = runtime.block_on(shell.boot_id()).unwrap_err();
    assert_eq!(error.kind, ShellTrouble::HostKey { seen: far.fingerprint("stranger") });
}

#[test]
fn a_wrong_key_is_a_matter_of_credentials() {
    let Some(far) = Far::openssh("shell::trust::a_wrong_key_is_a_matter_of_credentials") else { return };
    for text in [std::fs::read_to_string(far.path("stranger")).unwrap(), "not a key".into()] {
        let mut options = far.options(&["host_ed25519"]);
        options.key = PrivateKeyText::new(text);
        let error = block_on(SshShell::new(options).boot_id()).unwrap_err();
        assert_eq!(error.kind, ShellTrouble::Credentials, "{error}");
    }
}

#[test]
fn rsa_user_keys_work() {
    let Some(far) = Far::openssh("shell::trust::rsa_user_keys_work") else { return };
    std::fs::copy(far.path("host_rsa.pub"), far.path("home/.ssh/authorized_keys")).unwrap();
    let mut options = far.options(&["host_ed25519"]);
    options.key = PrivateKeyText::new(std::fs::read_to_string(far.path("host_rsa")).unwrap());
    block_on(SshShell::new(options).boot_id()).unwrap();
}

#[test]
fn dropbear_is_trusted_by_the_same_fingerprint() {
    let Some(far) = Far::dropbear("shell::trust::dropbear_is_trusted_by_the_same_fingerprint") else { return };
    let shell = far.shell();
    block_on(shell.boot_id()).unwrap();
    assert_eq!(shell.host_key(), Some(far.fingerprint("host_ed25519")));
    let error = block_on(SshShell::new(far.options(&["stranger"])).boot_id()).unwrap_err();
    assert_eq!(error.kind, ShellTrouble::HostKey { seen: far.fingerprint("host_ed25519") });
}

#[test]
fn a_closed_port_and_a_server_of_another_kind_are_told() {
    let Some(far) = Far::openssh("shell::trust::a_closed_port_and_a_server_of_another_kind_are_told") else { return };
    let mut options = far.options(&["host_ed25519"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    options.address = listener.local_addr().unwrap();
    let talk = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n\x1b[2J").unwrap();
    });
    let shell = SshShell::new(options);
    let error = block_on(shell.boot_id()).unwrap_err();
    assert_eq!(error.kind, ShellTrouble::Unreachable, "{error}");
    talk.join().unwrap();
    assert_eq!(block_on(shell.boot_id()).unwrap_err().kind, ShellTrouble::Unreachable, "nobody listens any more");
}
