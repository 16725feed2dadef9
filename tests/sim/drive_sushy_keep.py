"""Drives settings, media, the certificate and the restart of one simulated BMC with OpenStack's client, as Ironic would. Arguments: URL, user, file with
the password, place of media, a kind of restart, a certificate (PEM) and its key."""
import ssl
import sys
import time
import urllib.parse

import sushy
import urllib3
from sushy import auth

urllib3.disable_warnings()
url, user, secret, place, kind, certificate, key = sys.argv[1:8]
password = open(secret).read().strip()
root = sushy.Sushy(url, verify=False, auth=auth.SessionAuth(user, password), connect_timeout=10)


def until(what, so):
    """Waits until it is so: BMCs are late."""
    deadline = time.monotonic() + 60
    while not so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


system = root.get_system_collection().get_members()[0]
bios = system.bios
print("bios", bios.attributes["SriovGlobalEnable"], sorted(bios.pending_attributes or {})[:1])
registry = bios.get_attribute_registry("en")
entries = {a.name: a for a in registry.registry_entries.attributes}
print("registry", len(entries), entries["AcPwrRcvryUserDelay"].upper_bound, entries["SystemModelName"].read_only)


def put(attributes):
    """As sushy does it, and with the entity tag where the BMC wants one: `@Redfish.Settings` of AMI names none, and sushy knows no other."""
    try:
        bios.set_attributes(attributes)
    except sushy.exceptions.HTTPError as e:
        if e.status_code != 428:
            raise
        print("wants a tag")
        settings = bios._settings.resource_uri
        tag = root._conn.get(settings).headers["ETag"]
        root._conn.patch(settings, data={"Attributes": attributes}, etag=tag)
        bios.invalidate(force_refresh=True)


put({"SriovGlobalEnable": "Enabled"})
bios.refresh(force=True)
print("pending", bios.pending_attributes["SriovGlobalEnable"])
try:
    put({"SystemModelName": "x"})
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


def empty():
    cd.refresh(force=True)
    return not cd.inserted


until("ejected", empty)
print("ejected")
manager = root.get_manager_collection().get_members()[0]

# sushy has no certificates of its own: the actions go through its connection, and Python's own TLS looks at what is shown.
where = urllib.parse.urlsplit(url)
protocol = root._conn.get(manager.json["NetworkProtocol"]["@odata.id"]).json()
https = protocol["HTTPS"]["Certificates"]["@odata.id"]
member = root._conn.get(https).json()["Members"][0]["@odata.id"]


def der(pem):
    return ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT"):].strip())


def shown():
    return der(ssl.get_server_certificate((where.hostname, where.port)))


print("told is shown", der(root._conn.get(member).json()["CertificateString"]) == shown())
service = root._conn.get(root.json["CertificateService"]["@odata.id"]).json()["Actions"]
names = {"CommonName": "bmc.example", "Organization": "Example", "OrganizationalUnit": "DC1", "City": "Seoul", "State": "Seoul", "Country": "KR"}
request = root._conn.post(
    service["#CertificateService.GenerateCSR"]["target"], data={**names, "CertificateCollection": {"@odata.id": https}}
).json()["CSRString"]
print("request", request.splitlines()[0])
text = open(certificate).read()
replace = service["#CertificateService.ReplaceCertificate"]["target"]
order = {"CertificateType": "PEM", "CertificateUri": {"@odata.id": member}}
try:
    # The key of the request is not that of this certificate.
    root._conn.post(replace, data={**order, "CertificateString": text})
    print("taken without its key")
except sushy.exceptions.BadRequestError:
    print("refused without its key", shown() != der(text))
root._conn.post(replace, data={**order, "CertificateString": text + open(key).read()})
print("replaced", shown() == der(text), der(root._conn.get(member).json()["CertificateString"]) == der(text))

print("restarts", sorted(v.value for v in manager.get_allowed_reset_manager_values()))
manager.reset_manager(next(v for v in manager.get_allowed_reset_manager_values() if v.value == kind))


def back():
    try:
        fresh = sushy.Sushy(url, verify=False, auth=auth.BasicAuth(user, password), connect_timeout=10)
        print("back", fresh.get_manager_collection().get_members()[0].manager_type.value)
        return True
    except sushy.exceptions.SushyError:
        return False


until("the BMC never came back", back)
print("after it", shown() == der(text))
