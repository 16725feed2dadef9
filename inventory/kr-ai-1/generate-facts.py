#!/usr/bin/env python3
"""Writes facts/*.csv of the worked example `kr-ai-1`. Every value is invented.

A real facts file comes from the vendor's delivery manifest or from `bringup discover`; it is never templated. This one is, because the site
does not exist. The same rows come out every time: no clock, no dice.

* serials, UUIDs and fingerprints are cut from SHA-256 over "kr-ai-1/NODE/FIELD";
* MAC addresses are locally administered (second-lowest bit of the first octet, IEEE 802) and count rack and slot, so none occurs twice:
  02:b0 is a BMC, 02:b1 the interface that boots, then the block's letter, the rack number in two octets, the slot.

Usage: ./generate-facts.py   (writes beside itself)
"""

import hashlib
import pathlib

# block letter, racks, slots a rack: the same ranges as in site.yaml
BLOCKS = [("a", 275, 4), ("b", 10, 8), ("c", 8, 8), ("t", 3, 2)]
COLUMNS = "node,serial,uuid,bmc_mac,boot_mac,bmc_cert_sha256"
ALPHABET = "0123456789ABCDEFGHJKLMNPQRSTUVWX"  # no I or O: labels are read aloud


def digest(node, field):
    """SHA-256 over the name of one value."""
    return hashlib.sha256(f"kr-ai-1/{node}/{field}".encode()).digest()


def serial(node):
    """An invented chassis serial: EX, then ten letters and digits."""
    return "EX" + "".join(ALPHABET[b % 32] for b in digest(node, "serial")[:10])


def uuid(node):
    """An invented SMBIOS UUID, marked as version 8 (RFC 9562: custom)."""
    h = digest(node, "uuid").hex()
    return f"{h[:8]}-{h[8:12]}-8{h[13:16]}-a{h[17:20]}-{h[20:32]}"


def mac(role, letter, rack, slot):
    """A locally administered MAC address that counts rack and slot."""
    return f"02:{role:02x}:{ord(letter):02x}:{rack >> 8:02x}:{rack & 255:02x}:{slot:02x}"


def main():
    """Writes one file a block."""
    folder = pathlib.Path(__file__).resolve().parent / "facts"
    folder.mkdir(exist_ok=True)
    for letter, racks, slots in BLOCKS:
        lines = [COLUMNS]
        for rack in range(1, racks + 1):
            for slot in range(1, slots + 1):
                node = f"{letter}{rack:03}-s{slot:02}"
                lines.append(
                    ",".join(
                        [
                            node,
                            serial(node),
                            uuid(node),
                            mac(0xB0, letter, rack, slot),
                            mac(0xB1, letter, rack, slot),
                            digest(node, "bmc-certificate").hex(),
                        ]
                    )
                )
        (folder / f"{letter}.csv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
