//! Reads a request line. It knows a handful of names; no part of a URL is ever used as a path of a file.

use super::grant::{MEDIUM, Stage, Token};
use super::told::Word;
use crate::model::Mac;

/// Longest path and query together.
const LONGEST: usize = 2048;
/// Most `key=value` pairs, and the longest value.
const PAIRS: usize = 16;
const VALUE: usize = 128;

/// What is asked for.
pub(super) enum Ask {
    /// Is this `bringup`, and which store does it serve from?
    Health,
    /// The script with which a site's DHCP begins: it chains to itself with the machine's identity.
    Chain,
    /// The script for whoever has this MAC.
    ScriptByMac(Claims),
    /// The script of this grant.
    ScriptByToken(Token, Claims),
    /// A UEFI loader, by grant.
    Loader(Token, Loader),
    /// A UEFI loader for whoever boots by HTTP because DHCP said so; it holds nothing but iPXE.
    OpenLoader(Loader),
    /// A file of a grant whose script was handed out.
    File(Token, Which),
    /// The boot medium of a grant, for its BMC.
    Medium(Token),
    /// The identity of such a grant.
    Identity(Token, Claims),
    /// The node tells how far it has come.
    At(Token, Word),
}

/// iPXE builds that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loader {
    /// With drivers of its own.
    Ipxe,
    /// With the firmware's driver for the interface that booted.
    SnpOnly,
    /// The same for 64-bit Arm.
    SnpOnlyArm64,
}

impl Loader {
    /// Name under the loaders' folder.
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Self::Ipxe => "ipxe.efi",
            Self::SnpOnly => "snponly.efi",
            Self::SnpOnlyArm64 => "snponly-arm64.efi",
        }
    }
}

/// One of a grant's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Kernel,
    Initrd(usize),
    Root,
}

impl Which {
    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Kernel => Stage::Kernel,
            Self::Initrd(_) => Stage::Initrd,
            Self::Root => Stage::Root,
        }
    }
}

/// Who a machine says it is. Anybody can say anything: a claim can only close a door, never open one that the grant leaves shut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) mac: Option<Mac>,
    pub(super) uuid: Option<String>,
    pub(super) serial: Option<String>,
}

/// Why a request is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotUnderstood {
    /// 404.
    NoSuchPath,
    /// 400, with the rule that was broken.
    Bad(&'static str),
}

/// Reads path and query.
pub(super) fn route(path: &str, query: Option<&str>) -> Result<Ask, NotUnderstood> {
    if path.len() + query.map_or(0, str::len) > LONGEST {
        return Err(NotUnderstood::Bad("the address is longer than 2048 bytes"));
    }
    let mut parts = path.split('/').skip(1);
    let (first, second, third, fourth, more) = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    let token = || second.and_then(Token::parse).ok_or(NotUnderstood::NoSuchPath);
    match (first, third, fourth, more) {
        (Some("healthz"), None, None, None) if second.is_none() => Ok(Ask::Health),
        (Some("boot.ipxe"), None, None, None) if second.is_none() => match query {
            None | Some("") => Ok(Ask::Chain),
            Some(query) => {
                let claims = claims(query)?;
                if claims.mac.is_none() {
                    return Err(NotUnderstood::Bad("`mac=` is missing"));
                }
                Ok(Ask::ScriptByMac(claims))
            }
        },
        (Some("loader"), None, None, None) => match second {
            Some("ipxe.efi") => Ok(Ask::OpenLoader(Loader::Ipxe)),
            Some("snponly.efi") => Ok(Ask::OpenLoader(Loader::SnpOnly)),
            Some("snponly-arm64.efi") => Ok(Ask::OpenLoader(Loader::SnpOnlyArm64)),
            _ => Err(NotUnderstood::NoSuchPath),
        },
        (Some("g"), Some("boot.ipxe" | "autoexec.ipxe"), None, None) => {
            Ok(Ask::ScriptByToken(token()?, claims(query.unwrap_or_default())?))
        }
        (Some("g"), Some("ipxe.efi"), None, None) => Ok(Ask::Loader(token()?, Loader::Ipxe)),
        (Some("g"), Some("snponly.efi"), None, None) => Ok(Ask::Loader(token()?, Loader::SnpOnly)),
        (Some("g"), Some(MEDIUM), None, None) => Ok(Ask::Medium(token()?)),
        (Some("g"), Some("kernel"), None, None) => Ok(Ask::File(token()?, Which::Kernel)),
        (Some("g"), Some("root"), None, None) => Ok(Ask::File(token()?, Which::Root)),
        (Some("g"), Some("identity"), None, None) => Ok(Ask::Identity(token()?, claims(query.unwrap_or_default())?)),
        (Some("g"), Some("at"), Some(word), None) => Ok(Ask::At(token()?, Word::parse(word).ok_or(NotUnderstood::NoSuchPath)?)),
        (Some("g"), Some("initrd"), Some(n), None) if (1..=2).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()) => {
            let n = n.parse().map_err(|_| NotUnderstood::NoSuchPath)?;
            Ok(Ask::File(token()?, Which::Initrd(n)))
        }
        _ => Err(NotUnderstood::NoSuchPath),
    }
}

