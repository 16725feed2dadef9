//! DHCP as a relay sends it, octet by octet (RFC 2131, 2132, 3046), and what comes back.

/// What a machine says.
pub struct Question<'a> {
    /// 1 for DISCOVER, 3 for REQUEST.
    pub kind: u8,
    pub number: u32,
    pub mac: [u8; 6],
    pub relay: [u8; 4],
    /// Address and server of an offer.
    pub takes: Option<([u8; 4], [u8; 4])>,
    /// Besides: the firmware's or iPXE's own options.
    pub more: &'a [(u8, &'a [u8])],
}

/// UEFI x86-64 asking for a PXE loader.
pub const ROM: &[(u8, &[u8])] = &[(60, b"PXEClient:Arch:00007:UNDI:003016"), (93, &[0, 7])];
/// iPXE asking for its script.
pub const IPXE: &[(u8, &[u8])] = &[(60, b"PXEClient:Arch:00007:UNDI:003010"), (77, b"iPXE"), (93, &[0, 7])];

impl Question<'_> {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![1, 1, 6, 1];
        bytes.extend(self.number.to_be_bytes());
        bytes.extend([0; 16]);
        bytes.extend(self.relay);
        bytes.extend(self.mac);
        bytes.resize(236, 0);
        bytes.extend([99, 130, 83, 99, 53, 1, self.kind, 55, 6, 1, 3, 6, 12, 66, 67]);
        for (code, data) in self.more {
            bytes.extend([*code, u8::try_from(data.len()).unwrap()]);
            bytes.extend(*data);
        }
        if let Some((address, server)) = self.takes {
            bytes.extend([50, 4]);
            bytes.extend(address);
            bytes.extend([54, 4]);
            bytes.extend(server);
        }
        bytes.push(255);
        bytes
    }
}

/// What a server says.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 2 for OFFER, 5 for ACK.
    pub kind: u8,
    pub number: u32,
    pub address: [u8; 4],
    pub server: [u8; 4],
    /// What to boot.
    pub file: String,
}

pub fn read(bytes: &[u8]) -> Option<Answer> {
    if bytes.len() < 240 || bytes[0] != 2 || bytes[236..240] != [99, 130, 83, 99] {
        return None;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    let mut answer = Answer {
        kind: 0,
        number: u32::from_be_bytes(bytes[4..8].try_into().ok()?),
        address: bytes[16..20].try_into().ok()?,
        server: [0; 4],
        file: text(&bytes[108..236]),
    };
    let mut at = 240;
    while let Some(code) = bytes.get(at).filter(|code| **code != 255) {
        if *code == 0 {
            at += 1;
            continue;
        }
        let length = usize::from(*bytes.get(at + 1)?);
        let data = bytes.get(at + 2..at + 2 + length)?;
        match code {
            53 => answer.kind = data[0],
            54 => answer.server = data.try_into().ok()?,
            67 => answer.file = text(data),
            _ => {}
        }
        at += 2 + length;
    }
    Some(answer)
}
