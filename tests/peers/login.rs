//! OpenSSH into a machine whose host key nobody knew before its boot: it takes the key with the fingerprint that the grant says, and no other.

use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;

use crate::boot::dhcp_lab::{ADDRESS, Lab};

/// Asks for the host key once, holds it against the fingerprint, and logs in with that one pinned.
const SCRIPT: &str = r#"set -e
fits() { [ "$(ssh-keygen -lf shown 2>/dev/null | cut -d' ' -f2)" = "$2" ]; }
if ! fits "$@"; then
  ssh-keyscan -T 20 -t ed25519 "$1" >shown 2>/dev/null || true
  [ -s shown ] || { echo no host key is shown; exit 2; }
  fits "$@" || { echo another host key: "$(ssh-keygen -lf shown)"; exit 3; }
fi
exec ssh -F none -i mine -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=20 -o LogLevel=ERROR \
  -o StrictHostKeyChecking=yes -o UserKnownHostsFile=shown "root@$1" "$3"
"#;

/// What a command on the node prints, or why there is no login.
pub fn by_fingerprint(lab: &Lab, fingerprint: &str, mine: &PrivateKey, command: &str) -> Result<String, String> {
    use std::os::unix::fs::PermissionsExt as _;
    if !lab.path("mine").exists() {
        std::fs::write(lab.path("mine"), mine.to_openssh(LineEnding::LF).unwrap().as_bytes()).unwrap();
        std::fs::set_permissions(lab.path("mine"), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let output = lab.inside("server", "sh").args(["-c", SCRIPT, "sh", ADDRESS, fingerprint, command]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    // A machine that shows another key than the grant's will not show a better one later.
    assert_ne!(output.status.code(), Some(3), "{}", text(&output.stdout));
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr) + &text(&output.stdout)) }
}