/// Reads the identity out of a query. Keys that are not known (`arch`) are read over; iPXE writes nothing after `=` for what it does not know.
fn claims(query: &str) -> Result<Claims, NotUnderstood> {
    let mut claims = Claims::default();
    for (n, pair) in query.split('&').filter(|p| !p.is_empty()).enumerate() {
        if n >= PAIRS {
            return Err(NotUnderstood::Bad("the query has more than 16 parts"));
        }
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value).ok_or(NotUnderstood::Bad("a value of the query is not plain text of up to 128 characters"))?;
        let value = value.trim();
        let taken = match key {
            "mac" | "uuid" | "serial" if value.is_empty() => false,
            "mac" => {
                let mac = value.parse().map_err(|_| NotUnderstood::Bad("`mac=` is not a MAC address"))?;
                claims.mac.replace(mac).is_some()
            }
            "uuid" => claims.uuid.replace(value.to_lowercase()).is_some(),
            "serial" => claims.serial.replace(value.to_owned()).is_some(),
            _ => false,
        };
        if taken {
            return Err(NotUnderstood::Bad("the query says one thing twice"));
        }
    }
    Ok(claims)
}

/// Percent-decoding (RFC 3986 §2.1) into printable text; `+` stays itself, as iPXE's `:uristring` writes spaces as `%20`.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len().min(VALUE));
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
            digit(rest.next())? << 4 | digit(rest.next())?
        } else {
            byte
        });
        if bytes.len() > VALUE {
            return None;
        }
    }
    String::from_utf8(bytes).ok().filter(|decoded| !decoded.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn claims_of(query: &str) -> Claims {
        match route("/boot.ipxe", Some(query)) {
            Ok(Ask::ScriptByMac(claims)) => claims,
            _ => panic!("{query}"),
        }
    }

    #[test]
    fn the_known_names() {
        assert!(matches!(route("/healthz", None), Ok(Ask::Health)));
        assert!(matches!(route("/boot.ipxe", None), Ok(Ask::Chain)));
        assert!(matches!(route(&format!("/g/{TOKEN}/boot.ipxe"), None), Ok(Ask::ScriptByToken(..))));
        assert!(matches!(route(&format!("/g/{TOKEN}/autoexec.ipxe"), None), Ok(Ask::ScriptByToken(..))));
        assert!(matches!(route(&format!("/g/{TOKEN}/ipxe.efi"), None), Ok(Ask::Loader(_, Loader::Ipxe))));
        assert!(matches!(route(&format!("/g/{TOKEN}/initrd/12"), None), Ok(Ask::File(_, Which::Initrd(12)))));
        assert!(matches!(route(&format!("/g/{TOKEN}/identity"), Some("serial=%41")), Ok(Ask::Identity(..))));
        assert!(matches!(route(&format!("/g/{TOKEN}/at/userspace"), None), Ok(Ask::At(_, Word::Userspace))));
        let claims = claims_of("mac=52-54-00-AA-00-01&uuid=ABCD&serial=S%2F%20N&arch=x86_64");
        assert_eq!(claims.mac, Some("52:54:00:aa:00:01".parse().unwrap()));
        assert_eq!((claims.uuid.as_deref(), claims.serial.as_deref()), (Some("abcd"), Some("S/ N")));
        assert_eq!(claims_of("mac=52-54-00-aa-00-01&uuid=&serial=").uuid, None);
    }

    #[test]
    fn the_rest_is_not_understood() {
        for path in ["", "/", "/etc/passwd", "/../boot.ipxe", "/g/x/kernel", "/boot.ipxe/", "/healthz/x"] {
            assert!(matches!(route(path, None), Err(NotUnderstood::NoSuchPath)), "{path}");
        }
        for end in [
            "../../../etc/passwd",
            "initrd/../kernel",
            "initrd/-1",
            "initrd/",
            "initrd/+1",
            "kernel/",
            "%2e%2e/kernel",
            "at",
            "at/",
            "at/root",
            "at/released",
        ] {
            assert!(route(&format!("/g/{TOKEN}/{end}"), None).is_err(), "{end}");
        }
        for query in
            ["mac=zz", "serial=x", "mac=52-54-00-aa-00-01&mac=52-54-00-aa-00-02", "mac=52-54-00-aa-00-01&serial=%0a", "mac=%"]
        {
            assert!(matches!(route("/boot.ipxe", Some(query)), Err(NotUnderstood::Bad(_))), "{query}");
        }
        assert!(route("/boot.ipxe", Some(&"a=b&".repeat(400))).is_err());
    }

    proptest! {
        #[test]
        fn any_address_is_read_without_harm(path in "(/g/[0-9a-f]{30,33})?(/[a-z.%0-9]{0,12}){0,4}|.{0,80}", query in proptest::option::of("([a-z]{0,6}=[^&]{0,40}&?){0,20}|.{0,80}")) {
            if let Ok(Ask::ScriptByMac(claims) | Ask::ScriptByToken(_, claims) | Ask::Identity(_, claims)) = route(&path, query.as_deref()) {
                for text in [claims.uuid, claims.serial].into_iter().flatten() {
                    prop_assert!(!text.is_empty() && text.chars().count() <= 128 && !text.chars().any(char::is_control));
                }
            }
        }
    }
}
