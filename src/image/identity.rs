//! The initrd that brings one boot its SSH identity: the host key that the machine shows, and the keys that may log in. It is made for one
//! boot and served under that boot's grant, after the image's own initrd; it is never part of an image and never written to a disk here.

use base64::Engine as _;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::cpio::{Archive, Content, CpioError};

/// Why no identity can be made of these keys.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Another kind of key.
    #[error("the host key is of the kind `{0}`; the ramdisk's SSH server takes ed25519 keys from a grant")]
    Kind(String),
    /// With it nobody could log in.
    #[error("no key is named that may log in")]
    Nobody,
    /// Cannot be written.
    #[error("write a key of the boot")]
    Key(#[source] russh::keys::ssh_key::Error),
    /// Cannot be packed.
    #[error("pack the keys")]
    Pack(#[source] CpioError),
}

/// The initrd, to be loaded after the image's own. It is as secret as the host key in it.
///
/// # Errors
/// [`IdentityError`] when the host key is no ed25519 key or nobody may log in.
pub fn identity(host_key: &PrivateKey, authorized: &[PublicKey]) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let KeypairData::Ed25519(pair) = host_key.key_data() else {
        return Err(IdentityError::Kind(host_key.algorithm().to_string()));
    };
    if authorized.is_empty() {
        return Err(IdentityError::Nobody);
    }
    // dropbear's own form (signkey.c, ed25519.c): the kind, then 32 secret and 32 public bytes, each with its length before it.
    let mut key = Zeroizing::new(Vec::with_capacity(83));
    for part in [&b"ssh-ed25519"[..], &pair.to_bytes()[..]] {
        key.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        key.extend_from_slice(part);
    }
    let mut let_in = String::new();
    for key in authorized {
        // Without its comment, which is free text.
        let bytes = key.to_bytes().map_err(IdentityError::Key)?;
        let_in.push_str(&format!("{} {}\n", key.algorithm(), base64::engine::general_purpose::STANDARD.encode(bytes)));
    }
    // The same pair as OpenSSH reads it, for the root that a diskless boot goes on to; without a comment and with a check number made of the key.
    let plain = PrivateKey::new(KeypairData::Ed25519(pair.clone()), "").and_then(|key| key.to_openssh(LineEnding::LF));
    let openssh = plain.map_err(IdentityError::Key)?;
    let mut archive = Archive::new(0);
    for (name, mode, content) in [
        ("etc", 0o755, Content::Folder),
        ("etc/bringup", 0o755, Content::Folder),
        ("etc/bringup/host_key", 0o600, Content::File(&key)),
        ("etc/bringup/keys", 0o700, Content::Folder),
        ("etc/bringup/keys/authorized_keys", 0o600, Content::File(let_in.as_bytes())),
        ("etc/bringup/keys/ssh_host_ed25519_key", 0o600, Content::File(openssh.as_bytes())),
        ("root", 0o700, Content::Folder),
        ("root/.ssh", 0o700, Content::Folder),
        ("root/.ssh/authorized_keys", 0o600, Content::File(let_in.as_bytes())),
    ] {
        archive.add(name, mode, &content).map_err(IdentityError::Pack)?;
    }
    Ok(Zeroizing::new(archive.finish()))
}

#[cfg(test)]
mod tests {
    use russh::keys::Algorithm;

    use super::*;

    fn key(kind: Algorithm) -> PrivateKey {
        PrivateKey::random(&mut russh::keys::key::safe_rng(), kind).unwrap()
    }

    /// The key in OpenSSH's form that lies somewhere in these bytes.
    fn key_in_pem(bytes: &[u8]) -> PrivateKey {
        let text = String::from_utf8_lossy(bytes);
        let end = "-----END OPENSSH PRIVATE KEY-----\n";
        let (from, to) = (text.find("-----BEGIN OPENSSH PRIVATE KEY-----").unwrap(), text.find(end).unwrap());
        PrivateKey::from_openssh(&text[from..to + end.len()]).unwrap()
    }

    #[test]
    fn it_holds_both_keys_for_root_alone() {
        let (host, mine) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519));
        let made = identity(&host, &[mine.public_key().clone()]).unwrap();
        let find = |needle: &[u8]| made.windows(needle.len()).any(|w| w == needle);
        assert!(find(b"\0\0\0\x0bssh-ed25519\0\0\0\x40"), "dropbear's form");
        assert!(find(&host.public_key().key_data().ed25519().unwrap().0));
        assert!(find(mine.public_key().to_openssh().unwrap().split(' ').nth(1).unwrap().as_bytes()));
        assert_eq!(key_in_pem(&made).key_data(), host.key_data(), "OpenSSH's form");
        assert!(find(b"etc/bringup/host_key") && find(b"000081800000000000000000"), "mode 0600 of root");
        assert_eq!(made, identity(&host, &[mine.public_key().clone()]).unwrap(), "no dice, no clock");
    }

    #[test]
    fn keys_that_would_not_work_are_refused() {
        let mine = key(Algorithm::Ed25519);
        assert!(matches!(identity(&mine, &[]), Err(IdentityError::Nobody)));
        let ecdsa = key(Algorithm::Ecdsa { curve: russh::keys::EcdsaCurve::NistP256 });
        assert!(matches!(identity(&ecdsa, &[mine.public_key().clone()]), Err(IdentityError::Kind(_))));
    }
}
