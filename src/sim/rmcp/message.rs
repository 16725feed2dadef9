//! IPMI messages inside the wrappers (§13.8): addresses, sequence number, two checksums. It knows no command.

/// The BMC's own address on the message bus.
const BMC: u8 = 0x20;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub(super) netfn: u8,
    pub(super) command: u8,
    pub(super) data: &'a [u8],
    lun: u8,
    from: u8,
    from_lun: u8,
    sequence: u8,
}

impl Request<'_> {
    /// The console's number for it.
    pub(super) fn sequence(&self) -> u8 {
        self.sequence
    }
}

/// Sum of bytes that makes the whole nought.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)).wrapping_neg()
}

/// Reads a request to the BMC; wrong checksums and other addressees are not for it.
pub(super) fn parse(bytes: &[u8]) -> Option<Request<'_>> {
    let (head, rest) = bytes.split_first_chunk::<3>()?;
    let (last, body) = rest.split_last()?;
    let [to, net, sum] = *head;
    let ([from, sequence, command], data) = body.split_first_chunk::<3>()?;
    let (netfn, lun) = (net >> 2, net & 3);
    if to != BMC || sum != checksum(&[to, net]) || *last != checksum(body) || netfn & 1 == 1 {
        return None;
    }
    Some(Request { netfn, command: *command, data, lun, from: *from, from_lun: sequence & 3, sequence: sequence >> 2 })
}

/// The response to a request.
pub(super) fn answer(request: &Request<'_>, code: u8, data: &[u8]) -> Vec<u8> {
    let net = ((request.netfn | 1) << 2) | request.from_lun;
    let mut out = vec![request.from, net, checksum(&[request.from, net])];
    let body_at = out.len();
    out.extend([BMC, (request.sequence << 2) | request.lun, request.command, code]);
    out.extend(data);
    out.push(checksum(out.get(body_at..).unwrap_or_default()));
    out
}
