"""Drives one simulated BMC with OpenStack's client, as Ironic would. Arguments: URL, user, file with the password."""
import sys
import time

import sushy
import urllib3
from sushy import auth

urllib3.disable_warnings()
url, user, secret = sys.argv[1:4]
password = open(secret).read().strip()
root = sushy.Sushy(url, verify=False, auth=auth.SessionAuth(user, password), connect_timeout=10)
system = root.get_system_collection().get_members()[0]
print("serial", system.identity, system._json["SerialNumber"], system.uuid)
print("power", system.power_state.value)
print("resets", sorted(v.value for v in system.get_allowed_reset_system_values()))
print("boots", sorted(v.value for v in system.get_allowed_system_boot_source_values()))
system.set_system_boot_options(
    target=sushy.BootSource.PXE, enabled=sushy.BootSourceOverrideEnabled.ONCE, mode=sushy.BootSourceOverrideMode.UEFI
)
system.refresh(force=True)
print("boot", system.boot.target.value, system.boot.enabled.value, system.boot.mode.value)
system.reset_system(sushy.ResetType.ON)
deadline = time.monotonic() + 60
while system.power_state != sushy.PowerState.ON:
    assert time.monotonic() < deadline, "the power never came"
    time.sleep(0.02)
    system.refresh(force=True)
print("power", system.power_state.value)
manager = root.get_manager_collection().get_members()[0]
print("manager", manager.firmware_version, manager.manager_type.value)
for item in root.get_update_service().get_firmware_inventory().get_members():
    print("firmware", item.identity, item.version)
print("chassis", root.get_chassis_collection().get_members()[0].serial_number)
print("tasks", len(root.get_task_service().tasks.get_members()) >= 0)
try:
    system.set_system_boot_options(target=sushy.BootSource.FLOPPY)
    print("floppy accepted")
except sushy.exceptions.SushyError as e:
    print("floppy refused", type(e).__name__)
root._auth.close()
