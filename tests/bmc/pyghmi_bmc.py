"""A BMC of pyghmi's `Bmc` class, as its `fakebmc` makes one, that writes down what it was told.

pyghmi_bmc.py PORT TOLD [KG]: account admin/s3cret; KG is the key of the BMC itself in hexadecimal digits.
"""

import sys
import uuid

import pyghmi.ipmi.bmc as bmc


class Told(bmc.Bmc):
    """One power switch and one boot device."""

    def __init__(self, port, told, kg):
        """Listens on 127.0.0.1."""
        identity = uuid.UUID("336a1b2c-5d0e-4f60-91a2-b3c4d5e6f708")
        super().__init__({"admin": "s3cret"}, port=port, bmcuuid=identity, address="127.0.0.1")
        self.told = told
        self.power = "off"
        self.bootdevice = "default"
        if kg:
            self.set_kg(bytes.fromhex(kg))

    def tell(self, what):
        """One line for each thing that was done."""
        with open(self.told, "a", encoding="ascii") as file:
            print(what, file=file)

    def get_system_guid(self):
        """Called for Get System GUID."""
        return self.uuid

    def get_power_state(self):
        """Called for Get Chassis Status."""
        return self.power

    def power_on(self):
        """Called for Chassis Control, up."""
        self.tell("on")
        self.power = "on"

    def power_off(self):
        """Called for Chassis Control, down."""
        self.tell("off")
        self.power = "off"

    def power_shutdown(self):
        """Called for Chassis Control, soft shutdown."""
        self.tell("soft")
        self.power = "off"

    def get_boot_device(self):
        """Called for Get System Boot Options."""
        return self.bootdevice

    def set_boot_device(self, bootdevice):
        """Called for Set System Boot Options."""
        self.tell("boot " + bootdevice)
        self.bootdevice = bootdevice


if __name__ == "__main__":
    Told(int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "").listen()
