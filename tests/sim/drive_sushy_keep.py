"""Drives settings and media of one simulated BMC with OpenStack's client, as Ironic would. Arguments: URL, user, file with the password, place of media."""
import sys
import time

import sushy
import urllib3
from sushy import auth

urllib3.disable_warnings()
url, user, secret, place = sys.argv[1:5]
password = open(secret).read().strip()
root = sushy.Sushy(url, verify=False, auth=auth.SessionAuth(user, password), connect_timeout=10)
system = root.get_system_collection().get_members()[0]
bios = system.bios
print("bios", bios.attributes["SriovGlobalEnable"], sorted(bios.pending_attributes or {})[:1])
registry = bios.get_attribute_registry("en")
entries = {a.name: a for a in registry.registry_entries.attributes}
print("registry", len(entries), entries["AcPwrRcvryUserDelay"].upper_bound, entries["SystemModelName"].read_only)
bios.set_attributes({"SriovGlobalEnable": "Enabled"})
bios.refresh(force=True)
print("pending", bios.pending_attributes["SriovGlobalEnable"])
try:
    bios.set_attributes({"SystemModelName": "x"})
    print("read-only taken")
except sushy.exceptions.SushyError as e:
    print("read-only refused", type(e).__name__)
media = system.virtual_media if place == "system" else root.get_manager_collection().get_members()[0].virtual_media
cd = next(m for m in media.get_members() if sushy.VirtualMediaType.CD in m.media_types)
print("empty", cd.inserted, cd.image)
cd.insert_media("http://10.77.0.1/rescue.iso", write_protected=True)
cd.refresh(force=True)
print("inserted", cd.inserted, cd.image, cd.connected_via.value)
cd.eject_media()
cd.refresh(force=True)
print("ejected", cd.inserted)
manager = root.get_manager_collection().get_members()[0]
print("restarts", sorted(v.value for v in manager.get_allowed_reset_manager_values()))
manager.reset_manager(next(iter(manager.get_allowed_reset_manager_values())))
deadline = time.monotonic() + 60
while True:
    assert time.monotonic() < deadline, "the BMC never came back"
    try:
        fresh = sushy.Sushy(url, verify=False, auth=auth.BasicAuth(user, password), connect_timeout=10)
        print("back", fresh.get_manager_collection().get_members()[0].manager_type.value)
        break
    except sushy.exceptions.SushyError:
        time.sleep(0.05)
