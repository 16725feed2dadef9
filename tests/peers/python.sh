#!/bin/bash
# Makes the virtual environment with the peers written in Python, and the independent judge of our schemas. libvirt's binding is Debian's own,
# linked in: PyPI's has to be compiled against libvirt's headers.
set -euo pipefail
. "$(dirname "$0")/env.sh"

PINNED=(sushy-tools==2.2.0 virtualbmc==3.3.0 sushy==5.14.0 pyghmi==1.6.19 bcrypt==5.0.0 jsonschema==4.26.0 PyYAML==6.0.3
  redfish_service_validator==3.1.8 redfish_protocol_validator==1.3.2 virt-firmware==26.10)
stamp=$VENV/.made
if [ "$(cat "$stamp" 2>/dev/null)" = "${PINNED[*]}" ] && "$VENV/bin/python" -c 'import libvirt, sushy_tools, virtualbmc, jsonschema, yaml' 2>/dev/null; then
  echo "python: all present"
  exit 0
fi
/usr/bin/python3 -m venv "$VENV"
site=$("$VENV/bin/python" -c 'import site; print(site.getsitepackages()[0])')
for file in /usr/lib/python3/dist-packages/libvirt*; do ln -sfn "$file" "$site/"; done
"$VENV/bin/pip" --quiet --disable-pip-version-check install "${PINNED[@]}"
"$VENV/bin/python" -c 'import libvirt, sushy_tools, virtualbmc, jsonschema, yaml'
echo "${PINNED[*]}" >"$stamp"
